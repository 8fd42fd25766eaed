/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/memory/ipc.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <segfs/limits.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/os/autofd.h"
#include "lib/os/home.h"
#include "lib/os/procfs.h"

/* Makes the part that does not depend on the namespace. */
static int ipc_alloc(const SegfsIpcOptions *options, SegfsIpc **ret_ipc)
{
	int r = home_learn();

	if (r < 0)
		return r;
	SegfsIpc *ipc = g_new0(SegfsIpc, 1);

	ipc->proc_root = g_strdup(options->proc_root ? options->proc_root : "/proc");
	ipc->no_attach = options->no_attach;
	ipc->pid = getpid();
	g_mutex_init(&ipc->lock);
	g_mutex_init(&ipc->creators_lock);
	g_mutex_init(&ipc->resident_lock);
	g_mutex_init(&ipc->handles_lock);
	g_mutex_init(&ipc->pages_lock);
	ipc->pages = g_hash_table_new_full(g_int_hash, g_int_equal, NULL, g_free);
	ipc->handles = g_hash_table_new_full(g_int_hash, g_int_equal, NULL, g_free);
	ipc->creators = g_hash_table_new_full(g_int_hash, g_int_equal, NULL, g_free);
	ipc->traces = g_hash_table_new_full(g_int_hash, g_int_equal, NULL, g_free);
	ipc->has_map_files = home_has_map_files();
	*ret_ipc = ipc;
	return 0;
}

int segfs_ipc_new(const SegfsIpcOptions *options, SegfsIpc **ret_ipc)
{
	const char *proc_root = options->proc_root ? options->proc_root : "/proc";
	g_autoptr(SegfsIpc) ipc = NULL;
	struct shm_info info;
	struct stat st;

	g_autofree char *table = g_build_filename(proc_root, "sysvipc/shm", NULL);
	if (shmctl(0, SHM_INFO, (struct shmid_ds *)&info) < 0 || access(table, R_OK) < 0)
		return -ENOSYS;
	int r = ipc_alloc(options, &ipc);
	if (r < 0)
		return r;
	g_autofree char *ns = g_build_filename(ipc->proc_root, "self/ns/ipc", NULL);
	autofd fd = open(ns, O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && fstat(fd, &st) == 0) {
		ipc->inum = st.st_ino;
		ipc->id = procfs_namespace_id(fd);
	}
	*ret_ipc = g_steal_pointer(&ipc);
	return 0;
}

int ipc_new_of(const SegfsIpcOptions *options, SegfsNamespace *ns, SegfsIpc **ret_ipc)
{
	g_autoptr(SegfsIpc) ipc = NULL;

	int r = ipc_alloc(options, &ipc);
	if (r < 0)
		return r;
	autofd fd = -1;
	ipc->ns = namespace_ref(ns);
	ipc->inum = namespace_inum(ns);
	r = ipc_enter(ipc);
	if (r < 0)
		return r;
	ipc_leave(ipc);
	if (namespace_open(ns, &fd) == 0)
		ipc->id = procfs_namespace_id(fd);
	*ret_ipc = g_steal_pointer(&ipc);
	return 0;
}

/* The namespace in which the calling thread is, if not in the process's own. */
static __thread SegfsIpc *entered;
static __thread guint entered_depth;

int ipc_enter(SegfsIpc *ipc)
{
	autofd fd = -1;
	int r = home_check();

	if (r < 0 || !ipc->ns)
		return r;
	if (entered) {
		if (entered != ipc)
			return -EDEADLK;
		entered_depth++;
		return 0;
	}
	r = namespace_open(ipc->ns, &fd);
	if (r < 0)
		return r;
	home_is_left();
	if (setns(fd, CLONE_NEWIPC) < 0)
		return -errno;
	entered = ipc;
	entered_depth = 1;
	return 0;
}

void ipc_leave(SegfsIpc *ipc)
{
	const int error = errno;

	if (!ipc->ns || --entered_depth > 0)
		return;
	entered = NULL;
	home_return();
	errno = error;
}

void segfs_ipc_free(SegfsIpc *ipc)
{
	g_hash_table_unref(ipc->traces);
	g_clear_pointer(&ipc->resident, g_array_unref);
	g_hash_table_unref(ipc->creators);
	g_hash_table_unref(ipc->handles);
	g_hash_table_unref(ipc->pages);
	g_mutex_clear(&ipc->pages_lock);
	g_mutex_clear(&ipc->handles_lock);
	g_mutex_clear(&ipc->resident_lock);
	g_mutex_clear(&ipc->creators_lock);
	g_mutex_clear(&ipc->lock);
	g_clear_pointer(&ipc->ns, segfs_namespace_unref);
	g_free(ipc->proc_root);
	g_free(ipc);
}

uint64_t segfs_ipc_inum(const SegfsIpc *ipc)
{
	return ipc->inum;
}

const char *segfs_ipc_proc_root(const SegfsIpc *ipc)
{
	return ipc->proc_root;
}

int segfs_limits_read(SegfsIpc *ipc, SegfsLimits *ret_limits)
{
	struct shminfo info;
	struct shm_info used;
	int r;
	IPC_SCOPE(ipc, r);

	if (r < 0)
		return r;
	if (shmctl(0, IPC_INFO, (struct shmid_ds *)&info) < 0 ||
	    shmctl(0, SHM_INFO, (struct shmid_ds *)&used) < 0)
		return -errno;
	*ret_limits = (SegfsLimits){
		.shmmax = info.shmmax,
		.shmmni = info.shmmni,
		.shmall = info.shmall,
		.segments_used = used.used_ids,
		.pages_used = used.shm_tot,
		.page_size = sysconf(_SC_PAGESIZE),
	};
	return 0;
}
