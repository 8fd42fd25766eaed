// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * bench-io: what tools/bench measures, in loops that cost nothing beside it.
 *
 *   bench-io measure OP BLOCK SECONDS TARGET   one operation for so long; prints count and ns
 *   bench-io run N PROGRAM [ARGS]              N runs, output to /dev/null; prints N and ns
 *   bench-io requests TRACEPOINT DEVICE PROGRAM [ARGS]
 *                                              one run; prints the requests to that FUSE mount.
 *                                              PROGRAM "measure" is the loop above, told first
 *   bench-io make N SIZE                       N segments; prints their ids. The maker is gone then
 *   bench-io remove                            those whose ids are on stdin
 *   bench-io fill CHUNK STRIDE TARGET...       stores CHUNK bytes every STRIDE
 *   bench-io own SIZE                          makes one, prints its id and holds it as below
 *   bench-io hold ID                           attached until the end of stdin
 *   bench-io blink ID                          attached and detached: the last user is gone then
 *   bench-io transfer WAY BLOCK TOTAL TARGET   from one process to another: pipe, fifo (made as
 *                                              TARGET), sysv, posix (queues), memory; as measure
 *   bench-io watch DIRECTORY                   reads what happens to the names of its tmpfs, and
 *                                              does nothing with it, until the end of stdin
 *   bench-io crowd N                           N processes that do nothing, until the end of stdin
 *
 * TARGET is a file, or shm:ID: the same operation in attached memory, a memcpy for a read or a
 * write. An error is one line "error NAME", status 1.
 */
#include "bench-io.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FILL_TURN (2 << 20)

extern char **environ;

_Noreturn void die(const char *what)
{
	const int err = errno;
	const char *name = strerrorname_np(err);

	fprintf(stderr, "bench-io: %s: %s\n", what, strerror(err));
	printf("error %s\n", name ? name : "?");
	exit(1);
}

_Noreturn void usage(void)
{
	fputs("bench-io: called by tools/bench; see the head of bench-io.c\n", stderr);
	exit(2);
}

long long number(const char *word)
{
	char *end;

	errno = 0;
	const long long n = strtoll(word, &end, 10);
	if (errno || end == word || *end || n < 0)
		usage();
	return n;
}

int64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * SECOND + t.tv_nsec;
}

char *attach(int shmid, int flags)
{
	char *mem = shmat(shmid, NULL, flags);

	if (mem == (char *)-1)
		die("shmat");
	return mem;
}

int64_t timed_run(char **argv)
{
	posix_spawn_file_actions_t actions;
	const int64_t start = now();
	pid_t pid;
	int status;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	errno = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
	if (errno)
		die(argv[0]);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			die("waitpid");
	posix_spawn_file_actions_destroy(&actions);
	if (status != 0) {
		fprintf(stderr, "bench-io: %s: status %#x\n", argv[0], status);
		puts("error failed");
		return -1;
	}
	return now() - start;
}

static int run(long long times, char **argv)
{
	int64_t spent = 0;

	for (long long i = 0; i < times; i++) {
		const int64_t ns = timed_run(argv);
		if (ns < 0)
			return 1;
		spent += ns;
	}
	printf("%lld %lld\n", times, (long long)spent);
	return 0;
}

static int make(long long count, size_t size)
{
	for (long long i = 0; i < count; i++) {
		/* Large ones that are mostly untouched must not be refused for lack of memory. */
		const int id = shmget(IPC_PRIVATE, size, IPC_CREAT | SHM_NORESERVE | 0644);
		if (id < 0)
			die("shmget");
		printf("%d\n", id);
	}
	return 0;
}

static int remove_all(void)
{
	int id;

	while (scanf("%d", &id) == 1)
		if (shmctl(id, IPC_RMID, NULL) < 0)
			die("shmctl");
	return 0;
}

static char *map_to_fill(const char *name, size_t *ret_size)
{
	Target t = {.fd = -1};

	find(&t, name);
	*ret_size = t.size;
	if (!t.path)
		return attach(t.shmid, 0);
	const int fd = open(t.path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		die(t.path);
	char *mem = mmap(NULL, t.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (mem == MAP_FAILED)
		die("mmap");
	close(fd);
	return mem;
}

/*
 * Turn by turn: what is filled first may get other memory than what comes after it, slower by a
 * third in a virtual machine, and that is not to be compared.
 */
static int fill(size_t chunk, size_t stride, char **names, int n)
{
	char **mem = calloc(n, sizeof(*mem));
	size_t size = 0;

	if (!mem)
		die("no memory");
	if (stride == 0 || chunk > stride)
		usage();
	for (int i = 0; i < n; i++) {
		size_t own_size;
		mem[i] = map_to_fill(names[i], &own_size);
		if (i > 0 && own_size != size)
			usage();
		size = own_size;
	}
	for (size_t at = 0; at < size; at += FILL_TURN)
		for (int i = 0; i < n; i++)
			for (size_t in = (at + stride - 1) / stride * stride;
			     in < at + FILL_TURN && in + chunk <= size; in += stride)
				memset(mem[i] + in, 0xa5, chunk);
	free(mem);
	return 0;
}

static void wait_for_end(void)
{
	char byte;
	ssize_t n;

	puts("ready");
	fflush(stdout);
	do
		n = read(STDIN_FILENO, &byte, 1);
	while (n > 0 || (n < 0 && errno == EINTR));
}

static int own(size_t size)
{
	const int id = shmget(IPC_PRIVATE, size, IPC_CREAT | SHM_NORESERVE | 0644);

	if (id < 0)
		die("shmget");
	printf("%d\n", id);
	attach(id, SHM_RDONLY);
	wait_for_end();
	return 0;
}

static int hold(int shmid)
{
	attach(shmid, SHM_RDONLY);
	wait_for_end();
	return 0;
}

static int crowd(size_t count)
{
	pid_t *pids = calloc(count, sizeof(*pids));
	const pid_t self = getpid();

	if (!pids)
		die("no memory");
	for (size_t i = 0; i < count; i++) {
		pids[i] = fork();
		if (pids[i] < 0)
			die("fork");
		if (pids[i] == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			while (getppid() == self)
				pause();
			_exit(0);
		}
	}
	wait_for_end();
	for (size_t i = 0; i < count; i++) {
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
	free(pids);
	return 0;
}

int main(int argc, char **argv)
{
	const char *command = argc > 1 ? argv[1] : "";

	if (strcmp(command, "measure") == 0 && argc == 6)
		return measure(argv[2], number(argv[3]), atof(argv[4]), argv[5]);
	if (strcmp(command, "run") == 0 && argc > 3)
		return run(number(argv[2]), argv + 3);
	if (strcmp(command, "requests") == 0 && argc > 4)
		return requests(number(argv[2]), number(argv[3]), argv + 4,
				strcmp(argv[4], "measure") == 0 && argc == 9);
	if (strcmp(command, "make") == 0 && argc == 4)
		return make(number(argv[2]), number(argv[3]));
	if (strcmp(command, "remove") == 0 && argc == 2)
		return remove_all();
	if (strcmp(command, "fill") == 0 && argc > 4)
		return fill(number(argv[2]), number(argv[3]), argv + 4, argc - 4);
	if (strcmp(command, "own") == 0 && argc == 3)
		return own(number(argv[2]));
	if (strcmp(command, "hold") == 0 && argc == 3)
		return hold(number(argv[2]));
	if (strcmp(command, "blink") == 0 && argc == 3)
		return shmdt(attach(number(argv[2]), SHM_RDONLY));
	if (strcmp(command, "crowd") == 0 && argc == 3)
		return crowd(number(argv[2]));
	if (strcmp(command, "watch") == 0 && argc == 3)
		return watch(argv[2]);
	if (strcmp(command, "transfer") == 0 && argc == 6)
		return transfer(argv[2], number(argv[3]), number(argv[4]), argv[5]);
	usage();
}
