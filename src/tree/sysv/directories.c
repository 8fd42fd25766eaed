/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The directories sysv/ and key/: the same segments, by id and by key.
 *
 * A segment that is marked for removal has lost its name and is in neither.
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "lib/history/history.h"
#include "lib/survey/item_name.h"
#include "tree/sysv/pending.h"
#include "tree/sysv/segment.h"

/* After so many tries a process that removes and makes it again and again has won: -ENOENT. */
#define OPENS_BY_KEY 16

static int look(const Listing *listing, const ListingEntry *entry, Node **ret_node,
		struct stat *ret_stat)
{
	const SegfsSysv *segment = entry->what;

	segment_as_stat(listing->directory->ns, segment, ret_stat);
	*ret_node = segment_node(listing->directory->ns, segment);
	((SegmentNode *)*ret_node)->listed_at = g_get_monotonic_time();
	return 0;
}

static void free_segments(gpointer segments)
{
	g_array_unref(segments);
}

static int list(Node *directory, bool by_key, Listing **ret_listing)
{
	const gint64 taken = g_get_monotonic_time();
	GArray *segments;

	int r = segfs_sysv_list(directory->ns->ipc, &segments);
	if (r < 0)
		return r;
	Listing *listing = listing_new(directory, look, segments, free_segments);
	listing->taken = taken;
	for (guint i = 0; i < segments->len; i++) {
		SegfsSysv *segment = &g_array_index(segments, SegfsSysv, i);
		char name[16];
		if (segment->dest || (by_key && segment->key == IPC_PRIVATE))
			continue;
		if (by_key)
			g_snprintf(name, sizeof(name), "0x%08x", (unsigned int)segment->key);
		else
			g_snprintf(name, sizeof(name), "%d", segment->shmid);
		listing_add(listing, name, segment_ino(directory->ns, segment), S_IFREG, segment);
	}
	*ret_listing = listing;
	return 0;
}

static int directory_getattr(Node *directory, bool brief, struct stat *ret_stat)
{
	node_static_directory_stat(directory, 0777, ret_stat);
	return 0;
}

static int find_by_id(IpcNs *ns, const char *name, SegfsSysv *ret_segment)
{
	int shmid;
	int r = item_parse_id(name, &shmid);

	if (r == 0)
		r = segfs_sysv_stat(ns->ipc, shmid, ret_segment);
	return r == 0 && ret_segment->dest ? -ENOENT : r;
}

int segment_find_by_key(IpcNs *ns, const char *name, SegfsSysv *ret_segment)
{
	key_t key;
	int shmid;

	if (item_parse_key(name, &key) < 0)
		return -ENOENT;
	int r = segfs_sysv_by_key(ns->ipc, key, &shmid);
	return r < 0 ? r : segfs_sysv_stat(ns->ipc, shmid, ret_segment);
}

typedef int (*Find)(IpcNs *ns, const char *name, SegfsSysv *ret_segment);

static int lookup(Node *directory, const char *name, Find find, Node **ret_node)
{
	SegfsSysv segment;
	int r = find(directory->ns, name, &segment);

	if (r == 0)
		*ret_node = segment_node(directory->ns, &segment);
	return r;
}

static int lookup_again(Node *directory, const SegfsCaller *caller, const char *name, Find find,
			Node **ret_node)
{
	SegfsSysv segment;

	for (int i = 0; i < OPENS_BY_KEY; i++) {
		int r = find(directory->ns, name, &segment);
		if (r < 0)
			return r;
		g_autoptr(Node) node = segment_node(directory->ns, &segment);
		r = segment_pin((SegmentNode *)node, caller, &segment);
		if (r == 0)
			*ret_node = g_steal_pointer(&node);
		if (r != -ENOENT && r != -ESTALE)
			return r;
	}
	return -ENOENT;
}

static int remove_found(Node *directory, const SegfsCaller *caller, const char *name,
			bool is_directory, Find find)
{
	SegfsSysv segment;
	int r = find(directory->ns, name, &segment);

	if (r == 0 && is_directory)
		return -ENOTDIR;
	if (r == 0)
		r = segfs_sysv_remove(directory->ns->ipc, caller, segment.shmid);
	if (r == 0)
		history_did(directory->ns->tree->history, caller, DEED_REMOVE, directory->ns->ipc,
			    &segment);
	return r;
}

static int sysv_lookup(Node *directory, const SegfsCaller *caller, const char *name,
		       Node **ret_node)
{
	return lookup(directory, name, find_by_id, ret_node);
}

static int sysv_lookup_again(Node *directory, const SegfsCaller *caller, const char *name,
			     Node **ret_node)
{
	return lookup_again(directory, caller, name, find_by_id, ret_node);
}

static int sysv_list(Node *directory, const SegfsCaller *caller, Listing **ret_listing)
{
	return list(directory, false, ret_listing);
}

static int sysv_remove(Node *directory, const SegfsCaller *caller, const char *name,
		       bool is_directory)
{
	return remove_found(directory, caller, name, is_directory, find_by_id);
}

static int key_lookup(Node *directory, const SegfsCaller *caller, const char *name, Node **ret_node)
{
	return lookup(directory, name, segment_find_by_key, ret_node);
}

static int key_lookup_again(Node *directory, const SegfsCaller *caller, const char *name,
			    Node **ret_node)
{
	return lookup_again(directory, caller, name, segment_find_by_key, ret_node);
}

static int key_list(Node *directory, const SegfsCaller *caller, Listing **ret_listing)
{
	return list(directory, true, ret_listing);
}

static int key_remove(Node *directory, const SegfsCaller *caller, const char *name,
		      bool is_directory)
{
	return remove_found(directory, caller, name, is_directory, segment_find_by_key);
}

/*
 * Opens the segment that has the key by now, which another process can have made since the kernel
 * looked. The segment can go, and another come, before it is open; -ENOENT: no segment has the key.
 */
static int open_by_key(Node *directory, const SegfsCaller *caller, const char *name, int flags,
		       Node **ret_node, File **ret_file)
{
	int r = -ESTALE;

	for (int i = 0; i < OPENS_BY_KEY && (r == -ENOENT || r == -ESTALE); i++) {
		g_autoptr(Node) node = NULL;
		r = key_lookup(directory, caller, name, &node);
		if (r < 0)
			return r;
		if (flags & O_EXCL)
			return -EEXIST;
		r = segment_open(node, caller, flags, ret_file);
		if (r == 0)
			*ret_node = g_steal_pointer(&node);
	}
	return r == -ESTALE ? -ENOENT : r;
}

static int key_create(Node *directory, const SegfsCaller *caller, const char *name, int flags,
		      mode_t mode, Node **ret_node, File **ret_file)
{
	Pending *pending;
	key_t key;

	int r = item_parse_key(name, &key);
	if (r == 0 && key == IPC_PRIVATE)
		return -EINVAL;
	if (r == 0)
		r = open_by_key(directory, caller, name, flags, ret_node, ret_file);
	if (r != -ENOENT)
		return r;
	r = pending_new(directory->ns, caller, key, mode, &pending);
	if (r < 0)
		return r;
	segment_node_new_pending(directory->ns, pending, flags, ret_node, ret_file);
	return 0;
}

static const NodeOps sysv_ops = {
	.names_last = true,
	.getattr = directory_getattr,
	.lookup = sysv_lookup,
	.lookup_again = sysv_lookup_again,
	.let_go = segment_let_go,
	.list = sysv_list,
	.remove = sysv_remove,
	.statfs = segment_statfs,
};

static const NodeOps key_ops = {
	.getattr = directory_getattr,
	.lookup = key_lookup,
	.lookup_again = key_lookup_again,
	.let_go = segment_let_go,
	.list = key_list,
	.remove = key_remove,
	.create = key_create,
	.statfs = segment_statfs,
};

Node *sysv_directory_new(IpcNs *ns, const void *data)
{
	return node_new_static(ns, &sysv_ops, sizeof(Node));
}

Node *key_directory_new(IpcNs *ns, const void *data)
{
	return node_new_static(ns, &key_ops, sizeof(Node));
}
