/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is read of a set or queue: a table, a line for each semaphore or message. */

#include "tree/resource/resource.h"

#include <errno.h>
#include <inttypes.h>
#include <segfs/report.h>
#include <string.h>

#include "lib/os/escape.h"
#include "lib/process/process.h"

/* So much of one message is shown: it is the default of msgmax many times over. */
#define MESSAGE_MOST ((size_t)1024 * 1024)

/* The program of a process that lives, if caller may know it; "-" else. The calling function's. */
static char *program(IpcNs *ns, const SegfsCaller *caller, GHashTable *known, pid_t pid, int64_t at)
{
	const char *proc_root = segfs_ipc_proc_root(ns->ipc);
	SegfsProcess process = {.pid = pid};
	ProcfsStat stat;
	bool is_mount;

	if (!process_lives(proc_root, known, pid, at, &stat, &is_mount))
		return g_strdup("-");
	process.start = stat.start;
	procfs_user(proc_root, pid, &process.uid);
	return segfs_command_is_visible(proc_root, caller, &process) ? escape_text(stat.command, -1)
								     : g_strdup("-");
}

static int write_semaphores(IpcNs *ns, const SegfsCaller *caller, const SegfsResource *resource,
			    GString *text)
{
	g_autoptr(GHashTable) known = process_table_new();
	g_autoptr(GArray) semaphores = NULL;

	int r = segfs_sem_read(ns->ipc, caller, resource->id, &semaphores);
	if (r < 0)
		return r;
	g_string_append(text, "semnum\tvalue\tncount\tzcount\tpid\tprogram\n");
	for (guint i = 0; i < semaphores->len; i++) {
		const SegfsSemaphore *semaphore = &g_array_index(semaphores, SegfsSemaphore, i);
		g_autofree char *its = program(ns, caller, known, semaphore->pid, resource->otime);
		g_string_append_printf(text, "%u\t%u\t%u\t%u\t%d\t%s\n", i, semaphore->value,
				       semaphore->ncount, semaphore->zcount, semaphore->pid, its);
	}
	return 0;
}

typedef struct {
	uid_t uid;
	GString *text;
} Writing;

/* Bytes as escape_text() has them, and the backslash too: what is read can be made bytes again. */
static int write_message(guint index, long type, const void *bytes, size_t size, gpointer data)
{
	const Writing *writing = data;
	const char *at = bytes;
	g_autoptr(GString) doubled = g_string_sized_new(size);

	if (writing->text->len > HELD_MOST && writing->uid != 0)
		return -ENOMEM;
	for (size_t i = 0; i < size; i++) {
		if (at[i] == '\\')
			g_string_append_c(doubled, '\\');
		g_string_append_c(doubled, at[i]);
	}
	g_autofree char *escaped = escape_text(doubled->str, (gssize)doubled->len);
	g_string_append_printf(writing->text, "%u\t%ld\t%zu\t%s\n", index, type, size, escaped);
	return 0;
}

static int write_messages(IpcNs *ns, const SegfsCaller *caller, const SegfsResource *resource,
			  GString *text)
{
	Writing writing = {caller->uid, text};

	g_string_append(text, "msgnum\ttype\tsize\tbytes\n");
	int r = segfs_msg_read(ns->ipc, caller, resource->id, MESSAGE_MOST, write_message,
			       &writing);
	if (r != -ENOSYS)
		return r;
	g_string_printf(text,
			"%" PRIu64 " messages of %" PRIu64
			" bytes, which this kernel does not show: "
			"it was built without CONFIG_CHECKPOINT_RESTORE\n",
			resource->messages, resource->bytes);
	return segfs_resource_may_read(ns->ipc, caller, resource->kind, resource->id);
}

int resource_write(IpcNs *ns, const SegfsCaller *caller, const SegfsResource *resource,
		   GString *text)
{
	return resource->kind == SEGFS_SEM ? write_semaphores(ns, caller, resource, text)
					   : write_messages(ns, caller, resource, text);
}
