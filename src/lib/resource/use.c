/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Who uses a semaphore set or a message queue, as far as the kernel tells: the pids of the last
 * operations are in the set or queue, and a thread that waits shows in /proc in which call of what.
 */

#include "lib/resource/resource.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "lib/memory/ipc.h"
#include "lib/os/errand.h"
#include "lib/os/fd.h"
#include "lib/process/process.h"

G_DEFINE_AUTOPTR_CLEANUP_FUNC(DIR, closedir)

/* A process that waits in semop(2), msgsnd(2) or msgrcv(2), and for which. */
typedef struct {
	SegfsResourceKind kind;
	int id;
	SegfsProcess process;
} Waiter;

struct SegfsWaiters {
	char *proc_root;
	GArray *all;       /* Waiter; NULL: nobody has looked yet */
	GHashTable *known; /* see process_lives() */
};

SegfsWaiters *segfs_waiters_new(const char *proc_root)
{
	SegfsWaiters *waiters = g_new0(SegfsWaiters, 1);

	waiters->proc_root = g_strdup(proc_root);
	waiters->known = process_table_new();
	return waiters;
}

void segfs_waiters_free(SegfsWaiters *waiters)
{
	g_clear_pointer(&waiters->all, g_array_unref);
	g_hash_table_unref(waiters->known);
	g_free(waiters->proc_root);
	g_free(waiters);
}

/* The set or queue in whose call a thread waits, out of what its file syscall says. */
static bool parse(const char *text, Waiter *waiter)
{
	unsigned long id;
	long call;

	/* "running", and -1 where it waits elsewhere. */
	if (sscanf(text, "%ld 0x%lx", &call, &id) != 2)
		return false;
	switch (call) {
	case SYS_semop:
	case SYS_semtimedop:
		waiter->kind = SEGFS_SEM;
		break;
	case SYS_msgsnd:
	case SYS_msgrcv:
		waiter->kind = SEGFS_MSG;
		break;
	default:
		return false;
	}
	waiter->id = (int)id;
	return true;
}

static void learn(const char *proc_root, SegfsProcess *process)
{
	ProcfsStat stat;

	process->thread = process->thread ? process->thread : process->pid;
	if (procfs_stat(proc_root, process->pid, &stat)) {
		process->parent = stat.parent;
		process->start = stat.start;
		memcpy(process->command, stat.command, sizeof(process->command));
	}
	procfs_user(proc_root, process->pid, &process->uid);
}

/* The threads of one process. */
static void look_into(const char *proc_root, int proc, const char *pid, GArray *all)
{
	g_autoptr(GString) text = g_string_new(NULL);
	g_autofree char *name = g_strconcat(pid, "/task", NULL);
	g_autoptr(DIR) tasks = fd_open_directory(proc, name);
	struct dirent *task;

	while (tasks && (task = readdir(tasks))) {
		Waiter waiter = {.process = {.pid = atoi(pid), .thread = atoi(task->d_name)}};
		g_autofree char *file = g_strconcat(task->d_name, "/syscall", NULL);
		g_autofree char *ns = g_strconcat(task->d_name, "/ns/ipc", NULL);
		if (waiter.process.thread <= 0 || procfs_read(dirfd(tasks), file, text) < 0 ||
		    !parse(text->str, &waiter))
			continue;
		waiter.process.ipc_ns = procfs_namespace(dirfd(tasks), ns);
		learn(proc_root, &waiter.process);
		g_array_append_val(all, waiter);
	}
}

static int look(SegfsWaiters *waiters)
{
	g_autoptr(GArray) all = g_array_new(FALSE, FALSE, sizeof(Waiter));
	g_autoptr(DIR) proc = opendir(waiters->proc_root);
	struct dirent *entry;

	if (!proc)
		return -errno;
	while ((entry = readdir(proc))) {
		if (errand_is_unwanted())
			return -EINTR;
		if (g_ascii_isdigit(entry->d_name[0]))
			look_into(waiters->proc_root, dirfd(proc), entry->d_name, all);
	}
	waiters->all = g_steal_pointer(&all);
	return 0;
}

void use_add(SegfsResourceUse *use, const SegfsResourceUser *added)
{
	/* Who lives may use it again. */
	if (added->lives)
		use->verdict = SEGFS_IN_USE;
	for (guint i = 0; i < use->users->len; i++) {
		SegfsResourceUser *user = &g_array_index(use->users, SegfsResourceUser, i);
		if (user->process.pid != added->process.pid || user->lives != added->lives)
			continue;
		user->waits |= added->waits;
		user->is_last |= added->is_last;
		user->is_told |= added->is_told;
		return;
	}
	g_array_append_vals(use->users, added, 1);
}

/* Who has done the last operation, at that time. */
static void add_last(const SegfsIpc *ipc, GHashTable *known, SegfsResourceUse *use, pid_t pid,
		     int64_t at)
{
	SegfsResourceUser user = {.process = {.pid = pid}, .is_last = true};
	bool is_mount;
	ProcfsStat stat;

	if (pid <= 0)
		return;
	user.lives = process_lives(ipc->proc_root, known, pid, at, &stat, &is_mount);
	if (user.lives)
		learn(ipc->proc_root, &user.process);
	use_add(use, &user);
}

static void add_semaphores(SegfsIpc *ipc, const SegfsCaller *caller, const SegfsResource *resource,
			   GHashTable *known, SegfsResourceUse *use)
{
	g_autoptr(GArray) semaphores = NULL;
	int r = segfs_sem_read(ipc, caller, resource->id, &semaphores);

	use->has_users = r == 0;
	for (guint i = 0; r == 0 && i < semaphores->len; i++) {
		const SegfsSemaphore *semaphore = &g_array_index(semaphores, SegfsSemaphore, i);
		use->waiting += semaphore->ncount + semaphore->zcount;
		add_last(ipc, known, use, semaphore->pid, resource->otime);
	}
}

static void add_waiters(SegfsIpc *ipc, const SegfsResource *resource, const GArray *waiters,
			SegfsResourceUse *use)
{
	uint64_t found = 0;

	for (guint i = 0; i < waiters->len; i++) {
		const Waiter *waiter = &g_array_index(waiters, Waiter, i);
		if (waiter->kind != resource->kind || waiter->id != resource->id ||
		    waiter->process.ipc_ns != segfs_ipc_inum(ipc))
			continue;
		const SegfsResourceUser user = {waiter->process, .lives = true, .waits = true};
		found++;
		use_add(use, &user);
	}
	use->waiting = MAX(use->waiting, found);
}

static void use_find(SegfsIpc *ipc, const SegfsCaller *caller, const SegfsResource *resource,
		     const SegfsWaiters *waiters, SegfsResourceUse *use)
{
	*use = (SegfsResourceUse){
		.verdict = SEGFS_UNKNOWN,
		.has_users = true,
		.users = g_array_new(FALSE, FALSE, sizeof(SegfsResourceUser)),
	};
	if (resource->kind == SEGFS_SEM) {
		add_semaphores(ipc, caller, resource, waiters->known, use);
	} else {
		add_last(ipc, waiters->known, use, resource->lspid, resource->stime);
		add_last(ipc, waiters->known, use, resource->lrpid, resource->rtime);
	}
	add_waiters(ipc, resource, waiters->all, use);
	if (use->waiting > 0)
		use->verdict = SEGFS_IN_USE;
}

static void use_clear(gpointer use)
{
	g_clear_pointer(&((SegfsResourceUse *)use)->users, g_array_unref);
}

int segfs_resource_uses(SegfsIpc *ipc, const SegfsCaller *caller, const GArray *resources,
			SegfsWaiters *waiters, GArray **ret_uses)
{
	g_autoptr(GArray) uses = g_array_new(FALSE, FALSE, sizeof(SegfsResourceUse));

	g_array_set_clear_func(uses, use_clear);
	int r = resources->len > 0 && !waiters->all ? look(waiters) : 0;
	for (guint i = 0; r == 0 && i < resources->len; i++) {
		SegfsResourceUse use;
		use_find(ipc, caller, &g_array_index(resources, SegfsResource, i), waiters, &use);
		g_array_append_val(uses, use);
		r = errand_is_unwanted() ? -EINTR : 0;
	}
	if (r == 0)
		*ret_uses = g_steal_pointer(&uses);
	return r;
}

void segfs_resource_judge(const SegfsResource *resource, const SegfsResourcePast *past, int64_t now,
			  int64_t orphan_age, SegfsResourceUse *use)
{
	const int64_t times[] = {resource->ctime, resource->otime, resource->stime, resource->rtime,
				 past->ended};
	int64_t used = 0;

	if (use->verdict != SEGFS_UNKNOWN || !use->has_users || !past->is_known)
		return;
	/* A time that has not come yet means nothing. */
	for (guint i = 0; i < G_N_ELEMENTS(times); i++)
		used = MAX(used, times[i] <= now ? times[i] : 0);
	use->past = *past;
	use->age = now - used;
	use->orphan_age = orphan_age;
	use->verdict =
		past->relative.pid > 0 || use->age < orphan_age ? SEGFS_IDLE : SEGFS_ORPHANED;
}
