/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A pool of shared memory, for what is said of who makes one: pool shm|open|sysv|twice NAME [STOP].
 * It is built several times: with and without debug information, with symbols and without. With
 * STOP it waits for the end of its stdin.
 */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <unistd.h>

int pool_init(const char *how, const char *name);
int pool_check(const char *name);
int begin(const char *how, const char *name);

/* Leaves return addresses on the stack, where that of pool_init's callee will not be. */
__attribute__((noinline)) int pool_check(const char *name)
{
	char text[400];

	return snprintf(text, sizeof(text), "%s of %d", name, getpid()) > 0 ? 0 : -1;
}

__attribute__((noinline)) int pool_init(const char *how, const char *name)
{
	char path[100];
	int fd;

	if (pool_check(name) < 0 || strlen(name) > sizeof(path) - 16)
		return -1;
	if (!strcmp(how, "sysv")) {
		fd = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);
	} else if (!strcmp(how, "open")) {
		snprintf(path, sizeof(path), "/dev/shm/%s", name);
		fd = open(path, O_CREAT | O_RDWR, 0600);
	} else {
		snprintf(path, sizeof(path), "/%s", name);
		fd = shm_open(path, O_CREAT | O_RDWR, 0600);
	}
	if (fd < 0)
		perror(name);
	return fd;
}

__attribute__((noinline)) int begin(const char *how, const char *name)
{
	const int fd = pool_init(how, name);

	if (!strcmp(how, "sysv"))
		printf("%d\n", fd);
	return fd < 0 ? -1 : 0;
}

int main(int argc, char **argv)
{
	char byte;

	if (argc < 3)
		return 2;
	const int r = begin(argv[1], argv[2]);
	fflush(stdout);
	if (argc > 3)
		while (read(STDIN_FILENO, &byte, 1) > 0)
			;
	return r < 0;
}
