/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tree/node.h"

#include <errno.h>
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

static guint number_hash(gconstpointer node)
{
	return g_int64_hash(&((const Node *)node)->number);
}

static gboolean number_equal(gconstpointer a, gconstpointer b)
{
	return ((const Node *)a)->number == ((const Node *)b)->number;
}

GHashTable *node_known_new(void)
{
	return g_hash_table_new(number_hash, number_equal);
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
	enum { SPACE_SHIFT = 28 }; /* no user can make so many that the bits run out */

	return ino_of_kind(INO_STATIC, (uint64_t)node->ns->index << SPACE_SHIFT | node->key.a);
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

GPtrArray *node_find_all(Tree *tree, const NodeOps *ops, const NodeKey *key)
{
	const Node wanted = {.ops = ops, .key = *key};
	GPtrArray *found = g_ptr_array_new_with_free_func((GDestroyNotify)node_unref);

	g_mutex_lock(&tree->lock);
	for (Node *node = g_hash_table_lookup(tree->nodes, &wanted); node; node = node->older) {
		node->refs++;
		g_ptr_array_add(found, node);
	}
	g_mutex_unlock(&tree->lock);
	return found;
}

/* Call with the tree's lock held. */
static bool is_left_alone(const Node *node)
{
	return node->ops->is_apart_to_write && (node->n_written > 0 || node->is_named_no_more);
}

bool node_is_written(Node *node)
{
	g_mutex_lock(&node->ns->tree->lock);
	const bool is = is_left_alone(node);
	g_mutex_unlock(&node->ns->tree->lock);
	return is;
}

bool node_is_listed(const Node *node)
{
	return node->listed && g_get_monotonic_time() - node->listed < LISTED_USED;
}

bool node_is_not_apart(Node *node)
{
	return node->ops->is_apart_to_write && (node_is_listed(node) || node_is_written(node));
}

void node_name_no_more(Node *node)
{
	g_mutex_lock(&node->ns->tree->lock);
	node->is_named_no_more = true;
	g_mutex_unlock(&node->ns->tree->lock);
}

/* Call with the tree's lock held. From here on lookups of key find node first. */
static void table_put(Node *node, const NodeKey *key)
{
	node->key = *key;
	node->older = g_hash_table_lookup(node->ns->tree->nodes, node);
	g_hash_table_add(node->ns->tree->nodes, node);
}

/* False: another thread was quicker. */
static bool intern_made(Node *made, const NodeKey *key)
{
	const Node wanted = {.ops = made->ops, .key = *key};
	Tree *tree = made->ns->tree;

	g_mutex_lock(&tree->lock);
	const Node *newest = g_hash_table_lookup(tree->nodes, &wanted);
	const bool is_new = !newest || is_left_alone(newest);
	if (is_new)
		table_put(made, key);
	g_mutex_unlock(&tree->lock);
	return is_new;
}

/* The newest that a name may lead to; those that stand for something else by now are detached. */
static Node *find_named(IpcNs *ns, const NodeOps *ops, const NodeKey *key, const void *data)
{
	g_autoptr(GPtrArray) all = node_find_all(ns->tree, ops, key);
	Node *found = NULL;

	for (guint i = 0; i < all->len; i++) {
		Node *node = all->pdata[i];
		if (ops->is_of && !ops->is_of(node, data))
			node_detach(node);
		else if (!found && !node_is_written(node))
			found = node_ref(node);
	}
	return found;
}

Node *node_intern(IpcNs *ns, const NodeOps *ops, const NodeKey *key, const void *data)
{
	for (;;) {
		Node *node = find_named(ns, ops, key, data);
		if (node)
			return node;
		/* Not with the tree's lock held: init() may need it. */
		node = node_new(ns, ops, ops->size);
		ops->init(node, data);
		if (intern_made(node, key))
			return node;
		node_unref(node);
	}
}

/* Call with the lock held. */
static void table_drop(Node *node)
{
	GHashTable *nodes = node->ns->tree->nodes;
	Node *newest = has_key(node) ? g_hash_table_lookup(nodes, node) : NULL;

	if (newest == node && node->older)
		g_hash_table_add(nodes, node->older);
	else if (newest == node)
		g_hash_table_remove(nodes, node);
	for (Node *newer = newest; newer; newer = newer->older)
		if (newer->older == node)
			newer->older = node->older;
	node->older = NULL;
	node->key = (NodeKey){};
}

void node_rekey(Node *node, const NodeKey *key)
{
	g_mutex_lock(&node->ns->tree->lock);
	table_drop(node);
	table_put(node, key);
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

/* What the kernel forgets, many at once, goes back in such portions. */
#define PORTION 1024

static void drop(Node *node, uint64_t forgotten, bool reference)
{
	static _Atomic guint n_freed;

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
	if (++n_freed % PORTION == 0)
		trim_soon();
}

void node_unref(Node *node)
{
	drop(node, 0, true);
}

/* By chance: it says nothing of the daemon's memory, nor of what else is looked up. */
static void number_give(Tree *tree, Node *node)
{
	do {
		node->number = (uint64_t)g_random_int() << 32 | g_random_int();
	} while (node->number <= NODE_ROOT || g_hash_table_contains(tree->known, node));
	g_hash_table_add(tree->known, node);
}

uint64_t node_remember(Node *node)
{
	Tree *tree = node->ns->tree;

	g_mutex_lock(&tree->lock);
	if (node->lookups++ == 0) {
		node->refs++;
		number_give(tree, node);
	}
	const uint64_t number = node->number;
	g_mutex_unlock(&tree->lock);
	return number;
}

Node *node_known(Tree *tree, uint64_t number)
{
	if (number == NODE_ROOT)
		return tree->root;
	const Node wanted = {.number = number};
	g_mutex_lock(&tree->lock);
	Node *node = g_hash_table_lookup(tree->known, &wanted);
	g_mutex_unlock(&tree->lock);
	return node;
}

void node_forget(Node *node, uint64_t n)
{
	if (n)
		drop(node, n, false);
}

void node_saw(Node *node, const struct stat *st)
{
	const NodeSeen seen = {
		.ino = st->st_ino,
		.mode = st->st_mode,
		.uid = st->st_uid,
		.gid = st->st_gid,
		.size = st->st_size,
		.seconds = {st->st_atim.tv_sec, st->st_mtim.tv_sec, st->st_ctim.tv_sec},
		.ns = {st->st_atim.tv_nsec, st->st_mtim.tv_nsec, st->st_ctim.tv_nsec},
	};

	if (!node->ops->outlasts)
		return;
	g_mutex_lock(&node->ns->tree->lock);
	node->seen = seen;
	g_mutex_unlock(&node->ns->tree->lock);
}

bool node_last(Node *node, struct stat *ret_stat)
{
	g_mutex_lock(&node->ns->tree->lock);
	const NodeSeen seen = node->seen;
	g_mutex_unlock(&node->ns->tree->lock);
	if (!seen.mode)
		return false;
	*ret_stat = (struct stat){
		.st_ino = seen.ino,
		.st_mode = seen.mode,
		.st_uid = seen.uid,
		.st_gid = seen.gid,
		.st_size = seen.size,
		.st_blksize = sysconf(_SC_PAGESIZE),
		.st_atim = {seen.seconds[0], seen.ns[0]},
		.st_mtim = {seen.seconds[1], seen.ns[1]},
		.st_ctim = {seen.seconds[2], seen.ns[2]},
	};
	return true;
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

	g_atomic_ref_count_init(&file->refs);
	file->ops = ops;
	file->node = node_ref(node);
	file->flags = flags;
	tree_set_open(node->ns->tree, node->ns->tree->files, file, true);
	return file;
}

void file_is_written_by(File *file, Node *node)
{
	if (!node->ops->is_apart_to_write)
		return;
	g_mutex_lock(&node->ns->tree->lock);
	node->refs++;
	node->n_written++;
	g_mutex_unlock(&node->ns->tree->lock);
	file->written_by = node;
}

static void written_no_more(Node *node)
{
	g_mutex_lock(&node->ns->tree->lock);
	node->n_written--;
	g_mutex_unlock(&node->ns->tree->lock);
	node_unref(node);
}

File *file_ref(File *file)
{
	g_atomic_ref_count_inc(&file->refs);
	return file;
}

void file_unref(File *file)
{
	if (!g_atomic_ref_count_dec(&file->refs))
		return;
	tree_set_open(file->node->ns->tree, file->node->ns->tree->files, file, false);
	if (file->ops->free)
		file->ops->free(file);
	if (file->is_counted)
		tree_give_descriptor(file->node->ns->tree, file->uid);
	if (file->written_by)
		written_no_more(file->written_by);
	node_unref(file->node);
	g_free(file);
}

bool tree_hold(Tree *tree, uid_t uid, gsize size)
{
	const gpointer key = GUINT_TO_POINTER(uid);

	g_mutex_lock(&tree->lock);
	const gsize held = GPOINTER_TO_SIZE(g_hash_table_lookup(tree->held, key));
	const bool fits = uid == 0 || held == 0 || size + held <= HELD_MOST;
	if (fits)
		g_hash_table_insert(tree->held, key, GSIZE_TO_POINTER(held + size));
	g_mutex_unlock(&tree->lock);
	return fits;
}

void tree_let_go(Tree *tree, uid_t uid, gsize size)
{
	const gpointer key = GUINT_TO_POINTER(uid);

	g_mutex_lock(&tree->lock);
	const gsize held = GPOINTER_TO_SIZE(g_hash_table_lookup(tree->held, key)) - size;
	if (held > 0)
		g_hash_table_insert(tree->held, key, GSIZE_TO_POINTER(held));
	else
		g_hash_table_remove(tree->held, key);
	g_mutex_unlock(&tree->lock);
}

/* Call with the tree's lock held. */
static guint descriptors_of(Tree *tree, uid_t uid)
{
	return GPOINTER_TO_UINT(g_hash_table_lookup(tree->descriptors, GUINT_TO_POINTER(uid)));
}

/* Likewise. */
static bool is_left(Tree *tree, uid_t uid)
{
	return tree->most_descriptors == 0 || descriptors_of(tree, uid) < tree->most_descriptors;
}

bool tree_has_descriptor(Tree *tree, uid_t uid)
{
	g_mutex_lock(&tree->lock);
	const bool is = is_left(tree, uid);
	g_mutex_unlock(&tree->lock);
	return is;
}

bool tree_take_descriptor(Tree *tree, uid_t uid)
{
	g_mutex_lock(&tree->lock);
	const bool is = is_left(tree, uid);
	if (is)
		g_hash_table_insert(tree->descriptors, GUINT_TO_POINTER(uid),
				    GUINT_TO_POINTER(descriptors_of(tree, uid) + 1));
	g_mutex_unlock(&tree->lock);
	return is;
}

void tree_give_descriptor(Tree *tree, uid_t uid)
{
	const gpointer key = GUINT_TO_POINTER(uid);

	g_mutex_lock(&tree->lock);
	const guint left = descriptors_of(tree, uid) - 1;
	if (left > 0)
		g_hash_table_insert(tree->descriptors, key, GUINT_TO_POINTER(left));
	else
		g_hash_table_remove(tree->descriptors, key);
	g_mutex_unlock(&tree->lock);
}
