/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The last look before an orphan goes. A verdict is of the past; here the kernel is asked
 * once more, and what it does not say is taken for a no.
 */

#include <errno.h>
#include <fcntl.h>
#include <segfs/memory.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/memory/posix.h"
#include "lib/os/autofd.h"
#include "lib/os/errand.h"
#include "lib/os/fd.h"
#include "lib/process/lease.h"
#include "lib/survey/free.h"
#include "lib/survey/survey.h"

static int remove_segment(SegfsView *view, const SegfsCaller *caller, const SegfsItem *item)
{
	SegfsIpc *ipc = view->options.ipc;
	g_autoptr(SegfsItem) again = NULL;

	int r = segment_is_free(ipc, &item->sysv, true);
	/* As a plain user we cannot ask; then a new scan has to do. */
	if (r < 0 && r != -EBUSY &&
	    (r = segfs_view_sysv(view, item->sysv.shmid, segfs_since_now(), &again)) == 0 &&
	    again->verdict != SEGFS_ORPHANED)
		r = segfs_sysv_same(&again->sysv, &item->sysv) ? -EBUSY : -ENOENT;
	return r < 0 ? r : segfs_sysv_remove_unused(ipc, caller, &item->sysv);
}

static bool is_later(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec > b->tv_sec || (a->tv_sec == b->tv_sec && a->tv_nsec > b->tv_nsec);
}

/* Is it still item that has the name, as it was? */
static int compare(int directory_fd, const char *base, const SegfsItem *item)
{
	struct stat now;

	if (fstatat(directory_fd, base, &now, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (now.st_dev != item->id.domain || now.st_ino != item->id.number)
		return -ENOENT;
	return is_later(&now.st_mtim, &item->mtime) || is_later(&now.st_atim, &item->atime) ||
			       is_later(&now.st_ctim, &item->ctime)
		       ? -EBUSY
		       : 0;
}

static int await(int fd)
{
	FdPath path;

	fd_path(fd, path);
	return errand_await_lock(path);
}

static int remove_object(const SegfsCaller *caller, const SegfsItem *item)
{
	const struct stat st = {.st_dev = item->id.domain, .st_ino = item->id.number};
	g_autofree char *directory = g_path_get_dirname(item->name);
	g_autofree char *base = g_path_get_basename(item->name);
	autofd directory_fd = -1, top_fd = -1;

	int r = segfs_posix_open(item->posix, &top_fd);
	if (r < 0)
		return r;
	autofd at = posix_open_object(top_fd, item->name, &st);
	if (at < 0)
		return -ENOENT;
	r = posix_open_path(top_fd, caller, directory, &directory_fd);
	if (r == 0)
		r = segfs_caller_admit(caller, directory_fd, W_OK | X_OK);
	/* The directory's lock, and the object's, may be another user's. */
	if (r == 0)
		r = await(directory_fd);
	if (r == 0)
		r = await(at);
	if (r < 0)
		return r;
	/* The lease lasts until the name is gone: who opens it meanwhile waits. */
	int fd = -1;
	lease_lock();
	r = lease_open(at, &fd);
	if (r == 0)
		r = compare(directory_fd, base, item);
	/* Who has got one of the locks since is not to be waited for by anybody else. */
	lease_keep();
	if (r == 0)
		r = SEGFS_AS(caller, unlinkat(directory_fd, base, 0));
	if (fd >= 0)
		close(fd);
	lease_end();
	return r;
}

int segfs_view_remove_orphan(SegfsView *view, const SegfsCaller *caller, const SegfsItem *item)
{
	if (item->verdict != SEGFS_ORPHANED)
		return -EBUSY;
	return item->id.kind == SEGFS_SYSV ? remove_segment(view, caller, item)
					   : remove_object(caller, item);
}
