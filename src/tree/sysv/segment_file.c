/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * One open of a SysV segment.
 *
 * All opens that a node has at one time share one SegfsMemory, because the kernel's
 * passthrough insists on one backing file per inode. Each open gets its own first, though,
 * and compares: an id can have been removed and given out again since the lookup, and then
 * the open must not reach the old memory, nor those that have it open the new. ESTALE makes
 * the kernel look the name up once more, and it finds a new node.
 */

#include <errno.h>
#include <fcntl.h>

#include "lib/os/errand.h"
#include "lib/os/room.h"
#include "tree/sysv/pending.h"
#include "tree/sysv/segment.h"

/* One user more of the node's memory. -ESTALE: it is another's. Call with node's lock held. */
static int use_memory(SegmentNode *node, const SegfsSysv *segment, SegfsMemory *memory,
		      SegfsMemory **ret_memory)
{
	if (!node->memory) {
		node->memory = segfs_memory_ref(memory);
		g_free(node->last);
		node->last = g_memdup2(segment, sizeof(*segment));
	} else if (segfs_memory_fd(memory) >= 0) {
		if (!segfs_memory_same(node->memory, memory))
			return -ESTALE;
		*node->last = *segment;
		memory = node->memory;
	}
	node->n_users++;
	*ret_memory = segfs_memory_ref(memory);
	return 0;
}

/* Call with node's lock held. */
static void leave_memory(SegmentNode *node)
{
	if (--node->n_users > 0)
		return;
	g_clear_pointer(&node->memory, segfs_memory_unref);
	g_clear_pointer(&node->last, g_free);
}

/* Gives the file its memory. Call with node's lock held. */
static int share(SegmentNode *node, const SegfsSysv *segment, SegfsMemory *memory,
		 SegmentFile *file)
{
	int r = use_memory(node, segment, memory, &file->memory);

	if (r < 0)
		return r;
	file->counted = true;
	node->n_open++;
	node->was_opened = true;
	return 0;
}

File *segment_file_new_pending(SegmentNode *node, int flags)
{
	SegmentFile *file = file_new(&node->node, &segment_file_ops, sizeof(SegmentFile), flags);

	file->file.through_us = true;
	file->counted = true;
	node->n_open++;
	node->n_users++; /* of the memory that is to come */
	return &file->file;
}

static void pin_clear(gpointer pin)
{
	g_clear_pointer(&((SegmentPin *)pin)->memory, segfs_memory_unref);
}

int segment_pin(SegmentNode *node, const SegfsCaller *caller, const SegfsSysv *segment)
{
	SegfsIpc *ipc = node->node.ns->ipc;
	g_autoptr(SegfsMemory) memory = NULL;
	SegmentPin pin = {.tid = caller->tid, .uid = caller->uid, .gid = caller->gid};

	pin.write = segfs_sysv_may_attach(ipc, caller, segment, true) == 0;
	int r = pin.write ? 0 : segfs_sysv_may_attach(ipc, caller, segment, false);
	if (r == 0)
		r = segfs_memory_open(ipc, caller, segment, pin.write, &memory);
	if (r == -ENOENT || r == -ESTALE || (r < 0 && errand_postpone()))
		return r;
	pin.error = r;
	g_mutex_lock(&node->lock);
	r = pin.error ? 0 : use_memory(node, segment, memory, &pin.memory);
	if (r == 0 && !node->pins) {
		node->pins = g_array_new(FALSE, FALSE, sizeof(SegmentPin));
		g_array_set_clear_func(node->pins, pin_clear);
	}
	if (r == 0)
		g_array_append_val(node->pins, pin);
	g_mutex_unlock(&node->lock);
	if (r == -ESTALE)
		node_detach(&node->node);
	return r;
}

void segment_let_go(Node *base, pid_t tid)
{
	SegmentNode *node = (SegmentNode *)base;

	g_mutex_lock(&node->lock);
	for (guint i = 0; node->pins && i < node->pins->len; i++) {
		if (g_array_index(node->pins, SegmentPin, i).tid == tid) {
			const bool used = g_array_index(node->pins, SegmentPin, i).memory;
			g_array_remove_index_fast(node->pins, i);
			if (used)
				leave_memory(node);
			break;
		}
	}
	g_mutex_unlock(&node->lock);
}

/* What the caller has pinned: it is gone, and nobody can be asked any more who may open it. */
static int open_pinned(SegmentNode *node, const SegfsCaller *caller, bool write,
		       SegfsSysv *ret_segment, SegfsMemory **ret_memory)
{
	int r = -ENOENT;

	g_mutex_lock(&node->lock);
	for (guint i = 0; r == -ENOENT && node->pins && i < node->pins->len; i++) {
		const SegmentPin *pin = &g_array_index(node->pins, SegmentPin, i);
		/* A thread that has no number here could be any. */
		if (caller->tid <= 0 || pin->tid != caller->tid || pin->uid != caller->uid ||
		    pin->gid != caller->gid)
			continue;
		r = pin->error ? pin->error : write && !pin->write ? -EACCES : 0;
		if (r < 0)
			break;
		*ret_segment = *node->last;
		*ret_memory = segfs_memory_ref(pin->memory);
	}
	g_mutex_unlock(&node->lock);
	return r;
}

static int open_now(SegmentNode *node, const SegfsCaller *caller, bool write,
		    SegfsSysv *ret_segment, SegfsMemory **ret_memory)
{
	SegfsIpc *ipc = node->node.ns->ipc;
	int r = segfs_sysv_stat(ipc, node->shmid, ret_segment);

	if (r == 0)
		r = segfs_sysv_may_attach(ipc, caller, ret_segment, write);
	return r < 0 ? r : segfs_memory_open(ipc, caller, ret_segment, write, ret_memory);
}

typedef int (*Open)(SegmentNode *node, const SegfsCaller *caller, bool write,
		    SegfsSysv *ret_segment, SegfsMemory **ret_memory);

/* Gives the file memory that is opened in one of the two ways. */
static int open_and_share(SegmentNode *node, const SegfsCaller *caller, Open open,
			  SegmentFile *file)
{
	g_autoptr(SegfsMemory) memory = NULL;
	SegfsSysv segment;

	int r = open(node, caller, file->file.through_us, &segment, &memory);
	if (r < 0)
		return r;
	g_mutex_lock(&node->lock);
	r = share(node, &segment, memory, file);
	g_mutex_unlock(&node->lock);
	return r;
}

int segment_open(Node *base, const SegfsCaller *caller, int flags, File **ret_file)
{
	SegmentNode *node = (SegmentNode *)base;
	SegfsIpc *ipc = base->ns->ipc;
	const bool write = (flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC;

	g_mutex_lock(&node->lock);
	if (node->pending) {
		int r = pending_open(node, caller, flags, ret_file);
		g_mutex_unlock(&node->lock);
		return r;
	}
	g_mutex_unlock(&node->lock);

	g_autoptr(File) file = file_new(base, &segment_file_ops, sizeof(SegmentFile), flags);
	SegmentFile *opened = (SegmentFile *)file;
	/* Native writes could grow the memory file: the daemon, which knows the end, serves writes.
	 */
	file->through_us = write;
	/* Only a pending segment is made by a close. */
	file->has_no_flush = true;
	int r = open_and_share(node, caller, open_now, opened);
	const bool is_other = r == -ESTALE;
	if (r == -ENOENT || is_other)
		r = open_and_share(node, caller, open_pinned, opened);
	if (r == -ENOENT && is_other) {
		node_detach(base);
		r = -ESTALE;
	}
	if (r == 0 && flags & O_TRUNC)
		r = segfs_memory_punch(opened->memory, 0, segfs_memory_size(opened->memory));
	if (r < 0)
		return r;
	if (flags & O_TRUNC)
		segfs_sysv_resident_changed(ipc);
	*ret_file = g_steal_pointer(&file);
	return 0;
}

/*
 * Is the file's segment pending? True: the node's lock is held, until unlock(). False: it is not,
 * and the file's memory is there, with a reference.
 */
static bool lock_pending(File *file, SegfsMemory **ret_memory)
{
	SegmentNode *node = (SegmentNode *)file->node;
	SegfsMemory *memory = ((SegmentFile *)file)->memory;

	if (memory) {
		*ret_memory = segfs_memory_ref(memory);
		return false;
	}
	g_mutex_lock(&node->lock);
	if (node->pending)
		return true;
	*ret_memory = segfs_memory_ref(node->memory);
	g_mutex_unlock(&node->lock);
	return false;
}

static void unlock(File *file)
{
	g_mutex_unlock(&((SegmentNode *)file->node)->lock);
}

static int segment_read(File *file, size_t size, off_t offset, FileSpan *ret_span)
{
	g_autoptr(SegfsMemory) memory = NULL;

	if (lock_pending(file, &memory)) {
		int r = pending_read(((SegmentNode *)file->node)->pending, size, offset, ret_span);
		unlock(file);
		return r;
	}
	const uint64_t end = segfs_memory_size(memory);
	*ret_span = (FileSpan){.fd = segfs_memory_fd(memory), .offset = offset};
	if (offset >= 0 && (uint64_t)offset < end)
		ret_span->size = MIN(size, end - offset);
	if (ret_span->fd < 0)
		ret_span->bytes = (const char *)segfs_memory_bytes(memory) + offset;
	return 0;
}

/* See room.c; huge pages are of a pool of their own. */
static int take(const SegfsMemory *memory, off_t offset, uint64_t size, RoomTaken *ret_taken)
{
	const uint64_t end = segfs_memory_size(memory);

	if (segfs_memory_is_huge(memory) || offset < 0 || (uint64_t)offset >= end)
		return 0;
	return room_take_range(segfs_memory_fd(memory), offset, MIN(size, end - offset), ret_taken);
}

static ssize_t segment_write(File *file, const SegfsCaller *caller, const void *bytes, size_t size,
			     off_t offset)
{
	g_autoptr(SegfsMemory) memory = NULL;
	g_auto(RoomTaken) taken = 0;
	ssize_t r;

	if (lock_pending(file, &memory)) {
		r = pending_write(((SegmentNode *)file->node)->pending, bytes, size,
				  file->flags & O_APPEND ? PENDING_END : offset);
		unlock(file);
		return r;
	}
	r = take(memory, offset, size, &taken);
	if (r == 0)
		r = segfs_memory_write(memory, bytes, size, offset);
	segfs_sysv_resident_changed(file->node->ns->ipc);
	return r;
}

static int segment_flush(File *file, const SegfsCaller *caller)
{
	g_autoptr(SegfsMemory) memory = NULL;

	if (!lock_pending(file, &memory))
		return 0;
	int r = pending_close((SegmentNode *)file->node, caller);
	unlock(file);
	return r;
}

static int segment_allocate(File *file, int mode, off_t offset, off_t length)
{
	g_autoptr(SegfsMemory) memory = NULL;
	g_auto(RoomTaken) taken = 0;
	int r;

	if (lock_pending(file, &memory)) {
		r = pending_allocate((SegmentNode *)file->node, mode, offset, length);
		unlock(file);
		return r;
	}
	switch (mode) {
	case FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE:
		r = segfs_memory_punch(memory, offset, length);
		break;
	case FALLOC_FL_KEEP_SIZE:
	case 0:
		r = take(memory, offset, length, &taken);
		if (r == 0)
			r = segfs_memory_allocate(memory, offset, length);
		break;
	default:
		return -EOPNOTSUPP;
	}
	segfs_sysv_resident_changed(file->node->ns->ipc);
	return r;
}

static off_t segment_seek(File *file, off_t offset, int whence)
{
	g_autoptr(SegfsMemory) memory = NULL;

	if (!lock_pending(file, &memory))
		return segfs_memory_seek(memory, offset, whence);
	const off_t r = pending_seek(((SegmentNode *)file->node)->pending, offset, whence);
	unlock(file);
	return r;
}

static int segment_memory_fd(File *file)
{
	const SegfsMemory *memory = ((SegmentFile *)file)->memory;

	/* hugetlbfs does not let anything be stacked on it (s_stack_depth in its super block). */
	return memory && !segfs_memory_is_huge(memory) ? segfs_memory_fd(memory) : -1;
}

static void segment_file_free(File *file)
{
	SegmentNode *node = (SegmentNode *)file->node;
	SegmentFile *segment_file = (SegmentFile *)file;

	g_mutex_lock(&node->lock);
	if (segment_file->counted && --node->n_open == 0) {
		if (node->pending)
			pending_release(node);
		if (node->pending) {
			/* No segment was made, and no file is left that could make one. */
			g_clear_pointer(&node->pending, pending_free);
			node->shmid = -1;
		}
	}
	if (segment_file->counted)
		leave_memory(node);
	g_mutex_unlock(&node->lock);
	g_clear_pointer(&segment_file->memory, segfs_memory_unref);
}

void segment_written(Node *base, off_t end, size_t size)
{
	SegmentNode *node = (SegmentNode *)base;
	g_autoptr(SegfsMemory) memory = NULL;
	g_auto(RoomTaken) taken = 0;

	g_mutex_lock(&node->lock);
	/* Without a descriptor the memory is an attach, which is not to last longer than the file.
	 */
	if (node->memory && segfs_memory_fd(node->memory) >= 0)
		memory = segfs_memory_ref(node->memory);
	g_mutex_unlock(&node->lock);
	if (memory && take(memory, end, size, &taken) == 0)
		segfs_memory_prepare(memory, end, size);
}

const FileOps segment_file_ops = {
	.read = segment_read,
	.write = segment_write,
	.flush = segment_flush,
	.allocate = segment_allocate,
	.seek = segment_seek,
	.memory_fd = segment_memory_fd,
	.free = segment_file_free,
};
