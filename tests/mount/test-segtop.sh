#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# segtop in a terminal of tmux: what it shows at several sizes, its keys, what others have named, what it costs. The screens are in the log.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib-holders.sh"
. "$(dirname "$0")/lib-ns.sh"
need tmux python3
: "${SEGTOP:?}"

export TMUX_TMPDIR=$TESTDIR SHELL=/bin/sh
chmod 1777 /dev/shm
T=(tmux -L top0 -f /dev/null)

# top WIDTHxHEIGHT CMD...: in a terminal of that size; what it writes is in $TESTDIR/written. Its errors are in a file of their own:
# of what ends at once tmux may drop the last output and the status.
top() {
	local size=$1
	shift
	"${T[@]}" kill-server 2>/dev/null
	T[2]=top$((++server)) # another: the last one may take its time to end
	: >"$TESTDIR/written"
	: >"$TESTDIR/status" >"$TESTDIR/errors"
	LC_ALL=${locale:-C.UTF-8} "${T[@]}" -u new-session -d -x "${size%x*}" -y "${size#*x}" "sleep 100" \; set-option -g remain-on-exit on \
		\; pipe-pane "cat >>'$TESTDIR/written'" \
		\; respawn-pane -k "env LC_ALL=${locale:-C.UTF-8} TERM=${term:-screen} $* 2>'$TESTDIR/errors'; echo \$? >'$TESTDIR/status'"
}
screen() { "${T[@]}" capture-pane -p; }
says() { grep -qE -e "$1" "$TESTDIR/errors"; }
shows() { screen | grep -qE -e "$1"; }
lacks() { ! shows "$1"; }
key() { "${T[@]}" send-keys "$@"; }
# sees NAME ERE: it comes to that.
sees() { ok "$1" until_true 30 shows "$2" || diag "$(screen)"; }
misses() { ok "$1" until_true 30 lacks "$2" || diag "$(screen)"; }
log() { diag "---- $1"; diag "$(screen)"; }
is_dead() { [ -s "$TESTDIR/status" ]; }
died_with() { is "$(cat "$TESTDIR/status")" "$1" "$2"; }

# The line below the headings.
first_is() { screen | sed -n '/^RESIDENT/{n;p;q}' | grep -qE -e "$1"; }
ordered() { ok "$1" until_true 30 first_is "$2" || diag "$(screen)"; }
exists() { [ "$(ipcstat "$1")" != EINVAL ]; }

agent A
agent B as_user 20002
held=$(tell A shmget 0 3000000 'IPC_CREAT|0666')
tell A shmat a "$held" >/dev/null
tell A fill a A >/dev/null
tell B shmat a "$held" >/dev/null
pid_a=$(agent_pid A)
orphan=$(mkseg 500000 0640 0x1234)
second=$(mkseg 400000 0640 0x1235)
head -c 9000 /dev/zero >/dev/shm/object
chown 20001 /dev/shm/object
evil=$'evil\e]0;PWNED\a\n\xff\xe2\x80\xae\xc3\xa9'
head -c 5000 /dev/zero >"/dev/shm/$evil"
past "$(($(ipc "$second" ctime) + 1))" # --orphan-age 1

# ---- 80x24
top 80x24 "$SEGTOP" -d 0.2 --orphan-age 1
sees "80x24: the list" "^RESIDENT +SIZE +GROWTH/S +AGE +HELD +OWNER +VERDICT +FILE"
sees "who has what" "2 root +in use +sysv/$held"
sees "and what is orphaned" "0 root +orphaned +sysv/$orphan"
sees "a bar by kind" '# sysv .* = posix .* \+ memfd .* - anon'
sees "a bar by verdict" '# in use .* = idle .* ! orphaned'
sees "a name that would play with the terminal" 'posix/evil\\x1b\]0;PWNED\\x'
log "80x24"
is "$(screen | awk '{ if (length($0) > most) most = length($0) } END { print (most <= 80) }')" 1 "no line is wider"

ordered "by resident" "sysv/$held"
key s s
ordered "s, twice: by size, the smallest first" "posix/evil"
key n
ordered "n: by name" "posix/evil"
key n
ordered "n again: the other way round" "sysv/"
key h
ordered "h: by holders" "sysv/$held"
echo >/dev/shm/young
sees "what is new is there" "posix/young"
key a a
ordered "a, twice: by age, the youngest first" "posix/young"
started G python3 -c "
import time
with open('/dev/shm/growing', 'wb', 0) as f:
    while f.tell() < 500 << 20:
        f.write(bytes(8192))
        time.sleep(0.01)"
key g
ordered "g: what grows is first" "\\+[0-9.]+[KM] .*posix/growing"
log "by growth"
kill "${agent_process[G]}"
rm /dev/shm/growing
misses "what is removed goes" "posix/growing"
key r
ordered "r: by resident" "sysv/$held"

key v
sees "v: in use alone" "only in use"
misses "nothing else" "sysv/$orphan"
key v v
sees "v v: orphans alone" "only orphaned"
sees "are there" "orphaned +sysv/$orphan"
misses "what is in use is not" "sysv/$held"
key x
sees "x: all again" "sysv/$held"
key u
sees "u asks" "^owner:"
key 20001x BSpace Enter
sees "whose" "of 20001"
misses "and shows that alone" "sysv/"
sees "with what is theirs" "20001 +idle|20001 +orphaned"
key x /
sees "/ asks" "^text:"
key "sysv/$second" Enter
sees "for a text" "1 of [0-9]+, with \"sysv/$second\""
key x c
sees "c asks" "^container:"
key docker Enter
sees "for a part of a container's name" "0 of [0-9]+, in docker"
key x / Escape
misses "Escape: no filter" ", with"

# Texts
key / "sysv/$held" Enter
sees "one piece" "1 of [0-9]+, with"
key Enter
sees "Enter: what is known of it" "^size: 3000000"
sees "with its verdict" "^verdict: in use"
log "info"
key q
sees "q: back" "^RESIDENT"
key l
sees "l: who holds it" "^holder: $pid_a shmtool, user root: attached 1"
misses "and nothing else" "^size"
key q
until_true 30 shows "^RESIDENT"
key y
sees "y: its history" "^creator: shmtool"
key q
until_true 30 shows "^RESIDENT"
key d
sees "d of what is in use is refused" "sysv/$held is in use: only orphans are removed here"
key "?"
sees "?: the keys" "remove an orphan, after a question"
key q x

# Removal
key / "sysv/$orphan" Enter
until_true 30 shows "1 of .*sysv/$orphan"
key d
sees "d asks" "Remove sysv/$orphan \(488.3K, of root\)\? y or n"
key n
sees "n: it stays" "sysv/$orphan stays"
ok "indeed" exists "$orphan"
key d
until_true 30 shows "Remove sysv/$orphan"
tell A shmat b "$orphan" >/dev/null
key y
sees "what somebody has taken meanwhile stays" "sysv/$orphan stays: somebody has it"
tell A shmdt b >/dev/null
quit A
key x / "sysv/$second" Enter
until_true 30 shows "1 of .*orphaned|orphaned +sysv/$second"
key d
until_true 30 shows "Remove sysv/$second"
key y
sees "y: removed" "sysv/$second is removed"
fails "the segment is gone" exists "$second"
sees "and its line" "0 of [0-9]+, with"
key q
ok "q ends it" until_true 20 is_dead
unlike "$(tr -d '\n' <"$TESTDIR/written")" $'\e]0;PWNED' "no name has driven the terminal"
unlike "$(cat "$TESTDIR/written")" $'\xe2\x80\xae' "nor turned its text"

# ---- Other sizes; UTF-8, and no colours
top 120x40 "$SEGTOP" -d 0.2
sees "120x40 has the creator, too" "VERDICT +CREATOR +FILE"
sees "and letters of UTF-8" 'evil.*\\xe2\\x80\\xaeé'
log "120x40"
"${T[@]}" resize-window -x 60 -y 12
sees "made smaller" "^RESIDENT +SIZE"
misses "the bars go" "# sysv"
"${T[@]}" resize-window -x 200 -y 60
sees "200x60 has containers" "CREATOR +CONTAINER +FILE"
sees "and the bars again" "# sysv"
log "200x60"
for size in 20x5 10x3 3x2 200x60; do "${T[@]}" resize-window -x "${size%x*}" -y "${size#*x}"; done
sees "made very small and large again" "CREATOR +CONTAINER +FILE"
# Before it can ask for the size: to ncurses that is none that is new.
pane=$("${T[@]}" display-message -p '#{pane_pid}')
tty=$("${T[@]}" display-message -p '#{pane_tty}')
read -r pid _ <"/proc/$pane/task/$pane/children"
has_size() { [ "$(stty -F "$tty" size)" = "$1" ]; }
kill -STOP "$pid"
"${T[@]}" resize-window -x 3 -y 2
ok "small" until_true 20 has_size "2 3"
"${T[@]}" resize-window -x 200 -y 60
ok "and large" until_true 20 has_size "60 200"
kill -CONT "$pid"
sees "both at once, and it is drawn anew" "CREATOR +CONTAINER +FILE"
key q
ok "it has survived all of it" until_true 20 is_dead
died_with 0 "and ended well"

term=vt100 locale=C top 80x24 "$SEGTOP" -d 0.2
sees "a vt100 in C" 'posix/evil\\x1b\]0;PWNED'
sees "shows it all" '# sysv .* = posix'
unlike "$(cat "$TESTDIR/written")" $'\e''\[[0-9;]*3[0-7]m' "without colours"
unlike "$(cat "$TESTDIR/written")" $'[\x80-\xff]' "in ASCII"
log "vt100"
key q
until_true 20 is_dead

# ---- A mount; a plain user; many, and containers
agent C
held=$(tell C shmget 0 3000000 'IPC_CREAT|0666')
tell C shmat a "$held" >/dev/null
left=$(mkseg 600000 0640 0x1236)
past "$(($(ipc "$left" ctime) + 1))"
container N --
segfs_start "$MNT" "allow_other,orphan_age=1"
top 100x30 "$SEGTOP" -d 0.2 "$MNT"
sees "on a mount" "^segtop $MNT: "
sees "what it shows" "1 root +in use +sysv/$held"
key / "sysv/$held" Enter
until_true 30 shows "1 of"
key i
sees "info/ of it" "^Verdict: +in use"
key q
until_true 30 shows "^RESIDENT"
key x / "sysv/$left" Enter
sees "an orphan there" "orphaned +sysv/$left"
key d
until_true 30 shows "Remove sysv/$left"
key y
sees "goes by orphans/" "sysv/$left is removed"
fails "the kernel has it no more" exists "$left"
key q
until_true 20 is_dead
top 100x30 setpriv --reuid 20002 --regid 20002 --clear-groups "$SEGTOP" -d 0.2 "$MNT"
sees "a plain user on root's mount" "1 root +in use +sysv/$held"
key q
until_true 20 is_dead
top 100x30 setpriv --reuid 20002 --regid 20002 --clear-groups "$SEGTOP" -d 0.2
sees "a plain user without a mount" "not examined"
sees "is told of what there is" "sysv/$held"
log "as a plain user"
key q
until_true 20 is_dead

many=5000
echo 8000 >/proc/sys/kernel/shmmni
python3 -c "
import ctypes
libc = ctypes.CDLL(None)
for i in range($many):
    assert libc.shmget(0, 4096 * (1 + i % 5), 0o1600) >= 0"
container M --
container O --
theirs=$(tell N shmget 0x77 70000 'IPC_CREAT|0600')
top 120x40 "$SEGTOP" -d 0.5
sees "5,000 segments" "^segtop of this host: 5[0-9][0-9][0-9]"
key / ns/ Enter
sees "and those of three containers" "ns/${inum[N]}/sysv/$theirs"
log "5,000 segments, three containers"
key x End
sees "to the end" "sysv/"
key q
until_true 20 is_dead

# ---- What it costs: a thousand, every two seconds. Once the first look is over.
ids=$(ipcs -m | awk '$4 == "600" && $6 == 0 { print $2 }' | head -n $((many - 1000)))
for id in $ids; do echo "-m $id"; done | xargs -n 200 ipcrm
top 120x40 "$SEGTOP"
sees "a thousand" "^segtop of this host: 10[0-9][0-9]; holders"
process=$(child_of "$("${T[@]}" list-panes -F '#{pane_pid}')")
ticks() { awk '{ print $14 + $15 }' "/proc/$process/stat"; }
hertz=$(getconf CLK_TCK)
began=$(ticks) start=${EPOCHREALTIME%.*}
while [ "${EPOCHREALTIME%.*}" -lt $((start + 20)) ]; do sleep 1; done # what is measured is a time
used=$(($(ticks) - began)) seconds=$((${EPOCHREALTIME%.*} - start))
diag "$used ticks of $hertz in $seconds s: $(awk -v u=$used -v h="$hertz" -v s=$seconds 'BEGIN { printf "%.2f", u / h / s * 100 }') % of a processor"
if [ "${SEGFS_TEST_SLOW:-1}" -gt 1 ]; then
	skip "its share of a processor" "this one counts instructions"
else
	ok "it takes less than 1 % of a processor" test $((used * 100)) -lt $((hertz * seconds))
fi
"${T[@]}" kill-server
gone() { [ ! -e "/proc/$process" ]; }
ok "its terminal goes, and so does it" until_true 20 gone

# ---- What cannot be
fails "no terminal" "$SEGTOP"
output=$("$SEGTOP" </dev/null 2>&1)
like "$output" "^segtop: a terminal is wanted; segls --watch" "which says what is for pipes"
for wrong in "-d 0" "-d x" "--orphan-age 0" "/nowhere" "$TESTDIR" "--nonsense"; do
	top 80x24 "$SEGTOP" "$wrong"
	ok "$wrong: it ends" until_true 20 is_dead
	ok "and says why" says "^segtop: "
	died_with 1 "with an error"
done
term=nonsense top 80x24 "$SEGTOP"
ok "an unknown terminal: it ends" until_true 20 is_dead
ok "and says so" says "nothing is known of the terminal 'nonsense'"
"${T[@]}" kill-server

quit B
quit C
for one in N M O; do quit "$one"; done
segfs_stop_ok "$MNT" "the mount ends cleanly"
done_testing
