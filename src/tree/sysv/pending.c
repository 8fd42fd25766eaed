/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tree/sysv/pending.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "lib/history/history.h"
#include "lib/os/room.h"

struct Pending {
	IpcNs *ns; /* its node's */
	key_t key;
	SegfsCaller creator; /* its pid tells whose close counts */
	WitnessCaller who;   /* the same for history */
	mode_t mode;
	uid_t uid; /* given away before it is made; -1: not */
	gid_t gid;
	time_t started;
	int kept_fd; /* memfd of what is written */
	uint64_t kept;
	uint64_t pages; /* its share of the ns's pages_pending */
	bool is_cut;    /* the last write found no room: what is kept is not all there should be */
	uint64_t shmmax;
};

int pending_new(IpcNs *ns, const SegfsCaller *caller, key_t key, mode_t mode, Pending **ret_pending)
{
	SegfsLimits limits;
	int r = segfs_limits_read(ns->ipc, &limits);

	if (r < 0)
		return r;
	const int fd = memfd_create("segfs-pending", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	Pending *pending = g_new(Pending, 1);
	*pending = (Pending){
		.ns = ns,
		.key = key,
		.creator = *caller,
		.mode = mode & ~caller->umask & 0777,
		.uid = -1,
		.gid = -1,
		.started = time(NULL),
		.kept_fd = fd,
		.shmmax = limits.shmmax,
	};
	segfs_caller_copy(caller, &pending->creator);
	pending->who = history_who(ns->tree->history, caller);
	*ret_pending = pending;
	return 0;
}

/*
 * So many more pages are about to be kept. Past shmall shmget(2) would refuse them; until it is
 * asked the daemon keeps them, and no limit of the caller's binds the daemon.
 */
static int take_pages(Pending *pending, uint64_t pages)
{
	SegfsLimits limits;
	int r = segfs_limits_read(pending->ns->ipc, &limits);

	if (r < 0)
		return r;
	const uint64_t left = limits.shmall - MIN(limits.shmall, limits.pages_used);
	g_mutex_lock(&pending->ns->lock);
	const uint64_t taken = pending->ns->pages_pending;
	if (taken > left || pages > left - taken) {
		r = -ENOSPC;
	} else {
		pending->ns->pages_pending += pages;
		pending->pages += pages;
	}
	g_mutex_unlock(&pending->ns->lock);
	return r;
}

/* Sets the number of pages without asking for room: there are no more than before. */
static void count_pages(Pending *pending, uint64_t pages)
{
	g_mutex_lock(&pending->ns->lock);
	pending->ns->pages_pending += pages - pending->pages;
	pending->pages = pages;
	g_mutex_unlock(&pending->ns->lock);
}

static uint64_t pages_kept(const Pending *pending)
{
	struct stat st;

	return fstat(pending->kept_fd, &st) < 0
		       ? pending->pages
		       : (uint64_t)st.st_blocks * 512 / sysconf(_SC_PAGESIZE);
}

void pending_free(Pending *pending)
{
	count_pages(pending, 0);
	close(pending->kept_fd);
	segfs_caller_clear(&pending->creator);
	g_free(pending);
}

static bool is_creators(const Pending *pending, const SegfsCaller *caller)
{
	return caller->uid == pending->creator.uid || caller->uid == 0;
}

int pending_open(SegmentNode *node, const SegfsCaller *caller, int flags, File **ret_file)
{
	/* A lookup of the key finds nothing yet, so the caller comes by /proc/PID/fd. */
	if (!is_creators(node->pending, caller))
		return -EACCES;
	*ret_file = segment_file_new_pending(node, flags);
	return 0;
}

void pending_stat(const Pending *pending, struct stat *ret_stat)
{
	*ret_stat = (struct stat){
		.st_ino = (ino_t)(UINT32_MAX - 1) << 32 | (uint32_t)pending->key,
		.st_mode = S_IFREG | pending->mode,
		.st_nlink = 1,
		.st_uid = pending->uid == (uid_t)-1 ? pending->creator.uid : pending->uid,
		.st_gid = pending->gid == (gid_t)-1 ? pending->creator.gid : pending->gid,
		.st_blksize = sysconf(_SC_PAGESIZE),
		.st_atime = pending->started,
		.st_mtime = pending->started,
		.st_ctime = pending->started,
	};
}

/*
 * What was written before the size was known becomes the segment's first bytes. Each piece goes as
 * soon as it is copied: both whole could be more than our memory cgroup has. If it fails midway
 * nothing is left that could be made into a segment later.
 */
static int copy_kept(Pending *pending, SegfsMemory *memory, uint64_t size)
{
	enum { PIECE = 1024 * 1024 };
	g_autofree char *piece = g_malloc(PIECE);
	const uint64_t end = MIN(size, pending->kept);
	off_t at = 0;

	while ((at = lseek(pending->kept_fd, at, SEEK_DATA)) >= 0 && (uint64_t)at < end) {
		const ssize_t n = pread(pending->kept_fd, piece, MIN(PIECE, end - at), at);
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		for (ssize_t done = 0; done < n;) {
			const ssize_t written =
				segfs_memory_write(memory, piece + done, n - done, at + done);
			if (written < 0)
				return written;
			done += written;
		}
		fallocate(pending->kept_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, n);
		at += n;
	}
	return at < 0 && errno != ENXIO ? -errno : 0;
}

/* Is the id still that of the segment that we have made? It could be removed, and given out again.
 */
static int made_stat(SegfsIpc *ipc, const Pending *pending, int shmid, uint64_t size,
		     SegfsSysv *ret_segment)
{
	int r = segfs_sysv_stat(ipc, shmid, ret_segment);

	if (r < 0)
		return r;
	return ret_segment->size == size && ret_segment->cpid == getpid() &&
			       (ret_segment->dest || ret_segment->key == pending->key)
		       ? 0
		       : -ENOENT;
}

/*
 * The mode with which it begins. Without a descriptor of its memory the creator attaches it to
 * write, whatever its mode is to be; and what is not filled yet never has the mode that it is to
 * have, whenever we are killed.
 */
static mode_t first_mode(const Pending *pending)
{
	if (pending->kept == 0)
		return pending->mode | 0600;
	return pending->mode == 0600 ? 0700 : 0600;
}

/* Where somebody has removed it, and its id may be another's by now, nothing is to be set. */
static int set_rights(const Pending *pending, const SegfsSysv *segment, uid_t uid, gid_t gid,
		      mode_t mode)
{
	SegfsIpc *ipc = pending->ns->ipc;
	SegfsSysv now;
	int r = segfs_sysv_set(ipc, &pending->creator, segment->shmid, uid, gid, mode);

	if (r == 0)
		return 0;
	const int found = segfs_sysv_stat(ipc, segment->shmid, &now);
	return found == -ENOENT || (found == 0 && !segfs_sysv_same(segment, &now)) ? 0 : r;
}

/*
 * The segment is there, its creator's alone for now. While it is being filled nobody may attach
 * it; then it gets mode and owner. Removed once its memory is open is as good as removed a moment
 * later.
 */
static int fill(SegmentNode *node, int shmid, uint64_t size)
{
	Pending *pending = node->pending;
	SegfsIpc *ipc = node->node.ns->ipc;
	g_autoptr(SegfsMemory) memory = NULL;
	SegfsSysv segment;
	mode_t mode = first_mode(pending);

	int r = made_stat(ipc, pending, shmid, size, &segment);
	if (r == 0)
		r = segfs_memory_open(ipc, &pending->creator, &segment, true, &memory);
	if (r == 0 && pending->kept > 0)
		r = set_rights(pending, &segment, -1, -1, mode = 0);
	if (r == 0)
		r = copy_kept(pending, memory, size);
	if (r == 0 &&
	    (pending->mode != mode || pending->uid != (uid_t)-1 || pending->gid != (gid_t)-1))
		r = set_rights(pending, &segment, pending->uid, pending->gid, pending->mode);
	if (r == 0)
		history_made(node->node.ns->tree->history, &pending->who, ipc, &segment);
	if (r == 0)
		segment_node_made(node, &segment, memory);
	return r;
}

/* Makes the segment, and fills it. -EIDRM: somebody has removed it since. */
static int make_and_fill(SegmentNode *node, uint64_t size)
{
	Pending *pending = node->pending;
	SegfsIpc *ipc = node->node.ns->ipc;
	const SegfsCaller creator = pending->creator;
	int shmid;

	int r = segfs_sysv_create(ipc, &creator, pending->key, size, first_mode(pending), &shmid);
	if (r < 0)
		return r;
	r = fill(node, shmid, size);
	/* There is nothing to take back then: the id may be another's. */
	if (r == -ENOENT || r == -ESTALE)
		return -EIDRM;
	if (r < 0) {
		pending->is_cut = true;
		segfs_sysv_remove(ipc, &creator, shmid);
	}
	return r;
}

/* Nothing is left of a segment that could not be made whole. */
static int pending_make(SegmentNode *node, uint64_t size)
{
	enum { TRIES = 16 };
	Pending *pending = node->pending;
	SegfsIpc *ipc = node->node.ns->ipc;
	int r = -EIDRM;

	/* From here on the kernel counts the segment's: not both, or others would find no room. */
	count_pages(pending, 0);
	/* One that is removed before it can be filled was made too early: its creator has nothing
	 * of it. */
	for (int i = 0; i < TRIES && r == -EIDRM; i++)
		r = make_and_fill(node, size);
	if (r < 0)
		count_pages(pending, pages_kept(pending));
	segfs_sysv_resident_changed(ipc);
	return r;
}

static int forget_kept(Pending *pending)
{
	if (ftruncate(pending->kept_fd, 0) < 0)
		return -errno;
	count_pages(pending, 0);
	pending->kept = 0;
	pending->is_cut = false;
	return 0;
}

int pending_setattr(SegmentNode *node, const SegfsCaller *caller, const NodeChange *change)
{
	Pending *pending = node->pending;

	if (!is_creators(pending, caller))
		return -EPERM;
	if (change->has_mode)
		pending->mode = change->mode & 0777;
	if (change->has_owner && change->uid != (uid_t)-1)
		pending->uid = change->uid;
	if (change->has_owner && change->gid != (gid_t)-1)
		pending->gid = change->gid;
	/* Times are taken and not kept, so that `tar -x` and `cp -p` are content: there is no
	 * segment yet that could have others. */
	if (!change->has_size)
		return 0;
	if (change->size > 0)
		return pending_make(node, change->size);
	return forget_kept(pending);
}

int pending_read(Pending *pending, size_t size, off_t offset, FileSpan *ret_span)
{
	*ret_span = (FileSpan){.fd = -1};
	if ((uint64_t)offset >= pending->kept)
		return 0;
	size = MIN(size, pending->kept - offset);
	/* A copy: the memfd goes as soon as the segment is made, while this is on its way. */
	g_autofree char *bytes = g_malloc(size);
	const ssize_t n = pread(pending->kept_fd, bytes, size, offset);
	if (n < 0)
		return -errno;
	ret_span->bytes = bytes;
	ret_span->size = n;
	ret_span->keep = g_bytes_new_take(g_steal_pointer(&bytes), n);
	return 0;
}

ssize_t pending_write(Pending *pending, const void *bytes, size_t size, off_t offset)
{
	g_auto(RoomTaken) taken = 0;

	if (offset == PENDING_END)
		offset = pending->kept;
	if ((uint64_t)offset >= pending->shmmax)
		return -EFBIG;
	size = MIN(size, pending->shmmax - offset);
	int r = take_pages(pending, room_pages_missing(pending->kept_fd, offset, size));
	if (r == 0)
		r = room_take_range(pending->kept_fd, offset, size, &taken);
	pending->is_cut = r == -ENOSPC;
	const ssize_t n = r < 0 ? -1 : pwrite(pending->kept_fd, bytes, size, offset);
	if (r == 0 && n < 0)
		r = -errno;
	if (n < (ssize_t)size)
		count_pages(pending, pages_kept(pending));
	if (r < 0)
		return r;
	pending->kept = MAX(pending->kept, (uint64_t)offset + n);
	return n;
}

off_t pending_seek(Pending *pending, off_t offset, int whence)
{
	const off_t found = lseek(pending->kept_fd, offset, whence);

	return found < 0 ? -errno : found;
}

int pending_allocate(SegmentNode *node, int mode, off_t offset, off_t length)
{
	if (mode != 0)
		return -EOPNOTSUPP;
	g_auto(RoomTaken) taken = 0;
	int r = room_take_range(-1, offset, length, &taken);
	if (r == 0)
		r = pending_make(node, MAX((uint64_t)offset + length, node->pending->kept));
	return r < 0 ? r : segfs_memory_allocate(node->memory, offset, length);
}

int pending_close(SegmentNode *node, const SegfsCaller *caller)
{
	const Pending *pending = node->pending;

	segfs_caller_complete(caller);
	if (caller->pid && pending->creator.pid && caller->pid != pending->creator.pid)
		return 0;
	if (pending->kept == 0)
		return -EINVAL;
	int r = pending->is_cut ? -ENOSPC : pending_make(node, pending->kept);
	/* The program knows now: the release need not try again. */
	if (r < 0)
		forget_kept(node->pending);
	return r;
}

void pending_release(SegmentNode *node)
{
	if (node->pending->kept == 0)
		return;
	const key_t key = node->pending->key;
	int r = node->pending->is_cut ? -ENOSPC : pending_make(node, node->pending->kept);
	if (r < 0)
		g_warning("key 0x%08x: no segment could be made of what was written: %s",
			  (unsigned int)key, g_strerror(-r));
}
