#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What the mount shows to each reader: no more than the kernel would, and nothing that a terminal
# obeys. (-o orphan_age=0,orphan_age_unsafe)
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib-holders.sh"
. "$(dirname "$0")/lib-ns.sh"
need getfattr jq nsenter

chmod 1777 /dev/shm
raw() { LC_ALL=C grep -acP '[\x00-\x08\x0b-\x1f\x7f-\x9f]'; }

diag "--- names that a user chooses, on a terminal"
groups=$TESTDIR/groups
mkdir "$groups"
odd=lxc.payload.segfs-test-$$-$'fake\e]0;pwn\a\xc2\x9b31mX'
if mount -t cgroup2 none "$groups" && mkdir "$groups/$odd"; then
	id=$(mkseg 4096 0600)
	hold A "$HOLDERS" attach "$id"
	container C --
	held A >"$groups/$odd/cgroup.procs"
	echo "${agent_process[C]}" >"$groups/$odd/cgroup.procs"
	info "sysv/$id" >"$TESTDIR/text"
	like "$(info "sysv/$id" Holder)" 'cgroup /.*fake\\033\]0;pwn\\007\\302\\23331mX' "the cgroup of a holder, escaped"
	is "$(raw <"$TESTDIR/text")" 0 "no control character in info/"
	/bin/cat "${ns[C]}/info/namespace" >"$TESTDIR/text"
	like "$(grep -a '^Container:' "$TESTDIR/text")" "lxc segfs-test-$$-fake\\\\033\\]0;pwn\\\\007\\\\302\\\\23331mX" "the container of a namespace"
	is "$(grep -ac '^Cgroup:.*fake\\033' "$TESTDIR/text") $(raw <"$TESTDIR/text")" "1 0" "and its cgroup"
	drop A
	quit C
	until_true 10 rmdir "$groups/$odd" || diag "$groups/$odd stays"
	umount "$groups"
else
	skip "names of cgroups" "no cgroup can be made"
fi
name=$'odd\xc2\x9b31m\xff\e\'\\é'
head -c 100 /dev/zero >"/dev/shm/$name"
hold A "$HOLDERS" open "/dev/shm/$name" $'\xc2\x9b2J\x9bé'
# In info/ a control character of a name is escaped, as it is in orphans/.
cat "$MNT/info/posix/"$'odd%C2%9B31m\xff%1B\'\\é' >"$TESTDIR/text"
is "$(LC_ALL=C.UTF-8 grep -acP '\p{Cc}(?<!\t)' "$TESTDIR/text")" 0 "names of files and command lines"
like "$(sed -n 's/^Name:[[:blank:]]*//p' "$TESTDIR/text")" 'odd\\302\\23331m\\377\\033.\\é$' "what is text stays readable"
drop A
(cd "$MNT" && eval "$(sed -n 's/^Remove:\t\(.*\)   or: .*/\1/p' "$TESTDIR/text")")
is "$(find /dev/shm -type f | wc -l)" 0 "what it says would remove it does"

diag "--- past holders"
stranger=65534
told() { as_user $stranger jq -r ".segments[] | select($1) | $2" "$MNT/segments.json"; }
object=/dev/shm/object
head -c 100 /dev/zero >"$object"
agent A
tell A open f "$object" O_RDONLY >/dev/null
who=$(agent_pid A)
is "$(verdict posix/object)" "in use" "held"
tell A close f >/dev/null
like "$(info posix/object Evidence)" "a process that has held it lives: $who \(shmtool\)" "root is told who has held it"
fails_with EACCES "(whom the kernel does not show to others)" as_user $stranger ls "/proc/$who/fd"
is "$(as_user $stranger sed -n 's/^Evidence:\t//p' "$MNT/info/posix/object")" "nobody holds it; a process that has held it lives" "to others info/ does not name it"
is "$(told '.name == "object"' .evidence)" "nobody holds it; a process that has held it lives" "nor does segments.json"
quit A
agent A as_user $stranger
tell A open f "$object" O_RDONLY >/dev/null
who=$(agent_pid A)
is "$(verdict posix/object)" "in use" "held by another"
tell A close f >/dev/null
like "$(told '.name == "object"' .evidence)" "a process that has held it lives: $who \(shmtool\)" "whom it is shown to, it is named to"
quit A
rm "$object"

diag "--- a /proc that hides the processes of others"
cp "$SHMTOOL" "$TESTDIR/topsecretjob"
# secrets UID FILE: where the mount names it to that user
secrets() {
	local as=(as_user "$1")
	"${as[@]}" grep -l topsecretjob "$MNT/info/$2" "$MNT/segments.json" | sed "s|$MNT/||"
	"${as[@]}" getfattr --absolute-names -d "$MNT/$2" | grep topsecretjob | sed 's|^user.segfs.creator_command=.*|user.segfs.creator="topsecretjob"|' | uniq
}
all() { echo "info/$1"; echo segments.json; echo 'user.segfs.creator="topsecretjob"'; }
if mount -o remount,hidepid=2 /proc; then
	for hide in 2 1 4 0; do
		mount -o "remount,hidepid=$hide" /proc || continue
		diag "hidepid=$hide"
		SHMTOOL=$TESTDIR/topsecretjob agent J setpriv --reuid 20001 --regid 20001 --clear-groups
		SHMTOOL=$TESTDIR/topsecretjob agent R
		who=$(agent_pid J)
		id=$(tell J shmget 0 4096 'IPC_CREAT|0666')
		roots=$(tell R shmget 0 4096 'IPC_CREAT|0600')
		used=$(mkseg 4096 0666)
		tell J shmat a "$used" >/dev/null
		tell J shmdt a >/dev/null
		like "$(info "sysv/$used" Evidence)" "its last user lives: $who \(topsecretjob\)" "root is told who used it last"
		for life in lives "has ended"; do
			is "$(secrets 0 "sysv/$id")" "$(all "sysv/$id")" "root is told who made it, who $life"
			is "$(secrets 20001 "sysv/$id")" "$(all "sysv/$id")" "so is who made it, who $life"
			if [ $hide = 0 ]; then
				is "$(secrets $stranger "sysv/$id")" "$(all "sysv/$id")" "so is a stranger where nothing is hidden"
			else
				is "$(secrets $stranger "sysv/$id") $(secrets $stranger "sysv/$roots") $(secrets $stranger "sysv/$used")" "  " "a stranger is not"
				like "$(told ".shmid == $id" .evidence)" "its creator (lives: $who|$who has ended)" "but what IPC_STAT tells"
				is "$(secrets 20001 "sysv/$roots")" "segments.json" "nor is another, of root's"
				unlike "$(as_user 20001 cat "$MNT/info/sysv/$roots")" topsecretjob "(the file has it of their own)"
			fi
			quit J
			quit R
		done
		rm "$MNT/sysv/"*
	done
	mount -o remount,hidepid=0 /proc
else
	skip "a /proc that hides" "it cannot be mounted so"
fi

diag "--- names in a directory that is not everybody's"
mkdir /dev/shm/sub && chmod 755 /dev/shm/sub
head -c 100 /dev/zero >/dev/shm/secretname
head -c 100 /dev/zero >/dev/shm/sub/secretname
until_true 10 test -e "$MNT/orphans/posix-secretname"
# names UID [GROUP]: where that user reads the names, and how many
names() {
	local as=(as_user "$1" ${2:+-G "$2"})
	echo "$("${as[@]}" ls "$MNT/info/posix" | grep -c secretname)" \
		"$("${as[@]}" ls "$MNT/orphans" | grep -c secretname)" \
		"$("${as[@]}" jq -r '.segments[].file' "$MNT/segments.json" | grep -c secretname)"
}
# finds UID: those that it may stat
finds() { as_user "$1" stat -c %n "$MNT"/{info/posix,orphans}/{,posix-}{secretname,sub%2Fsecretname} 2>/dev/null | wc -l; }
settled() { [ "$(finds "$stranger")" = "${stranger_finds% *}" ]; }
opens() { as_user "$1" cat "$MNT/info/posix/secretname" "$MNT/info/posix/sub%2Fsecretname" 2>/dev/null | grep -c ^Name:; }
chgrp 30001 /dev/shm
# The objects are root's: orphans/ lists them to who may remove them, so not where the directory is sticky.
while read -r mode stranger_names group_names stranger_finds; do
	stranger_names=${stranger_names//_/ } group_names=${group_names//_/ } stranger_finds=${stranger_finds//_/ }
	chmod "$mode" /dev/shm
	# The kernel may keep for a second what an earlier listing said.
	until_true 10 settled
	is "$(names 0)" "2 2 2" "$mode: root is told all the names"
	is "$(finds 0) $(opens 0)" "4 2" "$mode: and finds them"
	# Just after root: the kernel may remember something of root's listing and lookups.
	is "$(finds $stranger) $(opens $stranger)" "$stranger_finds" "$mode: others find what they may search"
	is "$(names $stranger)" "$stranger_names" "$mode: and are told what they may list"
	is "$(as_user $stranger jq .segments_hidden "$MNT/segments.json")" "$((2 - ${stranger_names##* }))" "$mode: the rest is counted"
	is "$(names $stranger 30001)" "$group_names" "$mode: a group counts"
done <<'END'
1777 2_0_2 2_0_2 4_2
0777 2_1_2 2_1_2 4_2
0700 0_0_0 0_0_0 0_0
0770 0_0_0 2_1_2 0_0
0711 1_0_1 1_0_1 4_2
0744 0_0_0 0_0_0 0_0
END
chmod 1777 /dev/shm
rm -r /dev/shm/sub /dev/shm/secretname

diag "--- a set-user-id program that is started as segfs"
cp "$HOLDERS" "$TESTDIR/program"
chmod 4755 "$TESTDIR/program"
ln -s program "$TESTDIR/segfs"
# With what a user may leave it: /dev/fuse, which anybody can open.
# shellcheck disable=SC2016
fake=(setpriv --reuid "$stranger" --regid "$stranger" --clear-groups sh -c 'exec 9<>/dev/fuse; exec "$@"' sh "$TESTDIR/segfs")
hold A "${fake[@]}" memfd kept 8K 8K
is "$(cat "/proc/$(held A)/comm") $(stat -c %u "/proc/$(held A)") $(readlink "/proc/$(held A)/fd/9")" "segfs 0 /dev/fuse" "(it is root's, and called so)"
file=unlinked/memfd-kept-$(held A 2)
is "$(ls "$MNT/unlinked")" "${file#*/}" "what it holds is in unlinked/"
is "$(jq -r ".segments[] | select(.file == \"$file\") | .holders[].pid" "$MNT/segments.json")" "$(held A)" "and in segments.json, with its holder"
drop A
head -c 100 /dev/zero >/dev/shm/object
hold A "${fake[@]}" open /dev/shm/object
row "an object that it has open" posix/object "in use" "$(held A)"
drop A
rm /dev/shm/object
other=$TESTDIR/other
mkdir "$other" "$TESTDIR/elsewhere"
cp "$SEGFS" "$TESTDIR/elsewhere/segfs-9"
ln -s segfs-9 "$TESTDIR/elsewhere/segfs"
unshare --mount --propagation private "$TESTDIR/elsewhere/segfs" -f "$other" >"$TESTDIR/log" 2>&1 &
daemon=$!
there=(nsenter --target "$daemon" --mount)
until_true 30 "${there[@]}" test -e "$other/README" || diag "$(cat "$TESTDIR/log")"
head -c 100 /dev/zero >/dev/shm/object
hold A "${there[@]}" "$HOLDERS" open "$other/posix/object"
like "$(readlink /proc/$daemon/fd/*)" "/dev/shm/object" "(a mount of another path and mount namespace has it open, too)"
row "what a mount holds others hold, wherever that is" posix/object "in use" "$(held A)"
drop A
"${there[@]}" umount "$other"
ok "it ends" wait $daemon

done_testing
