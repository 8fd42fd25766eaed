/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/process/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <segfs/scan.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/os/autofd.h"
#include "lib/os/deadline.h"
#include "lib/os/escape.h"
#include "lib/os/fd.h"

#define MOUNT_COMMAND "segfs"

/* Is what it runs a file of that name, as "/usr/bin/segfs" or, replaced since, "… (deleted)"? */
static bool runs_mount(int directory_fd)
{
	char link[PATH_MAX];
	const ssize_t n = readlinkat(directory_fd, "exe", link, sizeof(link) - 1);

	link[MAX(n, 0)] = '\0';
	const char *name = strrchr(link, '/');
	return name && g_str_has_prefix(name + 1, MOUNT_COMMAND);
}

static bool has_fuse(int directory_fd)
{
	DIR *fds = fd_open_directory(directory_fd, "fd");
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
bool process_is_mount(int directory_fd, const char *command, uid_t uid)
{
	return !strcmp(command, MOUNT_COMMAND) && (uid == 0 || uid == geteuid()) &&
	       runs_mount(directory_fd) && has_fuse(directory_fd);
}

typedef struct {
	bool lives;
	bool has_stat;
	bool is_mount;
	ProcfsStat stat;
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
	known->has_stat = procfs_stat(proc_root, pid, &known->stat);
	/*
	 * Whoever runs it: a user who takes this name makes look unused only what that user's own
	 * program has used.
	 */
	known->is_mount = known->has_stat && !strcmp(known->stat.command, MOUNT_COMMAND);
	if (known->has_stat)
		known->lives = procfs_stat_lives(&known->stat);
	else /* /proc can hide the processes of others (proc(5), hidepid) */
		known->lives = kill(pid, 0) == 0 || errno == EPERM;
	g_hash_table_insert(table, GINT_TO_POINTER(pid), known);
	return known;
}

bool process_lives(const char *proc_root, GHashTable *table, pid_t pid, int64_t at,
		   ProcfsStat *ret_stat, bool *ret_is_mount)
{
	*ret_stat = (ProcfsStat){};
	*ret_is_mount = false;
	if (pid <= 0)
		return false;
	const Known *known = know(proc_root, table, pid);
	/*
	 * A second's grace: both clocks are cut to seconds. A time before the system was booted is
	 * of a clock that was set since, and means nothing.
	 */
	if (!known->lives || (known->has_stat && at >= procfs_started(0) &&
			      procfs_started(known->stat.start) > at + 1))
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

/* Asks the process itself, not one that has been given its number since. */
static void asking_run(gpointer data)
{
	Asking *asking = data;
	g_autofree char *path =
		g_strdup_printf("%s/%d/%s", asking->proc_root, asking->process.pid, asking->name);
	g_autofree char *text = NULL;
	ProcfsStat stat;

	deadline_at(asking->process.pid);
	if (g_file_get_contents(path, &text, &asking->size, NULL) &&
	    procfs_stat(asking->proc_root, asking->process.pid, &stat) &&
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

char *process_ask(const char *proc_root, const SegfsProcess *process, const char *name,
		  gsize *ret_size)
{
	enum { PATIENCE_MS = 1000 };
	char *text = NULL;

	if (deadline_is_stuck(process->pid))
		return NULL;
	Asking *asking = g_new0(Asking, 1);
	asking->proc_root = g_strdup(proc_root);
	asking->name = name;
	asking->process = *process;
	DeadlineCall *call = deadline_call(asking_run, asking, asking_release);
	if (deadline_wait(call, PATIENCE_MS)) {
		text = g_steal_pointer(&asking->text);
		*ret_size = asking->size;
	}
	deadline_leave(call);
	return text;
}

int64_t segfs_process_started(const SegfsProcess *process)
{
	return procfs_started(process->start);
}

char *process_line_of(const char *arguments, gsize size)
{
	while (size > 0 && arguments[size - 1] == '\0')
		size--;
	if (size == 0)
		return NULL;
	g_autofree char *line = g_malloc(size);
	for (gsize i = 0; i < size; i++)
		line[i] = arguments[i] == '\0' ? ' ' : arguments[i];
	return escape_text(line, size);
}

char *segfs_process_command_line(const char *proc_root, const SegfsProcess *process)
{
	gsize size;
	g_autofree char *arguments = process_ask(proc_root, process, "cmdline", &size);

	return arguments ? process_line_of(arguments, size) : NULL;
}

char *segfs_process_cgroup(const char *proc_root, const SegfsProcess *process)
{
	gsize size;
	g_autofree char *text = process_ask(proc_root, process, "cgroup", &size);
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

pid_t segfs_process_inner_pid(const char *proc_root, const SegfsProcess *process)
{
	gsize size;
	g_autofree char *status = process_ask(proc_root, process, "status", &size);
	const char *numbers = status ? procfs_value(status, "NSpid") : NULL;
	const size_t length = numbers ? strcspn(numbers, "\n") : 0;
	g_autofree char *line = g_strndup(numbers ? numbers : "", length);
	const char *last = strrchr(g_strchomp(line), '\t');

	return last ? atoi(last + 1) : 0;
}

/* The init of its own pid namespace, or ours. */
static bool is_init(const char *proc_root, pid_t pid, const ProcfsStat *stat)
{
	const SegfsProcess process = {.pid = pid, .thread = pid, .start = stat->start};

	return pid == 1 || segfs_process_inner_pid(proc_root, &process) == 1;
}

bool process_may_be_adopted(const char *proc_root, pid_t pid, uint64_t start)
{
	enum { GENERATIONS_MOST = 64 };
	ProcfsStat child, parent;

	if (!procfs_stat(proc_root, pid, &child) || child.start != start)
		return true;
	for (int i = 0; child.parent; i++, pid = child.parent, child = parent) {
		if (i == GENERATIONS_MOST || !procfs_stat(proc_root, child.parent, &parent))
			return true;
		if (child.session != pid &&
		    (child.session != parent.session || is_init(proc_root, child.parent, &parent)))
			return true;
	}
	return false;
}
