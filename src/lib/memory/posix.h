/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <segfs/namespace.h>
#include <segfs/posix.h>

/* The /dev/shm on dev of a namespace's processes, reached through them each time. */
int posix_new_of(SegfsNamespace *ns, dev_t dev, SegfsPosix **ret_posix);

/* The kernel's own tmpfs: see segfs_scope_nameless(). */
int posix_new_nameless(SegfsPosix **ret_posix);

/* O_PATH, the object that st is of, and nothing that may have its name by now. -1: gone. */
int posix_open_object(int directory_fd, const char *path, const struct stat *st);

/* segfs_posix_open_path() from a descriptor of the directory. */
int posix_open_path(int directory_fd, const SegfsCaller *caller, const char *path, int *ret_fd);

/*
 * The path below the directory of what at stands for, as both are called now; the calling
 * function's to free. NULL: it has left the directory, or that cannot be said.
 */
char *posix_path_below(const SegfsPosix *posix, int at);
