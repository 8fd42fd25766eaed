# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# For tests of calls that hang; sourced after lib.sh. Skips the test where a user cannot make one hang.
#
#   hang NAME [PREFIX... --] ARGUMENTS   user 4001 makes calls hang (see hang.c), until end_hangs
#   end_hangs                            lets them go; at the latest after 100 s, and with the test
#   quick NAME CMD...                    CMD ends with 0 and within ten seconds; the time goes to $took
#   waits_in_kernel                      a thread of the daemon does
#   as UID CMD...                        CMD as that user without groups
#   look_around UID [BUT...]             all that everybody may see, each quickly, but those directories

need setpriv
: "${HANG:?}"
control=$TESTDIR/control
mkdir "$control"
mount -t fusectl none "$control" 2>/dev/null || skip_all "no fusectl"
chmod 755 "$(dirname "$TESTDIR")"
chmod 1777 /dev/shm
as_user 4001 unshare --user --map-root-user true 2>/dev/null || skip_all "users may not make namespaces"

# Nothing is to stay in the kernel, whatever happens to this test. Once: a number is soon another mount's.
end_hangs() {
	local log
	for log in "$TESTDIR"/hang.*; do
		echo 1 >"$control/$(awk '/^connection/ { print $2 }' "$log")/abort"
		mv "$log" "${log/\/hang.//over.}"
	done 2>/dev/null
}
trap end_hangs EXIT
(sleep 100 && end_hangs) &
guard=$!

hang() {
	local log=$TESTDIR/hang.$1 prefix=()
	shift
	if [[ " $* " = *" -- "* ]]; then
		while [ "$1" != -- ]; do
			prefix+=("$1")
			shift
		done
		shift
	fi
	"${prefix[@]}" setpriv --reuid 4001 --regid 4001 --clear-groups "$HANG" "$@" >"$log" 2>&1 &
	until_true 20 grep -q ^hanging "$log" || diag "$(cat "$log")"
}

waits_in_kernel() { grep -q '^State:.D' "/proc/${segfs_pid[$MNT]}"/task/*/status; }

hangs_done() {
	end_hangs
	kill $guard
	umount "$control"
}

as() { setpriv --reuid "$1" --regid "$1" --clear-groups "${@:2}"; }

# Ten seconds instead of for ever; how long it took is said.
quick() {
	local name=$1 start=${EPOCHREALTIME/./}
	shift
	ok "$name" timeout -k 1 10 "$@"
	took+="${took:+, }$name $(((${EPOCHREALTIME/./} - start) / 1000)) ms"
}

look_around() {
	local user=$1 directory file
	shift
	took=
	for directory in . sysv key posix orphans unlinked info info/sysv info/posix; do
		[[ " $* " = *" $directory "* ]] ||
			quick "$user lists $directory" setpriv --reuid "$user" --regid "$user" --clear-groups ls -l "$MNT/$directory"
	done
	for file in limits segments.json metrics "sysv/$id"; do
		quick "$user reads ${file%/*}" setpriv --reuid "$user" --regid "$user" --clear-groups cat "$MNT/$file"
	done
	diag "$took"
}
