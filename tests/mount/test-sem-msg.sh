#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Semaphore sets and message queues: what ipcs and the kernel say of them, and nothing changed by looking.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib-holders.sh"
need ipcs getfattr python3

# table KIND: the kernel's own of /proc/sysvipc, a line each in blanks of one, without the heading
table() { tail -n +2 "/proc/sysvipc/$1" | xargs -L1 | sort -n; }
field() { sed -n "s/.*\\b$2=\\([^ ]*\\).*/\\1/p" <<<"$1"; }
semstat() { "$SHMTOOL" run "semstat $1"; }
msgstat() { "$SHMTOOL" run "msgstat $1"; }
xattr() { getfattr --absolute-names --only-values -n "user.segfs.$2" "$MNT/$1" 2>&1; }

diag "--- what there is, against the kernel's own tables"
for user in 0 20001 20002 20003 20004; do
	as_user $user "$SHMTOOL" run "mksets 20 $((user % 7 + 1)) 0640" "semget $((0x1000 + user)) 2 IPC_CREAT|0604" >/dev/null
	for mode in 0600 0640 0604 0666; do
		as_user $user "$SHMTOOL" run "msgget 0 IPC_CREAT|$mode" >/dev/null
	done
done
queue=$("$SHMTOOL" run "msgget 0x77 IPC_CREAT|0640")
"$SHMTOOL" run "msgsnd $queue 5 hello" "msgsnd $queue 7 \\x00\\xff\\x0a\\x5c" "msgsnd $queue 9 x" "msgrcv $queue 9" >/dev/null
set=$("$SHMTOOL" run "semget 0x78 3 IPC_CREAT|0640")
"$SHMTOOL" run "semop $set 1 4" >/dev/null
kernel_sem=$(table sem) kernel_msg=$(table msg)
is "$(ls "$MNT/sem" | sort -n)" "$(awk '{ print $2 }' <<<"$kernel_sem" | sort -n)" "ls sem: the ids"
is "$(ls "$MNT/msg" | sort -n)" "$(awk '{ print $2 }' <<<"$kernel_msg" | sort -n)" "ls msg: the ids"
# key semid perms nsems uid gid cuid cgid otime ctime
sem_row() {
	local st
	st=$(stat -c '%a %u %g %Y %Z' "$1")
	set -- "$1" $st
	echo "$(($(getfattr --absolute-names --only-values -n user.segfs.key "$1"))) ${1##*/} $2 $(xattr "sem/${1##*/}" nsems) $3 $4 $(xattr "sem/${1##*/}" cuid) $(xattr "sem/${1##*/}" cgid) $(xattr "sem/${1##*/}" otime) $6"
}
is "$(for file in "$MNT"/sem/*; do sem_row "$file"; done | sort -n)" "$kernel_sem" "every field of every set"
# key msqid perms cbytes qnum lspid lrpid uid gid cuid cgid stime rtime ctime
msg_row() {
	local st id=${1##*/}
	st=$(stat -c '%a %s %u %g %Z' "$1")
	set -- $st
	echo "$(($(xattr "msg/$id" key))) $id $1 $2 $(xattr "msg/$id" qnum) $(xattr "msg/$id" lspid) $(xattr "msg/$id" lrpid) $3 $4 $(xattr "msg/$id" cuid) $(xattr "msg/$id" cgid) $(xattr "msg/$id" stime) $(xattr "msg/$id" rtime) $5"
}
is "$(for file in "$MNT"/msg/*; do msg_row "$file"; done | sort -n)" "$kernel_msg" "every field of every queue"
is "$(stat -c %Y "$MNT/msg/$queue")" "$(field "$(msgstat "$queue")" rtime)" "a queue's mtime is the later of stime and rtime"
is "$(stat -c %Y "$MNT/sem/$set")" "$(field "$(semstat "$set")" otime)" "a set's is otime"
is "$(stat -c %i "$MNT/sem/0x78" "$MNT/msg/0x77" | xargs)" "$(stat -c %i "$MNT/sem/$set" "$MNT/msg/$queue" | xargs)" "by key they are the same files"
fails_with ENOENT "a key that nobody has" stat "$MNT/sem/0x79"
is "$(df --output=iused "$MNT/sem" | tail -n 1 | xargs)" "$(wc -l <<<"$kernel_sem")" "df -i counts them"
like "$(grep ^semmni: "$MNT/limits")" " $(wc -l <<<"$kernel_sem") used\$" "limits: sets"
like "$(grep ^msgmni: "$MNT/limits")" " $(wc -l <<<"$kernel_msg") used\$" "limits: queues"
is "$(grep -oE '^segfs_semaphore_sets\{[^}]*\} [0-9]+' "$MNT/metrics" | head -n 1 | sed 's/.* //')" "$(wc -l <<<"$kernel_sem")" "metrics: sets"

diag "--- what is in them"
is "$(cat "$MNT/msg/$queue")" "$(printf 'msgnum\ttype\tsize\tbytes\n0\t5\t5\thello\n1\t7\t4\t\\000\\377\\n\\\\')" "the messages that wait, escaped"
is "$(awk 'NR == 3 { print $1, $2, $3, $4 }' "$MNT/sem/$set")" "1 4 0 0" "a semaphore's value"
sent=$("$SHMTOOL" run "msgget 0 IPC_CREAT|0600")
"$SHMTOOL" run "msgsnd $sent 1 $(head -c 8192 /dev/zero | tr '\0' a)" >/dev/null
is "$(tail -n 1 "$MNT/msg/$sent" | cut -f 4 | tr -d '\n' | wc -c)" 8192 "a message of 8 KiB is whole"
is "$(dd if="$MNT/msg/$sent" bs=1000 status=none | md5sum)" "$(cat "$MNT/msg/$sent" | md5sum)" "in small pieces it is the same"

diag "--- segls and segments.json"
: "${SEGLS:?}"
is "$("$SEGLS" -s --raw --noheadings 2>/dev/null | sort | awk '{ print $1, $2, $5 }')" "$(awk '{ printf "sem/%d 0x%08x %d\n", $2, ($1 < 0 ? $1 + 4294967296 : $1), $4 }' <<<"$kernel_sem" | sort)" "segls -s: every set, its key and number of semaphores"
is "$("$SEGLS" -q -b --raw --noheadings 2>/dev/null | awk -v file="msg/$queue" '$1 == file { print $5, $6 }')" "2 9" "segls -q: messages and bytes"
is "$("$SEGLS" -a 2>/dev/null | grep -c '^FILE')" 3 "segls -a: three tables"
fails "segls -s -o is refused" "$SEGLS" -s -o FILE
json=$(cat "$MNT/segments.json")
is "$(python3 -c 'import json, sys; d = json.load(sys.stdin); print(len(d["semaphores"]), len(d["queues"]))' <<<"$json")" "$(wc -l <<<"$kernel_sem") $(($(wc -l <<<"$kernel_msg") + 1))" "segments.json: as many"
is "$(python3 -c 'import json, sys; q = [q for q in json.load(sys.stdin)["queues"] if q["msqid"] == int(sys.argv[1])][0]; print(q["qnum"], q["cbytes"], q["user"], q["key_hex"])' "$queue" <<<"$json")" "2 9 root 0x00000077" "what a queue has in it"
is "$("$SEGLS" --json 2>/dev/null | python3 -c 'import json, sys; print(len(json.load(sys.stdin)["semaphores"]))')" "$(wc -l <<<"$kernel_sem")" "so has segls --json"

diag "--- looking changes nothing"
look() {
	ls -l "$MNT/sem" "$MNT/msg" && cat "$MNT"/sem/* "$MNT"/msg/* && getfattr --absolute-names -d "$MNT"/sem/* "$MNT"/msg/* &&
		cat "$MNT"/info/sem/* "$MNT"/info/msg/* "$MNT/limits" "$MNT/metrics"
}
before=$(cat /proc/sysvipc/sem /proc/sysvipc/msg)
values=$(cat "$MNT"/sem/*)
for _ in 1 2 3 4 5; do look; done >/dev/null 2>&1
is "$(cat /proc/sysvipc/sem /proc/sysvipc/msg)" "$before" "no time, pid or count of /proc/sysvipc"
is "$(cat "$MNT"/sem/*)" "$values" "nor value"
ok "and what waited can be received" "$SHMTOOL" run "msgrcv $queue 5 IPC_NOWAIT"

diag "--- rights: the kernel's"
mine=$(as_user 20001 "$SHMTOOL" run "semget 0 1 IPC_CREAT|0600") theirs=$(as_user 20001 "$SHMTOOL" run "msgget 0 IPC_CREAT|0600")
fails_with EACCES "another may not read a set" as_user 20002 cat "$MNT/sem/$mine"
fails_with EACCES "nor a queue" as_user 20002 cat "$MNT/msg/$theirs"
fails_with EPERM "nor remove it" as_user 20002 "$SHMTOOL" run "unlink $MNT/msg/$theirs"
fails_with EPERM "nor chmod" as_user 20002 chmod 666 "$MNT/sem/$mine"
ok "its owner may: read" as_user 20001 cat "$MNT/sem/$mine" "$MNT/msg/$theirs"
ok "chmod" as_user 20001 chmod 604 "$MNT/sem/$mine" "$MNT/msg/$theirs"
is "$(field "$(semstat "$mine")" mode) $(field "$(msgstat "$theirs")" mode)" "604 604" "which is IPC_SET"
ok "then others read it" as_user 20002 cat "$MNT/sem/$mine" "$MNT/msg/$theirs"
ok "root gives it away" chown 20002:20003 "$MNT/msg/$theirs"
is "$(field "$(msgstat "$theirs")" uid) $(field "$(msgstat "$theirs")" gid)" "20002 20003" "chown"
for file in sem/$mine msg/$theirs; do
	fails_with EPERM "$file: no write" "$SHMTOOL" run "open a $MNT/$file O_WRONLY"
	fails_with EPERM "$file: no truncation" truncate -s 0 "$MNT/$file"
	fails_with EPERM "$file: no times" touch "$MNT/$file"
done
fails_with EPERM "nothing is made: touch" touch "$MNT/sem/4711"
fails_with EPERM "mkdir" mkdir "$MNT/msg/x"
ok "rm by id" as_user 20001 rm "$MNT/sem/$mine"
ok "rm by its new owner" as_user 20002 rm -f "$MNT/msg/$theirs"
fails_with EINVAL "they are gone" "$SHMTOOL" run "semstat $mine"
ok "rm by key" rm "$MNT/msg/0x77"

diag "--- a server is killed with a semaphore held, and a client waits for it"
agent S
held=$(tell S semget 0 1 'IPC_CREAT|0600')
tell S semop "$held" 0 1 >/dev/null
tell S semop "$held" 0 -1 >/dev/null
like "$(info "sem/$held" Verdict)" "^in use\$" "its last user lives: in use"
server=$(agent_pid S)
like "$(info "sem/$held" Evidence)" "$server shmtool" "who is named"
agent C
client=$(agent_pid C)
send C semop "$held" 0 -1
waits() { [ "$(awk 'NR == 2 { print $3 }' "$MNT/sem/$held")" = 1 ]; }
ok "the client waits" until_true 20 waits
like "$(info "sem/$held" Waiter)" "^$client shmtool\$" "and is named"
kill -KILL "$server"
until_true 20 sh -c "! kill -0 $server" 2>/dev/null
like "$(info "sem/$held" Evidence)" "^1 wait for it; the last operations are of $server, which has ended\$" "the dead one, too"
is "$(info "sem/$held" Verdict)" "in use" "while somebody waits: in use"
is "$(as_user 20003 cat "$MNT/info/sem/$held" | grep -c -e "$server" -e Waiter)" 0 "others are told neither"
"$SHMTOOL" run "semop $held 0 1" >/dev/null
answer C >/dev/null
quit C
# With function probes those who are known are all, and it is an orphan once nobody has used it for an hour.
knows_uses && verdict=idle || verdict=unknown
is "$(info "sem/$held" Verdict)" $verdict "nobody waits, and all who are known have ended: $verdict"
fails "nothing of it is in orphans/" sh -c "ls '$MNT/orphans' | grep -q ^sem-"

diag "--- a named POSIX semaphore"
python3 - <<'END'
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
libc.sem_open.restype = ctypes.c_void_p
sem = libc.sem_open(b"/named", 0o100, 0o644, 5)
libc.sem_wait(ctypes.c_void_p(sem))
END
before=$(stat -c '%x %y %z' /dev/shm/sem.named)
is "$(info posix/sem.named SemaphoreValue) $(info posix/sem.named SemaphoreWaiters)" "4 0" "info has its value and who waits"
is "$(stat -c '%x %y %z' /dev/shm/sem.named)" "$before" "and leaves no trace"
is "$(as_user 20003 grep -c ^Semaphore "$MNT/info/posix/sem.named")" 0 "only for its owner and root"
head -c 100 /dev/zero >/dev/shm/sem.other
is "$(grep -c ^Semaphore "$MNT/info/posix/sem.other")" 0 "what is of another size is of an unknown C library"
rm /dev/shm/sem.named /dev/shm/sem.other

diag "--- another IPC namespace, and another pid namespace in it"
agent X unshare --ipc --pid --fork --kill-child
inside=$(tell X semget 0x99 1 'IPC_CREAT|0600') mail=$(tell X msgget 0x99 'IPC_CREAT|0600')
tell X semop "$inside" 0 2 >/dev/null
tell X msgsnd "$mail" 3 inside >/dev/null
child=$(child_of "${agent_process[X]}")
other=ns/$(stat -Lc %i "/proc/$child/ns/ipc")
is "$(ls "$MNT/$other/sem" "$MNT/$other/msg" | grep -c '^[0-9]')" 2 "ns/N/sem and ns/N/msg have its own"
is "$(awk 'NR == 2 { print $2, $5, $6 }' "$MNT/$other/sem/$inside")" "2 $child shmtool" "its pid is the host's"
is "$(tail -n 1 "$MNT/$other/msg/0x99" | cut -f 2-)" "$(printf '3\t6\tinside')" "by key"
like "$(sed -n 's/^Evidence:\t//p' "$MNT/$other/info/msg/$mail")" "$child shmtool" "info/"
fails_with EACCES "others do not get there" as_user 20001 cat "$MNT/$other/sem/$inside"
ok "rm" rm "$MNT/$other/sem/$inside"
is "$(tell X semop "$inside" 0 1)" EINVAL "is there"
quit X

diag "--- many"
"$SHMTOOL" run "mksets 2000 1 0600" >/dev/null
is "$(ls -l "$MNT/sem" | grep -c '^-rw')" "$(tail -n +2 /proc/sysvipc/sem | wc -l)" "ls -l lists them all"
ok "find -delete" find "$MNT/sem" "$MNT/msg" -type f -delete
is "$(tail -n +2 -q /proc/sysvipc/sem /proc/sysvipc/msg)" "" "removes them all"
done_testing
