/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * In /proc/PID/maps a SysV mapping is named "/SYSV<key, 8 hex> (deleted)" and its inode
 * number is the shmid. All of that can be had by others: the number repeats in other IPC
 * namespaces, of which a process's threads can be in several, and a file can have any name.
 * So a mapping is only a hint. What it leads to is opened without being touched (O_PATH)
 * and is taken for the segment's memory only if it is on the kernel's own tmpfs, which
 * nobody can mount or name files on, has the segment's size, and belongs to the segment's
 * creator: a memory file keeps the owner it was made with, whatever IPC_SET does, and
 * nobody can make one for somebody else. See proc(5), maps and map_files.
 */

#include "lib/memory/holder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "lib/memory/ipc.h"
#include "lib/os/autofd.h"
#include "lib/os/deadline.h"
#include "lib/os/errand.h"
#include "lib/os/fd.h"
#include "lib/os/home.h"
#include "lib/os/procfs.h"

/* Is it the memory file of this segment, and not something that looks like it? */
static bool is_memory_of(int fd, const SegfsSysv *segment)
{
	struct stat st;
	struct statfs fs;

	if (fstat(fd, &st) < 0 || fstatfs(fd, &fs) < 0)
		return false;
	if (st.st_ino != (ino_t)segment->shmid || st.st_uid != segment->cuid ||
	    st.st_gid != segment->cgid || !S_ISREG(st.st_mode) || st.st_nlink != 0)
		return false;
	if (fs.f_type == HUGETLBFS_MAGIC)
		return (uint64_t)st.st_size >= segment->size &&
		       (uint64_t)st.st_size - segment->size < (uint64_t)fs.f_bsize;
	return st.st_dev == home_kernel_tmpfs() && (uint64_t)st.st_size == segment->size;
}

/* Opens what is mapped there, if it is the segment's memory, to read and write. */
static int open_verified(const char *map_file, const SegfsSysv *segment, int *ret_fd)
{
	autofd path_fd = open(map_file, O_PATH | O_CLOEXEC);

	if (path_fd < 0)
		return -errno;
	if (!is_memory_of(path_fd, segment))
		return -ENOENT;
	FdPath path;
	fd_path(path_fd, path);
	const int fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

static int open_range(const char *proc_root, const char *pid, const SegfsSysv *segment,
		      uint64_t start, uint64_t end, int *ret_fd)
{
	char file[PATH_MAX];

	g_snprintf(file, sizeof(file), "%s/%s/map_files/%" PRIx64 "-%" PRIx64, proc_root, pid,
		   start, end);
	return open_verified(file, segment, ret_fd);
}

/* -ENOTTY: the kernel does not know the question. */
static int search_by_query(const char *proc_root, const char *pid, int maps_fd,
			   const SegfsSysv *segment, const void *address, int *ret_fd)
{
	ProcMap map = {.end = (uintptr_t)address};
	int r, found = -ENOENT;

	/* The name need not be asked for: what the mapping leads to is compared. An attach is
	 * shared, also one to read; a Python program has 120 mappings of files that are not. */
	while (found == -ENOENT && (r = procmap_next(maps_fd, map.end, true, &map)) == 0) {
		if (address && map.start != (uintptr_t)address)
			return -ENOENT;
		if (map.inode == (uint64_t)segment->shmid && major(map.dev) == 0)
			found = open_range(proc_root, pid, segment, map.start, map.end, ret_fd);
	}
	if (found != -ENOENT)
		return found;
	return r == -ESRCH ? -ENOENT : r;
}

/* maps_fd is closed. */
static int search_by_text(const char *proc_root, const char *pid, int maps_fd,
			  const SegfsSysv *segment, const void *address, int *ret_fd)
{
	FILE *maps = fdopen(maps_fd, "r");
	g_autofree char *line = NULL;
	size_t line_size = 0;
	int r = -ENOENT;

	if (!maps) {
		r = -errno;
		close(maps_fd);
		return r;
	}
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
		r = open_range(proc_root, pid, segment, start, end, ret_fd);
	}
	fclose(maps);
	return r;
}

int holder_open_mapping(const char *proc_root, const char *pid, const SegfsSysv *segment,
			const void *address, int *ret_fd)
{
	g_autofree char *path = g_strdup_printf("%s/%s/maps", proc_root, pid);
	const uint64_t start = (uintptr_t)address, page = sysconf(_SC_PAGESIZE);
	const uint64_t end = start + (segment->size + page - 1) / page * page;

	/* Where it ends is known as well, but of huge pages: maps need not be asked. */
	if (address && open_range(proc_root, pid, segment, start, end, ret_fd) == 0)
		return 0;
	autofd maps = open(path, O_RDONLY | O_CLOEXEC);
	if (maps < 0)
		return errno == ESRCH ? -ENOENT : -errno;
	int r = search_by_query(proc_root, pid, maps, segment, address, ret_fd);
	return r == -ENOTTY
		       ? search_by_text(proc_root, pid, steal_fd(&maps), segment, address, ret_fd)
		       : r;
}

/* The search has all that it needs: it may outlive the thread that wants its result. */
typedef struct {
	char *proc_root;
	uint64_t inum;
	SegfsSysv segment;
} Search;

/*
 * What says something of us, not of a process that was asked: it is no answer to who has the
 * memory, nor is it another one when the next process is asked.
 */
static bool is_our_own(int error)
{
	return error == -EMFILE || error == -ENFILE || error == -ENOMEM;
}

/* A descriptor of it, or -errno. */
static int open_of(const Search *search, const char *pid)
{
	g_autofree char *ns = g_strdup_printf("%s/%s/ns/ipc", search->proc_root, pid);
	const pid_t number = strtol(pid, NULL, 10);
	struct stat st;
	int fd;

	if (deadline_is_stuck(number))
		return -ETIMEDOUT;
	deadline_at(number);
	if (stat(ns, &st) < 0)
		return is_our_own(-errno) ? -errno : -ENOENT;
	if (st.st_ino != search->inum)
		return -ENOENT;
	int r = holder_open_mapping(search->proc_root, pid, &search->segment, NULL, &fd);
	return r < 0 ? r : fd;
}

static int open_of_any(const Search *search)
{
	DIR *proc = opendir(search->proc_root);
	struct dirent *entry;
	int fd = proc ? -ENOENT : -errno;

	while (proc && fd < 0 && !is_our_own(fd) && (entry = readdir(proc)))
		if (g_ascii_isdigit(entry->d_name[0]))
			fd = open_of(search, entry->d_name);
	if (proc)
		closedir(proc);
	return fd;
}

static int search_run(gpointer data)
{
	const Search *search = data;
	const pid_t likely[] = {search->segment.lpid, search->segment.cpid};

	for (guint i = 0; i < G_N_ELEMENTS(likely); i++) {
		char pid[16];
		if (likely[i] <= 0)
			continue;
		g_snprintf(pid, sizeof(pid), "%d", likely[i]);
		const int fd = open_of(search, pid);
		if (fd >= 0 || is_our_own(fd))
			return fd;
	}
	return open_of_any(search);
}

static void search_release(gpointer data)
{
	g_free(((Search *)data)->proc_root);
	g_free(data);
}

int holder_open_memory(SegfsIpc *ipc, const SegfsSysv *segment, int *ret_fd)
{
	enum { PATIENCE_MS = 2000 };

	if (!ipc->has_map_files || segment->nattch == 0)
		return -ENOENT;
	if (!errand_may_wait())
		return -EAGAIN;
	Search *search = g_new0(Search, 1);
	search->proc_root = g_strdup(ipc->proc_root);
	search->inum = ipc->inum;
	search->segment = *segment;
	const int fd = deadline_fetch(0, PATIENCE_MS, search_run, search, search_release);
	if (fd < 0)
		return is_our_own(fd) ? fd : -ENOENT;
	*ret_fd = fd;
	return 0;
}
