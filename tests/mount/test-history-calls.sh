#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Who makes, attaches, detaches and removes a segment, as it happens: function probes, where the kernel has them. (with-mount -n)
# An argument "kprobes": by those, of a daemon that believes that its kernel refuses fentry.
. "$(dirname "$0")/lib.sh"
way=${1-fentry}
: "${NO_FENTRY:?}"
need ipcmk ipcrm python3 unshare

calls=$(dirname "$0")/../programs/calls.py
has_value() { [[ $(value "$1" "$2") == $3 ]]; }
value() { sed -n "s/^$2:\t//p" "$MNT/info/$1"; }
ns=$(stat -Lc %i /proc/self/ns/ipc)
# Others of the host have other namespaces.
events() { grep -E "Z $1 sysv/$2 .*\bns=$ns\b" "$MNT/events"; }
count() { events "$@" | wc -l; }
has_events() { [ "$(count "$1" "$2")" -ge "$3" ]; }
# gone SHMID KEY: of the last one of that number
gone() { sed -n "s/^$2:\t//p" "$MNT/gone/$(ls "$MNT/gone" | grep "^sysv-$1\." | sort -t. -k2n | tail -n 1)"; }

start=() what="; function probes"
if [ "$way" = kprobes ]; then
	! sanitized || skip_all "what is preloaded does not go with sanitizers"
	[ -e /sys/bus/event_source/devices/kprobe/type ] || skip_all "this kernel has no kprobes"
	start=(LD_PRELOAD="$NO_FENTRY")
fi
# Older kernels do not stand the others in a pid namespace, such as this test has.
[ "$way" != kprobes ] && linux_is 6 9 || what="; function probes (kprobes)"
ok "it mounts" segfs_start "$MNT" "" "${start[@]}" || done_testing
told=$(history_told)
if [[ $told != *"; function probes"* ]]; then
	like "$told" "no (function )?probes: [A-Z][^;]+" "the line at start says why there are no function probes"
	like "$(value "sysv/$(mkseg 4096 0600)" History)" "no (function )?probes: [A-Z][^;]+" "so does History"
	skip "function probes" "$(sed -E 's/.*(no (function )?probes: [^;]*).*/\1/' <<<"$told")"
	segfs_stop_ok "$MNT" "it ends"
	done_testing
fi
is "${told:$((${#told} - ${#what}))}" "$what" "each that is attached runs"
# 38 and 39: CAP_PERFMON, CAP_BPF.
is $((0x$(sed -n 's/^CapPrm:[[:space:]]*//p' "/proc/${segfs_pid[$MNT]}/status") >> 38 & 3)) 0 "the daemon has not what it would take besides"
unlike "$(cat "$MNT/events")" "program=segfs " "what was done to try them is no event"

diag "--- ten rounds"
python3 "$calls" rounds 10 >"$TESTDIR/rounds"
is $? 0 "ten rounds"
cat "$MNT/events" >"$TESTDIR/events"
if grep -q 'Z lost events ' "$TESTDIR/events"; then
	skip "exact counts" "other programs of this host have filled the ring meanwhile"
	segfs_stop_ok "$MNT" "it ends"
	done_testing
fi
pid=$(events create "$(head -n 1 "$TESTDIR/rounds" | cut -d' ' -f1)" | sed -n 's/.* pid=\([0-9]*\) .*/\1/p')
while read -r shmid child; do
	is "$(count create "$shmid") $(count attach "$shmid") $(count detach "$shmid") $(count remove "$shmid") $(count gone "$shmid")" "1 2 2 1 1" "segment $shmid: made, attached and detached by two, removed, gone"
	is "$(events '[a-z]*' "$shmid" | sed -nE 's/.*Z ([a-z]*) .* pid=([0-9]*) program=python3[^ ]* .*/\1 \2/p' | xargs)" \
		"create $pid attach $pid attach $pid detach $child detach $pid remove $pid gone $pid" "each by whom, in that order"
done <"$TESTDIR/rounds"
shmid=$(tail -n 1 "$TESTDIR/rounds" | cut -d' ' -f1)
is "$(wc -l <"$TESTDIR/rounds")" 10 "ten segments"
like "$(events attach "$shmid" | tail -n 1)" " by=fork " "the child had it from its birth"
like "$(events detach "$shmid" | head -n 1)" " end=\"exit status 0\" " "and ended with it"
like "$(events create "$shmid")" " uid=0 command=\"python3 $calls rounds 10\" ns=$ns size=16384$" "with its command line"
is "$(gone "$shmid" RemovedBy)" "$pid $(events create "$shmid" | sed 's/.* program=\([^ ]*\) .*/\1/'), user root, python3 $calls rounds 10" "gone/ has who removed it"
like "$(gone "$shmid" LastHolder)" "^$pid python3[^ ]*, detached 20" "and who has detached it last"

diag "--- in pieces"
counts() { echo "$(count create "$1") $(count attach "$1") $(count detach "$1") $(count remove "$1") $(count gone "$1")"; }
shmid=$(python3 "$calls" pieces)
ok "it is gone" until_true 10 has_events gone "$shmid" 1
is "$(counts "$shmid")" "1 2 2 1 1" "two attaches, one of which goes in pieces, are detached once each"

diag "--- a 32-bit caller"
: "${CALLS32:?}"
shmid=$("$CALLS32" 2>"$TESTDIR/why")
status=$?
if [ $status -ne 1 ]; then
	is "$status" 0 "all of its calls succeed"
	ok "its segment is gone" until_true 10 has_events gone "$shmid" 1
	is "$(counts "$shmid")" "1 1 1 1 1" "each of its calls is an event"
	is "$(events '[a-z]*' "$shmid" | grep -c " program=calls32 ")" 5 "of its own"
else
	skip "a 32-bit caller" "$(cat "$TESTDIR/why")"
fi

diag "--- a creator that runs another program before its end"
mkfifo "$TESTDIR/becomes"
python3 "$calls" exec <"$TESTDIR/becomes" >"$TESTDIR/made" &
creator=$!
exec {becomes}>"$TESTDIR/becomes"
is_cat() { [ "$(cat "/proc/$creator/comm")" = cat ]; }
ok "it has become another" until_true 20 is_cat
kill -KILL $creator
wait $creator 2>/dev/null
exec {becomes}>&-
shmid=$(cat "$TESTDIR/made")
ok "its end is known" until_true 20 has_value "sysv/$shmid" CreatorEnd "signal 9 (KILL), *"
like "$(value "sysv/$shmid" CreatorPid) $(value "sysv/$shmid" Creator) $(value "sysv/$shmid" CreatorCommand)" "^$creator \(ended\) python3[^ ]* python3 $calls exec$" "and who it was when it made it"
ok "ipcrm" ipcrm -m "$shmid"

diag "--- by another than its creator"
id=$(mkseg 8192 0600)
ok "who has made it" until_true 10 has_value "sysv/$id" CreatorCommand "$SHMTOOL run shmget 0 8192 *"
ok "ipcrm" ipcrm -m "$id"
like "$(gone "$id" RemovedBy)" "^[0-9]+ ipcrm, user root, ipcrm -m $id$" "who has removed it"
unlike "$(gone "$id" History)" "is not told" "nothing is missing"
like "$(events remove "$id")" " program=ipcrm uid=0 command=\"ipcrm -m $id\" " "the event says the same"

diag "--- a holder that is killed"
id=$(mkseg 8192 0600)
mkfifo "$TESTDIR/go"
python3 "$calls" die "$id" <"$TESTDIR/go" >"$TESTDIR/said" &
holder=$!
exec {go}>"$TESTDIR/go"
ok "somebody has it" until_true 20 grep -q attached "$TESTDIR/said"
is "$(value "sysv/$id" LastHolder)" "" "while somebody has it there is no last holder"
exec {go}>&-
wait $holder 2>/dev/null
ok "it is an event" until_true 10 has_events detach "$id" 1
like "$(value "sysv/$id" LastHolder)" "^$holder python3[^ ]*, signal 11 \(SEGV\) 20" "the last holder ended, by a signal 11"
ok "ipcrm" ipcrm -m "$id"

diag "--- the end of a namespace"
other=$(unshare --ipc sh -c 'ipcmk -M 12288 >/dev/null; stat -Lc %i /proc/self/ns/ipc')
of_other() { grep -E "Z $1 sysv/[0-9]+ .*\bns=$other .*\bsize=12288" "$MNT/events" | tail -n 1; }
has_gone() { [ -n "$(of_other gone)" ]; }
ok "its segment goes" until_true 20 has_gone
like "$(of_other create)" " program=ipcmk .* command=\"ipcmk -M 12288\" " "who had made it"
like "$(of_other gone)" "Z gone sysv/[0-9]+ by=\"end of namespace\" " "it is nobody's deed"
is "$(gone "$(of_other gone | sed 's/.* sysv\/\([0-9]*\) .*/\1/')" RemovedBy)" "the end of its IPC namespace" "so says gone/"

diag "--- memfds, and objects that are made larger"
# of_file FILE: "VERB PID SIZE" of its events
of_file() { sed -nE "s/^[^ ]*Z ([a-z]+) (\"[^\"]*\"|[^ ]+) pid=([0-9]+) .*size=([0-9]+)\$/\2 \1 \3 \4/p" "$MNT/events" | tr -d '"' | grep -F "$1 " | cut -d' ' -f$(($(wc -w <<<"$1") + 1))-; }
page=$(getconf PAGESIZE)
python3 "$calls" memfds 10 >"$TESTDIR/memfds"
is $? 0 "ten memfds"
while read -r inode child; do
	file="unlinked/memfd-a b%2Fc-$inode"
	ok "memfd $inode is gone" until_true 10 grep -q "Z gone \"$file\"" "$MNT/events"
	maker=$(of_file "$file" | sed -n 's/^create \([0-9]*\) .*/\1/p')
	is "$(of_file "$file" | xargs)" "create $maker 0 resize $maker $((3 * page)) resize $maker $page gone $child $page" "made, resized twice, and gone with its last holder"
done <"$TESTDIR/memfds"
inode=$(tail -n 1 "$TESTDIR/memfds" | cut -d' ' -f1)
like "$(grep "Z create \"unlinked/memfd-a b%2Fc-$inode\"" "$MNT/events")" " program=python3[^ ]* uid=0 command=\"python3 $calls memfds 10\" inode=$inode size=0$" "with the command line of who made it"
python3 "$calls" memfd-die <"$TESTDIR/go" >"$TESTDIR/said" &
holder=$!
exec {go}>"$TESTDIR/go"
ok "another one" until_true 20 test -s "$TESTDIR/said"
exec {go}>&-
wait $holder 2>/dev/null
inode=$(cat "$TESTDIR/said")
ok "goes with who made it" until_true 10 grep -q "Z gone unlinked/memfd-dies-$inode " "$MNT/events"
like "$(grep "Z gone unlinked/memfd-dies-$inode " "$MNT/events")" " pid=$holder program=python3[^ ]* uid=0 end=\"signal 11 \(SEGV\)\" " "which ended by a signal 11"
if [[ $told == *"nothing of /dev/shm"* ]]; then
	skip "objects that are made larger" "$(sed -E 's/.*(nothing of [^;]*).*/\1/' <<<"$told")"
else
	mkdir /dev/shm/below
	truncate -s 12345 /dev/shm/below/grows
	like "$(grep "Z resize posix/below/grows " "$MNT/events")" " program=truncate uid=0 inode=[0-9]+ size=12345$" "an object is made larger: by whom, and how large"
	exec 7<>/dev/shm/below/grows
	rm /dev/shm/below/grows
	truncate -s 0 /proc/self/fd/7
	like "$(grep "Z resize unlinked/posix-grows-" "$MNT/events")" " program=truncate uid=0 inode=[0-9]+ size=0$" "one without a name, too"
	exec 7<&-
fi
mkdir "$TESTDIR/other"
mount -t tmpfs none "$TESTDIR/other"
truncate -s 54321 "$TESTDIR/other/grows"
umount "$TESTDIR/other"
is "$(grep -c "size=54321" "$MNT/events")" 0 "nothing is told of another tmpfs"

segfs_stop_ok "$MNT" "it ends"
done_testing
