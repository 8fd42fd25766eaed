#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Segments come and go while they are listed, opened and read.
. "$(dirname "$0")/lib.sh"

sysv=$MNT/sysv

# While others make and remove segments, a segment that stays is always listed, and no listing fails.
stay=()
for _ in $(seq 50); do
	stay+=("$(mkseg 4096 0600)")
done
want=$(printf '%s\n' "${stay[@]}" | sort -n | xargs)
missing=0 failed=0 strange=0
agent C1
agent C2
for _ in $(seq 20); do
	send C1 churn 3000 4096
	send C2 churn 3000 8192
	for _ in 1 2 3; do
		listed=$(ls -U "$sysv") || failed=$((failed + 1))
		# None of ours missing, none twice.
		[ "$(printf '%s\n' "$listed" | sort -n | uniq -c | awk -v w="$want" '
			BEGIN { n = split(w, a, " "); for (i = 1; i <= n; i++) mine[a[i]] = 1 }
			$2 in mine && $1 == 1 { found++ } END { print found + 0 }')" = 50 ] || missing=$((missing + 1))
		# A file that went away between listing and stat is ENOENT, and nothing else.
		find "$sysv" -mindepth 1 -printf '%P %s %m\n' 2>"$TESTDIR/find.err" >/dev/null
		grep -vq 'No such file or directory' "$TESTDIR/find.err" && strange=$((strange + 1))
		cat "$sysv"/* >/dev/null 2>"$TESTDIR/cat.err"
		grep -vq 'No such file or directory' "$TESTDIR/cat.err" && strange=$((strange + 1))
	done
	[ "$(answer C1 60)" = 3000 ] || diag "churn 1 failed"
	[ "$(answer C2 60)" = 3000 ] || diag "churn 2 failed"
done
is "$failed" 0 "60 listings while segments come and go: none fails"
is "$missing" 0 "none misses a segment that stayed, or has it twice"
is "$strange" 0 "find and cat meet only segments that have gone: ENOENT"
diag "$(head -n 3 "$TESTDIR/find.err" "$TESTDIR/cat.err")"
quit C1
quit C2
for id in "${stay[@]}"; do ipcrm -m "$id"; done
is "$(ls "$sysv")" "" "in the end all are gone"
for i in $(seq 20); do
	id=$(mkseg 100 0600)
	[ -e "$sysv/$id" ] || tap_fail "made $i: seen at once"
	ipcrm -m "$id"
	[ ! -e "$sysv/$id" ] || tap_fail "removed $i: gone at once"
done
tap_pass "twenty made and removed, each seen at once"

# An open file keeps its memory.
id=$(mkseg 10000 0600 0x901)
do_ops "shmat a $id" "poke a 0 old-bytes" >/dev/null
agent A
tell A open a "$sysv/$id" O_RDWR >/dev/null
tell A open r "$sysv/$id" O_RDONLY >/dev/null
ipcrm -m "$id"
is "$(tell A pread a 0 9)" "9:old-bytes" "open for writing, then ipcrm: still read"
is "$(tell A pread r 0 9)" "9:old-bytes" "open for reading, then ipcrm: still read"
is "$(tell A pwrite a 0 OLD) $(tell A pread r 0 9)" "3 9:OLD-bytes" "written, and both see it"
is "$(tell A pwrite a 9999 xyz) $(tell A pwrite a 10000 x)" "1 ENOSPC" "and it still ends where it ended"
like "$(tell A fstat a)" " size=10000 " "fstat knows the size"
is "$(tell A lseek r 0 SEEK_END)" 10000 "so does lseek"
fails_with ENOENT "by name it is gone" stat "$sysv/$id"
quit A
is "$(tail -n +2 /proc/sysvipc/shm | wc -l)" 0 "with the last close the memory is gone"

# The same id, used again: shm_next_id gives a chosen one.
again() {
	echo "$1" >/proc/sys/kernel/shm_next_id
	mkseg "$2" 0600 "${3:-0}"
}
id=$(again 77 4096 0x902)
is "$id" 77 "an id of one's choice"
do_ops "shmat a $id" "poke a 0 first" >/dev/null
is "$(head -c 5 "$sysv/$id")" first "the first segment"
agent A
tell A open a "$sysv/$id" O_RDWR >/dev/null
tell A open r "$sysv/$id" O_RDONLY >/dev/null
ipcrm -m "$id"
is "$(again 77 10000 0x902)" 77 "removed, and made again with the same id"
do_ops "shmat a $id" "poke a 0 second" >/dev/null
is "$(tell A pread a 0 6)" '6:first\x00' "who opened the first reads the first"
is "$(tell A pread r 0 6)" '6:first\x00' "also who opened it for reading only"
is "$(head -c 6 "$sysv/$id")" second "the path leads to the second"
is "$(stat -c %s "$sysv/$id")" 10000 "with its size"
is "$(head -c 6 "$MNT/key/0x902")" second "also by key"
like "$(tell A fstat a)" " size=4096 " "fstat of the old descriptor is the first"
tell A pwrite a 0 FIRST >/dev/null
is "$(head -c 6 "$sysv/$id")" second "what is written to the first is not in the second"
tell A open b "$sysv/$id" O_RDWR >/dev/null
is "$(tell A pread b 0 6) $(tell A pread a 0 5)" "6:second 5:FIRST" "both open at once"
is "$(tell A ftruncate a 0) $(head -c 6 "$sysv/$id")" "0 second" "truncate of the first leaves the second alone"
is "$(tell A fchmod a 0666 | sed 's/^[A-Z]*$/refused/'; ipc "$id" mode)" "$(printf 'refused\n600')" "chmod of the first is refused, the second keeps its mode"
quit A
is "$(head -c 6 "$sysv/$id")" second "the first closed, the second is there"
# Without any file open in between: no old size or bytes from a cache.
for i in $(seq 10); do
	ipcrm -m 77
	again 77 $((i * 1000)) >/dev/null
	do_ops "shmat a 77" "poke a 0 round$i" >/dev/null
	is "$(stat -c %s "$sysv/77") $(head -c 6 "$sysv/77") $(wc -c <"$sysv/77")" "$((i * 1000)) round${i:0:1} $((i * 1000))" "the same id again, $i"
done
# The same key, used again, with another id.
ipcrm -m 77
a=$(mkseg 100 0600 0x903)
cat "$MNT/key/0x903" >/dev/null
ipcrm -m "$a"
b=$(mkseg 200 0600 0x903)
is "$(stat -c %s "$MNT/key/0x903")" 200 "the same key again: the new segment at once"
ok "which is the file of its id" test "$MNT/key/0x903" -ef "$sysv/$b"

# A name that was listed a moment ago, of a segment that is gone and that somebody has open.
agent C
for call in "chmod FILE 0640" "chown FILE 0 0" "access FILE W_OK" "setxattr FILE user.segfs.locked 0"; do
	id=$(mkseg 4096 0600)
	tell C open r "$sysv/$id" O_RDONLY >/dev/null
	ls -l "$sysv" >/dev/null
	ipcrm -m "$id"
	is "$(tell C ${call//FILE/"$sysv/$id"})" ENOENT "${call%% *} of its name"
	is "$(tell C fchmod r 0640)" EIDRM "by a descriptor it is said what has become of it"
	tell C close r >/dev/null
done
quit C

# Opens, removals and re-creations against each other: every answer is one the direct calls would give.
strange=0
agent C
for _ in $(seq 300); do
	id=$(mkseg 4096 0600 0x904)
	send C open a "$sysv/$id" O_RDWR
	ipcrm -m "$id"
	case $(answer C) in
	0) tell C pread a 0 4 | grep -q '^4:' || strange=$((strange + 1)); tell C close a >/dev/null ;;
	ENOENT) ;;
	*) strange=$((strange + 1)) ;;
	esac
done
is "$strange" 0 "300 opens against removal: opened or ENOENT"
quit C
is "$(tail -n +2 /proc/sysvipc/shm | awk '$3 ~ /^1...$/' | wc -l)" 0 "no attach of segfs keeps a removed segment alive"
done_testing
