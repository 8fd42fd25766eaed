# SPDX-License-Identifier: LGPL-2.1-or-later
# Completion for the tools of a clone, called as tools/NAME from its top: . tools/completion/tools.bash
# Options are what --help says; tools/check takes names of tests, too.

_segfs_tools() {
	local cur=${COMP_WORDS[COMP_CWORD]} words=
	if [[ $cur == -* ]]; then
		words=$("$1" --help 2>/dev/null | grep -oE -- '--[a-z]+(-[a-z]+)*' | sort -u)
	elif [[ $1 == tools/check ]]; then
		words=$(find tests/mount -name 'test-*.sh' -printf '%f\n' | sed 's/^test-\(.*\)\.sh$/mount-\1/')
	fi
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}
complete -o default -F _segfs_tools tools/start tools/check tools/package tools/bench/run
