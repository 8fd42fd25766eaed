/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/os/deadline.h"

#include <errno.h>
#include <fcntl.h>
#include <segfs/thread.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/os/errand.h"
#include "lib/os/home.h"
#include "lib/os/procfs.h"

#define MOST_THREADS 64
#define OPEN_MS 2000
#define STEPS 10

/* On a busy machine a deadline is met this often again while the call waits for a processor. */
#define MOST_WAITS 20

/* Where more than so many for each processor want to run, who waits for one may keep from the call
 * what it waits for, a lock of the kernel or of ours: a deadline is met again for so long. */
#define BUSY 2
#define BUSY_MS 2000

struct DeadlineCall {
	gatomicrefcount refs;
	void (*run)(gpointer data);
	GDestroyNotify release;
	gpointer data;

	gint at;    /* pid */
	gint steps; /* of deadline_at() */
	gint tid;   /* of the thread that runs it; 0: it has not begun */

	GMutex lock; /* protects what follows */
	GCond has_ended;
	bool ended;
	bool is_stuck; /* counts in stuck, for stuck_at */
	pid_t stuck_at;
};

/* The processes at which calls hang that nobody waits for any more. */
static GMutex stuck_lock;          /* protects stuck */
static GHashTable *stuck;          /* pid -> how many */
static __thread DeadlineCall *own; /* that this thread runs */
static gint n_running;             /* calls */

static void stuck_change(pid_t pid, int by)
{
	g_mutex_lock(&stuck_lock);
	if (!stuck)
		stuck = g_hash_table_new(NULL, NULL);
	const int n = by + GPOINTER_TO_INT(g_hash_table_lookup(stuck, GINT_TO_POINTER(pid)));
	if (n > 0)
		g_hash_table_insert(stuck, GINT_TO_POINTER(pid), GINT_TO_POINTER(n));
	else
		g_hash_table_remove(stuck, GINT_TO_POINTER(pid));
	g_mutex_unlock(&stuck_lock);
}

bool deadline_is_stuck(pid_t pid)
{
	g_mutex_lock(&stuck_lock);
	const bool is = stuck && g_hash_table_contains(stuck, GINT_TO_POINTER(pid));
	g_mutex_unlock(&stuck_lock);
	return is;
}

void deadline_at(pid_t pid)
{
	if (!own)
		return;
	g_atomic_int_set(&own->at, pid);
	g_atomic_int_inc(&own->steps);
}

guint deadline_steps(DeadlineCall *call)
{
	return g_atomic_int_get(&call->steps);
}

static void deadline_unref(DeadlineCall *call)
{
	if (!g_atomic_ref_count_dec(&call->refs))
		return;
	call->release(call->data);
	g_cond_clear(&call->has_ended);
	g_mutex_clear(&call->lock);
	g_free(call);
}

void deadline_leave(DeadlineCall *call)
{
	const pid_t at = g_atomic_int_get(&call->at);

	g_mutex_lock(&call->lock);
	if (!call->ended && at) {
		call->is_stuck = true;
		call->stuck_at = at;
		stuck_change(at, 1);
	}
	g_mutex_unlock(&call->lock);
	deadline_unref(call);
}

static void go(gpointer pointer, gpointer unused)
{
	DeadlineCall *call = pointer;

	own = call;
	g_atomic_int_inc(&n_running);
	g_atomic_int_set(&call->tid, gettid());
	if (segfs_thread_comes_home() == 0)
		call->run(call->data);
	g_atomic_int_add(&n_running, -1);
	own = NULL;
	g_mutex_lock(&call->lock);
	call->ended = true;
	if (call->is_stuck)
		stuck_change(call->stuck_at, -1);
	g_cond_broadcast(&call->has_ended);
	g_mutex_unlock(&call->lock);
	deadline_unref(call);
}

/* Nobody sends for anything while acting as somebody else: its threads are ourselves. */
static GThreadPool *pool(void)
{
	static gsize made;

	if (g_once_init_enter(&made))
		g_once_init_leave(&made,
				  (gsize)g_thread_pool_new(go, NULL, MOST_THREADS, FALSE, NULL));
	return (GThreadPool *)made;
}

DeadlineCall *deadline_call(void (*run)(gpointer data), gpointer data, GDestroyNotify release)
{
	DeadlineCall *call = g_new0(DeadlineCall, 1);

	g_atomic_ref_count_init(&call->refs);
	g_atomic_ref_count_inc(&call->refs); /* the thread's */
	g_mutex_init(&call->lock);
	g_cond_init(&call->has_ended);
	call->run = run;
	call->release = release;
	call->data = data;
	/* A thread that is made by one that is lost has the same wrong rights. */
	if (home_check() < 0) {
		call->ended = true;
		deadline_unref(call);
	} else {
		g_thread_pool_push(pool(), call, NULL);
	}
	return call;
}

/*
 * Does the call wait for a processor, and for nothing else? That it takes long says nothing then of
 * what it asks. A call that has not begun waits for its thread, unless all of them hang.
 */
static bool waits_for_processor(DeadlineCall *call)
{
	const pid_t tid = g_atomic_int_get(&call->tid);
	ProcfsStat stat;

	if (tid == 0)
		return g_atomic_int_get(&n_running) < MOST_THREADS;
	return procfs_stat("/proc", tid, &stat) && stat.state == 'R';
}

bool deadline_step(GCond *cond, GMutex *lock, gint64 patience, DeadlineSteps *steps)
{
	if (steps->until == 0)
		steps->until = g_get_monotonic_time() + patience / STEPS;
	if (!g_cond_wait_until(cond, lock, steps->until)) {
		steps->until = 0;
		steps->n++;
	}
	return steps->n < STEPS;
}

static bool wait_once(DeadlineCall *call, guint ms)
{
	const gint64 patience = ms * G_TIME_SPAN_MILLISECOND;
	DeadlineSteps steps = {};

	g_mutex_lock(&call->lock);
	while (!call->ended && deadline_step(&call->has_ended, &call->lock, patience, &steps))
		;
	const bool ended = call->ended;
	g_mutex_unlock(&call->lock);
	return ended;
}

bool deadline_wait(DeadlineCall *call, guint ms)
{
	bool ended = wait_once(call, ms);

	for (int i = 0; i < MOST_WAITS && !ended && waits_for_processor(call); i++)
		ended = wait_once(call, ms);
	return ended;
}

typedef struct {
	pid_t pid;
	int (*run)(gpointer data);
	GDestroyNotify release;
	gpointer data;
	int fd;
} Fetching;

static void fetching_run(gpointer data)
{
	Fetching *fetching = data;

	if (fetching->pid)
		deadline_at(fetching->pid);
	fetching->fd = fetching->run(fetching->data);
}

static void fetching_release(gpointer data)
{
	Fetching *fetching = data;

	if (fetching->fd >= 0)
		close(fetching->fd);
	fetching->release(fetching->data);
	g_free(fetching);
}

static bool is_busy(void)
{
	g_autofree char *text = NULL;
	guint n = 0;

	return g_file_get_contents("/proc/loadavg", &text, NULL, NULL) &&
	       sscanf(text, "%*s %*s %*s %u/", &n) == 1 && n > BUSY * g_get_num_processors();
}

int deadline_fetch(pid_t pid, guint ms, int (*run)(gpointer data), gpointer data,
		   GDestroyNotify release)
{
	int fd = -ETIMEDOUT;

	if (!errand_may_wait() || (pid && deadline_is_stuck(pid))) {
		release(data);
		return fd;
	}
	Fetching *fetching = g_new0(Fetching, 1);
	*fetching = (Fetching){pid, run, release, data, -ENOTRECOVERABLE};
	DeadlineCall *call = deadline_call(fetching_run, fetching, fetching_release);
	bool ended = deadline_wait(call, ms);
	for (guint waited = 2 * ms; !ended && waited <= BUSY_MS && is_busy(); waited += ms)
		ended = deadline_wait(call, ms);
	if (ended) {
		fd = fetching->fd;
		fetching->fd = -1;
	}
	deadline_leave(call);
	return fd;
}

typedef struct {
	char *path;
	int flags;
	bool as_caller;
	SegfsCaller caller;
} Opening;

static int opening_run(gpointer data)
{
	Opening *opening = data;

	if (opening->as_caller)
		return SEGFS_AS(&opening->caller, procfs_open(opening->path, opening->flags));
	const int fd = procfs_open(opening->path, opening->flags);
	return fd < 0 ? -errno : fd;
}

static void opening_release(gpointer data)
{
	Opening *opening = data;

	g_free(opening->caller.groups);
	g_free(opening->path);
	g_free(opening);
}

int deadline_open(pid_t pid, const char *path, int flags, const SegfsCaller *caller)
{
	Opening *opening = g_new0(Opening, 1);

	opening->path = g_strdup(path);
	opening->flags = flags;
	if (caller) {
		opening->as_caller = true;
		segfs_caller_copy(caller, &opening->caller);
	}
	return deadline_fetch(pid, OPEN_MS, opening_run, opening, opening_release);
}
