/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The directory ns/: every other IPC namespace in which a process lives, each the same tree.
 *
 * A node holds no descriptor of its namespace, so that the namespace can end. Each lookup in ns/
 * checks that the namespace still lives and that the caller may enter it. A caller that comes in by
 * an open directory or a working directory passes no such lookup: of that caller, caller_at()
 * (mount/reply.c) asks with each request. lib/survey/view.c keeps a namespace's directories of
 * POSIX objects.
 */

#include <errno.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <string.h>

#include "tree/item.h"
#include "tree/posix/object.h"
#include "tree/sysv/segment.h"

SegfsOpened ipcns_opened(int shmid, gpointer ns)
{
	return segment_opened(ns, shmid);
}

int ipcns_new_of(Tree *tree, uint64_t inum, IpcNs **ret_ns)
{
	g_autoptr(IpcNs) ns = ipcns_new(tree);
	SegfsScope *scope;

	int r = segfs_scope_new_of(tree->ns->scope, inum, ipcns_opened, ns, &scope);
	if (r < 0)
		return r;
	ipcns_take(ns, scope);
	ns->index = 1 + g_atomic_int_add(&tree->n_ipcns, 1);
	*ret_ns = g_steal_pointer(&ns);
	return 0;
}

static const DirectoryEntry entries[] = {
	{"sysv", sysv_directory_new, NULL},         {"key", key_directory_new, NULL},
	{"sem", sem_directory_new, NULL},           {"msg", msg_directory_new, NULL},
	{"orphans", orphans_directory_new, NULL},   {"info", info_directory_new, NULL},
	{"unlinked", unlinked_directory_new, NULL}, {"limits", limits_new, NULL},
};

typedef struct {
	Node node; /* its ns is the namespace's */
	Node *children[G_N_ELEMENTS(entries)];
} NamespaceNode;

static int directory_getattr(Node *node, bool brief, struct stat *ret_stat)
{
	node_static_directory_stat(node, 0500, ret_stat);
	return 0;
}

/*
 * Entering another IPC namespace takes what setns(2) asks for. So users other than root may not,
 * nor a root of a user namespace, nor one that has given up CAP_SYS_ADMIN.
 */
bool caller_may_enter(const SegfsCaller *caller)
{
	return caller->uid == 0 && segfs_caller_has(caller, CAP_SYS_ADMIN);
}

static int directory_access(Node *node, const SegfsCaller *caller, int mask)
{
	return mask & W_OK || !caller_may_enter(caller) ? -EACCES : 0;
}

static int namespace_lookup(Node *base, const SegfsCaller *caller, const char *name,
			    Node **ret_node)
{
	NamespaceNode *node = (NamespaceNode *)base;
	guint index;

	for (guint i = 0; i < G_N_ELEMENTS(entries); i++) {
		if (!strcmp(entries[i].name, name)) {
			*ret_node = node_ref(node->children[i]);
			return 0;
		}
	}
	int r = ipcns_find_directory(base->ns, name, &index);
	if (r < 0)
		return r;
	return posix_node(base->ns, segfs_view_posix(base->ns->view, index), ret_node);
}

static int namespace_list(Node *base, const SegfsCaller *caller, Listing **ret_listing)
{
	NamespaceNode *node = (NamespaceNode *)base;
	SegfsView *view = base->ns->view;
	const SegfsPosix *posix;
	Node *found;

	int r = segfs_view_refresh(view, ipcns_list_since(base->ns, caller, LIST_DIRECTORIES));
	if (r < 0)
		return r;
	ipcns_was_listed(base->ns, LIST_DIRECTORIES);
	Listing *listing = node_listing_new(base);
	for (guint i = 0; i < G_N_ELEMENTS(entries); i++)
		node_listing_add(listing, entries[i].name, node_ref(node->children[i]));
	for (guint i = 0; (posix = segfs_view_posix(view, i)); i++) {
		g_autofree char *name = segfs_posix_directory_name(i);
		/* A directory that no process of the namespace sees any more is left out. */
		if (segfs_view_posix_is_seen(view, i) && posix_node(base->ns, posix, &found) == 0)
			node_listing_add(listing, name, found);
	}
	*ret_listing = listing;
	return 0;
}

static void namespace_free(Node *base)
{
	NamespaceNode *node = (NamespaceNode *)base;

	for (guint i = 0; i < G_N_ELEMENTS(entries); i++)
		node_unref(node->children[i]);
}

static int namespace_getattr(Node *node, bool brief, struct stat *ret_stat)
{
	node_static_directory_stat(node, 0500, ret_stat);
	ret_stat->st_ino = (ino_t)(UINT32_MAX - 2) << 32 | segfs_ipc_inum(node->ns->ipc);
	return 0;
}

/* data: not used, the node has its IPC namespace from node_intern(). */
static void init(Node *base, const void *data)
{
	NamespaceNode *node = (NamespaceNode *)base;

	for (guint i = 0; i < G_N_ELEMENTS(entries); i++)
		node->children[i] = entries[i].make(base->ns, entries[i].data);
}

static const NodeOps namespace_ops = {
	.names_are_fixed = true,
	.getattr = namespace_getattr,
	.access = directory_access,
	.lookup = namespace_lookup,
	.list = namespace_list,
	.free = namespace_free,
	.size = sizeof(NamespaceNode),
	.init = init,
};

/* The node of a namespace that lives. */
static int find(Tree *tree, uint64_t inum, Node **ret_node)
{
	const NodeKey key = {.a = inum};
	g_autoptr(Node) known = node_find(tree, &namespace_ops, &key);
	g_autoptr(IpcNs) ns = NULL;

	if (known) {
		int r = segfs_namespace_lives(known->ns->other);
		if (r == 0) {
			*ret_node = g_steal_pointer(&known);
			return 0;
		}
		if (r != -ENOENT)
			return r;
		node_detach(known); /* another namespace may have its number by now */
	}
	int r = ipcns_new_of(tree, inum, &ns);
	if (r == 0)
		*ret_node = node_intern(ns, &namespace_ops, &key, NULL);
	return r;
}

static int ns_lookup(Node *directory, const SegfsCaller *caller, const char *name, Node **ret_node)
{
	g_autofree char *canonical = NULL;
	guint64 inum;
	int r = caller_may_enter(caller) ? 0 : -EACCES;

	if (r < 0)
		return r;
	if (!g_ascii_string_to_unsigned(name, 10, 1, UINT32_MAX, &inum, NULL))
		return -ENOENT;
	canonical = g_strdup_printf("%" PRIu64, inum);
	return strcmp(canonical, name) ? -ENOENT : find(directory->ns->tree, inum, ret_node);
}

static int ns_list(Node *directory, const SegfsCaller *caller, Listing **ret_listing)
{
	g_autoptr(GArray) inums = NULL;
	int r = caller_may_enter(caller) ? 0 : -EACCES;

	tree_walk_begins(directory->ns->tree, caller);
	if (r == 0)
		r = segfs_namespaces_list(directory->ns->tree->scanner, &inums);
	if (r < 0)
		return r;
	Listing *listing = node_listing_new(directory);
	for (guint i = 0; i < inums->len; i++) {
		const uint64_t inum = g_array_index(inums, uint64_t, i);
		g_autofree char *name = g_strdup_printf("%" PRIu64, inum);
		Node *node;
		/* A namespace that has ended since, or that the daemon may not enter, is left out.
		 */
		if (find(directory->ns->tree, inum, &node) == 0)
			node_listing_add(listing, name, node);
	}
	*ret_listing = listing;
	return 0;
}

static const NodeOps ns_ops = {
	.looks_as_caller = true,
	.getattr = directory_getattr,
	.access = directory_access,
	.lookup = ns_lookup,
	.list = ns_list,
};

Node *namespaces_directory_new(IpcNs *ns, const void *data)
{
	return node_new_static(ns, &ns_ops, sizeof(Node));
}

int namespaces_all(IpcNs *ns, const SegfsCaller *caller, GPtrArray **ret_namespaces)
{
	Tree *tree = ns->tree;
	g_autoptr(GArray) inums = NULL;

	GPtrArray *namespaces = g_ptr_array_new_with_free_func((GDestroyNotify)ipcns_unref);
	g_ptr_array_add(namespaces, ipcns_ref(ns));
	*ret_namespaces = namespaces;
	if (tree->no_ns || !caller_may_enter(caller) ||
	    segfs_namespaces_list(tree->scanner, &inums) < 0)
		return 0;
	for (guint i = 0; i < inums->len; i++) {
		g_autoptr(Node) node = NULL;
		if (find(tree, g_array_index(inums, uint64_t, i), &node) == 0)
			g_ptr_array_add(namespaces, ipcns_ref(node->ns));
	}
	return 0;
}
