/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The table of the requests that the kernel can make, and those that are about nodes and names.
 * Each handler takes the node from its number, calls the node's verb, and answers once. A node's
 * number is one by chance, see node_known(). ENOSYS is never an answer: the kernel takes it for the
 * whole mount.
 */

#include <errno.h>

#include "mount/mount.h"
#include "tree/item.h"

/* Can what a look there has found be gone when something is asked of it? Else it is held at once.
 */
static bool may_go(const Node *directory)
{
	return directory->ops->lookup_again || !directory->ops->let_go;
}

/*
 * Who has come again is not told to look for another: so it gets a node that is apart to write, and
 * held where that can be, instead of the one found.
 */
static int find_again(Node *directory, const SegfsCaller *caller, const char *name, Node **node)
{
	const NodeOps *ops = directory->ops;

	if (node_is_not_apart(*node))
		node_name_no_more(*node);
	else if (!ops->lookup_again)
		return 0;
	node_unref(g_steal_pointer(node));
	return (ops->lookup_again ? ops->lookup_again : ops->lookup)(directory, caller, name, node);
}

static void lookup_now(fuse_req_t req, const Asked *asked)
{
	Node *directory = node_of(req, asked->ino);
	const NodeOps *ops = directory->ops;
	g_autoptr(Node) node = NULL;
	g_auto(SegfsCaller) caller = {};
	bool again = false;
	int r = caller_at(req, directory, &caller);

	if (!ops->lookup)
		r = -ENOTDIR;
	else if (r == 0)
		r = ops->lookup(directory, &caller, asked->name, &node);
	if (r == 0 && may_go(directory))
		r = walk_again(req, directory, asked->name, &again);
	if (r == 0 && again)
		r = find_again(directory, &caller, asked->name, &node);
	reply_entry(req, r, directory, r == 0 ? g_steal_pointer(&node) : NULL, again,
		    again || !may_go(directory) ? ops->let_go : NULL);
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	answer(req, NODE_FIND, lookup_now, &(Asked){.ino = parent, .name = name});
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t n)
{
	if (ino != FUSE_ROOT_ID)
		node_forget(node_of(req, ino), n);
	fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	for (size_t i = 0; i < count; i++)
		if (forgets[i].ino != FUSE_ROOT_ID)
			node_forget(node_of(req, forgets[i].ino), forgets[i].nlookup);
	fuse_reply_none(req);
}

static void getattr_now(fuse_req_t req, const Asked *asked)
{
	Node *node = node_of(req, asked->ino);

	reply_attr(req, node, node->ops->names_last ? name_at_stat(req, node) : 0);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	answer(req, NODE_STAT, getattr_now, &(Asked){.ino = ino});
}

static struct timespec time_of(int to_set, int set, int now, struct timespec given)
{
	if (to_set & now)
		return (struct timespec){.tv_nsec = UTIME_NOW};
	return to_set & set ? given : (struct timespec){.tv_nsec = UTIME_OMIT};
}

static void setattr_now(fuse_req_t req, const Asked *asked)
{
	Node *node = node_of(req, asked->ino);
	const struct stat *attr = asked->data;
	const int to_set = (int)asked->number;
	g_auto(SegfsCaller) caller = {};
	const NodeChange change = {
		.has_mode = to_set & FUSE_SET_ATTR_MODE,
		.has_owner = to_set & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID),
		.has_size = to_set & FUSE_SET_ATTR_SIZE,
		.has_times = to_set & (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME |
				       FUSE_SET_ATTR_ATIME_NOW | FUSE_SET_ATTR_MTIME_NOW),
		.mode = attr->st_mode & 07777,
		.uid = to_set & FUSE_SET_ATTR_UID ? attr->st_uid : (uid_t)-1,
		.gid = to_set & FUSE_SET_ATTR_GID ? attr->st_gid : (gid_t)-1,
		.size = attr->st_size,
		.times = {time_of(to_set, FUSE_SET_ATTR_ATIME, FUSE_SET_ATTR_ATIME_NOW,
				  attr->st_atim),
			  time_of(to_set, FUSE_SET_ATTR_MTIME, FUSE_SET_ATTR_MTIME_NOW,
				  attr->st_mtim)},
	};

	/* A request through an open file needs no way in. */
	int r = 0;
	if (asked->fi)
		caller_of(req, &caller);
	else
		r = caller_at(req, node, &caller);
	if (r == 0)
		r = node->ops->setattr
			    ? node->ops->setattr(node, &caller, file_of(asked->fi), &change)
			    : -EPERM;
	reply_attr(req, node, r);
}

static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
		       struct fuse_file_info *fi)
{
	answer(req, NODE_CHANGE, setattr_now,
	       &(Asked){
		       .ino = ino,
		       .data = attr,
		       .data_size = sizeof(*attr),
		       .number = (size_t)to_set,
		       .fi = fi,
		       .file = file_of(fi),
	       });
}

static void access_now(fuse_req_t req, const Asked *asked)
{
	Node *node = node_of(req, asked->ino);
	g_auto(SegfsCaller) caller = {};
	int r = caller_at(req, node, &caller);

	if (r == 0 && node->ops->access)
		r = node->ops->access(node, &caller, (int)asked->number);
	reply_result(req, node, r);
}

static void op_access(fuse_req_t req, fuse_ino_t ino, int mask)
{
	answer(req, NODE_FIND, access_now, &(Asked){.ino = ino, .number = (size_t)mask});
}

static void readlink_now(fuse_req_t req, const Asked *asked)
{
	Node *node = node_of(req, asked->ino);
	g_autofree char *target = NULL;
	g_auto(SegfsCaller) caller = {};

	caller_of(req, &caller);
	int r = node->ops->readlink ? node->ops->readlink(node, &caller, &target) : -EINVAL;

	if (r < 0) {
		reply_path_result(req, node, r);
		return;
	}
	walk_over(req, node);
	fuse_reply_readlink(req, target);
}

static void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	answer(req, NODE_STAT, readlink_now, &(Asked){.ino = ino});
}

typedef struct {
	mode_t mode;
	dev_t device;
} Making;

/* asked->name: of a link, where it leads to. */
static void make_now(fuse_req_t req, const Asked *asked)
{
	Node *directory = node_of(req, asked->ino), *node = NULL;
	const Making *making = (const Making *)asked->data;
	g_auto(SegfsCaller) caller = {};
	int r = caller_at(req, directory, &caller);

	if (r == 0)
		r = !directory->ops->make
			    ? -EPERM
			    : directory->ops->make(directory, &caller, asked->name, making->mode,
						   making->device, asked->target, &node);
	reply_entry(req, r, directory, node, false, directory->ops->let_go);
}

static void make(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t device,
		 const char *target)
{
	const Making making = {mode, device};

	answer(req, NODE_NAMES, make_now,
	       &(Asked){
		       .ino = parent,
		       .data = &making,
		       .data_size = sizeof(making),
		       .name = name,
		       .target = target,
	       });
}

static void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t device)
{
	make(req, parent, name, mode, device, NULL);
}

static void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	make(req, parent, name, mode | S_IFDIR, 0, NULL);
}

static void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	make(req, parent, name, S_IFLNK | 0777, 0, target);
}

static void link_now(fuse_req_t req, const Asked *asked)
{
	Node *directory = node_of(req, asked->ino), *node = node_of(req, asked->other);
	g_auto(SegfsCaller) caller = {};
	int r = caller_at(req, directory, &caller);

	if (r == 0)
		r = name_at(req, node);
	if (r == 0)
		r = !directory->ops->link
			    ? -EPERM
			    : directory->ops->link(directory, &caller, asked->name, node);
	reply_entry(req, r, directory, r == 0 ? node_ref(node) : NULL, false, NULL);
}

static void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
	answer(req, NODE_NAMES, link_now, &(Asked){.ino = parent, .other = ino, .name = name});
}

static void remove_now(fuse_req_t req, const Asked *asked)
{
	Node *directory = node_of(req, asked->ino);
	g_auto(SegfsCaller) caller = {};
	int r = caller_at(req, directory, &caller);

	/* Memory that loses its last name is free when the call returns. */
	walk_let_go(req);
	if (r == 0)
		r = !directory->ops->remove ? -EPERM
					    : directory->ops->remove(directory, &caller,
								     asked->name, asked->number);
	if (r == 0 && may_go(directory))
		walks_removed(mount_of(req)->walks, directory, asked->name);
	reply_name_result(req, r);
}

static void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	answer(req, NODE_NAMES, remove_now, &(Asked){.ino = parent, .name = name});
}

static void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	answer(req, NODE_NAMES, remove_now, &(Asked){.ino = parent, .name = name, .number = true});
}

static void rename_now(fuse_req_t req, const Asked *asked)
{
	Node *directory = node_of(req, asked->ino), *to_directory = node_of(req, asked->other);
	g_auto(SegfsCaller) caller = {};
	int r;

	walk_let_go(req); /* as when it is removed */
	if (directory->ops != to_directory->ops || directory->ns != to_directory->ns) {
		r = -EXDEV; /* so that mv copies and removes */
	} else if (!directory->ops->rename) {
		r = -EPERM;
	} else if ((r = caller_at(req, directory, &caller)) == 0) {
		r = directory->ops->rename(directory, &caller, asked->name, to_directory,
					   asked->target, (unsigned int)asked->number);
	}
	reply_name_result(req, r);
}

static void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t to_parent,
		      const char *to_name, unsigned int flags)
{
	answer(req, NODE_NAMES, rename_now,
	       &(Asked){
		       .ino = parent,
		       .other = to_parent,
		       .name = name,
		       .target = to_name,
		       .number = flags,
	       });
}

static void statfs_now(fuse_req_t req, const Asked *asked)
{
	Node *node = node_of(req, asked->ino);
	struct statvfs st = {.f_namemax = NAME_MAX, .f_bsize = 4096, .f_frsize = 4096};
	int r = node->ops->statfs ? node->ops->statfs(node, &st) : 0;

	if (r < 0) {
		reply_result(req, node, r);
		return;
	}
	walk_over(req, node);
	fuse_reply_statfs(req, &st);
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	answer(req, NODE_STAT, statfs_now, &(Asked){.ino = ino});
}

static void getxattr_now(fuse_req_t req, const Asked *asked)
{
	Node *node = node_of(req, asked->ino);
	g_autoptr(GBytes) value = NULL;
	g_auto(SegfsCaller) caller = {};
	int r = -EOPNOTSUPP;

	/* What needs no right to be read may be as old as a listing, as what stat says. */
	if (node->ops->get_xattr &&
	    (r = node_shows_xattr(asked->name) ? caller_come(req, node, &caller)
					       : caller_at(req, node, &caller)) == 0)
		r = node->ops->get_xattr(node, &caller, asked->name, &value);
	reply_bytes(req, node, r, value, asked->number);
}

static void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	/* What an item is and who holds it is found by a look at all processes. */
	answer(req, item_has_xattr(name) ? NODE_WAITS : NODE_XATTR, getxattr_now,
	       &(Asked){.ino = ino, .name = name, .number = size});
}

static void listxattr_now(fuse_req_t req, const Asked *asked)
{
	Node *node = node_of(req, asked->ino);
	g_autoptr(GBytes) names = NULL;
	g_auto(SegfsCaller) caller = {};
	int r = -EOPNOTSUPP;

	if (node->ops->list_xattr && (r = caller_at(req, node, &caller)) == 0)
		r = node->ops->list_xattr(node, &caller, &names);
	reply_bytes(req, node, r, names, asked->number);
}

static void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	answer(req, NODE_XATTR, listxattr_now, &(Asked){.ino = ino, .number = size});
}

static void setxattr_now(fuse_req_t req, const Asked *asked)
{
	Node *node = node_of(req, asked->ino);
	g_auto(SegfsCaller) caller = {};
	int r = -EOPNOTSUPP;

	if (node->ops->set_xattr && (r = caller_at(req, node, &caller)) == 0)
		r = node->ops->set_xattr(node, &caller, asked->name, asked->data, asked->data_size,
					 (int)asked->number);
	reply_result(req, node, r);
}

static void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *bytes,
			size_t size, int flags)
{
	answer(req, NODE_CHANGE, setxattr_now,
	       &(Asked){
		       .ino = ino,
		       .name = name,
		       /* An empty value is a value. */
		       .data = bytes ? bytes : "",
		       .data_size = size,
		       .number = (size_t)flags,
	       });
}

static void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	answer(req, NODE_CHANGE, setxattr_now, &(Asked){.ino = ino, .name = name});
}

static void want(struct fuse_conn_info *conn, unsigned int capability, bool wanted)
{
	conn->want &= ~capability;
	if (wanted)
		conn->want |= conn->capable & capability;
}

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	Mount *mount = userdata;
	const bool can = conn->capable & FUSE_CAP_PASSTHROUGH;

	want(conn, FUSE_CAP_READDIRPLUS, true);
	want(conn, FUSE_CAP_READDIRPLUS_AUTO, false);
	want(conn, FUSE_CAP_PARALLEL_DIROPS,
	     true);                           /* one lookup that waits is not to stop others */
	want(conn, FUSE_CAP_DONT_MASK, true); /* a default ACL overrides the umask */
	/*
	 * Not the older one as well: under it each write asks for security.capability. Before
	 * Linux 5.11, which has no other, each does so anyway, and without it the kernel would
	 * chmod(2) before another user's write, who may not, and with a chown, by a mode that has
	 * lost the sticky bit.
	 */
	want(conn, FUSE_CAP_HANDLE_KILLPRIV_V2, true);
	want(conn, FUSE_CAP_HANDLE_KILLPRIV, !(conn->capable & FUSE_CAP_HANDLE_KILLPRIV_V2));
	want(conn, FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE, true);
	conn->max_read = READ_MAX;
	if (mount->want_passthrough && can) {
		want(conn, FUSE_CAP_PASSTHROUGH, true);
		conn->max_backing_stack_depth = 1; /* on tmpfs, which stacks on nothing */
		mount->passthrough = passthrough_new();
	}
	lock_init();
	mount->started(mount->passthrough        ? "native, by FUSE passthrough"
		       : mount->want_passthrough ? "through the daemon: this kernel has no FUSE "
						   "passthrough (it came with Linux 6.9)"
						 : NULL,
		       mount->started_data);
}

const struct fuse_lowlevel_ops mount_ops = {
	.init = op_init,
	.lookup = op_lookup,
	.forget = op_forget,
	.forget_multi = op_forget_multi,
	.getattr = op_getattr,
	.setattr = op_setattr,
	.access = op_access,
	.readlink = op_readlink,
	.mknod = op_mknod,
	.mkdir = op_mkdir,
	.symlink = op_symlink,
	.link = op_link,
	.unlink = op_unlink,
	.rmdir = op_rmdir,
	.rename = op_rename,
	.statfs = op_statfs,
	.getxattr = op_getxattr,
	.listxattr = op_listxattr,
	.setxattr = op_setxattr,
	.removexattr = op_removexattr,
	.open = op_open,
	.create = op_create,
	.tmpfile = op_tmpfile,
	.release = op_release,
	.flush = op_flush,
	.read = op_read,
	.write = op_write,
	.fallocate = op_fallocate,
	.lseek = op_lseek,
	.poll = op_poll,
	.ioctl = op_ioctl,
	.opendir = op_opendir,
	.readdir = op_readdir,
	.readdirplus = op_readdirplus,
	.releasedir = op_releasedir,
	.flock = op_flock,
	.getlk = op_getlk,
	.setlk = op_setlk,
};
