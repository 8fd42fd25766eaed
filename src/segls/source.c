/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "segls/source.h"

#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

void source_clear(Source *source)
{
	g_clear_pointer(&source->scan, segfs_scan_unref);
	g_clear_pointer(&source->of, g_ptr_array_unref);
	g_clear_pointer(&source->scopes, g_ptr_array_unref);
}

/* What a scope has, for which there is a place now even if it cannot be listed. */
static int add_items(Source *source, SegfsScope *scope, SegfsSince since)
{
	GPtrArray *items;

	const int r = segfs_view_survey(segfs_scope_view(scope), since, &items);
	g_ptr_array_add(source->of,
			r < 0 ? g_ptr_array_new_with_free_func((GDestroyNotify)segfs_item_free)
			      : items);
	return r;
}

static gboolean add_others(Source *source, SegfsSince since, GError **error)
{
	SegfsScope *own = source->scopes->pdata[0];
	g_autoptr(GArray) inums = NULL;

	if (geteuid() != 0)
		return fail(error, "--all-namespaces: only root may enter them");
	int r = segfs_namespaces_list(segfs_scope_scanner(own), &inums);
	if (r < 0)
		return fail(error, "cannot list IPC namespaces: %s", g_strerror(-r));
	for (guint i = 0; i < inums->len; i++) {
		SegfsScope *scope;
		const uint64_t inum = g_array_index(inums, uint64_t, i);
		/* One that has gone meanwhile has nothing any more. */
		r = segfs_scope_new_of(own, inum, NULL, NULL, &scope);
		if (r == 0) {
			g_ptr_array_add(source->scopes, scope);
			r = add_items(source, scope, since);
		}
		if (r < 0 && r != -ENOENT)
			return fail(error, "namespace %" PRIu64 ": %s", inum, g_strerror(-r));
	}
	return TRUE;
}

gboolean source_open(const Options *options, Source *source, GError **error)
{
	const SegfsScopeOptions scope_options = {
		.ipc.no_attach = true,
		.shm_dir = options->shm_dir,
		.orphan_age = options->orphan_age,
		.keep = options->keep,
	};
	g_autofree char *refusal = segfs_kernel_refusal();
	SegfsScope *own;

	if (refusal)
		return fail(error, "%s", refusal);
	const int r = segfs_scope_new(&scope_options, &own);
	if (r == -ENOSYS)
		return fail(error, "no SysV shared memory here: %s", g_strerror(-r));
	if (r < 0)
		return fail(error, "%s: %s; name the directory of POSIX objects with --shm-dir",
			    options->shm_dir ? options->shm_dir : "/dev/shm", g_strerror(-r));
	source->scopes = g_ptr_array_new_with_free_func((GDestroyNotify)segfs_scope_free);
	source->of = g_ptr_array_new_with_free_func((GDestroyNotify)g_ptr_array_unref);
	g_ptr_array_add(source->scopes, own);
	return TRUE;
}

gboolean source_survey(const Options *options, Source *source, GError **error)
{
	const SegfsSince since = segfs_since_now(); /* one look at the processes does for all */
	SegfsScope *own = source->scopes->pdata[0];

	/* Items before what they are of. */
	g_clear_pointer(&source->scan, segfs_scan_unref);
	g_ptr_array_set_size(source->of, 0);
	g_ptr_array_set_size(source->scopes, 1);
	int r = add_items(source, own, since);
	if (r < 0)
		return fail(error, "cannot list shared memory: %s", g_strerror(-r));
	/* The scan that the items have, unless there are none. */
	const GPtrArray *items = source->of->pdata[0];
	if (items->len > 0)
		source->scan = segfs_scan_ref(((SegfsItem *)items->pdata[0])->scan);
	else if ((r = segfs_scanner_scan(segfs_scope_scanner(own), segfs_since_recent(),
					 &source->scan)) < 0)
		return fail(error, "/proc: %s", g_strerror(-r));
	return !options->all_namespaces || add_others(source, since, error);
}

GPtrArray *source_items(const Source *source)
{
	g_autoptr(GHashTable) added = g_hash_table_new(segfs_id_hash, segfs_id_equal);
	GPtrArray *all = g_ptr_array_new();

	for (guint i = 0; i < source->of->len; i++) {
		const GPtrArray *items = source->of->pdata[i];
		for (guint j = 0; j < items->len; j++) {
			SegfsItem *item = items->pdata[j];
			if (g_hash_table_add(added, &item->id))
				g_ptr_array_add(all, item);
		}
	}
	return all;
}
