/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <segfs/sysv.h>

/*
 * The memory of one SysV segment, held open. It stays readable and writable after the
 * segment's id is gone. Counted references; safe to use from many threads.
 *
 * Two ways lead to it. With CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE it is a descriptor of
 * the segment's own tmpfs or hugetlbfs file, got through /proc/PID/map_files (proc(5)) of
 * a process that has it attached or of a moment's attach of our own; then no attach lasts.
 * Without, it is an attach that lasts as long as this does.
 */
typedef struct SegfsMemory SegfsMemory;

/*
 * Opens the memory of segment for a caller whom segfs_sysv_may_attach() has let. Where we
 * cannot have a descriptor it is attached as the caller, for writing where write is set.
 * -ENOENT: the segment is gone. -ESTALE: its id is another segment's by now. -EBUSY: it
 * could only be had by attaching, which no_attach forbids, or which
 * kernel.shm_rmid_forced would turn into its removal.
 */
int segfs_memory_open(SegfsIpc *ipc, const SegfsCaller *caller, const SegfsSysv *segment,
		      bool write, SegfsMemory **ret_memory);
SegfsMemory *segfs_memory_ref(SegfsMemory *memory);
void segfs_memory_unref(SegfsMemory *memory);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SegfsMemory, segfs_memory_unref)

/* True where both are the same physical memory; false where that cannot be told. */
bool segfs_memory_same(const SegfsMemory *a, const SegfsMemory *b);

/*
 * A descriptor of the memory file, still the memory's own, or -1 where it is attached.
 * Beware: writing past the size or truncating it changes the file under its attachers.
 */
int segfs_memory_fd(const SegfsMemory *memory);

/* The attached bytes, or NULL where there is a descriptor. */
const void *segfs_memory_bytes(const SegfsMemory *memory);

uint64_t segfs_memory_size(const SegfsMemory *memory);
bool segfs_memory_is_huge(const SegfsMemory *memory);

/* Bytes of memory that it takes. -ENODATA where it is attached, or the system swaps. */
int segfs_memory_resident(const SegfsMemory *memory, uint64_t *ret_bytes);

/*
 * Writes in place, bounded by the size: the bytes written, fewer where the end is
 * reached, -ENOSPC at or past the end, -ENOMEM where the kernel has no page for it. The
 * first large write gives the process a handler for SIGBUS, which hands on those that are
 * not of our copying.
 */
ssize_t segfs_memory_write(SegfsMemory *memory, const void *bytes, size_t size, off_t offset);

/*
 * Makes a large write of size bytes at offset, where the last one ended, faster by what it
 * would have to do first: for who has the time while the bytes are still to come.
 */
void segfs_memory_prepare(SegfsMemory *memory, off_t offset, size_t size);

/* Makes the range zero and frees its whole pages; the range may end past the size. */
int segfs_memory_punch(SegfsMemory *memory, off_t offset, off_t length);

/* Has pages for the range. -ENOSPC where it ends past the size. */
int segfs_memory_allocate(SegfsMemory *memory, off_t offset, off_t length);

/*
 * lseek(2) SEEK_DATA and SEEK_HOLE. True holes where there is a descriptor, or where the
 * segment has nothing swapped; else everything counts as data.
 */
off_t segfs_memory_seek(SegfsMemory *memory, off_t offset, int whence);
