/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/*
 * What is true of this process for good. home_learn() comes before anything is asked of it:
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

/* The calling thread is in the process's own IPC namespace again. Ends the process if that is
 * refused: no thread stays in another one. */
void home_return(void);
