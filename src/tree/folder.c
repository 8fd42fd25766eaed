/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Folders whose entries are fixed when the mount is made. */

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "tree/tree.h"

typedef struct {
	Node node;
	guint n_entries;
	const FolderEntry *entries;
	Node **children;
} Folder;

static int folder_getattr(Node *node, bool brief, struct stat *ret_stat)
{
	node_static_folder_stat(node, 0555, ret_stat);
	return 0;
}

static int folder_access(Node *node, const SegfsCaller *caller, int mask)
{
	return mask & W_OK ? -EACCES : 0;
}

static int folder_lookup(Node *node, const SegfsCaller *caller, const char *name, Node **ret_node)
{
	Folder *folder = (Folder *)node;

	for (guint i = 0; i < folder->n_entries; i++) {
		if (!strcmp(folder->entries[i].name, name)) {
			*ret_node = node_ref(folder->children[i]);
			return 0;
		}
	}
	return -ENOENT;
}

static void listing_entry(Listing *listing, guint index, ListingEntry *ret_entry)
{
	Folder *folder = (Folder *)listing->folder;
	struct stat st;

	g_strlcpy(ret_entry->name, folder->entries[index].name, sizeof(ret_entry->name));
	if (folder->children[index]->ops->getattr(folder->children[index], true, &st) == 0) {
		ret_entry->ino = st.st_ino;
		ret_entry->type = st.st_mode & S_IFMT;
	}
}

static int listing_look(Listing *listing, guint index, Node **ret_node, struct stat *ret_stat)
{
	Node *child = ((Folder *)listing->folder)->children[index];
	int r = child->ops->getattr(child, false, ret_stat);

	if (r == 0)
		*ret_node = node_ref(child);
	return r;
}

static const ListingOps listing_ops = {.entry = listing_entry, .look = listing_look};

static int folder_list(Node *node, const SegfsCaller *caller, Listing **ret_listing)
{
	Listing *listing = listing_new(node, &listing_ops, sizeof(Listing));

	listing->n_entries = ((Folder *)node)->n_entries;
	*ret_listing = listing;
	return 0;
}

static void folder_free(Node *node)
{
	Folder *folder = (Folder *)node;

	for (guint i = 0; i < folder->n_entries; i++)
		node_unref(folder->children[i]);
	g_free(folder->children);
}

static const NodeOps folder_ops = {
	.names_are_fixed = true,
	.getattr = folder_getattr,
	.access = folder_access,
	.lookup = folder_lookup,
	.list = folder_list,
	.free = folder_free,
};

Node *folder_new(Space *space, const FolderEntry *entries, guint n_entries)
{
	Folder *folder = node_new_static(space, &folder_ops, sizeof(Folder));

	folder->entries = entries;
	folder->n_entries = n_entries;
	folder->children = g_new(Node *, n_entries);
	for (guint i = 0; i < n_entries; i++)
		folder->children[i] = entries[i].make(space, entries[i].data);
	return &folder->node;
}
