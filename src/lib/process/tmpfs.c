/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What is mounted of the kernel's memory. A mountinfo names the file systems; on the way to one,
 * any other can be mounted, whose answer might not come: so the way is taken through the kernel's
 * cache, and where that does not have it by another thread, for as long as few of those hang.
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <segfs/tmpfs.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "lib/os/autofd.h"
#include "lib/os/deadline.h"
#include "lib/os/errand.h"
#include "lib/os/escape.h"
#include "lib/os/fd.h"
#include "lib/os/procfs.h"
#include "lib/process/scan.h"

/* Ways that hung are waited for so often in one list. */
#define HANGS_MOST 4

typedef struct {
	char *root, *point;
	dev_t dev;
} Way;

static void way_release(gpointer data)
{
	Way *way = data;

	g_free(way->root);
	g_free(way->point);
	g_free(way);
}

/* A descriptor of what is there now, where that is the tmpfs looked for; else -errno. */
static int take(const Way *way, uint64_t resolve)
{
	autofd root = open(way->root, O_PATH | O_CLOEXEC);
	struct statx stat;

	if (root < 0)
		return -errno;
	autofd at = fd_open_resolved(root, way->point, O_PATH,
				     resolve | RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS);
	if (at < 0 || statx(at, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_INO, &stat) < 0)
		return -errno;
	if (makedev(stat.stx_dev_major, stat.stx_dev_minor) != way->dev || !fd_is_tmpfs(at))
		return -ENOENT;
	return steal_fd(&at);
}

static int way_run(gpointer data)
{
	return take(data, 0);
}

typedef struct {
	GArray *list;
	GHashTable *places; /* dev_t -> its place in list, plus one */
	guint n_hangs;
} Listing;

static void ask(Listing *listing, pid_t pid, Way *taken, SegfsTmpfs *tmpfs)
{
	enum { PATIENCE_MS = 250 };
	struct statfs statfs;
	autofd fd = take(taken, RESOLVE_CACHED);

	if (fd == -EAGAIN && listing->n_hangs < HANGS_MOST) {
		fd = deadline_fetch(pid, PATIENCE_MS, way_run, taken, way_release);
		listing->n_hangs += fd == -ETIMEDOUT;
	} else {
		way_release(taken);
	}
	/* Without a limit (size=0) none of the three is counted. */
	tmpfs->has_used = fd >= 0 && fstatfs(fd, &statfs) == 0 && statfs.f_blocks > 0;
	if (tmpfs->has_used)
		tmpfs->used = (uint64_t)(statfs.f_blocks - statfs.f_bfree) * statfs.f_bsize;
}

/* process: "self" or a number, of which pid is that of a process of another mount namespace. */
static void list_of(Listing *listing, const char *proc_root, const char *process, pid_t pid)
{
	g_autofree char *path = g_build_filename(proc_root, process, "mountinfo", NULL);
	g_autofree char *text = NULL;
	MountinfoLine mount;

	if (!g_file_get_contents(path, &text, NULL, NULL))
		return;
	char *rest = text;
	while (mountinfo_next(&rest, &mount)) {
		const gpointer dev = GSIZE_TO_POINTER(mount.dev);
		if (strcmp(mount.type, "tmpfs") != 0 && strcmp(mount.type, "devtmpfs") != 0)
			continue;
		SegfsTmpfs tmpfs = {.dev = mount.dev, .pid = pid};
		const guint place = GPOINTER_TO_UINT(g_hash_table_lookup(listing->places, dev));
		SegfsTmpfs *known =
			place ? &g_array_index(listing->list, SegfsTmpfs, place - 1) : NULL;
		if (known && known->has_used)
			continue;
		/* Something may be mounted over one of its places; another may do. */
		Way *way = g_new0(Way, 1);
		*way = (Way){
			g_build_filename(proc_root, process, "root", NULL),
			g_strdup(mount.point),
			mount.dev,
		};
		ask(listing, pid, way, known ? known : &tmpfs);
		if (known)
			continue;
		tmpfs.point = escape_text(mount.point, -1);
		g_array_append_val(listing->list, tmpfs);
		g_hash_table_insert(listing->places, dev, GUINT_TO_POINTER(listing->list->len));
	}
}

static void tmpfs_clear(gpointer tmpfs)
{
	g_free(((SegfsTmpfs *)tmpfs)->point);
}

int segfs_tmpfs_list(SegfsScanner *scanner, SegfsSince since, bool everywhere, GArray **ret_tmpfs)
{
	const char *proc_root = scanner_proc_root(scanner);
	g_autoptr(GHashTable) places = g_hash_table_new(NULL, NULL);
	g_autoptr(GHashTable) namespaces = g_hash_table_new(g_int64_hash, g_int64_equal);
	g_autoptr(SegfsScan) scan = NULL;
	g_autoptr(GArray) list = g_array_new(FALSE, FALSE, sizeof(SegfsTmpfs));
	Listing listing = {list, places, 0};

	g_array_set_clear_func(list, tmpfs_clear);
	int r = everywhere ? scanner_processes(scanner, since, &scan) : 0;
	if (r < 0)
		return r;
	list_of(&listing, proc_root, "self", 0);
	for (guint i = 0; scan && i < scan->processes->len; i++) {
		const SegfsProcess *process = scan->processes->pdata[i];
		g_autofree char *number = g_strdup_printf("%d", process->thread);
		if (errand_is_unwanted())
			return -EINTR;
		if (process->mnt_ns && g_hash_table_add(namespaces, (gpointer)&process->mnt_ns))
			list_of(&listing, proc_root, number, process->pid);
	}
	*ret_tmpfs = g_steal_pointer(&list);
	return 0;
}
