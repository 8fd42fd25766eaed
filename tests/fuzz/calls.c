/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A fuzzer of system calls through the mount: root and two others, each in a process of its own,
 * do at random all that a program can do to a file, to names and descriptors that may be anything.
 * It looks for no right answers but for a daemon that lives, answers, and has nothing to report
 * under the sanitizers.
 *
 *   fuzz-calls [-s SEED] [-t SECONDS] [-n CALLS] JAIL
 *
 * JAIL has the mount in m and what it shows of POSIX objects in s, both bounded by who calls; the
 * workers' root is JAIL, so no link leads out, and they have no /proc. A worker's calls follow from
 * the seed, its user and the number of its life: -s does the same calls again; how they meet those
 * of the others is the scheduler's. Prints the seed, what ends the daemon, and the last calls
 * before that.
 */

#include "calls.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { N_USERS = 3, PER_USER = 2, N_WORKERS = N_USERS * PER_USER, PATIENCE = 60, FIRST_UID = 4001 };

static struct {
	Trail trails[N_WORKERS];
	_Atomic uint64_t calls;
} * shared;

static struct {
	uint64_t seed, most_calls;
	time_t seconds;
	const char *jail;
} options = {.seconds = 10, .most_calls = UINT64_MAX};

/* xorshift64* */
uint64_t next(Worker *worker)
{
	worker->random ^= worker->random >> 12;
	worker->random ^= worker->random << 25;
	worker->random ^= worker->random >> 27;
	return worker->random * 0x2545f4914f6cdd1dULL;
}

uint64_t below(Worker *worker, uint64_t n)
{
	return (next(worker) >> 11) % n;
}

bool one_in(Worker *worker, uint64_t n)
{
	return below(worker, n) == 0;
}

uint64_t some_of(Worker *worker, const uint64_t *bits, size_t n)
{
	uint64_t all = 0;

	for (size_t i = 0; i < n; i++)
		if (one_in(worker, 3))
			all |= bits[i];
	return all;
}

int64_t some_size(Worker *worker)
{
	static const int64_t edges[] = {0, 1, 4095, 4096, 4097, 65536, 1 << 20, 1 << 21};

	switch (below(worker, 12)) {
	case 0:
		return ONE_OF(worker, INT32_MAX, INT64_MAX, INT64_MIN, -1, -4096, UINT32_MAX,
			      1LL << 40);
	case 1:
	case 2:
	case 3:
		return (int64_t)below(worker, 4 << 20);
	case 4:
	case 5:
		return edges[below(worker, sizeof(edges) / sizeof(*edges))];
	default:
		return (int64_t)below(worker, 20000);
	}
}

int keep_fd(Worker *worker, int fd)
{
	const uint64_t slot = below(worker, N_FDS);

	if (fd < 0)
		return fd;
	if (worker->fds[slot] >= 0)
		close(worker->fds[slot]);
	worker->fds[slot] = fd;
	return fd;
}

int some_fd(Worker *worker)
{
	uint64_t slot = below(worker, N_FDS);

	for (int i = 0; i < N_FDS; i++, slot = (slot + 1) % N_FDS)
		if (worker->fds[slot] >= 0)
			return worker->fds[slot];
	return -1;
}

void note(Worker *worker, const char *format, ...)
{
	va_list arguments;
	Trail *trail = worker->trail;

	va_start(arguments, format);
	vsnprintf(trail->lines[trail->n % N_LINES], LINE, format, arguments);
	va_end(arguments);
	trail->n++;
}

/* A signal comes every now and then, so that nothing waits for ever, and much is interrupted. */
static void on_alarm(int signal)
{
}

static void be_user(int user)
{
	const uid_t uid = FIRST_UID + user;

	if (user == 0)
		return;
	/* They have a group in common. */
	if (setgroups(1, &(gid_t){FIRST_UID}) < 0 || setresgid(uid, uid, uid) < 0 ||
	    setresuid(uid, uid, uid) < 0)
		err(2, "cannot become %u", uid);
}

static void limit(int resource, rlim_t most)
{
	setrlimit(resource, &(struct rlimit){most, most});
}

/* What root locks through a daemon that may not raise its own limit, nobody else there can lock. */
static void lock_little(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	limit(RLIMIT_MEMLOCK, 1UL << 20);
	if (syscall(SYS_capget, &header, data) < 0)
		err(2, "capget");
	data[0].effective &= ~(1U << CAP_IPC_LOCK);
	data[0].permitted &= ~(1U << CAP_IPC_LOCK);
	if (syscall(SYS_capset, &header, data) < 0)
		err(2, "capset");
}

static void prepare(const Worker *worker)
{
	const struct sigaction action = {.sa_handler = on_alarm};
	const struct itimerval often = {{0, 20000}, {0, 20000}};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (chroot(options.jail) < 0 || chdir("/m") < 0)
		err(2, "%s", options.jail);
	limit(RLIMIT_AS, 1UL << 30);
	limit(RLIMIT_NOFILE, 64);
	limit(RLIMIT_CORE, 0);
	umask(below((Worker *)worker, 2) ? 022 : 0);
	be_user(worker->user);
	lock_little();
	sigaction(SIGALRM, &action, NULL);
	signal(SIGXFSZ, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	setitimer(ITIMER_REAL, &often, NULL);
}

static void run_one(Worker *worker)
{
	const Call *calls = calls_of_names;
	size_t n = n_calls_of_names, total = 0, i;

	if (below(worker, 2)) {
		calls = calls_of_files;
		n = n_calls_of_files;
	}
	for (i = 0; i < n; i++)
		total += calls[i].weight;
	size_t chosen = below(worker, total);
	for (i = 0; chosen >= calls[i].weight; i++)
		chosen -= calls[i].weight;
	calls[i].run(worker);
	shared->calls++;
}

static _Noreturn void live(int number, uint64_t life)
{
	Worker *worker = calloc(1, sizeof(*worker));

	if (!worker)
		_exit(2);
	worker->user = number % N_USERS;
	worker->random = (options.seed + 1) * 0x9e3779b97f4a7c15ULL ^
			 ((uint64_t)number << 48 | (life + 1) << 8);
	worker->trail = &shared->trails[number];
	memset(worker->fds, -1, sizeof(worker->fds));
	memset(worker->ids, -1, sizeof(worker->ids));
	for (int i = 0; i < 16; i++)
		next(worker);
	prepare(worker);
	note(worker, "life %llu of user %d begins", (unsigned long long)life, worker->user);
	const uint64_t calls = 200 + below(worker, 4000);
	for (uint64_t i = 0; i < calls; i++)
		run_one(worker);
	/* Not _exit() always: a killed one leaves its calls in the middle. */
	if (one_in(worker, 3))
		raise(SIGKILL);
	_exit(0);
}

static void tell_trails(void)
{
	for (int i = 0; i < N_WORKERS; i++) {
		const Trail *trail = &shared->trails[i];
		const uint64_t n = trail->n;
		printf("# worker %d, user %d:\n", i, i % N_USERS);
		for (uint64_t at = n < N_LINES ? 0 : n - N_LINES; at < n; at++)
			printf("#   %.*s\n", LINE, trail->lines[at % N_LINES]);
	}
}

/* Asked by a process of its own, which may wait as long as the daemon lets it. */
static const char *ask(time_t now)
{
	static pid_t asker;
	static time_t since;
	char path[4096];
	struct stat st;
	int status;

	if (asker > 0 && waitpid(asker, &status, WNOHANG) == asker) {
		asker = 0;
		if (status != 0)
			return "the daemon is gone";
	}
	if (asker > 0)
		return now - since > PATIENCE ? "the daemon does not answer" : NULL;
	since = now;
	snprintf(path, sizeof(path), "%s/m/README", options.jail);
	asker = fork();
	if (asker == 0)
		_exit(stat(path, &st) == 0 ? 0 : 1);
	return NULL;
}

typedef struct {
	pid_t pid;
	uint64_t life, n;
	time_t moved; /* when n was another one */
} Slot;

/* Why it has to end, or NULL. */
static const char *look(Slot *slots, time_t now)
{
	for (int i = 0; i < N_WORKERS; i++) {
		const uint64_t n = shared->trails[i].n;
		if (n != slots[i].n) {
			slots[i].n = n;
			slots[i].moved = now;
		} else if (now - slots[i].moved > PATIENCE) {
			return "a worker hangs";
		}
	}
	return ask(now);
}

static void start(Slot *slots, int i)
{
	slots[i].pid = fork();
	if (slots[i].pid == 0)
		live(i, slots[i].life);
	if (slots[i].pid < 0)
		err(2, "fork");
	slots[i].life++;
}

/* Starts again who has ended, and kills one now and then wherever it is. */
static const char *supervise(void)
{
	static Slot slots[N_WORKERS];
	const struct timespec pause = {0, 100000000};
	const char *wrong = NULL;
	const time_t begin = time(NULL);
	unsigned int random = options.seed;
	time_t now = begin;

	for (int i = 0; i < N_WORKERS; i++) {
		slots[i].moved = now;
		start(slots, i);
	}
	while (!wrong && now - begin < options.seconds && shared->calls < options.most_calls) {
		nanosleep(&pause, NULL);
		now = time(NULL);
		if (rand_r(&random) % 10 == 0)
			kill(slots[rand_r(&random) % N_WORKERS].pid, SIGKILL);
		wrong = look(slots, now);
		for (int i = 0, status; i < N_WORKERS; i++) {
			if (waitpid(slots[i].pid, &status, WNOHANG) != slots[i].pid)
				continue;
			if (WIFEXITED(status) && WEXITSTATUS(status) == 2)
				wrong = "a worker cannot start";
			start(slots, i);
		}
	}
	for (int i = 0; i < N_WORKERS; i++)
		kill(slots[i].pid, SIGKILL);
	for (int i = 0; i < N_WORKERS && !wrong; i++)
		waitpid(slots[i].pid, NULL, 0);
	return wrong;
}

/* Not anonymous: through unlinked/ a worker could take that away. */
static void *in_a_file(size_t size)
{
	char name[] = "/tmp/fuzz-calls.XXXXXX";
	const int fd = mkstemp(name);

	if (fd < 0 || unlink(name) < 0 || ftruncate(fd, (off_t)size) < 0)
		err(2, "%s", name);
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		err(2, "mmap");
	close(fd);
	return at;
}

int main(int argc, char **argv)
{
	int option;
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	options.seed = (uint64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
	while ((option = getopt(argc, argv, "s:t:n:")) != -1) {
		if (option == 's')
			options.seed = strtoull(optarg, NULL, 10);
		else if (option == 't')
			options.seconds = atol(optarg);
		else if (option == 'n')
			options.most_calls = strtoull(optarg, NULL, 10);
		else
			return 2;
	}
	if (optind != argc - 1)
		errx(2, "usage: fuzz-calls [-s SEED] [-t SECONDS] [-n CALLS] JAIL");
	options.jail = argv[optind];
	shared = in_a_file(sizeof(*shared));
	printf("# seed %llu\n", (unsigned long long)options.seed);
	fflush(stdout);
	const char *wrong = supervise();
	printf("# %llu calls\n", (unsigned long long)shared->calls);
	if (!wrong)
		return 0;
	printf("# %s; again with -s %llu\n", wrong, (unsigned long long)options.seed);
	tell_trails();
	return 1;
}
