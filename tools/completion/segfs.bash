# SPDX-License-Identifier: LGPL-2.1-or-later
# bash-completion for segfs, segls and segtop; what they take is what their --help says.

_segfs_words() {
	"$1" --help 2>/dev/null | sed -nE "$2"
}

_segfs() {
	local cur prev words cword options last
	_init_completion -s || return
	if [[ $prev == -o || $prev == --options ]]; then
		options=$(_segfs_words "${words[0]}" 's/^  ([a-z_]+)(=[^ ]+)?  +[a-zA-Z].*/\1\2/p' | sed 's/=.*/=/')
		last=${cur##*,}
		mapfile -t COMPREPLY < <(compgen -P "${cur%"$last"}" -W "$options" -- "$last")
		compopt -o nospace
		return
	fi
	if [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$(_segfs_words "${words[0]}" 's/^ .*(--[a-z-]+).*/\1/p')" -- "$cur")
		return
	fi
	_filedir -d
}
complete -F _segfs segfs mount.segfs

_segls() {
	local cur prev words cword split columns last
	_init_completion -s || return
	columns=$(_segfs_words "${words[0]}" 's/^  ([A-Z]+)  +.*/\1/p')
	case $prev in
	-o | --output)
		last=${cur##*[,+]}
		mapfile -t COMPREPLY < <(compgen -P "${cur%"$last"}" -W "$columns" -- "$last")
		compopt -o nospace
		return
		;;
	--sort)
		last=${cur#-}
		mapfile -t COMPREPLY < <(compgen -P "${cur%"$last"}" -W "$columns" -- "$last")
		return
		;;
	--watch)
		return
		;;
	--by)
		mapfile -t COMPREPLY < <(compgen -W "program process user container name" -- "$cur")
		return
		;;
	--keep-file)
		_filedir
		return
		;;
	--shm-dir)
		_filedir -d
		return
		;;
	esac
	[[ $split == true ]] ||
		mapfile -t COMPREPLY < <(compgen -W "$(_segfs_words "${words[0]}" 's/^ .*(--[a-z-]+).*/\1/p')" -- "$cur")
}
complete -F _segls segls

_segtop() {
	local cur prev words cword split
	_init_completion -s || return
	case $prev in
	-d | --delay | --orphan-age | --keep)
		return
		;;
	--keep-file)
		_filedir
		return
		;;
	esac
	if [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$(_segfs_words "${words[0]}" 's/^ .*(--[a-z-]+).*/\1/p')" -- "$cur")
		return
	fi
	_filedir -d
}
complete -F _segtop segtop
