/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * free(3) keeps what many names, a large listing or a survey took. To give it back takes
 * milliseconds, with every arena locked, and is worth it only after the last of it is freed:
 * no request does it, and none decides which was the last. A thread does it a moment after it was
 * asked for. The thread sleeps for good where nobody asks.
 */

#include <glib.h>
#include <malloc.h>

#include "tree/node.h"

/* In which what belongs together is freed. */
#define MOMENT (100 * G_TIME_SPAN_MILLISECOND)

/* Less that is free is not worth the call. */
#define WORTH (1024 * 1024)

static GMutex lock; /* protects what follows */
static GCond changed;
static guint n_users;
static bool is_wanted;
static GThread *thread;

static gpointer trim(G_GNUC_UNUSED gpointer data)
{
	g_mutex_lock(&lock);
	while (n_users > 0) {
		if (!is_wanted) {
			g_cond_wait(&changed, &lock);
			continue;
		}
		const gint64 until = g_get_monotonic_time() + MOMENT;
		while (n_users > 0 && g_cond_wait_until(&changed, &lock, until))
			;
		is_wanted = false;
		g_mutex_unlock(&lock);
		if (mallinfo2().fordblks > WORTH)
			malloc_trim(0);
		g_mutex_lock(&lock);
	}
	g_mutex_unlock(&lock);
	return NULL;
}

void trim_start(void)
{
	g_mutex_lock(&lock);
	if (n_users++ == 0)
		thread = g_thread_new("trim", trim, NULL);
	g_mutex_unlock(&lock);
}

void trim_stop(void)
{
	g_mutex_lock(&lock);
	GThread *last = --n_users == 0 ? g_steal_pointer(&thread) : NULL;
	g_cond_signal(&changed);
	g_mutex_unlock(&lock);
	if (last)
		g_thread_join(last);
}

void trim_soon(void)
{
	g_mutex_lock(&lock);
	if (!is_wanted) {
		is_wanted = true;
		g_cond_signal(&changed);
	}
	g_mutex_unlock(&lock);
}
