/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The directory gone/: what was removed lately, the last 1,024, each a text that says who made it
 * and who removed it. Where no function probe tells of a segment's removal, that it is gone is seen
 * when somebody looks here, of those that history knows.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "lib/history/history.h"
#include "lib/os/errand.h"
#include "tree/item.h"

typedef struct {
	TextNode text;
	Gone *gone; /* its own */
} GoneNode;

/* The name that orphans/ would have for it, and the serial number, which never comes again. */
static char *name_of(const Gone *gone)
{
	const SegfsItem item = {
		.id = {.kind = gone->piece.key.is_sysv ? SEGFS_SYSV : SEGFS_POSIX,
		       .number = gone->piece.key.number},
		.sysv.shmid = (int)gone->piece.key.number,
		.name = gone->piece.name,
	};
	g_autofree char *name = segfs_item_orphan_name(&item);
	g_autofree char *serial = g_strdup_printf(".%" PRIu64, gone->serial);
	const size_t room = NAME_MAX - strlen(serial);

	if (strlen(name) > room)
		name[room] = '\0';
	return g_strconcat(name, serial, NULL);
}

static int gone_getattr(Node *base, bool brief, struct stat *ret_stat)
{
	const GoneNode *node = (GoneNode *)base;

	*ret_stat = (struct stat){
		.st_ino = ino_of_kind(INO_GONE, node->gone->serial),
		.st_mode = S_IFREG | 0400,
		.st_nlink = 1,
		.st_size = text_node_size(base),
		.st_uid = geteuid(),
		.st_gid = getegid(),
	};
	ret_stat->st_atime = ret_stat->st_mtime = ret_stat->st_ctime =
		node->gone->removed / G_USEC_PER_SEC;
	return 0;
}

static int gone_access(Node *node, const SegfsCaller *caller, int mask)
{
	return mask & (W_OK | X_OK) || !caller_may_read_history(caller) ? -EACCES : 0;
}

static int gone_open(Node *base, const SegfsCaller *caller, int flags, File **ret_file)
{
	GoneNode *node = (GoneNode *)base;

	if ((flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC || !caller_may_read_history(caller))
		return -EACCES;
	/* Names of functions may take long: this is asked again, by who may wait. */
	if (node->gone->piece.past.stack && !errand_may_wait())
		return -EAGAIN;
	GString *text = g_string_new(NULL);
	info_write_gone(base->ns, caller, node->gone, text);
	return text_file_new(&node->text, caller, flags, text, ret_file);
}

static void gone_node_free(Node *base)
{
	gone_free(((GoneNode *)base)->gone);
}

static void gone_init(Node *base, const void *data)
{
	((GoneNode *)base)->gone = gone_copy(data);
}

static const NodeOps gone_ops = {
	.size_changes = true,
	.getattr = gone_getattr,
	.access = gone_access,
	.open = gone_open,
	.free = gone_node_free,
	.size = sizeof(GoneNode),
	.init = gone_init,
};

static Node *gone_node(IpcNs *ns, const Gone *gone)
{
	const NodeKey key = {.a = gone->serial, .c = 1};

	return node_intern(ns, &gone_ops, &key, gone);
}

static int directory_getattr(Node *directory, bool brief, struct stat *ret_stat)
{
	node_static_directory_stat(directory, 0500, ret_stat);
	return 0;
}

static int directory_access(Node *directory, const SegfsCaller *caller, int mask)
{
	return mask & W_OK || !caller_may_read_history(caller) ? -EACCES : 0;
}

static int directory_lookup(Node *directory, const SegfsCaller *caller, const char *name,
			    Node **ret_node)
{
	const char *dot = strrchr(name, '.');
	uint64_t serial;

	if (!caller_may_read_history(caller))
		return -EACCES;
	if (!directory->ns->tree->history || !dot ||
	    !g_ascii_string_to_unsigned(dot + 1, 10, 1, UINT64_MAX, &serial, NULL))
		return -ENOENT;
	Gone *gone = history_gone_one(directory->ns->tree->history, serial);
	if (!gone)
		return -ENOENT;
	g_autofree char *its = name_of(gone);
	const bool is_it = !strcmp(its, name);
	if (is_it)
		*ret_node = gone_node(directory->ns, gone);
	gone_free(gone);
	return is_it ? 0 : -ENOENT;
}

static int directory_list(Node *directory, const SegfsCaller *caller, Listing **ret_listing)
{
	if (!caller_may_read_history(caller))
		return -EACCES;
	Listing *listing = node_listing_new(directory);
	*ret_listing = listing;
	if (!directory->ns->tree->history)
		return 0;
	history_look(directory->ns->tree->history, directory->ns->ipc);
	g_autoptr(GPtrArray) all = history_gone(directory->ns->tree->history);
	for (guint i = 0; i < all->len; i++) {
		const Gone *gone = all->pdata[i];
		g_autofree char *name = name_of(gone);
		node_listing_add(listing, name, gone_node(directory->ns, gone));
	}
	return 0;
}

static const NodeOps directory_ops = {
	.looks_as_caller = true,
	.getattr = directory_getattr,
	.access = directory_access,
	.lookup = directory_lookup,
	.list = directory_list,
};

Node *gone_directory_new(IpcNs *ns, const void *data)
{
	return node_new_static(ns, &directory_ops, sizeof(Node));
}
