/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * In /proc/PID/maps a SysV mapping is named "/SYSV<key, 8 hex> (deleted)" and its inode
 * number is the shmid; that number repeats in other IPC namespaces, so a process counts
 * only if it is in ours, and what was opened only if it has the segment's size. The name
 * keeps the key that the segment was made with. See proc(5), maps and map_files.
 */

#include "segment/holder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "segment/autofd.h"
#include "segment/ipc.h"

/* Is it the memory file of this segment, and not something that looks like it? */
static bool is_memory_of(int fd, const SegfsSysv *segment)
{
	struct stat st;
	struct statfs fs;

	if (fstat(fd, &st) < 0 || fstatfs(fd, &fs) < 0 || st.st_ino != (ino_t)segment->shmid)
		return false;
	if (fs.f_type == HUGETLBFS_MAGIC)
		return (uint64_t)st.st_size >= segment->size &&
		       (uint64_t)st.st_size - segment->size < (uint64_t)fs.f_bsize;
	return fs.f_type == TMPFS_MAGIC && (uint64_t)st.st_size == segment->size;
}

int holder_open_mapping(const char *proc_root, const char *pid, const SegfsSysv *segment,
			const void *address, int *ret_fd)
{
	g_autofree char *path = g_strdup_printf("%s/%s/maps", proc_root, pid);
	FILE *maps = fopen(path, "re");
	g_autofree char *line = NULL;
	size_t line_size = 0;
	int r = -ENOENT;

	if (!maps)
		return -ENOENT;
	while (r == -ENOENT && getline(&line, &line_size, maps) > 0) {
		uint64_t start, end, inode;
		int name = 0;

		if (!strstr(line, "/SYSV"))
			continue;
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %*s %*s %*s %" SCNu64 " %n", &start, &end,
			   &inode, &name) < 3 ||
		    strncmp(line + name, "/SYSV", 5) != 0 || inode != (uint64_t)segment->shmid ||
		    (address && start != (uintptr_t)address))
			continue;
		g_autofree char *file = g_strdup_printf("%s/%s/map_files/%" PRIx64 "-%" PRIx64,
							proc_root, pid, start, end);
		autofd fd = open(file, O_RDWR | O_CLOEXEC);
		if (fd < 0 && errno != ENOENT)
			r = -errno;
		if (fd >= 0 && is_memory_of(fd, segment)) {
			*ret_fd = steal_fd(&fd);
			r = 0;
		}
	}
	fclose(maps);
	return r;
}

static int open_of(SegfsIpc *ipc, const char *pid, const SegfsSysv *segment, int *ret_fd)
{
	g_autofree char *ns = g_strdup_printf("%s/%s/ns/ipc", ipc->proc_root, pid);
	struct stat st;

	if (stat(ns, &st) < 0 || st.st_ino != ipc->inum)
		return -ENOENT;
	return holder_open_mapping(ipc->proc_root, pid, segment, NULL, ret_fd);
}

static int open_of_any(SegfsIpc *ipc, const SegfsSysv *segment, int *ret_fd)
{
	DIR *proc = opendir(ipc->proc_root);
	struct dirent *entry;
	int r = -ENOENT;

	if (!proc)
		return -ENOENT;
	while (r < 0 && (entry = readdir(proc))) {
		if (g_ascii_isdigit(entry->d_name[0]))
			r = open_of(ipc, entry->d_name, segment, ret_fd);
	}
	closedir(proc);
	return r;
}

int holder_open_memory(SegfsIpc *ipc, const SegfsSysv *segment, int *ret_fd)
{
	const pid_t likely[] = {segment->lpid, segment->cpid};

	if (!ipc->has_map_files || segment->nattch == 0)
		return -ENOENT;
	for (guint i = 0; i < G_N_ELEMENTS(likely); i++) {
		char pid[16];
		if (likely[i] <= 0)
			continue;
		g_snprintf(pid, sizeof(pid), "%d", likely[i]);
		if (open_of(ipc, pid, segment, ret_fd) == 0)
			return 0;
	}
	return open_of_any(ipc, segment, ret_fd) == 0 ? 0 : -ENOENT;
}
