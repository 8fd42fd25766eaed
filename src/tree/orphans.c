/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The directory orphans/: what nobody uses any more, to be read and removed. Semaphore sets and
 * queues are here as their nodes in sem/ and msg/, where the verdict holds at that moment.
 *
 * A file here is a node of its own around the node in sysv/ or posix/, which does the work. A file
 * is here by a verdict, and a verdict can be over: once a process holds the memory, a listing
 * leaves the file out and stat says ENOENT. But as long as the kernel remembers the name, a lookup
 * still finds the file, so that the daemon gets the request to remove it and refuses with EBUSY.
 *
 * A listing has what the caller may remove, so that rm of all that is listed does not fail for what
 * is others'. A lookup finds the others' files as well.
 */

#include <errno.h>
#include <linux/capability.h>
#include <string.h>

#include "lib/history/history.h"
#include "lib/os/autofd.h"
#include "lib/os/errand.h"
#include "tree/item.h"
#include "tree/posix/object.h"
#include "tree/resource/resource.h"
#include "tree/sysv/segment.h"

typedef struct {
	Node node;
	Node *inner;
	char *path; /* of a POSIX object, below its directory; NULL: a segment */
} OrphanNode;

/* By the object's own path a caller finds it only through directories that the caller may search.
 */
static int reach(const OrphanNode *node, const SegfsCaller *caller)
{
	autofd fd = -1;

	if (!node->path)
		return 0;
	return segfs_posix_open_path(((ObjectNode *)node->inner)->posix, caller, node->path, &fd);
}

/* Is it open through this mount? Then it is no orphan, but a caller that has it open may go on. */
static bool is_open(const OrphanNode *node)
{
	GMutex *lock = node->path ? &((ObjectNode *)node->inner)->lock
				  : &((SegmentNode *)node->inner)->lock;

	g_mutex_lock(lock);
	const guint n_open = node->path ? ((ObjectNode *)node->inner)->n_open
					: ((SegmentNode *)node->inner)->n_open;
	g_mutex_unlock(lock);
	return n_open > 0;
}

static int orphan_getattr(Node *base, bool brief, struct stat *ret_stat)
{
	const OrphanNode *node = (OrphanNode *)base;
	g_auto(ObjectAt) at = OBJECT_NOWHERE;

	int r = node->inner->ops->getattr(node->inner, brief, ret_stat);
	if (r < 0 || brief || is_open(node))
		return r;
	if (!node->path)
		return ret_stat->st_nlink > 1 ? -ENOENT : 0;
	r = object_reach(node->inner, &at);
	if (r == 0 && segfs_object_is_free(at.fd) == -EBUSY)
		r = -ENOENT;
	return r;
}

static int orphan_access(Node *base, const SegfsCaller *caller, int mask)
{
	const OrphanNode *node = (OrphanNode *)base;
	int r = reach(node, caller);

	return r < 0 ? r : node->inner->ops->access(node->inner, caller, mask);
}

static int orphan_setattr(Node *base, const SegfsCaller *caller, File *file,
			  const NodeChange *change)
{
	const OrphanNode *node = (OrphanNode *)base;
	int r = reach(node, caller);

	return r < 0 ? r : node->inner->ops->setattr(node->inner, caller, file, change);
}

static int orphan_open(Node *base, const SegfsCaller *caller, int flags, File **ret_file)
{
	const OrphanNode *node = (OrphanNode *)base;
	int r = reach(node, caller);

	return r < 0 ? r : node->inner->ops->open(node->inner, caller, flags, ret_file);
}

static int orphan_statfs(Node *base, struct statvfs *ret_stat)
{
	Node *inner = ((OrphanNode *)base)->inner;

	return inner->ops->statfs(inner, ret_stat);
}

static int orphan_get_xattr(Node *base, const SegfsCaller *caller, const char *name,
			    GBytes **ret_value)
{
	const OrphanNode *node = (OrphanNode *)base;
	int r = reach(node, caller);

	return r < 0 ? r : node->inner->ops->get_xattr(node->inner, caller, name, ret_value);
}

static int orphan_list_xattr(Node *base, const SegfsCaller *caller, GBytes **ret_names)
{
	const OrphanNode *node = (OrphanNode *)base;
	int r = reach(node, caller);

	return r < 0 ? r : node->inner->ops->list_xattr(node->inner, caller, ret_names);
}

static int orphan_set_xattr(Node *base, const SegfsCaller *caller, const char *name,
			    const void *bytes, size_t size, int flags)
{
	const OrphanNode *node = (OrphanNode *)base;
	int r = reach(node, caller);

	return r < 0 ? r
		     : node->inner->ops->set_xattr(node->inner, caller, name, bytes, size, flags);
}

static void orphan_free(Node *base)
{
	OrphanNode *node = (OrphanNode *)base;

	node_unref(node->inner);
	g_free(node->path);
}

typedef struct {
	Node *inner;
	const char *path;
} Made;

static void init(Node *base, const void *data)
{
	OrphanNode *node = (OrphanNode *)base;
	const Made *made = data;

	node->inner = node_ref(made->inner);
	node->path = g_strdup(made->path);
}

/* False: the id or inode number is that of another segment or object by now. */
static bool is_of(Node *base, const void *data)
{
	return ((OrphanNode *)base)->inner == ((const Made *)data)->inner;
}

static const NodeOps orphan_ops = {
	.waits = NODE_CHANGE | NODE_WRITE, /* as of a POSIX object */
	.is_apart_to_write = true,
	.getattr = orphan_getattr,
	.access = orphan_access,
	.setattr = orphan_setattr,
	.open = orphan_open,
	.statfs = orphan_statfs,
	.get_xattr = orphan_get_xattr,
	.list_xattr = orphan_list_xattr,
	.set_xattr = orphan_set_xattr,
	.free = orphan_free,
	.size = sizeof(OrphanNode),
	.init = init,
	.is_of = is_of,
};

static NodeKey key_of(const IpcNs *ns, const SegfsItem *item)
{
	return (NodeKey){.a = item->id.domain,
			 .b = item->id.number,
			 .c = (uint64_t)ns->index << 32 | (1 + item->id.kind)};
}

static int inner_of(IpcNs *ns, const SegfsItem *item, Node **ret_inner)
{
	if (item->id.kind != SEGFS_SYSV)
		return posix_find(ns, item->posix, item->name, ret_inner);
	*ret_inner = segment_node(ns, &item->sysv);
	return 0;
}

static int orphan_node(IpcNs *ns, const SegfsItem *item, Node **ret_node)
{
	const NodeKey key = key_of(ns, item);
	g_autoptr(Node) inner = NULL;
	int r = inner_of(ns, item, &inner);

	if (r == 0)
		*ret_node = node_intern(ns, &orphan_ops, &key, &(Made){inner, item->name});
	return r;
}

static int orphans_getattr(Node *directory, bool brief, struct stat *ret_stat)
{
	node_static_directory_stat(directory, 0777, ret_stat);
	return 0;
}

static int orphans_lookup(Node *directory, const SegfsCaller *caller, const char *name,
			  Node **ret_node)
{
	g_autoptr(SegfsItem) item = NULL;
	SegfsResource resource;

	if (resource_is_orphan_name(name)) {
		int found = resource_find_orphan(directory->ns, name, &resource);
		if (found == 0)
			*ret_node = resource_node(directory->ns, &resource);
		return found;
	}
	int r = item_find_orphan(directory->ns, name, &item);
	if (r < 0)
		return r;
	const NodeKey key = key_of(directory->ns, item);
	g_autoptr(Node) known = node_find(directory->ns->tree, &orphan_ops, &key);
	if (item->unlinked || !segfs_item_is_found(caller, item) ||
	    (item->verdict != SEGFS_ORPHANED && !known))
		return -ENOENT;
	return orphan_node(directory->ns, item, ret_node);
}

/* True: every caller may search the directory, unless an ACL says otherwise. */
static bool all_may_search(const SegfsPosix *posix)
{
	autofd fd = -1;
	struct stat st;

	return segfs_posix_open(posix, &fd) == 0 && fstat(fd, &st) == 0 && st.st_mode & S_IXOTH;
}

/* What the entries of a listing are of: which of both the name says. */
typedef struct {
	GPtrArray *items;  /* SegfsItem */
	GArray *resources; /* SegfsResource */
} Orphans;

static void free_orphans(gpointer data)
{
	Orphans *orphans = data;

	g_ptr_array_unref(orphans->items);
	g_array_unref(orphans->resources);
	g_free(orphans);
	trim_soon();
}

/* Each caller has to look up for itself what others may not find, or what is in a subdirectory. */
static int look(const Listing *listing, const ListingEntry *entry, Node **ret_node,
		struct stat *ret_stat)
{
	IpcNs *ns = listing->directory->ns;
	const SegfsItem *item = entry->what;

	if (resource_is_orphan_name(entry->name)) {
		const SegfsResource *resource = entry->what;
		*ret_node = resource_node(ns, resource);
		resource_stat(*ret_node, resource, ret_stat);
		return 0;
	}
	if (item->id.kind == SEGFS_SYSV)
		segment_as_stat(ns, &item->sysv, ret_stat);
	else if (!strchr(item->name, '/') && all_may_search(item->posix))
		item_stat(ns, item, ret_stat);
	else
		return -EAGAIN;
	return orphan_node(ns, item, ret_node);
}

static void keep_items(const SegfsCaller *caller, GPtrArray *items)
{
	g_autoptr(GHashTable) known = segfs_directories_known_new();

	for (guint i = items->len; i-- > 0;) {
		const SegfsItem *item = items->pdata[i];
		if (item->unlinked || item->verdict != SEGFS_ORPHANED ||
		    !segfs_item_is_visible(caller, item, known) ||
		    !segfs_item_is_removable(caller, item, known))
			g_ptr_array_remove_index(items, i);
	}
}

/* Those that the kernel would let the caller remove: semctl(2), msgctl(2). */
static void keep_resources(const SegfsCaller *caller, GArray *resources)
{
	const bool may_all = segfs_caller_has(caller, CAP_SYS_ADMIN);
	guint kept = 0;

	for (guint i = 0; i < resources->len; i++) {
		const SegfsResource *resource = &g_array_index(resources, SegfsResource, i);
		if (may_all || caller->uid == resource->uid || caller->uid == resource->cuid)
			g_array_index(resources, SegfsResource, kept++) = *resource;
	}
	g_array_set_size(resources, kept);
}

static void add_all(Listing *listing, const Orphans *orphans)
{
	item_listing_add(listing, segfs_item_orphan_name, orphans->items);
	for (guint i = 0; i < orphans->resources->len; i++) {
		SegfsResource *resource = &g_array_index(orphans->resources, SegfsResource, i);
		g_autofree char *name = resource_orphan_name(resource);
		listing_add(listing, name, resource_ino(listing->directory->ns, resource), S_IFREG,
			    resource);
	}
}

static int orphans_list(Node *directory, const SegfsCaller *caller, Listing **ret_listing)
{
	g_autoptr(GPtrArray) items = NULL;
	g_autoptr(GArray) resources = NULL;
	IpcNs *ns = directory->ns;

	int r = segfs_view_survey(ns->view, ipcns_list_since(ns, caller, LIST_ORPHANS), &items);
	if (r == 0)
		r = resource_orphans(ns, &resources);
	if (r < 0)
		return r;
	ipcns_was_listed(ns, LIST_ORPHANS);
	keep_items(caller, items);
	keep_resources(caller, resources);
	Orphans *orphans = g_new(Orphans, 1);
	*orphans = (Orphans){g_steal_pointer(&items), g_steal_pointer(&resources)};
	*ret_listing = listing_new(directory, look, orphans, free_orphans);
	add_all(*ret_listing, orphans);
	return 0;
}

static int remove_resource(IpcNs *ns, const SegfsCaller *caller, const char *name,
			   bool is_directory)
{
	SegfsResource resource;
	int r = resource_find_orphan(ns, name, &resource);

	if (r < 0 || is_directory)
		return r < 0 ? r : -ENOTDIR;
	return segfs_resource_remove(ns->ipc, caller, resource.kind, resource.id);
}

static int orphans_remove(Node *directory, const SegfsCaller *caller, const char *name,
			  bool is_directory)
{
	g_autoptr(SegfsItem) item = NULL;

	/* The locks of an object and its directory can be another user's. */
	if (!g_str_has_prefix(name, "sysv-") && !errand_may_wait())
		return -EAGAIN;
	if (resource_is_orphan_name(name))
		return remove_resource(directory->ns, caller, name, is_directory);
	int r = item_find_orphan(directory->ns, name, &item);
	/* What could not be asked without waiting is no ground for a verdict. */
	if (errand_postpone())
		return -EAGAIN;
	if (r < 0)
		return r;
	if (is_directory)
		return -ENOTDIR;
	if (item->unlinked)
		return -ENOENT;
	SegfsHistory *history = directory->ns->tree->history;
	const bool is_object = item->id.kind != SEGFS_SYSV;
	Deed *deed =
		is_object ? history_begin(history, caller, DEED_REMOVE, item->id.domain, item->name)
			  : NULL;
	r = segfs_view_remove_orphan(directory->ns->view, caller, item);
	history_end(history, deed, r);
	if (r == 0 && !is_object)
		history_did(history, caller, DEED_REMOVE, directory->ns->ipc, &item->sysv);
	return r;
}

static const NodeOps orphans_ops = {
	.waits = NODE_EXPENSIVE & ~NODE_NAMES, /* a segment of a recent scan goes at once */
	.getattr = orphans_getattr,
	.lookup = orphans_lookup,
	.list = orphans_list,
	.remove = orphans_remove,
};

Node *orphans_directory_new(IpcNs *ns, const void *data)
{
	return node_new_static(ns, &orphans_ops, sizeof(Node));
}
