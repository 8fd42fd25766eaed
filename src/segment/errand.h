/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <segfs/caller.h>
#include <stdbool.h>

/*
 * Something done on another thread, since it may never end: what /proc tells of a process's
 * memory (maps, map_files, cmdline) waits for that process's mmap_lock, which whoever runs
 * it can keep for ever, by a page of a file system of their own that does not answer. Who
 * has sent for it waits as long as they please, and goes on without.
 *
 * There are so many threads; all of them stuck, nothing that is sent for comes back.
 */
typedef struct Errand Errand;

/* run(data) is called once; release(data) when it has ended and the errand has been left. */
Errand *errand_send(void (*run)(gpointer data), gpointer data, GDestroyNotify release);
/* Has it ended, within so many milliseconds? Then data is ours to read until it is left. */
bool errand_wait(Errand *errand, guint ms);
void errand_leave(Errand *errand);

/* To be called by run(): from here on it asks about this process. */
void errand_at(pid_t pid);
/* Does an errand that was left hang at this process? Then nobody else is to ask about it. */
bool errand_is_stuck(pid_t pid);
/* Counts the calls of errand_at(): does it go on? */
guint errand_steps(Errand *errand);

/*
 * What run(data) opens, the caller's to close, or -errno of it. -ETIMEDOUT: it takes longer, or
 * hangs at pid already (0: run says itself where it is); what it opens then is closed.
 * release(data) as above.
 */
int errand_fetch(pid_t pid, guint ms, int (*run)(gpointer data), gpointer data,
		 GDestroyNotify release);
/* open(2) of something of pid's, as the caller or (NULL) as ourselves. -ETIMEDOUT: it hangs. */
int errand_open(pid_t pid, const char *path, int flags, const SegfsCaller *caller);
