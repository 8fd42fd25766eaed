/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "segment/ipc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "segment/autofd.h"

/* As many traces may be of segments that are gone. */
#define TRACES_KEPT 256

/* At least SHMLBA on every architecture, so that shmat(2) takes the address. */
#define OCCUPIED_SIZE (64 * 1024)

/*
 * What is true of this process for good. Learnt before anything is asked of it: later there
 * may be no descriptor left to learn it with, and what was taken for no would stay so.
 */
static struct {
	GMutex lock; /* held while it is learnt */
	bool learnt;
	bool has_map_files;
	dev_t kernel_tmpfs;
	int home;
	gint has_left; /* has any thread entered another namespace? */
} process;

/* What the kernel refuses without CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE, tried on ourselves. */
static int learn_map_files(void)
{
	DIR *dir = opendir("/proc/self/map_files");
	struct dirent *entry;
	int error = dir ? 0 : errno;

	while (dir && (entry = readdir(dir)) && entry->d_name[0] == '.')
		;
	if (dir && entry) {
		autofd fd = openat(dirfd(dir), entry->d_name, O_PATH | O_CLOEXEC);
		error = fd < 0 ? errno : 0;
		process.has_map_files = fd >= 0;
	}
	if (dir)
		closedir(dir);
	return error == EMFILE || error == ENFILE || error == ENOMEM ? -error : 0;
}

static int learn(void)
{
	autofd memory = memfd_create("segfs", MFD_CLOEXEC);
	struct stat st;

	if (memory < 0 || fstat(memory, &st) < 0)
		return -errno;
	int r = learn_map_files();
	if (r < 0)
		return r;
	process.home = open("/proc/thread-self/ns/ipc", O_RDONLY | O_CLOEXEC);
	/* A kernel without them has but one: there is none to come back from. */
	if (process.home < 0 && errno != ENOENT)
		return -errno;
	process.kernel_tmpfs = st.st_dev;
	process.learnt = true;
	return 0;
}

dev_t ipc_kernel_tmpfs(void)
{
	return process.kernel_tmpfs;
}

/* What does not depend on the namespace. */
static int ipc_alloc(const SegfsIpcOptions *options, SegfsIpc **ret_ipc)
{
	g_mutex_lock(&process.lock);
	int r = process.learnt ? 0 : learn();
	g_mutex_unlock(&process.lock);
	if (r < 0)
		return r;
	SegfsIpc *ipc = g_new0(SegfsIpc, 1);

	ipc->proc_root = g_strdup(options->proc_root ? options->proc_root : "/proc");
	ipc->no_attach = options->no_attach;
	ipc->pid = getpid();
	g_mutex_init(&ipc->lock);
	g_mutex_init(&ipc->makers_lock);
	g_mutex_init(&ipc->resident_lock);
	ipc->makers = g_hash_table_new_full(g_int_hash, g_int_equal, NULL, g_free);
	ipc->traces = g_hash_table_new_full(g_int_hash, g_int_equal, NULL, g_free);
	ipc->has_map_files = process.has_map_files;
	*ret_ipc = ipc;
	return 0;
}

void *ipc_occupied(void)
{
	static gsize occupied;

	if (g_once_init_enter(&occupied)) {
		void *reserved = mmap(NULL, 2 * OCCUPIED_SIZE, PROT_NONE,
				      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (reserved == MAP_FAILED)
			g_error("no room in our own address space: %s", g_strerror(errno));
		g_once_init_leave(&occupied, ((gsize)reserved + OCCUPIED_SIZE - 1) &
						     ~((gsize)OCCUPIED_SIZE - 1));
	}
	return (void *)occupied;
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
	if (stat(ns, &st) == 0)
		ipc->inum = st.st_ino;
	*ret_ipc = g_steal_pointer(&ipc);
	return 0;
}

int segfs_ipc_new_of(const SegfsIpcOptions *options, SegfsNamespace *ns, SegfsIpc **ret_ipc)
{
	g_autoptr(SegfsIpc) ipc = NULL;

	int r = ipc_alloc(options, &ipc);
	if (r < 0)
		return r;
	ipc->ns = segfs_namespace_ref(ns);
	ipc->inum = segfs_namespace_inum(ns);
	r = ipc_enter(ipc);
	if (r < 0)
		return r;
	ipc_leave(ipc);
	*ret_ipc = g_steal_pointer(&ipc);
	return 0;
}

/* Where the calling thread is, if not at home. */
static __thread SegfsIpc *entered;
static __thread guint entered_depth;

void segfs_thread_comes_home(void)
{
	if (g_atomic_int_get(&process.has_left) && setns(process.home, CLONE_NEWIPC) < 0)
		g_error("cannot leave an IPC namespace: %s", g_strerror(errno));
}

int ipc_enter(SegfsIpc *ipc)
{
	autofd fd = -1;

	if (!ipc->ns)
		return 0;
	if (entered) {
		g_assert(entered == ipc);
		entered_depth++;
		return 0;
	}
	int r = segfs_namespace_open(ipc->ns, &fd);
	if (r < 0)
		return r;
	g_atomic_int_set(&process.has_left, true);
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
	if (setns(process.home, CLONE_NEWIPC) < 0)
		g_error("cannot leave an IPC namespace: %s", g_strerror(errno));
	errno = error;
}

void segfs_ipc_free(SegfsIpc *ipc)
{
	g_hash_table_unref(ipc->traces);
	g_clear_pointer(&ipc->resident, g_array_unref);
	g_hash_table_unref(ipc->makers);
	g_mutex_clear(&ipc->resident_lock);
	g_mutex_clear(&ipc->makers_lock);
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

void ipc_mask(SegfsIpc *ipc, SegfsSysv *segment)
{
	const Trace *trace = g_hash_table_lookup(ipc->traces, &segment->shmid);

	if (!trace)
		return;
	segment->nattch -= MIN(segment->nattch, trace->held);
	if (segment->lpid == ipc->pid)
		segment->lpid = trace->lpid_before;
	if (segment->atime == trace->atime_left)
		segment->atime = trace->atime_before;
	if (segment->dtime == trace->dtime_left)
		segment->dtime = trace->dtime_before;
}

static gboolean trace_is_over(gpointer key, gpointer value, gpointer data)
{
	const Trace *trace = value;
	SegfsSysv segment;

	return trace->held == 0 && sysv_stat_raw(trace->shmid, &segment) < 0;
}

/* Traces of segments that are gone go each time there are twice as many as were left the last. */
static void traces_sweep(SegfsIpc *ipc)
{
	if (g_hash_table_size(ipc->traces) < ipc->traces_most)
		return;
	g_hash_table_foreach_remove(ipc->traces, trace_is_over, NULL);
	ipc->traces_most = 2 * g_hash_table_size(ipc->traces) + TRACES_KEPT;
}

/* Before an attach: from here on what we leave is told from what was there. */
static Trace *trace_begin(SegfsIpc *ipc, int shmid, int *ret_error)
{
	SegfsSysv before;

	if ((*ret_error = sysv_stat_raw(shmid, &before)) < 0) {
		const Trace *old = g_hash_table_lookup(ipc->traces, &shmid);
		if (old && old->held == 0)
			g_hash_table_remove(ipc->traces, &shmid);
		return NULL;
	}
	ipc_mask(ipc, &before);
	Trace *trace = g_hash_table_lookup(ipc->traces, &shmid);
	if (!trace) {
		traces_sweep(ipc);
		trace = g_new0(Trace, 1);
		trace->shmid = shmid;
		trace->atime_left = trace->dtime_left = -1;
		g_hash_table_insert(ipc->traces, &trace->shmid, trace);
	}
	trace->atime_before = before.atime;
	trace->dtime_before = before.dtime;
	trace->lpid_before = before.lpid;
	return trace;
}

static void trace_left(Trace *trace, bool detached)
{
	SegfsSysv after;

	if (sysv_stat_raw(trace->shmid, &after) < 0)
		return;
	trace->atime_left = after.atime;
	if (detached)
		trace->dtime_left = after.dtime;
}

int ipc_attach(SegfsIpc *ipc, int shmid, int flags, bool hold, AttachSeen seen, void *data,
	       void **ret_address)
{
	int r;
	IPC_SCOPE(ipc, r);

	if (r < 0)
		return r;
	g_mutex_lock(&ipc->lock);
	ipc->attaches++;
	Trace *trace = trace_begin(ipc, shmid, &r);
	if (!trace)
		goto out;
	void *address = shmat(shmid, NULL, flags);
	if (address == (void *)-1) {
		r = errno == EINVAL || errno == EIDRM ? -ENOENT : -errno;
		goto out;
	}
	r = seen ? seen(address, data) : 0;
	if (hold && r >= 0) {
		trace->held++;
		trace_left(trace, false);
		*ret_address = address;
	} else {
		shmdt(address);
		trace_left(trace, true);
	}
out:
	g_mutex_unlock(&ipc->lock);
	return r;
}

void ipc_detach(SegfsIpc *ipc, int shmid, void *address)
{
	int r;
	IPC_SCOPE(ipc, r);

	g_mutex_lock(&ipc->lock);
	ipc->attaches++;
	/* Where the namespace is gone, so is the segment. */
	Trace *trace = r == 0 ? trace_begin(ipc, shmid, &r) : NULL;
	shmdt(address);
	if (trace) {
		trace->held--;
		trace_left(trace, true);
	} else if ((trace = g_hash_table_lookup(ipc->traces, &shmid)) && --trace->held == 0) {
		g_hash_table_remove(ipc->traces, &shmid);
	}
	g_mutex_unlock(&ipc->lock);
}

bool ipc_attach_is_safe(const SegfsIpc *ipc, const SegfsSysv *segment)
{
	g_autofree char *path =
		g_build_filename(ipc->proc_root, "sys/kernel/shm_rmid_forced", NULL);
	g_autofree char *forced = NULL;

	if (ipc->no_attach)
		return false;
	if (segment->nattch > 0 || !g_file_get_contents(path, &forced, NULL, NULL))
		return true;
	return forced[0] == '0';
}
