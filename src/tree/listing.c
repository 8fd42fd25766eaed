/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Listings: what one opendir(3) has found, or goes on to find.
 *
 * Whoever opens many directories and reads none holds our memory. A directory of POSIX objects is
 * read as the reader asks (object_listing.c) and costs a descriptor. What others show is found all
 * at once; it is kept as names, on the account of who has opened it. What the look at an entry goes
 * by is many times as large, but worth nothing after LISTED_VALID: it goes when the next listing is
 * opened.
 */

#include <errno.h>
#include <string.h>

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
		.held = sizeof(Listing),
	};
	g_mutex_init(&listing->lock);
	g_atomic_ref_count_init(&listing->refs);
	tree_set_open(directory->ns->tree, directory->ns->tree->listings, listing, true);
	return listing;
}

Listing *listing_ref(Listing *listing)
{
	g_atomic_ref_count_inc(&listing->refs);
	return listing;
}

/* Making it, and freeing it, leaves memory that is worth giving back. */
static bool is_large(const Listing *listing)
{
	enum { LARGE = 4096 };

	return listing->entries->len >= LARGE;
}

void listing_unref(Listing *listing)
{
	Tree *tree = listing->directory->ns->tree;

	if (!g_atomic_ref_count_dec(&listing->refs))
		return;
	const bool was_large = is_large(listing);
	tree_set_open(tree, tree->listings, listing, false);
	if (listing->is_held)
		tree_let_go(tree, listing->uid, listing->held);
	if (listing->is_held && listing->next)
		tree_give_descriptor(tree, listing->uid);
	g_array_unref(listing->entries);
	g_string_chunk_free(listing->names);
	if (listing->data && listing->free_data)
		listing->free_data(listing->data);
	node_unref(listing->directory);
	g_mutex_clear(&listing->lock);
	g_free(listing);
	if (was_large)
		trim_soon();
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
	listing->held += sizeof(entry) + strlen(name) + 1;
}

static double valid_for(const Listing *listing)
{
	const gint64 age = listing->taken ? g_get_monotonic_time() - listing->taken : 0;

	return LISTED_VALID - (double)age / G_USEC_PER_SEC;
}

typedef struct {
	gpointer data;
	GDestroyNotify free;
} Old;

/* What no look will go by any more, of all that are open. One that is being read is left for later.
 */
static void drop_old(Tree *tree)
{
	g_autoptr(GArray) dropped = g_array_new(FALSE, FALSE, sizeof(Old));
	GHashTableIter iter;
	gpointer key;

	g_mutex_lock(&tree->lock);
	g_hash_table_iter_init(&iter, tree->listings);
	while (g_hash_table_iter_next(&iter, &key, NULL)) {
		Listing *listing = key;
		/* Before it is held it is still being made. */
		if (!listing->is_held || !listing->taken || valid_for(listing) > 0 ||
		    !g_mutex_trylock(&listing->lock))
			continue;
		const Old old = {g_steal_pointer(&listing->data), listing->free_data};
		g_mutex_unlock(&listing->lock);
		if (old.data && old.free)
			g_array_append_val(dropped, old);
	}
	g_mutex_unlock(&tree->lock);
	for (guint i = 0; i < dropped->len; i++) {
		const Old *old = &g_array_index(dropped, Old, i);
		old->free(old->data);
	}
}

int listing_hold(Listing *listing, uid_t uid)
{
	Tree *tree = listing->directory->ns->tree;

	drop_old(tree);
	if (is_large(listing))
		trim_soon();
	if (listing->next && !tree_take_descriptor(tree, uid))
		return -EUSERS;
	if (!tree_hold(tree, uid, listing->held)) {
		if (listing->next)
			tree_give_descriptor(tree, uid);
		return -ENOMEM;
	}
	g_mutex_lock(&tree->lock);
	listing->uid = uid;
	listing->is_held = true;
	g_mutex_unlock(&tree->lock);
	return 0;
}

int listing_next(Listing *listing, off_t at, const ListingEntry **ret_entry, off_t *ret_next)
{
	static const ListingEntry dots[LISTING_FIRST] = {
		{.name = ".", .type = S_IFDIR, .ino = 1},
		{.name = "..", .type = S_IFDIR, .ino = 1},
	};

	at = MAX(at, 0);
	if (at >= LISTING_FIRST && listing->next)
		return listing->next(listing, at, ret_entry, ret_next);
	/* Any position can be asked for: lseek(2). */
	if (at >= LISTING_FIRST + (off_t)listing->entries->len)
		return 0;
	*ret_entry = at < LISTING_FIRST
			     ? &dots[at]
			     : &g_array_index(listing->entries, ListingEntry, at - LISTING_FIRST);
	*ret_next = at + 1;
	return 1;
}

int listing_look(const Listing *listing, const ListingEntry *entry, Node **ret_node,
		 struct stat *ret_stat, double *ret_valid)
{
	*ret_valid = valid_for(listing);
	if (*ret_valid <= 0 || !strcmp(entry->name, ".") || !strcmp(entry->name, ".."))
		return -ESTALE;
	return listing->look(listing, entry, ret_node, ret_stat);
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
