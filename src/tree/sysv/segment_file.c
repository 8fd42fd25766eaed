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

#include "lib/os/room.h"
#include "tree/sysv/pending.h"
#include "tree/sysv/segment.h"

/* Gives the file its memory. Call with node's lock held. */
static int share(SegmentNode *node, const SegfsSysv *segment, SegfsMemory *memory,
		 SegmentFile *file)
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
	file->memory = segfs_memory_ref(memory);
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
	return &file->file;
}

int segment_open(Node *base, const SegfsCaller *caller, int flags, File **ret_file)
{
	SegmentNode *node = (SegmentNode *)base;
	SegfsIpc *ipc = base->ns->ipc;
	const bool write = (flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC;
	g_autoptr(SegfsMemory) memory = NULL;
	SegfsSysv segment;

	g_mutex_lock(&node->lock);
	if (node->pending) {
		int r = pending_open(node, caller, flags, ret_file);
		g_mutex_unlock(&node->lock);
		return r;
	}
	g_mutex_unlock(&node->lock);
	int r = segfs_sysv_stat(ipc, node->shmid, &segment);
	if (r == 0)
		r = segfs_sysv_may_attach(ipc, caller, &segment, write);
	if (r == 0)
		r = segfs_memory_open(ipc, caller, &segment, write, &memory);
	if (r < 0)
		return r;

	g_autoptr(File) file = file_new(base, &segment_file_ops, sizeof(SegmentFile), flags);
	/* Native writes could grow the memory file: the daemon, which knows the end, serves writes.
	 */
	file->through_us = write;
	/* Only a pending segment is made by a close. */
	file->has_no_flush = true;
	g_mutex_lock(&node->lock);
	r = share(node, &segment, memory, (SegmentFile *)file);
	g_mutex_unlock(&node->lock);
	if (r == -ESTALE)
		node_detach(base);
	if (r == 0 && flags & O_TRUNC)
		r = segfs_memory_punch(memory, 0, segment.size);
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
		g_clear_pointer(&node->memory, segfs_memory_unref);
		g_clear_pointer(&node->last, g_free);
	}
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
