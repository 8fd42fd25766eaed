/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Listings: the names that one opendir(3) has found, and how to look at what they stand for. */

#include "tree/tree.h"

Listing *listing_new(Node *directory, ListingLook look, gpointer data, GDestroyNotify free_data)
{
	Listing *listing = g_new(Listing, 1);

	*listing = (Listing){
		.directory = node_ref(directory),
		.names = g_string_chunk_new(1024),
		.entries = g_array_new(FALSE, FALSE, sizeof(ListingEntry)),
		.look = look,
		.data = data,
		.free_data = free_data,
	};
	tree_set_open(directory->ns->tree, directory->ns->tree->listings, listing, true);
	return listing;
}

void listing_free(Listing *listing)
{
	Tree *tree = listing->directory->ns->tree;

	tree_set_open(tree, tree->listings, listing, false);
	g_array_unref(listing->entries);
	g_string_chunk_free(listing->names);
	if (listing->free_data)
		listing->free_data(listing->data);
	node_unref(listing->directory);
	g_free(listing);
}

void listing_add(Listing *listing, const char *name, ino_t ino, mode_t type, gpointer what)
{
	const ListingEntry entry = {
		.name = g_string_chunk_insert(listing->names, name),
		.ino = ino,
		.type = type,
		.what = what,
	};

	g_array_append_val(listing->entries, entry);
}

const ListingEntry *listing_entry(const Listing *listing, guint index)
{
	return &g_array_index(listing->entries, ListingEntry, index);
}

static int look_at_node(const Listing *listing, const ListingEntry *entry, Node **ret_node,
			struct stat *ret_stat)
{
	Node *node = entry->what;
	int r = node->ops->getattr(node, false, ret_stat);

	if (r == 0)
		*ret_node = node_ref(node);
	return r;
}

static void free_nodes(gpointer nodes)
{
	g_ptr_array_unref(nodes);
}

Listing *node_listing_new(Node *directory)
{
	return listing_new(directory, look_at_node,
			   g_ptr_array_new_with_free_func((GDestroyNotify)node_unref), free_nodes);
}

void node_listing_add(Listing *listing, const char *name, Node *node)
{
	struct stat st;

	/* A node that has gone since stood for a namespace, so the name is listed as a directory.
	 */
	if (node->ops->getattr(node, true, &st) < 0)
		st = (struct stat){.st_ino = UINT32_MAX, .st_mode = S_IFDIR};
	g_ptr_array_add(listing->data, node);
	listing_add(listing, name, st.st_ino, st.st_mode & S_IFMT, node);
}
