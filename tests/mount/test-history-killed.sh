#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A daemon is killed: what happened until the next one runs is told by function probes, which run on. (with-mount -n)
. "$(dirname "$0")/lib.sh"
need ipcmk ipcrm python3

calls=$(dirname "$0")/../programs/calls.py
ns=$(stat -Lc %i /proc/self/ns/ipc)
events() { cat "$MNT/events.1" "$MNT/events" | grep -E "Z $1 .*\b(ns=$ns|inode=)"; }
count() { events "$@" | wc -l; }
gone() { sed -n "s/^$2:\t//p" "$MNT/gone/sysv-$1".*; }
pinned() { find /sys/fs/bpf -maxdepth 1 -name 'segfs-*' | sort; }
start() { segfs_start "$MNT" "history_dir=$TESTDIR/state"; }
killed() {
	kill -KILL "${segfs_pid[$MNT]}"
	wait "${segfs_pid[$MNT]}" 2>/dev/null
	umount -l "$MNT"
}

before=$(pinned)
ok "it mounts" start || done_testing
told=$(history_told)
if [[ $told != *"; function probes"* ]]; then
	is "$(pinned)" "$before" "nothing is left in bpffs"
	skip "while no daemon runs" "$(sed -E 's/.*(no (function )?probes: [^;]*).*/\1/' <<<"$told")"
	segfs_stop_ok "$MNT" "it ends"
	done_testing
fi
[ "$(stat -fc %T /sys/fs/bpf)" = bpf_fs ] || { skip "while no daemon runs" "no bpffs"; segfs_stop "$MNT"; done_testing; }
if [[ $told == *"(kprobes)"* ]] && ! linux_is 5 15; then
	like "$(cat "$(segfs_log "$MNT")")" "function probes end with the daemon: kprobes can be kept from Linux 5.15 on" "it says that they are not kept"
	is "$(pinned)" "$before" "nothing is left in bpffs"
	skip "while no daemon runs" "kprobes can be kept from Linux 5.15 on"
	segfs_stop_ok "$MNT" "it ends"
	done_testing
fi
unlike "$(cat "$(segfs_log "$MNT")")" "function probes end with the daemon" "they can be kept"
pins=$(comm -13 <(echo "$before") <(pinned))
is "$(wc -l <<<"$pins") $(stat -c '%A %u' "$pins")" "1 drwx------ 0" "one directory in bpffs, root's alone"
id=$(mkseg 4096 0600)
is "$(count "create sysv/$id")" 1 "it tells of a segment"
killed
is "$(pinned | grep -cF "$pins")" 1 "it is killed: that stays"

diag "--- while none runs"
made=$(mkseg 8192 0600)
ipcrm -m "$id"
python3 "$calls" rounds 1 >"$TESTDIR/round"
python3 "$calls" memfds 1 >"$TESTDIR/memfd"
read -r shmid child <"$TESTDIR/round"
read -r inode holder <"$TESTDIR/memfd"

diag "--- afterwards"
ok "another one mounts" start || done_testing
like "$(history_told)" "; function probes( \(kprobes\))?, which ran on while no segfs did$" "which says so"
is "$(count "create sysv/$made") $(count "create sysv/$shmid") $(count "attach sysv/$shmid") $(count "detach sysv/$shmid") $(count "remove sysv/$shmid") $(count "gone sysv/$shmid")" "1 1 2 2 1 1" "what happened meanwhile is there, once each"
like "$(events "detach sysv/$shmid" | head -n 1)" " pid=$child program=python3" "by whom"
is "$(count "create sysv/$id") $(count "remove sysv/$id")" "0 1" "and nothing of what the one before has read"
like "$(gone "$id" RemovedBy)" "^[0-9]+ ipcrm, user root, ipcrm -m $id$" "gone/ has who removed it"
is "$(count "create \"unlinked/memfd-a b%2Fc-$inode\"") $(count "gone \"unlinked/memfd-a b%2Fc-$inode\"")" "1 1" "memfds likewise"
like "$(sed -n 's/^Creator:\t//p; s/^CreatorCommand:\t//p' "$MNT/info/sysv/$made" | xargs)" "^shmtool $SHMTOOL run shmget 0 8192 " "info/ has the creator of what was made meanwhile"
is "$(mkseg 4096 0600 >"$TESTDIR/id"; count "create sysv/$(cat "$TESTDIR/id")")" 1 "it goes on"
segfs_stop_ok "$MNT" "it ends"
is "$(pinned)" "$before" "and leaves nothing"

diag "--- what is not its own"
mkdir -m 755 "$pins"
ok "it mounts" start || done_testing
like "$(cat "$(segfs_log "$MNT")")" "function probes end with the daemon: $pins: it is not our own, or others may look into it" "a directory that others may read is not taken, which it says"
like "$(history_told)" "; function probes( \(kprobes\))?$" "else they run"
segfs_stop_ok "$MNT" "it ends"
is "$(stat -c %A "$pins")" drwxr-xr-x "and leaves that alone"
rmdir "$pins"
done_testing
