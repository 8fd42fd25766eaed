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
typedef struct DeadlineCall DeadlineCall;

/* run(data) is called once; release(data) when it has ended and the call has been left. */
DeadlineCall *deadline_call(void (*run)(gpointer data), gpointer data, GDestroyNotify release);
/* Has it ended, within so many milliseconds? Then data is ours to read until it is left. */
bool deadline_wait(DeadlineCall *call, guint ms);
void deadline_leave(DeadlineCall *call);

/* To be called by run(): from here on it asks about this process. */
void deadline_at(pid_t pid);
/* Does an call that was left hang at this process? Then nobody else is to ask about it. */
bool deadline_is_stuck(pid_t pid);
/* Counts the calls of deadline_at(): does it go on? */
guint deadline_steps(DeadlineCall *call);

/*
 * What run(data) opens, the caller's to close, or -errno of it. -ETIMEDOUT: it takes longer, or
 * hangs at pid already (0: run says itself where it is); what it opens then is closed.
 * release(data) as above.
 */
int deadline_fetch(pid_t pid, guint ms, int (*run)(gpointer data), gpointer data,
		   GDestroyNotify release);
/* open(2) of something of pid's, as the caller or (NULL) as ourselves. -ETIMEDOUT: it hangs. */
int deadline_open(pid_t pid, const char *path, int flags, const SegfsCaller *caller);
