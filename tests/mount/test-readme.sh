#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# README.md's recipes: each line of them, as it stands there, in a world that is made for it; first now, and then those
# that have an age floor once more two hours later (later.c). A line that this test does not know fails it.
# (with-mount -n; "root": on root's mount, and README's listing, too; "user": on that of a plain user, alice)
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib-holders.sh"
. "$(dirname "$0")/lib-ns.sh"
need getfattr nsenter setpriv
: "${SEGLS:?}" "${LATER:?}"

who=$1
readme=$(dirname "$0")/../../README.md
alice=20001 bob=20002

# --- the world

# Names for the users, and a place for node_exporter's and docker's files: of this mount namespace alone.
for file in passwd group; do
	cp "/etc/$file" "$TESTDIR/$file"
	sed -i '/^\(alice\|bob\):/d' "$TESTDIR/$file"
done
printf '%s:x:%s:%s::/:/bin/sh\n' alice $alice $alice bob $bob $bob >>"$TESTDIR/passwd"
printf '%s:x:%s:\n' alice $alice bob $bob >>"$TESTDIR/group"
for file in passwd group; do
	mount --bind "$TESTDIR/$file" "/etc/$file" || skip_all "cannot mount on /etc/$file"
done
getent passwd www-data >/dev/null || echo "www-data:x:33:33::/:/bin/sh" >>"$TESTDIR/passwd"
web=$(id -u www-data)
mount -t tmpfs -o mode=0755 segfs-test-lib /var/lib || skip_all "cannot mount on /var/lib"
mkdir -m 1777 /var/lib/node_exporter
mkdir -m 0777 "$TESTDIR/there"
ln -s "$MNT" "$TESTDIR/there/mnt"
mkdir "$TESTDIR/bin"
cp "$SHMTOOL" "$TESTDIR/bin/train"
cp "$LATER" "$TESTDIR/later.so"
chmod -R a+rX "$TESTDIR/bin" "$TESTDIR/later.so"
export PATH=$TESTDIR/bin:$(dirname "$SEGLS"):$PATH

me=()
[ "$who" = root ] || me=(setpriv --reuid $alice --regid $alice --clear-groups)
if [ "$who" = user ]; then
	[ -u "$(command -v fusermount3)" ] || skip_all "no fusermount3 that is setuid"
	chown $alice "$MNT"
fi
segfs_start "$MNT" orphan_age=1 "${me[@]}" || done_testing
log=$(cat "$(segfs_log "$MNT")")
knows_ends=no knows_names=no
[[ $log != *"history: the ends of tasks"* ]] || knows_ends=yes
[[ $log != *"/dev/shm, since"* ]] || knows_names=yes

# A pod, by what docker leaves on the host of one: its cgroup and a file.
cgroup=
container_id=$(head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n')
leave() {
	quit W
	[ -z "$cgroup" ] || until_true 10 rmdir "$cgroup"
	cgroup=
}
trap leave EXIT
if [ "$who" = root ]; then
	container W --
	in_shm W mount -o remount,size=4M /dev/shm
	in_shm W sh -c 'head -c 1M /dev/zero >nccl-1'
	tell W open f /dev/shm/nccl-1 O_RDONLY >/dev/null
	for top in /sys/fs/cgroup /sys/fs/cgroup/unified; do
		[ -f $top/cgroup.procs ] && mkdir "$top/docker-$container_id.scope" && cgroup=$top/docker-$container_id.scope && break
	done
	if [ -n "$cgroup" ]; then
		echo "${pid[W]}" >"$cgroup/cgroup.procs"
		mkdir -p "/var/lib/docker/containers/$container_id"
		cat >"/var/lib/docker/containers/$container_id/config.v2.json" <<-END
			{"Name":"/k8s_a","Config":{"Labels":{"io.kubernetes.container.name":"nginx",
			"io.kubernetes.pod.name":"web-5","io.kubernetes.pod.namespace":"shop"}}}
		END
	fi
fi

# Alice's job has left two segments and an object that nobody has used for two hours.
as_user $alice train run "shmget 0x52415401 8M IPC_CREAT|IPC_EXCL|0600" "shmget 0 1M IPC_CREAT|0600" >/dev/null
as_user $alice dd if=/dev/zero of="$MNT/sysv/0" bs=1M count=2 conv=notrunc status=none
as_user $alice head -c 204800 /dev/zero >/dev/shm/cache
chown $alice:$alice /dev/shm/cache
touch -d '2 hours ago' /dev/shm/cache
# In use: a segment with a key, one that is removed, a memfd, a deleted object, an object.
mkseg 56 0600 0xe2c001 >/dev/null
hold P "$HOLDERS" attach 2
mkseg 3M 0600 >/dev/null
hold D "$HOLDERS" attach 3
ipcrm -m 3
hold M "$HOLDERS" memfd frames 5M 5M
hold U "$HOLDERS" unlinked /dev/shm/torch_8812-3 300000 300000
head -c 6 /dev/zero >/dev/shm/sem.demo
hold O "$HOLDERS" map /dev/shm/sem.demo
# Sets of www-data: one that a process waits for, one of a process that has ended.
waited=$(as_user "$web" "$SHMTOOL" run "semget 0x51 1 IPC_CREAT|0600")
left=$(as_user "$web" "$SHMTOOL" run "semget 0x52 1 IPC_CREAT|0600")
own=$("$SHMTOOL" run "semget 0x53 1 IPC_CREAT|0600")
agent S setpriv --reuid "$web" --regid "$web" --clear-groups
send S semop "$waited" 0 -1

segments() { awk 'NR > 1 { print $2 }' /proc/sysvipc/shm | sort -n | xargs; }
sets() { awk 'NR > 1 { print $2 }' /proc/sysvipc/sem | sort -n | xargs; }
# listed NAME...: what leaked, and the two sets that nobody waits for
listed() {
	local wanted=$*
	! knows_uses || wanted+=" sem-$left sem-$own"
	[ "$("${me[@]}" ls "$MNT/orphans" | sort | xargs)" = "$(tr ' ' '\n' <<<"$wanted" | sort | xargs)" ]
}
without_sets() { if knows_uses; then sed -E '/ sem-[0-9]+$/d; s/ +/ /g'; else cat; fi; }
waits() { grep -q ^Waiter: "$MNT/info/sem/$waited"; }

# as_it_stands LINE [COMMAND PREFIX...]: $status, $out and $err of a line of README, where mnt is the mount.
as_it_stands() {
	local line=$1
	shift
	status=0
	(cd "$TESTDIR/there" && exec "${me[@]}" "$@" bash -c "$line") >"$TESTDIR/out" 2>"$TESTDIR/err" </dev/null || status=$?
	out=$(cat "$TESTDIR/out") err=$(cat "$TESTDIR/err")
}
two_hours_later() { as_it_stands "$1" env LD_PRELOAD="$TESTDIR/later.so" LATER_SECONDS=7200; }
went_well() { is "$status $err" "0 " "$who: $line"; }
# At least one line of what it printed.
said() { like "$out" "$1" "$2"; }

# Lines of code below a heading of README, without their indentation.
code_below() { sed -n "/^## $1\$/,/^## /s/^    //p" "$readme"; }

# --- README's listing

if [ "$who" = root ]; then
	diag "--- what it looks like"
	until_true 30 listed posix-cache sysv-0 sysv-1 || diag "$(ls "$MNT/orphans")"
	# Which programs at functions the kernel takes is not the same on every machine.
	masked() { without_sets | sed -E 's/[A-Z][a-z]{2} [ 0-9][0-9] [0-9]{2}:[0-9]{2} /DATE /; s/(^History:.*); (no )?function probes.*/\1/'; }
	if [ $knows_ends$knows_names = yesyes ]; then
		commands=0 want=
		compare() { [ -z "$command" ] || is "$(masked <<<"$out")" "$(masked <<<"${want%$'\n'}")" "as README shows it: $command"; }
		command=
		while IFS= read -r line; do
			if [[ $line == '$ '* ]]; then
				compare
				command=${line#\$ } want= commands=$((commands + 1))
				as_it_stands "$command"
				# What is a number in a text is so by chance: a pid, a time.
				[[ $command == ls* ]] || out=$(sed -E 's/[0-9]+/N/g' <<<"$out")
			else
				[[ $command == ls* ]] || line=$(sed -E 's/[0-9]+/N/g' <<<"$line")
				want+=$line$'\n'
			fi
		done < <(sed -n '/^## What it looks like$/,/^## Recipes$/{/^    /{s/^    //;p};/^$/p}' "$readme" | sed -e '/./,$!d' | awk '/./ { for (; blank; blank--) print ""; print } /^$/ { blank++ }')
		compare
		le 2 $commands "README shows what $commands commands print"
	else
		skip "as README shows it" "$log"
	fi
fi

# Bob's leak; what somebody has removed.
mkseg -u $bob 4096 0600 >/dev/null
: >/dev/shm/lock
rm /dev/shm/lock
[ "$who" = root ] && mine="posix-cache sysv-0 sysv-1 sysv-4" || mine="posix-cache sysv-0 sysv-1"
ok "what has leaked is orphaned" until_true 30 listed "$mine" || diag "$(ls "$MNT/orphans")"
bobs_is_orphaned() { "${me[@]}" grep -q '^Verdict:.orphaned' "$MNT/info/sysv/4"; }
ok "so is what is not listed to everybody" until_true 30 bobs_is_orphaned
[ "$who" = user ] || ok "a process waits for a set" until_true 30 waits

# --- the recipes

# One line of README each: run as it stands there, and what came of it. False: it is not one of these.

recipe_of_leaks() {
	local line=$1 before
	case $line in
	'ls -l mnt/orphans')
		as_it_stands "$line" && went_well
		is "$(awk 'NR > 1 { print $3, $5, $NF }' <(without_sets <<<"$out") | xargs)" "alice 204800 posix-cache alice 8388608 sysv-0 alice 1048576 sysv-1$([ "$who" = user ] || echo ' bob 4096 sysv-4')" "what leaked, whose it is, how large" ;;
	'grep -h -e ^File -e ^Creator: -e ^Evidence mnt/info/sysv/* mnt/info/posix/*')
		as_it_stands "$line" && went_well
		is "$(sed -n 's/^File:\t//p' <<<"$out" | xargs)" "sysv/0 sysv/1 sysv/2 sysv/4 posix/cache posix/sem.demo" "each file"
		is "$(grep -c '^Evidence:	nobody holds it; unused for' <<<"$out")" 4 "four that nobody holds"
		[ "$who$knows_ends" != rootyes ] || is "$(sed -n '/^File:.sysv.0/,/^Ev/s/^Creator:\t//p' <<<"$out")" train "who made it" ;;
	'find mnt/orphans -type f -amin +60 -mmin +60 -delete')
		before=$(segments)
		as_it_stands "$line" && went_well
		is "$out $(segments)" " $before" "it is silent, and no segment is an hour old"
		is "$(ls /dev/shm | xargs)" "sem.demo" "the object that nobody has used for two hours is gone" ;;
	'cat mnt/metrics > /var/lib/node_exporter/segfs.tmp && mv /var/lib/node_exporter/segfs.tmp /var/lib/node_exporter/segfs.prom')
		as_it_stands "$line" && went_well
		is "$(ls /var/lib/node_exporter)" segfs.prom "one whole file"
		like "$(cat /var/lib/node_exporter/segfs.prom)" "^segfs_segments\{.*kind=\"sysv\",verdict=\"orphaned\",unlinked=\"false\"\} 3$" "it has how many leaked"
		is "$(tail -n 1 /var/lib/node_exporter/segfs.prom)" "# EOF" "to its end" ;;
	'segls --orphans --orphan-age 3600 -o FILE,SIZE,OWNER,CREATOR,EVIDENCE')
		as_it_stands "$line"
		is "$status $(wc -l <<<"$out")" "0 1" "$who: $line: nothing that has leaked is an hour old"
		two_hours_later "$line"
		is "$status $(grep -c 'sysv/[23]\|sem.demo' <<<"$out")" "0 0" "two hours later: nothing that is in use"
		said "^sysv/1 +1M +alice +[^ ]+ +nobody holds it; unused for [0-9]+ s; its creator [0-9]+ has ended" "what has leaked, and why that is known" ;;
	*) return 1 ;;
	esac
	return 0
}

recipe_of_memory() {
	local line=$1 before
	case $line in
	'grep ^Holder mnt/info/sysv/2 mnt/info/unlinked/*')
		as_it_stands "$line"
		if [ "$who" = root ]; then
			went_well
			said "^mnt/info/sysv/2:Holder:	$(held P) holders, user root, attached 1" "who has it attached"
			said "^mnt/info/unlinked/sysv-3:Holder:	$(held D) holders" "who pins the removed one"
			said "^mnt/info/unlinked/memfd-frames-$(held M 2):Holder:	$(held M) holders" "whose memfd it is"
			said "^mnt/info/unlinked/posix-torch_8812-3-$(held U 2):Holder:	$(held U) holders" "who has the deleted object open"
		else
			is "$status $out $err" "1  " "nobody's processes may be looked into"
		fi ;;
	'du -ch mnt/sysv mnt/posix mnt/unlinked')
		as_it_stands "$line" && went_well
		said "^2\.0M	mnt/sysv$" "what is resident of segments"
		said "^$([ "$who" = root ] && echo '5\.3M' || echo 0)	mnt/unlinked$" "of what has no name"
		said "	total$" "in all" ;;
	'cat mnt/limits')
		as_it_stands "$line" && went_well
		is "$(awk '{ at[$1] = $2 } END { print at["shmem-named:"] + at["shmem-unlinked:"] + at["shmem-elsewhere:"] - at["shmem:"] }' <<<"$out")" 0 "all of Shmem is accounted for"
		said "^shmem-unlinked: $([ "$who" = root ] && echo $((5 * 1048576 + 75 * 4096 - 2 * 4096 + 4096)) || echo 0) bytes" "and what of it has no name" ;;
	'segls --by=process')
		as_it_stands "$line"
		is "$status" 0 "$who: $line"
		if [ "$who" = root ]; then
			said "^ *1 +5M +5M +5M +5M +1 +1 $(held M) holders$" "who has how much, and how much of it would come back"
		else
			said "^ *[0-9]+ .* -$" "what nobody holds that may be looked into"
			like "$err" "processes could not be examined" "and that there are others"
		fi ;;
	*) return 1 ;;
	esac
	return 0
}

recipe_of_pods() {
	local line=$1 before
	case $line in
	'grep ^Container mnt/ns/*/info/namespace')
		as_it_stands "$line"
		if [ "$who" = user ]; then
			like "$status $err" "^2 .*No such file" "there is no ns/ for a plain user"
		elif [ -n "$cgroup" ]; then
			went_well
			said "^Container:	kubernetes pod shop/web-5, docker nginx, id $container_id$" "which pod it is"
		else
			said "^Container:	none that is known$" "no container, where there are no cgroups of version 2"
		fi ;;
	'df -h mnt/ns/*/posix')
		as_it_stands "$line"
		if [ "$who" = user ]; then
			like "$status $err" "^1 .*No such file" "nor df"
		else
			went_well
			said "^segfs +4\.0M +1\.0M +3\.0M +25% " "how full it is"
		fi ;;
	'ls -lS mnt/ns/*/posix mnt/ns/*/unlinked')
		as_it_stands "$line"
		if [ "$who" = user ]; then
			like "$status $err" "^2 .*No such file" "nor ls"
		else
			went_well
			said " root +root +1048576 .* nccl-1$" "and of what"
		fi ;;
	*) return 1 ;;
	esac
	return 0
}

recipe_of_copies() {
	local line=$1 before
	case $line in
	'cp --sparse=always mnt/key/0x52415401 image')
		as_user $alice dd if="$SHMTOOL" of="$MNT/sysv/0" bs=4096 count=4 conv=notrunc status=none
		as_it_stands "$line" && went_well
		same "the image has the segment's bytes" "$TESTDIR/there/image" <(as_user $alice cat "$MNT/sysv/0")
		le "$(stat -c %b "$TESTDIR/there/image")" 32 "and what is untouched, or zero, is not on the disk" ;;
	'cp --sparse=always image mnt/key/0x52415401')
		as_user $alice dd if=/dev/urandom of="$MNT/sysv/0" bs=4096 count=2 conv=notrunc status=none
		as_it_stands "$line" && went_well
		le "$(ipc_table 0 rss)" 16384 "no page that is zero is resident" # reading them all can make them so
		same "the segment has the image's bytes again" "$TESTDIR/there/image" <(as_user $alice cat "$MNT/sysv/0") ;;
	*) return 1 ;;
	esac
	return 0
}

recipe_of_history() {
	local line=$1 before
	case $line in
	'grep ^Creator mnt/info/sysv/0')
		as_it_stands "$line" && went_well
		said "^CreatorUser:	$alice \(alice\)$" "whose it is"
		said "^CreatorPid:	[0-9]+ \(ended\)$" "who made it has ended"
		if [ "$who$knows_ends" = rootyes ]; then
			said "^Creator:	train$" "it was this program"
			said "^$(segment_line "CreatorCommand:	train run shmget 0x52415401 8M")" "with this command line"
			said "^CreatorEnd:	exit status 0, 20[0-9-]+ [0-9:]+ \+0000$" "which ended so"
		fi ;;
	'grep -h -e ^File -e ^Creator: -e ^Removed mnt/gone/*')
		as_it_stands "$line"
		if [ "$who$knows_names" = rootyes ]; then
			went_well
			like "$(grep -A 3 '^File:	posix/lock$' <<<"$out" | xargs -0)" "^Creator:	(test-readme.sh|bash)\$" "who had made it"
			said "^RemovedBy:	[0-9]+ rm, user root$(line ", rm /dev/shm/lock")$" "who removed it"
		elif [ "$who" = root ] && knows_uses; then
			went_well
			said "^RemovedBy:	[0-9]+ ipcrm, user root, ipcrm -m 3$" "who removed a segment"
		else
			is "$status" 2 "nothing is known of what was removed"
		fi ;;
	*) return 1 ;;
	esac
	return 0
}

recipe_of_sets() {
	local line=$1 before
	case $line in
	'grep -H -e ^Owner -e ^Evidence -e ^Waiter mnt/info/sem/*')
		as_it_stands "$line" && went_well
		is "$(grep -c 'Owner:.*(www-data)$' <<<"$out") $(grep -c 'Owner:.*(root)$' <<<"$out")" "2 1" "whose they are"
		[ "$who" = user ] || said "^mnt/info/sem/$waited:Waiter:	${agent_process[S]} shmtool" "who waits" ;;
	'find mnt/sem -user www-data -mmin +60 -delete')
		before=$(sets)
		as_it_stands "$line" && went_well
		is "$out $(sets)" " $before" "it is silent, and no set is an hour old" ;;
	*) return 1 ;;
	esac
	return 0
}

recipe() {
	local one
	for one in leaks memory pods copies history sets; do
		"recipe_of_$one" "$1" && return
	done
	tap_fail "a line of README that this test does not know: $1"
}

# The same for those that are run once more, later.
recipe_later() {
	local line=$1 before
	case $line in
	'find mnt/orphans '*)
		two_hours_later "$line" && went_well
		is "$(segments)" "$([ "$who" = root ] && echo 2 3 || echo 2 3 4)" "two hours later: what has leaked is gone, what is held and what is another's is not"
		is "$(ls /dev/shm | xargs)" sem.demo "nor an object that is mapped" ;;
	'find mnt/sem '*)
		before=$(sets)
		two_hours_later "$line"
		if [ "$who" = root ]; then
			went_well
			# It was among the orphans.
			! knows_uses || own=
			is "$(sets) $(answer S)" "$own EIDRM" "two hours later: those of www-data are gone, also for who waits; root's is not"
		else
			like "$status $err" "^1 .*Operation not permitted" "another's are not removed"
			is "$(sets)" "$before" "none of them"
		fi ;;
	'cp --sparse=always image '*)
		# The recipe for cron has removed the segment.
		fails "the segment is gone" test -e "$MNT/key/0x52415401"
		as_it_stands "$line" && went_well
		same "it is there again" "$TESTDIR/there/image" <("${me[@]}" cat "$MNT/key/0x52415401")
		is "$(stat -c '%U %a' "$MNT/key/0x52415401" 2>/dev/null || "${me[@]}" stat -c '%U %a' "$MNT/key/0x52415401")" "$([ "$who" = root ] && echo root || echo alice) 600" "the caller's, with the mode of the image" ;;
	*min*) tap_fail "a line with an age floor that is not tried later: $line" ;;
	esac
}

declare -A seen
mapfile -t lines < <(code_below Recipes)
le 10 ${#lines[@]} "README has ${#lines[@]} lines of recipes"
for line in "${lines[@]}"; do
	diag "--- $line"
	recipe "$line"
	[ -z "${seen[$line]:-}" ] || tap_fail "README has it twice: $line"
	seen[$line]=yes
done
# What this test knows, README has.
while IFS= read -r line; do
	[ -n "${seen[$line]:-}" ] || tap_fail "README has it no more: $line"
done < <(sed -n "s/^\t'\(.*\)')\$/\1/p" "$0")

ok "what is left is orphaned again" until_true 30 listed "${mine#posix-cache }"
for line in "${lines[@]}"; do
	recipe_later "$line"
done

leave
trap - EXIT
drop P D M U O
segfs_stop_ok "$MNT" "it ends cleanly"
done_testing
