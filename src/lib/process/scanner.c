/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Scans are made here: one look at all processes answers everybody who asks at one time. */

#include "lib/process/scan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/os/autofd.h"
#include "lib/os/deadline.h"
#include "lib/os/errand.h"
#include "lib/os/fd.h"
#include "lib/os/home.h"
#include "lib/os/procfs.h"
#include "lib/process/fresh.h"

/* A scan that those who ask together share. */
typedef struct {
	bool whole; /* else the processes alone */
	SegfsScan *latest;
	bool running;
	guint64 begun, ended; /* scans */
	int result;           /* of the last one */
	Fresh fresh;          /* the latest */
	gint64 running_from;  /* the one that goes on; monotonic */
} Shared;

struct SegfsScanner {
	char *proc_root;
	ScannerWithout without; /* NULL: everybody is looked at */
	int iterator;

	GMutex lock; /* protects what follows */
	GCond done;
	GArray *watched; /* dev_t */
	Shared whole, processes;
};

/* The process's namespaces; where its first thread has ended, those of a thread that lives. */
static void find_namespaces(int process_fd, SegfsProcess *process)
{
	struct dirent *entry;

	process->thread = process->pid;
	process->mnt_ns = procfs_namespace(process_fd, "ns/mnt");
	process->ipc_ns = procfs_namespace(process_fd, "ns/ipc");
	if (process->ipc_ns || errno != ENOENT)
		return;
	DIR *threads = fd_open_directory(process_fd, "task");
	while (threads && !process->ipc_ns && (entry = readdir(threads))) {
		char ipc[64], mnt[64];
		g_snprintf(ipc, sizeof(ipc), "task/%.16s/ns/ipc", entry->d_name);
		g_snprintf(mnt, sizeof(mnt), "task/%.16s/ns/mnt", entry->d_name);
		process->ipc_ns = procfs_namespace(process_fd, ipc);
		process->mnt_ns = procfs_namespace(process_fd, mnt);
		if (process->ipc_ns)
			process->thread = atoi(entry->d_name);
	}
	if (threads)
		closedir(threads);
}

static int process_open(const ScanRun *run, pid_t pid)
{
	char name[16];

	g_snprintf(name, sizeof(name), "%d", pid);
	return openat(run->proc_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* What the family of a process is told by; of a scan of the processes alone nobody asks for it. */
static void find_family(const ScanRun *run, SegfsProcess *process)
{
	ProcfsStat stat;

	if (!procfs_stat(run->proc_root, process->pid, &stat))
		return;
	process->start = stat.start;
	process->parent = stat.parent;
	memcpy(process->command, stat.command, sizeof(process->command));
}

/* Finds the processes that there are, and in which namespaces. */
static int find_processes(ScanRun *run, bool with_mounts)
{
	g_autoptr(GHashTable) seen =
		g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
	char self[16] = "";
	struct dirent *entry;

	DIR *proc = fd_directory(fcntl(run->proc_fd, F_DUPFD_CLOEXEC, 0));
	if (!proc)
		return -errno;
	const ssize_t n = readlinkat(run->proc_fd, "self", self, sizeof(self) - 1);
	self[MAX(n, 0)] = '\0';
	bool is_first_seen = !strcmp(self, "1");
	/* Our own we can read in any case. */
	autofd own = openat(run->proc_fd, "self", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const uint64_t own_mnt = own < 0 ? 0 : procfs_namespace(own, "ns/mnt");
	if (with_mounts && own_mnt && scan_run_add_mounts(run, own))
		g_hash_table_add(seen, g_memdup2(&own_mnt, sizeof(own_mnt)));
	while (run->error == 0 && (entry = readdir(proc))) {
		if (!g_ascii_isdigit(entry->d_name[0]) || !strcmp(entry->d_name, self))
			continue;
		is_first_seen |= !strcmp(entry->d_name, "1");
		autofd fd = openat(run->proc_fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		struct stat st;
		if (fd < 0 || fstat(fd, &st) < 0) {
			if (!scan_run_tolerates(run, -errno))
				scan_run_unexamined(run, atoi(entry->d_name), 0);
			continue;
		}
		SegfsProcess *process = g_new0(SegfsProcess, 1);
		process->pid = strtol(entry->d_name, NULL, 10);
		process->uid = st.st_uid;
		/* A user's table of mounts can be long: it goes on, process by process. */
		deadline_at(process->pid);
		find_namespaces(fd, process);
		if (with_mounts)
			find_family(run, process);
		g_ptr_array_add(run->scan->processes, process);
		if (with_mounts && process->mnt_ns && !deadline_is_stuck(process->pid) &&
		    !g_hash_table_contains(seen, &process->mnt_ns)) {
			if (scan_run_add_mounts(run, fd))
				g_hash_table_add(seen,
						 g_memdup2(&process->mnt_ns, sizeof(uint64_t)));
		}
	}
	closedir(proc);
	/* Every pid namespace has a 1: where it is not shown, others may be hidden as well. */
	if (!is_first_seen)
		scan_run_unexamined(run, 0, 0);
	return run->error;
}

/* A scan on its way: it may outlive who wants it. */
typedef struct {
	char *proc_root;
	GArray *watched; /* dev_t */
	bool whole;
	ScannerWithout without;
	int iterator;
	SegfsScan *scan;
	int result;
} Job;

/* Whom the kernel says to have nothing of what is looked for, or NULL. */
static GHashTable *find_without(const Job *job, const ScanRun *run)
{
	g_autoptr(GArray) devices = g_array_new(FALSE, FALSE, sizeof(dev_t));

	/* It says it of the daemon's own pid namespace. */
	if (!job->without || strcmp(job->proc_root, "/proc") != 0 || !procfs_is_ours() ||
	    deadline_is_stuck(DEADLINE_EVERYBODY))
		return NULL;
	for (guint i = 0; i < run->devices->len; i++)
		g_array_append_val(devices, g_array_index(run->devices, Device, i).dev);
	deadline_at(DEADLINE_EVERYBODY);
	return job->without(job->iterator, devices);
}

static int examine(ScanRun *run, SegfsProcess *process)
{
	deadline_at(process->pid);
	autofd fd = process_open(run, process->pid);

	run->refused = 0;
	if (fd < 0 ? !scan_run_tolerates(run, -errno) : !scan_run_process(run, fd, process))
		scan_run_unexamined(run, process->pid, 0);
	return run->error;
}

static int examine_all(const Job *job, ScanRun *run)
{
	g_autoptr(GHashTable) without = find_without(job, run);
	const GPtrArray *processes = run->scan->processes;
	int r = 0;

	for (guint i = 0; r == 0 && i < processes->len; i++) {
		SegfsProcess *process = processes->pdata[i];
		if (deadline_is_stuck(process->pid))
			scan_run_unexamined(run, process->pid, -ETIMEDOUT);
		else if (!without || !g_hash_table_contains(without, GINT_TO_POINTER(process->pid)))
			r = examine(run, process);
	}
	return r;
}

static int scan_make(Job *job, SegfsScan **ret_scan)
{
	g_autoptr(SegfsScan) scan = scan_new();
	const char *proc_root = job->proc_root;
	autofd proc_fd = open(proc_root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (proc_fd < 0)
		return -errno;
	ScanRun run = {
		.proc_root = proc_root,
		.proc_fd = proc_fd,
		.scan = scan,
		.devices = g_array_new(FALSE, FALSE, sizeof(Device)),
		.mounts = g_hash_table_new(NULL, NULL),
		.text = g_string_new(NULL),
	};
	if (job->whole)
		scan_run_add_kernel_devices(&run);
	for (guint i = 0; i < job->watched->len; i++)
		scan_run_add_device(&run, g_array_index(job->watched, dev_t, i), DEVICE_SHM);
	int r = find_processes(&run, job->whole);
	scan_run_sort_bound(&run);
	if (r == 0 && job->whole)
		r = examine_all(job, &run);
	g_array_unref(run.devices);
	g_hash_table_unref(run.mounts);
	g_string_free(run.text, TRUE);
	if (r == 0)
		*ret_scan = g_steal_pointer(&scan);
	return r;
}

static void job_run(gpointer data)
{
	Job *job = data;

	job->result = scan_make(job, &job->scan);
}

static void job_release(gpointer data)
{
	Job *job = data;

	g_clear_pointer(&job->scan, segfs_scan_unref);
	g_array_unref(job->watched);
	g_free(job->proc_root);
	g_free(job);
}

/* Waits as long as it goes on from process to process. True: it has ended. */
static bool await(DeadlineCall *call)
{
	enum { STALL_MS = 1000 };
	guint before;

	do {
		before = deadline_steps(call);
		if (deadline_wait(call, STALL_MS))
			return true;
	} while (deadline_steps(call) != before);
	return false;
}

/* A scan, and where that hangs at a process another without it. */
static int scan_patiently(const SegfsScanner *scanner, const GArray *watched, bool whole,
			  SegfsScan **ret_scan)
{
	enum { TRIES = 8 };

	for (int i = 0; i < TRIES; i++) {
		Job *job = g_new0(Job, 1);
		job->proc_root = g_strdup(scanner->proc_root);
		job->without = scanner->without;
		job->iterator = scanner->iterator;
		job->watched = g_array_copy((GArray *)watched);
		job->whole = whole;
		job->result = -ENOTRECOVERABLE;
		DeadlineCall *call = deadline_call(job_run, job, job_release);
		const bool ended = await(call);
		const int r = ended ? job->result : -ETIMEDOUT;
		if (ended)
			*ret_scan = g_steal_pointer(&job->scan);
		deadline_leave(call);
		if (ended)
			return r;
	}
	return -ETIMEDOUT;
}

SegfsScanner *segfs_scanner_new(const char *proc_root)
{
	SegfsScanner *scanner = g_new0(SegfsScanner, 1);

	scanner->proc_root = g_strdup(proc_root ? proc_root : "/proc");
	g_mutex_init(&scanner->lock);
	g_cond_init(&scanner->done);
	scanner->watched = g_array_new(FALSE, FALSE, sizeof(dev_t));
	scanner->whole.whole = true;
	return scanner;
}

void segfs_scanner_free(SegfsScanner *scanner)
{
	g_clear_pointer(&scanner->whole.latest, segfs_scan_unref);
	g_clear_pointer(&scanner->processes.latest, segfs_scan_unref);
	g_array_unref(scanner->watched);
	g_cond_clear(&scanner->done);
	g_mutex_clear(&scanner->lock);
	g_free(scanner->proc_root);
	g_free(scanner);
}

void scanner_watch(SegfsScanner *scanner, dev_t device)
{
	g_mutex_lock(&scanner->lock);
	g_array_append_val(scanner->watched, device);
	g_mutex_unlock(&scanner->lock);
}

void scanner_spare(SegfsScanner *scanner, ScannerWithout without, int iterator)
{
	scanner->without = iterator < 0 ? NULL : without;
	scanner->iterator = iterator;
}

/* Call with the lock held, which is given up meanwhile. */
static void make(SegfsScanner *scanner, Shared *shared)
{
	g_autoptr(GArray) watched = g_array_copy(scanner->watched);
	const guint64 number = ++shared->begun;
	const gint64 start = g_get_monotonic_time();
	SegfsScan *scan = NULL;

	shared->running = true;
	shared->running_from = start;
	g_mutex_unlock(&scanner->lock);
	const int r = scan_patiently(scanner, watched, shared->whole, &scan);
	g_mutex_lock(&scanner->lock);
	g_clear_pointer(&shared->latest, segfs_scan_unref);
	shared->latest = scan;
	fresh_got(&shared->fresh, start);
	shared->result = r;
	shared->running = false;
	shared->ended = number;
	g_cond_broadcast(&scanner->done);
}

static int share(SegfsScanner *scanner, Shared *shared, SegfsSince since, SegfsScan **ret_scan)
{
	int r = home_check();

	if (r < 0)
		return r;
	g_mutex_lock(&scanner->lock);
	const bool have = shared->latest && fresh_enough(&shared->fresh, since);
	if (!have && !errand_may_wait()) {
		g_mutex_unlock(&scanner->lock);
		return -EAGAIN;
	}
	/* A scan that has begun already may have passed by what happened just now. */
	const bool comes =
		shared->running && !since.is_recent && shared->running_from >= since.from;
	const guint64 wanted = have ? shared->ended : shared->begun + (comes ? 0 : 1);
	while (shared->ended < wanted) {
		if (shared->running)
			g_cond_wait(&scanner->done, &scanner->lock);
		else
			make(scanner, shared);
	}
	r = shared->result;
	if (r == 0)
		*ret_scan = segfs_scan_ref(shared->latest);
	g_mutex_unlock(&scanner->lock);
	return r;
}

int segfs_scanner_scan(SegfsScanner *scanner, SegfsSince since, SegfsScan **ret_scan)
{
	return share(scanner, &scanner->whole, since, ret_scan);
}

/* A whole scan that answers for the processes alone, or NULL. */
static SegfsScan *whole_for_processes(SegfsScanner *scanner, SegfsSince since)
{
	SegfsScan *found = NULL;

	g_mutex_lock(&scanner->lock);
	/* It is recent only as one of the processes alone would be, which takes less time. */
	const Fresh fresh = {scanner->whole.fresh.from, scanner->processes.fresh.took};
	/* What was found since is not to be missing again. */
	const bool is_latest = fresh.from >= scanner->processes.fresh.from;
	if (scanner->whole.latest && is_latest && fresh_enough(&fresh, since))
		found = segfs_scan_ref(scanner->whole.latest);
	g_mutex_unlock(&scanner->lock);
	return found;
}

int scanner_processes(SegfsScanner *scanner, SegfsSince since, SegfsScan **ret_scan)
{
	SegfsScan *whole = whole_for_processes(scanner, since);

	if (!whole)
		return share(scanner, &scanner->processes, since, ret_scan);
	*ret_scan = whole;
	return 0;
}

guint64 scanner_n_walks(SegfsScanner *scanner)
{
	g_mutex_lock(&scanner->lock);
	const guint64 n_walks = scanner->whole.begun + scanner->processes.begun;
	g_mutex_unlock(&scanner->lock);
	return n_walks;
}

const char *scanner_proc_root(const SegfsScanner *scanner)
{
	return scanner->proc_root;
}
