#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# By which functions memory was made: -o history=stacks. (with-mount -n)
. "$(dirname "$0")/lib.sh"
need jq
: "${POOL:?}"

value() { sed -n "s/^$2:\t//p" "$MNT/info/$1"; }
stack() { value "$1" CreatorStack; }
has_stack() { [ -n "$(stack "$1")" ]; }
has_line() { stack "$1" | grep -qE -e "$2"; }
# lines FILE: what calls what, without the frames of the C library, on one line
lines() { stack "$1" | grep -v '^\(libc\|ld\)[-.]' | xargs; }
# of FILE BINARY INIT BEGIN: the first frames that are the program's
is_called() { like "$(lines "$1")" "^$2\+0x[0-9a-f]+$3 $2\+0x[0-9a-f]+$4 $2\+0x[0-9a-f]+$5( |$)" "$6"; }
state=$TESTDIR/state

ok "it mounts" segfs_start "$MNT" "" || done_testing
"$POOL" shm default
until_true 10 test -n "$(value posix/default Creator)"
is "$(stack posix/default)" "" "without the option there is no stack"
unlike "$(history_told)" "stacks" "nor a word of it"
segfs_stop_ok "$MNT" "it ends"
fails "another word is refused" "$SEGFS" -f -o history=stack "$MNT"

ok "it mounts with stacks" segfs_start "$MNT" "history=stacks,history_dir=$state,orphan_age=1" || done_testing
told=$(history_told)
if [[ $told != *"; stacks"* ]]; then
	like "$told" "no stacks: |^no probes" "the line at start says that there are none"
	skip "stacks" "$told"
	segfs_stop_ok "$MNT" "it ends"
	done_testing
fi
names=yes
[[ $told != *" without names: "* ]] || names=no
# what DEBUG has, where there are names at all
word() { [ $names = no ] || echo " $1"; }
source='\(pool\.c:[0-9]+\)'
objects=yes
[[ $told != *"stacks of segments"* ]] || objects=no

diag "--- segments"
id=$("$POOL" sysv -)
ok "a segment has a stack" until_true 10 has_stack "sysv/$id"
is_called "sysv/$id" pool "$(word "pool_init $source")" "$(word "begin $source")" "$(word "main $source")" "by whom it was made, and where"
is "$(jq -r ".segments[] | select(.shmid == $id).creator_stack | map(select(.file | endswith(\"/pool\"))) | [.[0].file, (.[0].build_id | length), (.[0].offset > 0)] | join(\" \")" "$MNT/segments.json")" "$POOL 40 true" "segments.json has file, build-id and offset"
symbols=$("$POOL-symbols" sysv -) stripped=$("$POOL-stripped" sysv -) frameless=$("$POOL-frameless" sysv -)
until_true 10 has_stack "sysv/$symbols"
is_called "sysv/$symbols" pool-symbols "$(word pool_init)" "$(word begin)" "$(word main)" "without debug information: functions"
until_true 10 has_stack "sysv/$stripped"
is_called "sysv/$stripped" pool-stripped "" "" "" "without symbols: offsets"
ok "without frame pointers there is the innermost frame" until_true 10 has_line "sysv/$frameless" "^libc.*\+0x"

if [ $objects = yes ]; then
	diag "--- objects"
	for how in shm open; do
		"$POOL" "$how" "by-$how"
		ok "$how: an object has a stack" until_true 10 has_stack "posix/by-$how"
		is_called "posix/by-$how" pool "$(word "pool_init $source")" "$(word "begin $source")" "$(word "main $source")" "$how: by whom"
		unlike "$(stack "posix/by-$how")" "pool_check" "$how: and not what the stack had before"
	done

	diag "--- files that are others by now"
	# of NAME [SOURCE]: a program of that name, that has made an object
	program() {
		cp "${2:-$POOL}" "$TESTDIR/$1"
		chmod 0755 "$TESTDIR/$1"
		"$TESTDIR/$1" open "$1"
		until_true 10 has_stack "posix/$1"
	}
	has_offsets() { is_called "posix/$1" "$1" "" "" "" "$2"; }
	program moved
	is_called posix/moved moved "$(word "pool_init $source")" "$(word "begin $source")" "$(word "main $source")" "the file is there"
	mv "$TESTDIR/moved" "$TESTDIR/elsewhere"
	has_offsets moved "a file that is no more: offsets"
	cp "$POOL-symbols" "$TESTDIR/moved"
	has_offsets moved "another program in its place: offsets, and none of its functions"
	rm "$TESTDIR/moved"
	mkfifo "$TESTDIR/moved"
	has_offsets moved "a fifo in its place is not waited for"
	rm "$TESTDIR/moved"
	mkdir "$TESTDIR/moved"
	has_offsets moved "nor a directory read"
	program short
	truncate -s 4096 "$TESTDIR/short"
	has_offsets short "a file that was cut off"
	program noise
	# Headers and build-id as they were, all else is noise.
	head -c 20000 /dev/urandom | dd of="$TESTDIR/noise" bs=1024 seek=1 conv=notrunc status=none
	like "$(stack posix/noise | wc -l)" "^[4-9]$" "a file full of noise"
	is_called posix/by-shm pool "$(word "pool_init $source")" "$(word "begin $source")" "$(word "main $source")" "and others have their names as before"

	diag "--- who sees it"
	mkfifo "$TESTDIR/go"
	"$POOL" open lives stop <"$TESTDIR/go" &
	pid=$!
	exec 7>"$TESTDIR/go"
	chmod 0644 /dev/shm/lives 2>/dev/null
	until_true 10 has_stack posix/lives
	is_called posix/lives pool "$(word "pool_init $source")" "$(word "begin $source")" "$(word "main $source")" "of a process that lives"
	theirs() { as_user 20001 cat "$MNT/info/posix/$1" | sed -n 's/^CreatorStack:\t//p'; }
	is "$(as_user 20001 cat "$MNT/info/posix/lives" | sed -n 's/^Creator:\t//p')" pool "another user sees who made it, as /proc has it"
	is "$(theirs lives)" "" "and not how"
	exec 7>&-
	wait "$pid"
	has_end() { [ -n "$(value "$1" CreatorEnd)" ]; }
	until_true 10 has_end posix/lives
	is "$(theirs lives)" "" "nor afterwards"
	cp "$POOL" "$TESTDIR/own" && chmod 0755 "$TESTDIR/own" "$TESTDIR"
	cp "$POOL" "$TESTDIR/closed" && chmod 0711 "$TESTDIR/closed"
	as_user 20001 "$TESTDIR/own" open own
	# By a program that has no capabilities any more, which as_user has until then.
	as_user 20001 sh -c '"$0" open closed' "$TESTDIR/closed"
	until_true 10 has_end posix/own
	until_true 10 has_end posix/closed
	like "$(theirs own | xargs)" " own\+0x[0-9a-f]+$(word "pool_init $source")" "a user sees it of what is the user's own"
	is "$(theirs closed)" "" "but not of a program that the user may not read"
	like "$(stack posix/closed | xargs)" " closed\+0x[0-9a-f]+$(word "pool_init $source")" "root does"
	chmod 0700 "$TESTDIR/own"
	like "$(theirs own | xargs)" " own\+0x[0-9a-f]+ own\+" "no names of a file that is closed by now"

	diag "--- afterwards"
	rm /dev/shm/by-open
	gone() { sed -n 's/^CreatorStack:\t//p' "$MNT"/gone/posix-by-open.*; }
	until_true 10 test -e "$MNT/gone/posix-by-open.1"
	like "$(gone | xargs)" " pool\+0x[0-9a-f]+$(word "pool_init $source")" "gone/ has it, too"
	before=$(stack posix/by-shm)
	segfs_stop_ok "$MNT" "it ends"
	ok "it mounts again" segfs_start "$MNT" "history=stacks,history_dir=$state" || done_testing
	is "$(stack posix/by-shm)" "$before" "it is kept over a restart"
else
	skip "objects" "$told"
fi
segfs_stop_ok "$MNT" "it ends"
done_testing
