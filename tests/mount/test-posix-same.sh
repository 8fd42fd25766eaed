#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# posix/ answers as /dev/shm does, to the last errno: the operations of posix-ops.txt, by
# several users, once on a plain tmpfs and once through the mount. Nothing here knows what the
# right answer is; the kernel's tmpfs does.
. "$(dirname "$0")/lib.sh"

# $1: the other side, for trying this script itself against a second tmpfs.
mount_side=${1:-$MNT/posix}
native=$TESTDIR/native
mkdir "$native"
# The same options as with-mount gives to /dev/shm.
mount -t tmpfs -o mode=1777,nosuid,nodev segfs-test-native "$native"

long=$(printf 'n%.0s' $(seq 255))

ops_as() {
	local dir=$1 who=$2
	shift 2
	case $who in
	root) "$SHMTOOL" run -v -d "$dir" "$@" ;;
	A) as_user 20001 "$SHMTOOL" run -v -d "$dir" "$@" ;;
	B) as_user 20002 "$SHMTOOL" run -v -d "$dir" "$@" ;;
	G) as_user 20003 -G 20001,30001 "$SHMTOOL" run -v -d "$dir" "$@" ;;
	*) echo "who is $who?" ;;
	esac 2>&1
}

operations=0
while IFS= read -r line; do
	case $line in
	'#'* | '') continue ;;
	*O_TMPFILE*)
		if ! has_tmpfile; then
			skip "$line" "FUSE of this kernel has no O_TMPFILE"
			continue
		fi
		;;
	[!A]*/dlink/*)
		if [ "$(cat /proc/sys/fs/protected_symlinks)" = 1 ]; then
			skip "$line" "fs.protected_symlinks: another's link on the way is followed in /dev/shm alone (test-sticky.sh)"
			continue
		fi
		;;
	esac
	who=${line%%:*}
	IFS=';' read -ra ops <<<"${line#*: }"
	for i in "${!ops[@]}"; do
		ops[i]=${ops[i]# }
		ops[i]=${ops[i]//N255/$long}
		ops[i]=${ops[i]//N256/n$long}
	done
	ops_as "$native" "$who" "${ops[@]}" >"$TESTDIR/native.out" </dev/null
	ops_as "$mount_side" "$who" "${ops[@]}" >"$TESTDIR/mount.out" </dev/null
	if [ "$(wc -l <"$TESTDIR/native.out")" -ne ${#ops[@]} ]; then
		tap_fail "every operation of this line answers: $line"
		diag "$(tail -n 3 "$TESTDIR/native.out")"
		continue
	fi
	operations=$((operations + ${#ops[@]}))
	for i in "${!ops[@]}"; do
		is "$(sed -n "$((i + 1))p" "$TESTDIR/mount.out")" "$(sed -n "$((i + 1))p" "$TESTDIR/native.out")" \
			"$who: ${ops[i]:0:90} -> $(sed -n "$((i + 1))s/.* -> //p" "$TESTDIR/native.out" | cut -c1-60)"
	done
done <"$(dirname "$0")/posix-ops.txt"
diag "$operations operations compared"

# The files that are there in the end are the same, too.
tree() { (cd "$1" && find . -printf '%P %y %m %U %G %s %n %l\n' | sort); }
tree "$native" >"$TESTDIR/native.out"
tree "$mount_side" >"$TESTDIR/mount.out"
same "the same tree is left" "$TESTDIR/native.out" "$TESTDIR/mount.out"
umount "$native"
done_testing
