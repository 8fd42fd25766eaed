#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Containers of podman, runc, crun, lxc and ctr as they are packaged: in info/namespace, segments.json,
# metrics and segls they have the names that the runtime's own listing gives them. What cannot start one
# here is skipped, with the runtime's own words.
#
# All that the runtimes write is below /run, and in $TESTDIR, both of this mount namespace; the
# cgroups are the host's: they have this test's name and are removed at its end, however it ends.

. "$(dirname "$0")/lib.sh"

need busybox jq nsenter

tag=segfs-$(basename "$(dirname "$TESTDIR")" | tr -dc A-Za-z0-9)
rootfs=$TESTDIR/rootfs

# What removes that which was made; the last first.
left=()
declare -A found
for one in default lxc.pivot; do
	found[$one]=$(find /sys/fs/cgroup -maxdepth 2 -name "$one" -type d -print -quit)
done
clean_up() {
	local one
	while ((${#left[@]})); do
		eval "timeout 20 ${left[-1]}" >/dev/null 2>&1 </dev/null
		unset 'left[-1]'
	done
	! grep -q "^$tag $unified " /proc/mounts || umount "$unified"
	until_true 10 no_cgroups
	# containerd's and lxc's own, where this test was the first to use them.
	for one in default lxc.pivot; do
		[[ -n ${found[$one]} ]] || find /sys/fs/cgroup -maxdepth 2 -name "$one" -type d -exec rmdir {} \; 2>/dev/null
	done
}
no_cgroups() {
	find /sys/fs/cgroup -depth -type d -path "*$tag*" -exec rmdir {} \; 2>/dev/null
	! find /sys/fs/cgroup -path "*$tag*" -type d | grep .
}
trap clean_up EXIT
trap 'exit 143' TERM INT HUP

umount --all-targets --lazy /run/lock 2>/dev/null
mount -t tmpfs -o mode=0755 "$tag" /run || skip_all "cannot mount on /run"
# Where version 2 is mounted below version 1 without a controller, crun refuses both.
unified=/sys/fs/cgroup/unified
[ ! -f $unified/cgroup.procs ] || mount -t tmpfs "$tag" $unified || skip_all "cannot mount on $unified"

mkdir -p "$rootfs"/{bin,dev/shm,proc,sys,tmp,etc}
cp "$(command -v busybox)" "$rootfs/bin/busybox"
# Its libraries, where it is no static one.
ldd "$(command -v busybox)" 2>/dev/null | grep -o '/[^ ]*' | xargs -r cp -L --parents -t "$rootfs"
ln -s busybox "$rootfs/bin/sleep"
ln -s busybox "$rootfs/bin/sh"
# An object that a process of the container holds.
printf '#!/bin/sh\nexec 3>/dev/shm/held\necho held >&3\nexec sleep 1000\n' >"$rootfs/bin/hold"
chmod 755 "$rootfs/bin/hold"
echo 'root:x:0:0:root:/:/bin/sh' >"$rootfs/etc/passwd"

why() { tail -n 1 <<<"$output" | tr -d '\r' | cut -c 1-200; }

# start NAME CMD...: false, and NAME's rows are skipped, where the runtime does not come so far.
start() {
	local name=$1 status output
	shift
	run timeout 30 "$@"
	[ "$status" -eq 0 ] || { skip "$name" "this one does not start here: $(why)"; return 1; }
}

running() { [[ -n ${1:-} && $1 != 0 && -d /proc/$1 ]]; }

# called PID RUNTIME NAME ID POD: its IPC namespace's container, in all that tells of it; "" for none.
called() {
	local inum runtime=$2 name=$3 id=$4 pod=$5 text file=$TESTDIR/.called
	running "$1" || { tap_fail "$runtime has a process for $name"; return 1; }
	inum=$(readlink "/proc/$1/ns/ipc" | tr -dc 0-9)
	text=${name:-$id}
	[[ -z $name || $name == "$id" ]] || text+=", id $id"
	text="${pod:+$pod, }$runtime $text"
	cat "$MNT/ns/$inum/info/namespace" >"$file"
	ok "info/namespace: $text" grep -qxF "Container:	$text" "$file" || diag "$(cat "$file")"
	jq -e --arg inum "$inum" --arg runtime "$runtime" --arg name "$name" --arg id "$id" --arg pod "${pod##* }" \
		'def text: if . == "" then null else . end;
		.namespaces[] | select(.ipc == ($inum | tonumber)) | .containers
		| any(.runtime == $runtime and .container == ($name | text) and .id == $id and .pod == ($pod | text))' \
		"$MNT/segments.json" >"$file" && tap_pass "segments.json: $text" || {
		tap_fail "segments.json: $text"
		diag "$(jq -c '.namespaces[] | {ipc, containers}' "$MNT/segments.json")"
	}
	cat "$MNT/metrics" >"$file"
	ok "metrics: $text" grep -qF "segfs_namespace_container{namespace=\"$inum\",runtime=\"$runtime\",container=\"${name:-$id}\",id=\"$id\",pod=\"${pod##* }\"} 1" "$file" ||
		diag "$(grep '^segfs_namespace_container' "$file")"
	# Of a pod's infra container there is no memory.
	[[ $name != *-infra ]] || return 0
	timeout 20 "$SEGLS" --all-namespaces --by=container >"$file"
	ok "segls --by=container: $text" grep -qF "$text" "$file" || diag "$(cat "$file")"
}

# podman: its storage is here, its cgroups are below the test's own, no network.
podman_test() {
	local podman image=localhost/segfs-box id pid pod
	command -v podman >/dev/null || { skip podman "no podman here"; return; }
	podman=(podman --root "$TESTDIR/podman" --runroot /run/podman-test --storage-driver vfs
		--cgroup-manager cgroupfs --events-backend file)
	p() { "${podman[@]}" "$@"; }
	tar -C "$rootfs" -cf "$TESTDIR/box.tar" . || return
	start "podman: import" "${podman[@]}" import "$TESTDIR/box.tar" "$image" || return
	left+=("${podman[*]} rm -f -t 0 web1")
	start "podman: one container" "${podman[@]}" run -d --name web1 --cgroup-parent "/$tag" \
		--network none --ipc shareable "$image" hold || return
	id=$(p inspect -f '{{.Id}}' web1)
	called "$(p inspect -f '{{.State.Pid}}' web1)" podman "$(p ps --format '{{.Names}}')" "$id" ""

	# Two in one IPC namespace: both are of it.
	left+=("${podman[*]} rm -f -t 0 web2")
	if start "podman: --ipc container:" "${podman[@]}" run -d --name web2 --cgroup-parent "/$tag" \
		--network none --ipc container:web1 "$image" hold; then
		called "$(p inspect -f '{{.State.Pid}}' web2)" podman web1 "$id" ""
		called "$(p inspect -f '{{.State.Pid}}' web1)" podman web2 "$(p inspect -f '{{.Id}}' web2)" ""
	fi

	# A directory of the host's on /dev/shm.
	mkdir "$TESTDIR/volume"
	left+=("${podman[*]} rm -f -t 0 web3")
	if start "podman: -v on /dev/shm" "${podman[@]}" run -d --name web3 --cgroup-parent "/$tag" \
		--network none -v "$TESTDIR/volume:/dev/shm" "$image" hold; then
		pid=$(p inspect -f '{{.State.Pid}}' web3)
		like "$(cat "$MNT/ns/$(readlink "/proc/$pid/ns/ipc" | tr -dc 0-9)/info/namespace")" \
			"NotShown:.*/proc/$pid/root/dev/shm.* which is here $TESTDIR/volume, and" \
			"podman: a volume on /dev/shm is told of"
		ok "and is where that says" until_true 20 grep -qx held "/proc/$pid/root/dev/shm/held"
	fi

	left+=("${podman[*]} pod rm -f -t 0 shop")
	start "podman: a pod" "${podman[@]}" pod create --name shop --cgroup-parent "/$tag" --network none \
		--share ipc,uts --infra-image "$image" --infra-command "/bin/sleep 1000" || return
	start "podman: a container in a pod" "${podman[@]}" run -d --pod shop --name till \
		"$image" hold || return
	pod=$(p ps -p --format '{{.Names}} {{.PodName}}' | awk '$1 == "till" { print $2 }')
	called "$(p inspect -f '{{.State.Pid}}' till)" podman till "$(p inspect -f '{{.Id}}' till)" "podman pod $pod"
	called "$(p inspect -f '{{.State.Pid}}' till)" podman "$(p ps --format '{{.Names}}' | grep infra)" \
		"$(p ps --no-trunc --format '{{.ID}} {{.Names}}' | awk '/infra/ { print $1 }')" "podman pod $pod"
}

# bundle DIRECTORY: as the OCI runtimes want one, without a network.
bundle() {
	mkdir "$1"
	jq -n --arg rootfs "$rootfs" '{ociVersion: "1.0.0", root: {path: $rootfs},
		process: {cwd: "/", user: {uid: 0, gid: 0}, args: ["/bin/hold"], env: ["PATH=/bin"]},
		mounts: [{destination: "/proc", type: "proc", source: "proc"},
			{destination: "/dev", type: "tmpfs", source: "tmpfs"},
			{destination: "/dev/shm", type: "tmpfs", source: "shm", options: ["mode=1777"]}],
		linux: {namespaces: [{type: "pid"}, {type: "ipc"}, {type: "mount"}, {type: "uts"}]}}' >"$1/config.json"
}

# A command of its own since what is detached keeps a pipe open.
oci_run() { "$1" run -d -b "$2" --pid-file "$2/pid" "$3" >"$2/log" 2>&1 </dev/null || { cat "$2/log"; return 1; }; }
export -f oci_run

oci_test() {
	local runtime=$1 name=$tag-$1
	command -v "$runtime" >/dev/null || { skip "$runtime" "no $runtime here"; return; }
	bundle "$TESTDIR/$runtime"
	left+=("$runtime delete -f $name")
	start "$runtime: one container" bash -c 'oci_run "$@"' _ "$runtime" "$TESTDIR/$runtime" "$name" || return
	called "$(cat "$TESTDIR/$runtime/pid")" "$runtime" "" "$("$runtime" list | awk -v name="$name" '$1 == name { print $1 }')" ""
}

lxc_test() {
	local name=$tag-lxc path=$TESTDIR/lxc
	command -v lxc-start >/dev/null || { skip lxc "no lxc here"; return; }
	mkdir -p "$path/$name"
	cat >"$path/$name/config" <<-END
		lxc.uts.name = $name
		lxc.rootfs.path = dir:$rootfs
		lxc.net.0.type = empty
		lxc.mount.auto = proc:mixed
		lxc.mount.entry = tmpfs dev tmpfs rw,mode=755 0 0
		lxc.mount.entry = tmpfs dev/shm tmpfs rw,create=dir 0 0
		lxc.apparmor.profile = unconfined
		lxc.init.cmd = /bin/hold
	END
	# The cgroup of that name is taken: lxc adds a number.
	find /sys/fs/cgroup -maxdepth 2 -name cgroup.procs -execdir mkdir "lxc.payload.$name" \;
	left+=("lxc-stop -k -P $path -n $name")
	start "lxc: one container" lxc-start -P "$path" -n "$name" || return
	local pid
	pid=$(lxc-info -P "$path" -n "$name" -pH)
	called "$pid" lxc "$(lxc-ls -P "$path" --running | tr -d ' ')" \
		"$(sed -n 's/.*:.*lxc\.payload\.//p' "/proc/$pid/cgroup" | head -n 1)" ""
}

ctr_up_or_gone() { ctr -a "$1" version >/dev/null 2>&1 || ! kill -0 "$2" 2>/dev/null; }

ctr_test() {
	local name=$tag-ctr socket=$TESTDIR/containerd.sock containerd namespace pid
	command -v ctr containerd >/dev/null || { skip ctr "no containerd here"; return; }
	containerd --root "$TESTDIR/containerd" --state /run/containerd --address "$socket" \
		>"$TESTDIR/containerd.log" 2>&1 </dev/null &
	containerd=$!
	until_true 20 ctr_up_or_gone "$socket" "$containerd"
	ctr -a "$socket" version >/dev/null 2>&1 || {
		skip ctr "containerd does not start here: $(tail -n 1 "$TESTDIR/containerd.log")"
		kill "$containerd"
		return
	}
	left+=("kill $containerd")
	for namespace in default "$tag"; do
		left+=("ctr -a $socket -n $namespace container rm $name"
			"sh -c 'until ctr -a $socket -n $namespace task rm -f $name || [ \$((i += 1)) = 20 ]; do sleep 0.1; done'")
		start "ctr: one in namespace $namespace" ctr -a "$socket" -n "$namespace" run -d --rootfs "$rootfs" \
			"$name" /bin/hold || continue
		pid=$(ctr -a "$socket" -n "$namespace" task ls | awk -v name="$name" '$1 == name { print $2 }')
		called "$pid" containerd "" "$(ctr -a "$socket" -n "$namespace" task ls | awk 'NR == 2 { print $1 }')" ""
	done
}

podman_test
oci_test runc
oci_test crun
lxc_test
ctr_test

clean_up
ok "no cgroup of these is left" no_cgroups

done_testing
