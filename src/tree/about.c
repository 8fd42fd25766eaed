/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The files README and limits at the top of the mount. */

#include <inttypes.h>
#include <string.h>
#include <sys/statvfs.h>

#include "segment/autofd.h"
#include "tree/tree.h"

static void readme_write(Space *space, GString *text)
{
	g_string_append(
		text,
		"The shared memory of this host, as files (segfs).\n"
		"\n"
		"sysv/ID       a SysV segment by its id, its bytes; rm removes it (IPC_RMID)\n"
		"key/0x1234    the same by its key; truncate -s, cp and tar -x make one here\n"
		"posix/NAME    a POSIX object, what /dev/shm holds\n"
		"orphans/      what nobody uses any more; rm here never removes what is in use\n"
		"unlinked/     memory without a name that is still held: dest, deleted, memfd, "
		"anon\n"
		"info/         for each of these files, all that is known: who holds it, verdict\n"
		"segments.json, metrics: the same for scripts and for monitoring\n"
		"limits        how many there can be and are, and where the host's Shmem is\n");
	if (!space->tree->no_namespaces)
		g_string_append(text, "ns/NUMBER/    these folders of every other IPC namespace; "
				      "for root\n");
	g_string_append(
		text,
		"\n"
		"links = attaches + 1, so `find sysv -links 1` finds the unattached; size is the\n"
		"segment's, blocks are what is resident; access is what shmat(2) would allow you.\n"
		"Never grows by writing: `cp image sysv/ID` restores, `cat sysv/ID` saves.\n");
}

Node *readme_new(Space *space, const void *data)
{
	return text_new(space, readme_write);
}

/* Of /proc/meminfo (proc_meminfo(5)), in bytes; false where it has no such line. */
static bool meminfo(const char *text, const char *key, uint64_t *ret_bytes)
{
	const char *line = strstr(text, key);

	if (!line || (line != text && line[-1] != '\n'))
		return false;
	*ret_bytes = g_ascii_strtoull(line + strlen(key), NULL, 10) * 1024;
	return true;
}

/* All shared memory of the host, and what of it is shown here: the rest is somewhere else. */
static int shmem_write(Space *space, GString *text)
{
	g_autofree char *path = g_build_filename(segfs_ipc_proc_root(space->ipc), "meminfo", NULL);
	g_autoptr(GPtrArray) items = NULL;
	g_autofree char *info = NULL;
	uint64_t shown[2] = {}, shmem, huge;

	int r = segfs_view_survey(space->view, SEGFS_SCAN_NEW, &items);
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
	if (meminfo(info, "Shmem:", &shmem)) {
		const uint64_t here = shown[false] + shown[true];
		g_string_append_printf(text,
				       "shmem: %" PRIu64 " bytes on the host (Shmem of meminfo)\n"
				       "shmem-elsewhere: %" PRIu64
				       " bytes of it not shown here: other tmpfs "
				       "mounts, other namespaces\n",
				       shmem, shmem - MIN(shmem, here));
	}
	if (meminfo(info, "Hugetlb:", &huge))
		g_string_append_printf(text, "hugetlb: %" PRIu64 " bytes in pools of huge pages\n",
				       huge);
	return 0;
}

static int limits_write(Space *space, const SegfsCaller *caller, GString *text)
{
	SegfsLimits limits;
	struct statvfs shm;

	if (segfs_limits_read(space->ipc, &limits) == 0) {
		g_string_append_printf(text, "shmmax: %" PRIu64 " bytes in one segment\n",
				       limits.shmmax);
		g_string_append_printf(text, "shmmni: %" PRIu64 " segments, %" PRIu64 " used\n",
				       limits.shmmni, limits.segments_used);
		g_string_append_printf(text,
				       "shmall: %" PRIu64 " pages of %" PRIu64
				       " bytes in all segments, %" PRIu64 " used\n",
				       limits.shmall, limits.page_size, limits.pages_used);
	}
	segfs_view_refresh(space->view, SEGFS_SCAN_NEW);
	const SegfsPosix *posix;
	for (guint i = 0; (posix = segfs_view_posix(space->view, i)); i++) {
		g_autofree char *name = segfs_posix_folder_name(i);
		autofd fd = -1;
		if (!segfs_view_posix_is_seen(space->view, i) || segfs_posix_open(posix, &fd) < 0 ||
		    fstatvfs(fd, &shm) < 0)
			continue;
		g_string_append_printf(text, "%s: %" PRIu64 " bytes, %" PRIu64 " used\n", name,
				       (uint64_t)shm.f_blocks * shm.f_frsize,
				       (uint64_t)(shm.f_blocks - shm.f_bfree) * shm.f_frsize);
		g_string_append_printf(text, "%s-objects: %" PRIu64 " inodes, %" PRIu64 " used\n",
				       name, (uint64_t)shm.f_files,
				       (uint64_t)(shm.f_files - shm.f_ffree));
	}
	return shmem_write(space, text);
}

Node *limits_new(Space *space, const void *data)
{
	return text_new_dear(space, limits_write);
}
