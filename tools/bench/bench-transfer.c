// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * bench-io transfer: bytes from one process to another. One makes each piece anew, the other looks
 * at every word of it; what lies between is what differs. A pipe, a FIFO and a queue copy a piece
 * into the kernel and out of it; in shared memory it is made where it is read.
 */
#include "bench-io.h"

#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SLOTS = 8 }; /* pieces that are under way */

/* What both processes share beside the way itself. */
typedef struct {
	sem_t empty, full; /* slots, in shared memory */
	uint64_t sum;      /* what the receiver has seen */
} Shared;

typedef struct {
	Shared *shared;
	size_t block;
	long long pieces;
	int in, out; /* descriptors, or a queue */
	char *mem;   /* SLOTS pieces, or NULL */
	struct {
		long type;
		char bytes[];
	} * message; /* one piece, where there is no mem */
} Way;

static uint64_t look(const char *piece, size_t size)
{
	const uint64_t *words = (const uint64_t *)piece;
	uint64_t sum = 0;

	for (size_t i = 0; i < size / sizeof(*words); i++)
		sum += words[i];
	return sum;
}

static void all(ssize_t (*call)(int fd, void *bytes, size_t size), int fd, char *bytes, size_t size)
{
	for (size_t at = 0; at < size;) {
		const ssize_t n = call(fd, bytes + at, size - at);
		if (n <= 0)
			die("transfer");
		at += n;
	}
}

static ssize_t put(int fd, void *bytes, size_t size)
{
	return write(fd, bytes, size);
}

static void send_fd(Way *way)
{
	all(put, way->out, way->message->bytes, way->block);
}

static void receive_fd(Way *way)
{
	all(read, way->in, way->message->bytes, way->block);
}

static void send_sysv(Way *way)
{
	way->message->type = 1;
	if (msgsnd(way->out, way->message, way->block, 0) < 0)
		die("msgsnd");
}

static void receive_sysv(Way *way)
{
	if (msgrcv(way->in, way->message, way->block, 0, 0) != (ssize_t)way->block)
		die("msgrcv");
}

/* All that is in queues at once may be 800 KiB of a user's (RLIMIT_MSGQUEUE). */
static size_t part_of(const Way *way)
{
	enum { MOST = 64 * 1024 };

	return way->block < MOST ? way->block : MOST;
}

static void send_posix(Way *way)
{
	const size_t part = part_of(way);

	for (size_t at = 0; at < way->block; at += part)
		if (mq_send(way->out, way->message->bytes + at, part, 0) < 0)
			die("mq_send");
}

static void receive_posix(Way *way)
{
	const size_t part = part_of(way);

	for (size_t at = 0; at < way->block; at += part)
		if (mq_receive(way->in, way->message->bytes + at, part, NULL) != (ssize_t)part)
			die("mq_receive");
}

static void wait_for(sem_t *semaphore)
{
	while (sem_wait(semaphore) < 0)
		if (errno != EINTR)
			die("sem_wait");
}

typedef void (*Step)(Way *way);

static void send_all(Way *way, Step send)
{
	for (long long i = 0; i < way->pieces; i++) {
		char *piece = way->mem ? way->mem + i % SLOTS * way->block : way->message->bytes;
		if (way->mem)
			wait_for(&way->shared->empty);
		memset(piece, (int)(1 + i % 100), way->block);
		if (way->mem)
			sem_post(&way->shared->full);
		else
			send(way);
	}
}

static void receive_all(Way *way, Step receive)
{
	for (long long i = 0; i < way->pieces; i++) {
		const char *piece =
			way->mem ? way->mem + i % SLOTS * way->block : way->message->bytes;
		if (way->mem)
			wait_for(&way->shared->full);
		else
			receive(way);
		way->shared->sum += look(piece, way->block);
		if (way->mem)
			sem_post(&way->shared->empty);
	}
}

static uint64_t expected(const Way *way)
{
	uint64_t sum = 0;

	for (long long i = 0; i < way->pieces; i++)
		sum += way->block / sizeof(uint64_t) * (uint64_t)(1 + i % 100) * 0x0101010101010101;
	return sum;
}

static void share(Way *way, const char *path)
{
	Target t = {.fd = -1};

	find(&t, path);
	if (t.size < SLOTS * way->block)
		usage();
	if (!t.path) {
		way->mem = attach(t.shmid, 0);
		return;
	}
	const int fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		die(path);
	way->mem = mmap(NULL, SLOTS * way->block, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (way->mem == MAP_FAILED)
		die("mmap");
}

static void open_pipe(Way *way, const char *path)
{
	int ends[2];

	if (pipe(ends) < 0)
		die("pipe");
	way->in = ends[0];
	way->out = ends[1];
}

static void open_fifo(Way *way, const char *path)
{
	if (mkfifo(path, 0600) < 0 || (way->in = way->out = open(path, O_RDWR)) < 0)
		die(path);
	unlink(path);
}

static int queue = -1;

static void remove_queue(void)
{
	if (queue >= 0)
		msgctl(queue, IPC_RMID, NULL);
}

static void open_sysv(Way *way, const char *path)
{
	way->in = way->out = queue = msgget(IPC_PRIVATE, 0600);
	if (queue < 0)
		die("msgget");
	atexit(remove_queue);
}

static void open_posix(Way *way, const char *path)
{
	struct mq_attr attributes = {.mq_maxmsg = SLOTS, .mq_msgsize = (long)part_of(way)};

	way->in = way->out = mq_open("/bench", O_CREAT | O_EXCL | O_RDWR, 0600, &attributes);
	if (way->in < 0)
		die("mq_open");
	mq_unlink("/bench");
}

static const struct {
	const char *name;
	void (*open)(Way *way, const char *path);
	Step send, receive;
} ways[] = {
	{"pipe", open_pipe, send_fd, receive_fd},
	{"fifo", open_fifo, send_fd, receive_fd},
	{"sysv", open_sysv, send_sysv, receive_sysv},
	{"posix", open_posix, send_posix, receive_posix},
	{"memory", share, NULL, NULL},
};

int transfer(const char *name, size_t block, size_t total, const char *path)
{
	Way way = {.block = block, .pieces = (long long)(total / block), .in = -1, .out = -1};
	size_t i = 0;
	int status;

	while (i < sizeof(ways) / sizeof(ways[0]) && strcmp(ways[i].name, name) != 0)
		i++;
	if (i == sizeof(ways) / sizeof(ways[0]) || block % sizeof(uint64_t))
		usage();
	way.shared = mmap(NULL, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			  -1, 0);
	way.message = calloc(1, sizeof(*way.message) + block);
	if (way.shared == MAP_FAILED || !way.message ||
	    sem_init(&way.shared->empty, 1, SLOTS) < 0 || sem_init(&way.shared->full, 1, 0) < 0)
		die("no memory");
	alarm(60); /* one that waits for a peer that has failed */
	ways[i].open(&way, path);
	/* Not for the record: each process's first touch of its memory. */
	if (way.mem)
		memset(way.mem, 1, SLOTS * block);
	memset(way.message->bytes, 1, block);

	const int64_t start = now();
	const pid_t child = fork();
	if (child < 0)
		die("fork");
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		receive_all(&way, ways[i].receive);
		_exit(0);
	}
	send_all(&way, ways[i].send);
	if (waitpid(child, &status, 0) < 0 || status != 0)
		die("the receiver");
	const int64_t spent = now() - start;
	if (way.shared->sum != expected(&way)) {
		errno = EBADMSG;
		die("what came is not what was sent");
	}
	printf("%lld %lld\n", way.pieces, (long long)spent);
	return 0;
}
