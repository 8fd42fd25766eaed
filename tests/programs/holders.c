// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * holders: processes that hold shared memory in every way there is, until "end" or the end
 * of stdin. Each says one line when it does, "ready PID [WORDS]", its own pid and what the
 * verb tells; or "skip WHY". What it forks ends with it.
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
 *   seenleader SIZE                 -> SHMID: makes it, ends its first thread when told by "go"
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

/* Of LeakSanitizer, which needs a /proc of its own pid namespace: not all of ours have one. */
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
	return 1;
}

static char *memory;
static size_t memory_size;

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

static __attribute__((format(printf, 1, 2))) void ready_with(const char *format, ...)
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

static size_t number(const char *word)
{
	char *end;
	size_t value = strtoull(word, &end, 0);

	if (*end == 'K')
		value <<= 10;
	else if (*end == 'M')
		value <<= 20;
	return value;
}

static void unescape(char *word)
{
	char *to = word;
	unsigned int byte;

	for (char *from = word; *from;) {
		if (sscanf(from, "\\x%2x", &byte) == 1) {
			*to++ = (char)byte;
			from += 4;
		} else {
			*to++ = *from++;
		}
	}
	*to = '\0';
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

static int open_file(const char *path)
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

/* The first thread's end; not told by anything but its state. */
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

/* The inode number of what is mapped at memory, which has no descriptor. */
static unsigned long long mapped_ino(const void *at)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned long start, found = 0;
	unsigned long long ino = 0;
	char line[4096];

	while (maps && !found && fgets(line, sizeof(line), maps))
		if (sscanf(line, "%lx-%*x %*s %*s %*s %llu", &start, &ino) == 2 &&
		    start == (unsigned long)at)
			found = start;
	if (!found)
		fail("maps");
	fclose(maps);
	return ino;
}

static void map_memory(int fd, int flags, size_t size, size_t touched)
{
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);
	memory_size = size;
	if (memory == MAP_FAILED)
		fail("mmap");
	memset(memory, 'm', touched);
}

static void do_file(int fd, size_t size, size_t touched, bool mapped)
{
	if (ftruncate(fd, (off_t)size) < 0)
		fail("ftruncate");
	map_memory(fd, MAP_SHARED, size, touched);
	const unsigned long long ino = mapped_ino(memory);
	if (mapped)
		close(fd);
	ready_with("%llu", ino);
}

static int open_unlinked(const char *path)
{
	const int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0 || unlink(path) < 0)
		fail(path);
	return fd;
}

static int open_memfd(char *name)
{
	unescape(name);
	const int fd = memfd_create(name, MFD_CLOEXEC);
	if (fd < 0)
		fail("memfd_create");
	return fd;
}

static void do_share(char *name, size_t size)
{
	const int fd = open_memfd(name);
	int told[2];
	pid_t holders[2];
	char byte = 'x';

	if (ftruncate(fd, (off_t)size) < 0 || pipe(told) < 0)
		fail("ftruncate");
	/* The first has it open, the second mapped, and this one both. */
	for (int i = 0; i < 2; i++) {
		holders[i] = fork();
		if (holders[i] == 0) {
			if (i == 1) {
				map_memory(fd, MAP_SHARED, size, size);
				close(fd);
			}
			if (write(told[1], &byte, 1) < 0)
				fail("write");
			wait_for_end();
		}
	}
	map_memory(fd, MAP_SHARED, size, size);
	const unsigned long long ino = mapped_ino(memory);
	if (read(told[0], &byte, 1) != 1 || read(told[0], &byte, 1) != 1)
		fail("read");
	ready_with("%llu %d %d %d", ino, holders[0], holders[1], getpid());
}

static int make_file_of_ino(const char *directory, unsigned long long ino, const char *last)
{
	char path[4096];
	struct stat st;

	for (int i = 0; i < 200000; i++) {
		snprintf(path, sizeof(path), "%s/made-%d", directory, i);
		const int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0666);
		if (fd < 0 || fstat(fd, &st) < 0)
			fail(path);
		if (st.st_ino == ino || (last && i == 2000)) {
			if (last) {
				char to[4096];
				snprintf(to, sizeof(to), "%s/%s", directory, last);
				if (rename(path, to) < 0)
					fail(to);
			}
			return fd;
		}
		close(fd);
		if (st.st_ino > ino && !last)
			skip("no file gets that number");
	}
	skip("no file gets that number");
	return -1;
}

static void do_sameino(const char *directory, unsigned long long ino)
{
	const int fd = make_file_of_ino(directory, ino, NULL);

	if (ftruncate(fd, 4096) < 0)
		fail("ftruncate");
	map_memory(fd, MAP_SHARED, 4096, 4096);
	ready_with("%llu", ino);
}

static bool write_text(const char *path, const char *format, unsigned int id)
{
	char text[64];
	const int fd = open(path, O_WRONLY | O_CLOEXEC);
	const int n = snprintf(text, sizeof(text), format, id);
	const bool done = fd >= 0 && write(fd, text, (size_t)n) == n;

	close(fd);
	return done;
}

bool become_root_apart(void)
{
	const uid_t uid = geteuid();
	const gid_t gid = getegid();

	return unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 &&
	       write_text("/proc/self/setgroups", "deny", 0) &&
	       write_text("/proc/self/uid_map", "0 %u 1", uid) &&
	       write_text("/proc/self/gid_map", "0 %u 1", gid);
}

/*
 * A root directory of one's own, in which a file can be called what the kernel calls a segment
 * and has its number; deleted, so that /proc shows the very same words.
 */
static void do_forge(const char *directory, unsigned long long id, unsigned int key)
{
	char name[64];

	if (!become_root_apart())
		skip("no user namespaces here");
	if (mount_tmpfs(directory) < 0 || chdir(directory) < 0 || mkdir("old", 0700) < 0)
		fail("mount");
	if (syscall(SYS_pivot_root, ".", "old") < 0)
		fail("pivot_root");
	snprintf(name, sizeof(name), "SYSV%08x", key);
	const int fd = make_file_of_ino("/", id, name);
	if (ftruncate(fd, 4096) < 0)
		fail("ftruncate");
	map_memory(fd, MAP_SHARED, 4096, 4096);
	unlink(name);
	mkdir("/dev", 0755);
	mkdir("/dev/shm", 0755);
	struct stat st;
	fstat(fd, &st);
	ready_with("%s", st.st_ino == id ? "same" : "other");
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

int main(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "";
	const int n = argc - 2;
	char **w = argv + 2;

	setpgid(0, 0);

#define IS(name, least) (strcmp(verb, name) == 0 && n >= (least))
#define HAS(i, word) (n > (i) && strcmp(w[i], word) == 0)
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
	} else if (IS("fork", 1)) {
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
	} else if (IS("memfd", 3)) {
		do_file(open_memfd(w[0]), number(w[1]), number(w[2]), HAS(3, "map"));
	} else if (IS("anon", 2)) {
		map_memory(-1, MAP_SHARED | MAP_ANONYMOUS, number(w[0]), number(w[1]));
		ready_with("%llu", mapped_ino(memory));
	} else if (IS("zero", 2)) {
		map_memory(open_file("/dev/zero"), MAP_SHARED, number(w[0]), number(w[1]));
		ready_with("%llu", mapped_ino(memory));
	} else if (IS("unlinked", 3)) {
		do_file(open_unlinked(w[0]), number(w[1]), number(w[2]), HAS(3, "map"));
	} else if (IS("share", 2)) {
		do_share(w[0], number(w[1]));
	} else if (IS("forge", 2)) {
		do_forge(w[0], number(w[1]), n > 2 ? (unsigned int)number(w[2]) : 0);
	} else if (IS("sameino", 2)) {
		do_sameino(w[0], number(w[1]));
	} else if (IS("hangfs", 2)) {
		hangfs(w[0], w[1], n > 2 ? number(w[2]) : 7, HAS(3, "apart"));
	} else if (IS("hang", 2)) {
		do_hang(w[0], (int)number(w[1]));
	} else {
		fprintf(stderr, "holders: unknown verb, or words are missing: %s\n", verb);
		return 2;
	}
	wait_for_end();
}
