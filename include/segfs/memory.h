/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <segfs/sysv.h>
#include <signal.h>

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

/*
 * The same to look at it, for which no rights are asked and nothing is attached: by a file handle
 * that is known since it was opened, or through a process that has it attached. -EBUSY: only an
 * attach would do. -EPERM: neither way is open to us.
 */
int segfs_memory_look(SegfsIpc *ipc, const SegfsSysv *segment, SegfsMemory **ret_memory);

/* One more reference to it, which is returned. Cannot fail. */
SegfsMemory *segfs_memory_ref(SegfsMemory *memory);
/* Gives up a reference; the last one closes or detaches (shmdt(2)) it. Cannot fail. */
void segfs_memory_unref(SegfsMemory *memory);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SegfsMemory, segfs_memory_unref)

/* True where both are the same physical memory; false where that cannot be told. */
bool segfs_memory_same(const SegfsMemory *a, const SegfsMemory *b);

/*
 * A descriptor of the memory file, still the memory's own, or -1 where it is attached.
 * Beware: writing past the size or truncating it changes the file under its attachers.
 */
int segfs_memory_fd(const SegfsMemory *memory);

/* The attached bytes, valid as long as it is, or NULL where there is a descriptor. */
const void *segfs_memory_bytes(const SegfsMemory *memory);

/* Bytes, shm_segsz of shmctl(2): the segment never changes its size. Cannot fail. */
uint64_t segfs_memory_size(const SegfsMemory *memory);
/*
 * Is it of huge pages (hugetlbfs, shmget(2) SHM_HUGETLB)? False, too, where it is attached and that
 * cannot be told.
 */
bool segfs_memory_is_huge(const SegfsMemory *memory);

/*
 * Bytes of memory that it takes (st_blocks of fstat(2)). -ENODATA where it is attached, or the
 * system swaps.
 */
int segfs_memory_resident(const SegfsMemory *memory, uint64_t *ret_bytes);

/*
 * Writes in place, bounded by the size: the bytes written, fewer where the end is
 * reached, -ENOSPC at or past the end, -ENOMEM where the kernel has no page for it. Large
 * writes are twice as fast where segfs_memory_sigbus_is_handled() was called.
 */
ssize_t segfs_memory_write(SegfsMemory *memory, const void *bytes, size_t size, off_t offset);

/*
 * The fastest way to write copies into mapped memory; what goes away meanwhile, by a truncation or
 * for want of a page, is a SIGBUS (signal(7)), and a library has no business to handle signals. So
 * the program has a handler for it, installed with SA_SIGINFO and SA_NODEFER (sigaction(2)), that
 * calls segfs_memory_sigbus() first. That does not return where the fault was in a copy of ours,
 * which then goes on another way; any other SIGBUS is the program's. It is async-signal-safe.
 */
void segfs_memory_sigbus(const siginfo_t *info);

/* Says that the program has such a handler, for good. Without it pwrite(2) is used. */
void segfs_memory_sigbus_is_handled(void);

/*
 * Makes a large write of size bytes at offset, where the last one ended, faster: it does now
 * what that write would have to do first, while the bytes are still to come. Cannot fail.
 */
void segfs_memory_prepare(SegfsMemory *memory, off_t offset, size_t size);

/*
 * Makes length bytes at offset zero and frees the whole pages of them; the range may end past the
 * size. Errors are those of fallocate(2), FALLOC_FL_PUNCH_HOLE, or of segfs_memory_write().
 */
int segfs_memory_punch(SegfsMemory *memory, off_t offset, off_t length);

/*
 * Has pages for length bytes at offset. -ENOSPC where they end past the size; -ENOMEM: there are no
 * pages; other errors are those of fallocate(2), or of madvise(2), MADV_POPULATE_WRITE.
 */
int segfs_memory_allocate(SegfsMemory *memory, off_t offset, off_t length);

/*
 * lseek(2) SEEK_DATA and SEEK_HOLE. True holes where there is a descriptor, or where the
 * segment has nothing swapped; else everything counts as data. A position in bytes, or -errno;
 * -ENXIO: there is none, or offset is at the end.
 */
off_t segfs_memory_seek(SegfsMemory *memory, off_t offset, int whence);
