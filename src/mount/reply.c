/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The caller of a request, and the answer: each request gets exactly one. */

#include <errno.h>

#include "lib/os/errand.h"
#include "lib/os/procfs.h"
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

static ProcfsCall call_of(fuse_req_t req)
{
	return procfs_call(mount_of(req)->proc_root, fuse_req_ctx(req)->pid, NULL);
}

/* A call that takes a descriptor, whatever its thread has looked up before: it does not come again.
 */
static bool is_on_open(fuse_req_t req)
{
	return call_of(req) == CALL_ON_OPEN;
}

int name_at(fuse_req_t req, Node *node)
{
	Walks *walks = mount_of(req)->walks;
	const pid_t thread = fuse_req_ctx(req)->pid;

	/* Who was told, and comes back to the same without a look, has another way to it. */
	if (!node->ops->still_named || walks_has_found(walks, thread, node) ||
	    walks_was_told_of(walks, thread, node))
		return 0;
	int r = node->ops->still_named(node);
	/* A call that takes a descriptor would not come back. */
	return r == -ESTALE && is_on_open(req) ? 0 : r;
}

int name_at_stat(fuse_req_t req, Node *node)
{
	int r = name_at(req, node);

	return r < 0 && call_of(req) != CALL_LOOKS ? 0 : r;
}

int caller_come(fuse_req_t req, const Node *node, SegfsCaller *ret_caller)
{
	caller_of(req, ret_caller);
	return ipcns_is_foreign(node->ns) && !caller_may_enter(ret_caller) ? -EACCES : 0;
}

int caller_at(fuse_req_t req, Node *node, SegfsCaller *ret_caller)
{
	int r = caller_come(req, node, ret_caller);

	return r < 0 ? r : name_at(req, node);
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
	const bool is_change = verb & (NODE_CHANGE | NODE_NAMES | NODE_WRITE);
	const bool is_lookup = verb == NODE_FIND;
	workers_do(mount_of(req)->workers,
		   &(WorkerRequest){
			   .req = req,
			   .unique = receive_unique(),
			   .whose = is_foreign ? FOREIGN | node->ns->index : fuse_req_ctx(req)->uid,
			   .is_long = is_long,
			   .is_urgent = is_change || is_lookup,
			   .share = is_change   ? SHARE_CHANGES
				    : is_lookup ? SHARE_LOOKUPS
				    : is_long   ? SHARE_LOOKS
						: SHARE_OTHERS,
			   .run = run,
			   .asked = asked,
			   .node = node,
			   .other = asked->other ? node_of(req, asked->other) : NULL,
		   });
}

/*
 * A request that was given up has been answered: its thread is at another call by now, and nothing
 * is to be said of that.
 */
static bool is_walking(void)
{
	return !errand_is_unwanted();
}

void walk_over(fuse_req_t req, const Node *node)
{
	if (is_walking())
		walks_over(mount_of(req)->walks, fuse_req_ctx(req)->pid, node);
}

void walk_let_go(fuse_req_t req)
{
	if (is_walking())
		walks_let_go(mount_of(req)->walks, fuse_req_ctx(req)->pid);
}

bool walk_tell(fuse_req_t req, const Node *node)
{
	return is_walking() && walks_tell(mount_of(req)->walks, fuse_req_ctx(req)->pid, node);
}

int walk_again(fuse_req_t req, const Node *directory, const char *name, bool *ret_again)
{
	Walks *walks = mount_of(req)->walks;
	const pid_t thread = fuse_req_ctx(req)->pid;
	int flags = 0;

	*ret_again = is_walking() && walks_was_told(walks, thread);
	if (*ret_again || !thread || !directory->ops->remove ||
	    !walks_was_removed(walks, directory, name))
		return 0;
	/* On a busy machine it takes a while until /proc says what a thread waits for. */
	if (!errand_may_wait())
		return -EAGAIN;
	*ret_again = procfs_call(mount_of(req)->proc_root, thread, &flags) == CALL_OPENS &&
		     procfs_opens_file(flags);
	return 0;
}

static bool is_gone(int r)
{
	return r == -ENOENT || r == -ESTALE;
}

static bool has_found(fuse_req_t req, const Node *node)
{
	return walks_has_found(mount_of(req)->walks, fuse_req_ctx(req)->pid, node) &&
	       !is_on_open(req);
}

/* Has the caller come to node by a name, in this very call, and will it come again if told? */
static bool is_by_name(fuse_req_t req, const Node *node)
{
	const gint64 since = g_get_monotonic_time() - node->listed;
	const gint64 used = node->ops->still_named ? LISTED_USED : LISTED_VALID * G_USEC_PER_SEC;

	return has_found(req, node) || (node->listed && since < used && !is_on_open(req));
}

/* -ENOENT, or -ESTALE where the kernel is to look once more. */
static int gone_error(fuse_req_t req, const Node *node)
{
	return walk_tell(req, node) ? -ESTALE : -ENOENT;
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
	/* Of the directory that the name is in. */
	if (r == -ESTALE)
		r = gone_error(req, NULL);
	if (r != -ESTALE && fuse_req_ctx(req)->pid)
		walk_over(req, NULL);
	reply_error(req, r);
}

void reply_path_result(fuse_req_t req, const Node *node, int r)
{
	if (r < 0 && errand_postpone())
		return;
	if (is_gone(r))
		r = gone_error(req, node);
	if (r != -ESTALE)
		walk_over(req, node);
	reply_error(req, r);
}

void reply_result(fuse_req_t req, const Node *node, int r)
{
	if (r < 0 && errand_postpone())
		return;
	/*
	 * Of a segment that others have open that it is removed is said to them alone. Who goes by
	 * a name that was listed a moment ago has looked nothing up: the call says that it has one.
	 */
	if (r == -EIDRM && (has_found(req, node) || call_of(req) == CALL_LOOKS))
		r = -ENOENT;
	if (is_gone(r) && !is_by_name(req, node))
		r = -ENOENT;
	else if (is_gone(r))
		r = gone_error(req, node);
	if (r != -ESTALE)
		walk_over(req, node);
	reply_error(req, r);
}

/* What there is to say of node: what it is, or, where it is gone, what it was. */
static int stat_of(Node *node, bool brief, struct stat *ret_stat)
{
	int r = node->ops->getattr(node, brief, ret_stat);

	if (r == 0)
		node_saw(node, ret_stat);
	else if ((is_gone(r) || r == -ESHUTDOWN) && !errand_postpone() && node_last(node, ret_stat))
		r = 0;
	return r;
}

int entry_of(fuse_req_t req, Node *node, struct fuse_entry_param *ret_entry)
{
	struct fuse_entry_param entry = {.generation = 1};
	int r = stat_of(node, true, &entry.attr);

	if (r < 0)
		return r;
	entry.ino = node_remember(node);
	*ret_entry = entry;
	return 0;
}

void reply_entry(fuse_req_t req, int r, const Node *directory, Node *found, bool again,
		 WalkLetGo let_go)
{
	g_autoptr(Node) node = r == 0 ? found : NULL;
	struct fuse_entry_param entry;

	if (r == 0 && !is_walking())
		r = -EINTR;
	else if (r == 0)
		r = entry_of(req, node, &entry);
	if (r < 0 && node && let_go)
		let_go(node, fuse_req_ctx(req)->pid);
	/* A name that is not found is no end: the caller may be about to make it. */
	if (r < 0 && errand_postpone())
		return;
	if (r < 0) {
		if (is_walking())
			walks_missed(mount_of(req)->walks, fuse_req_ctx(req)->pid);
		reply_error(req, r == -ESTALE ? gone_error(req, NULL) : r);
		return;
	}
	/* Before it is answered: what the thread asks next may be here at once. */
	walks_found(mount_of(req)->walks, fuse_req_ctx(req)->pid, node, again, let_go);
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
		r = stat_of(node, false, &st);
	if (r < 0) {
		reply_result(req, node, r);
		return;
	}
	walk_over(req, node);
	fuse_reply_attr(req, &st, 0);
}

void reply_bytes(fuse_req_t req, const Node *node, int r, GBytes *bytes, size_t size)
{
	gsize length;

	/*
	 * No end of a call that takes a name: the kernel asks for the capabilities that a file has
	 * before it changes the file.
	 */
	if ((r == -EOPNOTSUPP || r == -ENODATA) && !errand_postpone()) {
		reply_error(req, r);
		return;
	}
	if (r < 0) {
		reply_result(req, node, r);
		return;
	}
	/* An attribute that could not be had without waiting is missing: a worker asks once more.
	 */
	if (errand_postpone())
		return;
	const void *data = g_bytes_get_data(bytes, &length);
	if (size == 0)
		fuse_reply_xattr(req, length);
	else if (length > size)
		reply_result(req, node, -ERANGE);
	else
		fuse_reply_buf(req, data, length);
}
