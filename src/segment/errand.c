/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "segment/errand.h"

#include <errno.h>
#include <fcntl.h>
#include <segfs/ipc.h>
#include <unistd.h>

#define MOST_THREADS 64
#define OPEN_MS 2000

struct Errand {
	gatomicrefcount refs;
	void (*run)(gpointer data);
	GDestroyNotify release;
	gpointer data;

	gint at;    /* pid */
	gint steps; /* of errand_at() */

	GMutex lock; /* protects what follows */
	GCond has_ended;
	bool ended;
	bool is_stuck; /* counts in stuck, for stuck_at */
	pid_t stuck_at;
};

/* Where errands hang that nobody waits for any more. */
static GMutex stuck_lock;    /* protects stuck */
static GHashTable *stuck;    /* pid -> how many */
static __thread Errand *own; /* that this thread runs */

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

bool errand_is_stuck(pid_t pid)
{
	g_mutex_lock(&stuck_lock);
	const bool is = stuck && g_hash_table_contains(stuck, GINT_TO_POINTER(pid));
	g_mutex_unlock(&stuck_lock);
	return is;
}

void errand_at(pid_t pid)
{
	if (!own)
		return;
	g_atomic_int_set(&own->at, pid);
	g_atomic_int_inc(&own->steps);
}

guint errand_steps(Errand *errand)
{
	return g_atomic_int_get(&errand->steps);
}

static void errand_unref(Errand *errand)
{
	if (!g_atomic_ref_count_dec(&errand->refs))
		return;
	errand->release(errand->data);
	g_cond_clear(&errand->has_ended);
	g_mutex_clear(&errand->lock);
	g_free(errand);
}

void errand_leave(Errand *errand)
{
	const pid_t at = g_atomic_int_get(&errand->at);

	g_mutex_lock(&errand->lock);
	if (!errand->ended && at) {
		errand->is_stuck = true;
		errand->stuck_at = at;
		stuck_change(at, 1);
	}
	g_mutex_unlock(&errand->lock);
	errand_unref(errand);
}

static void go(gpointer pointer, gpointer unused)
{
	Errand *errand = pointer;

	segfs_thread_comes_home();
	own = errand;
	errand->run(errand->data);
	own = NULL;
	g_mutex_lock(&errand->lock);
	errand->ended = true;
	if (errand->is_stuck)
		stuck_change(errand->stuck_at, -1);
	g_cond_broadcast(&errand->has_ended);
	g_mutex_unlock(&errand->lock);
	errand_unref(errand);
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

Errand *errand_send(void (*run)(gpointer data), gpointer data, GDestroyNotify release)
{
	Errand *errand = g_new0(Errand, 1);

	g_atomic_ref_count_init(&errand->refs);
	g_atomic_ref_count_inc(&errand->refs); /* the thread's */
	g_mutex_init(&errand->lock);
	g_cond_init(&errand->has_ended);
	errand->run = run;
	errand->release = release;
	errand->data = data;
	g_thread_pool_push(pool(), errand, NULL);
	return errand;
}

bool errand_wait(Errand *errand, guint ms)
{
	const gint64 until = g_get_monotonic_time() + ms * G_TIME_SPAN_MILLISECOND;

	g_mutex_lock(&errand->lock);
	while (!errand->ended && g_cond_wait_until(&errand->has_ended, &errand->lock, until))
		;
	const bool ended = errand->ended;
	g_mutex_unlock(&errand->lock);
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
		errand_at(fetching->pid);
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

int errand_fetch(pid_t pid, guint ms, int (*run)(gpointer data), gpointer data,
		 GDestroyNotify release)
{
	int fd = -ETIMEDOUT;

	if (pid && errand_is_stuck(pid)) {
		release(data);
		return fd;
	}
	Fetching *fetching = g_new0(Fetching, 1);
	*fetching = (Fetching){pid, run, release, data, -1};
	Errand *errand = errand_send(fetching_run, fetching, fetching_release);
	if (errand_wait(errand, ms)) {
		fd = fetching->fd;
		fetching->fd = -1;
	}
	errand_leave(errand);
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
		return SEGFS_AS(&opening->caller, open(opening->path, opening->flags));
	const int fd = open(opening->path, opening->flags);
	return fd < 0 ? -errno : fd;
}

static void opening_release(gpointer data)
{
	Opening *opening = data;

	g_free(opening->caller.groups);
	g_free(opening->path);
	g_free(opening);
}

int errand_open(pid_t pid, const char *path, int flags, const SegfsCaller *caller)
{
	Opening *opening = g_new0(Opening, 1);

	opening->path = g_strdup(path);
	opening->flags = flags;
	if (caller) {
		opening->as_caller = true;
		opening->caller = *caller;
		opening->caller.groups =
			g_memdup2(caller->groups, caller->n_groups * sizeof(gid_t));
	}
	return errand_fetch(pid, OPEN_MS, opening_run, opening, opening_release);
}
