// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * holders: processes that hold shared memory in every way there is, until "end" or the end
 * of stdin. Each says one line when it does, "ready PID [WORDS]", its own pid and what the
 * verb tells; or "skip WHY". The processes that it forks end with it.
 *
 *   wait                            holds nothing
 *   attach SHMID [TIMES]
 *   make SIZE [attach]              -> SHMID
 *   leak COUNT SIZE                 that many segments, each attached
 *   map PATH [private]              mapped, descriptor closed
 *   open PATH [path]                path: O_PATH
 *   fork SIZE                       -> SHMID CREATOR HOLDER: the creator dead, its child attached
 *   forkmap PATH                    -> DEAD HOLDER: the same of a mapping
 *   zombie SIZE                     -> SHMID CREATOR: dead, not waited for
 *   leader attach|map|open|make X   a thread holds, after the first has ended
 *   seenleader SIZE                 -> SHMID: makes it, ends its first thread after the line "go"
 *   flight PATH                     its only descriptor is on its way through a socket
 *   threadfd PATH                   open in a thread with descriptors of its own
 *   semaphore NAME                  sem_open
 *   memfd NAME SIZE TOUCHED [map]   -> INO; NAME with \xNN; map: mapped, descriptor closed
 *   anon SIZE TOUCHED               -> INO; MAP_SHARED | MAP_ANONYMOUS
 *   zero SIZE TOUCHED               -> INO; /dev/zero, MAP_SHARED
 *   unlinked PATH SIZE TOUCHED [map]  -> INO; made, unlinked, still open
 *   share NAME SIZE                 -> INO P1 P2 P3: three processes with one memfd: open,
 *                                   mapped, both
 *   forge DIR SHMID [KEY]           as who may not: a file called as the kernel calls a segment
 *   sameino DIR INO                 makes files in DIR until one has that number, and maps it
 *   hangfs DIR TYPE [INO [apart]]   serves a file DIR/x until somebody reads it: from then on
 *                                   answers nothing, and says "hangs"; apart: as a user, who
 *                                   has the file open and mapped
 *   hang PATH SHMID                 one thread waits for a page of PATH, another for the first,
 *                                   SHMID attached
 *
 * peek and poke: memory of memfd, anon, zero and unlinked can be looked at by lines on stdin:
 *   peek OFFSET LENGTH | poke OFFSET TEXT, answered by one line.
 */
#include "holders.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "words.h"

/* Of LeakSanitizer, which needs a /proc of its own pid namespace: not all of ours have one. */
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
	return 1;
}

void fail(const char *what)
{
	printf("failed %s: %s\n", what, strerror(errno));
	exit(1);
}

void skip(const char *why)
{
	printf("skip %s\n", why);
	exit(0);
}

void ready(void)
{
	printf("ready %d\n", getpid());
	fflush(stdout);
}

void ready_with(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	printf("ready %d ", getpid());
	vprintf(format, args);
	printf("\n");
	fflush(stdout);
	va_end(args);
}

void wait_for_end(void)
{
	char line[4096], text[4096];
	size_t offset, length;

	while (fgets(line, sizeof(line), stdin)) {
		if (strcmp(line, "end\n") == 0)
			break;
		if (memory && sscanf(line, "peek %zu %zu", &offset, &length) == 2 &&
		    offset + length <= memory_size) {
			fwrite(memory + offset, 1, length, stdout);
			printf("\n");
		} else if (memory && sscanf(line, "poke %zu %4000s", &offset, text) == 2 &&
			   offset + strlen(text) <= memory_size) {
			memcpy(memory + offset, text, strlen(text));
			printf("done\n");
		}
		fflush(stdout);
	}
	/* Also those that are not its children any more. */
	signal(SIGTERM, SIG_IGN);
	kill(0, SIGTERM);
	_exit(0);
}

static int make_segment(size_t size)
{
	const int id = shmget(IPC_PRIVATE, size, IPC_CREAT | 0600);

	if (id < 0)
		fail("shmget");
	return id;
}

static void attach(int id)
{
	if (shmat(id, NULL, 0) == (void *)-1 && shmat(id, NULL, SHM_RDONLY) == (void *)-1)
		fail("shmat");
}

int open_file(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0 && errno == EACCES)
		fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		fail("open");
	return fd;
}

static void map_file(const char *path, int flags)
{
	const int fd = open_file(path);
	struct stat st;

	if (fstat(fd, &st) < 0)
		fail("fstat");
	const int prot =
		(fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR ? PROT_READ | PROT_WRITE : PROT_READ;
	if (mmap(NULL, (size_t)st.st_size, prot, flags, fd, 0) == MAP_FAILED) {
		if (errno == ENODEV)
			skip("no shared mmap here");
		fail("mmap");
	}
	close(fd);
}

/* The first thread's end; nothing but its state shows it. */
static bool leader_ended(void)
{
	char text[512] = "";
	const int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
	const ssize_t n = read(fd, text, sizeof(text) - 1);

	close(fd);
	return n > 0 && strstr(text, ") Z ");
}

static char **leader_words;

static void *leader_thread(void *data)
{
	char line[64];
	int id = -1;

	if (strcmp(leader_words[0], "seen") == 0) {
		id = make_segment(number(leader_words[1]));
		ready_with("%d", id);
		if (!fgets(line, sizeof(line), stdin))
			_exit(0);
	}
	sem_post(data);
	while (!leader_ended())
		usleep(1000);
	if (strcmp(leader_words[0], "attach") == 0)
		attach((int)number(leader_words[1]));
	else if (strcmp(leader_words[0], "map") == 0)
		map_file(leader_words[1], MAP_SHARED);
	else if (strcmp(leader_words[0], "open") == 0)
		open_file(leader_words[1]);
	else if (strcmp(leader_words[0], "make") == 0)
		id = make_segment(number(leader_words[1]));
	ready_with("%d", id);
	wait_for_end();
	return NULL;
}

static void do_leader(char **words)
{
	static sem_t go;
	pthread_t thread;

	/* The stack of the first thread goes with it. */
	static char *copies[8];
	for (int i = 0; words[i] && i < 7; i++)
		copies[i] = strdup(words[i]);
	leader_words = copies;
	sem_init(&go, 0, 0);
	if (pthread_create(&thread, NULL, leader_thread, &go))
		fail("thread");
	while (sem_wait(&go) < 0)
		;
	pthread_exit(NULL);
}

static void *thread_with_fd(void *path)
{
	if (unshare(CLONE_FILES) < 0)
		fail("unshare");
	open_file(path);
	ready();
	for (;;)
		pause();
	return NULL;
}

static void do_threadfd(char *path)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, thread_with_fd, path))
		fail("thread");
	wait_for_end();
}

static void do_flight(const char *path)
{
	char control[CMSG_SPACE(sizeof(int))] = "", byte = 'x';
	struct iovec part = {.iov_base = &byte, .iov_len = 1};
	struct msghdr message = {.msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = control,
				 .msg_controllen = sizeof(control)};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	const int fd = open_file(path);
	int pair[2];

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0 || sendmsg(pair[0], &message, 0) < 0)
		fail("sendmsg");
	close(fd);
	ready();
}

static void do_fork(const char *path, size_t size)
{
	int ids[3] = {-1, 0, 0}, report[2];

	if (pipe(report) < 0)
		fail("pipe");
	const pid_t creator = fork();
	if (creator == 0) {
		if (path) {
			map_file(path, MAP_SHARED);
		} else {
			ids[0] = make_segment(size);
			attach(ids[0]);
		}
		ids[1] = getpid();
		ids[2] = fork();
		if (ids[2] == 0)
			wait_for_end();
		if (write(report[1], ids, sizeof(ids)) < 0)
			fail("write");
		_exit(0);
	}
	if (read(report[0], ids, sizeof(ids)) != sizeof(ids) || waitpid(creator, NULL, 0) < 0)
		fail("fork");
	if (path)
		ready_with("%d %d", ids[1], ids[2]);
	else
		ready_with("%d %d %d", ids[0], ids[1], ids[2]);
}

static void do_zombie(size_t size)
{
	siginfo_t info;
	int id = -1, report[2];

	if (pipe(report) < 0)
		fail("pipe");
	const pid_t creator = fork();
	if (creator == 0) {
		id = make_segment(size);
		if (write(report[1], &id, sizeof(id)) < 0)
			fail("write");
		_exit(0);
	}
	/* Its end is waited for, and it is left a zombie. */
	if (read(report[0], &id, sizeof(id)) != sizeof(id) ||
	    waitid(P_PID, (id_t)creator, &info, WEXITED | WNOWAIT) < 0)
		fail("fork");
	ready_with("%d %d", id, creator);
}

static void *fault(void *at)
{
	*(volatile char *)at;
	return NULL;
}

static void *map_more(void *data)
{
	for (;;) {
		void *more = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		munmap(more, 4096);
		usleep(1000);
	}
	return NULL;
}

static void do_hang(const char *path, int id)
{
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	pthread_t one, two;

	if (fd < 0)
		fail(path);
	attach(id);
	void *at = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
	if (at == MAP_FAILED)
		fail("mmap");
	/* Said before: hereafter even a printf may have to wait. */
	ready();
	pthread_create(&one, NULL, fault, at);
	pthread_create(&two, NULL, map_more, NULL);
}

static void do_leak(size_t count, size_t size)
{
	for (size_t i = 0; i < count; i++)
		attach(make_segment(size));
	ready();
}

/* The verbs of segments and files that are there, or are made here. False: verb is none of them. */
static bool hold_plainly(const char *verb, int n, char **w)
{
	if (IS("wait", 0)) {
		ready();
	} else if (IS("attach", 1)) {
		for (size_t i = n > 1 ? number(w[1]) : 1; i > 0; i--)
			attach((int)number(w[0]));
		ready();
	} else if (IS("make", 1)) {
		const int id = make_segment(number(w[0]));
		if (HAS(1, "attach"))
			attach(id);
		ready_with("%d", id);
	} else if (IS("leak", 2)) {
		do_leak(number(w[0]), number(w[1]));
	} else if (IS("map", 1)) {
		map_file(w[0], HAS(1, "private") ? MAP_PRIVATE : MAP_SHARED);
		ready();
	} else if (IS("open", 1)) {
		if (HAS(1, "path") ? open(w[0], O_PATH) < 0 : open_file(w[0]) < 0)
			fail(w[0]);
		ready();
	} else {
		return false;
	}
	return true;
}

/* The verbs that hold in a way that is hard to see. False: verb is none of them. */
static bool hold_oddly(const char *verb, int n, char **w)
{
	if (IS("fork", 1)) {
		do_fork(NULL, number(w[0]));
	} else if (IS("forkmap", 1)) {
		do_fork(w[0], 0);
	} else if (IS("zombie", 1)) {
		do_zombie(number(w[0]));
	} else if (IS("leader", 2)) {
		do_leader(w);
	} else if (IS("seenleader", 1)) {
		do_leader((char *[]){"seen", w[0], NULL});
	} else if (IS("flight", 1)) {
		do_flight(w[0]);
	} else if (IS("threadfd", 1)) {
		do_threadfd(w[0]);
	} else if (IS("semaphore", 1)) {
		if (sem_open(w[0], O_CREAT, 0600, 0) == SEM_FAILED)
			fail("sem_open");
		ready();
	} else if (IS("hangfs", 2)) {
		hangfs(w[0], w[1], n > 2 ? number(w[2]) : 7, HAS(3, "apart"));
	} else if (IS("hang", 2)) {
		do_hang(w[0], (int)number(w[1]));
	} else {
		return false;
	}
	return true;
}

int main(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "";
	const int n = argc - 2;
	char **w = argv + 2;

	setpgid(0, 0);
	if (!hold_plainly(verb, n, w) && !hold_oddly(verb, n, w) && !hold_memory(verb, n, w)) {
		fprintf(stderr, "holders: unknown verb, or words are missing: %s\n", verb);
		return 2;
	}
	wait_for_end();
}
