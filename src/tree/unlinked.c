/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The directory unlinked/: memory that has lost its name, or never had one, and is still held.
 *
 * A segment marked for removal keeps the node that it had in sysv/. All else is an ObjectNode,
 * whose memory is reached by its file handle or, where there is none, through a process that holds
 * it. A caller may open the memory if the kernel lets that caller open it through a holder:
 * /proc/PID/fd takes the right to look into the process.
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "lib/os/autofd.h"
#include "lib/os/errand.h"
#include "tree/item.h"
#include "tree/posix/object.h"
#include "tree/sysv/segment.h"

typedef struct {
	ObjectNode object;
	char *name; /* in unlinked/ */
} UnlinkedNode;

static int find_item(const UnlinkedNode *node, SegfsSince since, SegfsItem **ret_item)
{
	return item_find_unlinked(node->object.node.ns, node->name, since, ret_item);
}

/* An O_PATH descriptor of the memory. */
static int reach(UnlinkedNode *node, int *ret_fd)
{
	IpcNs *ns = node->object.node.ns;
	g_autoptr(SegfsItem) item = NULL;

	int r = segfs_object_open(node->object.posix, &node->object.object, ret_fd);
	if (r != -EOPNOTSUPP && r != -EPERM)
		return r;
	g_mutex_lock(&node->object.lock);
	*ret_fd = node->object.held_fd < 0 ? -1 : fcntl(node->object.held_fd, F_DUPFD_CLOEXEC, 0);
	g_mutex_unlock(&node->object.lock);
	if (*ret_fd >= 0)
		return 0;
	r = find_item(node, segfs_since_recent(), &item);
	return r < 0 ? r : segfs_item_open_path(item, segfs_ipc_proc_root(ns->ipc), ret_fd);
}

static int unlinked_getattr(Node *base, bool brief, struct stat *ret_stat)
{
	UnlinkedNode *node = (UnlinkedNode *)base;
	g_autoptr(SegfsItem) item = NULL;
	autofd fd = -1;
	struct stat st;

	int r = reach(node, &fd);
	if (r == 0) {
		if (fstat(fd, &st) < 0)
			return -errno;
		object_stat(base->ns, &st, ret_stat);
		return 0;
	}
	/* Not that the daemon has not the right: it has not waited for the holder. */
	if (r < 0 && !errand_may_wait())
		return -EAGAIN;
	/* The daemon may not open it; what /proc shows of its holder is known all the same. */
	if (r == -EACCES && (r = find_item(node, segfs_since_recent(), &item)) == 0)
		item_stat(base->ns, item, ret_stat);
	return r == -ESTALE ? -ENOENT : r;
}

static int open_as(UnlinkedNode *node, const SegfsCaller *caller, int flags, int *ret_fd)
{
	g_autoptr(SegfsItem) item = NULL;
	int r = find_item(node, segfs_since_now(), &item);

	if (r < 0)
		return r;
	return segfs_item_open_as(item, segfs_ipc_proc_root(node->object.node.ns->ipc), caller,
				  object_open_flags(flags & ~(O_CREAT | O_EXCL | O_NOFOLLOW)),
				  ret_fd);
}

static int unlinked_open(Node *base, const SegfsCaller *caller, int flags, File **ret_file)
{
	int fd;
	int r = open_as((UnlinkedNode *)base, caller, flags, &fd);

	if (r == 0)
		*ret_file = object_file_new((ObjectNode *)base, fd, flags);
	return r;
}

static int unlinked_access(Node *base, const SegfsCaller *caller, int mask)
{
	autofd fd = -1;

	if (mask & X_OK)
		return -EACCES;
	const int flags = mask & W_OK ? O_RDWR : O_RDONLY;
	return mask ? open_as((UnlinkedNode *)base, caller, flags, &fd) : 0;
}

/* Of memory without a name only the size can be changed. */
static int unlinked_setattr(Node *base, const SegfsCaller *caller, File *file,
			    const NodeChange *change)
{
	autofd opened = -1;

	if (change->has_mode || change->has_owner || (change->has_times && !change->has_size))
		return -EPERM;
	if (!change->has_size)
		return 0;
	if (!file) {
		int r = open_as((UnlinkedNode *)base, caller, O_WRONLY, &opened);
		if (r < 0)
			return r;
	}
	const int fd = file ? ((ObjectFile *)file)->fd : opened;
	return SEGFS_AS(caller, ftruncate(fd, change->size));
}

static int unlinked_get_xattr(Node *base, const SegfsCaller *caller, const char *name,
			      GBytes **ret_value)
{
	g_autoptr(SegfsItem) item = NULL;

	if (!item_has_xattr(name))
		return g_str_has_prefix(name, "user.") ? -ENODATA : -EOPNOTSUPP;
	int r = find_item((UnlinkedNode *)base, segfs_since_now(), &item);
	if (r == 0)
		*ret_value = item_xattr(base->ns, caller, item, name);
	return r;
}

static int unlinked_list_xattr(Node *base, const SegfsCaller *caller, GBytes **ret_names)
{
	GString *names = g_string_new(NULL);

	item_list_xattr(names);
	*ret_names = g_string_free_to_bytes(names);
	return 0;
}

static int unlinked_set_xattr(Node *base, const SegfsCaller *caller, const char *name,
			      const void *bytes, size_t size, int flags)
{
	return g_str_has_prefix(name, "user.") ? -EPERM : -EOPNOTSUPP;
}

static void unlinked_free(Node *base)
{
	g_free(((UnlinkedNode *)base)->name);
	object_free(base);
}

typedef struct {
	ObjectMade object;
	const char *name;
} Made;

static void init(Node *base, const void *data)
{
	UnlinkedNode *node = (UnlinkedNode *)base;
	const Made *made = data;

	object_init(base, &made->object);
	node->name = g_strdup(made->name);
}

static const NodeOps unlinked_ops = {
	.waits = NODE_EXPENSIVE | NODE_WRITE,
	.getattr = unlinked_getattr,
	.access = unlinked_access,
	.setattr = unlinked_setattr,
	.open = unlinked_open,
	.get_xattr = unlinked_get_xattr,
	.list_xattr = unlinked_list_xattr,
	.set_xattr = unlinked_set_xattr,
	.free = unlinked_free,
	.size = sizeof(UnlinkedNode),
	.init = init,
};
static Node *unlinked_node(IpcNs *ns, const SegfsItem *item)
{
	const SegfsPosix *files = item->posix ? item->posix : ns->tree->nameless;
	g_autofree char *name = item_unlinked_name(item);
	Made made = {.name = name};
	SegfsObject *object = &made.object.object;
	autofd fd = -1;
	struct stat st;

	if (item->id.kind == SEGFS_SYSV)
		return segment_node(ns, &item->sysv);
	made.object.posix = files;
	*object = (SegfsObject){.dev = item->id.domain, .ino = item->id.number};
	if (segfs_item_open_path(item, segfs_ipc_proc_root(ns->ipc), &fd) == 0)
		segfs_object_read(files, fd, object, &st);
	NodeKey key = {.a = item->id.domain, .b = item->id.number};
	memcpy(&key.c, object->handle, MIN(object->handle_size, sizeof(uint32_t)));
	key.c |= (uint64_t)ns->index << 32;
	return node_intern(ns, &unlinked_ops, &key, &made);
}

static int unlinked_directory_getattr(Node *directory, bool brief, struct stat *ret_stat)
{
	node_static_directory_stat(directory, 0555, ret_stat);
	return 0;
}

static int unlinked_lookup(Node *directory, const SegfsCaller *caller, const char *name,
			   Node **ret_node)
{
	g_autoptr(SegfsItem) item = NULL;
	int r = item_find_unlinked(directory->ns, name, segfs_since_recent(), &item);

	if (r == 0)
		*ret_node = unlinked_node(directory->ns, item);
	return r;
}

static int look(const Listing *listing, const ListingEntry *entry, Node **ret_node,
		struct stat *ret_stat)
{
	IpcNs *ns = listing->directory->ns;
	const SegfsItem *item = entry->what;

	if (item->id.kind == SEGFS_SYSV)
		segment_as_stat(ns, &item->sysv, ret_stat);
	else
		item_stat(ns, item, ret_stat);
	*ret_node = unlinked_node(ns, item);
	return 0;
}

static int unlinked_list(Node *directory, const SegfsCaller *caller, Listing **ret_listing)
{
	GPtrArray *items;

	int r = segfs_view_unlinked(directory->ns->view,
				    ipcns_list_since(directory->ns, caller, LIST_UNLINKED), &items);
	if (r < 0)
		return r;
	ipcns_was_listed(directory->ns, LIST_UNLINKED);
	*ret_listing = item_listing_new(directory, look, item_unlinked_name, items);
	return 0;
}

static const NodeOps unlinked_directory_ops = {
	.waits = NODE_EXPENSIVE,
	.getattr = unlinked_directory_getattr,
	.lookup = unlinked_lookup,
	.list = unlinked_list,
};

Node *unlinked_directory_new(IpcNs *ns, const void *data)
{
	return node_new_static(ns, &unlinked_directory_ops, sizeof(Node));
}
