/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The file limits at the top of the mount. */

#include <errno.h>
#include <inttypes.h>
#include <segfs/resource.h>
#include <segfs/tmpfs.h>
#include <string.h>
#include <sys/statvfs.h>

#include "lib/os/autofd.h"
#include "lib/os/escape.h"
#include "lib/os/procfs.h"
#include "lib/survey/survey.h"
#include "tree/tree.h"

/* Directories that could not be read, of very many. */
#define NAMED_MOST 16

/* A value of the text of /proc/meminfo (proc_meminfo(5)), in bytes; false: it has no such line. */
static bool meminfo(const char *text, const char *key, uint64_t *ret_bytes)
{
	uint64_t kib;

	if (!procfs_number(text, key, &kib))
		return false;
	*ret_bytes = kib * 1024;
	return true;
}

/* Resident bytes of what is shown here. */
typedef struct {
	uint64_t named, unlinked;
} Shown;

typedef struct {
	Shown shown[SEGFS_PAGES_HUGE + 1]; /* by SegfsPages */
	guint n_unknown;                   /* pieces whose resident bytes are not known */
} Sums;

static void sum_up(const GPtrArray *items, Sums *sums)
{
	for (guint i = 0; i < items->len; i++) {
		const SegfsItem *item = items->pdata[i];
		Shown *shown = &sums->shown[item->pages];
		sums->n_unknown += !item->has_resident;
		if (item->has_resident)
			*(item->unlinked ? &shown->unlinked : &shown->named) += item->resident;
	}
}

static void put_shown(GString *text, const char *what, const Shown *shown)
{
	g_string_append_printf(text,
			       "%s-named: %" PRIu64 " bytes resident in sysv/ and posix/\n"
			       "%s-unlinked: %" PRIu64 " bytes resident in unlinked/\n",
			       what, shown->named, what, shown->unlinked);
}

/* How much of all that the host has is shown nowhere here. */
static uint64_t elsewhere(uint64_t all, const Shown *shown)
{
	return all - MIN(all, shown->named + shown->unlinked);
}

static void put_unknown(GString *text, const Sums *sums)
{
	const Shown *unknown = &sums->shown[SEGFS_PAGES_UNKNOWN];

	if (unknown->named + unknown->unlinked > 0)
		g_string_append_printf(
			text,
			"shmem-or-hugetlb: %" PRIu64
			" bytes resident in segments whose pages may be small or huge\n",
			unknown->named + unknown->unlinked);
	if (sums->n_unknown > 0)
		g_string_append_printf(
			text, "not-known: %u pieces of which the resident bytes are not known\n",
			sums->n_unknown);
}

/* How much of it is elsewhere and in use. */
static uint64_t put_huge(GString *text, uint64_t all, const Shown *shown)
{
	g_autoptr(GArray) pools = segfs_huge_pools();
	uint64_t free = 0;

	for (guint i = 0; i < pools->len; i++)
		free += g_array_index(pools, SegfsHugePool, i).free;
	put_shown(text, "hugetlb", shown);
	g_string_append_printf(
		text,
		"hugetlb: %" PRIu64 " bytes in pools of huge pages (Hugetlb of meminfo)\n"
		"hugetlb-elsewhere: %" PRIu64 " bytes of it not shown here: free pages, hugetlbfs "
		"mounts, other namespaces\n"
		"hugetlb-elsewhere-free: %" PRIu64 " bytes of that in free pages\n",
		all, elsewhere(all, shown), free);
	return elsewhere(all, shown) - MIN(elsewhere(all, shown), free);
}

/* Resident bytes of what other IPC namespaces have, but for their objects: those are on a tmpfs. */
typedef struct {
	uint64_t bytes[SEGFS_PAGES_HUGE + 1]; /* by SegfsPages */
	guint n;                              /* namespaces */
} Others;

static int others_get(IpcNs *own, const SegfsCaller *caller, Moment *moment,
		      const GPtrArray *own_items, Others *others)
{
	g_autoptr(GHashTable) counted =
		g_hash_table_new_full(segfs_id_hash, segfs_id_equal, g_free, NULL);
	g_autoptr(GPtrArray) namespaces = NULL;

	for (guint i = 0; i < own_items->len; i++) {
		const SegfsItem *item = own_items->pdata[i];
		g_hash_table_add(counted, g_memdup2(&item->id, sizeof(item->id)));
	}
	int r = own->tree->reach->all(own, caller, &namespaces);
	for (guint i = 1; r == 0 && i < namespaces->len; i++) {
		IpcNs *ns = namespaces->pdata[i];
		g_autoptr(Surveyed) all = NULL;
		/* It may have gone meanwhile. */
		const int surveyed = moment_survey(moment, ns->view, ipcns_ref(ns), &all);
		if (surveyed < 0) {
			r = surveyed == -EINTR ? surveyed : 0;
			continue;
		}
		others->n++;
		for (guint j = 0; j < all->items->len; j++) {
			const SegfsItem *item = all->items->pdata[j];
			if (item->id.kind != SEGFS_POSIX && item->has_resident &&
			    g_hash_table_add(counted, g_memdup2(&item->id, sizeof(item->id))))
				others->bytes[item->pages] += item->resident;
		}
	}
	return r;
}

static gint used_compare(gconstpointer a, gconstpointer b)
{
	const SegfsTmpfs *x = a, *y = b;

	return x->used < y->used ? 1 : x->used > y->used ? -1 : strcmp(x->point, y->point);
}

/* Is it a directory of objects here, or mounted below one and shown in that? */
static bool is_shown(IpcNs *ns, const GPtrArray *items, dev_t dev)
{
	const SegfsPosix *posix;

	for (guint i = 0; (posix = segfs_view_posix(ns->view, i)); i++)
		if (segfs_posix_dev(posix) == dev)
			return true;
	for (guint i = 0; i < items->len; i++) {
		const SegfsItem *item = items->pdata[i];
		if (item->id.kind == SEGFS_POSIX && item->id.domain == dev)
			return true;
	}
	return false;
}

typedef struct {
	GString *text;
	guint n;
} Names;

/* The largest come first. */
static void name_tmpfs(Names *names, const SegfsTmpfs *tmpfs)
{
	if (names->n++ >= NAMED_MOST)
		return;
	g_string_append_printf(names->text, "%s%s", names->n > 1 ? ", " : ": ", tmpfs->point);
	if (tmpfs->has_used)
		g_string_append_printf(names->text, " %" PRIu64, tmpfs->used);
	if (tmpfs->pid)
		g_string_append_printf(names->text, " (in /proc/%d/root)", tmpfs->pid);
}

static void put_names(GString *text, const Names *names)
{
	g_string_append(text, names->text->str);
	if (names->n > NAMED_MOST)
		g_string_append_printf(text, ", %u more", names->n - NAMED_MOST);
	g_string_append_c(text, '\n');
}

/* What is mounted as a tmpfs and is not shown here. */
static int put_tmpfs(IpcNs *ns, const SegfsCaller *caller, const GPtrArray *items,
		     uint64_t *ret_bytes, GString *text)
{
	g_autoptr(GString) known_text = g_string_new(NULL), unknown_text = g_string_new(NULL);
	g_autoptr(GArray) all = NULL;
	Names known = {known_text, 0}, unknown = {unknown_text, 0};
	uint64_t bytes = 0;

	int r = segfs_tmpfs_list(ns->tree->scanner, segfs_since_recent(),
				 ns->tree->reach->may_enter(caller), &all);
	if (r < 0)
		return r;
	g_array_sort(all, used_compare);
	for (guint i = 0; i < all->len; i++) {
		const SegfsTmpfs *tmpfs = &g_array_index(all, SegfsTmpfs, i);
		if (is_shown(ns, items, tmpfs->dev))
			continue;
		bytes += tmpfs->used;
		if (!tmpfs->has_used)
			name_tmpfs(&unknown, tmpfs);
		else if (tmpfs->used > 0)
			name_tmpfs(&known, tmpfs);
	}
	g_string_append_printf(text, "shmem-elsewhere-tmpfs: %" PRIu64 " bytes in other tmpfs",
			       bytes);
	put_names(text, &known);
	if (unknown.n > 0) {
		g_string_append_printf(text,
				       "shmem-elsewhere-tmpfs-unknown: %u that have no limit, or "
				       "cannot be reached",
				       unknown.n);
		put_names(text, &unknown);
	}
	*ret_bytes = bytes;
	return 0;
}

/*
 * Of the mount's own namespace: where the rest is. A tmpfs counts what is swapped as used, so that
 * can be more than there is.
 */
static int put_elsewhere(IpcNs *ns, const SegfsCaller *caller, Moment *moment, const Surveyed *own,
			 uint64_t rest, uint64_t huge_rest, GString *text)
{
	Others others = {};
	uint64_t tmpfs = 0;

	if (ns->other)
		return 0;
	int r = put_tmpfs(ns, caller, own->items, &tmpfs, text);
	if (r == 0)
		r = others_get(ns, caller, moment, own->items, &others);
	if (r < 0)
		return r;
	const uint64_t drm = segfs_scan_drm(own->scan);
	const uint64_t small = others.bytes[SEGFS_PAGES_SMALL];
	const uint64_t huge = others.bytes[SEGFS_PAGES_HUGE];
	g_string_append_printf(
		text,
		"shmem-elsewhere-namespaces: %" PRIu64
		" bytes in segments, memfds and anonymous memory of %u other IPC namespaces\n"
		"shmem-elsewhere-drm: %" PRIu64
		" bytes at most of graphics drivers' clients, as far as those tell\n"
		"shmem-elsewhere-unaccounted: %" PRIu64
		" bytes not accounted for: other memory of drivers, what waits in the queue of a "
		"socket, what may not be looked at\n",
		small, others.n, drm, rest - MIN(rest, tmpfs + small + drm));
	if (huge_rest > 0)
		g_string_append_printf(text,
				       "hugetlb-elsewhere-namespaces: %" PRIu64 " bytes in those\n"
				       "hugetlb-elsewhere-unaccounted: %" PRIu64
				       " bytes not accounted for: hugetlbfs mounts and the like\n",
				       huge, huge_rest - MIN(huge_rest, huge));
	return 0;
}

/* All shared memory of the host, how much of it this tree shows, and how much is elsewhere. */
static int shmem_write(IpcNs *ns, const SegfsCaller *caller, Moment *moment, const Surveyed *own,
		       GString *text)
{
	g_autofree char *path = g_build_filename(segfs_ipc_proc_root(ns->ipc), "meminfo", NULL);
	g_autofree char *info = NULL;
	uint64_t shmem, huge, huge_rest = 0;
	Sums sums = {};

	sum_up(own->items, &sums);
	const Shown *small = &sums.shown[SEGFS_PAGES_SMALL];
	put_shown(text, "shmem", small);
	put_unknown(text, &sums);
	if (!g_file_get_contents(path, &info, NULL, NULL))
		return 0;
	const bool has_shmem = meminfo(info, "Shmem", &shmem);
	if (has_shmem)
		g_string_append_printf(text,
				       "shmem: %" PRIu64 " bytes on the host (Shmem of meminfo)\n"
				       "shmem-elsewhere: %" PRIu64
				       " bytes of it not shown here: other tmpfs "
				       "mounts, other namespaces, what waits in the queue of a "
				       "socket\n",
				       shmem, elsewhere(shmem, small));
	if (meminfo(info, "Hugetlb", &huge))
		huge_rest = put_huge(text, huge, &sums.shown[SEGFS_PAGES_HUGE]);
	return has_shmem ? put_elsewhere(ns, caller, moment, own, elsewhere(shmem, small),
					 huge_rest, text)
			 : 0;
}

static void put_resources(IpcNs *ns, GString *text)
{
	SegfsResourceLimits limits;

	if (segfs_resource_limits(ns->ipc, &limits) < 0)
		return;
	g_string_append_printf(text,
			       "semmni: %" PRIu64 " semaphore sets, %" PRIu64 " used\n"
			       "semmns: %" PRIu64 " semaphores in all sets, %" PRIu64 " used\n"
			       "semmsl: %" PRIu64 " semaphores in one set\n"
			       "semopm: %" PRIu64 " operations in one semop\n"
			       "msgmni: %" PRIu64 " message queues, %" PRIu64 " used\n"
			       "msgmax: %" PRIu64 " bytes in one message\n"
			       "msgmnb: %" PRIu64 " bytes in one queue, unless it was given more; "
			       "%" PRIu64 " in %" PRIu64 " messages used in all\n",
			       limits.semmni, limits.sets, limits.semmns, limits.sems,
			       limits.semmsl, limits.semopm, limits.msgmni, limits.queues,
			       limits.msgmax, limits.msgmnb, limits.bytes, limits.messages);
}

char *limits_unread(IpcNs *ns)
{
	g_autoptr(GPtrArray) unread = segfs_view_unread_names(ns->view);

	if (unread->len == 0)
		return NULL;
	GString *text = g_string_new(NULL);
	g_string_printf(text, "%u", unread->len);
	for (guint i = 0; i < MIN(unread->len, NAMED_MOST); i++) {
		g_autofree char *name = escape_text(unread->pdata[i], -1);
		g_string_append_printf(text, "%s%s", i ? ", " : ": ", name);
	}
	return g_string_free(text, FALSE);
}

static int limits_answer(IpcNs *ns, const SegfsCaller *caller, TextOut *out)
{
	g_autoptr(GString) text = g_string_new(NULL);
	g_autoptr(Moment) moment = moment_join(ns->tree->moments);
	g_autoptr(Surveyed) all = NULL;
	struct statvfs shm;

	int r = moment_survey(moment, ns->view, ipcns_ref(ns), &all);
	if (r < 0)
		return r;
	const SegfsLimits limits = all->limits;
	if (all->has_limits) {
		g_string_append_printf(text, "shmmax: %" PRIu64 " bytes in one segment\n",
				       limits.shmmax);
		g_string_append_printf(text, "shmmni: %" PRIu64 " segments, %" PRIu64 " used\n",
				       limits.shmmni, limits.segments_used);
		g_string_append_printf(text,
				       "shmall: %" PRIu64 " pages of %" PRIu64
				       " bytes in all segments, %" PRIu64 " used\n",
				       limits.shmall, limits.page_size, limits.pages_used);
	}
	put_resources(ns, text);
	const SegfsPosix *posix;
	for (guint i = 0; (posix = segfs_view_posix(ns->view, i)); i++) {
		g_autofree char *name = segfs_posix_directory_name(i);
		autofd fd = -1;
		if (!segfs_view_posix_is_seen(ns->view, i) || segfs_posix_open(posix, &fd) < 0 ||
		    fstatvfs(fd, &shm) < 0)
			continue;
		g_string_append_printf(text, "%s: %" PRIu64 " bytes, %" PRIu64 " used\n", name,
				       (uint64_t)shm.f_blocks * shm.f_frsize,
				       (uint64_t)(shm.f_blocks - shm.f_bfree) * shm.f_frsize);
		g_string_append_printf(text, "%s-objects: %" PRIu64 " inodes, %" PRIu64 " used\n",
				       name, (uint64_t)shm.f_files,
				       (uint64_t)(shm.f_files - shm.f_ffree));
	}
	r = shmem_write(ns, caller, moment, all, text);
	/* What is in them is missing above. */
	g_autofree char *unread = limits_unread(ns);
	if (unread)
		g_string_append_printf(text, "directories-unread: %s\n", unread);
	text_put(out, text);
	return r;
}

Node *limits_new(IpcNs *ns, const void *data)
{
	return text_new_expensive(ns, limits_answer);
}
