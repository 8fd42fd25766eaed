/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What is asked within one moment gets one answer: segments.json, metrics and limits that a script
 * opens together agree with each other, and the host is looked through once for all of them.
 *
 * An answer may not be older than its question. So a question waits a moment for others, and what
 * they share begins when that moment is over. The wait is a small part of what such answers took
 * last. Of each namespace one survey is made, by who needs it first, and the others wait for it;
 * who is alone in a moment keeps none.
 */

#include <segfs/limits.h>

#include "lib/survey/survey.h"

struct Moments {
	GDestroyNotify unref_owner;
	GMutex lock;       /* protects what follows */
	Moment *gathering; /* NULL: none. Without a reference */
	gint64 took;       /* the last one that ended, microseconds */
};

struct Moment {
	Moments *moments;
	SegfsSince since; /* set when it is over, as is_shared is */
	bool is_shared;
	guint refs; /* protected by the lock of moments, and so is the next */
	bool is_over;
	GCond over;

	GMutex lock;         /* protects what follows */
	GCond done;          /* a survey */
	GPtrArray *owners;   /* of the views, which have to outlive their surveys */
	GHashTable *surveys; /* SegfsView -> Surveyed; NULL: it is being made */
};

Moments *moments_new(GDestroyNotify unref_owner)
{
	Moments *moments = g_new0(Moments, 1);

	moments->unref_owner = unref_owner;
	g_mutex_init(&moments->lock);
	return moments;
}

void moments_free(Moments *moments)
{
	g_mutex_clear(&moments->lock);
	g_free(moments);
}

static void surveyed_clear(gpointer pointer)
{
	Surveyed *surveyed = pointer;

	g_ptr_array_unref(surveyed->items);
	segfs_scan_unref(surveyed->scan);
}

void surveyed_unref(Surveyed *surveyed)
{
	g_atomic_rc_box_release_full(surveyed, surveyed_clear);
}

static void surveyed_unref_any(gpointer surveyed)
{
	if (surveyed)
		surveyed_unref(surveyed);
}

static Moment *moment_new(Moments *moments)
{
	Moment *moment = g_new0(Moment, 1);

	moment->moments = moments;
	g_cond_init(&moment->over);
	g_mutex_init(&moment->lock);
	g_cond_init(&moment->done);
	moment->owners = g_ptr_array_new_with_free_func(moments->unref_owner);
	moment->surveys = g_hash_table_new_full(NULL, NULL, NULL, surveyed_unref_any);
	return moment;
}

Moment *moment_join(Moments *moments)
{
	enum { PART = 8, MOST = 25 * 1000 };

	g_mutex_lock(&moments->lock);
	Moment *moment = moments->gathering;
	if (moment) {
		moment->refs++;
		while (!moment->is_over)
			g_cond_wait(&moment->over, &moments->lock);
		g_mutex_unlock(&moments->lock);
		return moment;
	}
	moment = moments->gathering = moment_new(moments);
	moment->refs = 1;
	const gint64 wait = MIN(moments->took / PART, MOST);
	g_mutex_unlock(&moments->lock);
	g_usleep(wait);
	g_mutex_lock(&moments->lock);
	moments->gathering = NULL;
	moment->since = segfs_since_now();
	moment->is_shared = moment->refs > 1;
	moment->is_over = true;
	g_cond_broadcast(&moment->over);
	g_mutex_unlock(&moments->lock);
	return moment;
}

void moment_leave(Moment *moment)
{
	Moments *moments = moment->moments;

	g_mutex_lock(&moments->lock);
	const bool is_last = --moment->refs == 0;
	if (is_last)
		moments->took = g_get_monotonic_time() - moment->since.from;
	g_mutex_unlock(&moments->lock);
	if (!is_last)
		return;
	g_hash_table_unref(moment->surveys);
	g_ptr_array_unref(moment->owners);
	g_cond_clear(&moment->over);
	g_cond_clear(&moment->done);
	g_mutex_clear(&moment->lock);
	g_free(moment);
}

SegfsSince moment_since(const Moment *moment)
{
	return moment->since;
}

static int survey(SegfsView *view, SegfsSince since, Surveyed **ret_surveyed)
{
	g_autoptr(GPtrArray) items = NULL;
	g_autoptr(SegfsScan) scan = NULL;

	int r = segfs_view_survey(view, since, &items);
	/* The scan that the items have, unless there are none. */
	if (r == 0 && items->len > 0)
		scan = segfs_scan_ref(((SegfsItem *)items->pdata[0])->scan);
	else if (r == 0)
		r = segfs_scanner_scan(view->options.scanner, segfs_since_recent(), &scan);
	if (r < 0)
		return r;
	Surveyed *surveyed = g_atomic_rc_box_new0(Surveyed);
	surveyed->has_limits = segfs_limits_read(view->options.ipc, &surveyed->limits) == 0;
	surveyed->items = g_steal_pointer(&items);
	surveyed->scan = g_steal_pointer(&scan);
	*ret_surveyed = surveyed;
	return 0;
}

int moment_survey(Moment *moment, SegfsView *view, gpointer owner, Surveyed **ret_surveyed)
{
	gpointer found;
	int r = 0;

	g_mutex_lock(&moment->lock);
	g_ptr_array_add(moment->owners, owner);
	if (!moment->is_shared) {
		g_mutex_unlock(&moment->lock);
		return survey(view, moment->since, ret_surveyed);
	}
	while (g_hash_table_lookup_extended(moment->surveys, view, NULL, &found) && !found)
		g_cond_wait(&moment->done, &moment->lock);
	if (!g_hash_table_contains(moment->surveys, view)) {
		g_hash_table_insert(moment->surveys, view, NULL);
		g_mutex_unlock(&moment->lock);
		Surveyed *made = NULL;
		r = survey(view, moment->since, &made);
		g_mutex_lock(&moment->lock);
		/* What kept this one from it (a program that was killed) need not keep another. */
		if (r == 0)
			g_hash_table_insert(moment->surveys, view, made);
		else
			g_hash_table_remove(moment->surveys, view);
		g_cond_broadcast(&moment->done);
		found = made;
	}
	if (r == 0)
		*ret_surveyed = g_atomic_rc_box_acquire(found);
	g_mutex_unlock(&moment->lock);
	return r;
}
