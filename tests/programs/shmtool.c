// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * shmtool: the system calls that no shell tool makes, one per command, each
 * answered by one line: a number, a text, or the name of the errno.
 *
 *   shmtool run [-v] [-d DIR] COMMAND...   run the commands; status 1 if one failed
 *   shmtool run [-v] [-d DIR] -            commands from stdin, an answer line for each;
 *                                         says "ready" first. The agents of lib.sh.
 *   shmtool nosysv PROGRAM [ARGS]         PROGRAM where the shm* calls say ENOSYS
 *   shmtool strerror NAME                 EPERM -> Operation not permitted
 *
 * A command is words; \xNN stands for a byte; a word @... means DIR... (-d).
 * Numbers take K, M, G and names joined by |. Descriptors, attaches and mappings
 * live in slots named by one letter.
 */
#include "shmtool.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Of LeakSanitizer, which needs a /proc of its own pid namespace: not all of ours have one. */
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
	return 1;
}

#define MAX_WORDS 12

static const char *at_dir = "";

static long long run_process(size_t n, char **w, const size_t *len)
{
	if (IS("umask", 1)) {
		umask((mode_t)NUM(1));
		return 0;
	}
	if (IS("pid", 0))
		return getpid();
	if (IS("quit", 0))
		exit(0);
	return NOT_MINE;
}

/* One command, of any kind. */
static long long run(size_t n, char **w, const size_t *len)
{
	static long long (*const kinds[])(size_t n, char **w, const size_t *len) = {
		run_segment,    run_resource, run_memory,    run_transfer,
		run_descriptor, run_name,     run_attribute, run_process,
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		const long long result = kinds[i](n, w, len);
		if (result != NOT_MINE)
			return result;
	}
	fprintf(stderr, "shmtool: unknown command, or words are missing: %s\n", w[0]);
	exit(2);
}

/* Returns whether it went well; prints its answer. */
static bool run_line(const char *line, bool verbose)
{
	char *copy = strdup(line), *save = NULL;
	char *words[MAX_WORDS];
	size_t lens[MAX_WORDS];
	size_t n = 0;

	for (char *word = strtok_r(copy, " \t\n", &save); word && n < MAX_WORDS;
	     word = strtok_r(NULL, " \t\n", &save)) {
		if (word[0] == '@') {
			if (asprintf(&words[n], "%s%s", at_dir, word + 1) < 0)
				abort();
		} else {
			words[n] = strdup(word);
		}
		lens[n] = unescape(words[n]);
		n++;
	}
	if (n == 0) {
		fprintf(stderr, "shmtool: an empty command\n");
		exit(2);
	}

	out[0] = '\0';
	errno = 0;
	long long result = run(n, words, lens);
	int err = errno;

	if (verbose)
		printf("%s -> ", line);
	if (result < 0)
		printf("%s\n", errno_name(err));
	else if (out[0])
		printf("%s\n", out);
	else
		printf("%lld\n", result);
	fflush(stdout);
	for (size_t i = 0; i < n; i++)
		free(words[i]);
	free(copy);
	return result >= 0;
}

static int do_commands(int argc, char **argv)
{
	bool verbose = false, good = true;
	int i = 0;

	out = malloc(OUT_SIZE);
	slots_clear();
	for (; i < argc && argv[i][0] == '-' && argv[i][1]; i++) {
		if (strcmp(argv[i], "-v") == 0)
			verbose = true;
		else if (strcmp(argv[i], "-d") == 0 && i + 1 < argc)
			at_dir = argv[++i];
	}
	if (i < argc && strcmp(argv[i], "-") == 0) {
		char *line = NULL;
		size_t size = 0;

		printf("ready\n");
		fflush(stdout);
		while (getline(&line, &size, stdin) > 0) {
			line[strcspn(line, "\n")] = '\0';
			good &= run_line(line, verbose);
		}
		free(line);
		return good ? 0 : 1;
	}
	for (; i < argc; i++)
		good &= run_line(argv[i], verbose);
	return good ? 0 : 1;
}

/* The answers of a kernel built without CONFIG_SYSVIPC. */
static int no_sysv(char **argv)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_shmget, 3, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_shmctl, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_shmat, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
	};
	struct sock_fprog program = {.len = sizeof(filter) / sizeof(filter[0]), .filter = filter};

	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0) {
		perror("shmtool: seccomp");
		return 2;
	}
	execvp(argv[0], argv);
	perror(argv[0]);
	return 127;
}

int main(int argc, char **argv)
{
	if (argc > 2 && strcmp(argv[1], "run") == 0)
		return do_commands(argc - 2, argv + 2);
	if (argc > 2 && strcmp(argv[1], "nosysv") == 0)
		return no_sysv(argv + 2);
	if (argc > 2 && strcmp(argv[1], "strerror") == 0) {
		for (int err = 1; err < 200; err++) {
			if (strcmp(errno_name(err), argv[2]) == 0) {
				puts(strerror(err));
				return 0;
			}
		}
	}
	fprintf(stderr, "usage: shmtool run [-v] [-d DIR] COMMAND... | nosysv PROGRAM... | "
			"strerror NAME\n");
	return 2;
}
