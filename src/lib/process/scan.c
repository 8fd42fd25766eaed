/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/process/scan.h"
#include "lib/process/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "lib/os/autofd.h"
#include "lib/os/deadline.h"

#define DELETED " (deleted)"

guint segfs_id_hash(gconstpointer pointer)
{
	const SegfsId *id = pointer;
	const uint64_t mixed = (id->domain * 31 + id->number) * 31 + id->kind;

	return (guint)(mixed ^ mixed >> 32);
}

gboolean segfs_id_equal(gconstpointer a, gconstpointer b)
{
	const SegfsId *x = a, *y = b;

	return x->kind == y->kind && x->domain == y->domain && x->number == y->number;
}

static void held_free(gpointer pointer)
{
	SegfsHeld *held = pointer;

	g_free(held->name);
	g_array_unref(held->holders);
	g_free(held);
}

SegfsScan *scan_new(void)
{
	static _Atomic guint64 n_made;
	SegfsScan *scan = g_new0(SegfsScan, 1);

	g_atomic_ref_count_init(&scan->refs);
	scan->number = ++n_made;
	scan->bound = g_ptr_array_new_with_free_func(scan_bound_free);
	scan->processes = g_ptr_array_new_with_free_func(g_free);
	scan->held = g_hash_table_new_full(segfs_id_hash, segfs_id_equal, NULL, held_free);
	scan->mounted = g_hash_table_new_full(segfs_id_hash, segfs_id_equal, NULL, held_free);
	scan->unexamined = g_array_new(FALSE, FALSE, sizeof(SegfsUnexamined));
	scan->drm_clients = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	return scan;
}

SegfsScan *segfs_scan_ref(SegfsScan *scan)
{
	g_atomic_ref_count_inc(&scan->refs);
	return scan;
}

void segfs_scan_unref(SegfsScan *scan)
{
	if (!g_atomic_ref_count_dec(&scan->refs))
		return;
	g_ptr_array_unref(scan->bound);
	g_ptr_array_unref(scan->processes);
	g_array_unref(scan->unexamined);
	g_hash_table_unref(scan->held);
	g_hash_table_unref(scan->mounted);
	g_hash_table_unref(scan->drm_clients);
	g_free(scan);
}

SegfsHolder *scan_add(SegfsScan *scan, GHashTable *table, const SegfsId *id, const char *name,
		      size_t name_length, const SegfsProcess *process)
{
	SegfsHeld *held = g_hash_table_lookup(table, id);
	const size_t end = strlen(DELETED);
	const bool deleted = name_length > end && !strncmp(name + name_length - end, DELETED, end);

	if (!held) {
		held = g_new0(SegfsHeld, 1);
		held->id = *id;
		held->holders = g_array_new(FALSE, TRUE, sizeof(SegfsHolder));
		held->name = g_strndup(name, deleted ? name_length - end : name_length);
		held->deleted = deleted;
		g_hash_table_insert(table, &held->id, held);
	}
	/* Processes come one after the other. */
	if (held->holders->len > 0) {
		SegfsHolder *last =
			&g_array_index(held->holders, SegfsHolder, held->holders->len - 1);
		if (last->process == process)
			return last;
	}
	const SegfsHolder new = {.process = process, .fd = -1};
	g_array_append_val(held->holders, new);
	return &g_array_index(held->holders, SegfsHolder, held->holders->len - 1);
}

bool scan_run_tolerates(ScanRun *run, int error)
{
	if (error == -EMFILE || error == -ENFILE || error == -ENOMEM)
		run->error = error;
	if (run->error || error == 0 || error == -ENOENT || error == -ESRCH)
		return true;
	run->refused = error;
	return false;
}

void scan_run_unexamined(ScanRun *run, pid_t pid, int error)
{
	enum { TOLD_MOST = 16 };
	SegfsUnexamined unexamined = {.process.pid = pid, .error = error ? error : run->refused};
	g_autofree char *path = g_strdup_printf("%s/%d", run->proc_root, pid);
	ProcfsStat stat;
	struct stat st;

	/* Of a plain user that is most of the host's. */
	const bool is_told = pid > 0 && run->scan->unexamined->len < TOLD_MOST;
	if (is_told && procfs_stat(run->proc_root, pid, &stat)) {
		g_strlcpy(unexamined.process.command, stat.command,
			  sizeof(unexamined.process.command));
		unexamined.process.start = stat.start;
	}
	if (is_told && lstat(path, &st) == 0)
		unexamined.process.uid = st.st_uid;
	g_array_append_val(run->scan->unexamined, unexamined);
}

const SegfsUnexamined *segfs_scan_unexamined_of(const SegfsScan *scan, guint index)
{
	return &g_array_index(scan->unexamined, SegfsUnexamined, index);
}

guint segfs_scan_unexamined(const SegfsScan *scan)
{
	return scan->unexamined->len;
}

guint scan_mounts(const SegfsScan *scan)
{
	return scan->n_mounts;
}

const SegfsHeld *segfs_scan_find(const SegfsScan *scan, const SegfsId *id)
{
	return g_hash_table_lookup(scan->held, id);
}

const SegfsHeld *scan_find_mounted(const SegfsScan *scan, uint64_t number)
{
	const SegfsId id = {.number = number};

	return g_hash_table_lookup(scan->mounted, &id);
}

GPtrArray *segfs_scan_held(const SegfsScan *scan)
{
	GPtrArray *all = g_ptr_array_sized_new(g_hash_table_size(scan->held));
	GHashTableIter iter;
	gpointer held;

	g_hash_table_iter_init(&iter, scan->held);
	while (g_hash_table_iter_next(&iter, NULL, &held))
		g_ptr_array_add(all, held);
	return all;
}

const GPtrArray *segfs_scan_processes(const SegfsScan *scan)
{
	return scan->processes;
}

/*
 * The numbers of IPC namespaces fill 32 bits from 0xf0000000 down and those of devices 32
 * from below, so that the two cannot meet; an inode number of tmpfs is a small one.
 */
uint64_t segfs_mount_ino(const SegfsId *id, dev_t plain)
{
	if (id->kind == SEGFS_SYSV)
		return id->domain << 32 | (uint32_t)id->number;
	if (id->domain == plain)
		return id->number;
	/* Minor numbers have 20 bits; a tmpfs has major 0. Namespaces have the upper four bits. */
	return id->number ^ (uint64_t)minor(id->domain) << 40 ^ (uint64_t)major(id->domain) << 28;
}
