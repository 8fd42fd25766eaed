/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <segfs/caller.h>
#include <stdbool.h>

/*
 * Something done on another thread, since it may never end: what /proc has of a process's
 * memory (maps, map_files, cmdline) waits for that process's mmap_lock, which the user who
 * runs it can keep for ever, by a page of a file system of their own that does not answer. The
 * thread that has asked for the call waits up to its own deadline, and goes on without.
 *
 * The calls have 64 threads. Where all of them hang, further calls wait for one and run into their
 * deadlines.
 */
typedef struct DeadlineCall DeadlineCall;

/* How far a wait has come that is made of steps. All 0 at first. */
typedef struct {
	guint n;      /* steps that are over */
	gint64 until; /* of the step under way, monotonic; 0: none is */
} DeadlineSteps;

/*
 * Waits for cond, as g_cond_wait_until(), until the step under way is over, a tenth of patience
 * (microseconds). False: ten are over, and what is waited for is to be looked at for the last
 * time. A clock would go on while the process stands still, and what is waited for with it: so
 * that costs a step at most.
 */
bool deadline_step(GCond *cond, GMutex *lock, gint64 patience, DeadlineSteps *steps);

/*
 * run(data) is called once, or not at all where the thread is lost (segfs/thread.h): data says
 * from the first that nothing has come of it. release(data) is called when that has ended and the
 * call has been left.
 */
DeadlineCall *deadline_call(void (*run)(gpointer data), gpointer data, GDestroyNotify release);
/*
 * Has it ended, within so many milliseconds? Then data is the caller's to read until it is left. On
 * a busy machine the wait is up to 20 times as long, as long as the call only waits for a
 * processor.
 */
bool deadline_wait(DeadlineCall *call, guint ms);
void deadline_leave(DeadlineCall *call);

/* To be called by run(): from here on it asks about this process. */
void deadline_at(pid_t pid);
/* Nobody's pid: it asks about all of them at once. */
#define DEADLINE_EVERYBODY (-1)
/* Does a call that was left hang at this process? Then nobody else is to ask about it. */
bool deadline_is_stuck(pid_t pid);
/* Counts the calls of deadline_at(): does it go on? */
guint deadline_steps(DeadlineCall *call);

/*
 * What run(data) opens, the caller's to close, or -errno of it. -ETIMEDOUT: it takes longer (on
 * a busy machine than 2 s, since it may wait for who waits for a processor), or hangs at pid
 * already (0: run says itself where it is); what it opens then is closed. release(data) as above.
 */
int deadline_fetch(pid_t pid, guint ms, int (*run)(gpointer data), gpointer data,
		   GDestroyNotify release);
/* procfs_open() of something of pid's, as the caller or (NULL) as ourselves. -ETIMEDOUT: it hangs.
 */
int deadline_open(pid_t pid, const char *path, int flags, const SegfsCaller *caller);
