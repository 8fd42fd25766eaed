#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The package in a Debian whose systemd runs (systemd-nspawn --boot): the unit, its mount and automount, fstab, the units of
# doc/examples, what walks a host. By hand, since it downloads a Debian:
#
#   tests/checks/systemd.sh [SUITE]     (the host's own)
# shellcheck source=tools/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../tools/lib.sh"

passed=0 failed=0 skipped=0
ok() {
	local what=$1
	shift
	if "$@"; then
		passed=$((passed + 1))
		say "ok: $what"
	else
		failed=$((failed + 1))
		say "FAILED: $what"
	fi
}
fails() { ! "$@"; }
skip() {
	skipped=$((skipped + 1))
	say "skipped: $1"
}
# For a condition, two minutes at most: the machine may be busy.
until_true() {
	local i
	for ((i = 0; i < 1200; i++)); do
		"$@" && return
		sleep 0.1
	done
	return 1
}

main_pid() { systemctl show -P MainPID segfs; }
is_running() { [[ $(systemctl is-system-running --wait) =~ ^(running|degraded)$ ]]; }
has_segment() { ipcs -m -i "$segment" >/dev/null; }
is_mounted_once() { [[ $(findmnt -n -o FSTYPE "$1") == fuse.segfs && $(grep -c " $1 .* fuse.segfs " /proc/self/mountinfo) == 1 ]]; }
answers_at() { [[ -d $1/sysv && $(stat -c %s "$1/sysv/$segment" 2>/dev/null) == 5000 ]]; }
is_another() { [[ $(main_pid) != 0 && $(main_pid) != "$1" ]] && systemctl -q is-active segfs; }
is_quiet() { same_text "$("$@" 2>&1)" ""; }
is_inside() { [[ $(readlink "/proc/$1/cwd") == /run/segfs/sysv ]]; }
# in_mount: somebody is in the service's mount, and has it as the working directory.
in_mount() {
	(cd /run/segfs/sysv && exec sleep 1000) &
	holder=$!
	until_true is_inside "$holder"
}
same_text() { [[ $1 == "$2" ]] || { say "  $1 is not $2"; return 1; }; }
lists_nothing() { [[ -z $(plocate "$1" 2>/dev/null) ]]; }
is_scraped() { [[ $({ printf 'GET /metrics HTTP/1.0\r\n\r\n' >&3; cat <&3; } 3<>/dev/tcp/127.0.0.1/9819 | tail -n 1) == "# EOF" ]]; }

# In the Debian, once it has booted.
check_boot() {
	ok "the system runs" until_true is_running
	ok "segfs.service is up" until_true systemctl -q is-active segfs
	ok "no unit has failed" same_text "$(systemctl list-units --failed --plain --no-legend | grep segfs)" ""
	segment=$(ipcmk -M 5000 | awk '{ print $NF }')
	ok "the mount answers" answers_at /run/segfs
	ok "once" is_mounted_once /run/segfs
	ok "to a plain user, too" setpriv --reuid 65534 --regid 65534 --clear-groups test -x /run/segfs/sysv
	say "$(journalctl -q -b -o cat -u segfs | grep -m 1 'reads and mmap')"
	ok "it is native, with a history" grep -q 'native.*history: .*since' <(journalctl -q -b -o cat -u segfs)
}

check_killed() {
	pid=$(main_pid)
	kill -9 "$pid"
	ok "killed with SIGKILL it is another soon" until_true is_another "$pid"
	ok "which answers" answers_at /run/segfs
	ok "and has taken the dead mount away" is_mounted_once /run/segfs
	pid=$(main_pid)
	in_mount
	kill -9 "$pid"
	ok "also where somebody is in the dead mount" until_true is_another "$pid"
	ok "it answers" answers_at /run/segfs
	kill "$holder"
}

check_restarted() {
	# restart, stop, start; more often than anybody does in ten seconds
	systemctl reset-failed segfs
	pid=$(main_pid)
	ok "systemctl restart" systemctl restart segfs
	ok "is another process" is_another "$pid"
	ok "that answers at once" answers_at /run/segfs
	ok "mounted once" is_mounted_once /run/segfs
	in_mount
	ok "systemctl restart of what is in use" systemctl restart segfs
	ok "answers" answers_at /run/segfs
	kill "$holder"
	ok "systemctl stop" systemctl stop segfs
	ok "takes the mount away, and its directory" fails test -e /run/segfs
	ok "the segment stays" has_segment
	systemctl reset-failed segfs
	ok "systemctl start" systemctl start segfs
	ok "answers" answers_at /run/segfs
}

check_rights() {
	# What it may do is enough: these are the capabilities and the filter of the unit.
	setpriv --reuid 65534 --regid 65534 --clear-groups sh -c 'head -c 7000 /dev/zero >/dev/shm/theirs; exec 9<>/dev/shm/theirs; exec sleep 1000' &
	holder=$!
	ok "it makes a segment" dd if=/dev/zero of=/run/segfs/key/0x77 bs=4096 count=1 status=none
	ok "as root, with root's mode" same_text "$(stat -c %u /run/segfs/key/0x77)" 0
	ok "reads one" cmp -n 4096 /run/segfs/key/0x77 /dev/zero
	ok "removes one" rm /run/segfs/key/0x77
	ok "names a holder of another user" until_true grep -qs "^Holder:.*\b$holder\b" /run/segfs/info/posix/theirs
	ok "chowns" chown 65534 "/run/segfs/sysv/$segment"
	kill "$holder"
}

check_fstab() {
	cp "$examples"/mnt-shm.* "$examples"/segfs-* /etc/systemd/system/
	mkdir -p /mnt/shm /srv/shm /srv/auto
	say "none /srv/shm segfs nofail 0 0" >>/etc/fstab
	say "segfs /srv/auto segfs nofail,x-systemd.automount 0 0" >>/etc/fstab
	systemctl daemon-reload
	if [[ -e /dev/autofs ]]; then
		ok "mnt-shm.automount" systemctl start mnt-shm.automount
		ok "mounts when somebody looks" answers_at /mnt/shm
		ok "fstab: x-systemd.automount" systemctl start srv-auto.automount
		ok "mounts when somebody looks" answers_at /srv/auto
	else
		skip "automounts: no /dev/autofs"
		ok "mnt-shm.mount" systemctl start mnt-shm.mount
		ok "answers" answers_at /mnt/shm
	fi
	ok "fstab: srv-shm.mount" systemctl start srv-shm.mount
	ok "answers" answers_at /srv/shm
	mount -a 2>/dev/null
	ok "a second mount -a is silent" is_quiet mount -a
	ok "and stops" systemctl stop srv-shm.mount srv-auto.mount srv-auto.automount mnt-shm.automount mnt-shm.mount
}

check_metrics() {
	mkdir -p /var/lib/prometheus/node-exporter
	ok "segfs-metrics.timer starts" systemctl start segfs-metrics.timer
	ok "its service" systemctl start segfs-metrics.service
	ok "writes the metrics" same_text "$(tail -n 1 /var/lib/prometheus/node-exporter/segfs.prom)" "# EOF"
	ok "segfs-scrape.socket" systemctl start segfs-scrape.socket
	ok "answers with them" is_scraped
	systemctl stop segfs-metrics.timer segfs-scrape.socket
}

# What walks a host.
check_walkers() {
	mkdir -p /srv/aged/mnt
	touch -d '-2 days' /srv/aged/old /srv/seen-by-updatedb
	mount -t segfs segfs /srv/aged/mnt
	say "d /srv/aged 0755 root root 0" >/etc/tmpfiles.d/aged.conf
	before=$(ipcs -m)
	systemd-tmpfiles --clean /etc/tmpfiles.d/aged.conf
	ok "systemd-tmpfiles --clean has cleaned" fails test -e /srv/aged/old
	ok "and stays out of a mount below" same_text "$(ipcs -m)" "$before"
	if command -v updatedb >/dev/null; then
		ok "updatedb has run" systemctl start plocate-updatedb.service
		ok "over files" test "$(plocate seen-by-updatedb)"
		ok "not those of a mount" lists_nothing /srv/aged/mnt/sysv
		ok "nor of the service's" lists_nothing /run/segfs/sysv
	else
		skip "updatedb: plocate is not to be had"
	fi
	umount /srv/aged/mnt
}

# What systemd thinks of it, and what is left at the end.
check_end() {
	ok "systemd-analyze verify is quiet" is_quiet systemd-analyze verify segfs.service mnt-shm.mount mnt-shm.automount segfs-metrics.timer segfs-scrape.socket
	say "$(systemd-analyze --no-pager security segfs.service | tail -n 1)"
	ok "no system call was refused" fails grep -q 'refused' <(journalctl -q -b -o cat -u segfs)

	ok "purged while it runs" quiet "apt-get purge" apt-get -q -y purge segfs
	ok "it is unmounted" fails test -e /run/segfs
	ok "the segment stays" has_segment
}

if [[ ${1-} == inside ]]; then
	export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
	set +e
	pid='' holder='' examples=/src/doc/examples
	for check in boot killed restarted rights fstab metrics walkers end; do "check_$check"; done
	say "$passed passed, $failed failed, $skipped skipped"
	exit $((failed > 0))
fi

((EUID == 0)) || die "needs root, for debootstrap and systemd-nspawn"

# Whatever cgroups the host has, this systemd has the one hierarchy that it wants, and a group of its own in it.
if [[ ${1-} == in-namespaces ]]; then
	root=$2 own=/sys/fs/cgroup/segfs-check.$$
	shift 2
	if [[ ! -d /run/systemd/system ]]; then
		! mountpoint -q /sys/fs/cgroup || umount -R -l /sys/fs/cgroup
		mount -t cgroup2 cgroup2 /sys/fs/cgroup
		mkdir "$own"
		say $$ >"$own/cgroup.procs"
		set -- --keep-unit "$@"
	fi
	# Its own filter of system calls has no bpf(2), so no history.
	[[ ! -e /dev/autofs ]] || set -- --bind=/dev/autofs "$@"
	SYSTEMD_SECCOMP=0 systemd-nspawn --quiet --directory="$root" --register=no --link-journal=no --timezone=off --console=pipe --capability=all \
		--bind=/dev/fuse "$@" </dev/null || status=$?
	if [[ -d $own ]]; then
		say $$ >/sys/fs/cgroup/cgroup.procs
		find "$own" -depth -type d -exec rmdir {} +
	fi
	exit "${status:-0}"
fi
nspawn=(unshare --mount --propagation private bash "${BASH_SOURCE[0]}" in-namespaces)

ensure "debootstrap|cmd debootstrap|debootstrap, to make a fresh Debian
systemd-container|cmd systemd-nspawn|systemd-nspawn, to boot it"
# shellcheck disable=SC1091
suite=${1:-$(. /etc/os-release && printf '%s' "${VERSION_CODENAME-}")}
"$top/tools/package"
need_scratch
root=$scratch/root
fresh_debian "$suite" "$root"
git clone -q "$top" "$root/src" # what is committed
cp "$top"/build/segfs_*.deb "$root/root/"
cp -L /etc/resolv.conf "$root/etc/resolv.conf"
cat >"$root/etc/systemd/system/segfs-check.service" <<-END
	[Service]
	ExecStart=/bin/bash /src/tests/checks/systemd.sh inside
	ExecStopPost=systemctl --no-block poweroff
	StandardOutput=file:/root/result
	StandardError=inherit
	[Install]
	WantedBy=multi-user.target
END
say "installing what a system has, and the package"
quiet "the installation" "${nspawn[@]}" "$root" --pipe /bin/sh -ec '
	export DEBIAN_FRONTEND=noninteractive
	apt-get -q update
	apt-get -q -y install --no-install-recommends systemd-sysv dbus man-db plocate
	apt-get -q -y install --no-install-recommends /root/segfs_*.deb
	systemctl enable segfs segfs-check' || exit 1
say "booting it"
# What does not come to its end is ended: the last lines of its console say why.
timeout 1800 "${nspawn[@]}" "$root" --boot >"$scratch/console" 2>&1 || true
if [[ ! -s $root/root/result ]]; then
	tail -n 30 "$scratch/console" >&2
	die "no systemd has run here; the end of its console is above"
fi
cat "$root/root/result"
[[ $(tail -n 1 "$root/root/result") =~ ^[0-9]+\ passed,\ 0\ failed, ]]
