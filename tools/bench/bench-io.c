// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * bench-io: what tools/bench measures, in loops that cost nothing beside it.
 *
 *   bench-io measure OP BLOCK SECONDS TARGET   one operation for so long; prints count and ns
 *   bench-io run N PROGRAM [ARGS]              N runs, output to /dev/null; prints N and ns
 *   bench-io make N SIZE                       N segments; prints their ids. The maker is gone then
 *   bench-io remove                            those whose ids are on stdin
 *   bench-io fill CHUNK STRIDE TARGET...       stores CHUNK bytes every STRIDE
 *   bench-io own SIZE                          makes one, prints its id and holds it as below
 *   bench-io hold ID                           attached until the end of stdin
 *   bench-io blink ID                          attached and detached: the last user is gone then
 *   bench-io crowd N                           N processes that do nothing, until the end of stdin
 *
 * TARGET is a file, or shm:ID: the same operation in attached memory, a memcpy for a read or a
 * write. An error is one line "error NAME", status 1.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
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

#define PAGE 4096
#define FILL_TURN (2 << 20)
#define SECOND 1000000000LL

extern char **environ;

typedef struct {
	const char *path; /* NULL: the segment shmid */
	int shmid;
	int fd; /* -1 where the loop itself opens, and for a segment */
	int flags;
	char *mem; /* mapped or attached, or NULL */
	size_t size;
	size_t block;
	char *buffer;
	size_t at;       /* of the next sequential block */
	uint64_t random; /* the same row of places in every run */
	int64_t aside;   /* ns that do not count */
} Target;

/* One step is so many operations that reading the clock between steps does not show. */
typedef struct {
	const char *name;
	bool writes;
	bool maps; /* needs memory beforehand, each page of it touched */
	bool own;  /* opens or maps by itself */
	long (*step)(Target *t);
} Op;

/* Keeps a load whose value nobody wants. */
static volatile char sink;

_Noreturn static void die(const char *what)
{
	const int err = errno;
	const char *name = strerrorname_np(err);

	fprintf(stderr, "bench-io: %s: %s\n", what, strerror(err));
	printf("error %s\n", name ? name : "?");
	exit(1);
}

_Noreturn static void usage(void)
{
	fputs("bench-io: called by tools/bench; see the head of bench-io.c\n", stderr);
	exit(2);
}

static long long number(const char *word)
{
	char *end;

	errno = 0;
	const long long n = strtoll(word, &end, 10);
	if (errno || end == word || *end || n < 0)
		usage();
	return n;
}

static int64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * SECOND + t.tv_nsec;
}

static char *attach(int shmid, int flags)
{
	char *mem = shmat(shmid, NULL, flags);

	if (mem == (char *)-1)
		die("shmat");
	return mem;
}

static void touch(const char *mem, size_t size)
{
	for (size_t at = 0; at < size; at += PAGE)
		sink = *(volatile const char *)(mem + at);
}

static size_t next(Target *t)
{
	const size_t at = t->at;

	t->at = at + 2 * t->block <= t->size ? at + t->block : 0;
	return at;
}

static size_t next_random(Target *t)
{
	t->random ^= t->random << 13;
	t->random ^= t->random >> 7;
	t->random ^= t->random << 17;
	return t->random % (t->size / t->block) * t->block;
}

static long per_step(const Target *t)
{
	return t->block < 65536 ? 64 : 1;
}

static void get(Target *t, size_t at)
{
	if (t->fd < 0) {
		memcpy(t->buffer, t->mem + at, t->block);
		/* Somebody may look at the buffer: the copy is not to be left out. */
		__asm__ volatile("" : : "r"(t->buffer) : "memory");
		return;
	}
	const ssize_t n = pread(t->fd, t->buffer, t->block, at);
	if (n != (ssize_t)t->block) {
		errno = n < 0 ? errno : EIO;
		die("pread");
	}
}

static void put(Target *t, size_t at)
{
	if (t->fd < 0) {
		memcpy(t->mem + at, t->buffer, t->block);
		__asm__ volatile("" : : "r"(t->mem) : "memory");
		return;
	}
	const ssize_t n = pwrite(t->fd, t->buffer, t->block, at);
	if (n != (ssize_t)t->block) {
		errno = n < 0 ? errno : EIO;
		die("pwrite");
	}
}

static long step_read(Target *t)
{
	const long n = per_step(t);

	for (long i = 0; i < n; i++)
		get(t, next(t));
	return n;
}

static long step_read_random(Target *t)
{
	const long n = per_step(t);

	for (long i = 0; i < n; i++)
		get(t, next_random(t));
	return n;
}

static long step_write(Target *t)
{
	const long n = per_step(t);

	for (long i = 0; i < n; i++)
		put(t, next(t));
	return n;
}

static long step_write_random(Target *t)
{
	const long n = per_step(t);

	for (long i = 0; i < n; i++)
		put(t, next_random(t));
	return n;
}

/* A byte of each page, the whole memory in turn. */
static long step_touch(Target *t)
{
	touch(t->mem, t->size);
	return t->size / PAGE;
}

static long step_map_copy(Target *t)
{
	const size_t at = next(t);

	memcpy(t->buffer, t->mem + at, t->block);
	__asm__ volatile("" : : "r"(t->buffer) : "memory");
	return 1;
}

static long step_map_random(Target *t)
{
	const long n = per_step(t);

	for (long i = 0; i < n; i++) {
		memcpy(t->buffer, t->mem + next_random(t), t->block);
		__asm__ volatile("" : : "r"(t->buffer) : "memory");
	}
	return n;
}

static char *map(Target *t)
{
	if (!t->path)
		return attach(t->shmid, SHM_RDONLY);
	char *mem = mmap(NULL, t->size, PROT_READ, MAP_SHARED, t->fd, 0);
	if (mem == MAP_FAILED)
		die("mmap");
	return mem;
}

/* A new mapping each time: what the page faults cost, without mapping and unmapping. */
static long step_fault(Target *t)
{
	int64_t start = now();
	char *mem = map(t);

	t->aside += now() - start;
	touch(mem, t->size);
	start = now();
	if (t->path)
		munmap(mem, t->size);
	else
		shmdt(mem);
	t->aside += now() - start;
	return t->size / PAGE;
}

static long step_open(Target *t)
{
	if (!t->path) {
		shmdt(attach(t->shmid, SHM_RDONLY));
		return 1;
	}
	const int fd = open(t->path, t->flags | O_CLOEXEC);
	if (fd < 0)
		die(t->path);
	close(fd);
	return 1;
}

static const Op ops[] = {
	{"read", .step = step_read},
	{"read-random", .step = step_read_random},
	{"write", .writes = true, .step = step_write},
	{"write-random", .writes = true, .step = step_write_random},
	{"touch", .maps = true, .step = step_touch},
	{"map-copy", .maps = true, .step = step_map_copy},
	{"map-random", .maps = true, .step = step_map_random},
	{"fault", .own = true, .step = step_fault},
	{"open", .own = true, .step = step_open},
};

static void find(Target *t, const char *name)
{
	struct shmid_ds segment;
	struct stat st;

	if (strncmp(name, "shm:", 4) == 0) {
		t->shmid = number(name + 4);
		if (shmctl(t->shmid, IPC_STAT, &segment) < 0)
			die("shmctl");
		t->size = segment.shm_segsz;
	} else {
		t->path = name;
		if (stat(name, &st) < 0)
			die(name);
		t->size = st.st_size;
	}
}

static int measure(const char *op_name, size_t block, double seconds, const char *name)
{
	Target t = {.fd = -1, .block = block, .random = 0x9e3779b97f4a7c15};
	const Op *op = NULL;

	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
		if (strcmp(ops[i].name, op_name) == 0)
			op = &ops[i];
	if (!op)
		usage();
	find(&t, name);
	if (block == 0 || block > t.size)
		usage();
	t.flags = op->writes ? O_RDWR : O_RDONLY;
	if (t.path && op->step != step_open) {
		t.fd = open(t.path, t.flags | O_CLOEXEC);
		if (t.fd < 0)
			die(t.path);
	}
	if (op->maps)
		t.mem = map(&t);
	else if (!t.path && !op->own)
		t.mem = attach(t.shmid, op->writes ? 0 : SHM_RDONLY);
	if (t.mem)
		touch(t.mem, t.size);
	t.buffer = aligned_alloc(PAGE, (block + PAGE - 1) / PAGE * PAGE);
	if (!t.buffer)
		die("no memory");
	memset(t.buffer, 0x5a, block);

	/* Not for the record: the first has things to set up on its way. */
	op->step(&t);

	long long count = 0;
	const int64_t limit = seconds * SECOND, start = now();
	int64_t spent;
	t.aside = 0;
	do {
		count += op->step(&t);
		spent = now() - start;
	} while (spent < limit);
	printf("%lld %lld\n", count, (long long)(spent - t.aside));
	return 0;
}

static int run(long long times, char **argv)
{
	posix_spawn_file_actions_t actions;
	int64_t spent = 0;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	for (long long i = 0; i < times; i++) {
		const int64_t start = now();
		pid_t pid;
		int status;

		errno = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
		if (errno)
			die(argv[0]);
		while (waitpid(pid, &status, 0) < 0)
			if (errno != EINTR)
				die("waitpid");
		spent += now() - start;
		if (status != 0) {
			fprintf(stderr, "bench-io: %s: status %#x\n", argv[0], status);
			puts("error failed");
			return 1;
		}
	}
	posix_spawn_file_actions_destroy(&actions);
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
	usage();
}
