/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>

/* The name under which any call reaches what a descriptor stands for, O_PATH ones included. */
typedef char FdPath[sizeof("/proc/self/fd/") + 11];
void fd_path(int fd, FdPath ret_path);

/*
 * Where what fd stands for is below the directory root_fd: "", or "/" and its path from there; to
 * be freed. NULL: elsewhere, or it has no path any more. A name that the kernel gives to what is
 * removed, with " (deleted)" behind it, is not told from one that ends so.
 */
char *fd_path_below(int root_fd, int fd);

/*
 * Is it on a tmpfs? The kernel itself answers that; the file system is asked
 * nothing: another might not answer.
 */
bool fd_is_tmpfs(int fd);

/* What an open(2) with such flags asks for, of R_OK and W_OK; the mode 3 asks for both (ioctl). */
int fd_access(int flags);

/* Has what a path stands for an ACL beside its mode (acl(5))? True also where that is not known. */
bool fd_has_acl(const FdPath path);

/*
 * openat2(2) with O_CLOEXEC. RESOLVE_CACHED is EAGAIN where the kernel does not know it, as if
 * nothing were in its cache.
 */
int fd_open_resolved(int at_fd, const char *path, int flags, uint64_t resolve);

/*
 * The directory that fd, which it takes, stands for, to be read from where fd is; closedir(3)
 * closes both. NULL and errno, of fdopendir(3) or, where fd is negative, as it was: then fd is
 * closed, too.
 */
DIR *fd_directory(int fd);
/* The same of a name in the directory at_fd, from its beginning. Errors of openat(2), too. */
DIR *fd_open_directory(int at_fd, const char *name);
