/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The node of a POSIX object, and the way back from the node to the object. */

#include "tree/posix/object.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "lib/kernel/kernel.h"
#include "lib/os/autofd.h"
#include "lib/os/errand.h"
#include "lib/os/lsm.h"

void object_leave(ObjectAt *at)
{
	autofd_close(&at->fd);
}

int object_await_name(const ObjectAt *at, const char *name)
{
	g_auto(ObjectAt) found = OBJECT_NOWHERE;
	int r = errand_await_lock(at->path);

	if (r == 0)
		found.fd = segfs_object_open_at(at->fd, name);
	if (found.fd < 0)
		return r;
	fd_path(found.fd, found.path);
	return errand_await_lock(found.path);
}

int object_may(const SegfsCaller *caller, int fd, int mask)
{
	int r = segfs_caller_admit(caller, fd, mask);
	FdPath path;

	fd_path(fd, path);
	return r < 0 ? r : SEGFS_AS(caller, faccessat(AT_FDCWD, path, mask, AT_EACCESS));
}

/*
 * depth: steps up that are left; renames that race a lookup could make a circle of parents.
 * for_names: names in it are meant. A directory of another namespace that somebody has open may
 * have lost its place to another one, in which the kernel is to look.
 */
static int object_fd(ObjectNode *node, guint depth, bool for_names, int *ret_fd)
{
	const bool is_foreign = ipcns_is_foreign(node->node.ns);
	autofd parent_fd = -1, held_fd = -1;
	struct stat st;
	guint index;

	g_mutex_lock(&node->lock);
	held_fd = node->held_fd < 0 ? -1 : fcntl(node->held_fd, F_DUPFD_CLOEXEC, 0);
	g_autoptr(Node) parent = node->parent ? node_ref(node->parent) : NULL;
	g_autofree char *name = g_strdup(node->name);
	g_mutex_unlock(&node->lock);
	/* What is held lives on when no process of its namespace leads to it any more. */
	if (held_fd >= 0 && !(is_foreign && for_names)) {
		*ret_fd = steal_fd(&held_fd);
		return 0;
	}
	int r = segfs_object_open(node->posix, &node->object, ret_fd);
	const bool is_lost = r == -ESHUTDOWN || r == -ESTALE;
	if (r != -EOPNOTSUPP && !is_lost)
		return r;
	if (is_lost) {
		/* Where another directory has got the place of its own, the kernel is to look
		 * again.
		 */
		SegfsView *view = node->node.ns->view;
		segfs_view_refresh(view, segfs_since_recent());
		return segfs_view_posix_index(view, node->posix, &index) ? r : -ESTALE;
	}
	if (!parent)
		r = segfs_posix_open(node->posix, &parent_fd);
	else
		r = depth ? object_fd((ObjectNode *)parent, depth - 1, true, &parent_fd) : -ESTALE;
	if (r < 0)
		return r == -ENOENT ? -ESHUTDOWN : r;
	autofd fd = segfs_object_open_at(parent_fd, name ? name : ".");
	if (fd < 0)
		return errno == ENOENT ? -ESTALE : -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_dev != node->object.dev || st.st_ino != node->object.ino)
		return -ESTALE;
	*ret_fd = steal_fd(&fd);
	return 0;
}

static int reach(Node *base, bool for_names, ObjectAt *ret_at)
{
	int r = object_fd((ObjectNode *)base, PATH_MAX / 2, for_names, &ret_at->fd);

	if (r == 0)
		fd_path(ret_at->fd, ret_at->path);
	return r;
}

int object_reach(Node *node, ObjectAt *ret_at)
{
	return reach(node, false, ret_at);
}

int object_reach_directory(Node *directory, ObjectAt *ret_at)
{
	const ObjectNode *node = (ObjectNode *)directory;
	int r = reach(directory, true, ret_at);

	/* One that is reached by name may only have got another. */
	return r == -ESTALE && node->object.handle_size && !ipcns_is_foreign(directory->ns)
		       ? -ENOENT
		       : r;
}

void object_hold(ObjectNode *node, int fd)
{
	g_mutex_lock(&node->lock);
	node->n_held++;
	if (node->held_fd < 0)
		node->held_fd = steal_fd(&fd);
	g_mutex_unlock(&node->lock);
	autofd_close(&fd);
}

void object_let_go(Node *base, pid_t tid)
{
	ObjectNode *node = (ObjectNode *)base;
	autofd fd = -1;

	g_mutex_lock(&node->lock);
	if (--node->n_held == 0)
		fd = steal_fd(&node->held_fd);
	g_mutex_unlock(&node->lock);
}

void object_init(Node *base, const void *data)
{
	ObjectNode *node = (ObjectNode *)base;
	const ObjectMade *made = data;

	g_mutex_init(&node->lock);
	node->posix = made->posix;
	node->object = made->object;
	node->held_fd = -1;
}

/*
 * The kernel opens FIFOs without asking us, so a FIFO is a node of its own for each set of
 * rights: whoever may not read it, and gets past object_guard_fifo() by a descriptor (O_PATH, and
 * /proc/self/fd), can open it, but meets nobody there who may.
 */
static uint32_t rights_of(const SegfsCaller *caller, int fd)
{
	uint32_t rights = 0;

	if (object_may(caller, fd, R_OK) == 0)
		rights |= R_OK;
	if (object_may(caller, fd, W_OK) == 0)
		rights |= W_OK;
	return rights;
}

/* Of the lower half of the third number the upper has room for rights_of(). */
#define KEY_SPACE_SHIFT 40

static NodeKey key_of(const IpcNs *ns, const SegfsObject *object)
{
	NodeKey key = {.a = object->dev, .b = object->ino};

	/* tmpfs puts the inode's generation first: an inode number can come again. */
	memcpy(&key.c, object->handle, MIN(object->handle_size, sizeof(uint32_t)));
	/* Two namespaces can see one file system; each reaches it through its own processes. */
	key.c |= (uint64_t)ns->index << KEY_SPACE_SHIFT;
	return key;
}

void object_stat(const IpcNs *ns, const struct stat *st, struct stat *ret_stat)
{
	const SegfsId id = {SEGFS_POSIX, st->st_dev, st->st_ino};

	*ret_stat = *st;
	ret_stat->st_ino = segfs_mount_ino(&id, ns->tree->plain);
}

int object_node(ObjectNode *parent, int parent_fd, const SegfsCaller *caller, const char *name,
		int fd, Node **ret_node, struct stat *ret_stat)
{
	struct stat directory;
	ObjectFound found = {.name = name};

	int r = segfs_object_read(parent->posix, fd, &found.object, &found.stat);
	if (r == 0 && fstat(parent_fd, &directory) == 0)
		found.directory = &directory;
	return r < 0 ? r : object_node_of(parent, caller, &found, fd, ret_node, ret_stat);
}

int object_node_of(ObjectNode *parent, const SegfsCaller *caller, const ObjectFound *found, int fd,
		   Node **ret_node, struct stat *ret_stat)
{
	IpcNs *ns = parent->node.ns;
	const ObjectMade made = {.posix = parent->posix, .object = found->object};

	NodeKey key = key_of(ns, &made.object);
	/* Whose FIFO it would be is settled by a lookup. */
	if (S_ISFIFO(found->stat.st_mode) && !caller)
		return -EAGAIN;
	if (S_ISFIFO(found->stat.st_mode))
		key.c |= (uint64_t)(1 + rights_of(caller, fd)) << 32;
	ObjectNode *node = (ObjectNode *)node_intern(ns, &object_ops, &key, &made);
	Node *parent_before = NULL;
	g_mutex_lock(&node->lock);
	if (made.object.handle_size == 0) {
		parent_before = node->parent;
		node->parent = node_ref(&parent->node);
		g_free(node->name);
		node->name = g_strdup(found->name);
	}
	g_mutex_unlock(&node->lock);
	if (parent_before)
		node_unref(parent_before);
	if (found->directory)
		object_guard(node, found->directory, &found->stat);
	object_stat(ns, &found->stat, ret_stat);
	*ret_node = &node->node;
	return 0;
}

/*
 * Not waiting: neither for the other end of a FIFO that has taken the file's name nor for
 * a lease (fcntl(2), F_SETLEASE) to be given up, which is -EAGAIN then: all of us would
 * wait. For regular files O_NONBLOCK means nothing else; O_DIRECT would only forbid what
 * tmpfs can do anyway, but where it cannot (EINVAL, before Linux 6.6).
 */
int object_open_flags(int flags)
{
	const int direct = kernel_has(KERNEL_TMPFS_DIRECT) ? O_DIRECT : 0;

	return (flags & ~(direct | O_EXECUTE)) | O_NONBLOCK | O_CLOEXEC;
}

/*
 * acl_permission_check() in fs/namei.c, as far as the caller's own user and group decide: it never
 * refuses. An ACL decides of all but the owner, where the mode has anything for the group.
 */
static bool is_granted_by_ids(const SegfsCaller *caller, const ObjectAt *at, const struct stat *st,
			      int flags)
{
	const int asks_more = O_TRUNC | O_EXECUTE | O_NOATIME | O_DIRECTORY | O_PATH;

	if (!S_ISREG(st->st_mode) || flags & asks_more || caller->uid == (uid_t)-1 ||
	    caller->gid == (gid_t)-1)
		return false;
	const bool is_owner = caller->uid == st->st_uid;
	const int granted = segfs_caller_granted(st->st_mode, is_owner, caller->gid == st->st_gid);
	return !(fd_access(flags) & ~granted) && (is_owner || !fd_has_acl(at->path));
}

/* As ourselves, if we are a host's root: who reaches an object by its handle is. */
static bool is_granted(const ObjectNode *node, const SegfsCaller *caller, const ObjectAt *at,
		       const struct stat *st, int flags)
{
	return node->object.handle_size > 0 && geteuid() == 0 && lsm_leaves_ipc_alone() &&
	       is_granted_by_ids(caller, at, st, flags);
}

/* What an open with flags needs. */
static int mask_of(int flags)
{
	return fd_access(flags) | (flags & O_TRUNC ? W_OK : 0) | (flags & O_EXECUTE ? X_OK : 0);
}

int object_reopen(Node *node, const SegfsCaller *caller, int flags, int *ret_fd)
{
	g_auto(ObjectAt) at = OBJECT_NOWHERE;
	struct stat st;
	int r = object_reach(node, &at);

	if (r == 0)
		r = fstat(at.fd, &st) < 0 ? -errno
					  : object_guard_open((ObjectNode *)node, caller, &st);
	if (r == 0 && flags & O_TRUNC)
		r = errand_await_lock(at.path);
	if (r < 0)
		return r;
	const int how = object_open_flags(flags & ~(O_CREAT | O_EXCL | O_NOFOLLOW));
	/*
	 * Who may run it must be allowed to read it, too: the kernel takes every file of ours for
	 * readable, and so would let who runs a program read its memory.
	 */
	long fd = 0;
	if (flags & O_EXECUTE)
		fd = object_may(caller, at.fd, X_OK);
	if (fd == 0 && is_granted((ObjectNode *)node, caller, &at, &st, flags)) {
		fd = open(at.path, how);
		fd = fd < 0 ? -errno : fd;
	} else if (fd == 0 && (fd = segfs_caller_admit(caller, at.fd, mask_of(flags))) == 0) {
		fd = SEGFS_AS(caller, open(at.path, how));
	}
	/* A lease that we had for an instant ourselves is not to be in anybody's way. */
	if (fd == -EWOULDBLOCK && errand_may_wait()) {
		segfs_posix_settle();
		fd = SEGFS_AS(caller, open(at.path, how));
	}
	if (fd < 0)
		return fd;
	*ret_fd = fd;
	return 0;
}

/* Directories that are held: each can be somebody's working directory, which costs its user
 * nothing. */
#define MOST_KEPT 4096
static gint n_kept;

void object_keep_directory(ObjectNode *node, int fd)
{
	const Tree *tree = node->node.ns->tree;
	/* A part of the descriptors that there are, of which one user has half. */
	const gint most = tree->most_descriptors ? MIN(MOST_KEPT, (gint)tree->most_descriptors / 4)
						 : MOST_KEPT;

	/* Not what would keep a container's /dev/shm, or a mount below, from being unmounted. */
	if (node->is_kept || node->object.handle_size == 0 || ipcns_is_foreign(node->node.ns))
		return;
	autofd held = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (held < 0 || g_atomic_int_add(&n_kept, 1) >= most) {
		if (held >= 0)
			g_atomic_int_add(&n_kept, -1);
		return;
	}
	g_mutex_lock(&node->lock);
	const bool was_kept = node->is_kept;
	node->is_kept = true;
	g_mutex_unlock(&node->lock);
	if (was_kept)
		g_atomic_int_add(&n_kept, -1);
	else
		object_hold(node, steal_fd(&held));
}

void object_free(Node *base)
{
	ObjectNode *node = (ObjectNode *)base;

	if (node->is_kept)
		g_atomic_int_add(&n_kept, -1);
	autofd_close(&node->held_fd);
	g_clear_pointer(&node->owners, g_hash_table_unref);
	g_clear_pointer(&node->parent, node_unref);
	g_clear_pointer(&node->listed_in, node_unref);
	g_free(node->listed_name);
	g_free(node->name);
	g_mutex_clear(&node->lock);
}

int posix_node(IpcNs *ns, const SegfsPosix *posix, Node **ret_node)
{
	ObjectMade made = {.posix = posix};
	autofd fd = -1;
	struct stat st;

	int r = posix ? segfs_posix_open(posix, &fd) : -ENOENT;
	if (r == 0)
		r = segfs_object_read(posix, fd, &made.object, &st);
	if (r < 0)
		return r;
	const NodeKey key = key_of(ns, &made.object);
	*ret_node = node_intern(ns, &object_ops, &key, &made);
	return 0;
}

/* What shm_dir was when the mount was made. */
Node *posix_directory_new(IpcNs *ns, const void *data)
{
	Node *node = NULL;

	posix_node(ns, segfs_view_posix(ns->view, 0), &node);
	return node;
}

int posix_find(IpcNs *ns, const SegfsPosix *posix, const char *path, Node **ret_node)
{
	g_auto(GStrv) names = g_strsplit(path, "/", -1);
	g_autoptr(Node) node = NULL;
	struct stat st;

	int r = posix_node(ns, posix, &node);
	if (r < 0)
		return r;

	for (char **name = names; *name; name++) {
		g_auto(ObjectAt) at = OBJECT_NOWHERE;
		Node *found;

		r = object_reach(node, &at);
		if (r < 0)
			return r;
		autofd fd = segfs_object_open_at(at.fd, *name);
		if (fd < 0)
			return -errno;
		r = object_node((ObjectNode *)node, at.fd, NULL, *name, fd, &found, &st);
		if (r < 0)
			return r;
		node_unref(node);
		node = found;
	}
	*ret_node = g_steal_pointer(&node);
	return 0;
}
