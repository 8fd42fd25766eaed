#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# segls for programs and for terminals: JSON, pairs, a tree of holders, the terminal's width, SEGLS_COLUMNS, --watch.
. "$(dirname "$0")/lib.sh"
need jq python3
: "${SEGLS:?}"

# in_terminal WIDTH CMD...: what it writes to a terminal of so many columns.
in_terminal() {
	python3 - "$@" <<-'PY'
		import fcntl, os, pty, struct, sys, termios
		pid, fd = pty.fork()
		if pid == 0:
		    fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 24, int(sys.argv[1]), 0, 0))
		    os.execvp(sys.argv[2], sys.argv[2:])
		text = b""
		while True:
		    try:
		        piece = os.read(fd, 65536)
		    except OSError:  # the other side is closed
		        break
		    if not piece:
		        break
		    text += piece
		status = os.waitpid(pid, 0)[1]
		sys.stdout.buffer.write(text.replace(b"\r\n", b"\n"))
		sys.exit(os.waitstatus_to_exitcode(status))
	PY
}
widest() { awk '{ if (length($0) > most) most = length($0) } END { print most + 0 }'; }

keyed=$(mkseg 10000 0640 0x1234)
agent A
agent B as_user 20002
held=$(tell A shmget 0 3000000 'IPC_CREAT|0666')
tell A shmat a "$held" >/dev/null
tell B shmat a "$held" >/dev/null
pid_a=$(agent_pid A) pid_b=$(agent_pid B)
odd=$'a b\n"$(touch TRAP)`touch TRAP`\\x\xff\xc3\xa9'
: >"/dev/shm/$odd"
long=a-name-that-is-much-longer-than-what-there-is-place-for-on-a-narrow-terminal-and-then-some-more
: >"/dev/shm/$long"

# JSON
"$SEGLS" --json -o FILE,ID,KEY,SIZE,RESIDENT,NATTCH,HOLDERS,AGE,VERDICT >"$TESTDIR/json"
ok "--json -o: it is JSON" jq -e . "$TESTDIR/json"
is "$(jq -c ".segments[] | select(.id == $keyed) | [.file, .key, .size, .resident, .nattch, .holders, .verdict]" "$TESTDIR/json")" \
	"[\"sysv/$keyed\",\"0x00001234\",10000,0,0,0,\"idle\"]" "numbers are numbers, sizes in bytes"
is "$(jq -r ".segments[] | select(.id == $keyed) | .age | type" "$TESTDIR/json")" number "ages are seconds"
is "$(jq -c ".segments[] | select(.file == \"posix/$long\") | [.key, .nattch]" "$TESTDIR/json")" "[null,null]" "what there is not is null"
is "$("$SEGLS" -J -o NAME | jq -r '.segments[].name | select(. and startswith("a b"))')" 'a b\x0a"$(touch TRAP)`touch TRAP`\x5cx\xffé' "a name that is no UTF-8"
is "$("$SEGLS" -J -o FILE --orphans | jq -c .)" '{"segments":[]}' "none"
is "$("$SEGLS" -J | jq -r '.segments[0] | has("evidence")')" true "without -o it is segments.json"
is "$(SEGLS_COLUMNS=FILE "$SEGLS" -J | jq -r '.segments[0] | has("evidence")')" true "whatever SEGLS_COLUMNS has"
is "$("$SEGLS" -J --by=user | jq -c '.sums[] | select(.user == "20002") | [.pieces, .size, .mapped]')" "[1,3000000,1]" "--json --by"

# Pairs for a shell
"$SEGLS" --export -b -o NAME,KEY,SIZE >"$TESTDIR/pairs"
is "$(grep -c '^NAME="' "$TESTDIR/pairs")" 4 "--export: one line each"
is "$(cd "$TESTDIR" && while read -r line; do eval "$line" && echo "$KEY $SIZE"; done <pairs | sort)" "$(printf '%s\n' "- 0" "- 0" "0x00000000 3000000" "0x00001234 10000" | sort)" "they can be evaluated"
fails "and a name is not run" test -e "$TESTDIR/TRAP"
is "$(printf '%b' "$(sed -n 's/^NAME="\(a\\x20b.*\|a b.*\)" KEY=.*/\1/p' "$TESTDIR/pairs")" | od -An -c | tr -d ' \n')" "$(printf '%s' "$odd" | od -An -c | tr -d ' \n')" "it comes back to the byte"
is "$("$SEGLS" --shell -b -o NAME,KEY,SIZE)" "$(cat "$TESTDIR/pairs")" "--shell"
is "$("$SEGLS" --export --by=user | grep -c 'USER="')" 3 "--export --by"

# A tree
tree=$("$SEGLS" --tree -o FILE,OWNER,STATUS)
like "$tree" "^sysv/$held +root +-\$" "--tree: a segment"
is "$(grep -c -E -e "^[|\`]-($pid_a|$pid_b) shmtool +(root|20002) +attached *\$" <<<"$tree")" 2 "below it who holds it, whose that is, and how"
like "$(LC_ALL=C.UTF-8 "$SEGLS" --tree)" "^└─[0-9]+ shmtool" "drawn as the terminal can"
is "$("$SEGLS" --tree -J -o STATUS,FILE,OWNER | jq -r ".segments[] | select(.file == \"sysv/$held\") | .children[] | [.file, .owner, .status] | join(\" \")" | sort)" \
	"$(printf '%s\n' "$pid_a shmtool root attached" "$pid_b shmtool 20002 attached" | sort)" "in JSON, as children"
is "$("$SEGLS" --tree -J | jq "[.segments[] | select(.children)] | length")" 1 "what nobody holds has none"

# Containers, by the cgroup
is "$("$SEGLS" -n -r -o FILE,CONTAINER | grep "^sysv/$held ")" "sysv/$held -" "CONTAINER: in none"

# A terminal's width
is "$(in_terminal 70 "$SEGLS" -o FILE,SIZE,VERDICT,EVIDENCE | widest)" 70 "a terminal of 70 columns"
like "$(in_terminal 70 "$SEGLS" -o FILE,SIZE,VERDICT,EVIDENCE)" "^FILE +SIZE VERDICT EVIDENCE" "with all columns"
like "$(in_terminal 70 "$SEGLS" -o FILE,SIZE,VERDICT,EVIDENCE)" "^sysv/$keyed +9.8K idle" "short ones are whole"
like "$(in_terminal 200 "$SEGLS" -o FILE,SIZE)" "^posix/$long " "where there is place nothing is cut"
like "$("$SEGLS" -o FILE,EVIDENCE | cat)" "^posix/$long +[a-z].*[0-9]" "nor in a pipe"
is "$(in_terminal 70 "$SEGLS" -r -o FILE | grep -c -x "posix/$long")" 1 "nor with --raw"
unlike "$(in_terminal 200 "$SEGLS" -o NAME | tr -d '\n')" $'[\x01-\x1f\x7f-\xff]' "nothing but what can be printed gets to the terminal"

# The usual columns
is "$(SEGLS_COLUMNS=ID,key "$SEGLS" | head -n 1 | tr -s ' ' | sed 's/^ //')" "ID KEY" "SEGLS_COLUMNS"
is "$(SEGLS_COLUMNS=+KEY "$SEGLS" | head -n 1 | tr -s ' ')" "FILE OWNER PERMS SIZE RESIDENT HOLDERS CREATOR AGE VERDICT KEY" "which adds with a +"
is "$(SEGLS_COLUMNS=FILE "$SEGLS" -o +KEY | head -n 1 | tr -s ' ')" "FILE KEY" "-o + adds to it"
is "$(SEGLS_COLUMNS=FILE "$SEGLS" -o KEY | head -n 1)" KEY "-o goes before it"
is "$(SEGLS_COLUMNS='' "$SEGLS" -o FILE | head -n 1)" FILE "an empty one is none"
output=$(SEGLS_COLUMNS=FOO "$SEGLS" 2>&1)
is "$?" 1 "a wrong one is an error"
like "$output" "^segls: SEGLS_COLUMNS of the environment: unknown column 'FOO'; there are FILE" "that says where it is"

# Again and again
"$SEGLS" --watch=0.1 -n -o FILE | awk '/^$/ { if (++rounds == 3) exit } { print }' >"$TESTDIR/watched"
is "${PIPESTATUS[*]}" "0 0" "--watch ends when nobody reads any more"
is "$(grep -c "^sysv/$keyed\$" "$TESTDIR/watched")" 3 "and has said the same three times"
started W "$SEGLS" --watch=0.1 -n -r -o FILE,HOLDERS
first=$(answer W)
quit B
seen() { while read -r -t 20 line; do [ "$line" != "sysv/$held 1" ] || return 0; done <&"${agent_out[W]}"; return 1; }
isnt "$first" "" "a watch that goes on"
ok "sees what changes" seen
kill "${agent_process[W]}" 2>/dev/null
for wrong in --watch=0 --watch=x --watch=-1 --watch=nan --watch=1e999 --watch= "--json --raw" "--export --shell" "--tree --raw" "--tree --by=user" "--json -n" "--by=user --sort SIZE"; do
	# shellcheck disable=SC2086 # words
	status=0 output=$(timeout 10 "$SEGLS" $wrong 2>&1) || status=$?
	is "$status" 1 "$wrong is an error"
	like "$output" "^segls: --[a-z]+|^segls: one of" "which is explained"
done

quit A
done_testing
