/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which caller may see what of a survey. The kernel is asked, as that caller. */

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/openat2.h>
#include <pwd.h>
#include <segfs/report.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/memory/creator.h"
#include "lib/memory/ipc.h"
#include "lib/os/autofd.h"
#include "lib/os/escape.h"
#include "lib/os/fd.h"
#include "lib/os/procfs.h"
#include "lib/process/process.h"

/*
 * The kernel shows a process's namespaces to those to whom it shows its memory (ptrace(2),
 * PTRACE_MODE_READ_FSCREDS).
 */
bool segfs_holder_is_visible(const char *proc_root, const SegfsCaller *caller,
			     const SegfsProcess *process)
{
	ProcfsStat stat;
	char link[64];

	if (!caller)
		return true;
	g_autofree char *path =
		g_strdup_printf("%s/%d/task/%d/ns/ipc", proc_root, process->pid, process->thread);
	if (SEGFS_AS(caller, readlink(path, link, sizeof(link))) < 0)
		return false;
	/* Afterwards, so that it was not asked of one that has its number by now. */
	return procfs_stat(proc_root, process->pid, &stat) && stat.start == process->start;
}

/* faccessat(2), not access(2): acting as the caller, the real user is still ours. */
static bool may_read_command(const char *proc_root, const SegfsCaller *caller, pid_t pid)
{
	g_autofree char *path = g_strdup_printf("%s/%d/comm", proc_root, pid);

	return SEGFS_AS(caller, faccessat(AT_FDCWD, path, R_OK, AT_EACCESS)) == 0;
}

/* Asked of the first process, which is hidden where any other user's is. */
static bool may_see_others(const char *proc_root, const SegfsCaller *caller)
{
	g_autofree char *path = g_build_filename(proc_root, "1", NULL);
	struct stat st;

	if (stat(path, &st) < 0 || (caller->uid != 0 && caller->uid == st.st_uid))
		return false;
	return may_read_command(proc_root, caller, 1);
}

bool segfs_command_is_visible(const char *proc_root, const SegfsCaller *caller,
			      const SegfsProcess *process)
{
	ProcfsStat stat;

	/* Every process is shown to who may trace every process (proc(5), hidepid). */
	if (!caller || segfs_caller_has(caller, CAP_SYS_PTRACE))
		return true;
	const bool may = may_read_command(proc_root, caller, process->pid);
	/* Afterwards, so that it was not asked of one that has its number by now. */
	if (process->start && procfs_stat(proc_root, process->pid, &stat) &&
	    stat.start == process->start)
		return may;
	return caller->uid == process->uid || may_see_others(proc_root, caller);
}

bool segfs_past_is_visible(const char *proc_root, const SegfsCaller *caller, const SegfsPast *past)
{
	const SegfsProcess process = {
		.pid = past->creator.pid,
		.start = past->ended ? 0 : past->creator.start,
		.uid = past->creator.uid,
	};

	return segfs_actor_is_known(&past->creator) &&
	       segfs_command_is_visible(proc_root, caller, &process);
}

bool segfs_last_holder_is_visible(const char *proc_root, const SegfsCaller *caller,
				  const SegfsPast *past)
{
	const SegfsProcess process = {
		.pid = past->holder.pid,
		.start = past->holder_code < 0 ? past->holder.start : 0,
		.uid = past->holder.uid,
	};

	return segfs_command_is_visible(proc_root, caller, &process);
}

bool segfs_past_stack_is_visible(const char *proc_root, const SegfsCaller *caller,
				 const SegfsPast *past)
{
	const SegfsProcess process = {
		.pid = past->creator.pid,
		.thread = past->creator.pid,
		.start = past->creator.start,
	};

	if (!past->stack)
		return false;
	if (!caller || segfs_caller_has(caller, CAP_SYS_PTRACE))
		return true;
	if (procfs_is_alive(proc_root, process.pid, process.start))
		return segfs_holder_is_visible(proc_root, caller, &process);
	return caller->uid == past->creator.uid && segfs_stack_is_dumpable(past->stack);
}

char *segfs_sysv_creator_shown(SegfsIpc *ipc, const SegfsCaller *caller, const SegfsSysv *segment)
{
	g_autoptr(GHashTable) known = process_table_new();
	Creator creator;

	creator_state(ipc, known, segment, &creator);
	const SegfsProcess process = creator_process(&creator);
	if (!creator.command[0] || !segfs_command_is_visible(ipc->proc_root, caller, &process))
		return NULL;
	return g_strdup(creator.command);
}

/* Does it have a name that lies in a directory? */
static bool is_in_directory(const SegfsItem *item)
{
	return item->id.kind == SEGFS_POSIX && !item->unlinked;
}

bool segfs_item_is_found(const SegfsCaller *caller, const SegfsItem *item)
{
	autofd fd = -1;

	return !caller || !is_in_directory(item) ||
	       segfs_posix_open_path(item->posix, caller, item->name, &fd) == 0;
}

/* Below posix; "." is the whole of it. */
static bool may_list(const SegfsCaller *caller, const SegfsPosix *posix, const char *directory)
{
	const uint64_t resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV;
	/* "." in it is found only by who may search it. */
	g_autofree char *path = g_strconcat(directory, "/.", NULL);
	autofd at = -1;

	if (segfs_posix_open(posix, &at) < 0)
		return false;
	/* Of directories on the way it is not asked. */
	if (segfs_caller_admit(caller, at, R_OK | X_OK) < 0 ||
	    (caller->groups_unknown && strcmp(directory, ".") != 0))
		return false;
	autofd fd = SEGFS_AS(caller, fd_open_resolved(at, path, O_RDONLY | O_DIRECTORY, resolve));
	return fd >= 0;
}

/* A directory's path by which of the directories of POSIX objects it is in. */
GHashTable *segfs_directories_known_new(void)
{
	return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
}

bool segfs_item_is_visible(const SegfsCaller *caller, const SegfsItem *item, GHashTable *known)
{
	gpointer may;

	if (!caller || !is_in_directory(item))
		return true;
	g_autofree char *directory = g_path_get_dirname(item->name);
	g_autofree char *key = g_strdup_printf("%p %s", (const void *)item->posix, directory);
	if (!g_hash_table_lookup_extended(known, key, NULL, &may)) {
		may = GINT_TO_POINTER(may_list(caller, item->posix, directory));
		g_hash_table_insert(known, g_steal_pointer(&key), may);
	}
	return GPOINTER_TO_INT(may);
}

typedef enum { CHANGES_NOTHING, CHANGES_OWN, CHANGES_ALL } Changes;

/* What of a directory the caller may remove. */
static Changes may_change(const SegfsCaller *caller, const SegfsPosix *posix, const char *directory)
{
	autofd fd = -1;
	struct stat st;
	FdPath path;

	if (segfs_posix_open_path(posix, caller, directory, &fd) < 0 || fstat(fd, &st) < 0)
		return CHANGES_NOTHING;
	fd_path(fd, path);
	if (SEGFS_AS(caller, faccessat(AT_FDCWD, path, W_OK | X_OK, AT_EACCESS)) < 0)
		return CHANGES_NOTHING;
	return !(st.st_mode & S_ISVTX) || caller->uid == st.st_uid ||
			       segfs_caller_has(caller, CAP_FOWNER)
		       ? CHANGES_ALL
		       : CHANGES_OWN;
}

bool segfs_item_is_removable(const SegfsCaller *caller, const SegfsItem *item, GHashTable *known)
{
	gpointer changes;

	if (!caller)
		return true;
	if (item->id.kind == SEGFS_SYSV)
		return caller->uid == item->uid || caller->uid == item->sysv.cuid ||
		       segfs_caller_has(caller, CAP_SYS_ADMIN);
	g_autofree char *directory = g_path_get_dirname(item->name);
	g_autofree char *key = g_strdup_printf("rm %p %s", (const void *)item->posix, directory);
	if (!g_hash_table_lookup_extended(known, key, NULL, &changes)) {
		changes = GINT_TO_POINTER(may_change(caller, item->posix, directory));
		g_hash_table_insert(known, g_steal_pointer(&key), changes);
	}
	return GPOINTER_TO_INT(changes) == CHANGES_ALL ||
	       (GPOINTER_TO_INT(changes) == CHANGES_OWN && caller->uid == item->uid);
}

/* getpwuid_r(3) and getgrgid_r(3) as one. */
typedef int (*NameGet)(guint id, char *buffer, size_t size, const char **ret_name);

static int user_get(guint id, char *buffer, size_t size, const char **ret_name)
{
	struct passwd entry, *found = NULL;
	const int r = getpwuid_r(id, &entry, buffer, size, &found);

	*ret_name = found ? found->pw_name : NULL;
	return r;
}

static int group_get(guint id, char *buffer, size_t size, const char **ret_name)
{
	struct group entry, *found = NULL;
	const int r = getgrgid_r(id, &entry, buffer, size, &found);

	*ret_name = found ? found->gr_name : NULL;
	return r;
}

/* A group has all its members in the buffer. */
static char *name_of(guint id, NameGet get)
{
	for (size_t size = 1024; size <= 1024 * 1024; size *= 4) {
		g_autofree char *buffer = g_malloc(size);
		const char *name;
		const int r = get(id, buffer, size, &name);

		if (r != ERANGE)
			return r == 0 ? g_strdup(name) : NULL;
	}
	return NULL;
}

char *segfs_user_name(uid_t uid)
{
	return name_of(uid, user_get);
}

char *segfs_group_name(gid_t gid)
{
	return name_of(gid, group_get);
}

char *segfs_unexamined_text(const char *proc_root, const SegfsCaller *caller, const SegfsScan *scan)
{
	enum { SHOWN_MOST = 5 };
	const guint n = segfs_scan_unexamined(scan);
	GString *text = g_string_new(NULL);

	for (guint i = 0; i < MIN(n, SHOWN_MOST); i++) {
		const SegfsUnexamined *one = segfs_scan_unexamined_of(scan, i);
		g_autofree char *command = escape_text(one->process.command, -1);
		g_string_append(text, i > 0 ? ", " : "");
		if (one->process.pid == 0) {
			g_string_append(text, "those that /proc hides");
			continue;
		}
		g_string_append_printf(text, "%d", one->process.pid);
		if (*command && segfs_command_is_visible(proc_root, caller, &one->process))
			g_string_append_printf(text, " %s", command);
		if (one->error)
			g_string_append_printf(text, " (%s)", g_strerror(-one->error));
	}
	if (n > SHOWN_MOST)
		g_string_append_printf(text, " and %u more", n - SHOWN_MOST);
	return g_string_free(text, FALSE);
}
