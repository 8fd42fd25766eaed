#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A failure concerns the program that asked, or segfs, and nobody else. (with-mount -n)
. "$(dirname "$0")/lib.sh"

# start [COMMAND PREFIX...]
# shellcheck disable=SC2120
start() { segfs_start "$MNT" "$SEGFS_OPTIONS" "$@"; }

# kill -9 while a segment is filled: it has the mode that it is to have once it is whole, and not before.
head -c 64M /dev/zero | tr '\0' i >"$TESTDIR/image"
chmod 640 "$TESTDIR/image"
is_made() { [[ $(</proc/sysvipc/shm) == *$'\n       119 '* ]]; }
wrong=0 cut=0
for round in $(seq 12); do
	start || break
	as_user 0 cp "$TESTDIR/image" "$MNT/key/0x77" 2>/dev/null &
	copy=$!
	until is_made || ! kill -0 $copy 2>/dev/null; do :; done
	kill -KILL "${segfs_pid[$MNT]}"
	wait "${segfs_pid[$MNT]}" $copy 2>/dev/null
	unset "segfs_pid[$MNT]"
	umount -l "$MNT"
	id=$(awk '$1 == 119 { print $2 }' /proc/sysvipc/shm)
	if [ "$(ipc_table perms "$id")" = 640 ]; then
		do_ops "shmat a $id SHM_RDONLY" "peek a 0 1" "peek a $(((64 << 20) - 1)) 1" | tail -n 2 | grep -qvx i && wrong=$((wrong + 1))
	else
		cut=$((cut + 1))
	fi
	ipcrm -m "$id"
done
is $wrong 0 "killed while it fills a segment: none is left that looks whole and is not"
isnt $cut 0 "(it was killed in the middle $cut times of 12)"

# kill -9 in mid-write: every page is old or new, and nothing else is touched.
size=$((16 << 20))
id=$(mkseg $size 0640 0xf01)
other=$(mkseg 10000 0600 0xf02)
do_ops "shmat a $other" "fill a o" >/dev/null
head -c $size /dev/zero | tr '\0' a >"$TESTDIR/a"
head -c $size /dev/zero | tr '\0' b >"$TESTDIR/b"
agent A
tell A shmat a "$id" >/dev/null
past() { [ "$(tell A peek a "$1" 1)" = b ]; }
# Writes all the time, so that the end comes in the middle of a write.
write_on() {
	while dd if="$TESTDIR/b" of="$MNT/sysv/$id" bs=1M conv=notrunc status=none &&
		dd if="$TESTDIR/a" of="$MNT/sysv/$id" bs=1M conv=notrunc status=none; do
		:
	done 2>"$TESTDIR/dd.err"
}
for round in 1 2 3 4 5; do
	tell A fill a a >/dev/null
	if ! start; then
		tap_fail "round $round: segfs starts, on the directory where it was killed, too"
		break
	fi
	write_on &
	writer=$!
	# Some way into the write, each time another.
	until_true 20 past $((round * 2 << 20)) || diag "round $round: the write has not got that far"
	kill -KILL "${segfs_pid[$MNT]}"
	wait "${segfs_pid[$MNT]}" 2>/dev/null
	unset "segfs_pid[$MNT]"
	wait $writer
	like "$(cat "$TESTDIR/dd.err")" 'connected|abort|Input/output' "round $round: the writer is told"
	pages=$(tell A pages a a b)
	# A large memcpy(3) works on up to four pages at a time, with two daemon threads on twice that.
	like "$pages" ' mixed=[0-8] other=0$' \
		"round $round: killed in mid-write, each byte is old or new ($pages)"
	is "$(ipc "$id" size) $(ipc "$id" mode) $(ipc "$id" nattch)" "$size 640 1" "round $round: the segment is as it was otherwise"
	is "$(do_ops "shmat a $other" "peek a 0 10000" | tail -n 1)" 'o{10000}' "round $round: another segment is untouched"
	fails_with ENOTCONN "round $round: the dead mount says so" stat "$MNT/README"
done
ok "mounted again by segfs itself" start
ok "it reads" sh -c "cat '$MNT/sysv/$id' | tr -d ab | cmp - /dev/null"
ok "and writes" cp "$TESTDIR/b" "$MNT/sysv/$id"
is "$(tell A pages a a b)" "a=0 b=4096 mixed=0 other=0" "to the same segment"
# A pending creation dies with the daemon.
agent P
tell P open a "$MNT/key/0xf03" 'O_RDWR|O_CREAT' 0600 >/dev/null
tell P write a abc >/dev/null
kill -KILL "${segfs_pid[$MNT]}"
wait "${segfs_pid[$MNT]}" 2>/dev/null
unset "segfs_pid[$MNT]"
isnt "$(tell P close a)" "no answer" "close after the daemon was killed does not hang"
quit P
is "$(tail -n +2 /proc/sysvipc/shm | wc -l)" 2 "no segment was made by what was pending"
ok "in the background, too, it mounts over its dead predecessor" "$SEGFS" ${SEGFS_OPTIONS:+-o "$SEGFS_OPTIONS"} "$MNT"
ok "answers" test -s "$MNT/README"
ok "umount" umount "$MNT"
fails "and nothing is left below" segfs_mounted "$MNT"
quit A

# Out of descriptors: the program that asks gets an error; later requests work as before.
mkdir /dev/shm/many
"$SHMTOOL" run "mkfiles /dev/shm/many/f 300" >/dev/null
ids=()
for _ in $(seq 150); do ids+=("$(mkseg 4096 0600)"); done
ok "start with 64 descriptors" start prlimit --nofile=64:64
agent A
tell A shmat a "${ids[0]}" >/dev/null
for left in 0 1 2; do # that the first segment that is opened has
	tell A openmany "$MNT/posix/many/f%" 300 O_RDONLY >/dev/null
	for _ in $(seq $left); do tell A closeone >/dev/null; done
	unlike "$(cat "$MNT/sysv/${ids[0]}" 2>&1 >/dev/null)" "No such" "the first segment that is opened, with $left descriptors left: it does not say that it is gone"
	tell A closemany >/dev/null
done
ok "when there are some again it opens" cat "$MNT/sysv/${ids[0]}"
quit A
count_fds() { ls "/proc/${segfs_pid[$MNT]}/fd" | wc -l; }
is "$(ls -l "$MNT/posix/many" | grep -c '^-')" 300 "300 objects are listed with 64 descriptors"
is "$(ls -l "$MNT/sysv" | grep -c '^-')" $((${#ids[@]} + 2)) "so are the segments"
is "$(find "$MNT/posix/many" -type f -exec cat {} + | wc -c)" 0 "and read one after the other"
fds=$(count_fds)
agent A
result=$(tell A openmany "$MNT/posix/many/f%" 300 O_RDONLY)
like "$result" '^([0-9]+ (EMFILE|ENFILE)|300 ok)$' "opening 300 at once: an error of that kind, or success ($result)"
ok "segfs lives" segfs_alive "$MNT"
ok "and still answers a stat" timeout 20 stat "$MNT"
# May fail, must not hang.
for command in "ls $MNT/posix" "ls $MNT/sysv" "cat $MNT/sysv/${ids[0]}" "touch $MNT/posix/new" "truncate -s 1 $MNT/key/0xf10"; do
	timeout 20 $command >/dev/null 2>"$TESTDIR/err"
	isnt $? 124 "out of descriptors: '${command%% *} ${command##*/}' does not hang"
	unlike "$(cat "$TESTDIR/err")" 'Input/output|not connected' "nor says EIO"
done
tell A closemany >/dev/null
ok "closed, all works again" sh -c "ls '$MNT/posix' '$MNT/sysv' >/dev/null && cat '$MNT/posix/many/f7' '$MNT/sysv/${ids[3]}'"
result=$(tell A openmany "$MNT/sysv/${ids[0]}" 300 O_RDWR)
like "$result" '^([0-9]+ (EMFILE|ENFILE|ENOMEM)|300 ok)$' "one segment opened 300 times ($result)"
tell A closemany >/dev/null
n=0
for i in "${ids[@]}"; do
	answer=$(tell A openmany "$MNT/sysv/$i" 1 O_RDWR)
	[ "$answer" = "1 ok" ] || break
	n=$((n + 1))
done
like "$answer" '^(0 (EMFILE|ENFILE)|1 ok)$' "150 segments open at once: an error of that kind, or success (after $n: $answer)"
tell A closemany >/dev/null
quit A
few() { [ "$(count_fds)" -le $((fds + 4)) ]; }
ok "its descriptors are back where they were" until_true 20 few
ok "and it works" sh -c "cat '$MNT/posix/many/f8' '$MNT/sysv/${ids[4]}' && echo x >'$MNT/posix/many/new'"
segfs_stop_ok "$MNT" "ends cleanly"
is "$(tail -n +2 /proc/sysvipc/shm | awk '$7 != 0' | wc -l)" 0 "no attach is left"

# The program's own limit is the program's.
ok "start" start
like "$(prlimit --nofile=20:20 "$SHMTOOL" run "openmany $MNT/sysv/${ids[0]} 50 O_RDONLY" closemany | head -n 1)" '^1[0-9] EMFILE$' "a program out of its own descriptors: EMFILE"
ok "no one else" cat "$MNT/sysv/${ids[0]}"
fails_with EFBIG "RLIMIT_FSIZE of the caller" prlimit --fsize=1000 sh -c "trap '' XFSZ; head -c 5000 /dev/zero >'$MNT/posix/limited'"
segfs_stop_ok "$MNT" "ends cleanly"

# No memory, here: no room to attach in.
if sanitized; then
	skip "no room to attach" "a sanitizer takes all addresses there are"
else
	huge=$("$SHMTOOL" run "shmget 0 64G IPC_CREAT|SHM_NORESERVE|0600")
	ok "start with 2 GiB of addresses" start prlimit --as=2147483648
	fails_with ENOMEM "a segment of 64 GiB" head -c 1 "$MNT/sysv/$huge"
	fails_with ENOMEM "for writing" do_ops "open a $MNT/sysv/$huge O_RDWR"
	ok "smaller ones open" cat "$MNT/sysv/$id"
	is "$(stat -c %s "$MNT/sysv/$huge")" $((64 << 30)) "stat works"
	ok "rm works" rm "$MNT/sysv/$huge"
	segfs_stop_ok "$MNT" "ends cleanly"
fi
done_testing
