/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>

/* The name under which any call reaches what a descriptor stands for, O_PATH ones included. */
typedef char FdPath[sizeof("/proc/self/fd/") + 11];
void fd_path(int fd, FdPath ret_path);

/*
 * Is it on a tmpfs? What the kernel knows of it itself tells, its file system is asked
 * nothing: another might not answer.
 */
bool fd_is_tmpfs(int fd);
