#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# One memory: a mapping of the file is the memory that shmat gives. Without passthrough a
# shared mapping of a segment is ENODEV, never a stale copy.
. "$(dirname "$0")/lib.sh"

id=$(mkseg 20000 0666 0xc00)
file=$MNT/sysv/$id
rw='PROT_READ|PROT_WRITE'

agent A
tell A open w "$file" O_RDWR >/dev/null
tell A open r "$file" O_RDONLY >/dev/null
first=$(tell A mmap m w "$rw" MAP_SHARED 20000)
if no_passthrough; then
	is "$first" ENODEV "no passthrough: shared mmap for writing is ENODEV"
	is "$(tell A mmap n r PROT_READ MAP_SHARED 20000)" ENODEV "shared mmap for reading is ENODEV"
	is "$(tell A mmap n w PROT_READ MAP_SHARED 20000)" ENODEV "also of a descriptor for writing"
	is "$(tell A pwrite w 0 abc) $(tell A pread r 0 3)" "3 3:abc" "read and write work"
	quit A
	done_testing
fi

is "$first" 0 "shared mmap of a segment"
agent B
is "$(tell B shmat m "$id")" 0 "another process attaches it"
is "$(tell A poke m 0 file)$(tell B peek m 0 4)" 0file "stored through the file's mapping, seen in the attach"
is "$(tell B poke m 4096 attach)$(tell A peek m 4096 6)" 0attach "and the other way round"
is "$(tell A mmap n r PROT_READ MAP_SHARED 20000)" 0 "mmap for reading of a descriptor for reading"
is "$(tell A peek n 4096 6)" attach "is the same memory"
is "$(tell A mmap x r "$rw" MAP_SHARED 20000)" EACCES "not for writing"
is "$(tell A pwrite w 100 written)$(tell B peek m 100 7)" 7written "written through the descriptor, seen in the attach"
is "$(tell A peek m 100 7)" written "and in the mapping"
is "$(tell B poke m 200 stored)$(tell A pread r 200 6)$(tell A pread w 200 6)" 06:stored6:stored "stored in the attach, read by both descriptors"
is "$(tell A mmap p r "$rw" MAP_PRIVATE 20000)" 0 "MAP_PRIVATE"
is "$(tell A peek p 0 4)$(tell A poke p 0 mine)$(tell A peek p 0 4)$(tell B peek m 0 4)" file0minefile "leaves the segment alone"
is "$(tell A msync m)" 0 "msync"
agent C
tell C open w "$MNT/key/0xc00" O_RDWR >/dev/null
is "$(tell C mmap m w "$rw" MAP_SHARED 20000)" 0 "a second process maps it, by key"
is "$(tell C poke m 300 second)$(tell A peek m 300 6)$(tell B peek m 300 6)" 0secondsecond "three views, one memory"
is "$(tell A mmap o w "$rw" MAP_SHARED 4096 16384)$(tell A poke o 0 offset)$(tell B peek m 16384 6)" 00offset "a mapping with an offset"

# The end, by every descriptor
for d in "A w" "C w"; do
	read -r who slot <<<"$d"
	is "$(tell "$who" pwrite "$slot" 19999 xyz) $(tell "$who" pwrite "$slot" 20000 x) $(tell "$who" pwrite "$slot" 1M x)" "1 ENOSPC ENOSPC" "past the end, $d: ENOSPC"
	is "$(tell "$who" ftruncate "$slot" 1M)" EPERM "ftruncate, $d: EPERM"
	is "$(tell "$who" fallocate "$slot" 0 0 1M)" ENOSPC "fallocate, $d: ENOSPC"
done
is "$(do_ops "open w $file O_RDWR|O_DIRECT" "pwritefill w 16384 4096 q" "pwritefill w 20480 4096 q" | tail -n 2 | xargs)" "3616 ENOSPC" "O_DIRECT: short, then ENOSPC"
is "$(tell A read r 0 >/dev/null; tell A pread r 19999 100 | cut -d: -f1)" 1 "a read ends at the size, not at the page"
is "$(tell A pread r 20000 100)" "0:" "nothing behind it"
is "$(ipc "$id" size) $(stat -c %s "$file")" "20000 20000" "the size is what it was"
is "$(do_ops "shmat a $id" "peek a 20000 480" | tail -n 1)" '\x00{480}' "a new attach sees zeros behind the end"

# Everything at once on one inode: all opens of it must agree (mount/passthrough.h), or one gets EIO.
eio=0
for i in $(seq 50); do
	for flags in O_RDONLY O_RDWR O_WRONLY 'O_RDONLY|O_DIRECT' 'O_RDWR|O_DIRECT'; do
		tell C open z "$file" "$flags" | grep -qx 0 || eio=$((eio + 1))
		tell C close z >/dev/null
	done
done
is "$eio" 0 "250 opens of all kinds beside those open"

# After rm while both hold it
ok "rm" rm "$file"
is "$(tell A poke m 0 after)$(tell B peek m 0 5)" 0after "after rm: file's mapping to attach"
is "$(tell B poke m 0 again)$(tell A peek m 0 5)$(tell A pread r 0 5)" 0again5:again "after rm: attach to file's mapping"
quit B
is "$(tell C poke m 0 left)$(tell A peek m 0 4)" 0left "after the last detach: the mappings are still one memory"
echo "$id" >/proc/sys/kernel/shm_next_id
is "$(mkseg 20000 0600)" "$id" "the same id again"
agent B
tell B open w "$file" O_RDWR >/dev/null
is "$(tell B mmap m w "$rw" MAP_SHARED 20000)$(tell B peek m 0 4)$(tell B poke m 0 new)$(tell A peek m 0 4)" '0\x00\x00\x00\x000left' "is another memory"
quit A
quit B
quit C

# Seen where the kernel must look it up: faults past the last page of the segment
id=$(mkseg 4096 0600)
agent A
tell A open w "$MNT/sysv/$id" O_RDWR >/dev/null
is "$(tell A mmap m w "$rw" MAP_SHARED 8192)" 0 "a mapping longer than the segment"
is "$(tell A poke m 0 x)" 0 "works to its end"
# A shmtool built with ASan says a word before it dies of the signal.
like "$(tell A poke m 4096 x)" '^(no answer|AddressSanitizer:DEADLYSIGNAL)$' "and is SIGBUS behind it"
quit A
is "$(ipc "$id" size)" 4096 "it has not grown"

# posix/ against /dev/shm
head -c 20000 /dev/zero >/dev/shm/object
agent A
agent B
tell A open f "$MNT/posix/object" O_RDWR >/dev/null
tell B open f /dev/shm/object O_RDWR >/dev/null
is "$(tell A mmap m f "$rw" MAP_SHARED 20000) $(tell B mmap m f "$rw" MAP_SHARED 20000)" "0 0" "posix/: both sides map it"
is "$(tell A poke m 0 mount)$(tell B peek m 0 5)" 0mount "stored through the mount, seen on /dev/shm"
is "$(tell B poke m 5000 shm)$(tell A peek m 5000 3)" 0shm "and the other way round"
is "$(tell A pread f 5000 3) $(tell A pwrite f 6000 w)$(tell B peek m 6000 1)" "3:shm 1w" "read and write, too"
is "$(tell B ftruncate f 40000) $(tell A pwrite f 39999 e) $(tell B pread f 39999 1)" "0 1 1:e" "it may grow, by either side"
is "$(tell A pwrite f 50000 more)$(stat -c %s /dev/shm/object)$(stat -c %s "$MNT/posix/object")" 45000450004 "growth through the mount shows on both"
rm "$MNT/posix/object"
is "$(tell A poke m 0 later)$(tell B peek m 0 5)" 0later "after rm, too"
quit A
quit B
done_testing
