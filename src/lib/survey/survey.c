/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/survey/survey.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "lib/memory/ipc.h"
#include "lib/memory/posix.h"
#include "lib/os/autofd.h"
#include "lib/os/deadline.h"
#include "lib/os/errand.h"
#include "lib/os/fd.h"
#include "lib/process/process.h"
#include "lib/process/scan.h"

static int judge_init(SegfsView *view, SegfsSince since, Judge *ret_judge)
{
	Judge judge = {.view = view};

	/* First the scan, which answers for the processes of the view's namespace as well. */
	int r = segfs_scanner_scan(view->options.scanner, since, &judge.scan);
	if (r == 0)
		r = segfs_view_refresh(view, since);
	if (r < 0) {
		g_clear_pointer(&judge.scan, segfs_scan_unref);
		return r;
	}
	judge.processes = process_table_new();
	judge.now = time(NULL);
	*ret_judge = judge;
	return 0;
}

static void judge_clear(Judge *judge)
{
	g_clear_pointer(&judge->scan, segfs_scan_unref);
	g_clear_pointer(&judge->processes, g_hash_table_unref);
	g_clear_pointer(&judge->by_pid, g_hash_table_unref);
	g_clear_pointer(&judge->holding, g_hash_table_unref);
	g_clear_pointer(&judge->children, g_hash_table_unref);
	g_clear_pointer(&judge->likeness, g_hash_table_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Judge, judge_clear)

static SegfsItem *item_begin(const Judge *judge)
{
	const SegfsIpc *ipc = judge->view->options.ipc;
	SegfsItem *item = item_new();

	item->ns = ipc->ns ? ipc->inum : 0;
	return item;
}

static SegfsItem *item_of_sysv(Judge *judge, const SegfsSysv *segment)
{
	SegfsItem *item = item_begin(judge);

	item->id = (SegfsId){SEGFS_SYSV, segfs_ipc_inum(judge->view->options.ipc), segment->shmid};
	item->sysv = *segment;
	item->unlinked = segment->dest;
	item->size = segment->size;
	item->uid = segment->uid;
	item->gid = segment->gid;
	item->mode = segment->mode;
	item->atime.tv_sec = segment->atime ? segment->atime : segment->ctime;
	item->mtime.tv_sec = segment->dtime ? segment->dtime : segment->ctime;
	item->ctime.tv_sec = segment->ctime;
	judge_sysv(judge, item);
	item_take_pages(item);
	return item;
}

static SegfsItem *item_of_stat(const Judge *judge, SegfsKind kind, const char *name,
			       const struct stat *st)
{
	SegfsItem *item = item_begin(judge);

	item->id = (SegfsId){kind, st->st_dev, st->st_ino};
	item->name = g_strdup(name);
	item->size = st->st_size;
	item->resident = (uint64_t)st->st_blocks * 512;
	item->has_resident = true;
	item->pages = SEGFS_PAGES_SMALL;
	item->uid = st->st_uid;
	item->gid = st->st_gid;
	item->mode = st->st_mode & 07777;
	item->nlink = st->st_nlink;
	item->atime = st->st_atim;
	item->mtime = st->st_mtim;
	item->ctime = st->st_ctim;
	return item;
}

static SegfsItem *item_of_object(Judge *judge, guint directory, const SegfsPosix *posix,
				 const char *path, int at, const struct stat *st)
{
	SegfsItem *item = item_of_stat(judge, SEGFS_POSIX, path, st);

	item->directory = directory;
	item->posix = posix;
	judge_object(judge, item, at);
	return item;
}

/* The name under which it was made, as far as its path shows it. */
static char *name_of_held(const SegfsHeld *held)
{
	switch (held->id.kind) {
	case SEGFS_MEMFD:
		return g_strdup(held->name + strlen("/memfd:"));
	case SEGFS_POSIX:
		return g_path_get_basename(held->name);
	default:
		return NULL;
	}
}

/* Through which a holder has it: false where there is no such way. */
static bool way_through(const SegfsHolder *holder, const char *proc_root, bool by_fd,
			char ret_path[PATH_MAX])
{
	if (by_fd && holder->fd >= 0)
		g_snprintf(ret_path, PATH_MAX, "%s/%d/fd/%d", proc_root, holder->thread,
			   holder->fd);
	else if (!by_fd && holder->end > 0)
		g_snprintf(ret_path, PATH_MAX, "%s/%d/map_files/%" PRIx64 "-%" PRIx64, proc_root,
			   holder->thread, holder->start, holder->end);
	else
		return false;
	return true;
}

/*
 * Opens O_PATH what holders have, as caller or (NULL) as ourselves. Their numbers may stand
 * for anything by now, also for a file on a file system that hangs: so it is told apart by
 * what the kernel remembers of it.
 */
static int open_held(const SegfsId *id, const GArray *holders, const char *proc_root,
		     const SegfsCaller *caller, int *ret_fd)
{
	char path[PATH_MAX];
	struct statx stat;
	int r = -ENOENT;

	for (guint i = 0; i < 2 * holders->len; i++) {
		const SegfsHolder *holder = &g_array_index(holders, SegfsHolder, i / 2);
		if (!way_through(holder, proc_root, i % 2 == 0, path))
			continue;
		const int opened =
			deadline_open(holder->process->pid, path, O_PATH | O_CLOEXEC, caller);
		autofd fd = opened;
		if (opened == -EACCES || opened == -EPERM || opened == -ETIMEDOUT)
			r = -EACCES;
		if (fd < 0 ||
		    statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_INO, &stat) < 0 ||
		    stat.stx_ino != id->number ||
		    makedev(stat.stx_dev_major, stat.stx_dev_minor) != id->domain)
			continue;
		*ret_fd = steal_fd(&fd);
		return 0;
	}
	return r;
}

int segfs_item_open_path(const SegfsItem *item, const char *proc_root, int *ret_fd)
{
	return open_held(&item->id, item->holders, proc_root, NULL, ret_fd);
}

int segfs_item_open_as(const SegfsItem *item, const char *proc_root, const SegfsCaller *caller,
		       int flags, int *ret_fd)
{
	autofd at = -1;
	int r = open_held(&item->id, item->holders, proc_root, caller, &at);

	if (r < 0)
		return r;
	r = segfs_caller_admit(caller, at, fd_access(flags));
	if (r < 0)
		return r;
	FdPath name;
	fd_path(at, name);
	const long fd = SEGFS_AS(caller, open(name, flags | O_CLOEXEC));
	if (fd < 0)
		return fd;
	*ret_fd = fd;
	return 0;
}

/* NULL: it has a name, or is gone. */
static SegfsItem *item_of_held(Judge *judge, const SegfsHeld *held)
{
	const char *proc_root = segfs_ipc_proc_root(judge->view->options.ipc);
	autofd fd = -1;
	struct stat st;

	int r = open_held(&held->id, held->holders, proc_root, NULL, &fd);
	if (r == 0 && fstat(fd, &st) < 0)
		r = -errno;
	if (r == -ENOENT ||
	    (r == 0 && (!S_ISREG(st.st_mode) || (held->id.kind == SEGFS_POSIX && st.st_nlink > 0))))
		return NULL;
	if (r < 0) {
		/* It may not be looked into: its process's own map has to do. */
		const SegfsHolder *holder = &g_array_index(held->holders, SegfsHolder, 0);
		st = (struct stat){.st_dev = held->id.domain,
				   .st_ino = held->id.number,
				   .st_uid = holder->process->uid,
				   .st_size = holder->end - holder->start};
	}
	g_autofree char *name = name_of_held(held);
	SegfsItem *item = item_of_stat(judge, held->id.kind, name, &st);
	item->has_resident = r == 0;
	if (g_array_index(held->holders, SegfsHolder, 0).is_huge)
		item->pages = SEGFS_PAGES_HUGE;
	item->unlinked = true;
	judge_unlinked(judge, item);
	return item;
}

/*
 * Is it of this view? Objects are where their directory is, other memory where the first of
 * its holders lives.
 */
static bool is_ours(SegfsView *view, const SegfsHeld *held, guint *ret_directory)
{
	const SegfsPosix *posix;
	const uint64_t ns = g_array_index(held->holders, SegfsHolder, 0).process->ipc_ns;

	switch (held->id.kind) {
	case SEGFS_SYSV:
		return false; /* the kernel lists them */
	case SEGFS_POSIX:
		for (guint i = 0; held->deleted && (posix = segfs_view_posix(view, i)); i++) {
			*ret_directory = i;
			if (segfs_posix_dev(posix) == held->id.domain)
				return true;
		}
		return false;
	default:
		return (ns == 0 && view->options.takes_unknown) ||
		       ns == segfs_ipc_inum(view->options.ipc);
	}
}

static gint held_compare(gconstpointer a, gconstpointer b)
{
	const SegfsHeld *x = *(SegfsHeld *const *)a, *y = *(SegfsHeld *const *)b;

	if (x->id.kind != y->id.kind)
		return x->id.kind < y->id.kind ? -1 : 1;
	return x->id.number < y->id.number ? -1 : x->id.number > y->id.number;
}

static void add_nameless(Judge *judge, GPtrArray *items)
{
	g_autoptr(GPtrArray) all = segfs_scan_held(judge->scan);

	g_ptr_array_sort(all, held_compare);
	for (guint i = 0; i < all->len && !errand_is_unwanted(); i++) {
		const SegfsHeld *held = all->pdata[i];
		guint directory = 0;
		SegfsItem *item =
			is_ours(judge->view, held, &directory) ? item_of_held(judge, held) : NULL;
		if (!item)
			continue;
		item->directory = directory;
		if (held->id.kind == SEGFS_POSIX)
			item->posix = segfs_view_posix(judge->view, directory);
		g_ptr_array_add(items, item);
	}
}

static gint sysv_compare(gconstpointer a, gconstpointer b)
{
	return ((const SegfsSysv *)a)->shmid - ((const SegfsSysv *)b)->shmid;
}

static bool any_dest(SegfsIpc *ipc)
{
	g_autoptr(GArray) segments = NULL;

	if (segfs_sysv_list_brief(ipc, &segments) < 0)
		return true;
	for (guint i = 0; i < segments->len; i++)
		if (g_array_index(segments, SegfsSysv, i).dest)
			return true;
	return false;
}

/*
 * Takes segments, which are in order. Of many they are as large as a sixth of the items: so from
 * the last one on, and what is done with is given back.
 */
static void add_all_segments(Judge *judge, GArray *segments, bool dest_only, GPtrArray *items)
{
	enum { GIVEN_BACK = 4096 };
	const guint first = items->len;
	gsize left;
	SegfsSysv *all = g_array_steal(segments, &left);

	while (left > 0 && !errand_is_unwanted()) {
		const SegfsSysv *segment = &all[--left];
		if (segment->dest || !dest_only)
			g_ptr_array_add(items, item_of_sysv(judge, segment));
		if (left > 0 && left % GIVEN_BACK == 0)
			all = g_renew(SegfsSysv, all, left);
	}
	g_free(all);
	for (guint i = first, j = items->len; i + 1 < j; i++) {
		gpointer before = items->pdata[i];
		items->pdata[i] = items->pdata[--j];
		items->pdata[j] = before;
	}
}

static int add_segments(Judge *judge, bool dest_only, GPtrArray *items)
{
	SegfsIpc *ipc = judge->view->options.ipc;
	g_autoptr(GArray) segments = NULL;
	int r;

	/* Once, not anew for what is asked of each. */
	IPC_SCOPE(ipc, r);
	if (r < 0)
		return r;
	/* There is mostly none. */
	if (dest_only && !any_dest(ipc))
		return 0;
	r = segfs_sysv_list(ipc, &segments);
	if (r < 0)
		return r;
	g_array_sort(segments, sysv_compare);
	add_all_segments(judge, segments, dest_only, items);
	return 0;
}

static gint path_compare(gconstpointer a, gconstpointer b)
{
	return strcmp(((const SegfsPosixFile *)a)->path, ((const SegfsPosixFile *)b)->path);
}

static gboolean is_of_no_file(gpointer key, gpointer value, gpointer data)
{
	return !g_hash_table_contains(data, key);
}

/* Adds the objects of one directory, and their ids to the set there; to unread likewise names. */
static int add_objects(Judge *judge, guint directory, const SegfsPosix *posix, GHashTable *there,
		       GPtrArray *items, GPtrArray *unread)
{
	g_autofree char *name = segfs_posix_directory_name(directory);
	g_autoptr(GPtrArray) unread_below = NULL;
	g_autoptr(GArray) files = NULL;
	autofd fd = -1;

	/* Once: where its namespace goes meanwhile it is not looked for again for each of them. */
	int r = segfs_posix_open(posix, &fd);
	if (r == 0)
		r = segfs_posix_list(posix, &files, &unread_below);
	if (r == -ETIMEDOUT)
		g_ptr_array_add(unread, g_strdup(name));
	if (r < 0)
		return r;
	for (guint i = 0; i < unread_below->len; i++)
		g_ptr_array_add(unread,
				g_strdup_printf("%s/%s", name, (char *)unread_below->pdata[i]));
	g_array_sort(files, path_compare);
	for (guint i = 0; i < files->len && !errand_is_unwanted(); i++) {
		const SegfsPosixFile *file = &g_array_index(files, SegfsPosixFile, i);
		autofd at = posix_open_object(fd, file->path, &file->stat);
		SegfsItem *item =
			item_of_object(judge, directory, posix, file->path, at, &file->stat);
		g_ptr_array_add(items, item);
		g_hash_table_add(there, &item->id);
	}
	return errand_is_unwanted() ? -EINTR : 0;
}

static int add_all_objects(Judge *judge, GPtrArray *items)
{
	g_autoptr(GHashTable) there = g_hash_table_new(segfs_id_hash, segfs_id_equal);
	g_autoptr(GPtrArray) unread = g_ptr_array_new_with_free_func(g_free);
	const SegfsPosix *posix;
	bool all_listed = true;

	for (guint i = 0; (posix = segfs_view_posix(judge->view, i)); i++) {
		int r = segfs_view_posix_is_seen(judge->view, i)
				? add_objects(judge, i, posix, there, items, unread)
				: -ENOENT;
		if (r < 0 && r != -ENOENT && r != -ETIMEDOUT)
			return r;
		all_listed = all_listed && r == 0;
	}
	g_mutex_lock(&judge->view->lock);
	/* An object in a directory that was not listed may still be there. */
	if (all_listed && unread->len == 0)
		g_hash_table_foreach_remove(judge->view->seen, is_of_no_file, there);
	GPtrArray *before = judge->view->unread;
	judge->view->unread = g_steal_pointer(&unread);
	g_mutex_unlock(&judge->view->lock);
	g_ptr_array_unref(before);
	return 0;
}

int segfs_view_survey(SegfsView *view, SegfsSince since, GPtrArray **ret_items)
{
	g_autoptr(GPtrArray) items =
		g_ptr_array_new_with_free_func((GDestroyNotify)segfs_item_free);
	g_auto(Judge) judge = {};

	int r = judge_init(view, since, &judge);
	if (r == 0)
		r = add_segments(&judge, false, items);
	if (r == 0)
		r = add_all_objects(&judge, items);
	if (r == 0)
		add_nameless(&judge, items);
	if (r == 0 && errand_is_unwanted())
		r = -EINTR;
	if (r < 0)
		return r;
	*ret_items = g_steal_pointer(&items);
	return 0;
}

int segfs_view_unlinked(SegfsView *view, SegfsSince since, GPtrArray **ret_items)
{
	g_autoptr(GPtrArray) items =
		g_ptr_array_new_with_free_func((GDestroyNotify)segfs_item_free);
	g_auto(Judge) judge = {};

	int r = judge_init(view, since, &judge);
	if (r == 0)
		r = add_segments(&judge, true, items);
	if (r < 0)
		return r;
	add_nameless(&judge, items);
	*ret_items = g_steal_pointer(&items);
	return 0;
}

int segfs_view_sysv(SegfsView *view, int shmid, SegfsSince since, SegfsItem **ret_item)
{
	g_auto(Judge) judge = {};
	SegfsSysv segment;

	int r = judge_init(view, since, &judge);
	if (r == 0)
		r = segfs_sysv_stat(view->options.ipc, shmid, &segment);
	if (r == 0)
		*ret_item = item_of_sysv(&judge, &segment);
	return r;
}

int segfs_view_read_resident(SegfsView *view, SegfsItem *item)
{
	int r = segfs_sysv_resident(view->options.ipc, &item->sysv);

	item_take_resident(item);
	return r;
}

int segfs_view_object(SegfsView *view, guint directory, const char *path, SegfsSince since,
		      SegfsItem **ret_item)
{
	const SegfsPosix *posix = segfs_view_posix(view, directory);
	autofd at = -1;
	int r = posix ? segfs_posix_open_path(posix, NULL, path, &at) : -ENOENT;

	if (r == -ELOOP || r == -EXDEV || r == -ENOTDIR)
		return -ENOENT;
	return r < 0 ? r : segfs_view_file(view, directory, path, at, since, ret_item);
}

int segfs_view_file(SegfsView *view, guint directory, const char *path, int path_fd,
		    SegfsSince since, SegfsItem **ret_item)
{
	g_auto(Judge) judge = {};
	struct stat st;

	if (fstat(path_fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -ENOENT;
	int r = judge_init(view, since, &judge);
	if (r < 0)
		return r;
	const SegfsPosix *posix = segfs_view_posix(view, directory);
	g_autofree char *found = path ? NULL : posix_path_below(posix, path_fd);
	*ret_item = item_of_object(&judge, directory, posix, path ? path : found, path_fd, &st);
	return r;
}
