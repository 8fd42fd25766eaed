/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the parts of the fuzzer of system calls share; calls.c says what it is. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	N_FDS = 24,
	N_MAPS = 6,
	N_IDS = 8,
	N_LINES = 24,
	LINE = 160,
	PATH = 4200,
	BUFFER = 64 * 1024,
	N_DIRECTORIES = 19,
	N_NAMES = 8
};

/* What a worker has done last, and what listings have shown it: it outlives the worker, and the
 * daemon. */
typedef struct {
	_Atomic uint64_t n;
	char lines[N_LINES][LINE];
	char names[N_DIRECTORIES][N_NAMES][256];
} Trail;

/* One worker: a process of one user that does one call after the other. */
typedef struct {
	uint64_t random;
	int user; /* 0: root */
	Trail *trail;
	int fds[N_FDS];
	struct {
		char *at;
		size_t size;
	} maps[N_MAPS];
	int ids[N_IDS]; /* of segments that it has made */
	char buffer[BUFFER];
} Worker;

typedef struct {
	const char *name;
	void (*run)(Worker *worker);
	unsigned int weight;
} Call;

extern const Call calls_of_names[], calls_of_files[];
extern const size_t n_calls_of_names, n_calls_of_files;

uint64_t next(Worker *worker);
/* 0 to n - 1 */
uint64_t below(Worker *worker, uint64_t n);
bool one_in(Worker *worker, uint64_t n);

/* One of those, each bit by chance. */
uint64_t some_of(Worker *worker, const uint64_t *bits, size_t n);
#define SOME_OF(worker, ...)                                                                       \
	some_of(worker, (const uint64_t[]){__VA_ARGS__},                                           \
		sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))
#define ONE_OF(worker, ...)                                                                        \
	((const int64_t[]){__VA_ARGS__})[below(worker, sizeof((const int64_t[]){__VA_ARGS__}) /    \
							       sizeof(int64_t))]

/* A size or offset: mostly small, sometimes at the edge of a page, of a type, of sense. */
int64_t some_size(Worker *worker);

/* A path below the mount, or one time in 16 of what it shows; at most PATH bytes. */
const char *some_path(Worker *worker);

/* Puts a new descriptor, or mapping, in the place of another one. */
int keep_fd(Worker *worker, int fd);
int some_fd(Worker *worker);

/* What is done now, in words; kept in the trail. */
void note(Worker *worker, const char *format, ...) __attribute__((format(printf, 2, 3)));
