#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The README's first command in a fresh clone: it mounts outside of the clone, and cleaning or
# removing the clone afterwards leaves every segment and object as it was.
# shellcheck source=tools/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../tools/lib.sh"

((EUID == 0)) || die "needs root, for namespaces of its own"
if [[ ${1-} != inside ]]; then
	need_scratch
	export SCRATCH=$scratch
	unshare --ipc --mount --pid --fork --kill-child --propagation private --mount-proc \
		bash "${BASH_SOURCE[0]}" inside
	exit
fi

mount -t tmpfs -o mode=1777 segfs-check-shm /dev/shm
mount -t tmpfs -o mode=0755 segfs-check-run /run
clone=$SCRATCH/clone
quiet "git clone" git clone -q "file://$top" "$clone"
# What the machine has fetched already need not be fetched once more.
mkdir -p "$clone/subprojects/packagecache"
cp "$top"/subprojects/packagecache/* "$clone/subprojects/packagecache/" 2>/dev/null || true

ipcmk -M 4096 -p 0600 >/dev/null
ipcmk -M 8192 -p 0666 >/dev/null
head -c 5000 /dev/zero >/dev/shm/object
state() { ipcs -m && ls -l /dev/shm; }
before=$(state)

cd "$clone"
said=$(tools/start 2>&1 </dev/null) || die "tools/start failed: $said"
[[ $said == *"/run/segfs/sysv: 2"* && $said == *"umount /run/segfs"* ]] || die "tools/start says: $said"
[[ $(stat -c %s /run/segfs/posix/object) == 5000 ]] || die "/run/segfs shows no object"
git check-ignore -q build || die "build/ is not ignored"

! said=$(tools/start "$clone/mnt" 2>&1 </dev/null) || die "a mountpoint in a work tree is taken without --force"
[[ $said == *"git work tree $clone"*--force* ]] || die "what is said of a mountpoint in a work tree: $said"

git clean -qfdx
[[ $(state) == "$before" ]] || die "git clean -fdx of the clone has changed: $(state)"
cd /
rm -rf "$clone"
[[ $(state) == "$before" ]] || die "rm -rf of the clone has changed: $(state)"
umount /run/segfs
# The pid namespace goes with this script, which older kernels stand only after segfs (doc/kernels.md).
for ((i = 0; i < 300; i++)); do
	grep -qsx segfs /proc/[0-9]*/comm || break
	sleep 0.1
done
say "tools/start mounts outside of the clone, which can be cleaned and removed"
