/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tree/sysv/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include "lib/history/history.h"
#include "tree/sysv/pending.h"

static void init(Node *base, const void *data)
{
	SegmentNode *node = (SegmentNode *)base;

	g_mutex_init(&node->lock);
	node->shmid = ((const SegfsSysv *)data)->shmid;
}

/* While a node is open it stands for the segment that was opened, whatever has its id by now. */
static bool is_of(Node *base, const void *data)
{
	SegmentNode *node = (SegmentNode *)base;

	g_mutex_lock(&node->lock);
	const bool is_other = node->last && !segfs_sysv_same(node->last, data);
	g_mutex_unlock(&node->lock);
	return !is_other;
}

/*
 * Shmid 0 is a segment, too: the third number keeps the key from being all zero. The
 * first is the index and not the number of the IPC namespace, which can come again.
 */
static NodeKey key_of(const IpcNs *ns, int shmid)
{
	return (NodeKey){.a = ns->index, .b = shmid, .c = 1};
}

Node *segment_node(IpcNs *ns, const SegfsSysv *segment)
{
	const NodeKey key = key_of(ns, segment->shmid);

	return node_intern(ns, &segment_ops, &key, segment);
}

void segment_node_new_pending(IpcNs *ns, Pending *pending, int flags, Node **ret_node,
			      File **ret_file)
{
	SegmentNode *node = node_new(ns, &segment_ops, sizeof(SegmentNode));

	g_mutex_init(&node->lock);
	node->pending = pending;
	*ret_file = segment_file_new_pending(node, flags);
	*ret_node = &node->node;
}

ino_t segment_ino(const IpcNs *ns, const SegfsSysv *segment)
{
	return segfs_ipc_inum(ns->ipc) << 32 | (uint32_t)segment->shmid;
}

void segment_as_stat(const IpcNs *ns, const SegfsSysv *segment, struct stat *ret_stat)
{
	*ret_stat = (struct stat){
		.st_ino = segment_ino(ns, segment),
		.st_mode = S_IFREG | segment->mode,
		.st_nlink = segment->nattch + (segment->dest ? 0 : 1),
		.st_uid = segment->uid,
		.st_gid = segment->gid,
		.st_size = MIN(segment->size, (uint64_t)INT64_MAX),
		.st_blksize = sysconf(_SC_PAGESIZE),
		.st_blocks = segment->has_resident ? segment->rss / 512 : 0,
		.st_atime = segment->atime ? segment->atime : segment->ctime,
		.st_mtime = segment->dtime ? segment->dtime : segment->ctime,
		.st_ctime = segment->ctime,
	};
}

void segment_node_made(SegmentNode *node, const SegfsSysv *segment, SegfsMemory *memory)
{
	const NodeKey key = key_of(node->node.ns, segment->shmid);
	struct stat st;

	g_clear_pointer(&node->pending, pending_free);
	node->shmid = segment->shmid;
	node->memory = segfs_memory_ref(memory);
	node->last = g_memdup2(segment, sizeof(*segment));
	/* Before its id finds it: what was said of it while it was pending is not the segment's. */
	segment_as_stat(node->node.ns, segment, &st);
	node_saw(&node->node, &st);
	node_rekey(&node->node, &key);
}

/* Call with the lock held and nothing pending. */
static int now(SegmentNode *node, bool brief, SegfsSysv *ret_segment)
{
	SegfsIpc *ipc = node->node.ns->ipc;
	int r = segfs_sysv_stat(ipc, node->shmid, ret_segment);

	if (node->last && (r == -ENOENT || (r == 0 && !segfs_sysv_same(node->last, ret_segment)))) {
		*ret_segment = *node->last;
		ret_segment->dest = true;
		ret_segment->nattch = 0;
		r = 0;
	} else if (r == 0 && node->last)
		*node->last = *ret_segment;
	if (r < 0 || brief)
		return r;
	if (node->memory && segfs_memory_resident(node->memory, &ret_segment->rss) == 0) {
		ret_segment->swap = 0;
		ret_segment->has_resident = true;
		return 0;
	}
	return segfs_sysv_resident(ipc, ret_segment);
}

int segment_now(SegmentNode *node, SegfsSysv *ret_segment)
{
	g_mutex_lock(&node->lock);
	int r = node->pending ? -EBUSY : now(node, false, ret_segment);
	g_mutex_unlock(&node->lock);
	return r;
}

int segment_alive(SegmentNode *node, SegfsSysv *ret_segment)
{
	g_mutex_lock(&node->lock);
	int r = node->pending ? -EBUSY
			      : segfs_sysv_stat(node->node.ns->ipc, node->shmid, ret_segment);
	if (node->last && (r == -ENOENT || (r == 0 && !segfs_sysv_same(node->last, ret_segment))))
		r = -EIDRM;
	g_mutex_unlock(&node->lock);
	return r;
}

static int segment_getattr(Node *base, bool brief, struct stat *ret_stat)
{
	SegmentNode *node = (SegmentNode *)base;
	SegfsSysv segment;
	int r = 0;

	g_mutex_lock(&node->lock);
	if (node->pending) {
		pending_stat(node->pending, ret_stat);
	} else if ((r = now(node, brief, &segment)) == 0) {
		segment_as_stat(base->ns, &segment, ret_stat);
	}
	g_mutex_unlock(&node->lock);
	return r;
}

/*
 * It has the name by which it was listed, as long as it is there and not marked for removal. In
 * unlinked/ it is listed as well, but looked up by each who asks.
 */
static int segment_still_named(Node *base)
{
	SegmentNode *node = (SegmentNode *)base;
	SegfsSysv segment;

	if (!node->listed_at || g_get_monotonic_time() - node->listed_at > LISTED_USED)
		return 0;
	g_mutex_lock(&node->lock);
	int r = node->pending ? 0 : segfs_sysv_stat(base->ns->ipc, node->shmid, &segment);
	if (r == 0 && !node->pending &&
	    (segment.dest || (node->last && !segfs_sysv_same(node->last, &segment))))
		r = -ESTALE;
	g_mutex_unlock(&node->lock);
	return r == -ENOENT ? -ESTALE : r;
}

static int segment_access(Node *base, const SegfsCaller *caller, int mask)
{
	SegfsSysv segment;
	int r = segment_alive((SegmentNode *)base, &segment);

	if (r == 0 && mask & X_OK)
		return -EACCES;
	if (r == 0 && mask & R_OK)
		r = segfs_sysv_may_attach(base->ns->ipc, caller, &segment, false);
	if (r == 0 && mask & W_OK)
		r = segfs_sysv_may_attach(base->ns->ipc, caller, &segment, true);
	return r == -EBUSY ? -EACCES : r;
}

/* Size 0 makes the bytes zero, the segment's own size does nothing, others are refused. */
static int resize(SegmentNode *node, const SegfsCaller *caller, File *file, uint64_t size)
{
	g_autoptr(File) opened = NULL;
	SegfsSysv segment;

	if (!file) {
		int r = segment_open(&node->node, caller, O_WRONLY, &opened);
		if (r < 0)
			return r;
		file = opened;
	}
	int r = segment_now(node, &segment);
	if (r < 0)
		return r;
	if (size == 0)
		return file->ops->allocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
					   segment.size);
	return size == segment.size ? 0 : -EPERM;
}

static int segment_setattr(Node *base, const SegfsCaller *caller, File *file,
			   const NodeChange *change)
{
	SegmentNode *node = (SegmentNode *)base;
	SegfsSysv segment;

	g_mutex_lock(&node->lock);
	if (node->pending) {
		int r = pending_setattr(node, caller, change);
		g_mutex_unlock(&node->lock);
		return r;
	}
	g_mutex_unlock(&node->lock);

	if (change->has_size)
		return resize(node, caller, file, change->size);
	if (change->has_mode || change->has_owner) {
		int r = segment_alive(node, &segment);
		if (r == 0)
			r = segfs_sysv_set(base->ns->ipc, caller, node->shmid, change->uid,
					   change->gid,
					   change->has_mode ? change->mode : (mode_t)-1);
		/* The segment went between the two calls: where it is open the errno is as above.
		 */
		if (r == -ENOENT && segment_alive(node, &segment) == -EIDRM)
			r = -EIDRM;
		if (r < 0)
			return r;
		if (segment_alive(node, &segment) == 0)
			history_did(base->ns->tree->history, caller, DEED_CHMOD, base->ns->ipc,
				    &segment);
	}
	/* The kernel sets a segment's times, and has no call to set them otherwise. */
	return change->has_times ? -EPERM : 0;
}

/* A mapping keeps the kernel's inode, which keeps the node. */
static SegfsOpened opened(SegmentNode *node)
{
	SegfsOpened opened = SEGFS_NEVER_OPENED;

	g_mutex_lock(&node->lock);
	if (node->n_open > 0)
		opened = SEGFS_IS_OPEN;
	else if (node->was_opened && node->node.ns->tree->for_others)
		opened = SEGFS_WAS_OPENED;
	g_mutex_unlock(&node->lock);
	return opened;
}

SegfsOpened segment_opened(IpcNs *ns, int shmid)
{
	const NodeKey key = key_of(ns, shmid);
	g_autoptr(GPtrArray) all = node_find_all(ns->tree, &segment_ops, &key);
	SegfsOpened most = SEGFS_NEVER_OPENED;

	for (guint i = 0; i < all->len; i++)
		most = MAX(most, opened(all->pdata[i]));
	return most;
}

int segment_statfs(Node *node, struct statvfs *ret_stat)
{
	SegfsLimits limits;
	int r = segfs_limits_read(node->ns->ipc, &limits);

	if (r < 0)
		return r;
	/* The default of shmall is so large that its bytes do not fit in 64 bits. */
	const uint64_t pages = MIN(limits.shmall, (uint64_t)INT64_MAX / limits.page_size);
	const uint64_t pages_left = pages - MIN(pages, limits.pages_used);
	const uint64_t ids_left = limits.shmmni - MIN(limits.shmmni, limits.segments_used);
	*ret_stat = (struct statvfs){
		.f_bsize = limits.page_size,
		.f_frsize = limits.page_size,
		.f_blocks = pages,
		.f_bfree = pages_left,
		.f_bavail = pages_left,
		.f_files = limits.shmmni,
		.f_ffree = ids_left,
		.f_favail = ids_left,
		.f_namemax = NAME_MAX,
	};
	return 0;
}

static void segment_node_free(Node *base)
{
	SegmentNode *node = (SegmentNode *)base;

	g_clear_pointer(&node->pending, pending_free);
	g_clear_pointer(&node->memory, segfs_memory_unref);
	g_clear_pointer(&node->pins, g_array_unref);
	g_free(node->last);
	g_mutex_clear(&node->lock);
}

const NodeOps segment_ops = {
	.outlasts = true,
	.is_apart_to_write = true,
	.still_named = segment_still_named,
	.names_last = true,
	.getattr = segment_getattr,
	.access = segment_access,
	.setattr = segment_setattr,
	.open = segment_open,
	.written = segment_written,
	.statfs = segment_statfs,
	.get_xattr = segment_get_xattr,
	.list_xattr = segment_list_xattr,
	.set_xattr = segment_set_xattr,
	.free = segment_node_free,
	.size = sizeof(SegmentNode),
	.init = init,
	.is_of = is_of,
};
