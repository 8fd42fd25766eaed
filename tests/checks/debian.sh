#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Fresh Debians: README's commands, then the package: built, installed, mounted by mount(8), its manual read,
# purged. By hand, since each takes minutes and downloads a Debian:
#
#   tests/checks/debian.sh [SUITE...]     (bookworm trixie; also bullseye, which is too old)
# shellcheck source=tools/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../tools/lib.sh"

((EUID == 0)) || die "needs root, for debootstrap and namespaces of its own"

# In the new Debian, which is / by now.
if [[ ${1-} == inside ]]; then
	cd /root
	apt-get -q update >/dev/null
	git -c safe.directory='*' clone -q file:///src segfs
	cd segfs
	# shellcheck disable=SC1091
	if [[ $(. /etc/os-release && printf '%s' "$VERSION_CODENAME") == bullseye ]]; then
		before=$(dpkg-query -l | wc -l)
		! said=$(tools/start 2>&1) || die "tools/start goes on where nothing can be built"
		say "$said"
		[[ $said == *"too old"*libglib2.0-dev* && $(dpkg-query -l | wc -l) == "$before" ]] || die "that is not said first"
		exit
	fi
	ipcmk -M 4096 >/dev/null
	before=$SECONDS
	tools/start
	[[ $(ls /run/segfs/sysv) == 0 ]] || die "the segment is not in /run/segfs/sysv"
	say "tools/start: $((SECONDS - before)) s"
	umount /run/segfs && rmdir /run/segfs
	before=$SECONDS
	tools/package
	say "tools/package: $((SECONDS - before)) s"

	mkdir -p /srv/shm
	# What is left must be what was there, so what man(1) and others make by themselves is installed first.
	apt-get -q -y install --no-install-recommends man-db fuse3 >/dev/null
	rm -f /etc/dpkg/dpkg.cfg.d/*exclude*
	state() { find / -xdev -not -path '/proc/*' -not -path '/root/segfs/*' -not -path '/var/lib/dpkg/*' -not -path '/var/cache/*' -not -path '/var/log/*' -not -path '/tmp/*' | sort; }
	state >/tmp/before
	apt-get -q -y install --no-install-recommends ./build/segfs_*.deb >/dev/null
	mount -t segfs segfs /srv/shm
	[[ $(ls /srv/shm/sysv) == 0 ]] || die "the segment is not in /srv/shm/sysv"
	say "segfs /srv/shm segfs nofail 0 0" >/tmp/fstab
	[[ -z $(mount -a -T /tmp/fstab 2>&1) ]] || die "mount -a of what is mounted is not silent"
	segls -n -r -o FILE | grep -x sysv/0 >/dev/null || die "segls does not list the segment"
	[[ $(MANPAGER=cat man segfs | wc -l) -gt 90 && $(MANPAGER=cat man segls | wc -l) -gt 50 && $(MANPAGER=cat man segtop | wc -l) -gt 50 ]] || die "no manual"
	umount /srv/shm
	apt-get -q -y purge --auto-remove segfs >/dev/null
	state >/tmp/after
	strangers=$(comm -13 /tmp/before /tmp/after)
	[[ -z $strangers ]] || die "purge has left: ${strangers//$'\n'/ }"
	say "installed, mounted, purged"
	exit
fi

# In mount, pid and IPC namespaces: root is the directory of a fresh Debian.
if [[ ${1-} == in-namespaces ]]; then
	root=$2
	mount --bind "$root" "$root" # so that nothing of the host is mounted below it
	git clone -q "$top" "$root/src" # what is committed
	mount -t proc proc "$root/proc"
	mount -t tmpfs -o mode=0755 dev "$root/dev"
	mkdir -m 1777 "$root/dev/shm"
	mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
	for device in null zero full random urandom tty; do
		cp -a "/dev/$device" "$root/dev/"
	done
	mknod -m 0666 "$root/dev/fuse" c 10 229
	ln -s /proc/self/fd "$root/dev/fd"
	mount -t tmpfs run "$root/run"
	cp -L /etc/resolv.conf "$root/etc/resolv.conf"
	exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
		DEBFULLNAME="A tester" DEBEMAIL=tester@debian.org chroot "$root" bash /src/tests/checks/debian.sh inside
fi

ensure "debootstrap|cmd debootstrap|debootstrap, to make a fresh Debian"
(($#)) || set -- bookworm trixie
for suite; do
	need_scratch
	root=$scratch/$suite
	say "== $suite"
	fresh_debian "$suite" "$root"
	unshare --ipc --mount --pid --fork --kill-child --propagation private \
		bash "${BASH_SOURCE[0]}" in-namespaces "$root"
	say "ok: $suite"
done
