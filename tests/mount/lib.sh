# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# Sourced by every test-*.sh (run under with-mount) and by with-mount itself.
#
#   ok NAME CMD...              CMD ends with 0
#   fails NAME CMD...           CMD ends with anything else
#   fails_with ERR NAME CMD...  CMD fails and says so: ERR is EPERM, or EPERM|EACCES where
#                               the contract leaves it open; its text from strerror counts too
#   is GOT WANT NAME            isnt, like GOT ERE NAME, unlike, le GOT MOST NAME
#   same NAME FILE FILE         equal files, with the difference as comment
#   skip NAME WHY               one assertion that could not be made
#   skip_all WHY                nothing in this file can be tested here
#   done_testing                always the last line
#
# What a failing command printed goes to "# " lines.
#
#   as_user UID [-g GID] [-G GROUPS] CMD...
#   mkseg [-u UID] SIZE MODE [KEY]          prints the shmid
#   ipc ID FIELD                            a field of the kernel's own IPC_STAT
#   do_ops [-d DIR] OP...                   shmtool run
#   agent NAME [COMMAND PREFIX...]          a process that runs shmtool commands on demand:
#   tell NAME OP...   answer of one command    send NAME OP..., answer NAME   not waiting
#   quit NAME                                  agent_pid NAME
#   until_true SECONDS CMD...               polls a condition; false after SECONDS

export LC_ALL=C TZ=UTC
: "${SHMTOOL:?}" "${SEGFS:?}"

tap_count=0
tap_failed=0

diag() { sed 's/^/# /' <<<"$*"; }

tap_pass() {
	tap_count=$((tap_count + 1))
	echo "ok $tap_count - ${1//#/no.}"
}

tap_fail() {
	tap_count=$((tap_count + 1))
	tap_failed=$((tap_failed + 1))
	echo "not ok $tap_count - ${1//#/no.}"
}

skip() {
	tap_count=$((tap_count + 1))
	echo "ok $tap_count - ${1//#/no.} # SKIP $2"
}

skip_all() {
	echo "1..0 # SKIP $1"
	exit 0
}

done_testing() {
	echo "1..$tap_count"
	[ "$tap_failed" -eq 0 ]
	exit
}

need() {
	local tool
	for tool in "$@"; do
		command -v "$tool" >/dev/null || skip_all "no $tool here"
	done
}

# Runs CMD in this shell; its status in $status, what it printed in $output.
run() {
	local file
	file=$(mktemp "$TESTDIR/.run.XXXXXX")
	status=0
	"$@" >"$file" 2>&1 </dev/null || status=$?
	output=$(tr -d '\0' <"$file" | head -c 4000)
	rm -f "$file"
}

ok() {
	local name=$1 status output
	shift
	run "$@"
	if [ "$status" -eq 0 ]; then
		tap_pass "$name"
	else
		tap_fail "$name"
		diag "status $status of: $*"
		diag "$output"
		return 1
	fi
}

fails() {
	local name=$1 status output
	shift
	run "$@"
	if [ "$status" -ne 0 ] && [ "$status" -lt 124 ]; then
		tap_pass "$name"
	else
		tap_fail "$name"
		diag "should have failed, status $status: $*"
		diag "$output"
		return 1
	fi
}

declare -A errno_text

fails_with() {
	local errors=$1 name=$2 status output one
	shift 2
	run "$@"
	for one in ${errors//|/ }; do
		[ -n "${errno_text[$one]:-}" ] || errno_text[$one]=$("$SHMTOOL" strerror "$one")
		if [ "$status" -ne 0 ] && [ "$status" -lt 124 ] && grep -qwF -e "$one" -e "${errno_text[$one]}" <<<"$output"; then
			tap_pass "$name"
			return 0
		fi
	done
	tap_fail "$name"
	diag "should have failed with $errors, status $status: $*"
	diag "$output"
	return 1
}

is() {
	if [ "$1" = "$2" ]; then
		tap_pass "$3"
	else
		tap_fail "$3"
		diag "   got: $1"
		diag "wanted: $2"
		return 1
	fi
}

isnt() {
	if [ "$1" != "$2" ]; then
		tap_pass "$3"
	else
		tap_fail "$3"
		diag "should not be: $1"
		return 1
	fi
}

like() {
	if grep -qE -e "$2" <<<"$1"; then
		tap_pass "$3"
	else
		tap_fail "$3"
		diag "     got: $1"
		diag "no match: $2"
		return 1
	fi
}

unlike() {
	if ! grep -qE -e "$2" <<<"$1"; then
		tap_pass "$3"
	else
		tap_fail "$3"
		diag "         got: $1"
		diag "must not match: $2"
		return 1
	fi
}

le() {
	if [ -n "$1" ] && [ "$1" -le "$2" ]; then
		tap_pass "$3"
	else
		tap_fail "$3"
		diag "got $1, at most $2 wanted"
		return 1
	fi
}

same() {
	ok "$1" diff -a "$2" "$3"
}

# Polls. The pause only spares the processor: what is waited for is the condition.
# SEGFS_TEST_SLOW: how much slower than a machine this one is (tests/guest/run).
until_true() {
	local deadline=$((SECONDS + $1 * ${SEGFS_TEST_SLOW:-1}))
	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $deadline ] || return 1
		sleep 0.02
	done
}

# The second by which the kernel stamps segments: time(2)'s clock, which is up to a tick behind that of date(1).
kernel_second() { printf '%(%s)T' -1; }
# A second after the one in TIME has begun.
past() {
	local time=$1
	later() { [ "$(kernel_second)" -gt "$time" ]; }
	until_true 20 later
}

as_user() {
	local uid=$1 gid=$1 groups=--clear-groups
	shift
	while :; do
		case $1 in
		-g) gid=$2 ;;
		-G) groups=--groups=$2 ;;
		*) break ;;
		esac
		shift 2
	done
	setpriv --reuid "$uid" --regid "$gid" "$groups" "$@"
}

do_ops() { "$SHMTOOL" run "$@"; }

mkseg() {
	local user=()
	if [ "$1" = -u ]; then
		user=(as_user "$2")
		shift 2
	fi
	"${user[@]}" "$SHMTOOL" run "shmget ${3:-0} $1 IPC_CREAT|IPC_EXCL|$2"
}

ipcstat() { "$SHMTOOL" run "ipcstat $1"; }

ipc() {
	local line
	line=" $(ipcstat "$1")"
	line=${line##* "$2"=}
	echo "${line%% *}"
}

# A column of the kernel's table: perms size cpid lpid nattch uid gid … rss swap, by its header.
ipc_table() {
	awk -v id="$1" -v name="$2" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) col = i }
		NR > 1 && $2 == id { print $col }' /proc/sysvipc/shm
}

declare -A agent_in agent_out agent_process

# A process with a name that takes lines and answers each by one: agents, and the holders of lib-holders.sh.
started() {
	local name=$1 dir w r
	shift
	dir=$(mktemp -d "$TESTDIR/.agent.XXXXXX")
	chmod 755 "$dir"
	mkfifo "$dir/in" "$dir/out"
	"$@" <"$dir/in" >"$dir/out" 2>&1 &
	agent_process[$name]=$!
	exec {w}>"$dir/in" {r}<"$dir/out"
	agent_in[$name]=$w
	agent_out[$name]=$r
}

agent() {
	local name=$1
	shift
	started "$name" "$@" "$SHMTOOL" run -
	[ "$(answer "$name")" = ready ] || diag "agent $name did not start"
}

# In a subshell: an agent that is dead must not take this shell along by SIGPIPE.
send() {
	local name=$1
	shift
	(echo "$*" >&"${agent_in[$name]}") 2>/dev/null
}

answer() {
	local line
	if IFS= read -r -t "$((${2:-30} * ${SEGFS_TEST_SLOW:-1}))" line <&"${agent_out[$1]}"; then
		echo "$line"
	else
		echo "no answer"
	fi
}

tell() {
	send "$@"
	answer "$1"
}

# The process of shmtool itself: a function as prefix leaves a shell in between.
agent_pid() { tell "$1" pid; }

quit() {
	[ -n "${agent_process[$1]:-}" ] || return 0
	send "$1" quit
	wait "${agent_process[$1]}" 2>/dev/null
	local w=${agent_in[$1]} r=${agent_out[$1]}
	exec {w}>&- {r}<&-
	unset "agent_process[$1]" "agent_in[$1]" "agent_out[$1]"
}

# One daemon per mountpoint, in the foreground so that its end has a status.
#   segfs_start DIR OPTIONS [COMMAND PREFIX...]
# A prefix is a program (prlimit, setpriv), not a function: the pid must be the daemon's.
declare -A segfs_pid

segfs_start() {
	local dir=$1 options=$2
	shift 2
	# A background job of a script starts with SIGINT ignored.
	env --default-signal=INT,QUIT "$@" "$SEGFS" -f ${options:+-o "$options"} "$dir" >"$(segfs_log "$dir")" 2>&1 &
	segfs_pid[$dir]=$!
	until_true 30 segfs_up_or_gone "$dir" || diag "segfs on $dir: not there after 30 s"
	segfs_up "$dir" && segfs_alive "$dir" && return 0
	diag "segfs did not mount $dir${options:+ -o $options}:"
	diag "$(cat "$(segfs_log "$dir")")"
	return 1
}

segfs_log() { echo "$TESTDIR/.log.$(basename "$1")"; }

# From the mount table, not by a stat: a plain user's mount answers its owner alone.
segfs_mounted() { grep -q " $1 fuse" /proc/self/mounts; }

# A mount that is there but not yet, or no longer, served: the stat waits, or says ENOTCONN.
# Where a dead one is taken away between two steps, the third sees that there is none.
segfs_up() {
	segfs_mounted "$1" && ! stat "$1" 2>&1 | grep -q 'endpoint is not connected' && segfs_mounted "$1"
}

segfs_up_or_gone() {
	segfs_up "$1" || ! segfs_alive "$1"
}

segfs_alive() { [ -n "${segfs_pid[$1]:-}" ] && [ -d "/proc/${segfs_pid[$1]}/fd/" ] &&
	! grep -q '^State:.Z' "/proc/${segfs_pid[$1]}/status" 2>/dev/null; }

segfs_ended() { ! segfs_alive "$1"; }

# Waits for the end of the daemon that something else has asked to end; prints why it is not
# a clean one. Kills a daemon that does not end, so that nothing is left hanging on it.
segfs_wait() {
	local dir=$1 pid=${segfs_pid[$1]} rc=0
	if ! until_true 30 segfs_ended "$dir"; then
		echo "segfs on $dir did not end"
		kill -KILL "$pid"
	fi
	wait "$pid" || rc=$?
	unset "segfs_pid[$dir]"
	if [ $rc -ne 0 ]; then
		echo "segfs on $dir ended with status $rc"
		cat "$(segfs_log "$dir")"
		return 1
	fi
	# UBSan goes on after it has found something.
	if grep -E 'runtime error:|Sanitizer|refused the system call' "$(segfs_log "$dir")"; then
		return 1
	fi
	! segfs_mounted "$dir" || { echo "$dir is still mounted"; return 1; }
}

# Sets $trouble to nothing where the daemon lived until now and ended cleanly.
segfs_stop() {
	local dir=$1 file=$TESTDIR/.stop
	trouble=
	segfs_alive "$dir" || trouble="segfs on $dir died before it was unmounted"
	if ! until_true 10 umount "$dir"; then
		trouble+="${trouble:+, }cannot unmount $dir: $(umount "$dir" 2>&1; fuser -vm "$dir" 2>&1)"
		umount -l "$dir"
	fi
	segfs_wait "$dir" >"$file" || trouble+="${trouble:+, }$(cat "$file")"
	[ -z "$trouble" ]
}

segfs_stop_ok() {
	local trouble
	if segfs_stop "$1"; then
		tap_pass "$2"
	else
		tap_fail "$2"
		diag "$trouble"
	fi
}

# linux_is MAJOR MINOR: this kernel or a later one.
linux_is() {
	local major minor
	IFS=.- read -r major minor _ <<<"$(uname -r)"
	[ "$major" -gt "$1" ] || { [ "$major" -eq "$1" ] && [ "$minor" -ge "$2" ]; }
}

# Whether this run asked for the way through the daemon, or has a kernel that knows no other: the mount says it.
no_passthrough() { ! grep -q "native, by FUSE passthrough" "$(segfs_log "$MNT")"; }

# What the line at start says of history; at the line's end is what this kernel lacks.
history_told() { sed -n 's/; this kernel has no .*//; s/^segfs: reads .*; history: //p' "$(segfs_log "$MNT")"; }

# Who has used a semaphore set is known, and those whom nobody uses are in orphans/.
knows_uses() { [[ $(history_told) == *"; function probes"* && $(history_told) != *"but not of "*"semaphore sets"* ]]; }

# line RE: the command line of who has ended. Until Linux 6.18 it is gone before the kernel tells of the end.
line() { if linux_is 6 18; then echo "$1"; else echo "($1)?"; fi; }
# segment_line RE: of who has made a segment, which function probes tell as it is made.
segment_line() { if [[ $(history_told) == *"; function probes"* ]]; then echo "$1"; else line "$1"; fi; }

# FUSE has O_TMPFILE from Linux 6.1 on: test-kernel.sh holds it against the release.
has_tmpfile() { [ "$("$SHMTOOL" run "open a $MNT/posix O_RDWR|O_TMPFILE 0600" 2>&1)" != EOPNOTSUPP ]; }

# Sizes and times of a build with sanitizers say nothing.
sanitized() { grep -qa __asan_init "$SEGFS"; }
