#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# How much of what is in huge pages is resident, to the byte, wherever it is said. Not in parallel: the
# pools are the host's.
. "$(dirname "$0")/lib.sh"
need python3 jq getfattr

sys=/sys/kernel/mm/hugepages
[ -d $sys/hugepages-2048kB ] || skip_all "no huge pages of 2 MiB in this kernel"

# Makes one of each, touches so many pages of it, says what it is and what hugetlbfs itself says it has.
cat >"$TESTDIR/make.py" <<'END'
import ctypes, mmap, os, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = libc.mmap.restype = ctypes.c_void_p
libc.shmat.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int]
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
libc.shmget.argtypes = [ctypes.c_int, ctypes.c_size_t, ctypes.c_int]
IPC_CREAT, SHM_HUGETLB, HUGETLB, MFD_HUGETLB = 0o1000, 0o4000, 0x40000, 4
page = int(sys.argv[1])
kind = (page.bit_length() - 1) << 26
failed = ctypes.c_void_p(-1).value

def check(result, what):
    if result in (-1, failed):
        sys.exit("skip %s: %s" % (what, os.strerror(ctypes.get_errno())))
    return result

def touch(address, pages):
    for i in range(pages):
        ctypes.memset(address + i * page, 1, 1)

def blocks(address):
    for line in open("/proc/self/maps"):
        start, end = line.split()[0].split("-")
        if int(start, 16) == address:
            return os.stat("/proc/self/map_files/%x-%x" % (int(start, 16), int(end, 16))).st_blocks * 512

for what, pages in [arg.split("=") for arg in sys.argv[2:]]:
    pages, size = int(pages), page * (int(pages) + 1)
    if what in ("segment", "left"):
        made = check(libc.shmget(0, size, IPC_CREAT | SHM_HUGETLB | kind | 0o600), what)
        address = check(libc.shmat(made, None, 0), what)
    elif what == "memfd":
        made = check(libc.memfd_create(b"huge", MFD_HUGETLB | kind), what)
        os.ftruncate(made, size)
        address = check(libc.mmap(None, size, 3, mmap.MAP_SHARED, made, 0), what)
        made = os.fstat(made).st_ino
    else:
        address = check(libc.mmap(None, size, 3, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS | HUGETLB | kind, -1, 0), what)
        made = 0
    touch(address, pages)
    print(what, made, blocks(address), flush=True)
    if what == "left":
        libc.shmdt(ctypes.c_void_p(address))
print("ready", flush=True)
sys.stdin.read()
END

number() { sed -n "s/^$1: \([0-9]*\) .*/\1/p" "$MNT/limits"; }
meminfo() { awk -v k="$1:" '$1 == k { printf "%.0f", $2 * 1024 }' /proc/meminfo; }
used() { echo $((($(cat "$1/nr_hugepages") - $(cat "$1/free_hugepages")) * $2)); }

# Of what nobody has, the kernel's own figure says that its pages are huge where it is that many times too large.
is_known() { [ "$(ipc_table "$1" rss)" != "$2" ]; }

# row FILE BYTES HUGE NAME: everywhere the same
row() {
	local file=$MNT/$1 got
	got="stat $(($(stat --cached=never -c %b "$file") * 512)); du $(du -B 1 "$file" | cut -f 1)"
	got+="; info $(sed -n 's/^Resident:\t\([0-9]*\).*/\1/p' "$MNT/info/$1"); json $(jq -r --arg f "$1" '.segments[] | select(.file == $f) | "\(.resident) \(.huge_pages)"' "$MNT/segments.json")"
	got+="; segls $("$SEGLS" -b -n -r -o FILE,RESIDENT | sed -n "s|^$1 ||p")"
	is "$got" "stat $2; du $2; info $2; json $2 $3; segls $2" "$4"
	[ "${1%%/*}" != sysv ] || is "$(getfattr --absolute-names --only-values -n user.segfs.rss "$file")" "$2" "$4: user.segfs.rss"
}

# What nobody has seen, of small pages: its figure is one that a huge page has as well.
small_pages() {
	local small
	small=$("$SHMTOOL" run "shmget 0 1G IPC_CREAT|0600")
	python3 -c 'import ctypes, sys
libc = ctypes.CDLL(None)
libc.shmat.restype = ctypes.c_void_p
ctypes.memset(ctypes.c_void_p(libc.shmat(int(sys.argv[1]), None, 0)), 1, 1 << 30)' "$small"
	is "$(ipc_table "$small" rss)" 1073741824 "a segment of 1 GiB in small pages"
	like "$(jq -c ".segments[] | select(.shmid == $small) | [.resident, .huge_pages]" "$MNT/segments.json")" '^\[null,null\]$' "1 GiB, or 2 MiB in a huge page: it is not known"
	cat "$MNT/sysv/$small" >/dev/null
	is "$(jq -c ".segments[] | select(.shmid == $small) | [.resident, .huge_pages]" "$MNT/segments.json") $(number shmem-named)" "[1073741824,false] 1073741824" "once it was opened it is"
	rm "$MNT/sysv/$small"
}

matrix() {
	local page=$1 pool=$sys/hugepages-$(($1 / 1024))kB name=$2 before what made bytes w r named=0 unlinked=0 unknown=0 at needed=0
	local -a all
	shift 2
	for at in "$@"; do needed=$((needed + ${at#*=} + 1)); done
	before=$(cat "$pool/nr_hugepages")
	# shellcheck disable=SC2064
	trap "echo $before >$pool/nr_hugepages" EXIT
	echo $((before + needed)) >"$pool/nr_hugepages"
	if [ "$(cat "$pool/free_hugepages")" -lt $needed ] || [ "$(used "$pool" "$page")" -ne 0 ]; then
		skip "$name" "no room for $needed pages of their own"
	else
		mkfifo "$TESTDIR/$name"
		exec {w}<>"$TESTDIR/$name"
		python3 "$TESTDIR/make.py" "$page" "$@" <"$TESTDIR/$name" >"$TESTDIR/$name.made" 2>"$TESTDIR/$name.err" &
		r=$!
		made_all() { grep -q ready "$TESTDIR/$name.made" || ! [ -d /proc/$r/fd ]; }
		until_true 30 made_all
		mapfile -t all <"$TESTDIR/$name.made"
		is "${#all[@]}" $(($# + 1)) "$name: all made $(cat "$TESTDIR/$name.err")"
		for at in "${!all[@]}"; do
			read -r what made bytes <<<"${all[at]}"
			case $what in
			segment) row "sysv/$made" "$bytes" true "$name, $what"; named=$((named + bytes)) ;;
			left)
				if is_known "$made" "$bytes"; then
					row "sysv/$made" "$bytes" true "$name, $what"; named=$((named + bytes))
				else
					row "sysv/$made" "$bytes" null "$name, $what, of which it is not known"; unknown=$((unknown + bytes))
				fi ;;
			memfd) row "unlinked/memfd-huge-$made" "$bytes" true "$name, $what"; unlinked=$((unlinked + bytes)) ;;
			anon)
				made=$(basename "$MNT"/unlinked/anon-*)
				row "unlinked/$made" "$bytes" true "$name, $what"; unlinked=$((unlinked + bytes)) ;;
			esac
		done
		is "$(number hugetlb-named) $(number hugetlb-unlinked)" "$named $unlinked" "$name: limits"
		is "$(used "$pool" "$page")" $((named + unlinked + unknown)) "$name: as much as the pool has given out"
		is "$(sed -n 's/^segfs_resident_huge_bytes{.*} //p' "$MNT/metrics")" $((named + unlinked)) "$name: metrics"
		is $(($(number hugetlb-named) + $(number hugetlb-unlinked) + $(number hugetlb-elsewhere))) "$(meminfo Hugetlb)" "$name: limits adds up to Hugetlb"
		is "$(number shmem-named) $(number shmem-unlinked)" "0 0" "$name: none of it is Shmem"
		[ "$page" != 2097152 ] || [ "$(meminfo MemAvailable)" -le $((4 << 30)) ] || small_pages
		for at in "${all[@]}"; do
			read -r what made bytes <<<"$at"
			[[ $what != segment && $what != left ]] || rm "$MNT/sysv/$made"
		done
		kill $r
		wait $r 2>/dev/null
		exec {w}>&-
	fi
	echo "$before" >"$pool/nr_hugepages"
	trap - EXIT
}

matrix 2097152 "2 MiB" segment=3 left=2 memfd=2 anon=1
[ ! -d $sys/hugepages-1048576kB ] || matrix 1073741824 "1 GiB" left=1
done_testing
