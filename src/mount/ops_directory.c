/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Listings. The names are those of the moment of opendir(3); a position in a listing is
 * the number of names before it, "." and ".." included.
 */

#include <errno.h>
#include <string.h>

#include "mount/mount.h"

#define N_DOTS 2

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
	if (r < 0) {
		reply_result(req, r);
		return;
	}
	fi->fh = (uintptr_t)listing;
	if (fuse_reply_open(req, fi) == -ENOENT)
		listing_free(listing);
}

void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	answer(req, node_of(req, ino)->ops->is_expensive, opendir_now,
	       &(Asked){.ino = ino, .fi = fi});
}

void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	listing_free(listing_of(fi));
	fuse_reply_err(req, 0);
}

/* The entry at position, as a name alone: number 0 tells the kernel to look it up itself. */
static const ListingEntry *name_at(const Listing *listing, off_t position,
				   struct fuse_entry_param *ret_param)
{
	static const ListingEntry dots[N_DOTS] = {
		{.name = ".", .type = S_IFDIR, .ino = FUSE_ROOT_ID},
		{.name = "..", .type = S_IFDIR, .ino = FUSE_ROOT_ID},
	};
	const ListingEntry *entry =
		position < N_DOTS ? &dots[position] : listing_entry(listing, position - N_DOTS);

	*ret_param = (struct fuse_entry_param){
		.attr.st_ino = entry->ino,
		.attr.st_mode = entry->type,
	};
	return entry;
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

/* The entry at position with its attributes; the node that the kernel learns of, or NULL. */
static Node *entry_at(fuse_req_t req, const Listing *listing, off_t position,
		      struct fuse_entry_param *ret_param, const char **ret_name)
{
	g_autoptr(Node) node = NULL;
	struct stat st;

	const gint64 age = listing->taken ? g_get_monotonic_time() - listing->taken : 0;
	const double valid = LISTED_VALID - (double)age / G_USEC_PER_SEC;

	const ListingEntry *entry = name_at(listing, position, ret_param);
	*ret_name = entry->name;
	if (position < N_DOTS || valid <= 0 || listing->look(listing, entry, &node, &st) < 0)
		return NULL;
	*ret_param = (struct fuse_entry_param){
		/* Before the answer: a forget may follow it at once. */
		.ino = node_remember(node),
		.generation = 1,
		.attr = st,
		.attr_timeout = attr_valid(node, valid),
		.entry_timeout = listed_name_valid(listing->directory, valid),
	};
	return g_steal_pointer(&node);
}

static void reply_listing(fuse_req_t req, Listing *listing, size_t size, off_t offset, bool plus)
{
	const off_t end = (off_t)listing->entries->len + N_DOTS;
	g_autofree char *reply = g_malloc(size);
	g_autoptr(GPtrArray) told = g_ptr_array_new();
	size_t used = 0;

	for (off_t at = MAX(offset, 0); at < end; at++) {
		struct fuse_entry_param param;
		const char *name;
		Node *node = NULL;
		size_t length;

		if (plus) {
			node = entry_at(req, listing, at, &param, &name);
			length = fuse_add_direntry_plus(req, reply + used, size - used, name,
							&param, at + 1);
		} else {
			name = name_at(listing, at, &param)->name;
			length = fuse_add_direntry(req, reply + used, size - used, name,
						   &param.attr, at + 1);
		}
		if (node && length > size - used)
			node_forget(node, 1);
		else if (node)
			g_ptr_array_add(told, node_ref(node));
		if (node)
			node_unref(node);
		if (length > size - used)
			break;
		used += length;
	}
	const int r = fuse_reply_buf(req, reply, used);
	for (guint i = 0; i < told->len; i++) {
		if (r == -ENOENT)
			node_forget(told->pdata[i], 1);
		node_unref(told->pdata[i]);
	}
}

void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		struct fuse_file_info *fi)
{
	reply_listing(req, listing_of(fi), size, offset, false);
}

void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		    struct fuse_file_info *fi)
{
	reply_listing(req, listing_of(fi), size, offset, true);
}
