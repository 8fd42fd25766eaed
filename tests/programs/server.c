// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * server sysv|posix VERB: a database in small, which has memory that nobody has attached just now.
 *
 *   server   holds a first piece; a child makes the second one, lets go of it and ends at once
 *   slow     the same, but the child waits for the line "end child", so that it can be seen
 *   job      holds a piece that it has made itself
 *   heir     a child makes nothing; its parent makes a piece, lets go of it, and ends after "end
 * parent"
 *
 * It says "ready PID FIRST SECOND" (of a piece that is not there "-"; of heir PID is the child's),
 * and answers "again", for which a new child looks into the second piece, by "there" or by an
 * error. It ends with its stdin. What it has made stays.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SIZE = 65536, MARK = 42 };

static bool is_posix;

typedef struct {
	char name[32]; /* as in sysv/ or posix/ */
	int *memory;
} Piece;

static int object_open(const Piece *piece, int flags)
{
	char path[64];

	snprintf(path, sizeof(path), "/%s", piece->name);
	return shm_open(path, flags, 0600);
}

static bool piece_make(Piece *piece, const char *name)
{
	snprintf(piece->name, sizeof(piece->name), "%s", name);
	if (!is_posix) {
		const int shmid = shmget(IPC_PRIVATE, SIZE, IPC_CREAT | 0600);
		snprintf(piece->name, sizeof(piece->name), "%d", shmid);
		return shmid >= 0;
	}
	const int fd = object_open(piece, O_RDWR | O_CREAT | O_EXCL);
	const bool made = fd >= 0 && ftruncate(fd, SIZE) == 0;
	close(fd);
	return made;
}

static bool piece_map(Piece *piece)
{
	void *memory;

	if (is_posix) {
		const int fd = object_open(piece, O_RDWR);
		if (fd < 0)
			return false;
		memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		close(fd);
	} else {
		memory = shmat(atoi(piece->name), NULL, 0);
	}
	piece->memory = memory;
	return memory != MAP_FAILED;
}

static void read_line(void)
{
	char c;

	while (read(STDIN_FILENO, &c, 1) == 1 && c != '\n')
		;
}

/* The first piece, which all have, holds the name of the second one. */
static void child_makes(Piece *first, bool slowly)
{
	char name[32];
	Piece second;

	setsid();
	snprintf(name, sizeof(name), "server.%d", getppid() * 13 % 100000 + 100000);
	if (!piece_make(&second, name) || !piece_map(&second))
		_exit(1);
	second.memory[0] = MARK;
	memcpy(first->memory, second.name, sizeof(second.name));
	if (slowly) {
		printf("ready %d %s %s\n", getppid(), first->name, second.name);
		fflush(stdout);
		read_line();
		puts("ended");
		fflush(stdout);
	}
	_exit(0);
}

static const char *child_looks(const Piece *first)
{
	int status;

	if (fork() == 0) {
		Piece second;
		memcpy(second.name, first->memory, sizeof(second.name));
		_exit(piece_map(&second) && second.memory[0] == MARK ? 0 : errno ? errno : 255);
	}
	wait(&status);
	return status == 0 ? "there" : strerror(WEXITSTATUS(status));
}

static int serve(Piece *first, const char *verb)
{
	char line[64];

	if (strcmp(verb, "job") != 0) {
		if (fork() == 0)
			child_makes(first, !strcmp(verb, "slow"));
		wait(NULL);
	}
	if (strcmp(verb, "slow") != 0)
		printf("ready %d %s %s\n", getpid(), first->name,
		       !strcmp(verb, "job") ? "-" : (const char *)first->memory);
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin) && strcmp(line, "end\n") != 0) {
		puts(child_looks(first));
		fflush(stdout);
	}
	return 0;
}

/* The child takes its turn at stdin when the parent has ended. */
static int leave(const Piece *piece)
{
	int ends[2];

	if (pipe(ends) < 0)
		return 1;
	if (fork() == 0) {
		char c;
		close(ends[1]);
		printf("ready %d %s -\n", getpid(), piece->name);
		fflush(stdout);
		if (read(ends[0], &c, 1) == 0)
			puts("ended");
		fflush(stdout);
		read_line();
		_exit(0);
	}
	read_line();
	return 0;
}

int main(int argc, char **argv)
{
	char name[32];
	Piece first;

	if (argc != 3)
		return 2;
	is_posix = !strcmp(argv[1], "posix");
	snprintf(name, sizeof(name), "server.%d", getpid() * 7 % 100000);
	if (!piece_make(&first, name))
		return perror("make"), 1;
	if (!strcmp(argv[2], "heir"))
		return leave(&first);
	if (!piece_map(&first))
		return perror("map"), 1;
	return serve(&first, argv[2]);
}
