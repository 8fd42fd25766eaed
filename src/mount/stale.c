/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A system call that takes a name can be told ESTALE once: the kernel then looks the name
 * up again and comes back, as the same thread. What it is told then goes to the program.
 * The kernel does not say that it comes for the second time; we know by the thread.
 */

#include "mount/stale.h"

/*
 * A call that ends elsewhere, with a name that is not found, leaves its thread here: the
 * next one that is told of a node that is gone must not take that for its own first time.
 */
#define COMES_BACK_WITHIN (5 * G_TIME_SPAN_SECOND)

/* So many are remembered before those whose calls ended elsewhere are looked for. */
#define MANY 256

struct Stale {
	GMutex lock;      /* protects told */
	GHashTable *told; /* thread → gint64, when */
	gint n_told;      /* what told holds; read without the lock */
};

Stale *stale_new(void)
{
	Stale *stale = g_new0(Stale, 1);

	g_mutex_init(&stale->lock);
	stale->told = g_hash_table_new_full(NULL, NULL, NULL, g_free);
	return stale;
}

void stale_free(Stale *stale)
{
	g_hash_table_unref(stale->told);
	g_mutex_clear(&stale->lock);
	g_free(stale);
}

static gboolean is_old(gpointer tid, gpointer when, gpointer now)
{
	return *(gint64 *)now - *(gint64 *)when > COMES_BACK_WITHIN;
}

bool stale_again(Stale *stale, pid_t tid)
{
	const gpointer key = GINT_TO_POINTER(tid);
	gint64 now = g_get_monotonic_time();

	g_mutex_lock(&stale->lock);
	const gint64 *when = g_hash_table_lookup(stale->told, key);
	const bool again = when && !is_old(key, (gpointer)when, &now);
	if (again) {
		g_hash_table_remove(stale->told, key);
	} else {
		if (g_hash_table_size(stale->told) >= MANY)
			g_hash_table_foreach_remove(stale->told, is_old, &now);
		g_hash_table_insert(stale->told, key, g_memdup2(&now, sizeof(now)));
	}
	g_atomic_int_set(&stale->n_told, g_hash_table_size(stale->told));
	g_mutex_unlock(&stale->lock);
	return again;
}

void stale_over(Stale *stale, pid_t tid)
{
	/* The thread itself was told, and has come back since: it cannot be missed here. */
	if (g_atomic_int_get(&stale->n_told) == 0)
		return;
	g_mutex_lock(&stale->lock);
	g_hash_table_remove(stale->told, GINT_TO_POINTER(tid));
	g_atomic_int_set(&stale->n_told, g_hash_table_size(stale->told));
	g_mutex_unlock(&stale->lock);
}
