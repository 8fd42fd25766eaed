/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SECOND 1000000000LL

typedef struct {
	const char *path; /* NULL: the segment shmid */
	int shmid;
	int fd; /* -1 where the loop itself opens, and for a segment */
	int flags;
	char *mem; /* mapped or attached, or NULL */
	size_t size;
	size_t block;
	char *buffer;
	size_t at;       /* of the next sequential block */
	uint64_t random; /* the same row of places in every run */
	int64_t aside;   /* ns that do not count */
} Target;

/* bench-io.c; the first two do not return. */
_Noreturn void die(const char *what);
_Noreturn void usage(void);
long long number(const char *word);
int64_t now(void); /* ns */
char *attach(int shmid, int flags);
int64_t timed_run(char **argv); /* ns; < 0: it has failed, which is said */

/* bench-requests.c; is_loop: argv is "measure" and what belongs to it */
int requests(long long tracepoint, long long device, char **argv, bool is_loop);

/* bench-transfer.c */
int transfer(const char *way, size_t block, size_t total, const char *path);

/* bench-watch.c */
int watch(const char *directory);

/* bench-measure.c */
void find(Target *t, const char *name); /* path or shmid, and the size */
int measure(const char *op_name, size_t block, double seconds, const char *name);
