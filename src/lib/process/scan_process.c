/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What one process has mapped and open.
 *
 * A mapping is recognized by its line in /proc/PID/maps: device, inode and name. On the kernel's
 * own tmpfs, where nobody can name a file, the name says what it is. A descriptor is known
 * by its link where that is the kernel's name for memory, else by the mount that its
 * fdinfo names. stat(2) of a descriptor is done only where it leads to the kernel's tmpfs
 * or to a segfs mount, and there with AT_STATX_DONT_SYNC, which takes what the kernel
 * remembers: a stat that asks a file system can hang, and on our own mount would wait for
 * ourselves.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/kcmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "lib/os/autofd.h"
#include "lib/os/deadline.h"
#include "lib/os/fd.h"
#include "lib/os/procfs.h"
#include "lib/process/process.h"
#include "lib/process/scan.h"

/* The kind that one of the kernel's names for memory is of: "/SYSV00001234 (deleted)" and so on. */
static SegfsKind kind_of(const char *name)
{
	if (g_str_has_prefix(name, "/SYSV"))
		return SEGFS_SYSV;
	return g_str_has_prefix(name, "/memfd:") ? SEGFS_MEMFD : SEGFS_ANON;
}

static SegfsId id_of(SegfsKind kind, const SegfsProcess *process, dev_t dev, uint64_t inode)
{
	if (kind == SEGFS_SYSV)
		return (SegfsId){kind, process->ipc_ns, inode};
	return (SegfsId){kind, dev, inode};
}

/* As the kernel remembers it. */
static bool look(int directory_fd, const char *name, struct statx *ret_stat)
{
	return statx(directory_fd, name, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT,
		     STATX_INO | STATX_SIZE | STATX_UID | STATX_GID | STATX_BLOCKS, ret_stat) == 0;
}

/* Reads what the process is called, once it holds something. False: it is a mount, and holds it for
 * others. */
static bool name_process(ScanRun *run, int process_fd, SegfsProcess *process)
{
	ProcfsStat stat;

	if (!process->start && procfs_stat(run->proc_root, process->pid, &stat)) {
		process->start = stat.start;
		memcpy(process->command, stat.command, sizeof(process->command));
	}
	if (run->judged != process->pid) {
		char thread[32];
		g_snprintf(thread, sizeof(thread), "task/%d", run->thread);
		autofd thread_fd =
			run->thread == process->pid
				? -1
				: openat(process_fd, thread, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		run->judged = process->pid;
		run->is_mount = process_is_mount(thread_fd < 0 ? process_fd : thread_fd,
						 process->command, process->uid);
	}
	return !run->is_mount;
}

typedef struct {
	uint64_t start, end, inode;
	dev_t dev;
	const char *name;
	size_t name_length;
} Mapping;

static uint64_t hex(const char **at)
{
	uint64_t value = 0;

	for (int digit; (digit = g_ascii_xdigit_value(**at)) >= 0; (*at)++)
		value = value << 4 | digit;
	return value;
}

/* By hand, not by sscanf(3): a browser has thousands of lines. */
static bool mapping_parse(const char *line, const char *end, Mapping *ret)
{
	const char *at = line;

	ret->start = hex(&at);
	if (*at++ != '-')
		return false;
	ret->end = hex(&at);
	/* " rw-s 00000000 00:01 32769      /SYSV00000000 (deleted)" */
	for (int skipped = 0; skipped < 3 && at < end; at++)
		skipped += *at == ' ';
	const unsigned int major = hex(&at);
	if (*at++ != ':')
		return false;
	ret->dev = makedev(major, hex(&at));
	char *after;
	ret->inode = strtoull(at, &after, 10);
	/* Of no file. Segment 0 is inode 0, too. */
	if (ret->dev == 0)
		return false;
	at = after + strspn(after, " ");
	ret->name = at;
	ret->name_length = at < end ? end - at : 0;
	return true;
}

static void take_mapping(ScanRun *run, int process_fd, SegfsProcess *process, const Device *device,
			 const Mapping *mapping, bool *ret_examined)
{
	const bool is_kernels = device->kind == DEVICE_KERNEL || device->kind == DEVICE_HUGE;
	SegfsId id = id_of(is_kernels ? kind_of(mapping->name) : SEGFS_POSIX, process, mapping->dev,
			   mapping->inode);
	GHashTable *table = run->scan->held;
	char path[64];
	struct statx stat;

	const bool is_segment = id.kind == SEGFS_SYSV;
	deadline_at(process->pid);
	bool seen = false;
	if (is_segment || device->kind == DEVICE_SEGFS) {
		g_snprintf(path, sizeof(path), "map_files/%" PRIx64 "-%" PRIx64, mapping->start,
			   mapping->end);
		seen = look(process_fd, path, &stat);
	}
	if (device->kind == DEVICE_SEGFS) {
		/* The line has the kernel's number of the file, not the one that stat shows. */
		if (!seen) {
			*ret_examined = false;
			return;
		}
		id = (SegfsId){.number = stat.stx_ino};
		table = run->scan->mounted;
	}
	if (!name_process(run, process_fd, process))
		return;
	SegfsHolder *holder =
		scan_add(run->scan, table, &id, mapping->name, mapping->name_length, process);
	if (is_segment)
		holder->attached++;
	else
		holder->mapped++;
	holder->thread = run->thread;
	holder->start = mapping->start;
	holder->end = mapping->end;
	holder->is_huge = device->kind == DEVICE_HUGE;
	if (is_segment && seen) {
		holder->has_memory = true;
		holder->memory_uid = stat.stx_uid;
		holder->memory_gid = stat.stx_gid;
		holder->memory_size = stat.stx_size;
		holder->memory_resident = stat.stx_blocks * 512;
	}
}

/* The same without the text. -ENOTTY: the kernel does not know the question. */
static int ask_maps(ScanRun *run, int process_fd, const char *maps, SegfsProcess *process,
		    bool *ret_examined)
{
	autofd fd = openat(process_fd, maps, O_RDONLY | O_CLOEXEC);
	char name[PATH_MAX];
	ProcMap map = {};
	int r;

	if (fd < 0)
		return -errno;
	while ((r = procmap_next(fd, map.end, false, &map)) == 0) {
		const dev_t dev = map.dev;
		const Device *device = dev ? scan_run_device(run, dev) : NULL;
		if (!device)
			continue;
		const ssize_t length = procmap_name(fd, &map, name, sizeof(name));
		if (length < 0) {
			r = length;
			break;
		}
		/* A name that does not fit is of no kind that is told apart by it. */
		const Mapping mapping = {
			.start = map.start,
			.end = map.end,
			.inode = map.inode,
			.dev = map.dev,
			.name = length ? name : "",
			.name_length = length,
		};
		if (mapping.dev == dev)
			take_mapping(run, process_fd, process, device, &mapping, ret_examined);
	}
	switch (r) {
	case -ENOENT: /* no more of them */
		return 1;
	case -ESRCH: /* it has no memory, or no more */
		return 0;
	default:
		return r;
	}
}

/* In maps, a line for each mapping, a newline in a name is "\\012"; nothing else is changed. */
static void unescape_newlines(char *name)
{
	for (char *found; (found = strstr(name, "\\012")); name = found + 1) {
		*found = '\n';
		memmove(found + 1, found + 4, strlen(found + 4) + 1);
	}
}

/* Whether it has any memory, or -errno. */
static int take_maps(ScanRun *run, int process_fd, const char *maps, SegfsProcess *process,
		     bool *ret_examined)
{
	int n_lines = 0;
	int r = ask_maps(run, process_fd, maps, process, ret_examined);

	if (r != -ENOTTY)
		return r;
	r = procfs_read(process_fd, maps, run->text);
	if (r < 0)
		return r;
	const char *line = run->text->str;
	for (const char *end; (end = strchr(line, '\n')); line = end + 1, n_lines++) {
		Mapping mapping;
		const Device *device = NULL;
		if (mapping_parse(line, end, &mapping))
			device = scan_run_device(run, mapping.dev);
		if (!device)
			continue;
		g_autofree char *name = g_strndup(mapping.name, mapping.name_length);
		unescape_newlines(name);
		mapping.name = name;
		mapping.name_length = strlen(name);
		take_mapping(run, process_fd, process, device, &mapping, ret_examined);
	}
	return n_lines;
}

/* A file by its path: on a mount of which we know that it holds shared memory? */
static const Device *device_of_fd(ScanRun *run, int process_fd, const char *directory,
				  const char *fd, uint64_t *ret_inode)
{
	char path[64];
	uint64_t mount;
	struct statx stat;

	g_snprintf(path, sizeof(path), "%sinfo/%s", directory, fd);
	const int r = procfs_read(process_fd, path, run->text);
	run->missed |= !scan_run_tolerates(run, r);
	if (r < 0 || !procfs_number(run->text->str, "mnt_id", &mount))
		return NULL;
	const Device *device = scan_run_device(
		run,
		GPOINTER_TO_SIZE(g_hash_table_lookup(run->mounts, GUINT_TO_POINTER((guint)mount))));
	if (!device || (device->kind != DEVICE_SHM && device->kind != DEVICE_SEGFS))
		return NULL;
	if (procfs_number(run->text->str, "ino", ret_inode))
		return device;
	/* Before Linux 5.14 it is not said (KERNEL_FDINFO_INO): of these two a stat asks nobody. */
	g_snprintf(path, sizeof(path), "%s/%s", directory, fd);
	if (!look(process_fd, path, &stat)) {
		run->missed |= !scan_run_tolerates(run, -errno);
		return NULL;
	}
	*ret_inode = stat.stx_ino;
	return device;
}

/* What nearly every process has open. */
static bool is_of_no_interest(const char *link)
{
	return link[0] != '/' || !strcmp(link, "/dev/null") ||
	       g_str_has_prefix(link, "/dev/pts/") || g_str_has_prefix(link, "/usr/") ||
	       g_str_has_prefix(link, "/proc/") || g_str_has_prefix(link, "/sys/");
}

static void take_fd(ScanRun *run, int process_fd, const char *directory, int directory_fd,
		    const char *name, SegfsProcess *process)
{
	GHashTable *table = run->scan->held;
	char link[PATH_MAX];
	struct statx stat;
	SegfsId id;

	deadline_at(process->pid);
	const ssize_t length = readlinkat(directory_fd, name, link, sizeof(link) - 1);
	if (length <= 0)
		return;
	link[length] = '\0';
	if (is_of_no_interest(link))
		return;
	scan_run_drm(run, process_fd, directory, name, link);
	const Device *device = NULL;
	if (g_str_has_prefix(link, "/SYSV") || g_str_has_prefix(link, "/memfd:") ||
	    g_str_has_prefix(link, "/dev/zero")) {
		if (!look(directory_fd, name, &stat))
			return;
		const dev_t dev = makedev(stat.stx_dev_major, stat.stx_dev_minor);
		device = scan_run_device(run, dev);
		if (device && device->kind != DEVICE_KERNEL && device->kind != DEVICE_HUGE)
			device = NULL;
		id = id_of(kind_of(link), process, dev, stat.stx_ino);
	}
	if (!device) {
		uint64_t inode;
		device = device_of_fd(run, process_fd, directory, name, &inode);
		if (!device)
			return;
		id = (SegfsId){SEGFS_POSIX, device->dev, inode};
		if (device->kind == DEVICE_SEGFS) {
			if (!look(directory_fd, name, &stat))
				return;
			id = (SegfsId){.number = stat.stx_ino};
			table = run->scan->mounted;
		}
	}
	if (!name_process(run, process_fd, process))
		return;
	SegfsHolder *holder = scan_add(run->scan, table, &id, link, length, process);
	holder->open++;
	holder->is_huge = device->kind == DEVICE_HUGE;
	holder->thread = run->thread;
	holder->fd = strtol(name, NULL, 10);
}

static int take_fds(ScanRun *run, int process_fd, const char *directory, SegfsProcess *process)
{
	struct dirent *entry;
	DIR *fds = fd_open_directory(process_fd, directory);

	if (!fds)
		return -errno;
	while ((entry = readdir(fds)))
		if (g_ascii_isdigit(entry->d_name[0]))
			take_fd(run, process_fd, directory, dirfd(fds), entry->d_name, process);
	closedir(fds);
	return 0;
}

/*
 * Puts the thread among tables (pid_t), each of a table of descriptors of its own, in the order
 * that kcmp(2) has them in. False: its table is there already, or cannot be compared.
 */
static bool is_other_table(GArray *tables, pid_t thread)
{
	guint from = 0, to = tables->len;

	while (from < to) {
		const guint middle = from + (to - from) / 2;
		const long order =
			syscall(SYS_kcmp, thread, g_array_index(tables, pid_t, middle), KCMP_FILES);
		if (order <= 0)
			return false;
		if (order == 1) /* less */
			to = middle;
		else
			from = middle + 1;
	}
	g_array_insert_val(tables, from, thread);
	return true;
}

/*
 * A thread can have a table of its own (unshare(2), CLONE_FILES). Whose is another is asked of the
 * kernel, as there are programs with thousands of threads and descriptors, and next to none that do
 * so. run->thread is the one whose table has been gone through.
 */
static void take_other_tables(ScanRun *run, int process_fd, SegfsProcess *process)
{
	g_autoptr(GArray) tables = NULL;
	struct dirent *entry;
	struct stat st;

	/* A directory has a link for each of those in it, and two for itself. */
	if (fstatat(process_fd, "task", &st, 0) < 0 || st.st_nlink <= 3 ||
	    strcmp(run->proc_root, "/proc") != 0 || !procfs_is_ours())
		return;
	DIR *threads = fd_open_directory(process_fd, "task");
	if (!threads)
		return;
	tables = g_array_new(FALSE, FALSE, sizeof(pid_t));
	g_array_append_val(tables, run->thread);
	while ((entry = readdir(threads))) {
		const pid_t thread = strtol(entry->d_name, NULL, 10);
		char directory[64];
		if (thread <= 0 || thread == process->pid || !is_other_table(tables, thread))
			continue;
		run->thread = thread;
		g_snprintf(directory, sizeof(directory), "task/%d/fd", thread);
		take_fds(run, process_fd, directory, process);
	}
	closedir(threads);
}

/* The first thread has ended and others live: /proc/PID shows nothing any more, they do. */
static void take_threads(ScanRun *run, int process_fd, SegfsProcess *process, bool *ret_examined)
{
	DIR *threads = fd_open_directory(process_fd, "task");
	struct dirent *entry;
	bool found = false;

	if (!threads)
		*ret_examined = scan_run_tolerates(run, -errno);

	while (threads && !found && (entry = readdir(threads))) {
		char maps[64], directory[64];
		if (!g_ascii_isdigit(entry->d_name[0]))
			continue;
		run->thread = strtol(entry->d_name, NULL, 10);
		g_snprintf(maps, sizeof(maps), "task/%.16s/maps", entry->d_name);
		g_snprintf(directory, sizeof(directory), "task/%.16s/fd", entry->d_name);
		found = take_maps(run, process_fd, maps, process, ret_examined) > 0;
		if (found)
			take_fds(run, process_fd, directory, process);
	}
	if (threads)
		closedir(threads);
	if (found)
		take_other_tables(run, process_fd, process);
}

bool scan_run_process(ScanRun *run, int process_fd, SegfsProcess *process)
{
	bool examined = true;

	run->missed = false;
	run->thread = process->pid;
	int r = take_maps(run, process_fd, "maps", process, &examined);
	/* Threads of the kernel have no memory of their own, which is ESRCH, nor descriptors. */
	if (r < 0)
		return scan_run_tolerates(run, r);
	if (r == 0) {
		take_threads(run, process_fd, process, &examined);
		return examined && !run->missed;
	}
	r = take_fds(run, process_fd, "fd", process);
	if (r == 0)
		take_other_tables(run, process_fd, process);
	return scan_run_tolerates(run, r) && examined && !run->missed;
}
