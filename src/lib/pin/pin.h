/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stdbool.h>

/*
 * Programs in the kernel, and their tables, that outlive a daemon which is killed: pinned in a
 * directory of its own in bpffs (bpf(2)). No word of what they are. Not safe to use from two
 * threads at once.
 */
typedef struct Pins Pins;

/*
 * The directory for what that name is of (any text), made if missing, which no other process has.
 * build: of letters and digits; what another build has left there is removed. NULL: why not, the
 * caller's to free, or NULL where there is no bpffs to write to.
 */
Pins *pins_open(const char *name, const char *build, char **ret_why_not);
/* Leaves what is there. */
void pins_free(Pins *pins);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Pins, pins_free)

/* Keeps it under that name, of letters and digits. Errors are those of bpf(2). */
int pins_put(Pins *pins, const char *object, int fd);
/* A descriptor of it, the caller's; -ENOENT: there is none. */
int pins_get(Pins *pins, const char *object);

/* Removes all of it. */
void pins_clear(Pins *pins);
/* The same, and the directory. */
void pins_remove(Pins *pins);
