#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The limits under /proc/sys/kernel are those in MNT/limits, also after they changed.
# Run as root under with-mount: MNT is the mount, SEEDS the directory of the built programs.
. "$(dirname "$0")/lib.sh"

kernel() {
	cat "/proc/sys/kernel/$1"
}

mount_says() {
	sed -n "s/^$1: *\([0-9]*\).*/\1/p" "$MNT/limits"
}

program_says() {
	sysv-limits | sed -n "s/^$1: //p"
}

for limit in shmmax shmmni shmall; do
	is "$(program_says $limit)" "$(kernel $limit)" "a program is told $limit as in /proc/sys/kernel"
	is "$(mount_says $limit)" "$(kernel $limit)" "limits says $limit as in /proc/sys/kernel"
done

# They belong to the IPC namespace, which is ours alone.
for change in shmmax:1048576 shmmni:123 shmall:45678; do
	limit=${change%:*}
	before=$(kernel "$limit")
	echo "${change#*:}" >"/proc/sys/kernel/$limit"
	is "$(mount_says "$limit")" "${change#*:}" "limits says $limit after it was set to ${change#*:}"
	echo "$before" >"/proc/sys/kernel/$limit"
	is "$(mount_says "$limit")" "$before" "and after it was set back"
done

echo "1..$count"
exit "$failed"
