// SPDX-License-Identifier: LGPL-2.1-or-later
/* holders: memory that has no name, and files that are called as the kernel calls such memory. */
#include "holders.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "words.h"

char *memory;
size_t memory_size;

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
	int done[2];
	pid_t holders[2];
	char byte = 'x';

	if (ftruncate(fd, (off_t)size) < 0 || pipe(done) < 0)
		fail("ftruncate");
	/* The first has it open, the second mapped, and this one both. */
	for (int i = 0; i < 2; i++) {
		holders[i] = fork();
		if (holders[i] == 0) {
			if (i == 1) {
				map_memory(fd, MAP_SHARED, size, size);
				close(fd);
			}
			if (write(done[1], &byte, 1) < 0)
				fail("write");
			wait_for_end();
		}
	}
	map_memory(fd, MAP_SHARED, size, size);
	const unsigned long long ino = mapped_ino(memory);
	if (read(done[0], &byte, 1) != 1 || read(done[0], &byte, 1) != 1)
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
/* The verbs of memory that has no name, or one that somebody gave it. False: verb is none of them.
 */
bool hold_memory(const char *verb, int n, char **w)
{
	if (IS("memfd", 3)) {
		do_file(open_memfd(w[0]), (size_t)number(w[1]), (size_t)number(w[2]),
			HAS(3, "map"));
	} else if (IS("anon", 2)) {
		map_memory(-1, MAP_SHARED | MAP_ANONYMOUS, (size_t)number(w[0]),
			   (size_t)number(w[1]));
		ready_with("%llu", mapped_ino(memory));
	} else if (IS("zero", 2)) {
		map_memory(open_file("/dev/zero"), MAP_SHARED, (size_t)number(w[0]),
			   (size_t)number(w[1]));
		ready_with("%llu", mapped_ino(memory));
	} else if (IS("unlinked", 3)) {
		do_file(open_unlinked(w[0]), (size_t)number(w[1]), (size_t)number(w[2]),
			HAS(3, "map"));
	} else if (IS("share", 2)) {
		do_share(w[0], (size_t)number(w[1]));
	} else if (IS("forge", 2)) {
		do_forge(w[0], (size_t)number(w[1]), n > 2 ? (unsigned int)number(w[2]) : 0);
	} else if (IS("sameino", 2)) {
		do_sameino(w[0], (size_t)number(w[1]));
	} else {
		return false;
	}
	return true;
}
