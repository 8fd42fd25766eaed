#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What a root's daemon has given up (src/mount/confine.c). (with-mount -n)
. "$(dirname "$0")/lib.sh"

status_of() { sed -n "s/^$1:[[:space:]]*//p" "/proc/${segfs_pid[$MNT]}/status"; }
own_bounds=$((0x$(sed -n 's/^CapBnd:[[:space:]]*//p' /proc/self/status)))
# chown, dac_override, dac_read_search, fowner, fsetid, setgid, setuid, linux_immutable, ipc_lock, ipc_owner,
# sys_ptrace, sys_admin, sys_resource, mknod, lease, setfcap, mac_admin
needed=0
for bit in 0 1 2 3 4 6 7 9 14 15 19 21 24 27 28 31 33; do needed=$((needed | 1 << bit)); done
wanted=$(printf %016x $((needed & own_bounds)))

segfs_start "$MNT" ""
for set in CapPrm CapEff CapBnd; do is "$(status_of $set)" "$wanted" "$set: what is needed, and no more"; done
is "$(status_of CapInh) $(status_of CapAmb)" "0000000000000000 0000000000000000" "nothing to be inherited"
is "$(status_of NoNewPrivs)" 1 "no new privileges"
if sanitized; then
	like "$(cat "$(segfs_log "$MNT")")" "system calls are not filtered: it is built with sanitizers" "with sanitizers there is no filter, which the log says"
else
	is "$(status_of Seccomp)" 2 "system calls are filtered"
fi
is "$(cat "/proc/${segfs_pid[$MNT]}"/task/*/status | grep -c '^Seccomp:.0')" "$(sanitized && ls "/proc/${segfs_pid[$MNT]}/task" | wc -l || echo 0)" "in all threads"
# Root's rights that are kept for callers work for them.
ok "root gives a file away" sh -c "touch '$MNT/posix/given' && chown 20001 '$MNT/posix/given' && chmod 4755 '$MNT/posix/given'"
ok "and uses what is another's" sh -c "chmod 000 '$MNT/posix/given' && cat '$MNT/posix/given' && rm '$MNT/posix/given'"
segfs_stop_ok "$MNT" "it ends"

segfs_start "$MNT" no_seccomp
is "$(status_of Seccomp)" 0 "-o no_seccomp: no filter"
like "$(cat "$(segfs_log "$MNT")")" "system calls are not filtered: -o no_seccomp" "and the log says so"
is "$(status_of NoNewPrivs)" 1 "the rest is as it was"
segfs_stop_ok "$MNT" "it ends"

# fusermount3, which unmounts for a plain user, is to become root. It wants a user with a name.
uid=65534
if getent passwd $uid >/dev/null && [ -u "$(command -v fusermount3)" ]; then
	chown $uid "$MNT"
	segfs_start "$MNT" "" setpriv --reuid $uid --regid $uid --clear-groups
	is "$(status_of NoNewPrivs) $(status_of Seccomp) $(status_of CapEff)" "0 0 0000000000000000" "a plain user's has nothing to give up"
	segfs_stop_ok "$MNT" "it ends"
else
	skip "a plain user's has nothing to give up" "no fusermount3, or no user with uid $uid"
	skip "it ends" "likewise"
fi
done_testing
