#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# ns/: every other IPC namespace of the host in the same tree. (-o orphan_age=0,orphan_age_unsafe)
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib-holders.sh"
. "$(dirname "$0")/lib-ns.sh"
need getfattr jq nsenter ipcs

rw='PROT_READ|PROT_WRITE'
as=(setpriv --clear-groups)
options=${SEGFS_OPTIONS:+$SEGFS_OPTIONS,}
# Its keys, by ipcs.
keys() { inside "$1" ipcs -m | awk '/^0x/ && $6 >= 0 { print $1 }' | sort | xargs; }
names() { find "$1" -mindepth 1 -maxdepth 1 -printf '%f\n' | sort | xargs; }

is "$(ls "$MNT/ns")" "" "no other namespace: ns/ is empty"

diag "--- three of them, one with a user namespace, and one of a plain user"
containers
is "$(ls "$MNT/ns" | sort -n | xargs)" "$(numbers "${inum[@]}")" "ns/ lists them, by the numbers of /proc/PID/ns/ipc"
mkseg 8192 0644 0x1234 >/dev/null
do_ops "shmat a 0" "fill a h" >/dev/null
for c in "${all[@]}"; do
	is "$(tell $c shmget 0x1234 8192 'IPC_CREAT|0600')" 0 "$c: the same key, the same shmid"
	tell $c shmat a 0 >/dev/null
	tell $c fill a $c >/dev/null
done
for c in "${all[@]}"; do
	is "$(names "${ns[$c]}")" "info key limits msg orphans posix sem sysv unlinked" "$c: the directories"
	for file in key/0x00001234 key/4660 sysv/0; do
		same "$c: $file has its own bytes" "${ns[$c]}/$file" <(head -c 8192 /dev/zero | tr '\0' $c)
	done
	is "$(stat -c '%s %a %h' "${ns[$c]}/sysv/0")" "8192 600 2" "$c: size, mode and attaches"
	is "$(names "${ns[$c]}/sysv") $(names "${ns[$c]}/key")" "0 0x00001234" "$c: it is listed"
	fails "$c: it is not the mount's own of that number" test "${ns[$c]}/sysv/0" -ef "$MNT/sysv/0"
	# Where the rest of the host's memory is the mount's own alone says.
	is "$(sed 's/:.*//' "${ns[$c]}/limits")" "$(sed -E '/^(shmem|hugetlb)-elsewhere-(tmpfs|tmpfs-unknown|namespaces|drm|unaccounted):/d; s/:.*//' "$MNT/limits")" "$c: limits"
done
same "the mount's own" "$MNT/sysv/0" <(head -c 8192 /dev/zero | tr '\0' h)
is "$(stat -c %u "${ns[A]}/sysv/0" "${ns[U]}/sysv/0" | xargs)" "0 0" "owner"
[ -z "${ns[P]:-}" ] || is "$(stat -c %u "${ns[P]}/sysv/0")" 20001 "P: owner, as the host counts"

diag "--- one memory"
agent H
for c in "${all[@]}"; do
	for file in sysv/0 key/0x1234; do
		tell H open w "${ns[$c]}/$file" O_RDWR >/dev/null
		is "$(tell H pwrite w 100 written)$(tell $c peek a 100 7)" 7written "$c: written to $file, seen in the attach"
		is "$(tell H pwrite w 8190 xyz) $(tell H pwrite w 8192 x) $(tell H ftruncate w 9000)" "2 ENOSPC EPERM" "$c: it ends where it ends"
		if no_passthrough; then
			is "$(tell H mmap m w "$rw" MAP_SHARED 8192)" ENODEV "$c: no passthrough, no shared mmap"
		else
			is "$(tell H mmap m w "$rw" MAP_SHARED 8192)" 0 "$c: shared mmap of $file"
			is "$(tell H poke m 0 mapping)$(tell $c peek a 0 7)" 0mapping "$c: stored in the mapping, seen in the attach"
			is "$(tell $c poke a 4096 attach)$(tell H peek m 4096 6)" 0attach "$c: and the other way round"
			tell H munmap m >/dev/null
		fi
		tell H close w >/dev/null
	done
	is "$(inner $c nattch 0)" 1 "$c: nobody else is attached"
done
same "nothing of it is in the mount's own" "$MNT/sysv/0" <(head -c 8192 /dev/zero | tr '\0' h)

diag "--- changes act inside"
for c in "${all[@]}"; do
	ok "$c: chmod" chmod 640 "${ns[$c]}/sysv/0"
	is "$(inner $c mode 0)" 640 "$c: is done inside"
	ok "$c: chown" chown 20005:20006 "${ns[$c]}/key/0x1234"
	is "$(inner $c uid 0) $(inner $c gid 0)" "20005 20006" "$c: is done inside"
	ok "$c: truncate -s 5000 of a new key" truncate -s 5000 "${ns[$c]}/key/0x77"
	ok "$c: a copy into a new key" sh -c "printf 'bytes of $c' >'${ns[$c]}/key/0x78'"
	is "$(keys $c)" "0x00000077 0x00000078 0x00001234" "$c: ipcs inside has them"
	tell $c shmat b "$(tell $c shmget 0x78 0 0)" SHM_RDONLY >/dev/null
	is "$(tell $c peek b 0 10)" "bytes\\x20of\\x20$c" "$c: with those bytes"
	tell $c shmdt b >/dev/null
	is "$(ipcs -m | grep -c 0x0000007)" 0 "$c: and not outside"
done
is "$(ls "$MNT/key") $(ipc 0 mode) $(ipc 0 uid)" "0x00001234 644 0" "the mount's own are as they were"
is "$(readlink /proc/"$SEGFS_PID"/task/*/ns/ipc | sort -u)" "$(readlink /proc/self/ns/ipc)" "no thread of the daemon is left inside"
ok "rm in A" rm "${ns[A]}/key/0x1234"
is "$(keys A) $(inner A mode 0)" "0x00000000 0x00000077 0x00000078 1640" "is done inside: dest"
is "$(ls "${ns[A]}/unlinked" | grep sysv)$(ls "$MNT/unlinked" | grep -c sysv-)" "sysv-00" "it is in A's unlinked/, and not in the mount's own"
is "$(tail -c 3000 "${ns[A]}/unlinked/sysv-0" | head -c 5)" AAAAA "with its bytes"
for c in "${all[@]:1}"; do
	ok "$c still has its own" cmp -n 8192 "${ns[$c]}/key/0x1234" "${ns[$c]}/sysv/0"
	is "$(tell $c peek a 8000 3)" "$c$c$c" "$c: with its bytes"
done
ok "and so has the mount" test -e "$MNT/key/0x1234"
tell A shmdt a >/dev/null
is "$(ls "${ns[A]}/unlinked")" "" "detached inside, it is gone"
is "$(tell A shmget 0x1234 100 'IPC_CREAT|0600')" 3 "A makes it anew"
for c in "${all[@]}"; do rm "${ns[$c]}/key/0x77" "${ns[$c]}/key/0x78"; done

diag "--- posix/"
for c in "${all[@]}"; do
	posix=${ns[$c]}/posix
	is "$(tell $c open f /dev/shm/object 'O_RDWR|O_CREAT' 0644)$(tell $c write f "$c$c")$(tell $c mmap m f "$rw" MAP_SHARED 2)" 020 "$c: an object made inside"
	is "$(names "$posix") $(cat "$posix/object")" "object $c$c" "$c: is there, with its bytes"
	if ! no_passthrough; then
		is "$(tell H open f "$posix/object" O_RDWR)$(tell H mmap n f "$rw" MAP_SHARED 2)$(tell H poke n 0 z)$(tell $c peek m 0 2)" "000z$c" "$c: stored in a mapping here, seen inside"
		tell H munmap n >/dev/null
		tell H close f >/dev/null
	fi
	is "$(stat -c '%s %u %a' "$posix/object")" "$(in_shm $c stat -c '%s %u %a' object)" "$c: stat is that of inside"
	# Root of the host has no number in a plain user's namespace: as in /dev/shm itself.
	direct=/proc/${pid[$c]}/root/dev/shm
	is "$(do_ops "rename $posix/object $posix/moved")" "$([ $c = P ] && do_ops "rename $direct/object $direct/moved")$([ $c = P ] || echo 0)" "$c: rename"
	is "$(do_ops "open f $posix/new O_RDWR|O_CREAT|O_EXCL 0640" "mkdir $posix/sub 0750" "symlink moved $posix/soft" "link $posix/moved $posix/twin" "unlink $posix/twin")" \
		"$(do_ops "open f $direct/new2 O_RDWR|O_CREAT|O_EXCL 0640" "mkdir $direct/sub2 0750" "symlink moved $direct/soft2" "link $direct/moved $direct/twin2" "unlink $direct/twin2")" "$c: making is as in its /dev/shm: $(do_ops "mkdir $posix/sub3 0700")"
	is "$(names "$posix")" "$(in_shm $c find . -mindepth 1 -printf '%f\n' | sort | xargs)" "$c: what was made is inside"
	ok "$c: rm" sh -c "rm -r '$posix'/*"
	is "$(in_shm $c ls -A)$(names "$posix")" "" "$c: is done inside"
	tell $c munmap m >/dev/null
	tell $c close f >/dev/null
done
is "$(ls -A /dev/shm)" "" "the mount's own /dev/shm has none of it"
echo one >"${ns[A]}/posix/one"
mkdir "${ns[B]}/posix/dir"
is "$(do_ops "rename ${ns[A]}/posix/one ${ns[B]}/posix/one" "link ${ns[A]}/posix/one ${ns[B]}/posix/one" "rename ${ns[A]}/posix/one $MNT/posix/one" "rename ${ns[A]}/key/0x1234 ${ns[B]}/key/0x1235" | xargs)" "EXDEV EXDEV EXDEV EXDEV" "no rename or link from one to another"
ok "mv copies" mv "${ns[A]}/posix/one" "${ns[B]}/posix/dir/"
is "$(in_shm B cat dir/one)$(in_shm A ls)" one "and removes"
is "$(do_ops "truncate ${ns[B]}/posix/dir/one 100000" "mkdir ${ns[B]}/sub 0700" "mkdir ${ns[B]}/sysv/sub 0700" "mkdir $MNT/ns/sub 0700" "rmdir ${ns[B]}" "unlink ${ns[B]}/limits" "chmod ${ns[B]} 0777" "rename ${ns[B]} $MNT/ns/x" | xargs)" "0 EPERM EPERM EPERM EPERM EPERM EPERM EPERM" "the directories themselves cannot be changed"
rm -r "${ns[B]}/posix/dir"
# A link inside leads the reader to where it leads here, and the daemon nowhere.
in_shm A ln -s /etc/passwd link
is "$(readlink "${ns[A]}/posix/link") $(stat -c %F "${ns[A]}/posix/link")" "/etc/passwd symbolic link" "a link is a link"
rm "${ns[A]}/posix/link"

diag "--- holders, orphans/, unlinked/"
where=${ns[B]}
row "attached inside: the number is the host's" sysv/0 "in use" "${pid[B]}"
where=$MNT
is "$(holders sysv/0)" "" "the mount's own of that number is not"
row "it is orphaned" sysv/0 orphaned
inside B "$SHMTOOL" run "shmget 0x99 4096 IPC_CREAT|0600" >/dev/null
orphan=$(tell B shmget 0x99 0 0)
is "$(ls "${ns[B]}/orphans")" "sysv-$orphan" "a segment whose creator is dead is in its orphans/"
fails "and not in the mount's own" test -e "$MNT/orphans/sysv-$orphan"
ok "rm of it" rm "${ns[B]}/orphans/sysv-$orphan"
is "$(tell B shmget 0x99 0 0) $(ls "${ns[B]}/orphans")" "ENOENT " "removes it inside"
ok "the mount's own orphan is there" test -e "$MNT/orphans/sysv-0"
fails_with "EBUSY|ENOENT" "rm of what is in use" rm "${ns[B]}/orphans/sysv-0"
hold M inside B "$HOLDERS" memfd inside 64K 64K
is "$(ls "${ns[B]}/unlinked")" "memfd-inside-$(held M 2)" "a memfd held inside is in its unlinked/"
is "$(ls "$MNT/unlinked" "${ns[A]}/unlinked" | grep -c memfd)" 0 "and in no other"
is "$(cksum <"${ns[B]}/unlinked/memfd-inside-$(held M 2)")" "$(head -c 64K /dev/zero | tr '\0' m | cksum)" "its bytes"
is "$(where=${ns[B]} holders "unlinked/memfd-inside-$(held M 2)")" "$(held M)" "its holder"
drop M
hold M in_shm B "$HOLDERS" unlinked /dev/shm/lost 64K 64K
is "$(ls "${ns[B]}/unlinked")$(ls "$MNT/unlinked" "${ns[A]}/unlinked" | grep -c posix-)" "posix-lost-$(held M 2)0" "so is an object of its /dev/shm"
drop M
hold M "$HOLDERS" memfd outside 64K 64K
is "$(ls "$MNT/unlinked")$(ls "${ns[B]}/unlinked")" "memfd-outside-$(held M 2)" "one held outside is in the mount's own alone"
drop M
in_shm B sh -c 'echo lost >orphan'
is "$(ls "${ns[B]}/orphans")$(ls "$MNT/orphans" "${ns[A]}/orphans" | grep -c posix)" posix-orphan0 "an object that nobody holds is in its orphans/"
ok "rm of it" rm "${ns[B]}/orphans/posix-orphan"
is "$(in_shm B ls)" "" "removes it inside"

diag "--- info/namespace"
for c in "${all[@]}"; do
	text=$(cat "${ns[$c]}/info/namespace")
	said() { sed -n "s/^$1:[[:blank:]]*//p" <<<"$text"; }
	is "$(said Namespace) $(said Processes)" "${inum[$c]} 2" "$c: number, and how many processes"
	is "$(said UserNamespace)" "$(readlink "/proc/${agent_process[$c]}/ns/user")" "$c: user namespace"
	like "$(said Oldest)" "^${agent_process[$c]} unshare, user $([ $c = P ] && echo 20001 || echo root), started [0-9]+ s ago" "$c: the oldest process"
	like "$(said CommandLine)" "^unshare .*--ipc --mount --pid --fork" "$c: its command line"
	is "$(said Posix)" "posix is /dev/shm of mount namespace $(readlink "/proc/${pid[$c]}/ns/mnt" | tr -dc 0-9), seen by process $(said Posix | sed 's/.* //')" "$c: where posix/ is from"
	is "$(ipc_inum "$(said Posix | sed 's/.* //')")" "${inum[$c]}" "$c: a process of it"
	is "$(said Container)" "none that is known" "$c: no container"
done
# One is owned by the user namespace that it was made in, wherever its processes are now.
hold S unshare --ipc unshare --user --map-root-user "$HOLDERS" wait
is "$(sed -n 's/^UserNamespace:[[:blank:]]*//p' "$MNT/ns/$(ipc_inum "$(held S)")/info/namespace")" "$(readlink /proc/self/ns/user)" "the user namespace is the one that owns it"
isnt "$(readlink "/proc/$(held S)/ns/user")" "$(readlink /proc/self/ns/user)" "not that of its process"
drop S
fails "the mount's own has none" test -e "$MNT/info/namespace"
group=/sys/fs/cgroup/docker-$(head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n').scope
if [ -e /sys/fs/cgroup/cgroup.procs ] && mkdir "$group" 2>/dev/null; then
	echo "${agent_process[A]}" >"$group/cgroup.procs"
	is "$(sed -n 's/^Container:[[:blank:]]*//p' "${ns[A]}/info/namespace")" "docker $(sed 's/.*docker-\(.*\).scope/\1/' <<<"$group")" "a container, by its cgroup"
	id=$(sed 's/.*docker-\(.*\).scope/\1/' <<<"$group")
	is "$(jq -c ".namespaces[] | select(.ipc == ${inum[A]}) | .containers" <"$MNT/segments.json")" "[{\"runtime\":\"docker\",\"container\":null,\"id\":\"$id\",\"pod\":null}]" "segments.json has it"
	is "$(grep "^segfs_namespace_container{" "$MNT/metrics")" "segfs_namespace_container{namespace=\"${inum[A]}\",runtime=\"docker\",container=\"$id\",id=\"$id\",pod=\"\"} 1" "and metrics"
	other=/sys/fs/cgroup/docker-$(head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n').scope
	mkdir "$other" && echo "${pid[A]}" >"$other/cgroup.procs"
	is "$(grep -c '^Container:.docker' "${ns[A]}/info/namespace")" 2 "two containers in one namespace"
	echo "${pid[A]}" >/sys/fs/cgroup/cgroup.procs
	rmdir "$other"
	echo "${agent_process[A]}" >/sys/fs/cgroup/cgroup.procs
	rmdir "$group"
else
	skip "a container, by its cgroup" "no cgroups of version 2 to write to"
fi

diag "--- several /dev/shm"
hold S in_shm A unshare --mount "$HOLDERS" wait
is "$(names "${ns[A]}")" "info key limits msg orphans posix sem sysv unlinked" "two mount namespaces that show one /dev/shm: posix/ alone"
drop S
in_shm A sh -c 'echo first >name'
hold S in_shm A unshare --mount sh -c "mount -t tmpfs none /dev/shm && echo second >/dev/shm/name && exec $HOLDERS wait"
is "$(names "${ns[A]}")" "info key limits msg orphans posix posix.2 sem sysv unlinked" "two that show two: posix/ and posix.2/"
is "$(cat "${ns[A]}/posix/name" "${ns[A]}/posix.2/name" | xargs)" "first second" "each with its own bytes"
is "$(sed -n 's/^Posix:[[:blank:]]*\(posix[.2]*\) is.*namespace \([0-9]*\),.*/\1 \2/p' "${ns[A]}/info/namespace" | xargs)" \
	"posix $(readlink "/proc/${pid[A]}/ns/mnt" | tr -dc 0-9) posix.2 $(readlink "/proc/$(held S)/ns/mnt" | tr -dc 0-9)" "info/namespace names their mount namespaces"
is "$(ls "${ns[A]}/orphans" | grep posix | wc -l)" 2 "orphans/ has those of both"
is "$(ls "${ns[A]}/info" | xargs)" "key msg namespace posix posix.2 sem sysv unlinked" "info/ has a directory for each"
in_shm A sh -c 'echo other >only' && nsenter -t "$(held S)" --mount sh -c 'mkdir /dev/shm/sub && echo x >/dev/shm/sub/deep'
is "$(ls "${ns[A]}/info/posix" | xargs), $(ls "${ns[A]}/info/posix.2" | xargs)" "name only, name sub%2Fdeep" "with the names of that one"
is "$(sed -n 's/^File:[[:blank:]]*//p' "${ns[A]}/info/posix.2/name" "${ns[A]}/info/posix.2/sub%2Fdeep" "${ns[A]}/info/posix/name" | sed 's|.*/posix|posix|' | xargs)" "posix.2/name posix.2/sub/deep posix/name" "what is told is of the file there"
is "$(do_ops "look ${ns[A]}/info/posix.2/only" "look ${ns[A]}/info/posix/sub%2Fdeep" "look ${ns[A]}/info/posix.3" "look ${ns[A]}/info/posix.1" "look ${ns[A]}/info/posix.0" "look ${ns[A]}/info/posix.4294967296" | sort -u)" ENOENT "and of none other"
ok "they are other files" test "$(stat -c %i "${ns[A]}/info/posix/name")" != "$(stat -c %i "${ns[A]}/info/posix.2/name")"
hold H3 nsenter -t "$(held S)" --ipc --mount "$HOLDERS" open /dev/shm/name
like "$(cat "${ns[A]}/info/posix.2/name")" "^Holder:.*$(held H3) " "its holders are"
unlike "$(cat "${ns[A]}/info/posix/name")" "^Holder:" "that of the same name has none"
drop H3
rm "${ns[A]}/posix/only" "${ns[A]}/posix.2/sub/deep" && rmdir "${ns[A]}/posix.2/sub"
ok "rm in posix.2/" rm "${ns[A]}/posix.2/name"
is "$(in_shm A cat name)$(nsenter -t "$(held S)" --mount ls -A /dev/shm)" first "is done in that one"
is "$(do_ops "look ${ns[A]}/posix.1" "look ${ns[A]}/posix.02" "look ${ns[A]}/posix.3" "look ${ns[A]}/posix." "look ${ns[A]}/posix2" "look ${ns[A]}/posix.2x" | sort -u)" ENOENT "no other name like it"
drop S
is "$(names "${ns[A]}")" "info key limits msg orphans posix sem sysv unlinked" "its last process gone, posix.2/ is"
fails_with ENOENT "and not to be found" ls "${ns[A]}/posix.2/"
is "$(ls "${ns[A]}/info" | xargs)" "key msg namespace posix sem sysv unlinked" "nor in info/"
for i in 1 2 3; do
	hold S in_shm A unshare --mount sh -c "mount -t tmpfs none /dev/shm && echo $i >/dev/shm/name && exec $HOLDERS wait"
	is "$(cd "${ns[A]}" && echo posix*) $(cat "${ns[A]}/posix.2/name")" "posix posix.2 $i" "the next that comes, the ${i}th, gets the free place"
	drop S
done
hold S unshare --ipc --mount sh -c "mount -t tmpfs none /dev/shm && echo old >/dev/shm/name && exec $HOLDERS wait"
inner=$MNT/ns/$(ipc_inum "$(held S)")
agent H4
tell H4 open f "$inner/posix/name" O_RDWR >/dev/null
is "$(cat "$inner/posix/name")" old "a process with one"
nsenter -t "$(held S)" --mount sh -c 'umount -l /dev/shm && mount -t tmpfs none /dev/shm && echo new >/dev/shm/name'
is "$(cd "$inner" && echo posix*) $(cat "$inner/posix/name") $(ls "$inner/info/posix")" "posix new name" "replaced by another: that is posix/"
is "$(tell H4 pread f 0 3) $(tell H4 fstat f | cut -d' ' -f5)" "3:old size=4" "what was open is what it was"
quit H4
# A goes, B comes in its place, and A is back beside it; somebody's working directory was A.
mkdir "$TESTDIR/shm-A"
mount -t tmpfs shm-A "$TESTDIR/shm-A"
echo A >"$TESTDIR/shm-A/inA"
nsenter -t "$(held S)" --mount sh -c 'umount -l /dev/shm'
drop S
hold S unshare --ipc --mount sh -c "mount --bind '$TESTDIR/shm-A' /dev/shm && exec $HOLDERS wait"
inner=$MNT/ns/$(ipc_inum "$(held S)")
is "$(cat "$inner/posix/inA")" A "one that others see as well"
(cd "$inner/posix" && exec sleep 100) &
there=$!
until_true 10 test -e "/proc/$there/cwd/inA"
nsenter -t "$(held S)" --mount sh -c 'umount -l /dev/shm && mount -t tmpfs none /dev/shm && echo B >/dev/shm/inB'
is "$(cat "$inner/posix/inB")" B "is replaced"
hold S2 nsenter -t "$(held S)" --ipc unshare --mount sh -c "mount --bind '$TESTDIR/shm-A' /dev/shm && exec $HOLDERS wait"
is "$(cat "$inner/posix/inB" "$inner/posix.2/inA" | xargs)" "B A" "and is back beside what replaced it"
is "$(ls "$inner/posix.2" "$inner/info/posix.2" | grep -c inA)" 2 "in info/, too"
is "$(cat "/proc/$there/cwd/inA")" A "to whom it was the working directory it is"
kill $there
wait $there 2>/dev/null
drop S2 S
umount "$TESTDIR/shm-A"
is "$(grep -c '^Posix:' "${ns[A]}/info/namespace")" 1 "nor in info/namespace"
# What is not followed is told of: a part of a tmpfs, another file system, nothing.
not_shown() { # FIELD ERE NAME, with S as the process
	like "$(grep "^NotShown:.*mount namespace $(readlink "/proc/$(held S)/ns/mnt" | tr -dc 0-9) (/proc/$(held S)/root/dev/shm)" "$MNT/ns/$(ipc_inum "$(held S)")/info/namespace")" "$1" "$2"
	drop S
}
mkdir "$TESTDIR/volume" && mount -t tmpfs none "$TESTDIR/volume" && mkdir -p "$TESTDIR/volume/pod/sub path"
hold S unshare --ipc --mount sh -c "mount --bind '$TESTDIR/volume/pod/sub path' /dev/shm && exec $HOLDERS wait"
not_shown "directory /pod/sub path of a file system tmpfs .[0-9]*:[0-9]*., which is here $TESTDIR/volume/pod/sub path, and followed is a whole tmpfs only" \
	"a directory of a tmpfs on /dev/shm is told of"
hold S unshare --ipc --mount sh -c "mount --bind /proc/sys/kernel /dev/shm && exec $HOLDERS wait"
not_shown "directory /sys/kernel of a file system proc .*: another might not answer" "so is another file system"
hold S unshare --ipc --mount sh -c "umount --lazy /dev/shm; while umount --lazy /dev/shm; do :; done 2>/dev/null; exec $HOLDERS wait"
not_shown "nothing is mounted there" "so is a /dev/shm that is none"
hold S unshare --ipc --mount sh -c "mount -t tmpfs none /dev/shm && exec $HOLDERS wait"
is "$(grep -c ^NotShown "$MNT/ns/$(ipc_inum "$(held S)")/info/namespace")" 0 "one that is followed is not"
drop S
umount "$TESTDIR/volume"
in_shm A rm name
# As many as somebody likes: a namespace once had numbers for 256 files that are only ours.
container D --
nsenter --target "${pid[D]}" --all sh -c 'for i in $(seq 260); do
	unshare --mount sh -c "mount -t tmpfs none /dev/shm && exec sleep 1000" &
done' >/dev/null 2>&1
shown() { ls "${ns[D]}/info" | grep -c posix; }
all_shown() { [ "$(shown)" -eq 261 ]; }
until_true 60 all_shown
is "$(shown)" 261 "a namespace shows 261"
is "$(find "${ns[D]}" -maxdepth 2 ! -path '*/posix*/*' -printf '%i\n' | sort | uniq -d)" "" "no two of its directories and files have one inode number"
quit D
unset "inum[D]" "ns[D]" "pid[D]"

diag "--- a volume that the host has under its own name"
mkdir -p "$TESTDIR/volumes/dshm"
mount -t tmpfs -o mode=1777 volume "$TESTDIR/volumes/dshm"
hold S unshare --ipc --mount sh -c "mount --bind '$TESTDIR/volumes/dshm' /dev/shm && echo torch >/dev/shm/torch && exec $HOLDERS wait"
inner=$MNT/ns/$(ipc_inum "$(held S)")
is "$(cat "$inner/posix/torch")" torch "bound on /dev/shm by root it is posix/"
like "$(cat "$inner/info/namespace")" "^Posix:.*posix is /dev/shm of mount namespace $(readlink "/proc/$(held S)/ns/mnt" | tr -dc 0-9)" "info/namespace says so"
drop S
umount "$TESTDIR/volumes/dshm"

diag "--- the first look of all"
fresh=$TESTDIR/fresh
mkdir "$fresh"
in_shm A sh -c 'echo object >first'
for what in orphans unlinked info/posix/first limits metrics "posix/first" info; do
	segfs_start "$fresh" "${options}orphan_age=0,orphan_age_unsafe"
	first=$(cat "$fresh/ns/${inum[A]}/$what" 2>/dev/null || ls "$fresh/ns/${inum[A]}/$what" 2>/dev/null || cat "$fresh/$what")
	case $what in
	orphans) like "$first" "^posix-first$" "at the first look into a namespace its objects are in orphans/" ;;
	unlinked) is "$first" "" "unlinked/" ;;
	limits) like "$first" "^posix: .*used" "limits" ;;
	metrics) like "$first" "namespace=\"${inum[A]}\",kind=\"posix\",verdict=\"orphaned\",unlinked=\"false\"} 1$" "metrics" ;;
	info) like "$first" "^posix$" "info/" ;;
	*) like "$first" "object|^File:.*posix/first" "$what" ;;
	esac
	umount "$fresh"
	segfs_wait "$fresh"
done
in_shm A rm first

diag "--- a thread that is made by one that is in there"
agent H5 nsenter -t "${pid[A]}" --ipc
there=$(tell H5 shmget 0 4096 'IPC_CREAT|0600')
tell H5 shmat a "$there" >/dev/null
segfs_start "$fresh" "${options}orphan_age=0,orphan_age_unsafe"
ls "$fresh/ns/${inum[A]}/sysv" >/dev/null
# GLib keeps idle threads for a while; the next that is needed then is a new one.
no_idle() { ! cat "/proc/${segfs_pid[$fresh]}"/task/*/comm | grep -q pool; }
ok "(its idle threads end)" until_true 60 no_idle
head -c 1 "$fresh/ns/${inum[A]}/sysv/$there" >/dev/null
is "$(for t in "/proc/${segfs_pid[$fresh]}"/task/*; do readlink "$t/ns/ipc"; done | sort -u)" "$(readlink /proc/self/ns/ipc)" "is at home"
is "$(jq -r --arg n "$(ipc_inum self)" '[.segments[] | select(.kind == "sysv" and (.namespace | tostring) == $n)] | length' "$fresh/segments.json")" "$(tail -n +2 /proc/sysvipc/shm | wc -l)" "and what it says of the host is of the host"
umount "$fresh"
segfs_wait "$fresh"
quit H5
inside A ipcrm -m "$there"

diag "--- segments.json and metrics"
in_shm A sh -c 'head -c 5000 /dev/zero >object'
cat "$MNT/segments.json" >"$TESTDIR/json"
cat "$MNT/metrics" >"$TESTDIR/metrics"
own=$(ipc_inum self)
is "$(jq '.namespaces[].ipc' "$TESTDIR/json" | sort -n | xargs)" "$(numbers "$own" "${inum[@]}")" "all namespaces"
is "$(jq -r '.namespaces[0].ipc' "$TESTDIR/json")" "$own" "the mount's own first"
is "$(jq -r '.segments[] | select(.kind == "sysv") | "\(.namespace) \(.shmid) \(.key_hex) \(.size)"' "$TESTDIR/json" | sort)" \
	"$(for c in "$own" "${inum[@]}"; do
		case $c in
		"${inum[A]}") echo "$c 3 0x00001234 100" ;;
		*) echo "$c 0 0x00001234 8192" ;;
		esac
	done | sort)" "each segment, with its namespace"
is "$(jq -r '.segments[] | select(.kind == "posix") | "\(.namespace) \(.name) \(.size)"' "$TESTDIR/json")" "${inum[A]} object 5000" "an object"
is "$(jq -r --argjson n "${inum[B]}" '.segments[] | select(.namespace == $n and .kind == "sysv") | .holders[].pid' "$TESTDIR/json")" "${pid[B]}" "its holder"
for c in "${all[@]}"; do
	is "$(awk -v n="{namespace=\"${inum[$c]}\"" 'index($1, "segfs_segments" n) == 1 && /kind="sysv"/ { sum += $NF } END { print sum }' "$TESTDIR/metrics")" 1 "$c: metrics: one segment"
	is "$(awk -v n="segfs_sysv_segments{namespace=\"${inum[$c]}\"}" '$1 == n { print $2 }' "$TESTDIR/metrics")" 1 "$c: metrics: held against its limit"
done
is "$(grep -c '^segfs_size_bytes.*kind="posix".* 5000$' "$TESTDIR/metrics") $(tail -n 1 "$TESTDIR/metrics")" "1 # EOF" "metrics: the object once"
is "$(as_user 20001 cat "$MNT/segments.json" | jq -r '.namespaces[].ipc')" "$own" "a plain user is shown the mount's own alone"
in_shm A rm object

diag "--- names"
hold S unshare --ipc "$HOLDERS" wait
dead=$(ipc_inum "$(held S)")
ok "a fifth namespace" test -d "$MNT/ns/$dead/sysv"
drop S

diag "--- a namespace whose only process has lost its first thread"
hold S unshare --ipc "$HOLDERS" leader make 4096
for thread in /proc/"$(held S)"/task/*; do number=$(ipc_inum "${thread##*/}") && [ -n "$number" ] && break; done
is "$(ls "$MNT/ns/$number/sysv")" "$(held S 2)" "is there"
is "$(head -c 1 "$MNT/ns/$number/sysv/$(held S 2)" | wc -c)" 1 "and can be read"
like "$(cat "$MNT/ns/$number/info/namespace")" "^Posix:.*seen by process $(held S)" "its /dev/shm is known"
drop S
is "$("$SHMTOOL" run "look $MNT/ns/$number")" ENOENT "it ends with the last"

for name in 0 "$own" "$dead" 0123 "0${inum[A]}" "+${inum[A]}" " ${inum[A]}" "${inum[A]} " "0x$(printf %x "${inum[A]}")" x 1 -1 "ipc:[${inum[A]}]" 4294967296 99999999999999999999; do
	is "$("$SHMTOOL" run "look $MNT/ns/${name// /\\x20}")" ENOENT "ns/$name: there is none"
done

diag "--- others than root of the host"
# The kernel may remember the directories that root has just walked; that must not help anybody.
walk() { ls -lR "$MNT/ns" >/dev/null && cat "${ns[A]}/limits" "${ns[B]}/sysv/0" "${ns[B]}/info/namespace" >/dev/null; }
denied() {
	local name=$1 what file
	shift
	for what in "ls $MNT/ns" "ls ${ns[A]}" "cat ${ns[A]}/limits" "stat ${ns[A]}/sysv/3" "cat ${ns[B]}/sysv/0" "stat ${ns[B]}/posix" "cat ${ns[B]}/info/namespace" "touch ${ns[B]}/posix/x" "rm ${ns[A]}/sysv/3" "stat ${ns[A]}" "stat $MNT/ns/1"; do
		walk
		# shellcheck disable=SC2086
		fails_with EACCES "$name: ${what//$MNT/mnt}, right after root has walked there" "$@" $what
	done
}
denied "a plain user" as_user 20001
denied "a plain user of root's group" as_user 20001 -g 0
denied "the user of a namespace" "${as[@]}" --reuid 20001 --regid 20001 unshare --user --map-root-user
denied "root of another user namespace" unshare --user --map-root-user
denied "root without capabilities" setpriv --bounding-set=-all --inh-caps=-all
is "$(as_user 20001 stat -c '%F %a %U' "$MNT/ns")" "directory 500 root" "ns itself can be seen"
# A process that is in there already: a shell of root's that becomes somebody else, or its open files.
echo secret >"${ns[B]}/posix/anyones"
chmod 666 "${ns[B]}/posix/anyones"
for what in "ls ." "cat posix/anyones" "cat limits" "cat info/namespace" "cat info/posix/anyones" "touch posix/x" "rm posix/anyones" "truncate -s 4096 key/0x4242" "getfattr -n user.segfs.verdict posix/anyones" "chmod 600 posix/anyones" "mv posix/anyones posix/other" "ln posix/anyones posix/other" "ls posix" "ls orphans" "stat sysv/99"; do
	walk
	# shellcheck disable=SC2086
	(cd "${ns[B]}" && as_user 20001 $what) 2>"$TESTDIR/err" >"$TESTDIR/out"
	like "$? $(cat "$TESTDIR/err")" "^[12] .*(Permission denied|No such file)" "a plain user who was put there: $what"
	is "$(cat "$TESTDIR/out")" "" "and is shown nothing"
done
is "$(cat "${ns[B]}/posix/anyones")" secret "nothing has changed"
is "$(cd "${ns[B]}" && exec 9<posix/anyones && cd / && as_user 20001 cat <&9)" secret "what root has opened for them they read"
rm "${ns[B]}/posix/anyones"

diag "--- a namespace ends"
container X --
was=${inum[X]} shmfile=${ns[X]}/posix/object
id=$(tell X shmget 0x42 8192 'IPC_CREAT|0600')
tell X shmat a "$id" >/dev/null
tell X fill a X >/dev/null
echo object >"$shmfile"
agent H2
tell H2 open r "${ns[X]}/sysv/$id" O_RDONLY >/dev/null
tell H2 open w "${ns[X]}/sysv/$id" O_RDWR >/dev/null
tell H2 open p "$shmfile" O_RDWR >/dev/null
tell H2 open d "${ns[X]}/sysv" O_RDONLY >/dev/null
tell H2 open q "${ns[X]}/posix" O_RDONLY >/dev/null
no_passthrough || tell H2 mmap m w "$rw" MAP_SHARED 8192 >/dev/null
in_there=$(ls -lR "${ns[X]}" 2>&1)
unlike "$in_there" "cannot|No such" "it is walked through"
# The tools of the walk, too: only X's own processes may be left in it.
quit X
gone() { ! ls "$MNT/ns" | grep -qxF "$was"; }
ok "its last process ended, it is not listed" gone
fails_with ENOENT "it is not to be found" ls "$MNT/ns/$was"
fails_with ENOENT "nor is what was in it" cat "$MNT/ns/$was/sysv/$id"
is "$(do_ops "look $MNT/ns/$was" "look $MNT/ns/$was/limits" "look $MNT/ns/$was/posix/object" "unlink $MNT/ns/$was/sysv/$id" "open f $MNT/ns/$was/key/0x43 O_RDWR|O_CREAT 0600" | sort -u)" ENOENT "by no call"
is "$(tell H2 pread r 0 3) $(tell H2 pwrite w 0 still) $(tell H2 pread r 0 6) $(tell H2 pread w 8190 10)" "3:XXX 5 6:stillX 2:XX" "a segment opened before is read and written"
is "$(tell H2 pwrite w 8190 abc) $(tell H2 pwrite w 8192 abc) $(tell H2 fstat r | sed 's/.*size=\([0-9]*\) .*/\1/')" "2 ENOSPC 8192" "it ends where it ended"
no_passthrough || is "$(tell H2 poke m 10 mapped)$(tell H2 pread r 10 6)" "06:mapped" "its mapping is its memory"
is "$(tell H2 pread p 0 6) $(tell H2 pwrite p 0 OBJ) $(tell H2 pread p 0 6)" '6:object 3 6:OBJect' "so is an object"
is "$(tell H2 fstat p | cut -d' ' -f5) $(tell H2 ftruncate p 3) $(tell H2 lseek p 0 SEEK_END) $(tell H2 fchmod p 0600)" "size=7 0 3 0" "which can be looked at and changed"
like "$(tell H2 fstat q)" "^mode=41777 .* nlink=[0-9]+ " "and so is a directory"
quit H2
ok "root walks on" walk

diag "--- a number that comes again is another namespace"
again=
for try in $(seq 40); do
	container X --
	was=${inum[X]}
	echo first >"${ns[X]}/posix/first"
	tell X shmget 0x51 4096 'IPC_CREAT|0600' >/dev/null
	ls -lR "${ns[X]}" >/dev/null
	cat "${ns[X]}/sysv/0" "${ns[X]}/info/namespace" >/dev/null
	quit X
	# Takes the number of the device, so that the next /dev/shm has another.
	mkdir -p "$TESTDIR/device-$try"
	mount -t tmpfs none "$TESTDIR/device-$try"
	container X --
	if [ "${inum[X]}" = "$was" ]; then
		again=yes
		break
	fi
	quit X
done
if [ -n "$again" ]; then
	diag "after $try tries"
	is "$(names "${ns[X]}")" "info key limits msg orphans posix sem sysv unlinked" "it has a posix/ of its own"
	is "$(names "${ns[X]}/sysv")$(names "${ns[X]}/posix")" "" "nothing of the other"
	tell X shmget 0x52 8192 'IPC_CREAT|0640' >/dev/null
	is "$(stat -c '%s %a' "${ns[X]}/sysv/0") $(names "${ns[X]}/key")" "8192 640 0x00000052" "its segment of the same number"
	echo second >"${ns[X]}/posix/second"
	is "$(in_shm X cat second)" second "its object"
	quit X
else
	skip "a number that comes again" "it did not in $try tries"
fi
umount "$TESTDIR"/device-*

no_false_verdicts
for c in "${all[@]}" H; do quit $c; done
is "$(ls "$MNT/ns")" "" "all are gone"
done_testing
