/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the articles' programs have in common. */
#pragma once

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PEOPLE 10

struct person {
	char name[4];
	int age;
};

static inline void people_fill(struct person *people, int count)
{
	for (int i = 0; i < count; i++) {
		people[i].name[0] = 'b' + i;
		people[i].name[1] = '\0';
		people[i].age = 20 + i;
	}
}

static inline int seed_open(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);

	if (fd < 0)
		err(EXIT_FAILURE, "open %s", path);
	return fd;
}

/* Maps `length` bytes and closes the descriptor: the mapping does not need it. */
static inline void *seed_map(int fd, size_t length, int flags, off_t offset)
{
	void *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, flags, fd, offset);

	if (memory == MAP_FAILED)
		err(EXIT_FAILURE, "mmap: %s", strerrorname_np(errno));
	if (fd >= 0)
		close(fd);
	return memory;
}

static inline size_t seed_size(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		err(EXIT_FAILURE, "fstat");
	return st.st_size;
}

static inline const char *seed_argument(int argc, char **argv, int which, const char *usage)
{
	if (argc <= which)
		errx(EXIT_FAILURE, "usage: %s %s", program_invocation_short_name, usage);
	return argv[which];
}
