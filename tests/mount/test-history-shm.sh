#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Names in the /dev/shm of containers, once those were shown: by whom, and in which. (with-mount -n)
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib-holders.sh"
. "$(dirname "$0")/lib-ns.sh"

# Others of the host can fill one file meanwhile.
event() { cat "$MNT/events.1" "$MNT/events" 2>/dev/null | grep -E "Z $1 " | tail -n 1; }
has_event() { [ -n "$(event "$1")" ]; }
value() { sed -n "s/^$2:\t//p" "$1"; }
# With a pidfd each; who has done something has one as well, while that is read.
n_watched() { ls -l "/proc/${segfs_pid[$MNT]}/fd" | grep -c pidfd; }
two_more() { [ "$(n_watched)" -eq $((before + 2)) ]; }

ok "it mounts" segfs_start "$MNT" "" || done_testing
told=$(history_told)
[[ $told == "the ends of tasks and /dev/shm, since "* ]] || { skip "containers" "$told"; done_testing; }
before=$(n_watched)
container A --
container U -- --user --map-root-user
in_shm A sh -c ': >/dev/shm/before'
ls "$MNT"/ns/*/orphans >/dev/null
in_shm A sh -c 'mkdir /dev/shm/below; : >/dev/shm/below/made; mv /dev/shm/below/made /dev/shm/moved'
in_shm U sh -c ': >/dev/shm/made; rm /dev/shm/made'
ok "names of one are events" until_true 10 has_event rename.posix/moved
like "$(event create.posix/below/made)" " program=sh uid=0 .* ns=${inum[A]} inode=" "which is made, by whom, in which"
like "$(event rename.posix/moved)" " from=posix/below/made pid=[0-9]+ program=mv .* ns=${inum[A]} inode=" "and renamed"
ok "and of another" until_true 10 has_event remove.posix/made
like "$(event remove.posix/made)" " program=rm .* ns=${inum[U]} inode=" "in which it is"
is "$(value "${ns[A]}/info/posix/moved" Creator)" sh "info/ has who made it"
like "$(value "${ns[A]}/info/posix/moved" History)" "; /dev/shm of this namespace, too$" "and says that it is watched"
is "$(value "${ns[A]}/info/posix/before" Creator)" "" "what was there before is not known"
ok "rm through the mount" rm "${ns[A]}/posix/moved"
ok "is an event" until_true 10 has_event remove.posix/moved
like "$(event remove.posix/moved)" " program=rm uid=0$(line " command=\"rm ${ns[A]}/posix/moved\"") ns=${inum[A]} inode=" "and the caller's deed"
gone=$(ls -d "$MNT"/gone/posix-made.*)
is "$(value "$gone" Namespace) $(value "$gone" Creator)" "${inum[U]} sh" "gone/ has in which it was"
ok "two are watched" until_true 10 two_more
# The number of a device is given again: of those that are free the lowest, which others of the host may take.
dev=$(in_shm A stat -c %d /dev/shm)
given_again() { in_shm A sh -c 'mount -t tmpfs none /dev/shm; stat -c %d /dev/shm' | grep -qx "$dev"; }
in_shm A sh -c 'cd / && umount /dev/shm'
until_true 5 given_again || diag "not the number that it had"
ls "$MNT"/ns/*/orphans >/dev/null
in_shm A sh -c ': >/dev/shm/another'
ok "names of another, with the number that one had, are events" until_true 10 has_event create.posix/another
is "$(value "${ns[A]}/info/posix/another" Creator)" sh "and who made it is known"
ok "two are watched" until_true 10 two_more
ok "a container unmounts its own" in_shm A sh -c 'cd / && umount /dev/shm'
quit A
quit U
all_ended() { [ "$(n_watched)" -eq "$before" ]; }
ok "with their processes that ends" until_true 10 all_ended
segfs_stop_ok "$MNT" "it ends"
done_testing
