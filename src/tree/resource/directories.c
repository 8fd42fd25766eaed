/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The directories sem/ and msg/. Everybody sees all there is, as in ipcs(1); a key finds what has
 * it without being listed. Nothing is made here: ipcmk(1) does that.
 */

#include <errno.h>
#include <string.h>

#include "lib/history/history.h"
#include "lib/survey/item_name.h"
#include "tree/resource/resource.h"

typedef struct {
	Node node;
	SegfsResourceKind kind;
} ResourceDirectory;

static SegfsResourceKind kind_of(const Node *directory)
{
	return ((const ResourceDirectory *)directory)->kind;
}

int resource_find(IpcNs *ns, SegfsResourceKind kind, const char *name, SegfsResource *ret_resource)
{
	key_t key;
	int id = -1;
	int r;

	if (g_ascii_strncasecmp(name, "0x", 2) != 0)
		r = item_parse_id(name, &id);
	else if (item_parse_key(name, &key) < 0)
		r = -ENOENT;
	else
		r = segfs_resource_by_key(ns->ipc, kind, key, &id);
	return r < 0 ? r : segfs_resource_stat(ns->ipc, kind, id, ret_resource);
}

int resource_uses(IpcNs *ns, const SegfsCaller *caller, const GArray *resources, GArray **ret_uses)
{
	g_autoptr(SegfsWaiters) waiters = segfs_waiters_new(segfs_ipc_proc_root(ns->ipc));

	int r = segfs_resource_uses(ns->ipc, caller, resources, waiters, ret_uses);
	if (r == 0)
		segfs_history_judge(ns->tree->history, ns->ipc, resources, ns->tree->orphan_age,
				    *ret_uses);
	return r;
}

/* Drops those that are not orphaned. */
static int keep_orphans(IpcNs *ns, GArray *resources)
{
	g_autoptr(GArray) uses = NULL;
	guint kept = 0;

	/* Of others there is no verdict, and nobody has to be looked for. */
	for (guint i = 0; i < resources->len; i++) {
		const SegfsResource *resource = &g_array_index(resources, SegfsResource, i);
		if (history_knows_resource(ns->tree->history, ns->ipc, resource))
			g_array_index(resources, SegfsResource, kept++) = *resource;
	}
	g_array_set_size(resources, kept);
	int r = kept > 0 ? resource_uses(ns, NULL, resources, &uses) : 0;
	kept = 0;
	for (guint i = 0; r == 0 && i < resources->len; i++)
		if (g_array_index(uses, SegfsResourceUse, i).verdict == SEGFS_ORPHANED)
			g_array_index(resources, SegfsResource, kept++) =
				g_array_index(resources, SegfsResource, i);
	g_array_set_size(resources, kept);
	return r;
}

int resource_orphans(IpcNs *ns, GArray **ret_orphans)
{
	g_autoptr(GArray) all = g_array_new(FALSE, FALSE, sizeof(SegfsResource));
	const bool may_be = history_tells_uses(ns->tree->history);
	int r = 0;

	for (SegfsResourceKind kind = 0; may_be && r == 0 && kind < SEGFS_N_RESOURCE_KINDS;
	     kind++) {
		g_autoptr(GArray) resources = NULL;
		r = segfs_resource_list(ns->ipc, kind, &resources);
		if (r == 0)
			g_array_append_vals(all, resources->data, resources->len);
	}
	if (r == 0)
		r = keep_orphans(ns, all);
	if (r == 0)
		*ret_orphans = g_steal_pointer(&all);
	return r;
}

char *resource_orphan_name(const SegfsResource *resource)
{
	return g_strdup_printf("%s-%d", segfs_resource_kind_name(resource->kind), resource->id);
}

/* The id in the name, whatever it is; NULL: it is of no resource. */
static const char *parse_orphan_name(const char *name, SegfsResourceKind *ret_kind)
{
	for (SegfsResourceKind kind = 0; kind < SEGFS_N_RESOURCE_KINDS; kind++) {
		g_autofree char *prefix = g_strconcat(segfs_resource_kind_name(kind), "-", NULL);
		*ret_kind = kind;
		if (g_str_has_prefix(name, prefix))
			return name + strlen(prefix);
	}
	return NULL;
}

bool resource_is_orphan_name(const char *name)
{
	SegfsResourceKind kind;

	return parse_orphan_name(name, &kind);
}

int resource_find_orphan(IpcNs *ns, const char *name, SegfsResource *ret_resource)
{
	g_autoptr(GArray) one = g_array_new(FALSE, FALSE, sizeof(SegfsResource));
	SegfsResourceKind kind;
	SegfsResource resource;
	int id;

	const char *number = parse_orphan_name(name, &kind);
	int r = number ? item_parse_id(number, &id) : -ENOENT;
	if (r == 0)
		r = segfs_resource_stat(ns->ipc, kind, id, &resource);
	if (r < 0)
		return r;
	g_array_append_val(one, resource);
	r = keep_orphans(ns, one);
	if (r == 0 && one->len > 0)
		*ret_resource = resource;
	return r < 0 ? r : one->len > 0 ? 0 : -ENOENT;
}

static int directory_getattr(Node *directory, bool brief, struct stat *ret_stat)
{
	node_static_directory_stat(directory, 0777, ret_stat);
	return 0;
}

static int directory_lookup(Node *directory, const SegfsCaller *caller, const char *name,
			    Node **ret_node)
{
	SegfsResource resource;
	int r = resource_find(directory->ns, kind_of(directory), name, &resource);

	if (r == 0)
		*ret_node = resource_node(directory->ns, &resource);
	return r;
}

static int look(const Listing *listing, const ListingEntry *entry, Node **ret_node,
		struct stat *ret_stat)
{
	const SegfsResource *resource = entry->what;

	*ret_node = resource_node(listing->directory->ns, resource);
	resource_stat(*ret_node, resource, ret_stat);
	return 0;
}

static void free_resources(gpointer resources)
{
	g_array_unref(resources);
}

static int directory_list(Node *directory, const SegfsCaller *caller, Listing **ret_listing)
{
	const gint64 taken = g_get_monotonic_time();
	GArray *resources;

	int r = segfs_resource_list(directory->ns->ipc, kind_of(directory), &resources);
	if (r < 0)
		return r;
	Listing *listing = listing_new(directory, look, resources, free_resources);
	listing->taken = taken;
	for (guint i = 0; i < resources->len; i++) {
		SegfsResource *resource = &g_array_index(resources, SegfsResource, i);
		char name[16];
		g_snprintf(name, sizeof(name), "%d", resource->id);
		listing_add(listing, name, resource_ino(directory->ns, resource), S_IFREG,
			    resource);
	}
	*ret_listing = listing;
	return 0;
}

static int directory_remove(Node *directory, const SegfsCaller *caller, const char *name,
			    bool is_directory)
{
	SegfsResource resource;
	int r = resource_find(directory->ns, kind_of(directory), name, &resource);

	if (r == 0 && is_directory)
		return -ENOTDIR;
	return r < 0 ? r
		     : segfs_resource_remove(directory->ns->ipc, caller, resource.kind,
					     resource.id);
}

static int directory_statfs(Node *directory, struct statvfs *ret_stat)
{
	const bool sets = kind_of(directory) == SEGFS_SEM;
	SegfsResourceLimits limits;
	int r = segfs_resource_limits(directory->ns->ipc, &limits);

	if (r < 0)
		return r;
	const uint64_t most = sets ? limits.semmni : limits.msgmni;
	const uint64_t used = sets ? limits.sets : limits.queues;
	*ret_stat = (struct statvfs){
		.f_bsize = 1,
		.f_frsize = 1,
		.f_files = most,
		.f_ffree = most - MIN(most, used),
		.f_favail = most - MIN(most, used),
		.f_namemax = NAME_MAX,
	};
	return 0;
}

static const NodeOps directory_ops = {
	.getattr = directory_getattr,
	.lookup = directory_lookup,
	.list = directory_list,
	.remove = directory_remove,
	.statfs = directory_statfs,
};

static Node *directory_of(IpcNs *ns, SegfsResourceKind kind)
{
	ResourceDirectory *directory =
		node_new_static(ns, &directory_ops, sizeof(ResourceDirectory));

	directory->kind = kind;
	return &directory->node;
}

Node *sem_directory_new(IpcNs *ns, const void *data)
{
	return directory_of(ns, SEGFS_SEM);
}

Node *msg_directory_new(IpcNs *ns, const void *data)
{
	return directory_of(ns, SEGFS_MSG);
}
