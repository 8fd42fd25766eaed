/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The directory posix/. Every request is the same request to /dev/shm, made as the caller, so
 * that its rules (sticky bit, ACLs, umask) are the kernel's, not ours.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "lib/history/history.h"
#include "lib/os/autofd.h"
#include "lib/os/errand.h"
#include "lib/os/room.h"
#include "tree/item.h"
#include "tree/posix/object.h"

/* What a new one takes of the kernel's memory, more or less: an inode and a dentry. */
#define OBJECT_SIZE 2048

static int posix_getattr(Node *base, bool brief, struct stat *ret_stat)
{
	ObjectNode *node = (ObjectNode *)base;
	g_auto(ObjectAt) at = OBJECT_NOWHERE;
	struct stat st;

	/* A lookup has it still. */
	g_mutex_lock(&node->lock);
	const bool is_known = node->held_fd >= 0 && fstat(node->held_fd, &st) == 0;
	g_mutex_unlock(&node->lock);
	int r = is_known ? 0 : object_reach(base, &at);
	if (r < 0)
		return r;
	if (!is_known && fstat(at.fd, &st) < 0)
		return -errno;
	object_stat(base->ns, &st, ret_stat);
	return 0;
}

static int posix_access(Node *base, const SegfsCaller *caller, int mask)
{
	g_auto(ObjectAt) at = OBJECT_NOWHERE;
	int r = object_reach(base, &at);

	if (r < 0)
		return r;
	/* The request carries the ids that count, real ones for access(2). */
	return object_may(caller, at.fd, mask);
}

static int change_size(const SegfsCaller *caller, File *file, const char *path, uint64_t size)
{
	struct stat st;

	/* As the caller, also where its descriptor is the right to: it takes set-user-id away. */
	if (file)
		return SEGFS_AS(caller, ftruncate(((ObjectFile *)file)->fd, size));
	if (stat(path, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return SEGFS_AS(caller, truncate(path, size));
	/* truncate(2) would wait for leases. */
	const long opened_fd = SEGFS_AS(caller, open(path, object_open_flags(O_WRONLY)));
	autofd fd = opened_fd;
	return opened_fd < 0 ? opened_fd : SEGFS_AS(caller, ftruncate(fd, size));
}

static int posix_setattr(Node *base, const SegfsCaller *caller, File *file,
			 const NodeChange *change)
{
	g_auto(ObjectAt) at = OBJECT_NOWHERE;
	int r = object_reach(base, &at);

	if (r == 0)
		r = errand_await_lock(at.path);
	if (r < 0)
		return r;
	/* What changes nothing is a chown to nobody new, which clears set-user-id bits. */
	const bool nothing = !change->has_mode && !change->has_size && !change->has_times;
	if (change->has_owner || nothing)
		r = SEGFS_AS(caller, fchownat(at.fd, "", change->uid, change->gid, AT_EMPTY_PATH));
	if (r == 0 && change->has_mode)
		r = SEGFS_AS(caller, chmod(at.path, change->mode));
	if (r == 0 && !file && (change->has_size || change->times[0].tv_nsec == UTIME_NOW))
		r = segfs_caller_admit(caller, at.fd, W_OK);
	if (r == 0 && change->has_size)
		r = change_size(caller, file, at.path, change->size);
	else if (r == 0 && change->has_times)
		r = SEGFS_AS(caller, utimensat(at.fd, "", change->times, AT_EMPTY_PATH));
	return r;
}

static int posix_readlink(Node *base, const SegfsCaller *caller, char **ret_target)
{
	g_auto(ObjectAt) at = OBJECT_NOWHERE;
	char target[PATH_MAX];
	struct stat st;
	int r = object_reach(base, &at);

	if (r == 0)
		r = fstat(at.fd, &st) < 0 ? -errno
					  : object_guard_follow((ObjectNode *)base, caller, &st);
	if (r < 0)
		return r;
	const ssize_t n = readlinkat(at.fd, "", target, sizeof(target));
	if (n < 0)
		return -errno;
	*ret_target = g_strndup(target, n);
	return 0;
}

static int posix_open(Node *base, const SegfsCaller *caller, int flags, File **ret_file)
{
	int fd;
	int r = object_reopen(base, caller, flags, &fd);

	if (r == 0)
		*ret_file = object_file_new((ObjectNode *)base, fd, flags);
	return r;
}

static int posix_statfs(Node *base, struct statvfs *ret_stat)
{
	const SegfsPosix *posix = ((ObjectNode *)base)->posix;
	g_auto(ObjectAt) at = OBJECT_NOWHERE;
	int r = object_reach(base, &at);

	/* The file system outlasts what was in it. */
	if (r == -ESTALE && ((ObjectNode *)base)->object.dev == segfs_posix_dev(posix))
		r = segfs_posix_open(posix, &at.fd);
	if (r < 0)
		return r;
	return fstatvfs(at.fd, ret_stat) < 0 ? -errno : 0;
}

static long read_xattr(const ObjectAt *at, const SegfsCaller *caller, const char *name, void *value,
		       size_t size)
{
	if (!node_shows_xattr(name)) {
		const int r = segfs_caller_admit(caller, at->fd, R_OK);
		return r < 0 ? r : SEGFS_AS(caller, getxattr(at->path, name, value, size));
	}
	const ssize_t n = getxattr(at->path, name, value, size);
	if (n >= 0)
		return n;
	/* As of a file system that has none: then ls(1) asks no more for each file. */
	return errno == ENODATA && !strcmp(name, "security.selinux") ? -EOPNOTSUPP : -errno;
}

static int posix_get_xattr(Node *base, const SegfsCaller *caller, const char *name,
			   GBytes **ret_value)
{
	g_autofree char *large = NULL;
	char small[256]; /* the kernel clears as much as it is given */
	g_auto(ObjectAt) at = OBJECT_NOWHERE;
	int r = object_reach(base, &at);

	if (r < 0)
		return r;
	if (item_has_xattr(name)) {
		SegfsView *view = base->ns->view;
		g_autoptr(SegfsItem) item = NULL;
		guint index;
		r = segfs_view_posix_index(view, ((ObjectNode *)base)->posix, &index)
			    ? segfs_view_file(view, index, NULL, at.fd, segfs_since_now(), &item)
			    : -ENOENT;
		if (r == 0)
			*ret_value = item_xattr(base->ns, caller, item, name);
		return r == -ENOENT ? -ENODATA : r; /* only files are judged */
	}
	long n = read_xattr(&at, caller, name, small, sizeof(small));
	if (n == -ERANGE) {
		large = g_malloc(XATTR_SIZE_MAX);
		n = read_xattr(&at, caller, name, large, XATTR_SIZE_MAX);
	}
	if (n == -ENODATA && !strcmp(name, OBJECT_ACL) && object_acl_nowhere((ObjectNode *)base))
		return -EOPNOTSUPP;
	if (n < 0)
		return n;
	*ret_value = g_bytes_new(large ? large : small, n);
	return 0;
}

static int posix_list_xattr(Node *base, const SegfsCaller *caller, GBytes **ret_names)
{
	g_autofree char *names = g_malloc(XATTR_LIST_MAX);
	g_auto(ObjectAt) at = OBJECT_NOWHERE;
	int r = object_reach(base, &at);

	if (r < 0)
		return r;
	const long n = SEGFS_AS(caller, listxattr(at.path, names, XATTR_LIST_MAX));
	if (n < 0)
		return n;
	GString *all = g_string_new_len(names, n);
	struct stat st;
	if (fstat(at.fd, &st) == 0 && S_ISREG(st.st_mode))
		item_list_xattr(all);
	*ret_names = g_string_free_to_bytes(all);
	return 0;
}

/* A directory in which the caller means to change names. */
static int reach_to_change(Node *base, const SegfsCaller *caller, ObjectAt *ret_at)
{
	int r = object_reach_directory(base, ret_at);

	return r < 0 ? r : segfs_caller_admit(caller, ret_at->fd, W_OK | X_OK);
}

/* For what the kernel keeps size bytes for, on our account. */
static int reach_with_room(Node *base, uint64_t size, RoomTaken *ret_taken, ObjectAt *ret_at)
{
	int r = room_take_name(size, ret_taken);

	return r < 0 ? r : object_reach(base, ret_at);
}

/* The same of a directory in which something is made. */
static int reach_directory_with_room(Node *base, const SegfsCaller *caller, RoomTaken *ret_taken,
				     ObjectAt *ret_at)
{
	int r = room_take_name(OBJECT_SIZE, ret_taken);

	return r < 0 ? r : reach_to_change(base, caller, ret_at);
}

static int posix_set_xattr(Node *base, const SegfsCaller *caller, const char *name,
			   const void *bytes, size_t size, int flags)
{
	g_auto(ObjectAt) at = OBJECT_NOWHERE;
	g_auto(RoomTaken) taken = 0;

	if (g_str_has_prefix(name, "user.segfs."))
		return -EPERM; /* what is under these names we say, and nobody else */
	int r = reach_with_room(base, bytes ? size : 0, &taken, &at);
	if (r == 0)
		r = segfs_caller_admit(caller, at.fd, W_OK);
	if (r == 0)
		r = errand_await_lock(at.path);
	if (r < 0)
		return r;
	return bytes ? SEGFS_AS(caller, setxattr(at.path, name, bytes, size, flags))
		     : SEGFS_AS(caller, removexattr(at.path, name));
}

static int posix_ioctl(Node *base, const SegfsCaller *caller, unsigned int command, void *data)
{
	int opened;
	int r = object_reopen(base, caller, O_RDONLY, &opened);
	autofd fd = r < 0 ? -1 : opened;

	return r < 0 ? r : SEGFS_AS(caller, ioctl(fd, command, data));
}

static long open_at(const SegfsCaller *caller, const ObjectAt *directory, const char *name)
{
	if (!object_is_everybodys(directory)) {
		int r = segfs_caller_admit(caller, directory->fd, X_OK);
		return r < 0 ? r : SEGFS_AS(caller, segfs_object_open_at(directory->fd, name));
	}
	const int fd = segfs_object_open_at(directory->fd, name);
	return fd < 0 ? -errno : fd;
}

/* The node of what has just been found or made as name. */
static int find(ObjectNode *directory, const SegfsCaller *caller, const ObjectAt *at,
		const char *name, Node **ret_node, struct stat *ret_stat)
{
	const long found = open_at(caller, at, name);
	autofd fd = found;

	if (found < 0)
		return found;
	int r = object_node(directory, at->fd, caller, name, fd, ret_node, ret_stat);
	if (r == 0 && S_ISDIR(ret_stat->st_mode) && object_hides_kept((ObjectNode *)*ret_node)) {
		node_detach(*ret_node);
		node_unref(*ret_node);
		r = object_node(directory, at->fd, caller, name, fd, ret_node, ret_stat);
	}
	if (r == 0 && S_ISDIR(ret_stat->st_mode))
		object_keep_directory((ObjectNode *)*ret_node, fd);
	if (r == 0)
		object_hold((ObjectNode *)*ret_node, steal_fd(&fd));
	return r;
}

static int posix_lookup(Node *base, const SegfsCaller *caller, const char *name, Node **ret_node)
{
	g_auto(ObjectAt) at = OBJECT_NOWHERE;
	g_autoptr(Node) node = NULL;
	struct stat st;
	int r = object_reach_directory(base, &at);

	if (r == 0)
		r = find((ObjectNode *)base, caller, &at, name, &node, &st);
	if (r == 0 && S_ISFIFO(st.st_mode) &&
	    (r = object_guard_fifo((ObjectNode *)node, caller, &st)) < 0)
		object_let_go(node, caller->tid);
	if (r == 0)
		*ret_node = g_steal_pointer(&node);
	return r;
}

static int opened(ObjectNode *directory, int directory_fd, const SegfsCaller *caller,
		  const char *name, int fd, int flags, Node **ret_node, File **ret_file)
{
	struct stat st;
	int r = object_node(directory, directory_fd, caller, name, fd, ret_node, &st);

	/* Something else has taken the name since the kernel looked: it is to look again. */
	if (r == 0 && !S_ISREG(st.st_mode)) {
		node_unref(*ret_node);
		r = -ESTALE;
	}
	if (r < 0) {
		close(fd);
		return r;
	}
	*ret_file = object_file_new((ObjectNode *)*ret_node, fd, flags);
	return 0;
}

static int posix_create(Node *base, const SegfsCaller *caller, const char *name, int flags,
			mode_t mode, Node **ret_node, File **ret_file)
{
	g_auto(ObjectAt) at = OBJECT_NOWHERE;
	g_auto(RoomTaken) taken = 0;
	int r = reach_directory_with_room(base, caller, &taken, &at);

	if (r == 0)
		r = errand_await_lock(at.path);
	if (r < 0)
		return r;
	const int how = object_open_flags(flags) | O_CREAT | O_NOFOLLOW;
	SegfsHistory *history = base->ns->tree->history;
	Deed *deed =
		history_begin(history, caller, DEED_CREATE, ((ObjectNode *)base)->object.dev, name);
	long fd = SEGFS_AS(caller, openat(at.fd, name, how, mode));
	if (fd == -EWOULDBLOCK) { /* see object_reopen() */
		segfs_posix_settle();
		fd = SEGFS_AS(caller, openat(at.fd, name, how, mode));
	}
	history_end(history, deed, fd < 0 ? (int)fd : 0);
	/* Others can have made it just now. */
	if (fd >= 0 && (r = segfs_caller_admit(caller, fd, R_OK | W_OK)) < 0) {
		close(fd);
		return r;
	}
	return fd < 0 ? fd
		      : opened((ObjectNode *)base, at.fd, caller, name, fd, flags, ret_node,
			       ret_file);
}

static int posix_make_nameless(Node *base, const SegfsCaller *caller, int flags, mode_t mode,
			       Node **ret_node, File **ret_file)
{
	g_auto(ObjectAt) at = OBJECT_NOWHERE;
	g_auto(RoomTaken) taken = 0;
	int r = reach_directory_with_room(base, caller, &taken, &at);

	if (r < 0)
		return r;
	const int how = object_open_flags(flags) | O_TMPFILE;
	const long fd = SEGFS_AS(caller, open(at.path, how, mode));
	return fd < 0 ? fd
		      : opened((ObjectNode *)base, -1, caller, NULL, fd, flags, ret_node, ret_file);
}

static int posix_make(Node *base, const SegfsCaller *caller, const char *name, mode_t mode,
		      dev_t device, const char *target, Node **ret_node)
{
	g_auto(ObjectAt) at = OBJECT_NOWHERE;
	struct stat st;
	g_auto(RoomTaken) taken = 0;
	int r = reach_directory_with_room(base, caller, &taken, &at);

	if (r == 0)
		r = errand_await_lock(at.path);
	if (r < 0)
		return r;
	SegfsHistory *history = S_ISDIR(mode) ? NULL : base->ns->tree->history;
	Deed *deed =
		history_begin(history, caller, DEED_CREATE, ((ObjectNode *)base)->object.dev, name);
	if (S_ISDIR(mode))
		r = SEGFS_AS(caller, mkdirat(at.fd, name, mode & 07777));
	else if (S_ISLNK(mode))
		r = SEGFS_AS(caller, symlinkat(target, at.fd, name));
	else
		r = SEGFS_AS(caller, mknodat(at.fd, name, mode, device));
	history_end(history, deed, r);
	if (r < 0)
		return r;
	/* Removed already: the kernel is to begin anew. */
	r = find((ObjectNode *)base, caller, &at, name, ret_node, &st);
	return r == -ENOENT ? -ESTALE : r;
}

const NodeOps object_ops = {
	.waits = NODE_CHANGE | NODE_NAMES | NODE_LIST | NODE_WRITE,
	.getattr = posix_getattr,
	.access = posix_access,
	.setattr = posix_setattr,
	.readlink = posix_readlink,
	.open = posix_open,
	.statfs = posix_statfs,
	.get_xattr = posix_get_xattr,
	.list_xattr = posix_list_xattr,
	.set_xattr = posix_set_xattr,
	.ioctl = posix_ioctl,
	.looks_as_caller = true,
	.keeps_names = object_keeps_names,
	.list_as = object_list_as,
	.still_named = object_still_named,
	.outlasts = true,
	.lookup = posix_lookup,
	.let_go = object_let_go,
	.list = object_list,
	.create = posix_create,
	.make = posix_make,
	.make_nameless = posix_make_nameless,
	.link = object_link,
	.remove = object_remove,
	.rename = object_rename,
	.free = object_free,
	.size = sizeof(ObjectNode),
	.init = object_init,
};
