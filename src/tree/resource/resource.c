/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * One semaphore set or message queue: stat, rights, and a text that is made when it is opened, as
 * the caller, so that the kernel decides who may read it.
 */

#include "tree/resource/resource.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

ino_t resource_ino(const IpcNs *ns, const SegfsResource *resource)
{
	enum { NS_SHIFT = 32 };

	return ino_of_kind(resource->kind == SEGFS_SEM ? INO_SEM : INO_MSG,
			   segfs_ipc_inum(ns->ipc) << NS_SHIFT | (uint32_t)resource->id);
}

static NodeKey key_of(const IpcNs *ns, const SegfsResource *resource)
{
	/* The number of an IPC namespace can come again, the index never does. */
	return (NodeKey){.a = ns->index, .b = resource->id, .c = 1 + resource->kind};
}

void resource_stat(Node *node, const SegfsResource *resource, struct stat *ret_stat)
{
	const int64_t used = resource->kind == SEGFS_SEM ? resource->otime
							 : MAX(resource->stime, resource->rtime);
	const int64_t touched = used ? used : resource->ctime;
	const off_t open = text_node_size(node);

	*ret_stat = (struct stat){
		.st_ino = resource_ino(node->ns, resource),
		.st_mode = S_IFREG | resource->mode,
		.st_nlink = 1,
		.st_uid = resource->uid,
		.st_gid = resource->gid,
		/* While it is open its text is what programs read to the end of. */
		.st_size = open ? open : (off_t)MIN(resource->bytes, INT64_MAX),
		.st_blksize = sysconf(_SC_PAGESIZE),
		.st_atime = touched,
		.st_mtime = touched,
		.st_ctime = resource->ctime,
	};
}

/* What the node stands for at this moment. -ENOENT: it is gone. */
static int resource_now(Node *base, SegfsResource *ret_resource)
{
	const ResourceNode *node = (ResourceNode *)base;
	int r = segfs_resource_stat(base->ns->ipc, node->is.kind, node->is.id, ret_resource);

	return r == 0 && !segfs_resource_same(&node->is, ret_resource) ? -ENOENT : r;
}

static int resource_getattr(Node *node, bool brief, struct stat *ret_stat)
{
	SegfsResource resource;
	int r = resource_now(node, &resource);

	if (r == 0)
		resource_stat(node, &resource, ret_stat);
	return r;
}

static int may_read(Node *node, const SegfsCaller *caller)
{
	SegfsResource resource;
	int r = resource_now(node, &resource);

	return r < 0 ? r
		     : segfs_resource_may_read(node->ns->ipc, caller, resource.kind, resource.id);
}

static int resource_access(Node *node, const SegfsCaller *caller, int mask)
{
	/* Nobody can write to it, as to a file that is immutable. */
	if (mask & W_OK)
		return -EPERM;
	return mask & X_OK ? -EACCES : mask & R_OK ? may_read(node, caller) : 0;
}

static int resource_setattr(Node *node, const SegfsCaller *caller, File *file,
			    const NodeChange *change)
{
	SegfsResource resource;

	if (change->has_size)
		return -EPERM;
	int r = resource_now(node, &resource);
	if (r == 0 && (change->has_mode || change->has_owner))
		r = segfs_resource_set(node->ns->ipc, caller, resource.kind, resource.id,
				       change->uid, change->gid,
				       change->has_mode ? change->mode : (mode_t)-1);
	/* The kernel has no call that sets its times. */
	return r < 0 ? r : change->has_times ? -EPERM : 0;
}

static int resource_open(Node *base, const SegfsCaller *caller, int flags, File **ret_file)
{
	SegfsResource resource;
	int r = resource_now(base, &resource);

	if (r < 0)
		return r;
	if ((flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC)
		return -EPERM;
	GString *text = g_string_new(NULL);
	r = resource_write(base->ns, caller, &resource, text);
	if (r == 0)
		return text_file_new((TextNode *)base, caller, flags, text, ret_file);
	g_string_free(text, TRUE);
	return r;
}

static int resource_get_xattr(Node *node, const SegfsCaller *caller, const char *name,
			      GBytes **ret_value)
{
	SegfsResource resource;

	/* For what cannot be a name of ours `ls` asks once and no more. */
	if (!g_str_has_prefix(name, "user."))
		return -EOPNOTSUPP;
	int r = resource_now(node, &resource);
	return r < 0 ? r : resource_xattr(&resource, name, ret_value);
}

static int resource_list_xattr(Node *node, const SegfsCaller *caller, GBytes **ret_names)
{
	*ret_names = resource_xattr_names(((ResourceNode *)node)->is.kind);
	return 0;
}

static int resource_set_xattr(Node *node, const SegfsCaller *caller, const char *name,
			      const void *bytes, size_t size, int flags)
{
	return g_str_has_prefix(name, "user.") ? -EPERM : -EOPNOTSUPP;
}

static void init(Node *base, const void *data)
{
	((ResourceNode *)base)->is = *(const SegfsResource *)data;
}

static bool is_of(Node *base, const void *data)
{
	return segfs_resource_same(&((ResourceNode *)base)->is, data);
}

static const NodeOps resource_ops = {
	.waits = NODE_FIND, /* a text of many messages takes long */
	.size_changes = true,
	.outlasts = true,
	.getattr = resource_getattr,
	.access = resource_access,
	.setattr = resource_setattr,
	.open = resource_open,
	.get_xattr = resource_get_xattr,
	.list_xattr = resource_list_xattr,
	.set_xattr = resource_set_xattr,
	.size = sizeof(ResourceNode),
	.init = init,
	.is_of = is_of,
};

Node *resource_node(IpcNs *ns, const SegfsResource *resource)
{
	const NodeKey key = key_of(ns, resource);
	Node *node = node_intern(ns, &resource_ops, &key, resource);

	if (!text_node_is_open(node))
		return node;
	node_unref(node);
	node = node_new(ns, &resource_ops, sizeof(ResourceNode));
	init(node, resource);
	node->key = key;
	return node;
}
