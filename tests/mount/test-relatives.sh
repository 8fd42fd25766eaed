#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What nobody has just now, but somebody may want again: it is idle, and never in orphans/. (-o orphan_age=1)
# As whatever an init starts: what leads no session may have been another's child (process.h).
read -ra stat <"/proc/$$/stat"
[ "${stat[5]}" = $$ ] || exec setsid --wait "$0" "$@"
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib-holders.sh"
. "$(dirname "$0")/lib-relatives.sh"
need getfattr python3
: "${SERVER:?}"

shm=/dev/shm orphans=$MNT/orphans
chmod 1777 "$shm"

diag "--- a server has memory that nobody has attached just now"
for kind in sysv posix; do
	hold A "$SERVER" $kind server
	a=$(held A) first=$(held A 2) second=$(held A 3)
	aged
	row "$kind: the piece that it holds" "$kind/$first" "in use" "$a"
	idle "$kind: the piece that it does not" "$kind/$second" "; $a \(server\) of its owner, older than it, holds another; its creator is not known"
	fails "$kind: it is not in orphans/" test -e "$orphans/$kind-$second"
	rm -f "$orphans"/*
	is "$(tell A again)" there "$kind: rm mnt/orphans/* breaks nobody"
	hold B "$SERVER" $kind server
	both="$kind-$first $kind-$second $kind-$(held B 2) $kind-$(held B 3)"
	aged
	is "$(ls "$orphans")" "" "$kind: of two servers none is an orphan"
	killed A
	aged
	# The dead one's may be: what counts is that the live one's are not.
	is "$(ls "$orphans" | grep -cxE "$kind-($(held B 2)|$(held B 3))")" 0 "$kind: one is killed: nothing of the other's is an orphan"
	rm -f "$orphans"/*
	is "$(tell B again)" there "$kind: nor removed"
	left=$(ls "$MNT/$kind" | sed "s/^/$kind-/" | xargs)
	is "$(comm -13 <(tr ' ' '\n' <<<"$both" | sort) <(tr ' ' '\n' <<<"$left" | sort))" "" "$kind: (what is left is theirs)"
	killed B
	# shellcheck disable=SC2086
	ok "$kind: both are dead: all of it is" until_true 20 orphans_are $left
	ok "$kind: rm" rm "$orphans"/*
done

diag "--- where the creator was seen alive its family is known"
hold A "$SERVER" sysv slow
first=$(held A 2) second=$(held A 3)
row "its creator lives" "sysv/$second" "in use" "$(child_of "$(held A)")"
is "$(tell A end child)" ended "it ends"
aged
idle "its parent is of the same program" "sysv/$second" "; its creator's parent $(held A) \(server\) lives"
is "$(tell A again)" there "it is there"
# Another of the program: no relative, however long it lives.
hold B "$SERVER" sysv job
verdict "sysv/$(held B 2)" >/dev/null
killed A
ok "a dead server's is an orphan while another of the program runs" until_true 20 orphans_are "sysv-$first" "sysv-$second"
ok "rm" rm "$orphans"/*
hold C "$SERVER" sysv job
row "a second job" "sysv/$(held C 2)" "in use" "$(held C)"
seen=$(held C 2)
killed C
ok "which was seen: what it leaves is an orphan while the first one runs" until_true 20 orphans_are "sysv-$seen"
ok "rm" rm "$orphans"/*
hold C "$SERVER" sysv job
unseen=$(held C 2)
killed C
aged
idle "which was not seen: it is not certain" "sysv/$unseen" "; $(held B) \(server\) of its owner, older than it, holds another; its creator is not known"
kept=$(held B 2)
killed B
ok "until the first has ended" until_true 20 orphans_are "sysv-$unseen" "sysv-$kept"
ok "rm" rm "$orphans"/*

hold A "$SERVER" sysv heir
heirs=$(held A 2)
row "its creator lives" "sysv/$heirs" idle
is "$(tell A end parent)" ended "it ends"
aged
idle "a child of it lives" "sysv/$heirs" "; its creator's child $(held A) \(server\) lives"
drop A
ok "and has ended" until_true 20 orphans_are "sysv-$heirs"
ok "rm" rm "$orphans"/*

# Its creator was of another program, and unseen; a child of a living one was the last to use it.
id=$(mkseg 4096 0660)
cat >"$TESTDIR/user.py" <<-'END'
	import ctypes, os, sys
	libc = ctypes.CDLL(None)
	libc.shmat.restype, libc.shmdt.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
	if (child := os.fork()) == 0:
	    libc.shmdt(libc.shmat(int(sys.argv[1]), None, 0))
	    print("ready", os.getpid(), os.getppid(), flush=True)
	    sys.stdin.readline()
	    os._exit(0)
	os.waitpid(child, 0)
	print("ended", flush=True)
	sys.stdin.read()
END
hold A python3 "$TESTDIR/user.py" "$id"
row "its last user lives" "sysv/$id" idle
is "$(tell A end child)" ended "it ends"
aged
idle "its last user's parent is of the same program" "sysv/$id" "; its last user's parent $(held A 2) \(python3[.0-9]*\) lives"
drop A
ok "and has ended" until_true 20 orphans_are "sysv-$id"
ok "rm" rm "$orphans"/*

diag "--- a creator that was seen, but after its own parent had ended"
hold A python3 "$(dirname "$0")/../programs/adopted.py"
row "its creator lives" "sysv/$(held A 2)" idle
is "$(tell A end child)" ended "it ends"
aged
idle "the server that it came from is no relative that is known" "sysv/$(held A 2)" "; $(held A) \(python3[.0-9]*\) of its owner, older than it, holds another; its creator is not known"
drop A
ok "when that has ended it is an orphan" until_true 20 test -e "$orphans/sysv-$(held A 2)"
rm -f "$orphans"/*

diag "--- where it was not seen, who has something like it"
# like NAME VERDICT OLDER_ID NEW_ID: what that process holds, and the segment of nobody's
other=$(mkseg 4096 0640)
hold A "$HOLDERS" attach "$other"
past "$(kernel_second)"
same=$(mkseg 4096 0640) mode=$(mkseg 4096 0600) user=$(mkseg -u 20001 4096 0640)
aged
idle "of the same owner and mode" "sysv/$same" "; $(held A) \(holders\) of its owner, older than it, holds another; its creator is not known"
row "of another mode" "sysv/$mode" orphaned
row "of another owner" "sysv/$user" orphaned
is "$(as_user 20001 sed -n 's/^Evidence:\t//p' "$MNT/info/sysv/$same")" "nobody holds it; a process of its owner, older than it, holds another; its creator is not known" "to others it is not named"
drop A
row "when that has ended" "sysv/$same" orphaned
hold A "$HOLDERS" attach "$other"
row "nor is it one that is younger" "sysv/$same" orphaned
drop A
rm -f "$orphans"/*
if hold A unshare --ipc "$HOLDERS" make 4096 attach; then
	past "$(kernel_second)"
	elsewhere=$(mkseg 4096 0600)
	aged
	row "nor what is held in another IPC namespace" "sysv/$elsewhere" orphaned
	drop A
fi
given=$(mkseg -u 20001 4096 0640)
hold A as_user 20001 "$HOLDERS" attach "$given"
past "$(kernel_second)"
mine=$(mkseg -u 20001 4096 0640)
chown 0:0 "$MNT/sysv/$given" "$MNT/sysv/$mine"
chmod 0640 "$MNT/sysv/$given" "$MNT/sysv/$mine"
aged
idle "of the user who made it" "sysv/$mine" "; $(held A) \(holders\) of its creator's user, older than it, holds another"
drop A
rm -f "$orphans"/*

for name in job.1 other; do head -c 100 /dev/zero >"$shm/$name"; done
hold A "$HOLDERS" open "$shm/job.1"
past "$(kernel_second)"
for name in job.22 job.x job jobs.1 7; do head -c 100 /dev/zero >"$shm/$name"; done
as_user 20001 sh -c "head -c 100 /dev/zero >$shm/job.3"
aged
idle "an object whose name begins alike" posix/job.22 "; $(held A) \(holders\) of its owner, older than it, holds another; its creator is not known"
for name in other job.x job jobs.1 7; do row "another name: $name" "posix/$name" orphaned; done
row "another owner" posix/job.3 orphaned
ok "rm mnt/orphans/*" rm "$orphans"/*
is "$(ls "$shm" | xargs)" "job.1 job.22" "leaves what is not there"
drop A
ok "and then that" until_true 20 orphans_are posix-job.1 posix-job.22
ok "rm" rm "$orphans"/*
is "$(ls "$MNT/sysv")$(ls "$shm")" "" "nothing is left"

diag "--- what is kept on purpose"
kept=$TESTDIR/kept
mkdir "$kept"
printf '# a comment\n\n  cache-* # warm between two runs  \nkey/0x0000abc?\n' >"$TESTDIR/keep"
segfs_start "$kept" "${SEGFS_OPTIONS:+$SEGFS_OPTIONS,}orphan_age=1,keep=state,keep=sub/*,keep_file=$TESTDIR/keep" || done_testing
mkdir "$shm/sub"
for name in libpod_lock libpod_rootless_lock_1000 lttng-ust-wait-8 lttng-ust-wait-8-1000 jack-shm-registry state statement cache-1 sub/a; do
	head -c 100 /dev/zero >"$shm/$name"
done
keyed=$(mkseg 4096 0600 0xabc1) unkept=$(mkseg 4096 0600 0xabd1)
aged
where=$kept
idle "podman's locks" posix/libpod_lock "; kept: the locks of podman's containers \(posix/libpod_lock\)"
for name in libpod_rootless_lock_1000 lttng-ust-wait-8 lttng-ust-wait-8-1000 jack-shm-registry; do
	row "what is known to be kept: $name" "posix/$name" idle
done
idle "by -o keep" posix/state "; kept: state$"
idle "by another one" posix/sub/a "; kept: sub/\*$"
idle "by a file, with the reason" posix/cache-1 "; kept: warm between two runs \(cache-\*\)"
idle "a segment by its key" "sysv/$keyed" "; kept: key/0x0000abc\?"
row "what only begins so" posix/statement orphaned
row "another key" "sysv/$unkept" orphaned
where=$MNT
row "without the options" posix/state orphaned
row "what is known is kept all the same" posix/libpod_lock idle
hold A "$HOLDERS" open "$shm/libpod_lock"
where=$kept row "who holds it goes first" posix/libpod_lock "in use" "$(held A)"
drop A
segfs_stop_ok "$kept" "it ends cleanly"
fails "a file that is not there" timeout 20 "$SEGFS" -o "keep_file=$TESTDIR/none" "$kept"
rm -r "$shm"/* "$MNT/sysv"/*

diag "--- what only the kernel holds"
for name in file twin program; do head -c 100 /dev/zero >"$shm/$name"; done
mkdir "$shm/sub" && head -c 100 /dev/zero >"$shm/sub/file"
ln "$shm/twin" "$shm/other name"
: >"$TESTDIR/there"
aged
row "not mounted yet" posix/file orphaned
bound() { hold A unshare --mount sh -c 'mount --bind "$0" "$1" && exec "$2" wait' "$1" "$TESTDIR/there" "$HOLDERS"; }
bound "$shm/file"
row "mounted in another mount namespace" posix/file "in use"
like "$(evidence posix/file)" "itself mounted" "why"
row "one of the same name elsewhere is not" posix/sub/file orphaned
mv "$shm/file" "$shm/renamed"
row "under a new name" posix/renamed "in use"
drop A
ok "not any more" until_true 20 test -e "$orphans/posix-renamed"
bound "$shm/other name"
row "mounted by another of its names" posix/twin "in use"
drop A
cp "$(command -v sleep)" "$shm/program" && chmod 755 "$shm/program"
"$shm/program" 600 &
runs=$!
row "a program that runs" posix/program "in use" "$runs"
kill "$runs"
wait "$runs" 2>/dev/null
truncate -s 1M "$shm/disk"
if loop=$(losetup -f --show "$shm/disk" 2>/dev/null); then
	row "behind a loop device" posix/disk "in use"
	losetup -d "$loop"
else
	skip "behind a loop device" "none can be made"
fi
ok "nothing holds them" until_true 20 test -e "$orphans/posix-disk"
rm -r "${shm:?}"/*
no_false_verdicts
done_testing
