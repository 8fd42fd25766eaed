/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The caller of a request, and the answer: each request gets exactly one. */

#include <errno.h>

#include "lib/os/errand.h"
#include "mount/mount.h"
#include "mount/receive.h"

/* For a namespace a request counts by its index with this bit. */
#define FOREIGN (1ULL << 32)

void caller_of(fuse_req_t req, SegfsCaller *ret_caller)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);

	segfs_caller_of_thread(ret_caller, mount_of(req)->proc_root, ctx->pid, ctx->uid, ctx->gid,
			       ctx->umask);
}

int caller_at(fuse_req_t req, const Node *node, SegfsCaller *ret_caller)
{
	caller_of(req, ret_caller);
	return ipcns_is_foreign(node->ns) && !caller_may_enter(ret_caller) ? -EACCES : 0;
}

void answer(fuse_req_t req, NodeVerb verb, WorkerRun run, const Asked *asked)
{
	Node *node = node_of(req, asked->ino);
	const bool is_foreign = ipcns_is_foreign(node->ns);
	Errand errand = {.must_not_wait = true};

	if (!((node->ops->waits | NODE_WAITS) & verb)) {
		errand_begin(&errand);
		run(req, asked);
		errand_end();
		if (!errand.is_postponed)
			return;
	}
	const bool is_long = verb == NODE_WAITS || node->ops->waits & NODE_FIND;
	workers_do(mount_of(req)->workers,
		   &(WorkerRequest){
			   .req = req,
			   .unique = receive_unique(),
			   .whose = is_foreign ? FOREIGN | node->ns->index : fuse_req_ctx(req)->uid,
			   .is_long = is_long,
			   .is_urgent = verb & (NODE_CHANGE | NODE_NAMES | NODE_WRITE) && !is_long,
			   .run = run,
			   .asked = asked,
			   .node = node,
			   .other = asked->other ? node_of(req, asked->other) : NULL,
		   });
}

int node_error(fuse_req_t req, int r)
{
	const pid_t tid = fuse_req_ctx(req)->pid;

	if (r != -ENOENT && r != -ESTALE)
		return r;
	/* A thread of another pid namespace has no number here. */
	return tid > 0 && retries_is_second(mount_of(req)->retries, tid) ? -ENOENT : -ESTALE;
}

void node_error_over(fuse_req_t req)
{
	retries_over(mount_of(req)->retries, fuse_req_ctx(req)->pid);
}

static void reply_error(fuse_req_t req, int r)
{
	/* The daemon is out of descriptors, not the program that asks; or that user has its share.
	 */
	fuse_reply_err(req, r == -EMFILE      ? ENFILE
			    : r == -EUSERS    ? EMFILE
			    : r == -ENOSYS    ? EOPNOTSUPP
			    : r == -ESHUTDOWN ? ENOENT /* a second look finds it no more */
					      : -r);
}

void reply_name_result(fuse_req_t req, int r)
{
	if (r < 0 && errand_postpone())
		return;
	/* ESTALE is an error of the directory that the name is in. */
	reply_error(req, r == -ESTALE ? node_error(req, r) : r);
}

void reply_result(fuse_req_t req, int r)
{
	if (r < 0 && errand_postpone())
		return;
	reply_error(req, node_error(req, r));
}

int entry_of(fuse_req_t req, Node *node, struct fuse_entry_param *ret_entry)
{
	struct fuse_entry_param entry = {.generation = 1};
	int r = node->ops->getattr(node, true, &entry.attr);

	if (r < 0)
		return r;
	entry.ino = node_remember(node);
	*ret_entry = entry;
	return 0;
}

double listed_name_valid(const Node *directory, const Node *node, double valid)
{
	if (directory->ops->names_are_fixed)
		return node->ops->size_changes ? 0 : FIXED_VALID;
	/* Another caller might not be allowed to find what this one has listed. */
	return directory->ops->looks_as_caller ? 0 : valid;
}

void reply_entry(fuse_req_t req, int r, const Node *directory, Node *found)
{
	g_autoptr(Node) node = r == 0 ? found : NULL;
	struct fuse_entry_param entry;

	if (r == 0)
		r = entry_of(req, node, &entry);
	if (r < 0) {
		reply_name_result(req, r);
		return;
	}
	/* Each walk along a path would ask again for its first step otherwise. */
	if (directory->ops->names_are_fixed && !node->ops->size_changes)
		entry.entry_timeout = FIXED_VALID;
	if (fuse_reply_entry(req, &entry) == -ENOENT)
		node_forget(node, 1);
}

void reply_attr(fuse_req_t req, Node *node, int r)
{
	struct stat st;

	if (r == 0)
		r = node->ops->getattr(node, false, &st);
	if (r < 0) {
		reply_result(req, r);
		return;
	}
	node_error_over(req);
	fuse_reply_attr(req, &st, 0);
}

void reply_bytes(fuse_req_t req, int r, GBytes *bytes, size_t size)
{
	gsize length;

	if (r < 0) {
		reply_result(req, r);
		return;
	}
	const void *data = g_bytes_get_data(bytes, &length);
	if (size == 0)
		fuse_reply_xattr(req, length);
	else if (length > size)
		reply_result(req, -ERANGE);
	else
		fuse_reply_buf(req, data, length);
}
