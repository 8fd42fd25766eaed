/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Objects that are mounted by themselves (mount(8), --bind) in a mount namespace that a scan has
 * seen. Neither a process nor a lease tells of such: the kernel gives a lease on a file that is a
 * mount's root. The table of mounts names it by its path from the root of the tmpfs, as that is
 * now.
 */

#include <string.h>
#include <sys/stat.h>

#include "lib/os/autofd.h"
#include "lib/process/scan.h"
#include "lib/survey/survey.h"

/* Is it what the directory has by that path? False, and ret_found too: the directory has no such.
 */
static bool is_at(const SegfsItem *item, const char *root, bool *ret_found)
{
	autofd fd = -1;
	struct stat st;

	*ret_found =
		segfs_posix_open_path(item->posix, NULL, root + 1, &fd) == 0 && fstat(fd, &st) == 0;
	return *ret_found && st.st_dev == item->id.domain && st.st_ino == item->id.number;
}

bool object_is_mounted(const Judge *judge, const SegfsItem *item)
{
	const GPtrArray *bound = judge->scan->bound;

	if (!item->name)
		return false;
	for (guint i = 0; i < bound->len; i++) {
		const ScanBound *mount = bound->pdata[i];
		const char *name = strrchr(mount->root, '/') + 1;
		const char *base = strrchr(item->name, '/');
		bool found;
		/* Mounted by another of its names it has more than one. */
		if (mount->dev != item->id.domain ||
		    (item->nlink < 2 && strcmp(name, base ? base + 1 : item->name) != 0))
			continue;
		if (is_at(item, mount->root, &found))
			return true;
		/* Where the directory is not the whole tmpfs, the path begins further up. */
		if (!found && g_str_has_suffix(mount->root, item->name))
			return true;
	}
	return false;
}
