/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

/* The threads that have been told ESTALE and whose system call may still go on. */
typedef struct Stale Stale;

Stale *stale_new(void);
void stale_free(Stale *stale);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Stale, stale_free)

/* Is it the second time in one call? Then the thread is forgotten, else remembered. */
bool stale_again(Stale *stale, pid_t tid);
/* The thread's call has gone on. */
void stale_over(Stale *stale, pid_t tid);
