/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Who has something like it? Where nobody has seen the creator's family, this has to do: memory of
 * one kind, owner and mode, or objects whose names begin alike, are mostly of one program, and a
 * process that was there before the memory may be the one for whom it was made. It may be another
 * job of that program as well: then the memory is called idle for as long as that one goes on.
 *
 * One table answers for all memory: of each kind of memory, for each user, the oldest process that
 * has such. It is made from a scan, and kept as long as that is.
 */

#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "lib/memory/ipc.h"
#include "lib/memory/shm.h"
#include "lib/os/autofd.h"
#include "lib/os/fd.h"
#include "lib/os/procfs.h"
#include "lib/process/scan.h"
#include "lib/survey/relatives.h"

/* Both clocks are the kernel's, but it cuts the starts of processes to its ticks. */
#define GRACE_US 20000

typedef struct {
	uint64_t domain; /* 0: segments; of objects their device */
	uid_t owner;     /* of segments, as mode */
	mode_t mode;
	char *begin; /* of an object's name, up to its first digit; NULL: a segment */
	uid_t user;  /* of the process */
} Like;

static guint like_hash(gconstpointer pointer)
{
	const Like *like = pointer;
	const uint64_t number =
		((like->domain * 31 + like->owner) * 31 + like->mode) * 31 + like->user;

	return (guint)(number ^ number >> 32) ^ (like->begin ? g_str_hash(like->begin) : 0);
}

static gboolean like_equal(gconstpointer a, gconstpointer b)
{
	const Like *x = a, *y = b;

	return x->domain == y->domain && x->owner == y->owner && x->mode == y->mode &&
	       x->user == y->user && !g_strcmp0(x->begin, y->begin);
}

static void like_free(gpointer pointer)
{
	Like *like = pointer;

	g_free(like->begin);
	g_free(like);
}

typedef struct {
	Judge *judge;
	GHashTable *table;       /* Like -> const SegfsProcess of the scan: the oldest */
	GHashTable *users;       /* SegfsProcess -> its user */
	GHashTable *directories; /* the device of one -> what it is called */
} Making;

/* A process that has changed its user has a /proc/PID of root's. */
static uid_t user_of(const Making *making, const SegfsProcess *process)
{
	gpointer known;
	uid_t uid = process->uid;

	if (process->uid != 0)
		return process->uid;
	if (g_hash_table_lookup_extended(making->users, process, NULL, &known))
		return GPOINTER_TO_UINT(known);
	procfs_user(segfs_ipc_proc_root(making->judge->view->options.ipc), process->pid, &uid);
	g_hash_table_insert(making->users, (gpointer)process, GUINT_TO_POINTER(uid));
	return uid;
}

static void put(const Making *making, Like like, const GArray *holders)
{
	for (guint i = 0; i < holders->len; i++) {
		const SegfsProcess *process = g_array_index(holders, SegfsHolder, i).process;
		if (!process->start)
			continue;
		like.user = user_of(making, process);
		const SegfsProcess *oldest = g_hash_table_lookup(making->table, &like);
		if (oldest && oldest->start <= process->start)
			continue;
		Like *key = g_memdup2(&like, sizeof(like));
		key->begin = g_strdup(like.begin);
		g_hash_table_replace(making->table, key, (gpointer)process);
	}
}

static void put_segment(const Making *making, const SegfsHeld *held)
{
	SegfsSysv segment;

	if (shm_stat(held->id.number, &segment) == 0)
		put(making, (Like){.owner = segment.uid, .mode = segment.mode}, held->holders);
}

static char *beginning(const char *name)
{
	return g_strndup(name, strcspn(name, "0123456789"));
}

/* As it is called here; NULL: it cannot be said, or is the root. */
static char *directory_link(const SegfsPosix *posix)
{
	char link[PATH_MAX];
	autofd fd = -1;
	FdPath path;

	if (segfs_posix_open(posix, &fd) < 0)
		return NULL;
	fd_path(fd, path);
	const ssize_t n = readlink(path, link, sizeof(link));
	return n > 1 && (size_t)n < sizeof(link) ? g_strndup(link, n) : NULL;
}

/* What of a path is the object's name; NULL: the path does not say. */
static const char *name_below(const Making *making, const SegfsHeld *held)
{
	const char *prefixes[] = {
		g_hash_table_lookup(making->directories, GSIZE_TO_POINTER(held->id.domain)),
		"/dev/shm"};

	for (guint i = 0; i < G_N_ELEMENTS(prefixes); i++) {
		const size_t length = prefixes[i] ? strlen(prefixes[i]) : 0;
		if (length > 0 && g_str_has_prefix(held->name, prefixes[i]) &&
		    held->name[length] == '/')
			return held->name + length + 1;
	}
	return NULL;
}

static void put_named(const Making *making, const SegfsHeld *held, const char *name)
{
	g_autofree char *begin = beginning(name);

	put(making, (Like){.domain = held->id.domain, .begin = begin}, held->holders);
}

/* Where it is mounted elsewhere, its name may begin anywhere in the path. */
static void put_object(const Making *making, const SegfsHeld *held)
{
	const char *name = name_below(making, held);

	if (name) {
		put_named(making, held, name);
		return;
	}
	for (const char *slash = strchr(held->name, '/'); slash; slash = strchr(slash + 1, '/'))
		put_named(making, held, slash + 1);
}

static GHashTable *make(Judge *judge)
{
	SegfsIpc *ipc = judge->view->options.ipc;
	g_autoptr(GPtrArray) all = segfs_scan_held(judge->scan);
	g_autoptr(GHashTable) users = g_hash_table_new(NULL, NULL);
	g_autoptr(GHashTable) directories = g_hash_table_new_full(NULL, NULL, NULL, g_free);
	const Making making = {judge, g_hash_table_new_full(like_hash, like_equal, like_free, NULL),
			       users, directories};
	const SegfsPosix *posix;
	int r;

	for (guint i = 0; (posix = segfs_view_posix(judge->view, i)); i++)
		g_hash_table_replace(directories, GSIZE_TO_POINTER(segfs_posix_dev(posix)),
				     directory_link(posix));
	IPC_SCOPE(ipc, r);

	for (guint i = 0; i < all->len; i++) {
		const SegfsHeld *held = all->pdata[i];
		if (held->id.kind == SEGFS_SYSV && held->id.domain == ipc->inum && r == 0)
			put_segment(&making, held);
		else if (held->id.kind == SEGFS_POSIX)
			put_object(&making, held);
	}
	return making.table;
}

/* Many are judged one by one after one scan. */
static GHashTable *table_of(Judge *judge)
{
	Relatives *relatives = judge->view->relatives;

	if (judge->likeness)
		return judge->likeness;
	g_mutex_lock(&relatives->lock);
	if (relatives->likeness_scan != judge->scan) {
		g_clear_pointer(&relatives->likeness, g_hash_table_unref);
		g_clear_pointer(&relatives->likeness_scan, segfs_scan_unref);
		relatives->likeness = make(judge);
		relatives->likeness_scan = segfs_scan_ref(judge->scan);
	}
	judge->likeness = g_hash_table_ref(relatives->likeness);
	g_mutex_unlock(&relatives->lock);
	return judge->likeness;
}

static bool find(Judge *judge, Like like, uid_t user, int64_t born, SegfsProcess *ret_process)
{
	like.user = user;
	const SegfsProcess *oldest = g_hash_table_lookup(table_of(judge), &like);

	/* A time before the boot is of a clock that was set since: who is older cannot be said. */
	if (!oldest ||
	    (born >= procfs_started_us(0) && procfs_started_us(oldest->start) > born + GRACE_US))
		return false;
	*ret_process = *oldest;
	return true;
}

bool likeness_find(Judge *judge, const SegfsItem *item, int64_t born, SegfsProcess *ret_process,
		   bool *ret_of_creator)
{
	const bool is_segment = item->id.kind == SEGFS_SYSV;

	if (!is_segment && !item->name)
		return false;
	g_autofree char *begin = is_segment ? NULL : beginning(item->name);
	const Like like = {
		.domain = is_segment ? 0 : item->id.domain,
		.owner = is_segment ? item->uid : 0,
		.mode = is_segment ? item->mode : 0,
		.begin = begin,
	};

	*ret_of_creator = false;
	if (find(judge, like, item->uid, born, ret_process))
		return true;
	*ret_of_creator = is_segment && item->sysv.cuid != item->uid;
	return *ret_of_creator && find(judge, like, item->sysv.cuid, born, ret_process);
}
