/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Memory of graphics drivers. It is on the kernel's tmpfs, and so in Shmem, but it is no file of
 * any process: only the descriptor of the device tells of it, in its fdinfo
 * (Documentation/gpu/drm-usage-stats.rst). Descriptors that were passed on, or inherited, are of
 * one client of the driver, which counts once.
 */

#include <stdio.h>
#include <string.h>

#include "lib/os/procfs.h"
#include "lib/process/scan.h"

#define DEVICES "/dev/dri/"

/* Of these a driver's pages are on the tmpfs; those of video memory, and of TTM's pools, are not.
 */
static const char *const regions[] = {"memory", "system", "system0"};

/* "drm-resident-memory:\t12 KiB", or by the older name of the same, drm-memory-... */
static uint64_t resident(const char *fdinfo, const char *region)
{
	static const char *const names[] = {"drm-resident-", "drm-memory-"};
	uint64_t number = 0;

	for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
		g_autofree char *key = g_strconcat(names[i], region, NULL);
		char unit[4] = "";
		if (!procfs_number(fdinfo, key, &number))
			continue;
		sscanf(procfs_value(fdinfo, key), "%*u %3s", unit);
		return !strcmp(unit, "KiB")   ? number << 10
		       : !strcmp(unit, "MiB") ? number << 20
					      : number;
	}
	return 0;
}

/* The line's text behind the key; the caller's to free, or NULL. */
static char *value_of(const char *fdinfo, const char *key)
{
	const char *value = procfs_value(fdinfo, key);

	return value ? g_strndup(value, strcspn(value, "\n")) : NULL;
}

void scan_run_drm(ScanRun *run, int process_fd, const char *directory, const char *fd,
		  const char *link)
{
	char path[64];

	if (!g_str_has_prefix(link, DEVICES))
		return;
	g_snprintf(path, sizeof(path), "%sinfo/%s", directory, fd);
	if (procfs_read(process_fd, path, run->text) < 0)
		return;
	const char *text = run->text->str;
	g_autofree char *client = value_of(text, "drm-client-id");
	g_autofree char *device = value_of(text, "drm-pdev");
	if (!client || !g_hash_table_add(run->scan->drm_clients,
					 g_strdup_printf("%s %s", device ? device : link, client)))
		return;
	for (guint i = 0; i < G_N_ELEMENTS(regions); i++)
		run->scan->drm_bytes += resident(text, regions[i]);
}

uint64_t segfs_scan_drm(const SegfsScan *scan)
{
	return scan->drm_bytes;
}
