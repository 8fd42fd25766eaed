/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* holders.c: what a verb is answered by; the first two do not return. */
_Noreturn void fail(const char *what);
_Noreturn void skip(const char *why);
void ready(void);
_Noreturn void wait_for_end(void);

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
