/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <segfs/memory.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/uio.h>
#include <sys/vfs.h>

#include "lib/kernel/kernel.h"
#include "lib/memory/attach.h"
#include "lib/memory/copy.h"
#include "lib/memory/handles.h"
#include "lib/memory/holder.h"
#include "lib/memory/ipc.h"
#include "lib/memory/shm.h"
#include "lib/os/autofd.h"

/* Smaller writes are not worth a mapping. */
#define WORTH_MAPPING (64 * 1024)

/* The cache of one core, more or less: sysconf(3) gives that of all cores, 320 MiB for 32. */
#define CACHE (32 * 1024 * 1024)

struct SegfsMemory {
	gatomicrefcount refs;
	SegfsIpc *ipc;
	int shmid;
	uint64_t size;
	int fd;         /* -1: attached */
	void *attached; /* NULL: there is fd */
	bool may_write; /* as it was opened */
	bool huge;
	/* It has the inode's random generation: two memories are told apart by it even where their
	 * ids are the same. handle_bytes 0: not known. */
	MemoryHandle handle;

	uint64_t whole; /* size, rounded up to whole pages of its kind */

	GMutex lock;                     /* protects what follows */
	void *mapped;                    /* of fd, made for the first write that needs it */
	uint64_t next;                   /* where the last write to it ended */
	uint64_t prepared, prepared_end; /* what segfs_memory_prepare() has prepared */
};

static void memory_free(SegfsMemory *memory)
{
	if (memory->attached)
		ipc_detach(memory->ipc, memory->shmid, memory->attached);
	if (memory->mapped)
		munmap(memory->mapped, memory->whole);
	if (memory->fd >= 0)
		close(memory->fd);
	g_mutex_clear(&memory->lock);
	g_free(memory);
}

SegfsMemory *segfs_memory_ref(SegfsMemory *memory)
{
	g_atomic_ref_count_inc(&memory->refs);
	return memory;
}

void segfs_memory_unref(SegfsMemory *memory)
{
	if (g_atomic_ref_count_dec(&memory->refs))
		memory_free(memory);
}

typedef struct {
	const SegfsSysv *segment;
	int *ret_fd;
} OwnAttach;

static int open_own_attach(void *address, void *data)
{
	OwnAttach *own = data;

	return holder_open_mapping("/proc", "self", own->segment, address, own->ret_fd);
}

static int open_fd(SegfsIpc *ipc, const SegfsSysv *segment, bool may_attach, int *ret_fd)
{
	if (!ipc->has_map_files)
		return -EPERM;
	int r = holder_open_memory(ipc, segment, ret_fd);
	if (r != -ENOENT)
		return r;
	if (!may_attach || !ipc_attach_is_safe(ipc, segment))
		return -EBUSY;
	OwnAttach own = {segment, ret_fd};
	return ipc_attach(ipc, segment->shmid, SHM_RDONLY, false, open_own_attach, &own, NULL);
}

static int attach_as(SegfsIpc *ipc, const SegfsCaller *caller, const SegfsSysv *segment, bool write,
		     void **ret_address)
{
	if (!ipc_attach_is_safe(ipc, segment))
		return -EBUSY;
	int r = segfs_caller_enter(caller);
	if (r < 0)
		return r;
	r = ipc_attach(ipc, segment->shmid, write ? 0 : SHM_RDONLY, true, NULL, NULL, ret_address);
	segfs_caller_leave();
	return r;
}

static uint64_t round_up(uint64_t size, uint64_t unit)
{
	return (size + unit - 1) / unit * unit;
}

/* Of a descriptor that was found in another way than by a known handle: what the handle stands for.
 */
static int describe(SegfsMemory *memory, SegfsIpc *ipc, const SegfsSysv *segment)
{
	struct statfs fs;

	if (fstatfs(memory->fd, &fs) < 0)
		return -errno;
	memory->huge = fs.f_type == HUGETLBFS_MAGIC;
	if (memory->huge)
		memory->whole = round_up(memory->size, fs.f_bsize);
	huge_remember(ipc, segment, memory->huge ? SEGFS_PAGES_HUGE : SEGFS_PAGES_SMALL);
	if (handle_read(memory->fd, &memory->handle))
		handle_remember(ipc, segment, &memory->handle);
	return 0;
}

/*
 * Any way but a known handle; segment is what the caller found, so its id may be another's now.
 * With no caller nothing is attached.
 */
static int find(SegfsMemory *memory, const SegfsCaller *caller, const SegfsSysv *segment,
		bool write)
{
	SegfsIpc *ipc = memory->ipc;
	SegfsSysv now;

	int r = open_fd(ipc, segment, caller != NULL, &memory->fd);
	if (caller && (r == -EPERM || r == -EACCES))
		r = attach_as(ipc, caller, segment, write, &memory->attached);
	/* The id could have been given to another segment between the question and the answer. */
	const int stat_r = segfs_sysv_stat(ipc, segment->shmid, &now);
	if (stat_r < 0)
		return stat_r;
	if (!segfs_sysv_same(segment, &now))
		return -ESTALE;
	if (r == 0 && memory->fd >= 0)
		r = describe(memory, ipc, &now);
	return r;
}

/* caller: see find(). */
static int open_memory(SegfsIpc *ipc, const SegfsCaller *caller, const SegfsSysv *segment,
		       bool write, SegfsMemory **ret_memory)
{
	g_autoptr(SegfsMemory) memory = g_new0(SegfsMemory, 1);
	int r;

	g_atomic_ref_count_init(&memory->refs);
	g_mutex_init(&memory->lock);
	memory->ipc = ipc;
	memory->shmid = segment->shmid;
	memory->size = segment->size;
	memory->whole = round_up(memory->size, sysconf(_SC_PAGESIZE));
	memory->fd = -1;
	memory->may_write = write;

	/* A handle is of just the segment that the caller has found: nothing is left to ask. */
	r = handle_open(ipc, segment, &memory->handle, &memory->fd);
	if (r == -ENOENT) {
		IPC_SCOPE(ipc, r);
		if (r == 0)
			r = find(memory, caller, segment, write);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return r;
	*ret_memory = g_steal_pointer(&memory);
	return 0;
}

int segfs_memory_open(SegfsIpc *ipc, const SegfsCaller *caller, const SegfsSysv *segment,
		      bool write, SegfsMemory **ret_memory)
{
	return open_memory(ipc, caller, segment, write, ret_memory);
}

int segfs_memory_look(SegfsIpc *ipc, const SegfsSysv *segment, SegfsMemory **ret_memory)
{
	return open_memory(ipc, NULL, segment, false, ret_memory);
}

bool segfs_memory_same(const SegfsMemory *a, const SegfsMemory *b)
{
	struct stat x, y;

	if (a->fd < 0 || b->fd < 0 || fstat(a->fd, &x) < 0 || fstat(b->fd, &y) < 0)
		return false;
	if (x.st_dev != y.st_dev || x.st_ino != y.st_ino || x.st_size != y.st_size)
		return false;
	/* hugetlbfs has no handles: there the number has to do. */
	return a->handle.header.handle_bytes == b->handle.header.handle_bytes &&
	       !memcmp(a->handle.header.f_handle, b->handle.header.f_handle,
		       a->handle.header.handle_bytes);
}

int segfs_memory_fd(const SegfsMemory *memory)
{
	return memory->fd;
}

const void *segfs_memory_bytes(const SegfsMemory *memory)
{
	return memory->attached;
}

uint64_t segfs_memory_size(const SegfsMemory *memory)
{
	return memory->size;
}

bool segfs_memory_is_huge(const SegfsMemory *memory)
{
	return memory->huge;
}

int segfs_memory_resident(const SegfsMemory *memory, uint64_t *ret_bytes)
{
	struct sysinfo system;
	struct stat st;

	/* The file's blocks are those in memory and those in swap, where huge pages never are. */
	if (memory->fd < 0 ||
	    (!memory->huge && (sysinfo(&system) < 0 || system.freeswap != system.totalswap)))
		return -ENODATA;
	if (fstat(memory->fd, &st) < 0)
		return -errno;
	*ret_bytes = (uint64_t)st.st_blocks * 512;
	return 0;
}

/* ret_prepared: a write of size bytes at offset need not prepare them. */
static int map(SegfsMemory *memory, uint64_t offset, size_t size, char **ret_bytes,
	       bool *ret_prepared)
{
	int r = 0;

	g_mutex_lock(&memory->lock);
	if (!memory->mapped) {
		void *mapped = mmap(NULL, memory->whole, PROT_READ | PROT_WRITE, MAP_SHARED,
				    memory->fd, 0);
		if (mapped == MAP_FAILED)
			r = -errno;
		else
			memory->mapped = mapped;
	}
	*ret_bytes = memory->mapped;
	*ret_prepared = offset >= memory->prepared && offset + size <= memory->prepared_end;
	memory->next = offset + size;
	g_mutex_unlock(&memory->lock);
	return r;
}

/*
 * Copies into a mapping with a system call, not with memcpy(): where the kernel has no
 * page to give, that ends in an error and not in a SIGBUS.
 */
static ssize_t copy_in(char *to, const void *bytes, size_t size)
{
	struct iovec local = {(void *)bytes, size}, remote = {to, size};
	const ssize_t n = process_vm_writev(getpid(), &local, 1, &remote, 1, 0);

	if (n < 0)
		return errno == EFAULT ? -ENOMEM : -errno;
	return n;
}

ssize_t segfs_memory_write(SegfsMemory *memory, const void *bytes, size_t size, off_t offset)
{
	char *to = memory->attached;
	bool prepared = false;

	if (offset < 0)
		return -EINVAL;
	if ((uint64_t)offset >= memory->size)
		return size ? -ENOSPC : 0;
	size = MIN(size, memory->size - offset);
	/* hugetlbfs has no write(2), and where there is an attach there is no file. */
	const bool is_file = memory->fd >= 0 && !memory->huge;
	if (memory->fd >= 0 && (memory->huge || (size >= WORTH_MAPPING && copy_is_enabled()))) {
		int r = map(memory, offset, size, &to, &prepared);
		if (r < 0 && !is_file)
			return r;
	}
	if (is_file && to && (prepared || copy_prepare(to + offset, size)) &&
	    copy_to_prepared(to + offset, bytes, size, memory->size > CACHE))
		return size;
	if (!is_file)
		return copy_in(to + offset, bytes, size);
	const ssize_t n = pwrite(memory->fd, bytes, size, offset);
	return n < 0 ? -errno : n;
}

void segfs_memory_sigbus(const siginfo_t *info)
{
	copy_fault(info);
}

void segfs_memory_sigbus_is_handled(void)
{
	copy_enable();
}

void segfs_memory_prepare(SegfsMemory *memory, off_t offset, size_t size)
{
	if (offset < 0 || (uint64_t)offset >= memory->size)
		return;
	size = MIN(size, memory->size - offset);
	g_mutex_lock(&memory->lock);
	char *to = memory->next == (uint64_t)offset && !memory->huge ? memory->mapped : NULL;
	g_mutex_unlock(&memory->lock);
	if (!to || !copy_prepare(to + offset, size))
		return;
	g_mutex_lock(&memory->lock);
	memory->prepared = offset;
	memory->prepared_end = offset + size;
	g_mutex_unlock(&memory->lock);
}

static int write_zeros(SegfsMemory *memory, off_t offset, off_t end)
{
	static const char zeros[64 * 1024];

	while (offset < end) {
		const ssize_t n = segfs_memory_write(
			memory, zeros, MIN((off_t)sizeof(zeros), end - offset), offset);
		if (n < 0)
			return n;
		offset += n;
	}
	return 0;
}

/* The range cut to the memory's size; false where nothing is left. */
static bool range_clip(const SegfsMemory *memory, off_t offset, off_t length, off_t *ret_end)
{
	if (offset < 0 || length <= 0 || (uint64_t)offset >= memory->size)
		return false;
	*ret_end = MIN((uint64_t)offset + length, memory->size);
	return true;
}

int segfs_memory_punch(SegfsMemory *memory, off_t offset, off_t length)
{
	const off_t page = sysconf(_SC_PAGESIZE);
	off_t end;

	if (!range_clip(memory, offset, length, &end))
		return 0;
	/* A last page that is not whole is freed, too. */
	const off_t last = (uint64_t)end < memory->size ? end : (off_t)memory->whole;
	if (memory->fd >= 0)
		return fallocate(memory->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset,
				 last - offset) < 0
			       ? -errno
			       : 0;
	const off_t from = round_up(offset, page), to = last / page * page;
	if (from >= to || madvise((char *)memory->attached + from, to - from, MADV_REMOVE) < 0)
		return write_zeros(memory, offset, end);
	int r = write_zeros(memory, offset, MIN(from, end));
	return r < 0 ? r : write_zeros(memory, MAX(to, offset), end);
}

/* Of shared memory a page that is read is made, too: by a call, so that none to give is no SIGBUS.
 */
static int touch(char *from, size_t size, size_t page)
{
	enum { PIECES = 512 };
	struct iovec pages[PIECES];
	char bytes[PIECES];

	for (size_t at = 0; at < size;) {
		size_t n = 0;
		for (; n < PIECES && at < size; n++, at += page)
			pages[n] = (struct iovec){from + at, 1};
		struct iovec local = {bytes, n};
		const ssize_t done = process_vm_readv(getpid(), &local, 1, pages, n, 0);
		if (done < 0)
			return errno == EFAULT ? -ENOMEM : -errno;
		if ((size_t)done < n)
			return -ENOMEM;
	}
	return 0;
}

int segfs_memory_allocate(SegfsMemory *memory, off_t offset, off_t length)
{
	const off_t page = sysconf(_SC_PAGESIZE);
	off_t end;

	if (!range_clip(memory, offset, length, &end) || end - offset != length)
		return -ENOSPC;
	if (memory->fd >= 0)
		return fallocate(memory->fd, FALLOC_FL_KEEP_SIZE, offset, length) < 0 ? -errno : 0;
	const off_t from = offset / page * page;
	if (!kernel_has(KERNEL_POPULATE_WRITE)) {
		/* To read makes pages, too. */
		if (!memory->may_write)
			return -EACCES;
		return touch((char *)memory->attached + from, end - from, page);
	}
	if (madvise((char *)memory->attached + from, end - from, MADV_POPULATE_WRITE) < 0)
		return errno == EFAULT ? -ENOMEM : -errno;
	return 0;
}

/*
 * Which pages of an attach exist. A page that mincore(2) does not see is a hole only if
 * it is not in swap, which is known of the segment as a whole.
 */
static off_t seek_attached(SegfsMemory *memory, off_t offset, int whence)
{
	enum { WINDOW = 16384 };
	const off_t page = sysconf(_SC_PAGESIZE);
	const uint64_t n_pages = (memory->size + page - 1) / page;
	g_autofree unsigned char *resident = g_malloc(WINDOW);
	SegfsSysv segment;
	uint64_t found = n_pages;

	for (uint64_t at = offset / page; at < n_pages && found == n_pages; at += WINDOW) {
		const uint64_t n = MIN(WINDOW, n_pages - at);
		if (mincore((char *)memory->attached + at * page, n * page, resident) < 0)
			return -errno;
		for (uint64_t i = 0; i < n && found == n_pages; i++)
			if ((resident[i] & 1) == (whence == SEEK_DATA))
				found = at + i;
	}
	segfs_sysv_resident_changed(memory->ipc);
	int r = segfs_sysv_stat(memory->ipc, memory->shmid, &segment);
	if (r == 0)
		r = segfs_sysv_resident(memory->ipc, &segment);
	if (r < 0 || !segment.has_resident || segment.swap > 0)
		return whence == SEEK_DATA ? offset : (off_t)memory->size;
	if (found == n_pages)
		return whence == SEEK_DATA ? -ENXIO : (off_t)memory->size;
	return MAX((off_t)found * page, offset);
}

off_t segfs_memory_seek(SegfsMemory *memory, off_t offset, int whence)
{
	if (offset < 0 || (uint64_t)offset >= memory->size)
		return -ENXIO;
	if (memory->fd < 0)
		return seek_attached(memory, offset, whence);
	const off_t found = lseek(memory->fd, offset, whence);
	if (found < 0)
		return -errno;
	return MIN(found, (off_t)memory->size);
}
