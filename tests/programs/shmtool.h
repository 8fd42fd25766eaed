/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>

#include "words.h"

/* Of shmtool.c: its commands by what they act on, and the words and answers that all have. */

#define OUT_SIZE (1 << 20)

/* The thing that a letter stands for: a descriptor, or memory (attached or mapped). */
typedef struct {
	int fd;
	char *mem;
	size_t size;
} Slot;

extern char *out; /* the answer, OUT_SIZE; empty: the number that the command returns */

Slot *slot(const char *word);
void slots_clear(void);

/* Bytes as text: \xNN where not printable, c{n} for n > 4 times the same. */
void say_bytes(const char *data, size_t len);

void say_stat(const struct stat *st, bool times);
long long set_times(const char *path, int fd, long long when); /* path NULL: of fd */

/*
 * One command each. Negative: errno says. Else the number, unless out says more. NOT_MINE: it is
 * not among these.
 */
#define NOT_MINE LLONG_MIN
long long run_segment(size_t n, char **w, const size_t *len);
long long run_resource(size_t n, char **w, const size_t *len); /* a semaphore set, a queue */
long long run_memory(size_t n, char **w, const size_t *len);
long long run_transfer(size_t n, char **w, const size_t *len);   /* bytes by a descriptor */
long long run_descriptor(size_t n, char **w, const size_t *len); /* all else of one */
long long run_name(size_t n, char **w, const size_t *len);
long long run_attribute(size_t n, char **w, const size_t *len); /* of a file or directory by name */

/* The command is called so, and has at least so many words after its name. */
#define IS(name, least) (strcmp(w[0], name) == 0 && n > (least))
#define NUM(i) number(w[i])
#define INT(i) ((int)number(w[i]))
#define SIZE(i) ((size_t)number(w[i]))
#define FD(i) (slot(w[i])->fd)
