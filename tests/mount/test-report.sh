#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# segments.json against ipcs and lsipc, for every segment; what of it each reader is shown; metrics.
. "$(dirname "$0")/lib.sh"
need jq ipcs lsipc python3

json=$MNT/segments.json
# report FILTER: of a report made now; report_as UID FILTER. of SHMID FILTER: of one segment.
report() { jq -r "$@" <"$json" 2>&1; }
report_as() { as_user "$1" cat "$json" | jq -r "$2" 2>&1; }
of() { report ".segments[] | select(.shmid == $1) | $2"; }
file() { report --arg file "$1" ".segments[] | select(.file == \$file) | $2"; }

is "$(report '.segments | length')" 0 "nothing is there"
is "$(stat -c '%A %s' "$json" "$MNT/metrics" | sort -u)" "-r--r--r-- 0" "all may read them; no length is known beforehand"
fails_with EACCES "not to be written" do_ops "open f $json O_RDWR"
like "$(report '.taken - now | fabs < 60')" true "taken now"

# Keyed, private, attached, chowned, used and left by another user, locked, removed but held
keyed=$(mkseg 10000 0640 0x1234)
private=$(mkseg -u 20001 4096 0600)
agent A
agent B as_user 20002
attached=$(tell A shmget 0x80000001 1000000 'IPC_CREAT|0666')
tell A shmat a "$attached" >/dev/null
tell A shmat b "$attached" SHM_RDONLY >/dev/null
tell A poke a 500000 x >/dev/null
tell B shmat a "$attached" >/dev/null
used=$(tell B shmget 0 8192 'IPC_CREAT|0604')
tell B shmat u "$used" >/dev/null
tell B poke u 0 x >/dev/null
tell B shmdt u >/dev/null
given=$(mkseg -u 20001 5000 0600 0x77)
do_ops "ipcset $given 20003 30003 0060" >/dev/null
locked=$(mkseg 4096 0600)
do_ops "shmlock $locked" >/dev/null
removed=$(tell B shmget 0x4321 12288 'IPC_CREAT|0600')
tell B shmat r "$removed" >/dev/null
tell B rmid "$removed" >/dev/null
pid_a=$(agent_pid A) pid_b=$(agent_pid B)

is "$(report '.segments[] | select(.kind == "sysv") | .shmid' | sort)" "$(ipcs -m | awk '$2 ~ /^[0-9]+$/ { print $2 }' | sort)" "each segment of ipcs once"

# The same lines, from the report and from ipcs, whose names of users are made numbers.
by_ipcs() { ipcs -m "$@" | awk '/[0-9]/' | sed 's/\broot\b/0/g' | tr -s ' ' | sed 's/ $//' | sort; }
by_report() {
	report "def zone: if . then strftime(\"%b %e %H:%M:%S\") else \"Not set\" end;
		def perms: .mode | sub(\"^0+\"; \"\");
		.segments[] | select(.kind == \"sysv\") | $1" | tr -s ' ' | sed 's/ $//' | sort
}
is "$(by_report '"\(.key_hex) \(.shmid) \(.uid) \(perms) \(.size) \(.nattch) \(if .dest then "dest" else "" end) \(if .locked then "locked" else "" end)"')" \
	"$(by_ipcs)" "ipcs -m: key, owner, permissions, bytes, attaches, status"
is "$(by_report '"\(.shmid) \(.uid) \(.cpid) \(.lpid)"')" "$(by_ipcs -p)" "ipcs -m -p: creator and last user"
is "$(by_report '"\(.shmid) \(perms) \(.cuid) \(.cgid) \(.uid) \(.gid)"')" "$(by_ipcs -c)" "ipcs -m -c: creator and owner"
is "$(by_report '"\(.shmid) \(.uid) \(.atime | zone) \(.dtime | zone) \(.ctime | zone)"')" "$(by_ipcs -t)" "ipcs -m -t: times of attach, detach and change"
like "$(ipcs -m -t)" "^$used .*:.*:.*:.*:.*:" "(one of them has all three)"

# lsipc names them by the same words; its values are strings, later its numbers are not.
columns=KEY,ID,OWNER,PERMS,SIZE,NATTCH,CPID,LPID,ATTACH,DETACH,CTIME,CUID,CGID,UID,GID,USER,GROUP,CUSER
report -S '[.segments[] | select(.kind == "sysv") |
	def iso: if . then strftime("%Y-%m-%dT%H:%M:%S+00:00") else null end;
	{key: .key_hex, id: .shmid, owner: (.user // .uid), perms: (.mode | sub("^0+"; "")), size: .size, nattch: .nattch,
	cpid: .cpid, lpid: .lpid, attach: (.atime | iso), detach: (.dtime | iso), ctime: (.ctime | iso),
	cuid: .cuid, cgid: .cgid, uid: .uid, gid: .gid, user: .user, group: .group,
	cuser: (if .cuid == 0 then "root" else null end)} |
	map_values(if . == null then . else tostring end)] | sort_by(.id)' >"$TESTDIR/ours"
lsipc -m -J -b -P --time-format=iso -o "$columns" |
	jq -S '[.[][] | (.perms |= sub("^0+"; "")) | map_values(if . == null then . else tostring end)] | sort_by(.id)' >"$TESTDIR/theirs"
same "lsipc -m -J: the same for every segment" "$TESTDIR/ours" "$TESTDIR/theirs"
is "$(jq length "$TESTDIR/theirs")" 7 "(seven of them)"

for id in $keyed $private $attached $used $given $locked $removed; do
	is "$(of "$id" '"\(.resident) \(.swap)"')" "$(ipc_table "$id" rss) $(ipc_table "$id" swap)" "resident and swapped bytes of $id"
done
is "$(of "$attached" '"\(.key) \(.key_hex) \(.file) \(.unlinked)"')" "2147483649 0x80000001 sysv/$attached false" "a key above the signed"
is "$(of "$removed" '"\(.file) \(.unlinked) \(.dest)"')" "unlinked/sysv-$removed true true" "removed and held: in unlinked/"
is "$(of "$attached" '"\(.creator) \(.creator_lives) \(.verdict)"')" "shmtool true in use" "its creator lives"
like "$(of "$private" '"\(.creator) \(.creator_lives) \(.verdict) \(.holders | length)"')" "^(null|shmtool) false idle 0$" "made a moment ago by one that has ended"
is "$(report '.namespaces | length')" 1 "one namespace"
is "$(report '.namespaces[0].ipc')" "$(readlink /proc/self/ns/ipc | tr -dc 0-9)" "its number"
is "$(report '[.segments[].namespace] | unique | length')" 1 "which each segment has"
is "$(report '.namespaces[0].limits | "\(.shmmni) \(.page_size) \(.segments_used) \(.pages_used)"')" \
	"$(cat /proc/sys/kernel/shmmni) $(getconf PAGESIZE) $(ipcs -m -u | sed -n 's/^segments allocated //p') $(ipcs -m -u | sed -n 's/^pages allocated //p')" "limits and their use"
ok "no number is more than a signed 64-bit one" python3 -c "
import json
for limit in json.load(open('$json'))['namespaces'][0]['limits'].values():
    assert type(limit) is int and 0 <= limit < 2**63, limit"

# Holders
is "$(of "$attached" '[.holders[] | "\(.pid) \(.uid) \(.command) \(.attached) \(.mapped) \(.open)"] | sort | join(", ")')" \
	"$(printf '%s\n' "$pid_a 0 shmtool 2 0 0" "$pid_b 20002 shmtool 1 0 0" | sort | paste -sd, | sed 's/,/, /')" "who has it attached, and how often"
is "$(of "$attached" ".holders[] | select(.pid == $pid_a) | .cmdline")" "$SHMTOOL run -" "with its command line"
is "$(of "$attached" ".holders[] | select(.pid == $pid_a) | .user")" root "and user"
like "$(of "$attached" ".holders[] | select(.pid == $pid_a) | .cgroup")" "^/" "and cgroup"
is "$(of "$attached" '.attaches_not_found')" 0 "all its attaches are found"

# Files: in a directory of one user's, of names that are no text, open, and removed but open
mkdir /dev/shm/own && chown 20001 /dev/shm/own && chmod 700 /dev/shm/own
head -c 5000 /dev/zero >/dev/shm/own/secret
odd=$'odd \xff%"\\\e'
head -c 100 /dev/zero >"/dev/shm/$odd"
head -c 10000 /dev/zero >/dev/shm/open
chown 20002:30002 /dev/shm/open && chmod 4640 /dev/shm/open
tell A open f /dev/shm/open O_RDWR >/dev/null
head -c 20000 /dev/zero >/dev/shm/gone
inode=$(stat -c %i /dev/shm/gone)
tell A open g /dev/shm/gone O_RDONLY >/dev/null
rm /dev/shm/gone
is "$(file posix/open '"\(.kind) \(.name) \(.size) \(.inode) \(.uid) \(.gid) \(.mode) \(.resident) \(.unlinked) \(.mtime) \(.ctime)"')" \
	"posix open 10000 $(stat -c '%i %u %g %04a' /dev/shm/open) 12288 false $(stat -c '%Y %Z' /dev/shm/open)" "a POSIX object"
is "$(file posix/open .device)" "$(mountpoint -d /dev/shm)" "its device"
is "$(file posix/open '.holders[] | "\(.pid) \(.open) \(.mapped) \(.attached)"')" "$pid_a 1 0 0" "who has it open"
is "$(report ".segments[] | select(.inode == $inode) | \"\(.kind) \(.unlinked) \(.size) \(.verdict)\"")" "posix true 20000 in use" "a removed one that is still open"
ok "valid UTF-8 and JSON" python3 -c "
import json, urllib.parse
report = json.loads(open('$json', 'rb').read().decode('utf-8', 'strict'))
odd = [s for s in report['segments'] if 'name_bytes' in s]
assert len(odd) == 1, odd
assert odd[0]['name'] == 'odd \ufffd%\"\\\\\x1b', odd
assert urllib.parse.unquote_to_bytes(odd[0]['name_bytes']) == b'odd \xff%\"\\\\\x1b', odd
assert urllib.parse.unquote_to_bytes(odd[0]['file_bytes']) == b'posix/odd \xff%\"\\\\\x1b', odd"

# Each reader is shown as much as the kernel would show
is "$(report '"\(.segments_hidden) \([.segments[].holders_hidden] | add)"')" "0 0" "to root all"
is "$(file posix/own/secret .size)" 5000 "a file in a directory of its own"
theirs=".segments[] | select(.shmid == $attached)"
is "$(report_as 20002 "$theirs | \"\(.holders_hidden) \([.holders[].pid])\"")" "1 [$pid_b]" "to a user their own processes, the others in number"
unlike "$(report_as 20002 "$theirs | .evidence")" "$pid_a" "nor in the evidence"
is "$(report_as 20003 "$theirs | \"\(.holders_hidden) \(.holders) \(.nattch) \(.verdict)\"")" "2 [] 3 in use" "what /proc/sysvipc/shm tells all, all are told"
for user in 20001:0 20003:1; do
	is "$(report_as ${user%:*} .segments_hidden)" ${user#*:} "hidden from ${user%:*}: what is in a directory that they cannot list"
done
unlike "$(as_user 20003 cat "$json")" secret "not even its name"
is "$(report_as 20001 '[.segments[] | .name // "" | select(endswith("secret"))] | length')" 1 "whose it is sees it"

# metrics: the format's rules, then promtool's where it is
cat "$MNT/metrics" >"$TESTDIR/metrics"
cat >"$TESTDIR/check.py" <<'END'
import re, sys

text = open(sys.argv[1], 'rb').read().decode('utf-8', 'strict')
assert text.endswith('\n# EOF\n') and text.count('# EOF') == 1
name = r'[a-z_][a-z0-9_]*'
labels = rf'\{{{name}="(?:[^"\\\n]|\\[\\"n])*"(?:,{name}="(?:[^"\\\n]|\\[\\"n])*")*\}}'
sample = re.compile(rf'({name})({labels})? (\d+(?:\.\d+)?(?:e\+\d+)?)')
family, seen, series = None, {}, set()
for line in text.splitlines()[:-1]:
    if line.startswith('# '):
        kind, which, rest = re.fullmatch(rf'# (TYPE|UNIT|HELP) ({name}) (\S.*)', line).groups()
        if which != family:  # a family's lines stand together
            assert which not in seen, line
            family, seen[which] = which, {}
        assert kind not in seen[which] and 'samples' not in seen[which], line
        seen[which][kind] = rest
        assert kind != 'TYPE' or rest in ('gauge', 'counter'), line
        assert kind != 'UNIT' or which.endswith('_' + rest), line
    else:
        found = sample.fullmatch(line)
        assert found, line
        counts = seen[family]['TYPE'] == 'counter'
        assert found[1] == family + '_total' * counts and {'TYPE', 'HELP'} <= seen[family].keys(), line
        assert (found[1], found[2]) not in series, line
        series.add((found[1], found[2]))
        seen[family]['samples'] = True
        names = re.findall(rf'({name})="', found[2] or '')
        assert counts or len(set(names)) == len(names) and 'namespace' in names, line
for which, what in seen.items():
    assert 'samples' in what and which.startswith('segfs_'), which
    assert not re.search('_(total|count|sum|bucket|info)$', which), which
    assert which.endswith('_bytes') == ('UNIT' in what), which
END
ok "metrics are OpenMetrics" python3 "$TESTDIR/check.py" "$TESTDIR/metrics"
printf '# TYPE segfs_x gauge\n# HELP segfs_x x\nsegfs_x{namespace="1"} 1\n' >"$TESTDIR/wrong"
fails "(the check can fail)" python3 "$TESTDIR/check.py" "$TESTDIR/wrong"
if command -v promtool >/dev/null; then
	# It reads the older format, in which the help of a counter is by its name with _total.
	is "$(promtool check metrics <"$TESTDIR/metrics" 2>&1 | grep -v '^segfs_[a-z_]*_total no help text$')" "" "promtool finds nothing"
else
	skip "promtool finds nothing" "no promtool here (Debian: prometheus)"
fi
metric() { awk -v name="$1" -v labels="$2" 'index($1, name "{") == 1 && $0 ~ labels { sum += $NF; n++ } END { print n ? sum : "none" }' "$TESTDIR/metrics"; }
cat "$json" >"$TESTDIR/json"
for kind in sysv posix memfd anon; do
	is "$(metric segfs_segments "kind=\"$kind\"") $(metric segfs_size_bytes "kind=\"$kind\"") $(metric segfs_resident_bytes "kind=\"$kind\"")" \
		"$(jq -r "[.segments[] | select(.kind == \"$kind\")] | \"\(length) \([.[].size] | add // 0) \([.[].resident // 0] | add // 0)\"" "$TESTDIR/json")" "$kind: number, size and resident as in segments.json"
done
for verdict in "in use" idle orphaned unknown; do
	is "$(metric segfs_segments "verdict=\"$verdict\"")" "$(jq "[.segments[] | select(.verdict == \"$verdict\")] | length" "$TESTDIR/json")" "verdict $verdict: as many"
done
is "$(metric segfs_segments 'unlinked="true"')" "$(jq '[.segments[] | select(.unlinked)] | length' "$TESTDIR/json")" "unlinked: as many"
is "$(metric segfs_shmmni_segments .) $(metric segfs_sysv_segments .)" "$(jq -r '.namespaces[0].limits | "\(.shmmni) \(.segments_used)"' "$TESTDIR/json")" "shmmni and its use"
is "$(metric segfs_sysv_bytes .)" "$(jq '.namespaces[0].limits | .pages_used * .page_size' "$TESTDIR/json")" "use of shmall"
is "$(metric segfs_posix_used_bytes .)" "$(df -B1 --output=used /dev/shm | tail -n 1 | tr -d ' ')" "use of /dev/shm"
is "$(metric segfs_unexamined_processes .)" "$(jq .unexamined "$TESTDIR/json")" "unexamined processes"

# A report is of one moment: what comes later is in the next
agent C
tell C open f "$json" O_RDONLY >/dev/null
late=$(mkseg 4096 0600 0x99)
unlike "$(tell C read f 60000)" '"key":153' "opened before a segment was made"
is "$(of "$late" .key)" 153 "opened after"

quit A
is "$(of "$attached" '"\(.verdict) \([.holders[].pid])"')" "in use [$pid_b]" "one holder less"
quit B
until_true 10 test "$(ipc "$attached" nattch)" = 0
is "$(of "$attached" '"\(.verdict) \(.holders) \(.creator) \(.creator_lives)"')" "idle [] shmtool false" "none; its creator's command is remembered"
is "$(of "$removed" .file)" "" "what was held is gone"
quit C

# Objects too deep to be looked for are not in the report; the report says that there are such.
deep=$(printf 'd/%.0s' $(seq 64))
mkdir -p "/dev/shm/$deep"
echo x >"/dev/shm/${deep}x"
is "$(file "posix/${deep}x" .size) $(report '.namespaces[0].folders_unread')" "2 0" "64 directories deep"
mkdir "/dev/shm/${deep}e" "/dev/shm/${deep}f"
echo x >"/dev/shm/${deep}e/x"
is "$(file "posix/${deep}e/x" .size) $(report '.namespaces[0].folders_unread')" " 2" "below that it is not: two directories are counted"
is "$(cat "$MNT/posix/${deep}e/x")" x "(it is there)"
# A name of which the flat one, with its escapes, is too long: info/ has it cut, and by that name finds it.
for end in a b; do
	long=$(printf '%%%.0s' {1..100})$end
	truncate -s 5 "/dev/shm/$long"
	name=$(find "$MNT/info/posix" -name "*%25~$(stat -c %i "/dev/shm/$long")" -printf '%f\n')
	ok "info/ of a name that is too long is read ($end)" grep -qF "$long" "$MNT/info/posix/$name"
	rm "/dev/shm/$long"
done

done_testing
