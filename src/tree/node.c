/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tree/node.h"

#include <malloc.h>
#include <string.h>
#include <unistd.h>

#include "tree/tree.h"

static guint key_hash(gconstpointer pointer)
{
	const Node *node = pointer;
	const uint64_t mixed = (node->key.a * 31 + node->key.b) * 31 + node->key.c;

	return (guint)(mixed ^ mixed >> 32);
}

static gboolean key_equal(gconstpointer a, gconstpointer b)
{
	const Node *x = a, *y = b;

	return x->ops == y->ops && !memcmp(&x->key, &y->key, sizeof(NodeKey));
}

static bool has_key(const Node *node)
{
	return node->key.a || node->key.b || node->key.c;
}

GHashTable *node_table_new(void)
{
	return g_hash_table_new(key_hash, key_equal);
}

gpointer node_new(IpcNs *ns, const NodeOps *ops, size_t size)
{
	Node *node = g_malloc0(size);

	node->ops = ops;
	node->ns = ipcns_ref(ns);
	node->refs = 1;
	return node;
}

gpointer node_new_static(IpcNs *ns, const NodeOps *ops, size_t size)
{
	Node *node = node_new(ns, ops, size);

	node->key.a = 1 + g_atomic_int_add(&ns->n_static, 1);
	return node;
}

ino_t node_static_ino(const Node *node)
{
	/* STATIC is a kind that info/ leaves free; no user can make so many that the bits run out.
	 */
	enum { STATIC = 0xc, KIND_SHIFT = 60, SPACE_SHIFT = 28 };

	return (ino_t)STATIC << KIND_SHIFT | (ino_t)node->ns->index << SPACE_SHIFT | node->key.a;
}

void node_static_directory_stat(const Node *node, mode_t mode, struct stat *ret_stat)
{
	*ret_stat = (struct stat){
		.st_ino = node_static_ino(node),
		.st_mode = S_IFDIR | mode,
		.st_nlink = 2,
		.st_uid = geteuid(),
		.st_gid = getegid(),
		.st_atime = node->ns->tree->started,
		.st_mtime = node->ns->tree->started,
		.st_ctime = node->ns->tree->started,
	};
}

Node *node_find(Tree *tree, const NodeOps *ops, const NodeKey *key)
{
	const Node wanted = {.ops = ops, .key = *key};

	g_mutex_lock(&tree->lock);
	Node *node = g_hash_table_lookup(tree->nodes, &wanted);
	if (node)
		node->refs++;
	g_mutex_unlock(&tree->lock);
	return node;
}

/* Puts made into the table and returns it; if another thread was quicker, that one's node. */
static Node *intern_made(Node *made, const NodeKey *key)
{
	const Node wanted = {.ops = made->ops, .key = *key};
	Tree *tree = made->ns->tree;

	g_mutex_lock(&tree->lock);
	Node *node = g_hash_table_lookup(tree->nodes, &wanted);
	if (node) {
		node->refs++;
	} else {
		made->key = *key;
		g_hash_table_add(tree->nodes, made);
	}
	g_mutex_unlock(&tree->lock);
	if (!node)
		return made;
	node_unref(made);
	return node;
}

Node *node_intern(IpcNs *ns, const NodeOps *ops, const NodeKey *key, const void *data)
{
	for (;;) {
		Node *node = node_find(ns->tree, ops, key);
		if (!node) {
			/* Not with the tree's lock held: init() may need it. */
			node = node_new(ns, ops, ops->size);
			ops->init(node, data);
			node = intern_made(node, key);
		}
		if (!ops->is_of || ops->is_of(node, data))
			return node;
		node_detach(node);
		node_unref(node);
	}
}

/* Call with the lock held. */
static void table_drop(Node *node)
{
	if (has_key(node) && g_hash_table_lookup(node->ns->tree->nodes, node) == node)
		g_hash_table_remove(node->ns->tree->nodes, node);
	node->key = (NodeKey){};
}

void node_rekey(Node *node, const NodeKey *key)
{
	const Node wanted = {.ops = node->ops, .key = *key};

	g_mutex_lock(&node->ns->tree->lock);
	table_drop(node);
	Node *before = g_hash_table_lookup(node->ns->tree->nodes, &wanted);
	if (before)
		table_drop(before);
	node->key = *key;
	g_hash_table_add(node->ns->tree->nodes, node);
	g_mutex_unlock(&node->ns->tree->lock);
}

void node_detach(Node *node)
{
	g_mutex_lock(&node->ns->tree->lock);
	table_drop(node);
	g_mutex_unlock(&node->ns->tree->lock);
}

Node *node_ref(Node *node)
{
	g_mutex_lock(&node->ns->tree->lock);
	node->refs++;
	g_mutex_unlock(&node->ns->tree->lock);
	return node;
}

static void drop(Node *node, uint64_t forgotten, bool reference)
{
	g_mutex_lock(&node->ns->tree->lock);
	if (forgotten && node->lookups) {
		node->lookups -= MIN(node->lookups, forgotten);
		reference = node->lookups == 0;
		if (reference)
			g_hash_table_remove(node->ns->tree->known, node);
	}
	const bool last = reference && --node->refs == 0;
	if (last)
		table_drop(node);
	g_mutex_unlock(&node->ns->tree->lock);
	if (!last)
		return;
	if (node->ops->free)
		node->ops->free(node);
	ipcns_unref(node->ns);
	g_free(node);
}

void node_unref(Node *node)
{
	drop(node, 0, true);
}

void node_remember(Node *node)
{
	g_mutex_lock(&node->ns->tree->lock);
	if (node->lookups++ == 0) {
		node->refs++;
		g_hash_table_add(node->ns->tree->known, node);
	}
	g_mutex_unlock(&node->ns->tree->lock);
}

void node_forget(Node *node, uint64_t n)
{
	if (n)
		drop(node, n, false);
}

void tree_set_open(Tree *tree, GHashTable *set, gpointer opened, bool is_open)
{
	g_mutex_lock(&tree->lock);
	if (is_open)
		g_hash_table_add(set, opened);
	else
		g_hash_table_remove(set, opened);
	g_mutex_unlock(&tree->lock);
}

gpointer file_new(Node *node, const FileOps *ops, size_t size, int flags)
{
	File *file = g_malloc0(size);

	file->ops = ops;
	file->node = node_ref(node);
	file->flags = flags;
	tree_set_open(node->ns->tree, node->ns->tree->files, file, true);
	return file;
}

void file_free(File *file)
{
	tree_set_open(file->node->ns->tree, file->node->ns->tree->files, file, false);
	if (file->ops->free)
		file->ops->free(file);
	node_unref(file->node);
	g_free(file);
}

void node_trim_memory(void)
{
	/* Free memory at the end of the heap that is worth a call. */
	enum { WORTH = 4 * 1024 * 1024, OFTEN = 100000 };
	static _Atomic gint64 next; /* asking for it takes half a millisecond */

	const gint64 now = g_get_monotonic_time();
	if (now < next)
		return;
	next = now + OFTEN;
	if (mallinfo2().fordblks > WORTH)
		malloc_trim(0);
}
