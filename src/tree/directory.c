/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Directories with the same entries for as long as the mount lives, but for one entry per directory
 * of POSIX objects.
 */

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "tree/tree.h"

typedef struct {
	Node node;
	guint n_entries;
	const DirectoryEntry *entries;
	Node **children;

	DirectoryOfPosix of_posix; /* NULL: the directory has no such entries */
	GMutex lock;               /* protects posix */
	GPtrArray *posix;          /* Node, by number of the directory of objects; only grows */
} Directory;

static int directory_getattr(Node *node, bool brief, struct stat *ret_stat)
{
	node_static_directory_stat(node, 0555, ret_stat);
	return 0;
}

static int directory_access(Node *node, const SegfsCaller *caller, int mask)
{
	return mask & W_OK ? -EACCES : 0;
}

static Node *posix_child(Directory *directory, guint index)
{
	g_mutex_lock(&directory->lock);
	while (directory->posix->len <= index)
		g_ptr_array_add(directory->posix,
				directory->of_posix(directory->node.ns, directory->posix->len));
	Node *node = node_ref(directory->posix->pdata[index]);
	g_mutex_unlock(&directory->lock);
	return node;
}

static Node *find_entry(Node *entry)
{
	return entry->ops->find ? entry->ops->find(entry) : node_ref(entry);
}

static int directory_lookup(Node *node, const SegfsCaller *caller, const char *name,
			    Node **ret_node)
{
	Directory *directory = (Directory *)node;
	guint index;

	for (guint i = 0; i < directory->n_entries; i++) {
		if (!strcmp(directory->entries[i].name, name)) {
			*ret_node = find_entry(directory->children[i]);
			return 0;
		}
	}
	if (!directory->of_posix || ipcns_find_directory(node->ns, name, &index) < 0)
		return -ENOENT;
	*ret_node = posix_child(directory, index);
	return 0;
}

static int directory_list(Node *node, const SegfsCaller *caller, Listing **ret_listing)
{
	Directory *directory = (Directory *)node;
	IpcNs *ns = node->ns;
	int r = 0;

	if (directory->of_posix)
		r = segfs_view_refresh(ns->view,
				       ipcns_list_since(ns, caller, LIST_INFO_DIRECTORIES));
	if (r < 0)
		return r;
	ipcns_was_listed(ns, LIST_INFO_DIRECTORIES);
	*ret_listing = node_listing_new(node);
	for (guint i = 0; i < directory->n_entries; i++)
		node_listing_add(*ret_listing, directory->entries[i].name,
				 find_entry(directory->children[i]));
	for (guint i = 0; directory->of_posix && segfs_view_posix(ns->view, i); i++) {
		g_autofree char *name = segfs_posix_directory_name(i);
		if (segfs_view_posix_is_seen(ns->view, i))
			node_listing_add(*ret_listing, name, posix_child(directory, i));
	}
	return 0;
}

static void directory_free(Node *node)
{
	Directory *directory = (Directory *)node;

	for (guint i = 0; i < directory->n_entries; i++)
		node_unref(directory->children[i]);
	g_free(directory->children);
	g_ptr_array_unref(directory->posix);
	g_mutex_clear(&directory->lock);
}

static const NodeOps directory_ops = {
	.names_are_fixed = true,
	.getattr = directory_getattr,
	.access = directory_access,
	.lookup = directory_lookup,
	.list = directory_list,
	.free = directory_free,
};

Node *directory_new(IpcNs *ns, const DirectoryEntry *entries, guint n_entries,
		    DirectoryOfPosix of_posix)
{
	Directory *directory = node_new_static(ns, &directory_ops, sizeof(Directory));

	directory->entries = entries;
	directory->of_posix = of_posix;
	g_mutex_init(&directory->lock);
	directory->posix = g_ptr_array_new_with_free_func((GDestroyNotify)node_unref);
	directory->children = g_new(Node *, n_entries);
	for (; directory->n_entries < n_entries; directory->n_entries++) {
		const DirectoryEntry *entry = &entries[directory->n_entries];
		Node *child = entry->make(ns, entry->data);
		if (!child) {
			node_unref(&directory->node);
			return NULL;
		}
		directory->children[directory->n_entries] = child;
	}
	return &directory->node;
}
