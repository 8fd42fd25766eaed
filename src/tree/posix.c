/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The folder posix/. Every request is the same request to /dev/shm, made as the caller, so
 * that its rules (sticky bit, ACLs, umask) are the kernel's, not ours.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "segment/autofd.h"
#include "tree/object.h"

static const NodeOps object_ops;

void fd_path(int fd, FdPath ret_path)
{
	g_snprintf(ret_path, sizeof(FdPath), "/proc/self/fd/%d", fd);
}

int object_fd(ObjectNode *node, int *ret_fd)
{
	const SegfsPosix *posix = node->node.tree->posix;
	autofd parent_fd = -1;
	struct stat st;

	int r = segfs_object_open(posix, &node->object, ret_fd);
	if (r != -EOPNOTSUPP)
		return r;

	g_mutex_lock(&node->lock);
	const int open_fd = node->open_fd < 0 ? -1 : fcntl(node->open_fd, F_DUPFD_CLOEXEC, 0);
	g_autoptr(Node) parent = node->parent ? node_ref(node->parent) : NULL;
	g_autofree char *name = g_strdup(node->name);
	g_mutex_unlock(&node->lock);
	if (open_fd >= 0) {
		*ret_fd = open_fd;
		return 0;
	}
	if (parent) {
		r = object_fd((ObjectNode *)parent, &parent_fd);
		if (r < 0)
			return r;
	}
	autofd fd = openat(parent ? parent_fd : segfs_posix_fd(posix), name ? name : ".",
			   O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESTALE : -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_dev != node->object.dev || st.st_ino != node->object.ino)
		return -ESTALE;
	*ret_fd = steal_fd(&fd);
	return 0;
}

static Node *make(Tree *tree, const void *data)
{
	ObjectNode *node = node_new(tree, &object_ops, sizeof(ObjectNode));

	g_mutex_init(&node->lock);
	node->object = *(const SegfsObject *)data;
	node->open_fd = -1;
	return &node->node;
}

/*
 * The kernel opens FIFOs without asking us, so a FIFO is a node of its own for each set of
 * rights: whoever may not read it can open it, but meets nobody there who may.
 */
static uint32_t rights_of(const SegfsCaller *caller, int fd)
{
	uint32_t rights = 0;
	FdPath path;

	fd_path(fd, path);
	if (SEGFS_AS(caller, faccessat(AT_FDCWD, path, R_OK, AT_EACCESS)) == 0)
		rights |= R_OK;
	if (SEGFS_AS(caller, faccessat(AT_FDCWD, path, W_OK, AT_EACCESS)) == 0)
		rights |= W_OK;
	return rights;
}

static NodeKey key_of(const SegfsObject *object)
{
	NodeKey key = {.a = object->dev, .b = object->ino};

	/* tmpfs puts the inode's generation first: an inode number can come again. */
	memcpy(&key.c, object->handle, MIN(object->handle_size, sizeof(uint32_t)));
	return key;
}

static void object_stat(const ObjectNode *node, const struct stat *st, struct stat *ret_stat)
{
	struct stat root;

	*ret_stat = *st;
	/* Of another file system inside: its numbers are not to meet those of /dev/shm. */
	if (fstat(segfs_posix_fd(node->node.tree->posix), &root) == 0 && root.st_dev != st->st_dev)
		ret_stat->st_ino ^= (uint64_t)st->st_dev << 40;
}

int object_node(ObjectNode *parent, const SegfsCaller *caller, const char *name, int fd,
		Node **ret_node, struct stat *ret_stat)
{
	Tree *tree = parent->node.tree;
	SegfsObject object;
	struct stat st;

	int r = segfs_object_read(tree->posix, fd, &object, &st);
	if (r < 0)
		return r;
	NodeKey key = key_of(&object);
	if (S_ISFIFO(st.st_mode))
		key.c |= (uint64_t)(1 + rights_of(caller, fd)) << 32;
	ObjectNode *node = (ObjectNode *)node_intern(tree, &object_ops, &key, make, &object);
	Node *parent_before = NULL;
	g_mutex_lock(&node->lock);
	node->type = st.st_mode & S_IFMT;
	if (object.handle_size == 0) {
		parent_before = node->parent;
		node->parent = node_ref(&parent->node);
		g_free(node->name);
		node->name = g_strdup(name);
	}
	g_mutex_unlock(&node->lock);
	if (parent_before)
		node_unref(parent_before);
	object_stat(node, &st, ret_stat);
	*ret_node = &node->node;
	return 0;
}

static int posix_getattr(Node *base, bool brief, struct stat *ret_stat)
{
	ObjectNode *node = (ObjectNode *)base;
	autofd fd = -1;
	struct stat st;

	int r = object_fd(node, &fd);
	if (r < 0)
		return r;
	if (fstat(fd, &st) < 0)
		return -errno;
	object_stat(node, &st, ret_stat);
	return 0;
}

static int posix_access(Node *base, const SegfsCaller *caller, int mask)
{
	autofd fd = -1;
	FdPath path;
	int r = object_fd((ObjectNode *)base, &fd);

	if (r < 0)
		return r;
	fd_path(fd, path);
	/* The request carries the ids that count, real ones for access(2). */
	return SEGFS_AS(caller, faccessat(AT_FDCWD, path, mask, AT_EACCESS));
}

static int change_size(const SegfsCaller *caller, File *file, const char *path, uint64_t size)
{
	if (file)
		return ftruncate(((ObjectFile *)file)->fd, size) < 0 ? -errno : 0;
	return SEGFS_AS(caller, truncate(path, size));
}

static int posix_setattr(Node *base, const SegfsCaller *caller, File *file,
			 const NodeChange *change)
{
	autofd fd = -1;
	FdPath path;
	int r = object_fd((ObjectNode *)base, &fd);

	if (r < 0)
		return r;
	fd_path(fd, path);
	/* What changes nothing is a chown to nobody new, which clears set-user-id bits. */
	const bool nothing = !change->has_mode && !change->has_size && !change->has_times;
	if (change->has_owner || nothing)
		r = SEGFS_AS(caller, fchownat(fd, "", change->uid, change->gid, AT_EMPTY_PATH));
	if (r == 0 && change->has_mode)
		r = SEGFS_AS(caller, chmod(path, change->mode));
	if (r == 0 && change->has_size)
		r = change_size(caller, file, path, change->size);
	else if (r == 0 && change->has_times)
		r = SEGFS_AS(caller, utimensat(fd, "", change->times, AT_EMPTY_PATH));
	return r;
}

static int posix_readlink(Node *base, char **ret_target)
{
	autofd fd = -1;
	char target[PATH_MAX];
	int r = object_fd((ObjectNode *)base, &fd);

	if (r < 0)
		return r;
	const ssize_t n = readlinkat(fd, "", target, sizeof(target));
	if (n < 0)
		return -errno;
	*ret_target = g_strndup(target, n);
	return 0;
}

/* Opens it anew, with rights of its own, through its O_PATH descriptor. */
static int reopen(ObjectNode *node, const SegfsCaller *caller, int flags, int *ret_fd)
{
	autofd path_fd = -1;
	FdPath path;
	int r = object_fd(node, &path_fd);

	if (r < 0)
		return r;
	fd_path(path_fd, path);
	/* O_DIRECT would only forbid what tmpfs can do anyway. */
	flags = (flags & ~(O_CREAT | O_EXCL | O_NOFOLLOW | O_DIRECT)) | O_CLOEXEC;
	const long fd = SEGFS_AS(caller, open(path, flags));
	if (fd < 0)
		return fd;
	*ret_fd = fd;
	return 0;
}

static int posix_open(Node *base, const SegfsCaller *caller, int flags, File **ret_file)
{
	int fd;
	int r = reopen((ObjectNode *)base, caller, flags, &fd);

	if (r == 0)
		*ret_file = object_file_new((ObjectNode *)base, fd, flags);
	return r;
}

static int posix_statfs(Node *base, struct statvfs *ret_stat)
{
	autofd fd = -1;
	int r = object_fd((ObjectNode *)base, &fd);

	if (r < 0)
		return r;
	return fstatvfs(fd, ret_stat) < 0 ? -errno : 0;
}

static int posix_get_xattr(Node *base, const SegfsCaller *caller, const char *name,
			   GBytes **ret_value)
{
	g_autofree char *value = g_malloc(XATTR_SIZE_MAX);
	autofd fd = -1;
	FdPath path;
	int r = object_fd((ObjectNode *)base, &fd);

	if (r < 0)
		return r;
	fd_path(fd, path);
	const long n = SEGFS_AS(caller, getxattr(path, name, value, XATTR_SIZE_MAX));
	if (n < 0)
		return n;
	*ret_value = g_bytes_new(value, n);
	return 0;
}

static int posix_list_xattr(Node *base, const SegfsCaller *caller, GBytes **ret_names)
{
	g_autofree char *names = g_malloc(XATTR_LIST_MAX);
	autofd fd = -1;
	FdPath path;
	int r = object_fd((ObjectNode *)base, &fd);

	if (r < 0)
		return r;
	fd_path(fd, path);
	const long n = SEGFS_AS(caller, listxattr(path, names, XATTR_LIST_MAX));
	if (n < 0)
		return n;
	*ret_names = g_bytes_new(names, n);
	return 0;
}

static int posix_set_xattr(Node *base, const SegfsCaller *caller, const char *name,
			   const void *bytes, size_t size, int flags)
{
	autofd fd = -1;
	FdPath path;

	if (g_str_has_prefix(name, "user.segfs."))
		return -EPERM; /* what is under these names we say, and nobody else */
	int r = object_fd((ObjectNode *)base, &fd);
	if (r < 0)
		return r;
	fd_path(fd, path);
	return bytes ? SEGFS_AS(caller, setxattr(path, name, bytes, size, flags))
		     : SEGFS_AS(caller, removexattr(path, name));
}

/* The node of what has just been found or made as name. */
static int find(ObjectNode *folder, const SegfsCaller *caller, int folder_fd, const char *name,
		Node **ret_node)
{
	struct stat st;
	const long found =
		SEGFS_AS(caller, openat(folder_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
	autofd fd = found;

	if (found < 0)
		return found;
	return object_node(folder, caller, name, fd, ret_node, &st);
}

static int posix_lookup(Node *base, const SegfsCaller *caller, const char *name, Node **ret_node)
{
	autofd fd = -1;
	int r = object_fd((ObjectNode *)base, &fd);

	return r < 0 ? r : find((ObjectNode *)base, caller, fd, name, ret_node);
}

static int opened(ObjectNode *folder, const SegfsCaller *caller, const char *name, int fd,
		  int flags, Node **ret_node, File **ret_file)
{
	struct stat st;
	int r = object_node(folder, caller, name, fd, ret_node, &st);

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
	autofd folder_fd = -1;
	int r = object_fd((ObjectNode *)base, &folder_fd);

	if (r < 0)
		return r;
	const long fd = SEGFS_AS(
		caller, openat(folder_fd, name,
			       (flags & ~O_DIRECT) | O_CREAT | O_NOFOLLOW | O_CLOEXEC, mode));
	return fd < 0 ? fd
		      : opened((ObjectNode *)base, caller, name, fd, flags, ret_node, ret_file);
}

static int posix_make_nameless(Node *base, const SegfsCaller *caller, int flags, mode_t mode,
			       Node **ret_node, File **ret_file)
{
	autofd folder_fd = -1;
	FdPath path;
	int r = object_fd((ObjectNode *)base, &folder_fd);

	if (r < 0)
		return r;
	fd_path(folder_fd, path);
	const long fd =
		SEGFS_AS(caller, open(path, (flags & ~O_DIRECT) | O_TMPFILE | O_CLOEXEC, mode));
	return fd < 0 ? fd
		      : opened((ObjectNode *)base, caller, NULL, fd, flags, ret_node, ret_file);
}

static int posix_make(Node *base, const SegfsCaller *caller, const char *name, mode_t mode,
		      dev_t device, const char *target, Node **ret_node)
{
	autofd fd = -1;
	int r = object_fd((ObjectNode *)base, &fd);

	if (r < 0)
		return r;
	if (S_ISDIR(mode))
		r = SEGFS_AS(caller, mkdirat(fd, name, mode & 07777));
	else if (S_ISLNK(mode))
		r = SEGFS_AS(caller, symlinkat(target, fd, name));
	else
		r = SEGFS_AS(caller, mknodat(fd, name, mode, device));
	return r < 0 ? r : find((ObjectNode *)base, caller, fd, name, ret_node);
}

static int posix_link(Node *base, const SegfsCaller *caller, const char *name, Node *target)
{
	autofd folder_fd = -1, fd = -1;
	FdPath path;

	if (target->ops != &object_ops)
		return -EXDEV;
	int r = object_fd((ObjectNode *)base, &folder_fd);
	if (r == 0)
		r = object_fd((ObjectNode *)target, &fd);
	if (r < 0)
		return r;
	fd_path(fd, path);
	return SEGFS_AS(caller, linkat(AT_FDCWD, path, folder_fd, name, AT_SYMLINK_FOLLOW));
}

static int posix_remove(Node *base, const SegfsCaller *caller, const char *name, bool is_folder)
{
	autofd fd = -1;
	int r = object_fd((ObjectNode *)base, &fd);

	return r < 0 ? r : SEGFS_AS(caller, unlinkat(fd, name, is_folder ? AT_REMOVEDIR : 0));
}

static int posix_rename(Node *base, const SegfsCaller *caller, const char *name, Node *to_base,
			const char *to_name, unsigned int flags)
{
	autofd fd = -1, to_fd = -1;
	int r = object_fd((ObjectNode *)base, &fd);

	if (r == 0)
		r = object_fd((ObjectNode *)to_base, &to_fd);
	return r < 0 ? r : SEGFS_AS(caller, renameat2(fd, name, to_fd, to_name, flags));
}

typedef struct {
	char *name; /* in names */
	ino_t ino;
	mode_t type;
} ObjectEntry;

typedef struct {
	Listing listing;
	GStringChunk *names;
	GArray *entries; /* ObjectEntry */
	int fd;          /* of the folder */
	bool may_look;   /* the caller may see more than names */
} ObjectListing;

static void listing_entry(Listing *base, guint index, ListingEntry *ret_entry)
{
	const ObjectEntry *entry =
		&g_array_index(((ObjectListing *)base)->entries, ObjectEntry, index);

	g_strlcpy(ret_entry->name, entry->name, sizeof(ret_entry->name));
	ret_entry->ino = entry->ino;
	ret_entry->type = entry->type;
}

static int listing_look(Listing *base, guint index, Node **ret_node, struct stat *ret_stat)
{
	ObjectListing *listing = (ObjectListing *)base;
	const ObjectEntry *entry = &g_array_index(listing->entries, ObjectEntry, index);

	if (!listing->may_look)
		return -EACCES;
	/* Whose FIFO it would be is settled by a lookup. */
	if (S_ISFIFO(entry->type))
		return -EAGAIN;
	autofd fd = openat(listing->fd, entry->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return object_node((ObjectNode *)base->folder, NULL, entry->name, fd, ret_node, ret_stat);
}

static void listing_close(Listing *base)
{
	ObjectListing *listing = (ObjectListing *)base;

	g_string_chunk_free(listing->names);
	g_array_unref(listing->entries);
	if (listing->fd >= 0)
		close(listing->fd);
}

static const ListingOps listing_ops = {
	.entry = listing_entry,
	.look = listing_look,
	.free = listing_close,
};

static int names_read(ObjectListing *listing)
{
	DIR *dir = fdopendir(fcntl(listing->fd, F_DUPFD_CLOEXEC, 0));
	struct dirent *found;

	if (!dir)
		return -errno;
	errno = 0;
	while ((found = readdir(dir))) {
		if (!strcmp(found->d_name, ".") || !strcmp(found->d_name, ".."))
			continue;
		ObjectEntry entry = {
			.name = g_string_chunk_insert(listing->names, found->d_name),
			.ino = found->d_ino,
			.type = DTTOIF(found->d_type),
		};
		g_array_append_val(listing->entries, entry);
	}
	const int error = errno;
	closedir(dir);
	return -error;
}

static int posix_list(Node *base, const SegfsCaller *caller, Listing **ret_listing)
{
	g_autoptr(Listing) made = listing_new(base, &listing_ops, sizeof(ObjectListing));
	ObjectListing *listing = (ObjectListing *)made;
	FdPath path;

	listing->names = g_string_chunk_new(4096);
	listing->entries = g_array_new(FALSE, FALSE, sizeof(ObjectEntry));
	listing->fd = -1;
	int r = reopen((ObjectNode *)base, caller, O_RDONLY | O_DIRECTORY, &listing->fd);
	if (r < 0)
		return r;
	fd_path(listing->fd, path);
	listing->may_look = SEGFS_AS(caller, faccessat(AT_FDCWD, path, X_OK, AT_EACCESS)) == 0;
	r = names_read(listing);
	if (r < 0)
		return r;
	listing->listing.n_entries = listing->entries->len;
	*ret_listing = g_steal_pointer(&made);
	return 0;
}

static void posix_free(Node *base)
{
	ObjectNode *node = (ObjectNode *)base;

	g_clear_pointer(&node->owners, g_hash_table_unref);
	g_clear_pointer(&node->parent, node_unref);
	g_free(node->name);
	g_mutex_clear(&node->lock);
}

static const NodeOps object_ops = {
	.getattr = posix_getattr,
	.access = posix_access,
	.setattr = posix_setattr,
	.readlink = posix_readlink,
	.open = posix_open,
	.statfs = posix_statfs,
	.get_xattr = posix_get_xattr,
	.list_xattr = posix_list_xattr,
	.set_xattr = posix_set_xattr,
	.looks_as_caller = true,
	.lookup = posix_lookup,
	.list = posix_list,
	.create = posix_create,
	.make = posix_make,
	.make_nameless = posix_make_nameless,
	.link = posix_link,
	.remove = posix_remove,
	.rename = posix_rename,
	.free = posix_free,
};

/* The folder itself: the node of what shm_dir was when the mount was made. */
Node *posix_folder_new(Tree *tree, const void *data)
{
	SegfsObject object = {};
	struct stat st;

	if (segfs_object_read(tree->posix, segfs_posix_fd(tree->posix), &object, &st) < 0)
		st.st_mode = S_IFDIR;
	const NodeKey key = key_of(&object);
	Node *node = node_intern(tree, &object_ops, &key, make, &object);
	((ObjectNode *)node)->type = st.st_mode & S_IFMT;
	return node;
}
