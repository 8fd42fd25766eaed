/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The file limits at the top of the mount. */

#include <inttypes.h>
#include <sys/statvfs.h>

#include "lib/os/autofd.h"
#include "lib/os/escape.h"
#include "lib/os/procfs.h"
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

/* All shared memory of the host, how much of it this tree shows, and how much is elsewhere. */
static int shmem_write(IpcNs *ns, GString *text)
{
	g_autofree char *path = g_build_filename(segfs_ipc_proc_root(ns->ipc), "meminfo", NULL);
	g_autoptr(GPtrArray) items = NULL;
	g_autofree char *info = NULL;
	uint64_t shown[2] = {}, shmem, huge;

	int r = segfs_view_survey(ns->view, segfs_since_now(), &items);
	if (r < 0)
		return r;
	for (guint i = 0; i < items->len; i++) {
		const SegfsItem *item = items->pdata[i];
		shown[item->unlinked] += item->resident;
	}
	g_string_append_printf(text,
			       "shmem-named: %" PRIu64 " bytes resident in sysv/ and posix/\n"
			       "shmem-unlinked: %" PRIu64 " bytes resident in unlinked/\n",
			       shown[false], shown[true]);
	if (!g_file_get_contents(path, &info, NULL, NULL))
		return 0;
	if (meminfo(info, "Shmem", &shmem)) {
		const uint64_t here = shown[false] + shown[true];
		g_string_append_printf(text,
				       "shmem: %" PRIu64 " bytes on the host (Shmem of meminfo)\n"
				       "shmem-elsewhere: %" PRIu64
				       " bytes of it not shown here: other tmpfs "
				       "mounts, other namespaces\n",
				       shmem, shmem - MIN(shmem, here));
	}
	if (meminfo(info, "Hugetlb", &huge))
		g_string_append_printf(text, "hugetlb: %" PRIu64 " bytes in pools of huge pages\n",
				       huge);
	return 0;
}

/* What is in them is missing above. */
static void unread_write(IpcNs *ns, GString *text)
{
	g_autoptr(GPtrArray) unread = segfs_view_unread_names(ns->view);

	if (unread->len == 0)
		return;
	g_string_append_printf(text, "directories-unread: %u", unread->len);
	for (guint i = 0; i < MIN(unread->len, NAMED_MOST); i++) {
		g_autofree char *name = escape_text(unread->pdata[i], -1);
		g_string_append_printf(text, "%s%s", i ? ", " : ": ", name);
	}
	g_string_append(text, "\n");
}

static int limits_answer(IpcNs *ns, const SegfsCaller *caller, TextOut *out)
{
	g_autoptr(GString) text = g_string_new(NULL);
	SegfsLimits limits;
	struct statvfs shm;

	if (segfs_limits_read(ns->ipc, &limits) == 0) {
		g_string_append_printf(text, "shmmax: %" PRIu64 " bytes in one segment\n",
				       limits.shmmax);
		g_string_append_printf(text, "shmmni: %" PRIu64 " segments, %" PRIu64 " used\n",
				       limits.shmmni, limits.segments_used);
		g_string_append_printf(text,
				       "shmall: %" PRIu64 " pages of %" PRIu64
				       " bytes in all segments, %" PRIu64 " used\n",
				       limits.shmall, limits.page_size, limits.pages_used);
	}
	segfs_view_refresh(ns->view, segfs_since_now());
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
	int r = shmem_write(ns, text);
	unread_write(ns, text);
	text_put(out, text);
	return r;
}

Node *limits_new(IpcNs *ns, const void *data)
{
	return text_new_expensive(ns, limits_answer);
}
