/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* An IPC namespace as the nodes know it: its life, and how fresh its listings have to be. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tree/tree.h"

IpcNs *ipcns_ref(IpcNs *ns)
{
	g_atomic_ref_count_inc(&ns->refs);
	return ns;
}

void ipcns_unref(IpcNs *ns)
{
	if (!g_atomic_ref_count_dec(&ns->refs))
		return;
	g_clear_pointer(&ns->scope, segfs_scope_free);
	g_mutex_clear(&ns->lock);
	g_free(ns);
}

IpcNs *ipcns_new(Tree *tree)
{
	IpcNs *ns = g_new0(IpcNs, 1);

	g_atomic_ref_count_init(&ns->refs);
	g_mutex_init(&ns->lock);
	ns->tree = tree;
	return ns;
}

void ipcns_take(IpcNs *ns, SegfsScope *scope)
{
	ns->scope = scope;
	ns->ipc = segfs_scope_ipc(scope);
	ns->view = segfs_scope_view(scope);
	ns->other = segfs_scope_namespace(scope);
}

void tree_walk_begins(Tree *tree, const SegfsCaller *caller)
{
	g_mutex_lock(&tree->lock);
	tree->walker = caller->tid;
	tree->walk_from = g_get_monotonic_time();
	g_mutex_unlock(&tree->lock);
}

SegfsSince ipcns_list_since(IpcNs *ns, const SegfsCaller *caller, IpcNsList list)
{
	Tree *tree = ns->tree;
	const gint64 now = g_get_monotonic_time();
	gint64 since = now;

	g_mutex_lock(&tree->lock);
	if (ns->other && caller->tid > 0 && caller->tid == tree->walker)
		since = MAX(now - G_USEC_PER_SEC, MAX(tree->walk_from, ns->listed[list] + 1));
	g_mutex_unlock(&tree->lock);
	return segfs_since(since);
}

void ipcns_was_listed(IpcNs *ns, IpcNsList list)
{
	g_mutex_lock(&ns->tree->lock);
	ns->listed[list] = g_get_monotonic_time();
	g_mutex_unlock(&ns->tree->lock);
}

int ipcns_find_directory(IpcNs *ns, const char *name, guint *ret_index)
{
	const char *number = strchr(name, '.');
	const guint index = number ? strtoul(number + 1, NULL, 10) - 1 : 0;
	g_autofree char *canonical = segfs_posix_directory_name(index);
	int r = 0;

	if (strcmp(canonical, name) != 0)
		return -ENOENT;
	if (!segfs_view_posix(ns->view, index))
		r = segfs_view_refresh(ns->view, segfs_since_now());
	if (r < 0)
		return r;
	if (!segfs_view_posix(ns->view, index))
		return -ENOENT;
	*ret_index = index;
	return 0;
}
