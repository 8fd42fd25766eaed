// SPDX-License-Identifier: LGPL-2.1-or-later
/* bench-io measure: the loops. */
#include "bench-io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096

/* One step is so many operations that reading the clock between steps does not show. */
typedef struct {
	const char *name;
	bool writes;
	bool maps;  /* needs memory beforehand, each page of it touched */
	bool own;   /* opens or maps by itself */
	bool names; /* asks for a name: of a file, and opens nothing */
	long (*step)(Target *t);
} Op;

/* Keeps a load whose value nobody wants. */
static volatile char sink;

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

/* A name that is there is not made anew. */
static long step_exclusive(Target *t)
{
	if (open(t->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600) >= 0 || errno != EEXIST)
		die(t->path);
	return 1;
}

static long step_link(Target *t)
{
	char name[4096];

	snprintf(name, sizeof(name), "%s.link", t->path);
	if (link(t->path, name) < 0)
		die("link");
	const int64_t start = now();
	if (unlink(name) < 0)
		die("unlink");
	t->aside += now() - start;
	return 1;
}

/* A file that is made and removed, beside the path. */
static long step_make(Target *t)
{
	char name[4096];

	snprintf(name, sizeof(name), "%s.made", t->path);
	const int fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		die("open");
	close(fd);
	if (unlink(name) < 0)
		die("unlink");
	return 1;
}

/* Of a mount that has nothing to look at for it: what a request itself takes. */
static long step_statfs(Target *t)
{
	struct statfs st;

	if (statfs(t->path, &st) < 0)
		die(t->path);
	return 1;
}

/* A process that does nothing. */
static long step_fork(Target *t)
{
	const pid_t child = fork();

	if (child == 0)
		_exit(0);
	if (child < 0 || waitpid(child, NULL, 0) < 0)
		die("fork");
	return 1;
}

static long step_getppid(Target *t)
{
	for (int i = 0; i < 1000; i++)
		syscall(SYS_getppid);
	return 1000;
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
	{"exclusive", .names = true, .own = true, .step = step_exclusive},
	{"make", .names = true, .own = true, .step = step_make},
	{"statfs", .names = true, .own = true, .step = step_statfs},
	{"fork", .names = true, .own = true, .step = step_fork},
	{"getppid", .names = true, .own = true, .step = step_getppid},
	{"link", .names = true, .own = true, .step = step_link},
};

void find(Target *t, const char *name)
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

int measure(const char *op_name, size_t block, double seconds, const char *name)
{
	Target t = {.fd = -1, .block = block, .random = 0x9e3779b97f4a7c15};
	const Op *op = NULL;

	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
		if (strcmp(ops[i].name, op_name) == 0)
			op = &ops[i];
	if (!op)
		usage();
	find(&t, name);
	if (block == 0 || (op->names ? !t.path : block > t.size))
		usage();
	t.flags = op->writes ? O_RDWR : O_RDONLY;
	if (t.path && op->step != step_open && !op->names) {
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
