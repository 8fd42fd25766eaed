/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Listings: see src/tree/listing.c. */

#include <errno.h>
#include <string.h>

#include "mount/mount.h"

static Listing *listing_of(const struct fuse_file_info *fi)
{
	return (Listing *)(uintptr_t)fi->fh;
}

static void opendir_now(fuse_req_t req, const Asked *asked)
{
	Node *directory = node_of(req, asked->ino);
	struct fuse_file_info *fi = asked->fi;
	g_auto(SegfsCaller) caller = {};
	Listing *listing = NULL;
	int r = caller_at(req, directory, &caller);

	if (r == 0)
		r = !directory->ops->list ? -ENOTDIR
					  : directory->ops->list(directory, &caller, &listing);
	if (r == 0 && (r = listing_hold(listing, caller.uid)) < 0)
		listing_unref(listing);
	if (r < 0) {
		reply_path_result(req, directory, r);
		return;
	}
	walk_over(req, directory);
	fi->fh = (uintptr_t)listing;
	if (fuse_reply_open(req, fi) == -ENOENT)
		listing_unref(listing);
}

void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	answer(req, NODE_LIST, opendir_now, &(Asked){.ino = ino, .fi = fi});
}

void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	listing_unref(listing_of(fi));
	fuse_reply_err(req, 0);
}

/*
 * After an open with O_TRUNC the kernel takes the file for empty, which a segment is not, but
 * then asks for its size. Attributes of a listing between the two would stop it from asking.
 */
static double attr_valid(const Node *node, double valid)
{
	const gint64 since = g_get_monotonic_time() - node->emptied;

	return node->emptied && since < LISTED_VALID * G_USEC_PER_SEC ? 0 : valid;
}

/* An entry as a name alone: number 0 tells the kernel to look it up itself. */
static struct fuse_entry_param name_of(const ListingEntry *entry)
{
	return (struct fuse_entry_param){
		.attr.st_ino = entry->ino,
		.attr.st_mode = entry->type,
	};
}

/* What goes into one answer. */
typedef struct {
	fuse_req_t req;
	Listing *listing;
	bool plus;
	bool keeps_names; /* although they depend on the caller */
	char *bytes;
	size_t size, used;
	GPtrArray *shown; /* nodes that the kernel learns of, with references */
} Reply;

/* How long the kernel may take the entry's name to stand for node; valid: as for attributes. */
static double name_valid(const Reply *reply, const ListingEntry *entry, Node *node,
			 const struct stat *st, double valid)
{
	Node *directory = reply->listing->directory;

	if (directory->ops->names_are_fixed)
		return node->ops->size_changes ? 0 : FIXED_VALID;
	/* Another caller might not be allowed to find what this one has listed. */
	if (directory->ops->looks_as_caller &&
	    !(reply->keeps_names && node->ops->list_as &&
	      node->ops->list_as(node, directory, entry->name, st)))
		return 0;
	/* Into another namespace each step is asked for anyway. */
	return directory->ops->names_last && !ipcns_is_foreign(directory->ns) ? LISTED_NAMED
									      : valid;
}

/* The same with its attributes; the node that the kernel learns of, or NULL. */
static Node *look_at(const Reply *reply, const ListingEntry *entry,
		     struct fuse_entry_param *ret_param)
{
	const Listing *listing = reply->listing;
	g_autoptr(Node) node = NULL;
	struct stat st;
	double valid;

	*ret_param = name_of(entry);
	if (listing_look(listing, entry, &node, &st, &valid) < 0)
		return NULL;
	*ret_param = (struct fuse_entry_param){
		/* Before the answer: a forget may follow it at once. */
		.ino = node_remember(node),
		.generation = 1,
		.attr = st,
		.attr_timeout = attr_valid(node, valid),
		.entry_timeout = name_valid(reply, entry, node, &st, valid),
	};
	if (ret_param->entry_timeout > 0)
		node->listed = g_get_monotonic_time();
	node_saw(node, &st);
	return g_steal_pointer(&node);
}

/* Adds an entry; false: it does not fit. next: the position behind it. */
static bool add_entry(Reply *reply, const ListingEntry *entry, off_t next)
{
	char *at = reply->bytes + reply->used;
	const size_t left = reply->size - reply->used;
	struct fuse_entry_param param = name_of(entry);
	g_autoptr(Node) node = reply->plus ? look_at(reply, entry, &param) : NULL;

	const size_t length =
		reply->plus
			? fuse_add_direntry_plus(reply->req, at, left, entry->name, &param, next)
			: fuse_add_direntry(reply->req, at, left, entry->name, &param.attr, next);
	if (length > left) {
		if (node)
			node_forget(node, 1);
		return false;
	}
	if (node)
		g_ptr_array_add(reply->shown, g_steal_pointer(&node));
	reply->used += length;
	return true;
}

static void reply_listing(fuse_req_t req, Listing *listing, size_t size, off_t offset, bool plus)
{
	g_autofree char *bytes = g_malloc(size);
	g_autoptr(GPtrArray) shown = g_ptr_array_new();
	Node *directory = listing->directory;
	Reply reply = {
		.req = req,
		.listing = listing,
		.plus = plus,
		.keeps_names = plus && directory->ops->keeps_names &&
			       directory->ops->keeps_names(directory),
		.bytes = bytes,
		.size = size,
		.shown = shown,
	};
	const ListingEntry *entry;
	off_t next;
	int r;

	g_mutex_lock(&listing->lock);
	for (off_t at = offset; (r = listing_next(listing, at, &entry, &next)) > 0; at = next)
		if (!add_entry(&reply, entry, next))
			break;
	g_mutex_unlock(&listing->lock);
	/* What was read before an error is shown; the next request meets it again. */
	if (r < 0 && reply.used == 0)
		reply_name_result(req, r);
	else
		r = fuse_reply_buf(req, bytes, reply.used);
	for (guint i = 0; i < shown->len; i++) {
		if (r == -ENOENT)
			node_forget(shown->pdata[i], 1);
		node_unref(shown->pdata[i]);
	}
}

static void readdir_now(fuse_req_t req, const Asked *asked)
{
	reply_listing(req, asked->listing, (size_t)asked->length, asked->offset, asked->number);
}

static void read_directory(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
			   const struct fuse_file_info *fi, bool plus)
{
	answer(req, NODE_LIST, readdir_now,
	       &(Asked){
		       .ino = ino,
		       .length = (off_t)size,
		       .offset = offset,
		       .number = plus,
		       .listing = listing_of(fi),
	       });
}

void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		struct fuse_file_info *fi)
{
	read_directory(req, ino, size, offset, fi, false);
}

void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		    struct fuse_file_info *fi)
{
	read_directory(req, ino, size, offset, fi, true);
}
