/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/*
 * Memory that is kept on purpose while nobody has it: a program finds there what an earlier run of
 * it has left. It is never orphaned. Some is known (see keep.c); the rest is said by whoever runs
 * segfs, as globs (fnmatch(3), "*" takes "/" as well) of these: an object's path below its
 * directory, "posix/" and that path, "key/0x0052e2c1" or the key alone, "sysv/5".
 */
typedef struct SegfsKeep SegfsKeep;

/* With none of its own. Free with segfs_keep_free(). Cannot fail. */
SegfsKeep *segfs_keep_new(void);

/* Frees it, after the scopes that have it. Cannot fail. */
void segfs_keep_free(SegfsKeep *keep);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SegfsKeep, segfs_keep_free)

/* One more glob. reason, for the evidence, can be NULL. Both are copied. Cannot fail. */
void segfs_keep_add(SegfsKeep *keep, const char *glob, const char *reason);

/* The file that is read where no other is named. */
#define SEGFS_KEEP_FILE "/etc/segfs/keep"

/*
 * The globs of a file, one a line; what follows "#" is the reason, and a line that begins with it
 * is left out. path: NULL: SEGFS_KEEP_FILE, which need not be there. Errors are those of open(2)
 * and read(2).
 */
int segfs_keep_read(SegfsKeep *keep, const char *path);
