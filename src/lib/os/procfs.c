/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What /proc says of a process: proc(5). */

#include "lib/os/procfs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "lib/kernel/kernel.h"
#include "lib/os/autofd.h"

int procfs_read(int directory_fd, const char *name, GString *text)
{
	enum { PIECE = 32 * 1024 };
	autofd fd = openat(directory_fd, name, O_RDONLY | O_CLOEXEC);
	size_t used = 0;

	if (fd < 0)
		return -errno;
	for (;;) {
		g_string_set_size(text, used + PIECE);
		const ssize_t n = read(fd, text->str + used, PIECE);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			const int r = n < 0 ? -errno : 0;
			g_string_truncate(text, used);
			return r;
		}
		used += n;
	}
}

int procfs_open(const char *path, int flags)
{
	const int fd = open(path, flags);

	return fd < 0 && errno == EACCES ? open(path, flags) : fd;
}

const char *procfs_value(const char *text, const char *key)
{
	const size_t length = strlen(key);

	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, key, length) != 0 || line[length] == '\0' ||
		    !strchr(": \t", line[length]))
			continue;
		const char *value = line + length;
		value += *value == ':';
		return value + strspn(value, " \t");
	}
	return NULL;
}

bool procfs_number(const char *text, const char *key, uint64_t *ret_number)
{
	const char *value = procfs_value(text, key);

	if (!value || !g_ascii_isdigit(*value))
		return false;
	*ret_number = g_ascii_strtoull(value, NULL, 10);
	return true;
}

/* "ipc:[4026531839]" */
uint64_t procfs_namespace(int directory_fd, const char *name)
{
	char link[64];
	const ssize_t n = readlinkat(directory_fd, name, link, sizeof(link) - 1);

	if (n < 0)
		return 0;
	link[n] = '\0';
	const char *number = strchr(link, '[');
	return number ? g_ascii_strtoull(number + 1, NULL, 10) : 0;
}

uint64_t procfs_namespace_owner(int ns_fd)
{
	autofd owner = ioctl(ns_fd, NS_GET_USERNS);
	struct stat st;

	return owner < 0 || fstat(owner, &st) < 0 ? 0 : st.st_ino;
}

uint64_t procfs_namespace_id(int ns_fd)
{
	uint64_t id;

	return kernel_has(KERNEL_NS_ID) && ioctl(ns_fd, NS_GET_ID, &id) == 0 ? id : 0;
}

int procfs_sysctl(const char *proc_root, const char *name, int *ret_number)
{
	g_autofree char *path = g_strdup_printf("%s/sys/%s", proc_root, name);
	autofd fd = open(path, O_RDONLY | O_CLOEXEC);
	char text[16];

	if (fd < 0)
		return -errno;
	const ssize_t n = read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return n < 0 ? -errno : -EIO;
	text[n] = '\0';
	*ret_number = (int)g_ascii_strtoll(text, NULL, 10);
	return 0;
}

bool procfs_stat(const char *proc_root, pid_t pid, ProcfsStat *ret_stat)
{
	g_autofree char *path = g_strdup_printf("%s/%d/stat", proc_root, pid);
	g_autofree char *stat = NULL;
	unsigned long long start;
	ProcfsStat found = {};

	if (!g_file_get_contents(path, &stat, NULL, NULL))
		return false;
	/* The command, field 2, can hold anything, brackets and blanks included. */
	const char *before = strchr(stat, '('), *after = strrchr(stat, ')');
	if (!before || !after ||
	    sscanf(after + 1,
		   " %c %d %*d %d %*d %*d %u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %u "
		   "%*d %llu",
		   &found.state, &found.parent, &found.session, &found.flags, &found.n_threads,
		   &start) != 6)
		return false;
	g_strlcpy(found.command, before + 1, MIN(sizeof(found.command), (size_t)(after - before)));
	found.start = start;
	*ret_stat = found;
	return true;
}

bool procfs_stat_lives(const ProcfsStat *stat)
{
	return stat->state != 'Z' || stat->n_threads > 1;
}

bool procfs_is_alive(const char *proc_root, pid_t pid, uint64_t start)
{
	ProcfsStat stat;

	return procfs_stat(proc_root, pid, &stat) && stat.start == start &&
	       procfs_stat_lives(&stat);
}

int64_t procfs_started(uint64_t ticks)
{
	struct timespec real, boot;

	clock_gettime(CLOCK_REALTIME, &real);
	clock_gettime(CLOCK_BOOTTIME, &boot);
	return real.tv_sec - boot.tv_sec + (int64_t)(ticks / sysconf(_SC_CLK_TCK));
}

/*
 * "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue": six fields,
 * any number of optional ones, a dash, three fields. The kernel writes a blank, tab, newline or
 * backslash of a name as \ and three octal digits (mangle_path(), fs/seq_file.c), so that a blank
 * separates; only a source (the field after the type) can be a file system's own text.
 */

static int octal(const char *at)
{
	int value = 0;

	for (int i = 0; i < 3; i++) {
		if (at[i] < '0' || at[i] > '7')
			return -1;
		value = value * 8 + (at[i] - '0');
	}
	return value > 0 && value <= UCHAR_MAX ? value : -1;
}

/* In place: it becomes no longer by it. */
static void unescape(char *name)
{
	char *to = name;

	for (const char *from = name; *from; to++) {
		const int value = *from == '\\' ? octal(from + 1) : -1;
		*to = value < 0 ? *from : (char)value;
		from += value < 0 ? 1 : 4;
	}
	*to = '\0';
}

static bool parse(char *line, MountinfoLine *ret)
{
	enum { ID, PARENT, DEVICE, ROOT, POINT, N_FIELDS };
	char *field[N_FIELDS], *rest = line;
	unsigned int major, minor;

	for (guint i = 0; i < N_FIELDS; i++)
		if (!(field[i] = strsep(&rest, " ")))
			return false;
	char *type = rest ? strstr(rest, " - ") : NULL;
	if (!type || sscanf(field[DEVICE], "%u:%u", &major, &minor) != 2)
		return false;
	type += strlen(" - ");
	/* From the end: what stands before them is anybody's to choose. */
	const char *options = strrchr(type, ' ');
	char *after = strchr(type, ' ');
	*ret = (MountinfoLine){
		.id = strtoul(field[ID], NULL, 10),
		.dev = makedev(major, minor),
		.root = field[ROOT],
		.point = field[POINT],
		.type = type,
		.options = options ? options + 1 : "",
	};
	if (after)
		*after = '\0';
	unescape(field[ROOT]);
	unescape(field[POINT]);
	return true;
}

bool mountinfo_next(char **rest, MountinfoLine *ret_line)
{
	char *line;

	while ((line = strsep(rest, "\n")))
		if (parse(line, ret_line))
			return true;
	return false;
}

int64_t procfs_started_us(uint64_t ticks)
{
	struct timespec real, boot;

	clock_gettime(CLOCK_REALTIME, &real);
	clock_gettime(CLOCK_BOOTTIME, &boot);
	return (real.tv_sec - boot.tv_sec) * G_USEC_PER_SEC + (real.tv_nsec - boot.tv_nsec) / 1000 +
	       (int64_t)(ticks * G_USEC_PER_SEC / sysconf(_SC_CLK_TCK));
}

bool procfs_user(const char *proc_root, pid_t pid, uid_t *ret_uid)
{
	g_autofree char *path = g_strdup_printf("%s/%d/status", proc_root, pid);
	g_autofree char *status = NULL;
	unsigned int effective;

	if (!g_file_get_contents(path, &status, NULL, NULL))
		return false;
	const char *value = procfs_value(status, "Uid");
	if (!value || sscanf(value, "%*u %u", &effective) != 1)
		return false;
	*ret_uid = effective;
	return true;
}

#define QUERY_SHARED 0x08
#define QUERY_THIS_OR_NEXT 0x10
#define QUERY_FILE_BACKED 0x20

static int query(int maps_fd, uint64_t from, uint64_t which, char *name, size_t size,
		 ProcMapQuery *ret_query)
{
	*ret_query = (ProcMapQuery){
		.size = sizeof(*ret_query),
		.query_flags = QUERY_THIS_OR_NEXT | QUERY_FILE_BACKED | which,
		.query_addr = from,
		.name_size = size,
		.name_addr = (uintptr_t)name,
	};
	if (!kernel_has(KERNEL_PROCMAP_QUERY))
		return -ENOTTY;
	return ioctl(maps_fd, PROCMAP_QUERY, ret_query) < 0 ? -errno : 0;
}

static ProcMap map_of(const ProcMapQuery *query)
{
	return (ProcMap){query->start, query->end, query->inode,
			 makedev(query->major, query->minor)};
}

int procmap_next(int maps_fd, uint64_t from, bool shared, ProcMap *ret_map)
{
	ProcMapQuery found;
	int r = query(maps_fd, from, shared ? QUERY_SHARED : 0, NULL, 0, &found);

	if (r == 0)
		*ret_map = map_of(&found);
	return r;
}

ssize_t procmap_name(int maps_fd, ProcMap *map, char *name, size_t size)
{
	ProcMapQuery found;
	int r = query(maps_fd, map->start, 0, name, size, &found);

	if (r == -ENAMETOOLONG)
		r = query(maps_fd, map->start, 0, NULL, 0, &found);
	if (r < 0)
		return r;
	*map = map_of(&found);
	return found.name_size ? found.name_size - 1 : 0;
}

bool procfs_is_killed(const char *proc_root, pid_t tid)
{
	static const char key[] = "\nSigPnd:";
	g_autofree char *path = g_strdup_printf("%s/%d/status", proc_root, tid);
	g_autoptr(GString) status = g_string_new(NULL);
	const int r = procfs_read(AT_FDCWD, path, status);

	if (r < 0)
		return r == -ENOENT || r == -ESRCH;
	/* Whatever signal ends it, each of its threads is sent this one (complete_signal()). */
	const char *line = strstr(status->str, key);
	const uint64_t pending = line ? g_ascii_strtoull(line + strlen(key), NULL, 16) : 0;
	return pending & 1ULL << (SIGKILL - 1);
}

bool procfs_has_ended(int pidfd)
{
	struct pollfd fd = {.fd = pidfd, .events = POLLIN};

	return pidfd < 0 || poll(&fd, 1, 0) != 0;
}
