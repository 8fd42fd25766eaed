#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# segls: the table without a mount, its options, and that its JSON is what a mount says.
. "$(dirname "$0")/lib.sh"
need jq
: "${SEGLS:?}"

# Mount and segls examine the same processes here: those of this pid namespace.
segls() { "$SEGLS" "$@"; }
cells() { segls -n "$@" | tr -s ' ' | sed 's/^ //; s/ $//'; }
cell() { cells -b -o "FILE,$2" | awk -v file="$1" '$1 == file { sub(/^[^ ]* /, ""); print }'; }

is "$(segls)" "FILE OWNER PERMS SIZE RESIDENT HOLDERS CREATOR AGE VERDICT" "nothing there: the headings alone"
is "$(segls -n)" "" "-n: not even those"

keyed=$(mkseg 10000 0640 0x1234)
agent A
agent B as_user 20002
held=$(tell A shmget 0 3000000 'IPC_CREAT|0666')
tell A shmat a "$held" >/dev/null
tell A poke a 5000 x >/dev/null
tell B shmat a "$held" >/dev/null
removed=$(tell B shmget 0x4321 12288 'IPC_CREAT|0600')
tell B shmat r "$removed" >/dev/null
tell B rmid "$removed" >/dev/null
pid_a=$(agent_pid A) pid_b=$(agent_pid B)
head -c 9000 /dev/zero >/dev/shm/object
chown 20001:30001 /dev/shm/object
before=$(ipcstat "$keyed"; ipcstat "$held")

is "$(cells -o file | sort)" "$(printf '%s\n' posix/object "sysv/$held" "sysv/$keyed" "unlinked/sysv-$removed" | sort)" "one row for each"
is "$(cell "sysv/$keyed" KIND,ID,KEY,NAME,OWNER,GROUP,CUSER,PERMS,SIZE,RESIDENT,SWAP,NATTCH,STATUS,HOLDERS,PROCESSES,CPID,LPID,CREATOR,VERDICT)" \
	"sysv $keyed 0x00001234 - root root root 0640 10000 0 0 0 - 0 - $(ipc "$keyed" cpid) - - idle" "a segment that nobody has"
is "$(cell "sysv/$held" HOLDERS,NATTCH,CPID,LPID,CREATOR,RESIDENT,VERDICT)" "2 2 $pid_a $pid_b shmtool $(ipc_table "$held" rss) in use" "one that two have"
is "$(cell "sysv/$held" PROCESSES | tr , '\n' | sort)" "$(printf '%s:shmtool\n' "$pid_a" "$pid_b" | sort)" "which they are"
like "$(cell "sysv/$held" EVIDENCE)" "$pid_a" "in words too"
is "$(cell "unlinked/sysv-$removed" KEY,OWNER,STATUS,HOLDERS)" "0x00000000 20002 dest,unlinked 1" "a removed one that is held"
is "$(cell posix/object KIND,ID,KEY,NAME,OWNER,GROUP,PERMS,SIZE,RESIDENT,SWAP,NATTCH,CPID,CREATOR)" \
	"posix $(stat -c %i /dev/shm/object) - object 20001 30001 $(stat -c %04a /dev/shm/object) 9000 12288 - - - -" "a POSIX object"
like "$(cell posix/object AGE)" '^[0-9]+s$' "its age in seconds"
touch -d '3 days ago' /dev/shm/object
like "$(cell posix/object AGE)" '^[0-9]+s$' "a change of times is a change"
is "$(ipcstat "$keyed"; ipcstat "$held")" "$before" "looking has left no trace"

# Columns
is "$(segls -o id,Kind | head -n 1 | tr -s ' ' | sed 's/^ //')" "ID KIND" "-o: in this order, in upper and lower case"
is "$(segls -o +key,EVIDENCE | head -n 1 | tr -s ' ')" "FILE OWNER PERMS SIZE RESIDENT HOLDERS CREATOR AGE VERDICT KEY EVIDENCE" "-o +: added to the usual"
is "$(segls --output=FILE --noheadings | wc -l)" 4 "long options"
for wrong in FOO FILE,FOO "FILE," "" +FOO; do
	status=0 output=$(segls -o "$wrong" 2>&1) || status=$?
	is "$status" 1 "-o '$wrong' is an error"
	like "$output" "^segls: unknown column '(FOO)?'.*FILE, KIND, ID.*EVIDENCE" "which names what there is"
done
output=$(segls --sort FOO 2>&1)
is "$?" 1 "--sort FOO likewise"
help=$(segls --help)
for column in FILE KIND ID KEY NAME OWNER PERMS SIZE RESIDENT NATTCH HOLDERS CPID LPID CREATOR AGE VERDICT EVIDENCE; do
	like "$help" "^  $column  *[a-z]" "--help explains $column"
done
is "$(segls -h)" "$help" "-h"
like "$help" "nsenter .*--shm-dir" "--help says how to see another namespace"
like "$(segls -V)" "^segls [0-9]+\.[0-9]+" "-V"
for wrong in "--orphan-age -1" "--orphan-age 0" "--orphan-age x" "--nonsense" "word" "--json -n" "--shm-dir /nonexistent"; do
	# shellcheck disable=SC2086 # words
	status=0 output=$(segls $wrong 2>&1) || status=$?
	is "$status" 1 "$wrong is an error"
	like "$output" "^segls: " "which is explained"
done

# Alignment, sizes, order
rows=$(segls -o SIZE,FILE)
is "$(awk '{ print index($0, $2) }' <<<"$rows" | sort -u | wc -l)" 1 "columns are aligned"
is "$(cells -o SIZE,FILE | sort)" "$(printf '%s\n' "12K unlinked/sysv-$removed" "2.9M sysv/$held" "8.8K posix/object" "9.8K sysv/$keyed" | sort)" "sizes as people read them"
is "$(cells -b -o SIZE --sort size | paste -sd' ')" "9000 10000 12288 3000000" "--sort: by number"
is "$(cells -b -o SIZE --sort=-SIZE | paste -sd' ')" "3000000 12288 10000 9000" "the other way round"
is "$(cells -o FILE --sort file)" "$(cells -o FILE | sort)" "by text"
is "$(cells -o NATTCH --sort nattch | paste -sd' ')" "- 0 1 2" "what has none comes first"

# Names that would play with the terminal, or are no text
odd=$'a b\n\e[31m\xff\\x\xe2\x80\xae\xc3\xa9'
: >"/dev/shm/$odd"
is "$(cells -o NAME | grep 31m)" 'a b\x0a\x1b[31m\xff\x5cx\xe2\x80\xae\xc3\xa9' "escaped"
is "$(LC_ALL=C.UTF-8 cells -o NAME | grep 31m)" $'a b\\x0a\\x1b[31m\\xff\\x5cx\\xe2\\x80\\xae\xc3\xa9' "what can be printed in UTF-8 is"
is "$(segls --raw -n -o NAME,KIND | grep 31m)" 'a\x20b\x0a\x1b[31m\xff\x5cx\xe2\x80\xae\xc3\xa9 posix' "--raw: no blank in a cell"
is "$(segls -r -o KEY,VERDICT | head -n 1)" "KEY VERDICT" "-r: one blank between them"
rm "/dev/shm/$odd"

# The same as a mount says; ages in the evidence, what is gone and what the daemon itself has apart
strip='del(.taken, .gone) | .segments |= (map(select(.name != "segfs") | .evidence |= gsub("[0-9]+ s"; "N s")) | sort_by(.file))'
segfs_start "$MNT" ""
segls --json | jq -S "$strip" >"$TESTDIR/segls"
jq -S "$strip" <"$MNT/segments.json" >"$TESTDIR/mount"
segfs_stop_ok "$MNT" "a mount ends cleanly"
same "--json is segments.json" "$TESTDIR/segls" "$TESTDIR/mount"
is "$(jq '.segments | length' "$TESTDIR/segls")" 4 "(four segments)"
is "$(segls --json --sort -size | jq -r '[.segments[].size] | join(" ")')" "3000000 12288 10000 9000" "--json --sort"

# Orphans
is "$(cells --orphans)" "" "--orphans: none, all were used lately"
is "$(cells --orphans --orphan-age 0 --orphan-age-unsafe -o FILE | sort)" "$(printf '%s\n' posix/object "sysv/$keyed" | sort)" "with --orphan-age 0 those that nobody has"
is "$(segls --orphans --orphan-age 0 --orphan-age-unsafe --json | jq -r '[.segments[] | .verdict] | unique | join(" ")')" orphaned "--json --orphans"
is "$(cell "sysv/$keyed" VERDICT)" idle "idle until then"
is "$(cells --orphans --orphan-age 0 --orphan-age-unsafe --keep 'obj*' -o FILE)" "sysv/$keyed" "--keep: without what is kept"
echo 'posix/object # as a test' >"$TESTDIR/keep"
like "$(cells --keep-file "$TESTDIR/keep" -o FILE,EVIDENCE | grep object)" "kept: as a test \(posix/object\)" "--keep-file, with the reason"

# Another directory; other users' processes
mkdir "$TESTDIR/shm" && head -c 77 /dev/zero >"$TESTDIR/shm/there"
like "$(segls -b -n -o FILE,SIZE --shm-dir "$TESTDIR/shm" | tr -s ' ')" '^posix/there 77$' "--shm-dir"
as_user 20002 "$SEGLS" -n -o FILE,HOLDERS >"$TESTDIR/out" 2>"$TESTDIR/err"
like "$(cat "$TESTDIR/err")" '^segls: [0-9]+ process(es)? could not be examined' "what could not be examined is said"
like "$(tr -s ' ' <"$TESTDIR/out")" "^sysv/$held 1\$" "what could is shown"
is "$(as_user 20002 "$SEGLS" --json 2>/dev/null | jq ".segments[] | select(.shmid == $held) | .attaches_not_found")" 1 "and how many attaches are others'"
is "$(segls 2>&1 >/dev/null)" "" "root examines all"
fails_with ENOSPC "a full disk is an error" sh -c "'$SEGLS' >/dev/full"

quit A
quit B
is "$(cells -o FILE | sort)" "$(printf '%s\n' posix/object "sysv/$held" "sysv/$keyed" | sort)" "what was held is gone"
done_testing
