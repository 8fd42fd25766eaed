/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * exec-only: a program with a secret. Where others may run it and not read it, the kernel makes
 * such a process undumpable, so that its /proc/PID/mem is EACCES to who runs it. "exec-only read
 * PATH" runs PATH, a copy of this, and tries: prints "secret read" or "refused".
 */
#include <err.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static char secret[64] = "the-";

/* Put together at run time: it is in the memory of who holds it, and in no file. */
static int hold(int told)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	strcat(secret, "secret-4711");
	if (write(told, "x", 1) != 1)
		return 1;
	pause();
	return 0;
}

static bool is_in(FILE *mem, unsigned long from, unsigned long to)
{
	char *bytes = malloc(to - from);
	bool found = false;

	if (!bytes)
		err(2, "malloc");
	fseek(mem, (long)from, SEEK_SET);
	const size_t n = fread(bytes, 1, to - from, mem);
	for (size_t i = 0; i + strlen("secret-4711") < n && !found; i++)
		found = !memcmp(bytes + i, "secret-4711", strlen("secret-4711"));
	free(bytes);
	return found;
}

static bool is_read(pid_t pid)
{
	char path[64], line[512];
	unsigned long from, to;
	bool found = false;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	FILE *maps = fopen(path, "r");
	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	FILE *mem = fopen(path, "r");
	while (maps && mem && fgets(line, sizeof(line), maps))
		if (sscanf(line, "%lx-%lx rw", &from, &to) == 2 && !strstr(line, "[v"))
			found |= is_in(mem, from, to);
	return found;
}

int main(int argc, char **argv)
{
	char number[16], byte;
	int told[2];

	if (argc == 3 && !strcmp(argv[1], "hold"))
		return hold(atoi(argv[2]));
	if (argc != 3 || pipe(told) < 0)
		errx(2, "usage: exec-only read PATH");
	const pid_t pid = fork();
	if (pid == 0) {
		snprintf(number, sizeof(number), "%d", told[1]);
		execl(argv[2], argv[2], "hold", number, NULL);
		_exit(127);
	}
	close(told[1]);
	/* Its end is the end of what could not be run. */
	const bool runs = read(told[0], &byte, 1) == 1;
	puts(runs && is_read(pid) ? "secret read" : "refused");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return 0;
}
