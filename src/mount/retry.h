/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

/* The threads that have been told ESTALE and whose system call may still go on. */
typedef struct Retries Retries;

Retries *retries_new(void);
void retries_free(Retries *retries);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Retries, retries_free)

/* Is it the second time in one call? Then the thread is forgotten, else remembered. */
bool retries_is_second(Retries *retries, pid_t tid);
/* The thread's call has gone on. */
void retries_over(Retries *retries, pid_t tid);
