/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What info/ has of semaphore sets and message queues: info_text.c writes it. */

#include "tree/resource/resource.h"

static int resource_names(IpcNs *ns, guint kind, const SegfsCaller *caller, GPtrArray **ret_names)
{
	g_autoptr(GArray) resources = NULL;

	int r = segfs_resource_list(ns->ipc, kind, &resources);
	if (r < 0)
		return r;
	*ret_names = g_ptr_array_new_with_free_func(g_free);
	for (guint i = 0; i < resources->len; i++)
		g_ptr_array_add(
			*ret_names,
			g_strdup_printf("%d", g_array_index(resources, SegfsResource, i).id));
	return 0;
}

static int resource_exists(IpcNs *ns, guint kind, const SegfsCaller *caller, const char *name)
{
	SegfsResource resource;

	return resource_find(ns, kind, name, &resource);
}

static int resource_write_info(IpcNs *ns, guint kind, const SegfsCaller *caller, const char *name,
			       GString *text)
{
	SegfsResource resource;
	int r = resource_find(ns, kind, name, &resource);

	return r < 0 ? r : info_write_resource(ns, caller, &resource, text);
}

const InfoKind resource_info = {resource_names, resource_exists, NULL, resource_write_info};
