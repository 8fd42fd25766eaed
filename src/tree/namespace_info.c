/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The file ns/<inum>/info/namespace: to which processes and container the namespace belongs. */

#include <errno.h>
#include <inttypes.h>
#include <segfs/container.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/os/escape.h"
#include "tree/item.h"

static void write_oldest(IpcNs *ns, const SegfsProcess *oldest, GString *text)
{
	const char *proc_root = segfs_ipc_proc_root(ns->ipc);
	g_autofree char *user = segfs_user_name(oldest->uid);
	g_autofree char *command = escape_text(oldest->command, -1);
	g_autofree char *command_line = segfs_process_command_line(proc_root, oldest);
	g_autofree char *cgroup = segfs_process_cgroup(proc_root, oldest);
	uint64_t owner;

	if (cgroup)
		g_string_append_printf(text, "Cgroup:\t%s\n", cgroup);
	if (segfs_namespace_owner(ns->other, &owner) == 0)
		g_string_append_printf(text, "UserNamespace:\tuser:[%" PRIu64 "]\n", owner);
	g_string_append_printf(text, "Oldest:\t%d %s, user ", oldest->pid, command);
	if (user)
		g_string_append(text, user);
	else
		g_string_append_printf(text, "%u", oldest->uid);
	g_string_append_printf(text, ", started %" PRId64 " s ago\n",
			       MAX((int64_t)time(NULL) - segfs_process_started(oldest), 0));
	if (command_line)
		g_string_append_printf(text, "CommandLine:\t%s\n", command_line);
}

static int write_containers(IpcNs *ns, GString *text)
{
	g_autoptr(GArray) containers = NULL;

	int r = segfs_namespace_containers(ns->other, segfs_ipc_proc_root(ns->ipc),
					   segfs_since_recent(), &containers);
	if (r < 0)
		return r;
	for (guint i = 0; i < containers->len; i++) {
		g_autofree char *container =
			segfs_container_text(&g_array_index(containers, SegfsContainer, i));
		g_string_append_printf(text, "Container:\t%s\n", container);
	}
	if (containers->len == 0)
		g_string_append(text, "Container:\tnone that is known\n");
	return 0;
}

static void write_posix(IpcNs *ns, const GArray *shm, GString *text)
{
	const SegfsPosix *posix;

	for (guint i = 0; (posix = segfs_view_posix(ns->view, i)); i++) {
		for (guint j = 0; j < shm->len; j++) {
			const SegfsNamespaceShm *seen = &g_array_index(shm, SegfsNamespaceShm, j);
			if (seen->dev != segfs_posix_dev(posix))
				continue;
			g_autofree char *name = segfs_posix_directory_name(i);
			g_string_append_printf(text,
					       "Posix:\t%s is /dev/shm of mount namespace %" PRIu64
					       ", seen by process %d\n",
					       name, seen->mnt_ns, seen->pid);
		}
	}
}

/* A /dev/shm that is not in posix/: silence would read as "nothing". */
static void write_missed(IpcNs *ns, const GArray *processes, GString *text)
{
	enum { MOST = 16 };
	g_autoptr(GHashTable) seen = g_hash_table_new(g_int64_hash, g_int64_equal);
	guint n = 0;

	for (guint i = 0; i < processes->len; i++) {
		const SegfsProcess *process = &g_array_index(processes, SegfsProcess, i);
		if (!g_hash_table_add(seen, (gpointer)&process->mnt_ns))
			continue;
		g_autofree char *why =
			segfs_process_shm_missed(segfs_ipc_proc_root(ns->ipc), process->pid);
		if (why && n++ < MOST)
			g_string_append_printf(text,
					       "NotShown:\t/dev/shm of mount namespace %" PRIu64
					       " (/proc/%d/root/dev/shm): %s\n",
					       process->mnt_ns, process->pid, why);
	}
	if (n > MOST)
		g_string_append_printf(text, "NotShown:\t%u more\n", n - MOST);
}

/* What the mount does not know of, since a directory does not let itself be read. */
static int write_unread(IpcNs *ns, GString *text)
{
	g_autoptr(GPtrArray) items = NULL;
	int r = segfs_view_survey(ns->view, segfs_since_recent(), &items);
	g_autofree char *unread = r < 0 ? NULL : limits_unread(ns);

	if (unread)
		g_string_append_printf(text, "Unread:\t%s\n", unread);
	return r;
}

static int namespace_answer(IpcNs *ns, const SegfsCaller *caller, TextOut *out)
{
	g_autoptr(GString) text = g_string_new(NULL);
	g_autoptr(GArray) processes = NULL, shm = NULL;

	int r = segfs_namespace_processes(ns->other, segfs_since_now(), &processes);
	if (r == 0 && processes->len == 0)
		r = -ENOENT;
	if (r == 0)
		r = segfs_view_refresh(ns->view, segfs_since_recent());
	if (r == 0)
		r = segfs_namespace_shm(ns->other, segfs_since_recent(), &shm);
	if (r < 0)
		return r;
	const SegfsProcess *oldest = &g_array_index(processes, SegfsProcess, 0);
	for (guint i = 1; i < processes->len; i++) {
		const SegfsProcess *process = &g_array_index(processes, SegfsProcess, i);
		if (process->start < oldest->start)
			oldest = process;
	}
	g_string_append_printf(text, "Namespace:\t%" PRIu64 "\nProcesses:\t%u\n",
			       segfs_ipc_inum(ns->ipc), processes->len);
	r = write_containers(ns, text);
	if (r < 0)
		return r;
	write_oldest(ns, oldest, text);
	write_posix(ns, shm, text);
	write_missed(ns, processes, text);
	r = write_unread(ns, text);
	text_put(out, text);
	return r;
}

Node *namespace_info_new(IpcNs *ns, const void *data)
{
	return text_new_expensive(ns, namespace_answer);
}
