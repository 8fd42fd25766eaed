#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Who has made and removed what, also when nobody is left to ask. (with-mount -n)
. "$(dirname "$0")/lib.sh"
need ipcmk getfattr jq python3

# The text of info/ has a line, or lines, of that key.
value() { sed -n "s/^$2:\t//p" "$MNT/info/$1"; }
has_value() { [[ $(value "$1" "$2") == $3 ]]; }
# Others of the host leave segments meanwhile: their namespaces are others.
ns=$(stat -Lc %i /proc/self/ns/ipc)
event() { grep -E "Z $1( |\$)" "$MNT/events" | grep -E " ns=$ns | (create|remove|rename) | gone posix/" | tail -n 1; }
has_event() { [ -n "$(event "$1")" ]; }

ok "it mounts" segfs_start "$MNT" "" || done_testing
started=$(history_told)
isnt "$started" "" "the line at start says what is known: $started"
probes=yes
[[ $started == "the ends of tasks"* ]] || probes=no
names=yes
[[ $started == *"/dev/shm, since"* ]] || names=no

if [ $probes = yes ]; then
	id=$(mkseg 65536 0600 0xe01)
	ok "the end of its creator is known" until_true 10 has_value "sysv/$id" CreatorEnd "exit status 0, *"
	is "$(value "sysv/$id" Creator)" shmtool "Creator is the program"
	like "$(value "sysv/$id" CreatorCommand)" "^$(segment_line "$SHMTOOL run shmget 0xe01 65536 .*")$" "CreatorCommand is the command line"
	like "$(event "left sysv/$id")" "program=shmtool uid=0 .*end=\"exit status 0\" ns=[0-9]+ size=65536 key=0x00000e01$" "the event says the same"
	like "$(getfattr --only-values -n user.segfs.creator_command "$MNT/sysv/$id")" "^$(segment_line "$SHMTOOL run .*")$" "so does the xattr"
	is "$(jq -r ".segments[] | select(.shmid == $id) | [.creator, .creator_end] | join(\" \")" "$MNT/segments.json")" "shmtool exit status 0" "and segments.json"

	agent killed
	id=$(tell killed "shmget 0 4096 IPC_CREAT|0600")
	is "$(value "sysv/$id" CreatorEnd)" "" "while it lives it has no end"
	kill -9 "$(agent_pid killed)"
	ok "killed: signal 9" until_true 10 has_value "sysv/$id" CreatorEnd "signal 9 (KILL), *"
	is "$(value "sysv/$id" Creator)" shmtool "and its program"

	id=$(bash -c 'ipcmk -M 4096 >/dev/null; exec sh -c "exit 3"'; ipcs -m | awk '$2 ~ /^[0-9]+$/ { id = $2 } END { print id }')
	ok "made by a child: the child's end" until_true 10 has_value "sysv/$id" CreatorEnd "exit status 0, *"
	is "$(value "sysv/$id" Creator)" ipcmk "and the child's name"

	ok "removed" ipcrm -m "$id"
	gone=$(ls "$MNT/gone" | grep "^sysv-$id\.")
	isnt "$gone" "" "gone/ has the segment"
	removed=$(sed -n 's/^Creator:\t//p; s/^RemovedBy:\t//p' "$MNT/gone/$gone" | xargs)
	if [[ $started == *"; function probes"* ]]; then
		like "$removed" "^ipcmk [0-9]+ ipcrm, user root, ipcrm -m $id$" "who has made it, and removed it"
	else
		is "$removed" "ipcmk not known" "who has made it; who has removed it is not told"
		like "$(sed -n 's/^History:\t//p' "$MNT/gone/$gone")" "who removes a segment beside this mount is not told" "and says so"
	fi
	like "$(ls "$MNT/gone" | grep -c '^sysv-')" "^1$" "no other segment is gone"
	in_json() { jq -r ".gone[] | select(.shmid == $id and .namespace == $ns) | $1" "$MNT/segments.json"; }
	is "$(in_json '[.file, .kind, .size, .creator, .with_namespace] | @csv')" "\"sysv/$id\",\"sysv\",4096,\"ipcmk\",false" "segments.json has it"
	is "gone/sysv-$id.$(in_json .serial)" "gone/$gone" "and names its file"
	if [[ $started == *"; function probes"* ]]; then
		is "$(in_json '[.removed_by.command, .removed_by.user, .removed_by.cmdline, .removed_before] | @csv')" "\"ipcrm\",\"root\",\"ipcrm -m $id\",false" "who has removed it"
	else
		is "$(in_json '[.removed_by, .last_holder, .removed_before] | @csv')" ",,true" "who has removed it is not told"
	fi
	is "$(as_user 20001 cat "$MNT/segments.json" | jq -c '[.gone, (.segments | type)]')" '[null,"array"]' "another user is shown nothing of it, as of gone/"

	# 300 at once: everyone's own.
	(for ((i = 0; i < 300; i++)); do ipcmk -M $((4096 + i)) >/dev/null & done; wait)
	all_left() { [ "$(grep -c " left sysv/.* program=ipcmk .* ns=$ns " "$MNT/events")" -ge 301 ]; }
	if ! until_true 30 all_left && linux_is 7 0 && grep -q "Z lost events" "$MNT/events"; then
		skip "300 segments of 300 programs: 300 events" "this kernel has passed over the program for one (doc/kernels.md), and events says so"
	else
		ok "300 segments of 300 programs: 300 events" all_left
	fi
	wrong=0 command=$(segment_line "ipcmk -M SIZE")
	while read -r shmid size; do
		[ "$size" -ge 4096 ] && [ "$size" -lt 4396 ] || continue
		[[ $(getfattr --only-values -n user.segfs.creator_command "$MNT/sysv/$shmid" 2>/dev/null) =~ ^${command/SIZE/$size}$ ]] || wrong=$((wrong + 1))
	done < <(awk 'NR > 1 && $4 > 4096 { print $2, $4 }' /proc/sysvipc/shm)
	is $wrong 0 "each has its own command line"

	# Others of the host may leave something meanwhile.
	thread_switches() {
		local task
		for task in "/proc/${segfs_pid[$MNT]}"/task/*; do
			[ "$(cat "$task/comm")" != history ] || sed -n 's/^voluntary_ctxt_switches:\t//p' "$task/status"
		done
	}
	n_events() { sed -n 's/^segfs_events_total //p' "$MNT/metrics"; }
	before=$(thread_switches) events_before=$(n_events)
	for ((i = 0; i < 400; i++)); do /bin/true; done
	# It waits for one, and rests once it has read it.
	le "$(($(thread_switches) - before))" $((100 + 2 * ($(n_events) - events_before))) "400 programs that leave nothing do not wake it"
else
	skip "who left a segment" "$started"
fi

# Who ends at once may have done so before it could be read, where the kernel does not tell of it.
of() { if [ $probes = yes ]; then echo "$1"; else echo "($1|$2)"; fi; }
if [ $names = yes ]; then
	sh -c ": >/dev/shm/made; echo > '$TESTDIR/ready'; sleep 60 & echo \$! > '$TESTDIR/sleep'; wait" &
	maker=$!
	ok "a creation is an event" until_true 10 has_event create.posix/made
	is "$(value posix/made CreatorPid) $(value posix/made Creator)" "$maker sh" "CreatorPid and Creator"
	like "$(value posix/made CreatorCommand)" "^sh -c : >/dev/shm/made; echo" "CreatorCommand"
	until_true 10 test -s "$TESTDIR/sleep"
	kill -TERM "$maker"
	kill "$(cat "$TESTDIR/sleep")"
	[ $probes = no ] || ok "its end is known, too" until_true 10 has_value posix/made CreatorEnd "signal 15 (TERM), *"
	mv /dev/shm/made "/dev/shm/the other"
	ok "a renaming is an event" until_true 10 has_event 'rename "posix/the other"'
	like "$(event 'rename "posix/the other"')" "from=posix/made $(of ".*program=mv" "pid=[0-9]+ inode=")" "by whom"
	is "$(value "posix/the other" Creator)" sh "it is still that creator's"
	mkdir /dev/shm/below
	ln "/dev/shm/the other" /dev/shm/below/twin
	ok "a second name is an event" until_true 10 has_event create.posix/below/twin
	is "$(value posix/below%2Ftwin Creator)" sh "and has no other creator"
	rm "/dev/shm/the other" /dev/shm/below/twin
	ok "a removal is an event" until_true 10 has_event remove.posix/below/twin
	like "$(event remove.posix/below/twin)" "$(of "program=rm uid=0$(line ' command="rm .*') inode=" "pid=[0-9]+ inode=")" "by whom"

	exec 7<>/dev/shm/held
	rm /dev/shm/held
	ok "so is that of one that is held" until_true 10 has_event remove.posix/held
	is "$(event gone.posix/held)" "" "whose memory is not gone"
	exec 7<&-
	ok "until nobody holds it" until_true 10 has_event gone.posix/held

	gone=$(ls "$MNT/gone" | grep '^posix-below%2Ftwin\.')
	isnt "$gone" "" "gone/ has it"
	is "$(sed -n 's/^Creator:\t//p' "$MNT/gone/$gone")" sh "with who has made it"
	like "$(sed -n 's/^RemovedBy:\t//p' "$MNT/gone/$gone")" "^[0-9]+ $(of "rm, user root$(line ", rm /dev/shm/the other /dev/shm/below/twin")" "[(]ended before it could be read[)]")$" "and who has removed it"
	like "$(sed -n 's/^Removed:\t//p' "$MNT/gone/$gone")" "^20[0-9-]+ [0-9:]+ [+-][0-9]+$" "and when"
	of_twin() { jq -r ".gone[] | select(.file == \"posix/below/twin\") | $1" "$MNT/segments.json"; }
	is "$(of_twin '[.kind, .creator, .namespace, .serial] | @csv')" "\"posix\",\"sh\",$ns,${gone##*.}" "so has segments.json"
	like "$(of_twin '[.removed_by.command, .removed_by.user, .removed_by.cmdline] | @csv')" "^$(of "\"rm\",\"root\",$(line '"rm /dev/shm/the other /dev/shm/below/twin"')" ",,")$" "and who has removed it"
	fails_with EACCES "another user does not read it" as_user 20001 cat "$MNT/gone/$gone"
	fails_with EACCES "nor lists them" as_user 20001 ls "$MNT/gone"

	# Names that somebody has given to a program, so that it has none, or another user's. It is there
	# until its event was read, and has that name alone.
	cat >"$TESTDIR/named.py" <<-'END'
		import ctypes, os, sys
		name = (b"", b"rm, user root")[int(sys.argv[1])]
		ctypes.CDLL(None).prctl(15, name, 0, 0, 0)
		path = b"/dev/shm/by-%d" % len(name)
		os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
		os.unlink(path)
		os.read(0, 1)
	END
	mkfifo "$TESTDIR/go"
	for name in 0 1; do
		as_user 20001 /usr/bin/python3 "$TESTDIR/named.py" $name <"$TESTDIR/go" &
		exec 8>"$TESTDIR/go"
		until_true 10 has_event "remove.posix/by-$((name * 13))"
		exec 8>&-
		wait $!
	done
	ok "programs of any name" has_event remove.posix/by-13
	removed_by() { sed -n 's/^RemovedBy:\t//p' "$MNT/gone/$(ls "$MNT/gone" | grep "^posix-$1\.")"; }
	like "$(event remove.posix/by-0)" "$(of " program=\"\" uid=20001$(line ' command="/usr/bin/python3 .*') inode=" "pid=[0-9]+ inode=")" "one without a name is known"
	like "$(removed_by by-0)" "^[0-9]+ $(of "\"\", user 20001$(line ", /usr/bin/python3 .*")" "[(]ended before it could be read[)]")$" "gone/ has its user"
	like "$(removed_by by-13)" "^[0-9]+ $(of "rm\\\\054 user root, user 20001$(line ", /usr/bin/python3 .*")" "[(]ended before it could be read[)]")$" "and another's own, and not the one in its name"

	# A number that was given again, to another that has ended as well, before the event was read.
	again() {
		echo $(($1 - 1)) >/proc/sys/kernel/ns_last_pid && sh -c "echo \$\$ >'$TESTDIR/second'"
		[ "$(cat "$TESTDIR/second")" = "$1" ]
	}
	if [ -w /proc/sys/kernel/ns_last_pid ]; then
		: >/dev/shm/twice
		until_true 10 has_event create.posix/twice
		kill -STOP "${segfs_pid[$MNT]}"
		sh -c "echo \$\$ >'$TESTDIR/first'; exec rm /dev/shm/twice"
		first=$(cat "$TESTDIR/first")
		ok "a number is given again" until_true 20 again "$first"
		kill -CONT "${segfs_pid[$MNT]}"
		ok "what the first one did is an event" until_true 10 has_event remove.posix/twice
		like "$(event remove.posix/twice)" " remove posix/twice pid=$first (program=rm .*)?inode=" "and not the second one's"
	fi

	# Shells that have ended before anybody can look.
	(for ((i = 0; i < 200; i++)); do sh -c ": >/dev/shm/shell-$i" & done; wait)
	# Of what others of the host leave meanwhile events can have become events.1.
	lines_of() { cat "$MNT/events.1" "$MNT/events" 2>/dev/null | grep -E " create posix/$1-"; }
	all_made() { [ "$(lines_of shell | wc -l)" -eq 200 ]; }
	ok "200 objects of 200 shells: 200 events" until_true 30 all_made
	named() { lines_of shell | grep -E ' (program|command)='; }
	wrong=$(named | grep -vE ' create posix/shell-([0-9]+) pid=[0-9]+ program=sh uid=0 (command="sh -c : >/dev/shm/shell-\1" )?inode=')
	# The command line can be out of memory at the end; the program never is.
	[ $probes = no ] || le 190 "$(named | wc -l)" "at least 190 are known"
	is "$wrong" "" "and none a wrong one"

	# What runs another program at once, before anybody can look, too.
	python3 -c 'import os, sys
for i in range(200):
    pid = os.fork()
    if pid == 0:
        os.close(os.open(f"/dev/shm/before-{i}", os.O_CREAT | os.O_RDWR, 0o600))
        os.execlp("sh", "sh", "-c", f": >/dev/shm/after-{i}")
    os.waitpid(pid, 0)'
	all_followed() { [ "$(lines_of "(before|after)" | wc -l)" -eq 400 ]; }
	ok "200 that run another program: 400 events" until_true 30 all_followed
	if [ $probes = yes ] && linux_is 6 18; then
		is "$(lines_of before | grep -cE ' program=python[0-9.]* .* command="[^" ]*python[0-9.]* -c import')" 200 "all are of the first"
		is "$(lines_of after | grep -cE ' program=sh .* command="sh -c ')" 200 "and all of the second are of that"
	else
		skip "who has made them, with all command lines" "that takes probes, and Linux 6.18"
	fi
else
	skip "who made an object" "$started"
fi

like "$(grep '^segfs_events_total ' "$MNT/metrics")" "^segfs_events_total [0-9]+$" "metrics count events"
# Others of the host can leave more than there is room for.
like "$(grep '^segfs_events_lost_total ' "$MNT/metrics")" "^segfs_events_lost_total [0-9]+$" "and those that were lost"
fails_with EACCES "another user does not read events" as_user 20001 cat "$MNT/events"
fails_with EACCES "nobody writes to it" sh -c "echo x >>'$MNT/events'"
like "$(as_user 20001 sed -n 's/^History:\t//p' "$MNT/info/sysv/$(mkseg 4096 0600)")" "." "History is there for everybody"
segfs_stop_ok "$MNT" "it ends"
isnt "$(grep -c 'refused the system call' "$(segfs_log "$MNT")")" 1 "and was refused no call"

segfs_start "$MNT" history_args=no
id=$(mkseg 4096 0600)
[ $probes = no ] || ok "history_args=no: the creator's end" until_true 10 has_value "sysv/$id" CreatorEnd "exit*"
is "$(value "sysv/$id" CreatorCommand)" "" "and no command line"
segfs_stop_ok "$MNT" "it ends"

segfs_start "$MNT" history=off
id=$(mkseg 4096 0600)
is "$(value "sysv/$id" History) $(value "sysv/$id" CreatorEnd)" "off " "history=off: nothing is known"
is "$(cat "$MNT/events")" "" "and there are no events"
segfs_stop_ok "$MNT" "it ends"
for wrong in history=maybe history_args=1; do
	fails "-o $wrong is refused" timeout 60 "$SEGFS" -o $wrong "$MNT"
done

# Without rights: everything but this works.
uid=65534
if getent passwd $uid >/dev/null && [ -u "$(command -v fusermount3)" ]; then
	chown $uid "$MNT"
	me=(setpriv --reuid "$uid" --regid "$uid" --clear-groups)
	ok "a plain user mounts" segfs_start "$MNT" "" "${me[@]}"
	id=$("${me[@]}" "$SHMTOOL" run "shmget 0 4096 IPC_CREAT|0600")
	like "$("${me[@]}" sed -n 's/^History:\t//p' "$MNT/info/sysv/$id")" "^no probes: .*; nothing of /dev/shm: Operation not permitted$" "History says why nothing is known"
	is "$("${me[@]}" cat "$MNT/events")" "" "there are no events"
	segfs_stop_ok "$MNT" "it ends"
else
	skip "a plain user's" "no fusermount3, or no user with uid $uid"
fi
done_testing
