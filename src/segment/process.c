/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "segment/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <segfs/scan.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "segment/autofd.h"
#include "segment/errand.h"
#include "segment/escape.h"

#define MOUNT_COMMAND "segfs"

int process_read(int folder_fd, const char *name, GString *text)
{
	enum { PIECE = 32 * 1024 };
	autofd fd = openat(folder_fd, name, O_RDONLY | O_CLOEXEC);
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

/* "ipc:[4026531839]" */
uint64_t process_namespace(int folder_fd, const char *name)
{
	char link[64];
	const ssize_t n = readlinkat(folder_fd, name, link, sizeof(link) - 1);

	if (n < 0)
		return 0;
	link[n] = '\0';
	const char *number = strchr(link, '[');
	return number ? g_ascii_strtoull(number + 1, NULL, 10) : 0;
}

uint64_t process_namespace_owner(int ns_fd)
{
	autofd owner = ioctl(ns_fd, NS_GET_USERNS);
	struct stat st;

	return owner < 0 || fstat(owner, &st) < 0 ? 0 : st.st_ino;
}

bool process_stat(const char *proc_root, pid_t pid, ProcessStat *ret_stat)
{
	g_autofree char *path = g_strdup_printf("%s/%d/stat", proc_root, pid);
	g_autofree char *stat = NULL;
	unsigned long long start;
	ProcessStat found = {};

	if (!g_file_get_contents(path, &stat, NULL, NULL))
		return false;
	/* The command, field 2, can hold anything, brackets and blanks included. */
	const char *before = strchr(stat, '('), *after = strrchr(stat, ')');
	if (!before || !after ||
	    sscanf(after + 1,
		   " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %u "
		   "%*d %llu",
		   &found.state, &found.n_threads, &start) != 3)
		return false;
	g_strlcpy(found.command, before + 1, MIN(sizeof(found.command), (size_t)(after - before)));
	found.start = start;
	*ret_stat = found;
	return true;
}

/* One that is dead and not waited for is Z; so is one of which other threads live. */
static bool stat_lives(const ProcessStat *stat)
{
	return stat->state != 'Z' || stat->n_threads > 1;
}

bool process_is_alive(const char *proc_root, pid_t pid, uint64_t start)
{
	ProcessStat stat;

	return process_stat(proc_root, pid, &stat) && stat.start == start && stat_lives(&stat);
}

int64_t process_started(uint64_t ticks)
{
	struct timespec real, boot;

	clock_gettime(CLOCK_REALTIME, &real);
	clock_gettime(CLOCK_BOOTTIME, &boot);
	return real.tv_sec - boot.tv_sec + (int64_t)(ticks / sysconf(_SC_CLK_TCK));
}

/* Is what it runs a file of that name, as "/usr/bin/segfs" or, replaced since, "… (deleted)"? */
static bool runs_mount(int folder_fd)
{
	char link[PATH_MAX];
	const ssize_t n = readlinkat(folder_fd, "exe", link, sizeof(link) - 1);

	link[MAX(n, 0)] = '\0';
	const char *name = strrchr(link, '/');
	return name && g_str_has_prefix(name + 1, MOUNT_COMMAND);
}

static bool has_fuse(int folder_fd)
{
	const int fd = openat(folder_fd, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *fds = fd < 0 ? NULL : fdopendir(fd);
	if (fd >= 0 && !fds)
		close(fd);
	struct dirent *entry;
	bool found = false;

	while (fds && !found && (entry = readdir(fds))) {
		char link[PATH_MAX];
		const ssize_t n = readlinkat(dirfd(fds), entry->d_name, link, sizeof(link) - 1);
		link[MAX(n, 0)] = '\0';
		found = g_str_has_suffix(link, "/fuse"); /* /dev is another's, perhaps */
	}
	if (fds)
		closedir(fds);
	return found;
}

/*
 * The name alone is anybody's: a symbolic link that is called so to a set-user-id program runs
 * as root, and has what descriptors it was left, /dev/fuse as well. But a file of that name
 * nobody can give root's rights to who is not root.
 */
bool process_is_mount(int folder_fd, const char *command, uid_t uid)
{
	return !strcmp(command, MOUNT_COMMAND) && (uid == 0 || uid == geteuid()) &&
	       runs_mount(folder_fd) && has_fuse(folder_fd);
}

typedef struct {
	bool lives;
	bool has_stat;
	bool is_mount;
	ProcessStat stat;
} Known;

GHashTable *process_table_new(void)
{
	return g_hash_table_new_full(NULL, NULL, NULL, g_free);
}

static const Known *know(const char *proc_root, GHashTable *table, pid_t pid)
{
	Known *known = g_hash_table_lookup(table, GINT_TO_POINTER(pid));

	if (known)
		return known;
	known = g_new0(Known, 1);
	known->has_stat = process_stat(proc_root, pid, &known->stat);
	/* Of anybody's: who takes this name makes only what they did themselves look unused. */
	known->is_mount = known->has_stat && !strcmp(known->stat.command, MOUNT_COMMAND);
	if (known->has_stat)
		known->lives = stat_lives(&known->stat);
	else /* /proc can hide the processes of others (proc(5), hidepid) */
		known->lives = kill(pid, 0) == 0 || errno == EPERM;
	g_hash_table_insert(table, GINT_TO_POINTER(pid), known);
	return known;
}

bool process_lives(const char *proc_root, GHashTable *table, pid_t pid, int64_t at,
		   ProcessStat *ret_stat, bool *ret_is_mount)
{
	*ret_stat = (ProcessStat){};
	*ret_is_mount = false;
	if (pid <= 0)
		return false;
	const Known *known = know(proc_root, table, pid);
	/*
	 * A second's grace: both clocks are cut to seconds. A time before the system was booted is
	 * of a clock that was set since: it tells nothing.
	 */
	if (!known->lives || (known->has_stat && at >= process_started(0) &&
			      process_started(known->stat.start) > at + 1))
		return false;
	*ret_stat = known->stat;
	*ret_is_mount = known->is_mount;
	return true;
}

typedef struct {
	char *proc_root;
	const char *name;
	SegfsProcess process;
	char *text;
	gsize size;
} Asking;

/* Of the process itself, not of one that has its number now. */
static void asking_run(gpointer data)
{
	Asking *asking = data;
	g_autofree char *path =
		g_strdup_printf("%s/%d/%s", asking->proc_root, asking->process.pid, asking->name);
	g_autofree char *text = NULL;
	ProcessStat stat;

	errand_at(asking->process.pid);
	if (g_file_get_contents(path, &text, &asking->size, NULL) &&
	    process_stat(asking->proc_root, asking->process.pid, &stat) &&
	    stat.start == asking->process.start)
		asking->text = g_steal_pointer(&text);
}

static void asking_release(gpointer data)
{
	Asking *asking = data;

	g_free(asking->proc_root);
	g_free(asking->text);
	g_free(asking);
}

static char *ask(const char *proc_root, const SegfsProcess *process, const char *name,
		 gsize *ret_size)
{
	enum { PATIENCE_MS = 1000 };
	char *text = NULL;

	if (errand_is_stuck(process->pid))
		return NULL;
	Asking *asking = g_new0(Asking, 1);
	asking->proc_root = g_strdup(proc_root);
	asking->name = name;
	asking->process = *process;
	Errand *errand = errand_send(asking_run, asking, asking_release);
	if (errand_wait(errand, PATIENCE_MS)) {
		text = g_steal_pointer(&asking->text);
		*ret_size = asking->size;
	}
	errand_leave(errand);
	return text;
}

int64_t segfs_process_started(const SegfsProcess *process)
{
	return process_started(process->start);
}

char *segfs_process_command_line(const char *proc_root, const SegfsProcess *process)
{
	gsize size;
	g_autofree char *line = ask(proc_root, process, "cmdline", &size);

	while (line && size > 0 && line[size - 1] == '\0')
		size--;
	if (!line || size == 0)
		return NULL;
	for (gsize i = 0; i < size; i++)
		if (line[i] == '\0')
			line[i] = ' ';
	return escape_text(line, size);
}

char *segfs_process_cgroup(const char *proc_root, const SegfsProcess *process)
{
	gsize size;
	g_autofree char *text = ask(proc_root, process, "cgroup", &size);
	g_auto(GStrv) lines = text ? g_strsplit(text, "\n", -1) : NULL;
	const char *found = NULL;

	/* "0::/path" is version 2; where there is only version 1, the first that is not "/". */
	for (char **line = lines; line && *line; line++) {
		const char *path = strchr(*line, ':') ? strchr(strchr(*line, ':') + 1, ':') : NULL;
		if (!path)
			continue;
		path++;
		const bool says_more = strcmp(path, "/") != 0;
		if (!found ||
		    (says_more && (!strcmp(found, "/") || g_str_has_prefix(*line, "0::"))))
			found = path;
	}
	return found ? escape_text(found, -1) : NULL;
}
