/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What info/ has of semaphore sets and message queues: info_text.c writes it. */

#include "tree/resource/resource.h"

static int resource_names(IpcNs *ns, SegfsResourceKind kind, GPtrArray **ret_names)
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

static int resource_write_info(IpcNs *ns, const SegfsCaller *caller, SegfsResourceKind kind,
			       const char *name, GString *text)
{
	SegfsResource resource;
	int r = resource_find(ns, kind, name, &resource);

	return r < 0 ? r : info_write_resource(ns, caller, &resource, text);
}

#define RESOURCE_KIND(name, kind)                                                                  \
	static int name##_names(IpcNs *ns, guint index, const SegfsCaller *caller,                 \
				GPtrArray **ret_names)                                             \
	{                                                                                          \
		return resource_names(ns, kind, ret_names);                                        \
	}                                                                                          \
	static int name##_exists(IpcNs *ns, guint index, const SegfsCaller *caller,                \
				 const char *file)                                                 \
	{                                                                                          \
		SegfsResource resource;                                                            \
		return resource_find(ns, kind, file, &resource);                                   \
	}                                                                                          \
	static int name##_write(IpcNs *ns, const SegfsCaller *caller, const char *file,            \
				GString *text)                                                     \
	{                                                                                          \
		return resource_write_info(ns, caller, kind, file, text);                          \
	}

RESOURCE_KIND(sem, SEGFS_SEM)
RESOURCE_KIND(msg, SEGFS_MSG)

const InfoKind sem_info = {sem_names, sem_exists, NULL, sem_write};
const InfoKind msg_info = {msg_names, msg_exists, NULL, msg_write};
