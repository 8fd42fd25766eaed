/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A view and its directories of POSIX objects. Our own has one for good. Those of another
 * namespace come and go with the mounts that its processes see: each keeps its place, and
 * with it its name, while one of them sees it; then the next new one gets that place.
 */

#include "lib/memory/ipc.h"
#include "lib/memory/posix.h"
#include "lib/os/errand.h"
#include "lib/survey/relatives.h"
#include "lib/survey/survey.h"

typedef struct {
	const SegfsPosix *posix;
	bool is_seen;
} Directory;

SegfsView *view_new(const ViewOptions *options)
{
	SegfsView *view = g_new0(SegfsView, 1);

	view->options = *options;
	view->relatives = relatives_new();
	g_mutex_init(&view->refreshing);
	g_mutex_init(&view->lock);
	view->seen = g_hash_table_new_full(segfs_id_hash, segfs_id_equal, g_free,
					   (GDestroyNotify)g_array_unref);
	view->unread = g_ptr_array_new_with_free_func(g_free);
	view->directories = g_array_new(FALSE, FALSE, sizeof(Directory));
	view->own = g_ptr_array_new_with_free_func((GDestroyNotify)segfs_posix_free);
	return view;
}

void view_free(SegfsView *view)
{
	relatives_free(view->relatives);
	g_hash_table_unref(view->seen);
	g_ptr_array_unref(view->unread);
	g_array_unref(view->directories);
	g_ptr_array_unref(view->own);
	g_mutex_clear(&view->lock);
	g_mutex_clear(&view->refreshing);
	g_free(view);
}

void view_add_posix(SegfsView *view, const SegfsPosix *posix)
{
	const Directory directory = {posix, true};

	g_mutex_lock(&view->lock);
	g_array_append_val(view->directories, directory);
	g_mutex_unlock(&view->lock);
}

const SegfsPosix *segfs_view_posix(SegfsView *view, guint index)
{
	g_mutex_lock(&view->lock);
	const SegfsPosix *posix = index < view->directories->len
					  ? g_array_index(view->directories, Directory, index).posix
					  : NULL;
	g_mutex_unlock(&view->lock);
	return posix;
}

bool segfs_view_posix_index(SegfsView *view, const SegfsPosix *posix, guint *ret_index)
{
	bool found = false;

	g_mutex_lock(&view->lock);
	for (guint i = 0; i < view->directories->len && !found; i++) {
		found = g_array_index(view->directories, Directory, i).posix == posix;
		*ret_index = i;
	}
	g_mutex_unlock(&view->lock);
	return found;
}

bool segfs_view_posix_is_seen(SegfsView *view, guint index)
{
	g_mutex_lock(&view->lock);
	const bool is_seen = index < view->directories->len &&
			     g_array_index(view->directories, Directory, index).is_seen;
	g_mutex_unlock(&view->lock);
	return is_seen;
}

/* Call with the lock held. */
static Directory *find(SegfsView *view, dev_t dev)
{
	for (guint i = 0; i < view->directories->len; i++) {
		Directory *directory = &g_array_index(view->directories, Directory, i);
		if (segfs_posix_dev(directory->posix) == dev)
			return directory;
	}
	return NULL;
}

/*
 * One that has lost its place may come back, and whoever had it then may have it still. Call
 * with the lock held.
 */
static SegfsPosix *find_own(SegfsView *view, dev_t dev)
{
	for (guint i = 0; i < view->own->len; i++)
		if (segfs_posix_dev(view->own->pdata[i]) == dev)
			return view->own->pdata[i];
	return NULL;
}

/* Which of those that there are, are seen. Call with the lock held. */
static void mark(SegfsView *view, const GArray *shm)
{
	for (guint i = 0; i < view->directories->len; i++)
		g_array_index(view->directories, Directory, i).is_seen = false;
	for (guint i = 0; i < shm->len; i++) {
		Directory *directory = find(view, g_array_index(shm, SegfsNamespaceShm, i).dev);
		if (directory)
			directory->is_seen = true;
	}
}

/* Call with the lock held. */
static void put(SegfsView *view, const Directory *new)
{
	for (guint i = 0; i < view->directories->len; i++) {
		Directory *directory = &g_array_index(view->directories, Directory, i);
		if (!directory->is_seen) {
			*directory = *new;
			return;
		}
	}
	g_array_append_val(view->directories, *new);
}

/* Is there one to be opened? That can take its time. */
static bool has_new(SegfsView *view, const GArray *shm)
{
	bool found = false;

	g_mutex_lock(&view->lock);
	for (guint i = 0; i < shm->len && !found; i++)
		found = !find(view, g_array_index(shm, SegfsNamespaceShm, i).dev);
	g_mutex_unlock(&view->lock);
	return found;
}

/* The lock is held while they are opened. */
static int begin(SegfsView *view)
{
	if (g_mutex_trylock(&view->refreshing))
		return 0;
	if (!errand_may_wait())
		return -EAGAIN;
	g_mutex_lock(&view->refreshing);
	return 0;
}

/* The process that has seen it longest, which mostly is the first of its container. */
static pid_t oldest(SegfsNamespace *ns, const SegfsNamespaceShm *shm)
{
	g_autoptr(GArray) processes = NULL;
	const SegfsProcess *found = NULL;

	if (segfs_namespace_processes(ns, segfs_since_recent(), &processes) < 0)
		return shm->pid;
	for (guint i = 0; i < processes->len; i++) {
		const SegfsProcess *process = &g_array_index(processes, SegfsProcess, i);
		if (process->mnt_ns == shm->mnt_ns && (!found || process->start < found->start))
			found = process;
	}
	return found ? found->pid : shm->pid;
}

/* From now on history has who makes, renames and removes names there. */
static void watch(SegfsView *view, const GArray *shm)
{
	SegfsHistory *history = view->options.history;

	for (guint i = 0; history && i < shm->len; i++) {
		const SegfsNamespaceShm *one = &g_array_index(shm, SegfsNamespaceShm, i);
		if (!segfs_history_watches(history, one->dev))
			segfs_history_watch_of(history, segfs_ipc_inum(view->options.ipc),
					       oldest(view->options.ipc->ns, one), one->dev);
	}
}

int segfs_view_refresh(SegfsView *view, SegfsSince since)
{
	SegfsNamespace *ns = view->options.ipc->ns;
	g_autoptr(GArray) shm = NULL;

	if (!ns)
		return 0;
	int r = begin(view);
	if (r < 0)
		return r;
	r = segfs_namespace_shm(ns, since, &shm);
	if (r == 0 && has_new(view, shm) && !errand_may_wait())
		r = -EAGAIN;
	if (r < 0) {
		g_mutex_unlock(&view->refreshing);
		return r;
	}
	g_mutex_lock(&view->lock);
	mark(view, shm);
	for (guint i = 0; i < shm->len; i++) {
		const dev_t dev = g_array_index(shm, SegfsNamespaceShm, i).dev;
		if (find(view, dev))
			continue;
		SegfsPosix *posix = find_own(view, dev);
		if (!posix) {
			g_mutex_unlock(&view->lock);
			r = posix_new_of(ns, dev, &posix);
			g_mutex_lock(&view->lock);
			if (r < 0)
				continue;
			g_ptr_array_add(view->own, posix);
		}
		put(view, &(Directory){posix, true});
	}
	g_mutex_unlock(&view->lock);
	if (errand_may_wait())
		watch(view, shm);
	g_mutex_unlock(&view->refreshing);
	return 0;
}

guint segfs_view_unread(SegfsView *view)
{
	g_autoptr(GPtrArray) names = segfs_view_unread_names(view);

	return names->len;
}

GPtrArray *segfs_view_unread_names(SegfsView *view)
{
	g_mutex_lock(&view->lock);
	GPtrArray *names = g_ptr_array_ref(view->unread);
	g_mutex_unlock(&view->lock);
	return names;
}
