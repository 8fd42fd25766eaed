#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Who uses semaphore sets and message queues, where the kernel takes function probes; those whom nobody uses are orphans. (with-mount -n)
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib-holders.sh"
need python3

# listed NAME: orphans/ has it
listed() { [ -n "$(find "$MNT/orphans" -mindepth 1 -maxdepth 1 -name "$1")" ]; }
is_listed() { listed "$1" && echo yes || echo no; }
ended() { ! kill -0 "$1" 2>/dev/null; }
# killed NAME: an agent, by a signal 9
killed() {
	kill -KILL "${agent_process[$1]}"
	wait "${agent_process[$1]}" 2>/dev/null
	quit "$1"
}

before=$("$SHMTOOL" run "semget 0 1 IPC_CREAT|0600")
ok "it mounts" segfs_start "$MNT" orphan_age=0,orphan_age_unsafe || done_testing
told=$(history_told)
left=$("$SHMTOOL" run "semget 0 1 IPC_CREAT|0600")
if ! knows_uses; then
	is "$(info "sem/$left" Verdict) $(is_listed "sem-$left")" "unknown no" "without function probes none is an orphan"
	fails_with ENOENT "nor is it removed as one" rm "$MNT/orphans/sem-$left"
	skip "who uses semaphore sets" "$(sed -E 's/.*(no (function )?probes: [^;]*|function probes.*)/\1/' <<<"$told")"
	segfs_stop_ok "$MNT" "it ends"
	done_testing
fi
diag "--- whom nobody is left for"
ok "its creator has ended, and used nothing: it is listed" until_true 20 listed "sem-$left"
is "$(info "sem/$left" Verdict)" orphaned "and called so"
like "$(info "sem/$left" Evidence)" "^no operation is known; all 1 who are known to have made or used it have ended; used [0-9]+ s ago$" "with its reason"
is "$(stat -c %i "$MNT/orphans/sem-$left")" "$(stat -c %i "$MNT/sem/$left")" "it is the file of sem/"
ok "rm" rm "$MNT/orphans/sem-$left"
fails_with EINVAL "it is gone" "$SHMTOOL" run "semstat $left"
is "$(info "sem/$before" Verdict) $(is_listed "sem-$before")" "unknown no" "one that was made before segfs began is none"
fails_with ENOENT "nor removed" rm "$MNT/orphans/sem-$before"

diag "--- a server is killed with a semaphore held, and a client waits for it"
agent S
held=$(tell S semget 0x1234 1 'IPC_CREAT|0600')
tell S semop "$held" 0 1 >/dev/null
tell S semop "$held" 0 -1 >/dev/null
server=$(agent_pid S)
agent C
client=$(agent_pid C)
send C semop "$held" 0 -1
waits() { [ "$(awk 'NR == 2 { print $3 }' "$MNT/sem/$held")" = 1 ]; }
ok "the client waits" until_true 20 waits
killed S
ok "the server has ended" until_true 20 ended "$server"
like "$(info "sem/$held" Evidence)" "^1 wait for it; the last operations are of $server, which has ended" "info names the dead one"
is "$(info "sem/$held" Waiter)" "$client shmtool" "and who waits"
is "$(info "sem/$held" Verdict) $(is_listed "sem-$held")" "in use no" "while somebody waits it is in use"
fails_with ENOENT "and not removed" rm "$MNT/orphans/sem-$held"
killed C
ok "after the client's end it is listed" until_true 20 listed "sem-$held"
ok "rm" rm "$MNT/orphans/sem-$held"
fails_with EINVAL "it is gone" "$SHMTOOL" run "semstat $held"

diag "--- somebody uses it now and then, and others after that"
agent L
kept=$(tell L semget 0x1235 1 'IPC_CREAT|0600')
agent U
user=$(agent_pid U)
tell U semop "$kept" 0 1 >/dev/null
quit L
for round in 1 2 3; do
	# Whom the kernel names is another, who has ended.
	"$SHMTOOL" run "semop $kept 0 1" >/dev/null
	is "$(info "sem/$kept" Verdict) $(is_listed "sem-$kept")" "in use no" "round $round: a process that has used it lives"
	fails_with ENOENT "round $round: nor is it removed" rm "$MNT/orphans/sem-$kept"
	tell U semop "$kept" 0 -1 >/dev/null
done
"$SHMTOOL" run "semop $kept 0 1" >/dev/null
like "$(info "sem/$kept" Evidence)" "; used also by $user shmtool$" "who is named"
is "$(as_user 20003 cat "$MNT/info/sem/$kept" | grep -c "$user")" 0 "but not to others"
agent G
ok "another gets it by its key" tell G semget 0x1235 1 0
killed U
is "$(info "sem/$kept" Verdict)" "in use" "who has got it, and not used it yet, counts"
killed G
ok "when all have ended it is listed" until_true 20 listed "sem-$kept"
ok "and used again" "$SHMTOOL" run "semop $kept 0 1"
ok "by one who ends at once: so still" until_true 20 listed "sem-$kept"

diag "--- who has left a child"
child=$(python3 -c 'import ctypes, os, sys, time
libc = ctypes.CDLL(None)
semid = libc.semget(0, 1, 0o1600)
pid = os.fork()
if pid == 0:
    os.close(1)
    time.sleep(1000)
print(semid, pid)')
like "$(info "sem/${child% *}" Verdict) $(is_listed "sem-${child% *}")" "^(unknown|idle) no$" "a set of who has left a child is none"
kill "${child#* }"

diag "--- rights: the kernel's"
theirs=$(as_user 20001 "$SHMTOOL" run "semget 0 1 IPC_CREAT|0600")
ok "another's" until_true 20 listed "sem-$theirs"
is "$(as_user 20002 ls "$MNT/orphans" | grep -c "^sem-$theirs$")" 0 "who may not remove it does not see it listed"
fails_with EPERM "nor may do it" as_user 20002 "$SHMTOOL" run "unlink $MNT/orphans/sem-$theirs"
ok "its owner may" as_user 20001 rm "$MNT/orphans/sem-$theirs"

diag "--- queues"
if [[ $told == *"but not of "*"message queues"* ]]; then
	queue=$("$SHMTOOL" run "msgget 0 IPC_CREAT|0600")
	is "$(info "msg/$queue" Verdict) $(is_listed "msg-$queue")" "unknown no" "none is an orphan"
	skip "who uses queues" "this kernel has no function that could be probed"
else
	agent R
	queue=$("$SHMTOOL" run "msgget 0x99 IPC_CREAT|0600")
	send R msgrcv "$queue" 0
	receives() { [ -n "$(info "msg/$queue" Waiter)" ]; }
	ok "somebody waits for a message" until_true 20 receives
	is "$(info "msg/$queue" Verdict) $(is_listed "msg-$queue")" "in use no" "in use"
	"$SHMTOOL" run "msgsnd $queue 1 hello" >/dev/null
	answer R >/dev/null
	is "$(info "msg/$queue" Verdict) $(is_listed "msg-$queue")" "in use no" "and when it has it"
	"$SHMTOOL" run "msgsnd $queue 1 hello" >/dev/null
	killed R
	ok "after its end it is listed" until_true 20 listed "msg-$queue"
	like "$(info "msg/$queue" Evidence)" "; all 4 who are known to have made or used it have ended; " "with its reason"
	ok "rm" rm "$MNT/orphans/msg-$queue"
	is "$(ls "$MNT/msg")" "" "it is gone"
fi

diag "--- another daemon"
segfs_stop_ok "$MNT" "it ends"
ok "it mounts" segfs_start "$MNT" orphan_age=0,orphan_age_unsafe
is "$(info "sem/$kept" Verdict) $(is_listed "sem-$kept")" "unknown no" "what was before it, it does not know"
segfs_stop_ok "$MNT" "it ends"
done_testing
