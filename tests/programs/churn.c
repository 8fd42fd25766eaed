// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * An hour's worth of churn: threads and processes, root and not, do at random whatever can be done
 * to a few keys and names, through the mount and directly, so that they meet; signals come in
 * between, and processes are killed wherever they are. It ends with no error that the direct
 * calls would not give (KINDS in churn.h), each open leads to the memory that shmat() gives
 * (churn-open.c), and the daemon holds what it held before (churn-daemon.c).
 *
 * Runs as root under with-mount. From outside: CHURN_SECONDS, how long; CHURN_SEED, which other
 * run to do again, as far as the scheduler lets it.
 */
#include "churn.h"
#include "protected.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct shared *shared;
const char *mnt;
bool can_map, can_pick_id, is_protected;

const char *const kind_names[N_KINDS] = {
#define K(name, all, users) [name] = #name,
	KINDS(K)
#undef K
};

/* Memory: history remembers up to 10,000 pieces, and the daemon grows by 14 MiB with them
 * within minutes: for long runs there is CHURN_RSS_KIB. */
enum { WARM_UP = 3, PATIENCE = 60, THREADS_MAX = 16, RSS_MORE_KIB = 8192, DAEMON_THREADS = 32 };

static struct process {
	int threads;
	bool root;
	bool victim; /* is killed, and started again */
	uid_t uid;
	int slot;
	pid_t pid;
} processes[] = {
	{.threads = THREADS_MAX, .root = true, .slot = 0},
	{.threads = 3, .uid = UID_FIRST, .slot = 16},
	{.threads = 3, .uid = UID_FIRST + 1, .slot = 19},
	{.threads = 2, .root = true, .victim = true, .slot = 22},
	{.threads = 2, .root = true, .victim = true, .slot = 24},
	{.threads = 2, .victim = true, .uid = UID_FIRST, .slot = 26},
	{.threads = 1, .victim = true, .uid = UID_FIRST + 1, .slot = 28},
};
enum { PROCESSES = sizeof(processes) / sizeof(*processes) };

static pid_t daemon_pid;
static uint64_t seed;
static int n_tests, n_failed, n_killed, n_died, n_started;
static long rss_more;

static void ok(bool good, const char *name)
{
	printf("%sok %d - %s\n", good ? "" : "not ", ++n_tests, name);
	n_failed += !good;
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

static void nap(int us)
{
	const struct timespec time = {.tv_nsec = us * 1000L};

	nanosleep(&time, NULL);
}

static void on_signal(int signal)
{
	shared->signals++;
}

static void *run_thread(void *data)
{
	churn(data);
	return NULL;
}

static _Noreturn void run_process(const struct process *process)
{
	/* So that opens are interrupted, and answered all the same. */
	const struct sigaction interrupt = {.sa_handler = on_signal};
	const struct sigaction bus = {.sa_sigaction = on_bus, .sa_flags = SA_SIGINFO | SA_NODEFER};
	struct thread threads[THREADS_MAX];
	pthread_t ids[THREADS_MAX];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	umask(0);
	sigaction(SIGUSR1, &interrupt, NULL);
	sigaction(SIGBUS, &bus, NULL);
	if (!process->root && (setgid(process->uid) < 0 || setuid(process->uid) < 0))
		_exit(97);
	for (int i = 0; i < process->threads; i++) {
		const uint64_t own = seed + (n_started * SLOTS + process->slot + i + 1);
		threads[i] = (struct thread){
			.slot = process->slot + i,
			.random = own * 0x9e3779b97f4a7c15 | 1,
			.root = process->root,
		};
		if (pthread_create(&ids[i], NULL, run_thread, &threads[i]) != 0)
			_exit(96);
	}
	for (int i = 0; !shared->stop; i = (i + 1) % process->threads) {
		nap(1500);
		pthread_kill(ids[i], SIGUSR1);
	}
	for (int i = 0; i < process->threads; i++)
		pthread_join(ids[i], NULL);
	_exit(0);
}

static void start(struct process *process)
{
	fflush(stdout);
	n_started++;
	process->pid = fork();
	if (process->pid < 0)
		err(1, "fork");
	if (process->pid == 0)
		run_process(process);
}

/* False: it is there still. */
static bool reap(struct process *process, bool killed)
{
	int status;
	const pid_t pid = waitpid(process->pid, &status, WNOHANG);

	if (pid == 0)
		return false;
	process->pid = 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return true;
	if (killed && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
		return true;
	n_died++;
	printf("# a process %s %d\n", WIFSIGNALED(status) ? "died of signal" : "ended with",
	       WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	return true;
}

/* False: it has not ended in time. */
static bool await(struct process *process, bool killed, double deadline)
{
	while (process->pid && !reap(process, killed)) {
		if (now() > deadline)
			return false;
		nap(500);
	}
	return true;
}

/* False: some did not come to an end. */
static bool run(double seconds)
{
	struct thread dice = {.random = seed | 1};
	const double end = now() + seconds;
	bool ended = true;

	shared->stop = false;
	for (int i = 0; i < PROCESSES; i++)
		start(&processes[i]);
	while (now() < end) {
		struct process *process = &processes[random_below(&dice, PROCESSES)];
		nap(random_below(&dice, 12000));
		if (!process->victim || !process->pid)
			continue;
		kill(process->pid, SIGKILL);
		n_killed++;
		if (await(process, true, now() + PATIENCE))
			start(process);
	}
	shared->stop = true;
	for (int i = 0; i < PROCESSES; i++) {
		if (await(&processes[i], false, now() + PATIENCE))
			continue;
		printf("# process %d does not end\n", processes[i].pid);
		ended = false;
		kill(processes[i].pid, SIGKILL);
	}
	return ended;
}

/* All that was made is removed, but the survivor. */
static void clear(void)
{
	struct shm_info info;
	struct shmid_ds ds;
	char path[64];

	const int last = shmctl(0, SHM_INFO, (struct shmid_ds *)&info);
	for (int i = 0; i <= last; i++) {
		const int shmid = shmctl(i, SHM_STAT_ANY, &ds);
		if (shmid >= 0 && ds.shm_perm.__key != KEY_SURVIVOR)
			shmctl(shmid, IPC_RMID, NULL);
	}
	for (int i = 0; i < NAMES; i++) {
		snprintf(path, sizeof(path), "/dev/shm/churn-%d", i);
		unlink(path);
	}
}

/* The names that the kernel remembers, which the daemon has to remember, too: in the end of all the
 * segments that there were. */
static void forget_names(void)
{
	const int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "2", 1) != 1)
		err(1, "/proc/sys/vm/drop_caches");
	close(fd);
}

/*
 * The kernel tells the daemon of the last close, and of what it forgets, when it likes to, and free
 * memory goes back a moment later.
 */
static void settle(const struct held *before, struct held *ret_held)
{
	enum { STEADY = 3 };
	const double deadline = now() + 20;
	long least = LONG_MAX;
	int steady = 0;

	forget_names();
	do {
		nap(200000);
		daemon_look(daemon_pid, ret_held);
		steady = ret_held->rss_kib < least ? 0 : steady + 1;
		if (ret_held->rss_kib < least)
			least = ret_held->rss_kib;
	} while (now() < deadline &&
		 (ret_held->descriptors > before->descriptors || ret_held->attaches ||
		  ret_held->shm_blocks > before->shm_blocks || steady < STEADY));
}

static void print_tally(void)
{
	for (int kind = 0; kind < N_KINDS; kind++) {
		printf("# %-20s %9ld", kind_names[kind], (long)shared->counts[kind][0]);
		for (int error = 1; error < ERRORS; error++)
			if (shared->counts[kind][error])
				printf("  %s %ld", strerrorname_np(error),
				       (long)shared->counts[kind][error]);
		printf("\n");
	}
	printf("# comparisons %ld, opens of something newer %ld, signals %ld, SIGBUS %ld, killed "
	       "%d\n",
	       (long)shared->compared, (long)shared->moved, (long)shared->signals,
	       (long)shared->busses, n_killed);
}

/* Whatever can be done was done. */
static bool all_happened(void)
{
	bool all = shared->compared > 0 && n_killed > 0;

	for (int kind = 0; kind < N_KINDS; kind++) {
		/* Its success is an error: ENOSPC. */
		const int wanted = kind == SYSV_WRITE_PAST ? ENOSPC : 0;
		if (!can_map && (kind == SYSV_MAP || kind == POSIX_MAP))
			continue;
		if (shared->counts[kind][wanted] == 0) {
			printf("# never seen: %s\n", kind_names[kind]);
			all = false;
		}
	}
	return all;
}

/* An open with O_CREAT never comes back without a file. */
static bool none_lost(enum kind kind)
{
	return shared->counts[kind][0] > 0 && shared->counts[kind][ENOENT] == 0;
}

static void print_held(const char *when, const struct held *held)
{
	printf("# the daemon %s: %d descriptors, %d pipes and /dev/fuse, %d threads, %d attaches, "
	       "%ld KiB; %ld blocks in /dev/shm\n",
	       when, held->descriptors, held->pipes, held->threads, held->attaches, held->rss_kib,
	       held->shm_blocks);
}

static bool is_sanitized(void)
{
	char path[64];
	bool found = false;

	snprintf(path, sizeof(path), "/proc/%d/exe", daemon_pid);
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0)
		return false;
	char *bytes = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (bytes != MAP_FAILED)
		found = memmem(bytes, st.st_size, "__asan_init", 11) ||
			memmem(bytes, st.st_size, "__tsan_init", 11);
	close(fd);
	return found;
}

/* The segment that outlives it all: we have it attached, and everybody uses it. */
static int make_survivor(void)
{
	const int shmid = shmget(KEY_SURVIVOR, SURVIVOR_SIZE, IPC_CREAT | IPC_EXCL | 0666);
	char path[128];

	if (shmid < 0 || shmat(shmid, NULL, 0) == (void *)-1)
		err(1, "the survivor");
	snprintf(path, sizeof(path), "%s/sysv/%d", mnt, shmid);
	const int fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		err(1, "%s", path);
	can_map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) != MAP_FAILED;
	close(fd);
	can_pick_id = access("/proc/sys/kernel/shm_next_id", F_OK) == 0;
	is_protected = fs_is_protected();
	return shmid;
}

/* One more of everything works. */
static bool still_works(void)
{
	char path[128];
	uint32_t word = 0;
	bool good = true;

	snprintf(path, sizeof(path), "%s/key/0x%x", mnt, KEY_FIRST);
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	good = fd >= 0 && ftruncate(fd, 4096) == 0 && close(fd) == 0 &&
	       (fd = open(path, O_RDWR | O_CLOEXEC)) >= 0 && pwrite(fd, "word", 4, 0) == 4 &&
	       pread(fd, &word, 4, 0) == 4 && !memcmp(&word, "word", 4) && unlink(path) == 0;
	close(fd);
	return good;
}

static void judge(int survivor, const struct held *before, const struct held *warm)
{
	const bool sanitized = is_sanitized();
	const int n_failed_before = n_failed;
	struct held after;
	struct shmid_ds ds;

	settle(before, &after);
	print_held("after the churn", &after);
	ok(after.descriptors <= before->descriptors, "the daemon's descriptors are closed");
	ok(after.pipes <= 1 + 3 * after.threads, "as many pipes as its threads need, and no more");
	ok(after.attaches == 0 && shmctl(survivor, IPC_STAT, &ds) == 0 && ds.shm_nattch == 1,
	   "no attach is left");
	ok(after.shm_blocks <= before->shm_blocks, "no object's memory is left");
	ok(after.threads <= DAEMON_THREADS, "the daemon has a bounded number of threads");
	const long more = after.rss_kib - warm->rss_kib;
	printf("# resident memory: %+ld KiB since the warm-up\n", more);
	if (sanitized)
		printf("ok %d - the daemon's resident memory # SKIP sanitizers keep memory\n",
		       ++n_tests);
	else
		ok(more <= rss_more, "the daemon's resident memory is back where it was");
	if (n_failed > n_failed_before)
		daemon_explain(daemon_pid);
}

static long setting(const char *name, long otherwise)
{
	const char *text = getenv(name);

	return text && *text ? strtol(text, NULL, 0) : otherwise;
}

int main(int argc, char **argv)
{
	const long seconds = setting("CHURN_SECONDS", argc > 1 ? atoi(argv[1]) : 10);
	struct held before, warm;

	mnt = getenv("MNT");
	daemon_pid = setting("SEGFS_PID", 0);
	seed = setting("CHURN_SEED", time(NULL) * 1000 + getpid() % 1000);
	rss_more = setting("CHURN_RSS_KIB", RSS_MORE_KIB);
	if (!mnt || daemon_pid <= 0)
		errx(2, "to be run by with-mount");
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (shared == MAP_FAILED)
		err(1, "mmap");
	for (int i = 0; i < IDS; i++)
		shared->ids[i] = -1;
	const int survivor = make_survivor();
	printf("# CHURN_SEED=%lu CHURN_SECONDS=%ld, shared mappings %s, ids %s\n", seed, seconds,
	       can_map ? "work" : "do not work", can_pick_id ? "are reused" : "come by chance");
	settle(&(struct held){.descriptors = INT32_MAX, .shm_blocks = INT32_MAX}, &before);
	print_held("at the start", &before);

	bool ended = run(WARM_UP);
	clear();
	settle(&before, &warm);
	print_held("after the warm-up", &warm);
	ended = run(seconds) && ended;
	clear();
	print_tally();
	ok(ended && n_died == 0, "all processes ended, and only those that were killed died");
	for (int i = 0; i < shared->n_bad && i < BAD_SHOWN; i++)
		printf("# %s\n", shared->bad[i]);
	if (shared->n_bad)
		printf("# %d in all\n", (int)shared->n_bad);
	ok(shared->n_bad == 0, "no error and no byte that the direct calls would not give");
	const bool keys = none_lost(KEY_CREATE), objects = none_lost(POSIX_CREATE);
	ok(keys && objects, "what is to be created is");
	ok(all_happened(), "everything was done at least once");
	ok(still_works(), "the mount works as before");
	judge(survivor, &before, &warm);
	printf("1..%d\n", n_tests);
	return n_failed != 0;
}
