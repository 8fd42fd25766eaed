/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* holders.c: what a verb is answered by; the first two do not return. */
_Noreturn void fail(const char *what);
_Noreturn void skip(const char *why);
void ready(void);
void ready_with(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void wait_for_end(void);

int open_file(const char *path); /* for reading and writing, or for reading where it must be */

/* A verb's name with so many words at least, and whether its word i is that one. */
#define IS(name, least) (strcmp(verb, name) == 0 && n >= (least))
#define HAS(i, word) (n > (i) && strcmp(w[i], word) == 0)

/* holders-memory.c: what peek and poke look at; NULL: nothing. */
extern char *memory;
extern size_t memory_size;
bool hold_memory(const char *verb, int n, char **w);

/* Root of a user and a mount namespace of one's own; false where there are none for us. */
bool become_root_apart(void);

/* holders-fuse.c */
int mount_tmpfs(const char *directory);

/*
 * Serves a file system of type with one file, x, whose inode number is ino. apart: mounted
 * by a user in namespaces of their own, where this process has x open and mapped, and a child
 * serves.
 */
_Noreturn void hangfs(const char *directory, const char *type, uint64_t ino, bool apart);
