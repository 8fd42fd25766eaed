#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# unlinked/: memory that has lost its name, or never had one, and is still held.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib-holders.sh"
need getfattr jq

shm=/dev/shm unlinked=$MNT/unlinked
chmod 1777 "$shm"
mib=$((1024 * 1024))
entries() { find "$unlinked" -mindepth 1 -printf '%f\n'; }
# By the number at its end; with its inode's number it is told apart from all others.
entry() { find "$unlinked" -mindepth 1 -name "*-$1"; }
gone() { ! test -e "$1"; }
used() { du -s -B1 "$@" | awk '{ n += $1 } END { print n }'; }
# as "size blocks", in MiB
sizes() { stat -c '%s %b' "$1" | awk '{ print $1 / 1048576, $2 / 2048 }'; }

is "$(entries)" "" "that is empty where nothing is"

diag "--- 64 MiB of either kind, filled"
before=$(used "$unlinked")
hold M "$HOLDERS" memfd big 64M 64M
hold P "$HOLDERS" unlinked "$shm/lost" 64M 64M
is "$(entries | sort | xargs -d '\n')" "memfd-big-$(held M 2) posix-lost-$(held P 2)" "a memfd and an unlinked object, by kind, name and number"
for file in "unlinked/memfd-big-$(held M 2)" "unlinked/posix-lost-$(held P 2)"; do
	pid=$([ "${file#*memfd}" != "$file" ] && held M || held P)
	is "$(sizes "$MNT/$file")" "64 64" "${file%-*}: size and resident bytes"
	is "$(($(du -B1 "$MNT/$file" | cut -f1) / mib))" 64 "${file%-*}: du counts it"
	is "$(cksum <"$MNT/$file")" "$(head -c 64M /dev/zero | tr '\0' m | cksum)" "${file%-*}: its bytes"
	is "$(verdict "$file"), $(info "$file" Verdict)" "in use, in use" "${file%-*}: verdict"
	is "$(holders "$file")" "$pid" "${file%-*}: its holder"
	like "$(how "$file" "$pid")" "holders.*root.*(open 1.*mapped 1|mapped 1.*open 1).*$HOLDERS" "${file%-*}: info/ says who, how, and the command line"
	ok "${file%-*}: is in info/" test -e "$MNT/info/$file"
done
is "$((($(used "$unlinked") - before) / mib))" 128 "du -s of the directory has both"
is "$(ls "$MNT/orphans")" "" "none of it is an orphan"
drop M
ok "its holder ends, and it goes" until_true 5 gone "$unlinked/memfd-big-$(held M 2)"
drop P
is "$(entries)" "" "so does the other"

diag "--- every kind"
hold A "$HOLDERS" memfd mapped 1M 64K map
is "$(sizes "$(entry "$(held A 2)")")" "1 0.0625" "a memfd that is only mapped: true size, and what is resident"
like "$(how "unlinked/memfd-mapped-$(held A 2)" "$(held A)")" "mapped 1" "info/ says how"
drop A
hold A "$HOLDERS" unlinked "$shm/mapped" 1M 64K map
is "$(sizes "$unlinked/posix-mapped-$(held A 2)")" "1 0.0625" "an object that is only mapped"
drop A
hold A "$HOLDERS" anon 1M 64K
is "$(sizes "$unlinked/anon-$(held A 2)")" "1 0.0625" "anonymous shared memory"
like "$(how "unlinked/anon-$(held A 2)" "$(held A)")" "mapped 1" "info/ says how"
is "$(head -c 65536 "$unlinked/anon-$(held A 2)" | tr -d m | wc -c) $(tail -c 983040 "$unlinked/anon-$(held A 2)" | tr -d '\0' | wc -c)" "0 0" "its bytes"
drop A
hold A "$HOLDERS" zero 1M 64K
is "$(sizes "$unlinked/anon-$(held A 2)")" "1 0.0625" "a shared mapping of /dev/zero"
drop A
is "$(entries)" "" "all are gone"

id=$(mkseg 100000 0600)
hold A "$HOLDERS" attach "$id"
hold B "$HOLDERS" attach "$id"
do_ops "shmat a $id" "fill a 7" >/dev/null
ino=$(stat -c %i "$MNT/sysv/$id")
rm "$MNT/sysv/$id"
is "$(entries)" "sysv-$id" "a segment removed while attached"
is "$(stat -c '%s %h %a %i' "$unlinked/sysv-$id")" "100000 2 600 $ino" "its size, attaches, mode and number"
is "$(used "$unlinked/sysv-$id")" 102400 "its resident bytes"
same "its bytes" "$unlinked/sysv-$id" <(head -c 100000 /dev/zero | tr '\0' 7)
row "its holders" "unlinked/sysv-$id" "in use" "$(held A)" "$(held B)"
drop A
is "$(holders "unlinked/sysv-$id")" "$(held B)" "one of them ends"
drop B
is "$(entries)" "" "both ended: it is gone"

diag "--- one memory, many holders"
hold A "$HOLDERS" share common 1M
is "$(entries)" "memfd-common-$(held A 2)" "a memfd of three processes is there once"
is "$(holders "unlinked/memfd-common-$(held A 2)")" "$(printf '%s\n' "$(held A 3)" "$(held A 4)" "$(held A 5)" | sort -n | xargs)" "all three are its holders"
is "$(info "unlinked/memfd-common-$(held A 2)" Holder | wc -l)" 3 "a line each"
like "$(how "unlinked/memfd-common-$(held A 2)" "$(held A 3)")" "open 1" "one has it open"
like "$(how "unlinked/memfd-common-$(held A 2)" "$(held A 4)")" "mapped 1" "one mapped"
drop A
is "$(entries)" "" "all ended: it is gone"
# Two that are called the same.
hold A "$HOLDERS" memfd same 8K 8K
hold B "$HOLDERS" memfd same 8K 4K
is "$(entries | sort)" "$(printf 'memfd-same-%s\n' "$(held A 2)" "$(held B 2)" | sort)" "two of one name are two"
drop A B
# A name that goes while another stays, and one that is taken again.
hold A "$HOLDERS" open "$0"
drop A
echo first >"$shm/first"
ln "$shm/first" "$shm/second"
hold A "$HOLDERS" open "$shm/first"
rm "$shm/first"
is "$(entries)" "" "an object that has another name is not without one"
row "it has its holder by that" posix/second "in use" "$(held A)"
ino=$(stat -c %i "$shm/second")
times=$(find "$shm/second" -printf '%A+ %T+')
rm "$shm/second"
ok "that gone, too, it is" test -n "$(entry "$ino")"
is "$(find "$unlinked" -mindepth 1 -printf '%A+ %T+')" "$times" "listed with its times, to the nanosecond"
echo other >"$shm/first"
is "$(cat "$(entry "$ino")") $(cat "$MNT/posix/first")" "first other" "another of its name is another"
row "which nobody has" posix/first idle
drop A
rm "$shm/first"
is "$(entries)" "" "gone"
# A file that is mapped from elsewhere is none of ours.
hold A "$HOLDERS" unlinked "$TESTDIR/elsewhere" 8K 8K
is "$(entries)" "" "an unlinked file of another directory is not shared memory"
drop A

diag "--- names"
long=$(printf 'l%.0s' $(seq 249))
percents=$(printf '%%%.0s' $(seq 249))
declare -A wanted=(
	['with/slash']='memfd-with%2Fslash'
	['per%2Fcent']='memfd-per%252Fcent'
	['new\x0aline']='memfd-new%0Aline'
	['not\xffutf8']=$'memfd-not\xffutf8'
	['a\x20b']='memfd-a b'
	['..']='memfd-..'
	['back\x5cslash']='memfd-back\slash'
	['x\x20(deleted)']='memfd-x (deleted)'
)
for how in '' map; do
	for name in "${!wanted[@]}"; do
		# shellcheck disable=SC2086
		hold A "$HOLDERS" memfd "$name" 8K 8K $how
		is "$(find "$unlinked" -mindepth 1 -printf '%f' | od -c)" "$(printf '%s' "${wanted[$name]}-$(held A 2)" | od -c)" "a memfd called $name ${how:+, only mapped}"
		is "$(tr -d m <"${unlinked}/${wanted[$name]}-$(held A 2)" | wc -c)" 0 "is read"
		ok "and has info/" grep -q "$(held A)" "$MNT/info/unlinked/${wanted[$name]}-$(held A 2)"
		drop A
	done
	for name in "$long" "$percents" ''; do
		# shellcheck disable=SC2086
		hold A "$HOLDERS" memfd "$name" 8K 8K $how
		is "$(entries | wc -l)" 1 "a memfd with a name of ${#name} bytes ${how:+, only mapped}"
		is "$(entries | awk '{ print length($0) <= 255 }')" 1 "is called by no more than a name may have"
		is "$(tr -d m <"$(entry "$(held A 2)")" | wc -c)" 0 "is read"
		drop A
	done
	mkdir -p "$shm/sub"
	for name in sub/file "$(printf 'x%.0s' $(seq 255))" 'x (deleted)' $'new\nline'; do
		# shellcheck disable=SC2086
		hold A "$HOLDERS" unlinked "$shm/$name" 8K 8K $how
		is "$(entry "$(held A 2)" | wc -l)" 1 "an object of ${#name} bytes ${how:+, only mapped}"
		is "$(tr -d m <"$(entry "$(held A 2)")" | wc -c)" 0 "is read"
		[ "$name" != sub/file ] || is "$(entries)" "posix-file-$(held A 2)" "without its directory, which others may not be let to list"
		drop A
	done
done
hold A "$HOLDERS" memfd 'two\x0alines\x1b[2J\xc2\x9b' 8K 8K
is "$(ls -U "$unlinked" "$MNT/info/unlinked" | grep -c "^memfd-two%0Alines%1B\[2J%C2%9B-$(held A 2)\$")" 2 "a name of control characters is a line, in both"
is "$(jq -r '.segments[] | select(.kind == "memfd") | .file' "$MNT/segments.json")" "unlinked/memfd-two%0Alines%1B[2J%C2%9B-$(held A 2)" "by that name segments.json has it"
drop A
for name in memfd-x memfd-x-1 anon-1 anon- sysv-99 sysv- posix-x-1 x 1; do
	fails "$name is not there" test -e "$unlinked/$name"
done

diag "--- used through the mount"
hold A "$HOLDERS" memfd live 1M 1M
file=$unlinked/memfd-live-$(held A 2)
agent U
tell U open a "$file" O_RDWR >/dev/null
tell U open r "$file" O_RDONLY >/dev/null
is "$(tell U pread r 10 4)" "4:mmmm" "read"
is "$(tell U pwrite a 10 live)" 4 "written"
is "$(tell A peek 8 8)" "mmlivemm" "the holder sees it"
is "$(tell A poke 20 holder)" "done" "the holder writes"
is "$(tell U pread r 20 6)" "6:holder" "it is read"
is "$(tell U lseek r 0 SEEK_END)" $mib "its end"
if no_passthrough; then
	is "$(tell U mmap m a 'PROT_READ|PROT_WRITE' MAP_SHARED 1M)" ENODEV "a shared mapping is refused: never a stale copy"
else
	is "$(tell U mmap m a 'PROT_READ|PROT_WRITE' MAP_SHARED 1M)" 0 "mapped"
	tell U poke m 5000 mapped >/dev/null
	is "$(tell A peek 4998 10)" "mmmappedmm" "the holder sees what is written there"
	tell A poke 6000 again >/dev/null
	is "$(tell U peek m 6000 5)" "again" "and it what the holder writes"
fi
drop A
is "$(tell U pread a 10 4)" "4:live" "its holder has ended: who has it open reads on"
is "$(tell U pwrite a 10 more) $(tell U pread r 10 4)" "4 4:more" "and writes"
quit U
ok "then it is gone" until_true 5 gone "$file"

hold A "$HOLDERS" anon 1M 1M
file=$unlinked/anon-$(held A 2)
agent U
tell U open a "$file" O_RDWR >/dev/null
is "$(tell U pwrite a 10 live) $(tell A peek 8 8)" "4 mmlivemm" "anonymous memory: written, and its holder sees it"
if ! no_passthrough; then
	tell U mmap m a 'PROT_READ|PROT_WRITE' MAP_SHARED 1M >/dev/null
	tell U poke m 5000 mapped >/dev/null
	is "$(tell A peek 4998 10)" "mmmappedmm" "and what is written to a mapping of it"
fi
quit U
drop A
id=$(mkseg 10000 0600)
hold A "$HOLDERS" attach "$id"
ipcrm -m "$id"
is "$(do_ops "open a $unlinked/sysv-$id O_RDWR" "pwrite a 0 dest" "pwrite a 9998 abcd" "pwrite a 10000 x" "pread a 9998 9" | xargs)" "0 4 2 ENOSPC 2:ab" "a segment ends where it ends"
is "$(head -c 4 "$unlinked/sysv-$id")" dest "and is written"
drop A

diag "--- whose it is"
hold A as_user 20001 "$HOLDERS" memfd private 8K 8K
hold B as_user 20001 "$HOLDERS" anon 8K 8K
id=$(mkseg -u 20001 4096 0600)
hold C as_user 20001 "$HOLDERS" attach "$id"
as_user 20001 ipcrm -m "$id"
files=("memfd-private-$(held A 2)" "anon-$(held B 2)" "sysv-$id")
for name in "${files[@]}"; do
	ok "$name: root reads" cat "$unlinked/$name"
	fails_with EACCES "$name: another user does not" as_user 20002 cat "$unlinked/$name"
	fails_with EACCES "$name: nor write" as_user 20002 "$SHMTOOL" run "open a $unlinked/$name O_WRONLY"
	ok "$name: all see that it is there" as_user 20002 stat "$unlinked/$name"
	fails_with EPERM "$name: rm" rm -f "$unlinked/$name"
	fails_with "EPERM|EACCES" "$name: truncate to another size by another user" as_user 20002 truncate -s 1 "$unlinked/$name"
done
# The user alone decides who may look into a process that has no more rights than its user.
ok "its own user reads a segment" as_user 20001 cat "$unlinked/sysv-$id"
ok "its own user reads a memfd" as_user 20001 cat "$unlinked/memfd-private-$(held A 2)"
drop A B C
# An object that all may read, in a process that not all may look into.
hold A "$HOLDERS" unlinked "$shm/readable" 8K 8K
chmod 666 "/proc/$(held A)/fd/3" 2>/dev/null
fails_with EACCES "root's process: its memory is not for others, whatever its mode" as_user 20002 cat "$(entry "$(held A 2)")"
drop A

hold A "$HOLDERS" memfd here 8K 8K
name=memfd-here-$(held A 2)
for user in 0 20001; do
	fails_with EPERM "uid $user: create" as_user $user "$SHMTOOL" run "open a $unlinked/new O_WRONLY|O_CREAT 0600"
	fails_with EPERM "uid $user: mkdir" as_user $user mkdir "$unlinked/new"
	fails_with EPERM "uid $user: symlink" as_user $user ln -s x "$unlinked/new"
	fails_with "EPERM|ENOENT" "uid $user: link" as_user $user ln "$unlinked/$name" "$unlinked/new"
	fails_with EPERM "uid $user: rename" as_user $user "$SHMTOOL" run "rename $unlinked/$name $unlinked/new"
	fails_with EPERM "uid $user: rm" as_user $user rm -f "$unlinked/$name"
done
is "$(entries)" "$name" "nothing has changed"
drop A

diag "--- the sum"
# All shared memory of the host is in one of the directories, or said to be elsewhere. Others use
# this host, too: so by what changes, and more than once.
limit() { sed -n "s/^$1:[[:blank:]]*\([0-9]*\).*/\1/p" "$MNT/limits"; }
shmem() { awk '$1 == "Shmem:" { print $2 * 1024 }' /proc/meminfo; }
like "$(limit shmem)" '^[0-9]+$' "limits has shmem" 
like "$(limit shmem-elsewhere)" '^[0-9]+$' "limits has shmem-elsewhere"
near() { [ $(($1 - $2)) -lt $((8 * mib)) ] && [ $(($2 - $1)) -lt $((8 * mib)) ]; }
ok "shmem is that of /proc/meminfo" until_true 20 eval 'near "$(limit shmem)" "$(shmem)"'
adds_up() {
	local sum was elsewhere
	sum=$(used "$MNT/sysv" "$MNT/posix" "$unlinked") was=$(limit shmem) elsewhere=$(limit shmem-elsewhere)
	near $((was - sum)) "$elsewhere" || { why="$was - $sum is not $elsewhere"; return 1; }
	"$@" || return 1
	local new_sum new new_elsewhere
	new_sum=$(used "$MNT/sysv" "$MNT/posix" "$unlinked") new=$(limit shmem) new_elsewhere=$(limit shmem-elsewhere)
	why="du $sum to $new_sum, shmem $was to $new, elsewhere $elsewhere to $new_elsewhere"
	[ $(((new_sum - sum) / mib)) -eq 64 ] && near $((new - was)) $((64 * mib)) && near "$new_elsewhere" "$elsewhere"
}
add_memfd() { hold A "$HOLDERS" memfd sum 64M 64M; }
add_anon() { hold A "$HOLDERS" anon 64M 64M; }
add_object() { hold A "$HOLDERS" unlinked "$shm/sum" 64M 64M; }
add_posix() { head -c 64M /dev/zero >"$shm/sum"; }
add_segment() { hold A "$HOLDERS" wait && id=$(mkseg 64M 0600) && do_ops "shmat a $id" "fill a 7" >/dev/null; }
add_dest() { id=$(mkseg 64M 0600) && do_ops "shmat a $id" "fill a 7" >/dev/null && hold A "$HOLDERS" attach "$id" && ipcrm -m "$id"; }
for what in add_memfd add_anon add_object add_posix add_segment add_dest; do
	done=
	for _ in 1 2 3 4 5; do
		adds_up $what && done=yes
		drop A
		rm -f "$shm/sum"
		ipcrm -a
		[ -z "$done" ] || break
	done
	is "$done" yes "${what#add_} of 64 MiB: du -s of the directories grows by it, Shmem too, the difference does not" || diag "$why"
done
# Memory that is elsewhere: a tmpfs of somebody's own.
goes_elsewhere() {
	local was new
	for _ in 1 2 3 4 5; do
		was=$(limit shmem-elsewhere)
		head -c 64M /dev/zero >"$TESTDIR/elsewhere"
		new=$(limit shmem-elsewhere)
		rm "$TESTDIR/elsewhere"
		near $((new - was)) $((64 * mib)) && return
		echo "$was to $new"
	done
	return 1
}
ok "64 MiB in another tmpfs are elsewhere" goes_elsewhere
is "$(entries)" "" "in the end nothing is left"
done_testing
