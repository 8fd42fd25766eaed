/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/probe/ends.h"
#include "lib/probe/probe.h"

#ifdef SEGFS_HISTORY

#include <bpf/bpf.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "lib/os/autofd.h"
#include "lib/os/deadline.h"

static bool is_on_any(const struct holds_process *process, const GArray *devices)
{
	for (guint i = 0; i < MIN(process->n, HOLDS_DEVICES); i++) {
		const __u32 its = process->devices[i];
		const dev_t dev = makedev(its >> 20, its & 0xfffff); /* linux/kdev_t.h */
		for (guint j = 0; j < devices->len; j++)
			if (g_array_index(devices, dev_t, j) == dev)
				return true;
	}
	return false;
}

/* A process can come more than once: of each of its tables of descriptors. */
static void sort(const struct holds_process *process, const GArray *devices, GHashTable *without,
		 GHashTable *others)
{
	gpointer pid = GUINT_TO_POINTER(process->pid);

	if (process->pid == 0)
		return;
	if (process->is_unknown || is_on_any(process, devices)) {
		g_hash_table_add(others, pid);
		g_hash_table_remove(without, pid);
	} else if (!g_hash_table_contains(others, pid)) {
		g_hash_table_add(without, pid);
	}
}

GHashTable *holds_without(int iterator, const GArray *devices)
{
	g_autoptr(GHashTable) without = g_hash_table_new(NULL, NULL);
	g_autoptr(GHashTable) others = g_hash_table_new(NULL, NULL);
	struct holds_process processes[256];
	autofd fd = bpf_iter_create(iterator);
	ssize_t n;

	if (fd < 0)
		return NULL;
	/* Whole ones, as they were written. */
	while ((n = read(fd, processes, sizeof(processes))) > 0) {
		deadline_at(DEADLINE_EVERYBODY);
		for (size_t i = 0; i < n / sizeof(*processes); i++)
			sort(&processes[i], devices, without, others);
	}
	/* Of those that it has not come to, nothing is known. */
	return n < 0 ? NULL : g_steal_pointer(&without);
}

#else

GHashTable *holds_without(int iterator, const GArray *devices)
{
	return NULL;
}

#endif
