# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# For tests of ns/; sourced after lib.sh and lib-holders.sh.
#
#   container NAME [PREFIX...] [-- OPTION...]   an agent in an IPC, a mount and a pid namespace of
#                                its own, with its own tmpfs on /dev/shm; options for unshare
#   containers                   A, B, U and P, with all=(A B U P)
#   ${pid[NAME]}                 its shmtool, by its number here
#   ${inum[NAME]}, ${ns[NAME]}   the number of its IPC namespace, and its directory
#   inside NAME CMD...           CMD in its IPC namespace, as root of the host, in our others
#   in_shm NAME CMD...           the same in its mount namespace, too, with /dev/shm to work in
#   inner NAME FIELD ID          a field of IPC_STAT there
#
# A mount that is made while containers live is not in them: it can be ended without them.

declare -A pid inum ns

ipc_inum() { readlink "/proc/$1/ns/ipc" | tr -dc 0-9; }

container() {
	local name=$1 prefix=()
	shift
	while [ $# -gt 0 ] && [ "$1" != -- ]; do
		prefix+=("$1")
		shift
	done
	shift
	# Our mount stays where it is: a copy in there would outlive its end. (Where the user
	# namespace is another one, it cannot be taken away.)
	agent "$name" "${prefix[@]}" unshare "$@" --ipc --mount --pid --fork --kill-child sh -c \
		'umount -l "$0" 2>/dev/null; mount -t tmpfs -o mode=1777 none /dev/shm && exec "$@"' "$MNT"
	pid[$name]=$(child_of "${agent_process[$name]}")
	inum[$name]=$(ipc_inum "${pid[$name]}")
	ns[$name]=$MNT/ns/${inum[$name]}
}

# Three of them, one with a user namespace, and one of a plain user where they may: their names are in $all.
containers() {
	container A --
	container B --
	container U -- --user --map-root-user
	all=(A B U)
	if as_user 20001 unshare --user --map-root-user true 2>/dev/null; then
		container P setpriv --clear-groups --reuid 20001 --regid 20001 -- --user --map-root-user
		all+=(P)
	else
		skip "one of a plain user" "they may not make one here"
	fi
}

inside() {
	local name=$1
	shift
	nsenter --target "${pid[$name]}" --ipc "$@"
}

in_shm() {
	local name=$1
	shift
	nsenter --target "${pid[$name]}" --ipc --mount sh -c 'cd /dev/shm && exec "$@"' sh "$@"
}

inner() {
	local line
	line=" $(inside "$1" "$SHMTOOL" run "ipcstat $3")"
	line=${line##* "$2"=}
	echo "${line%% *}"
}

numbers() { printf '%s\n' "$@" | sort -n | xargs; }
