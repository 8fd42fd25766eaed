/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tree/item.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/survey/item_name.h"
#include "tree/sysv/segment.h"

#define PREFIX "user.segfs."

void item_stat(const IpcNs *ns, const SegfsItem *item, struct stat *ret_stat)
{
	*ret_stat = (struct stat){
		.st_ino = segfs_mount_ino(&item->id, ns->tree->plain),
		.st_mode = S_IFREG | item->mode,
		.st_nlink = item->nlink,
		.st_uid = item->uid,
		.st_gid = item->gid,
		.st_size = item->size,
		.st_blksize = sysconf(_SC_PAGESIZE),
		.st_blocks = item->has_resident ? item->resident / 512 : 0,
		.st_atim = item->atime,
		.st_mtim = item->mtime,
		.st_ctim = item->ctime,
	};
}

static void free_items(gpointer items)
{
	g_ptr_array_unref(items);
	trim_soon();
}

void item_listing_add(Listing *listing, char *(*name)(const SegfsItem *item),
		      const GPtrArray *items)
{
	const dev_t plain = listing->directory->ns->tree->plain;

	listing->taken = g_get_monotonic_time();
	for (guint i = 0; i < items->len; i++) {
		SegfsItem *item = items->pdata[i];
		g_autofree char *its = name(item);
		listing_add(listing, its, segfs_mount_ino(&item->id, plain), S_IFREG, item);
	}
}

Listing *item_listing_new(Node *directory, ListingLook look, char *(*name)(const SegfsItem *item),
			  GPtrArray *items)
{
	Listing *listing = listing_new(directory, look, items, free_items);

	item_listing_add(listing, name, items);
	return listing;
}

/* What follows "posix-", "posix.2-" and so on; NULL: it does not begin so. */
static const char *parse_directory(const char *name, guint *ret_directory)
{
	char *end;

	*ret_directory = 0;
	if (g_str_has_prefix(name, "posix-"))
		return name + strlen("posix-");
	if (!g_str_has_prefix(name, "posix."))
		return NULL;
	*ret_directory = strtoul(name + strlen("posix."), &end, 10) - 1;
	return *end == '-' ? end + 1 : NULL;
}

/* A cut name does not hold the whole path, so it is compared with that of each object. */
static int find_by_name(IpcNs *ns, const char *name, SegfsItem **ret_item)
{
	g_autoptr(GPtrArray) items = NULL;

	int r = segfs_view_survey(ns->view, segfs_since_recent(), &items);
	for (guint i = 0; r == 0 && i < items->len; i++) {
		SegfsItem *item = items->pdata[i];
		if (item->unlinked || item->id.kind != SEGFS_POSIX)
			continue;
		g_autofree char *its = segfs_item_orphan_name(item);
		if (!strcmp(its, name)) {
			*ret_item = g_ptr_array_steal_index(items, i);
			return 0;
		}
	}
	return r < 0 ? r : -ENOENT;
}

static int find_orphan(IpcNs *ns, const char *name, SegfsSince since, SegfsItem **ret_item)
{
	enum { LONGEST_ESCAPE = 3 };
	guint directory;
	int shmid;

	if (g_str_has_prefix(name, "sysv-"))
		return item_parse_id(name + strlen("sysv-"), &shmid) == 0
			       ? segfs_view_sysv(ns->view, shmid, since, ret_item)
			       : -ENOENT;
	const char *flat = parse_directory(name, &directory);
	if (!flat)
		return -ENOENT;
	g_autofree char *path = item_decode(flat);
	int r = path && *path ? segfs_view_object(ns->view, directory, path, since, ret_item)
			      : -ENOENT;
	if (r == 0) {
		g_autofree char *its = segfs_item_orphan_name(*ret_item);
		if (!strcmp(its, name))
			return 0;
		g_clear_pointer(ret_item, segfs_item_free);
		r = -ENOENT;
	}
	if (strlen(name) > NAME_MAX - LONGEST_ESCAPE)
		return find_by_name(ns, name, ret_item);
	return r;
}

int item_find_orphan(IpcNs *ns, const char *name, SegfsItem **ret_item)
{
	int r = find_orphan(ns, name, segfs_since_recent(), ret_item);

	/* One recent scan serves all lookups that follow a listing; but a holder in it may have
	 * ended. */
	if (r == 0 && (*ret_item)->verdict != SEGFS_ORPHANED) {
		g_clear_pointer(ret_item, segfs_item_free);
		r = find_orphan(ns, name, segfs_since_now(), ret_item);
	}
	return r;
}

char *item_unlinked_name(const SegfsItem *item)
{
	g_autofree char *path = segfs_item_path(item);

	return g_path_get_basename(path);
}

static int find_unlinked(IpcNs *ns, const char *name, SegfsSince since, SegfsItem **ret_item)
{
	g_autoptr(GPtrArray) items = NULL;

	int r = segfs_view_unlinked(ns->view, since, &items);
	for (guint i = 0; r == 0 && i < items->len; i++) {
		g_autofree char *its = item_unlinked_name(items->pdata[i]);
		if (!strcmp(its, name)) {
			*ret_item = g_ptr_array_steal_index(items, i);
			return 0;
		}
	}
	return r < 0 ? r : -ENOENT;
}

int item_find_unlinked(IpcNs *ns, const char *name, SegfsSince since, SegfsItem **ret_item)
{
	int r = find_unlinked(ns, name, since, ret_item);

	/* The memory may be newer than the scan. */
	return r == -ENOENT && since.is_recent
		       ? find_unlinked(ns, name, segfs_since_now(), ret_item)
		       : r;
}

bool item_has_xattr(const char *name)
{
	return !strcmp(name, PREFIX "verdict") || !strcmp(name, PREFIX "holders");
}

GBytes *item_xattr(IpcNs *ns, const SegfsCaller *caller, const SegfsItem *item, const char *name)
{
	const char *proc_root = segfs_ipc_proc_root(ns->ipc);

	if (!strcmp(name, PREFIX "verdict")) {
		const char *verdict = segfs_verdict_name(item->verdict);
		return g_bytes_new_static(verdict, strlen(verdict));
	}
	GString *pids = g_string_new(NULL);
	for (guint i = 0; i < item->holders->len; i++) {
		const SegfsProcess *process = g_array_index(item->holders, SegfsHolder, i).process;
		if (segfs_holder_is_visible(proc_root, caller, process))
			g_string_append_printf(pids, "%s%d", pids->len ? " " : "", process->pid);
	}
	return g_string_free_to_bytes(pids);
}

void item_list_xattr(GString *names)
{
	static const char both[] = PREFIX "verdict\0" PREFIX "holders";

	g_string_append_len(names, both, sizeof(both));
}
