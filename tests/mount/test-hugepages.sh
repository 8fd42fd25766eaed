#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# SHM_HUGETLB segments read and write as others do. Not in parallel: the pool is the host's.
. "$(dirname "$0")/lib.sh"

pool=/proc/sys/vm/nr_hugepages
before=$(cat $pool 2>/dev/null) || skip_all "no huge pages in this kernel"
[ "$(awk '/^Hugepagesize:/ { print $2 }' /proc/meminfo)" = 2048 ] || skip_all "huge pages are not of 2 MiB"
trap 'echo "$before" >$pool' EXIT
echo $((before + 4)) >$pool
[ "$(awk '/^HugePages_Free:/ { print $2 }' /proc/meminfo)" -ge 4 ] || skip_all "the host has no room for four huge pages"

make() { "$SHMTOOL" run "shmget $2 $1 IPC_CREAT|IPC_EXCL|SHM_HUGETLB|0600"; }
id=$(make 4M 0xb00)
like "$id" '^[0-9]+$' "a segment of two huge pages"
file=$MNT/sysv/$id
is "$(stat -c %s "$file")" 4194304 "its size"
is "$(getfattr --absolute-names --only-values -n user.segfs.hugetlb "$file")" 1 "user.segfs.hugetlb says so"
is "$(cat "$file" | tr -d '\0' | wc -c) $(cat "$file" | wc -c)" "0 4194304" "reads as zeros"
head -c 4M /dev/urandom >"$TESTDIR/image"
ok "cp into it" cp "$TESTDIR/image" "$file"
ok "cmp" cmp "$TESTDIR/image" "$file"
ok "dd out in odd blocks" sh -c "dd if='$file' bs=10007 status=none | cmp - '$TESTDIR/image'"
is "$(do_ops "shmat a $id" "poke a 2097150 ABCD" "open a $file O_RDONLY" "pread a 2097150 4" | tail -n 1)" 4:ABCD "what an attacher stores is read, across the pages"
is "$(do_ops "open a $file O_RDWR" "pwrite a 2097151 xyz" "shmat m $id" "peek m 2097151 3" | tail -n 1)" xyz "what is written is seen by an attacher"
agent A
tell A open a "$file" O_RDWR >/dev/null
is "$(tell A pwrite a 4194302 abcdef)" 2 "a write across the end is short"
is "$(tell A pwrite a 4M x)" ENOSPC "one at the end is ENOSPC"
is "$(tell A pread a 4194302 10)" "2:ab" "a read across it is short"
is "$(ipc "$id" size)" 4194304 "nothing grew"
quit A
ok "O_TRUNC" sh -c ": >'$file'"
is "$(stat -c %s "$file") $(cat "$file" | tr -d '\0' | wc -c)" "4194304 0" "zeroes it and keeps its size"
is "$(ipc_table "$id" rss)" 0 "the pages are freed"
fails_with EPERM "truncate to another size" truncate -s 2M "$file"
cp "$TESTDIR/image" "$file"
ok "punch-hole" fallocate -p -o 2M -l 2M "$file"
ok "zeroes the second page" cmp -n 2097152 -i 2097152:0 "$file" /dev/zero
ok "and keeps the first" cmp -n 2097152 "$TESTDIR/image" "$file"

# A size that is no whole huge page: the kernel rounds the memory up, the segment ends at its size.
odd=$(make 2500000 0xb01)
is "$(wc -c <"$MNT/sysv/$odd")" 2500000 "a segment of 2500000 bytes ends there"
is "$(do_ops "open a $MNT/sysv/$odd O_RDWR" "pwrite a 2499999 xy" "pwrite a 2500000 x" | xargs)" "0 1 ENOSPC" "for writing, too"
agent A
tell A open a "$MNT/sysv/$odd" O_RDWR >/dev/null
ipcrm -m "$odd"
is "$(tell A pwrite a 100 still) $(tell A pread a 100 5)" "5 5:still" "an open one outlives ipcrm"
quit A
ok "rm" rm "$file"

# No page left where one is needed: the program gets an error, not the daemon a SIGBUS.
echo "$before" >$pool
if [ "$(awk '/^HugePages_Free:/ { print $2 }' /proc/meminfo)" -eq 0 ]; then
	none=$("$SHMTOOL" run "shmget 0xb02 2M IPC_CREAT|SHM_HUGETLB|SHM_NORESERVE|0600")
	if [[ $none = [0-9]* ]]; then
		fails_with "ENOMEM|ENOSPC|EIO|EFAULT" "a write without a free huge page" do_ops "open a $MNT/sysv/$none O_RDWR" "pwrite a 0 x"
		ok "the daemon lives" stat "$MNT/sysv/$none"
		cat "$MNT/sysv/$none" >/dev/null 2>&1
		ok "also after a read of it" stat "$MNT/sysv/$none"
	else
		skip "a write without a free huge page" "no such segment to be had: $none"
	fi
else
	skip "a write without a free huge page" "the host has free ones"
fi
done_testing
