/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/*
 * Facts about this process that never change. home_learn() comes before anything is asked of it:
 * later there may be no descriptor left to learn it with, and what was taken for no would stay so.
 * Errors are those of open(2) and memfd_create(2).
 */
int home_learn(void);

/* May this process open what others have mapped (proc(5), map_files)? */
bool home_has_map_files(void);

/* The device of the kernel's own tmpfs, on which segments' memory is, and memfds. */
dev_t home_kernel_tmpfs(void);

/* To be called before a thread enters another IPC namespace. */
void home_is_left(void);

/* The calling thread is in the process's own IPC namespace again; it is lost if that is refused. */
void home_return(void);

/* The calling thread is lost: see segfs/thread.h. error: errno. */
void home_lost(const char *from, int error);

/* 0; -ENOTRECOVERABLE: the calling thread is lost, and nothing is to be asked of the kernel by it.
 */
int home_check(void);
