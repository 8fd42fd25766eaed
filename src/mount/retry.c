/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A system call that takes a name can be answered with ESTALE once: the kernel then looks the
 * name up again and comes back, as the same thread. The second answer goes to the program. No
 * request says that it is the second one; the daemon knows it by the thread.
 */

#include "mount/retry.h"

#include "lib/os/sweep.h"

/*
 * An ESTALE need not bring its thread back: where the second look finds no such name, the system
 * call ends with the ENOENT of that lookup, and the thread stays in the table. A later system call
 * of the same thread must not be taken for the second try of that one, so an entry counts only for
 * this long.
 */
#define COMES_BACK_WITHIN (5 * G_TIME_SPAN_SECOND)

/* The table may have as many threads before entries that count no more are looked for. */
#define KEPT 256

struct Retries {
	GMutex lock;      /* protects told */
	GHashTable *told; /* thread → gint64, when */
	guint most;       /* before those that are old are looked for */
	gint n_told;      /* what told holds; read without the lock */
};

Retries *retries_new(void)
{
	Retries *retries = g_new0(Retries, 1);

	g_mutex_init(&retries->lock);
	retries->told = g_hash_table_new_full(NULL, NULL, NULL, g_free);
	return retries;
}

void retries_free(Retries *retries)
{
	g_hash_table_unref(retries->told);
	g_mutex_clear(&retries->lock);
	g_free(retries);
}

static gboolean is_old(gpointer tid, gpointer when, gpointer now)
{
	return *(gint64 *)now - *(gint64 *)when > COMES_BACK_WITHIN;
}

bool retries_is_second(Retries *retries, pid_t tid)
{
	const gpointer key = GINT_TO_POINTER(tid);
	gint64 now = g_get_monotonic_time();

	g_mutex_lock(&retries->lock);
	const gint64 *when = g_hash_table_lookup(retries->told, key);
	const bool again = when && !is_old(key, (gpointer)when, &now);
	if (again) {
		g_hash_table_remove(retries->told, key);
	} else {
		sweep_table(retries->told, &retries->most, KEPT, is_old, &now);
		g_hash_table_insert(retries->told, key, g_memdup2(&now, sizeof(now)));
	}
	g_atomic_int_set(&retries->n_told, g_hash_table_size(retries->told));
	g_mutex_unlock(&retries->lock);
	return again;
}

void retries_over(Retries *retries, pid_t tid)
{
	/* An entry of this thread was made before its ESTALE was sent: it is counted by now. */
	if (g_atomic_int_get(&retries->n_told) == 0)
		return;
	g_mutex_lock(&retries->lock);
	g_hash_table_remove(retries->told, GINT_TO_POINTER(tid));
	g_atomic_int_set(&retries->n_told, g_hash_table_size(retries->told));
	g_mutex_unlock(&retries->lock);
}
