/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <segfs/namespace.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "lib/os/autofd.h"
#include "lib/os/deadline.h"
#include "lib/os/errand.h"
#include "lib/os/fd.h"
#include "lib/os/home.h"
#include "lib/os/procfs.h"
#include "lib/process/process.h"
#include "lib/process/scan.h"

/* The way to a /dev/shm that has hung twice, or does still, is not tried again for so long. */
#define HUNG_FOR (10 * G_TIME_SPAN_SECOND)

/* A look at the processes that is no older does not have to be repeated to open what it found. */
#define FRESH_FOR (100 * G_TIME_SPAN_MILLISECOND)

/*
 * The number of a namespace is soon that of another: the kernel gives out the lowest that
 * is free. Where it gives no other id, a namespace in which none lives of those
 * who lived there when it was looked at last is taken for another.
 */
struct SegfsNamespace {
	gatomicrefcount refs;
	SegfsScanner *scanner;
	uint64_t inum;

	GMutex lock;         /* protects what follows */
	uint64_t id;         /* 0: not known */
	pid_t thread;        /* one that lived in it when it was looked at last */
	GHashTable *members; /* pid, all those; NULL: it has not been looked at */
	guint64 looked_at;   /* the number of the scan in which those were found */
	GArray *shm;         /* SegfsNamespaceShm */
	gint64 hung;         /* when the way to one of them hung last; 0: it did not */
	dev_t hung_dev;      /* which */
	pid_t hung_thread;   /* of whose */
	guint n_hung;        /* how often in a row */
};

/* It is held while a scan is made. */
static int enter(SegfsNamespace *ns)
{
	if (g_mutex_trylock(&ns->lock))
		return 0;
	if (!errand_may_wait())
		return -EAGAIN;
	g_mutex_lock(&ns->lock);
	return 0;
}

static char *path_of(const SegfsNamespace *ns, pid_t thread)
{
	return g_strdup_printf("%s/%d/ns/ipc", scanner_proc_root(ns->scanner), thread);
}

/* Call with the lock held. */
static int open_of(const SegfsNamespace *ns, pid_t thread, int *ret_fd)
{
	g_autofree char *path = path_of(ns, thread);
	autofd fd = procfs_open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return errno == ENOENT || errno == ESRCH ? -ENOENT
		       : errno == EPERM                  ? -EACCES
							 : -errno;
	if (st.st_ino != ns->inum || (ns->id && procfs_namespace_id(fd) != ns->id))
		return -ENOENT;
	*ret_fd = steal_fd(&fd);
	return 0;
}

/*
 * The /dev/shm of a process: only what is mounted there, not what a link leads to. How its
 * root is built is up to its user, who can put a file system in the way that never answers,
 * and an overlay over that, which root may ask: so nothing is asked. What another thing is
 * mounted on the kernel has in its cache, where resolve says RESOLVE_CACHED; and what is
 * there is told apart by what the kernel knows of it before it is opened.
 */
static int look_for_shm(const char *root_path, dev_t dev, uint64_t resolve)
{
	autofd root = procfs_open(root_path, O_PATH | O_CLOEXEC);
	struct statx stat;

	if (root < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	autofd at = fd_open_resolved(root, "dev/shm", O_PATH | O_DIRECTORY,
				     resolve | RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS);
	if (at < 0 || statx(at, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_INO, &stat) < 0)
		return -errno;
	if (makedev(stat.stx_dev_major, stat.stx_dev_minor) != dev || !fd_is_tmpfs(at))
		return -ENOENT;
	const int fd = openat(at, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

typedef struct {
	char *root_path;
	dev_t dev;
} Looking;

static int looking_run(gpointer data)
{
	const Looking *looking = data;

	return look_for_shm(looking->root_path, looking->dev, 0);
}

static void looking_release(gpointer data)
{
	g_free(((Looking *)data)->root_path);
	g_free(data);
}

/* Where the path is not in the cache, another thread looks it up, which may be given up. */
static int send_for_shm(const char *root_path, pid_t pid, dev_t dev)
{
	enum { PATIENCE_MS = 250 };
	Looking *looking = g_new0(Looking, 1);

	*looking = (Looking){g_strdup(root_path), dev};
	return deadline_fetch(pid, PATIENCE_MS, looking_run, looking, looking_release);
}

static int open_shm_of(const char *proc_root, pid_t pid, dev_t dev, int *ret_fd)
{
	enum { TRIES = 4 }; /* a rename anywhere makes it fail, too */
	g_autofree char *path = g_strdup_printf("%s/%d/root", proc_root, pid);
	int fd = -EAGAIN;

	for (int i = 0; i < TRIES && fd == -EAGAIN; i++)
		fd = look_for_shm(path, dev, RESOLVE_CACHED);
	if (fd == -EAGAIN)
		fd = send_for_shm(path, pid, dev);
	if (fd < 0)
		return fd;
	*ret_fd = fd;
	return 0;
}

int segfs_process_open_shm(const char *proc_root, pid_t pid, int *ret_fd)
{
	dev_t dev;

	return process_shm(proc_root, pid, &dev) ? open_shm_of(proc_root, pid, dev, ret_fd)
						 : -ENOENT;
}

/* Call with the lock held. */
static void saw_shm(SegfsNamespace *ns, const SegfsProcess *process, dev_t dev)
{
	const SegfsNamespaceShm seen = {dev, process->mnt_ns, process->pid, process->thread};

	for (guint i = 0; i < ns->shm->len; i++) {
		SegfsNamespaceShm *shm = &g_array_index(ns->shm, SegfsNamespaceShm, i);
		if (shm->dev == dev) {
			*shm = seen;
			return;
		}
	}
	g_array_append_val(ns->shm, seen);
}

static bool is_shown(const SegfsNamespaceShm *shm, GHashTable *shown)
{
	const guint64 dev = shm->dev;

	return g_hash_table_contains(shown, &dev);
}

/* Does thread live in it? That it may not be asked is no reason to say no. */
static bool is_member(SegfsNamespace *ns, pid_t thread)
{
	autofd fd = -1;
	int r = open_of(ns, thread, &fd);

	if (r == 0 && !ns->id)
		ns->id = procfs_namespace_id(fd);
	return r == 0 || r == -EACCES;
}

/* Finds the processes that live in it. Call with the lock held. */
static int refresh(SegfsNamespace *ns, SegfsSince since)
{
	g_autoptr(SegfsScan) scan = NULL;
	g_autoptr(GHashTable) seen = g_hash_table_new(g_int64_hash, g_int64_equal);
	g_autoptr(GHashTable) shown =
		g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
	g_autoptr(GHashTable) members = g_hash_table_new(NULL, NULL);

	int r = scanner_processes(ns->scanner, since, &scan);
	if (r < 0)
		return r;
	if (ns->thread && ns->looked_at == scan->number)
		return 0;
	/* A table of mounts can be long. */
	if (!errand_may_wait())
		return -EAGAIN;
	bool same = !ns->members || ns->id;
	ns->thread = 0;
	for (guint i = 0; i < scan->processes->len; i++) {
		const SegfsProcess *process = scan->processes->pdata[i];
		const gpointer pid = GINT_TO_POINTER(process->pid);
		if (process->ipc_ns != ns->inum ||
		    (ns->thread == 0 && !is_member(ns, process->thread)))
			continue;
		if (ns->thread == 0)
			ns->thread = process->thread;
		g_hash_table_add(members, pid);
		same = same || g_hash_table_contains(ns->members, pid);
	}
	if (ns->thread == 0 || !same) {
		ns->thread = 0;
		return -ENOENT;
	}
	g_clear_pointer(&ns->members, g_hash_table_unref);
	ns->members = g_steal_pointer(&members);
	for (guint i = 0; i < scan->processes->len; i++) {
		const SegfsProcess *process = scan->processes->pdata[i];
		dev_t dev;
		if (!g_hash_table_contains(ns->members, GINT_TO_POINTER(process->pid)) ||
		    !g_hash_table_add(seen, (gpointer)&process->mnt_ns) ||
		    !process_shm(scanner_proc_root(ns->scanner), process->thread, &dev))
			continue;
		const guint64 key = dev;
		g_hash_table_add(shown, g_memdup2(&key, sizeof(key)));
		saw_shm(ns, process, dev);
	}
	for (guint i = ns->shm->len; i-- > 0;)
		if (!is_shown(&g_array_index(ns->shm, SegfsNamespaceShm, i), shown))
			g_array_remove_index(ns->shm, i);
	ns->looked_at = scan->number;
	return 0;
}

int segfs_namespace_new(SegfsScanner *scanner, uint64_t inum, SegfsNamespace **ret_ns)
{
	g_autoptr(SegfsNamespace) ns = g_new0(SegfsNamespace, 1);

	g_atomic_ref_count_init(&ns->refs);
	g_mutex_init(&ns->lock);
	ns->scanner = scanner;
	ns->inum = inum;
	ns->shm = g_array_new(FALSE, FALSE, sizeof(SegfsNamespaceShm));
	/* Many are looked up after one listing. */
	int r = refresh(ns, segfs_since_recent());
	if (r == -ENOENT)
		r = refresh(ns, segfs_since_now());
	if (r == 0)
		*ret_ns = g_steal_pointer(&ns);
	return r;
}

SegfsNamespace *namespace_ref(SegfsNamespace *ns)
{
	g_atomic_ref_count_inc(&ns->refs);
	return ns;
}

void segfs_namespace_unref(SegfsNamespace *ns)
{
	if (!g_atomic_ref_count_dec(&ns->refs))
		return;
	g_clear_pointer(&ns->members, g_hash_table_unref);
	g_array_unref(ns->shm);
	g_mutex_clear(&ns->lock);
	g_free(ns);
}

uint64_t namespace_inum(const SegfsNamespace *ns)
{
	return ns->inum;
}

int namespace_open(SegfsNamespace *ns, int *ret_fd)
{
	int r = home_check();

	if (r == 0)
		r = enter(ns);
	if (r < 0)
		return r;
	r = open_of(ns, ns->thread, ret_fd);
	if (r == -ENOENT && (r = refresh(ns, segfs_since_now())) == 0)
		r = open_of(ns, ns->thread, ret_fd);
	g_mutex_unlock(&ns->lock);
	return r;
}

int segfs_namespace_lives(SegfsNamespace *ns)
{
	autofd fd = -1;
	int r = enter(ns);

	if (r < 0)
		return r;
	g_autofree char *path = path_of(ns, ns->thread);
	const bool lives = ns->thread && procfs_namespace(AT_FDCWD, path) == ns->inum;
	g_mutex_unlock(&ns->lock);
	return lives ? 0 : namespace_open(ns, &fd);
}

int segfs_namespace_owner(SegfsNamespace *ns, uint64_t *ret_user_ns)
{
	autofd fd = -1;

	int r = namespace_open(ns, &fd);
	if (r < 0)
		return r;
	const uint64_t owner = procfs_namespace_owner(fd);
	if (owner == 0)
		return -errno;
	*ret_user_ns = owner;
	return 0;
}

int segfs_namespace_shm(SegfsNamespace *ns, SegfsSince since, GArray **ret_shm)
{
	int r = enter(ns);

	if (r < 0)
		return r;
	r = refresh(ns, since);
	if (r == 0)
		*ret_shm = g_array_copy(ns->shm);
	g_mutex_unlock(&ns->lock);
	return r;
}

/* Opens it without the lock: it can take its time. -ESRCH: nobody is known who sees it. */
static int open_shm(SegfsNamespace *ns, dev_t dev, int *ret_fd)
{
	pid_t thread = 0;
	int r = enter(ns);

	if (r < 0)
		return r;
	const bool hangs = ns->hung && ns->hung_dev == dev &&
			   g_get_monotonic_time() - ns->hung < HUNG_FOR &&
			   (ns->n_hung > 1 || deadline_is_stuck(ns->hung_thread));
	for (guint i = 0; i < ns->shm->len; i++) {
		const SegfsNamespaceShm *shm = &g_array_index(ns->shm, SegfsNamespaceShm, i);
		if (shm->dev == dev)
			thread = shm->thread;
	}
	g_mutex_unlock(&ns->lock);
	if (!thread || hangs)
		return thread ? -ENOENT : -ESRCH;
	r = open_shm_of(scanner_proc_root(ns->scanner), thread, dev, ret_fd);
	if (!errand_may_wait())
		return r;
	g_mutex_lock(&ns->lock);
	if (r == -ETIMEDOUT) {
		ns->n_hung = ns->hung && ns->hung_dev == dev ? ns->n_hung + 1 : 1;
		ns->hung = g_get_monotonic_time();
		ns->hung_dev = dev;
		ns->hung_thread = thread;
	} else if (ns->hung_dev == dev) {
		ns->hung = 0;
	}
	g_mutex_unlock(&ns->lock);
	return r == -ETIMEDOUT ? -ENOENT : r;
}

int namespace_open_shm(SegfsNamespace *ns, dev_t dev, int *ret_fd)
{
	int r = open_shm(ns, dev, ret_fd);

	if (r == 0 || !errand_may_wait())
		return r;
	/* Some cannot be opened, however often they are looked for; one that is not known can be
	 * new. */
	const SegfsSince since =
		r == -ESRCH ? segfs_since_now() : segfs_since(g_get_monotonic_time() - FRESH_FOR);
	g_mutex_lock(&ns->lock);
	const guint64 looked_at = ns->looked_at;
	int refreshed = refresh(ns, since);
	const bool is_new = ns->looked_at != looked_at;
	g_mutex_unlock(&ns->lock);
	if (refreshed < 0)
		r = refreshed;
	else if (is_new)
		r = open_shm(ns, dev, ret_fd);
	return r == -ESRCH ? -ENOENT : r;
}

static gint inum_compare(gconstpointer a, gconstpointer b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

int segfs_namespaces_list(SegfsScanner *scanner, GArray **ret_inums)
{
	g_autoptr(GHashTable) seen = g_hash_table_new(g_int64_hash, g_int64_equal);
	g_autofree char *own = g_build_filename(scanner_proc_root(scanner), "self/ns/ipc", NULL);
	g_autoptr(SegfsScan) scan = NULL;
	struct stat st;

	if (stat(own, &st) < 0)
		return -errno;
	int r = scanner_processes(scanner, segfs_since_now(), &scan);
	if (r < 0)
		return r;
	GArray *inums = g_array_new(FALSE, FALSE, sizeof(uint64_t));
	for (guint i = 0; i < scan->processes->len; i++) {
		const SegfsProcess *process = scan->processes->pdata[i];
		if (process->ipc_ns && process->ipc_ns != st.st_ino &&
		    g_hash_table_add(seen, (gpointer)&process->ipc_ns))
			g_array_append_val(inums, process->ipc_ns);
	}
	g_array_sort(inums, inum_compare);
	*ret_inums = inums;
	return 0;
}

int segfs_namespace_processes(SegfsNamespace *ns, SegfsSince since, GArray **ret_processes)
{
	g_autoptr(SegfsScan) scan = NULL;

	int r = scanner_processes(ns->scanner, since, &scan);
	if (r < 0)
		return r;
	GArray *processes = g_array_new(FALSE, FALSE, sizeof(SegfsProcess));
	for (guint i = 0; i < scan->processes->len; i++) {
		SegfsProcess process = *(const SegfsProcess *)scan->processes->pdata[i];
		ProcfsStat stat;
		if (process.ipc_ns != ns->inum ||
		    !procfs_stat(scanner_proc_root(ns->scanner), process.pid, &stat))
			continue;
		process.start = stat.start;
		g_strlcpy(process.command, stat.command, sizeof(process.command));
		g_array_append_val(processes, process);
	}
	*ret_processes = processes;
	return 0;
}
