/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

/* The threads that have got an ESTALE, and whose system call may still go on. */
typedef struct Retries Retries;

Retries *retries_new(void);
void retries_free(Retries *retries);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Retries, retries_free)

/* Is this the second ESTALE of one system call? Then the thread is forgotten, else remembered. */
bool retries_is_second(Retries *retries, pid_t tid);
/* The thread's system call has gone on: its next ESTALE is a first one. */
void retries_over(Retries *retries, pid_t tid);
