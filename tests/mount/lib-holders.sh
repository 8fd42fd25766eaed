# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# For tests of who holds what; sourced after lib.sh.
#
#   hold NAME CMD...     a holders process (holders.c): false, with $why, where it cannot be done
#   held NAME [N]        word N of what it said: 1 its pid, 2 ... what its verb tells
#   tell NAME LINE       one line to it and its answer, as of an agent
#   drop NAME...         ends it, and waits for its end
#   verdict FILE, holders FILE, info FILE [KEY]     FILE: sysv/5, posix/a/b, unlinked/x
#   row NAME FILE VERDICT [PID...]
#
# row asserts all that the mount says of a file by four ways. What is called orphaned and is
# not, or is not called so and is, counts in $false_verdicts.

: "${HOLDERS:?}"
false_verdicts=0

hold() {
	local name=$1 line
	shift
	started "$name" "$@"
	line=$(answer "$name")
	held_line[$name]=$line
	[ "${line%% *}" = ready ] && return 0
	why=${line#skip }
	[ "${line%% *}" = skip ] || diag "$name: $line"
	drop "$name"
	return 1
}
declare -A held_line

held() {
	local words
	read -ra words <<<"${held_line[$1]}"
	echo "${words[${2:-1}]}"
}

# All that share its stdout have ended when that has. Its stdin may be open in others that were
# started since, so it is told.
drop() {
	local name rest
	for name in "$@"; do
		[ -n "${agent_process[$name]:-}" ] || continue
		local w=${agent_in[$name]} r=${agent_out[$name]}
		send "$name" end
		exec {w}>&-
		while IFS= read -r -t 10 rest <&"$r"; do :; done
		wait "${agent_process[$name]}" 2>/dev/null
		exec {r}<&-
		unset "agent_process[$name]" "agent_in[$name]" "agent_out[$name]"
	done
}

# A process of another pid namespace: its number here. unshare --fork waits for its child.
child_of() { awk -v p="$1" '/^PPid:/ && $2 == p { split(FILENAME, f, "/"); print f[3]; exit }' /proc/[0-9]*/status 2>/dev/null; }

where=$MNT # the mount that is asked
attr() { getfattr --absolute-names --only-values -n "user.segfs.$2" "$where/$1" 2>&1; }
verdict() { attr "$1" verdict; }
holders() { attr "$1" holders | xargs -n 1 | sort -n | xargs; }

info_path() {
	local name=${1#*/}
	if [ "${1%%/*}" = posix ]; then
		name=${name//%/%25}
		name=${name//\//%2F}
	fi
	echo "$where/info/${1%%/*}/$name"
}

# info FILE: all of it; with a KEY its values, one a line.
info() {
	if [ $# -eq 1 ]; then
		cat "$(info_path "$1")"
	else
		sed -n "s/^$2:[[:blank:]]*//p" "$(info_path "$1")"
	fi
}

orphan_path() {
	local name=${1#*/}
	name=${name//%/%25}
	echo "$where/orphans/${1%%/*}-${name//\//%2F}"
}

# A name that was listed once stays for a while, so that rm of it can say what is the matter:
# what counts is the listing.
orphan() {
	local path
	path=$(orphan_path "$1")
	# shellcheck disable=SC2010
	ls "$where/orphans" | grep -qxF -e "${path##*/}" && echo yes || echo no
}

# All that the mount says of a file, in one line.
state() {
	local file=$1
	echo "verdict: $(verdict "$file"); info: $(info "$file" Verdict | sed 's/ *(.*//'); holders: $(holders "$file"); info: $(info "$file" Holder | awk '{ print $1 }' | sort -n | xargs); orphan: $(orphan "$file")"
}

row() {
	local name=$1 file=$2 want=$3 is_orphan=no got
	shift 3
	[ "$want" = orphaned ] && is_orphan=${listed:-yes}
	local pids
	pids=$(printf '%s\n' "$@" | sort -n | xargs)
	got=$(state "$file")
	if ! is "$got" "verdict: $want; info: $want; holders: $pids; info: $pids; orphan: $is_orphan" "$name: $want"; then
		case $got in
		"verdict: $want; info: $want; "*"; orphan: $is_orphan") ;;
		*) false_verdicts=$((false_verdicts + 1)) ;;
		esac
		diag "$(info "$file" 2>&1)"
	fi
}

no_false_verdicts() { is "$false_verdicts" 0 "false verdicts: $false_verdicts"; }

# how FILE PID: what its line in info/ says, in single blanks
how() { info "$1" Holder | tr -s '[:blank:]' ' ' | grep "^$2 "; }
