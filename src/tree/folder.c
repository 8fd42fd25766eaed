/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Folders whose entries are fixed when the mount is made, but for one per folder of POSIX objects.
 */

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "tree/tree.h"

typedef struct {
	Node node;
	guint n_entries;
	const FolderEntry *entries;
	Node **children;

	FolderOfPosix of_posix; /* NULL: has none of those */
	GMutex lock;            /* protects posix */
	GPtrArray *posix;       /* Node, by number of its folder; only grows */
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

static Node *posix_child(Folder *folder, guint index)
{
	g_mutex_lock(&folder->lock);
	while (folder->posix->len <= index)
		g_ptr_array_add(folder->posix,
				folder->of_posix(folder->node.space, folder->posix->len));
	Node *node = node_ref(folder->posix->pdata[index]);
	g_mutex_unlock(&folder->lock);
	return node;
}

static int folder_lookup(Node *node, const SegfsCaller *caller, const char *name, Node **ret_node)
{
	Folder *folder = (Folder *)node;
	guint index;

	for (guint i = 0; i < folder->n_entries; i++) {
		if (!strcmp(folder->entries[i].name, name)) {
			*ret_node = node_ref(folder->children[i]);
			return 0;
		}
	}
	if (!folder->of_posix || space_find_folder(node->space, name, &index) < 0)
		return -ENOENT;
	*ret_node = posix_child(folder, index);
	return 0;
}

typedef struct {
	Listing listing;
	GPtrArray *names;
	GPtrArray *nodes; /* Node */
} NodeListing;

static void listing_entry(Listing *base, guint index, ListingEntry *ret_entry)
{
	NodeListing *listing = (NodeListing *)base;
	Node *node = listing->nodes->pdata[index];
	struct stat st;

	/* What goes in the meantime is a folder. */
	*ret_entry = (ListingEntry){.ino = UINT32_MAX, .type = S_IFDIR};
	g_strlcpy(ret_entry->name, listing->names->pdata[index], sizeof(ret_entry->name));
	if (node->ops->getattr(node, true, &st) == 0) {
		ret_entry->ino = st.st_ino;
		ret_entry->type = st.st_mode & S_IFMT;
	}
}

static int listing_look(Listing *base, guint index, Node **ret_node, struct stat *ret_stat)
{
	Node *node = ((NodeListing *)base)->nodes->pdata[index];
	int r = node->ops->getattr(node, false, ret_stat);

	if (r == 0)
		*ret_node = node_ref(node);
	return r;
}

static void listing_close(Listing *base)
{
	g_ptr_array_unref(((NodeListing *)base)->names);
	g_ptr_array_unref(((NodeListing *)base)->nodes);
}

static const ListingOps listing_ops = {
	.entry = listing_entry,
	.look = listing_look,
	.free = listing_close,
};

Listing *node_listing_new(Node *folder)
{
	NodeListing *listing = listing_new(folder, &listing_ops, sizeof(NodeListing));

	listing->names = g_ptr_array_new_with_free_func(g_free);
	listing->nodes = g_ptr_array_new_with_free_func((GDestroyNotify)node_unref);
	return &listing->listing;
}

void node_listing_add(Listing *base, const char *name, Node *node)
{
	NodeListing *listing = (NodeListing *)base;

	g_ptr_array_add(listing->names, g_strdup(name));
	g_ptr_array_add(listing->nodes, node);
	base->n_entries++;
}

static int folder_list(Node *node, const SegfsCaller *caller, Listing **ret_listing)
{
	Folder *folder = (Folder *)node;
	Space *space = node->space;
	int r = 0;

	if (folder->of_posix)
		r = segfs_view_refresh(space->view,
				       space_list_since(space, caller, LIST_INFO_FOLDERS));
	if (r < 0)
		return r;
	*ret_listing = node_listing_new(node);
	for (guint i = 0; i < folder->n_entries; i++)
		node_listing_add(*ret_listing, folder->entries[i].name,
				 node_ref(folder->children[i]));
	for (guint i = 0; folder->of_posix && segfs_view_posix(space->view, i); i++) {
		g_autofree char *name = segfs_posix_folder_name(i);
		if (segfs_view_posix_is_seen(space->view, i))
			node_listing_add(*ret_listing, name, posix_child(folder, i));
	}
	return 0;
}

static void folder_free(Node *node)
{
	Folder *folder = (Folder *)node;

	for (guint i = 0; i < folder->n_entries; i++)
		node_unref(folder->children[i]);
	g_free(folder->children);
	g_ptr_array_unref(folder->posix);
	g_mutex_clear(&folder->lock);
}

static const NodeOps folder_ops = {
	.names_are_fixed = true,
	.getattr = folder_getattr,
	.access = folder_access,
	.lookup = folder_lookup,
	.list = folder_list,
	.free = folder_free,
};

Node *folder_new(Space *space, const FolderEntry *entries, guint n_entries, FolderOfPosix of_posix)
{
	Folder *folder = node_new_static(space, &folder_ops, sizeof(Folder));

	folder->entries = entries;
	folder->n_entries = n_entries;
	folder->of_posix = of_posix;
	g_mutex_init(&folder->lock);
	folder->posix = g_ptr_array_new_with_free_func((GDestroyNotify)node_unref);
	folder->children = g_new(Node *, n_entries);
	for (guint i = 0; i < n_entries; i++)
		folder->children[i] = entries[i].make(space, entries[i].data);
	return &folder->node;
}
