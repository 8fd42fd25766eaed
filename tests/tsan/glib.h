/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Included before everything in a build with ThreadSanitizer. GLib's locks are futexes that GLib
 * takes by itself, which the sanitizer cannot see: here it is told of each of them.
 */
#ifndef HAVE_LIBFUSE_PRIVATE_CONFIG_H /* libfuse, built along, has no need of it */
#include <glib.h>
#include <sanitizer/tsan_interface.h>

static inline void tsan_lock(GMutex *mutex)
{
	(g_mutex_lock)(mutex);
	__tsan_acquire(mutex);
}

static inline void tsan_unlock(GMutex *mutex)
{
	__tsan_release(mutex);
	(g_mutex_unlock)(mutex);
}

static inline gboolean tsan_trylock(GMutex *mutex)
{
	const gboolean locked = (g_mutex_trylock)(mutex);

	if (locked)
		__tsan_acquire(mutex);
	return locked;
}

static inline void tsan_wait(GCond *cond, GMutex *mutex)
{
	__tsan_release(mutex);
	(g_cond_wait)(cond, mutex);
	__tsan_acquire(mutex);
}

static inline gboolean tsan_wait_until(GCond *cond, GMutex *mutex, gint64 end)
{
	__tsan_release(mutex);
	const gboolean signalled = (g_cond_wait_until)(cond, mutex, end);
	__tsan_acquire(mutex);
	return signalled;
}

/* A function of GLib's, and so an atomic operation that is not seen. */
static inline gboolean tsan_count_dec(gatomicrefcount *count)
{
	__tsan_release(count);
	const gboolean last = (g_atomic_ref_count_dec)(count);

	if (last)
		__tsan_acquire(count);
	return last;
}

/* What is pushed to a pool is handed to the thread that runs it. */
typedef struct {
	GFunc run;
	gpointer data;
} TsanPool;

static inline void tsan_run(gpointer pushed, gpointer data)
{
	const TsanPool *pool = (const TsanPool *)data;

	__tsan_acquire(pushed);
	pool->run(pushed, pool->data);
}

static inline GThreadPool *tsan_pool_new_full(GFunc run, gpointer data, GDestroyNotify free_item,
					      gint most, gboolean exclusive, GError **error)
{
	TsanPool *pool = g_new(TsanPool, 1);

	pool->run = run;
	pool->data = data;
	return (g_thread_pool_new_full)(tsan_run, pool, free_item, most, exclusive, error);
}

static inline gboolean tsan_push(GThreadPool *pool, gpointer pushed, GError **error)
{
	__tsan_release(pushed);
	return (g_thread_pool_push)(pool, pushed, error);
}

#undef g_atomic_ref_count_dec
#define g_atomic_ref_count_dec(count) tsan_count_dec(count)
#define g_thread_pool_new_full(run, data, free_item, most, exclusive, error)                       \
	tsan_pool_new_full(run, data, free_item, most, exclusive, error)
#define g_thread_pool_new(run, data, most, exclusive, error)                                       \
	tsan_pool_new_full(run, data, NULL, most, exclusive, error)
#define g_thread_pool_push(pool, pushed, error) tsan_push(pool, pushed, error)

#undef g_mutex_lock
#undef g_mutex_unlock
#undef g_mutex_trylock
#undef g_cond_wait
#undef g_cond_wait_until
#define g_mutex_lock(mutex) tsan_lock(mutex)
#define g_mutex_unlock(mutex) tsan_unlock(mutex)
#define g_mutex_trylock(mutex) tsan_trylock(mutex)
#define g_cond_wait(cond, mutex) tsan_wait(cond, mutex)
#define g_cond_wait_until(cond, mutex, end) tsan_wait_until(cond, mutex, end)
#endif
