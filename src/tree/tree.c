/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tree/tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "segment/autofd.h"
#include "tree/segment.h"

static const FolderEntry root_entries[] = {
	{"README", readme_new, NULL},          {"sysv", sysv_folder_new, NULL},
	{"key", key_folder_new, NULL},         {"posix", posix_folder_new, NULL},
	{"orphans", orphans_folder_new, NULL}, {"unlinked", unlinked_folder_new, NULL},
	{"info", info_folder_new, NULL},       {"segments.json", segments_json_new, NULL},
	{"limits", limits_new, NULL},          {"metrics", metrics_new, NULL},
	{"ns", namespaces_folder_new, NULL}, /* the last: not on every mount */
};

Space *space_ref(Space *space)
{
	g_atomic_ref_count_inc(&space->refs);
	return space;
}

void space_unref(Space *space)
{
	if (!g_atomic_ref_count_dec(&space->refs))
		return;
	g_clear_pointer(&space->view, segfs_view_free);
	g_clear_pointer(&space->ipc, segfs_ipc_free);
	g_clear_pointer(&space->ns, segfs_namespace_unref);
	g_mutex_clear(&space->lock);
	g_free(space);
}

static Space *space_new(Tree *tree)
{
	Space *space = g_new0(Space, 1);

	g_atomic_ref_count_init(&space->refs);
	g_mutex_init(&space->lock);
	space->tree = tree;
	return space;
}

static SegfsOpened opened(int shmid, gpointer space)
{
	return segment_opened(space, shmid);
}

static SegfsView *view_new(Space *space, bool takes_all)
{
	const Tree *tree = space->tree;

	return segfs_view_new(&(SegfsViewOptions){
		.scanner = tree->scanner,
		.ipc = space->ipc,
		.orphan_age = tree->orphan_age,
		.plain = tree->plain,
		.takes_all = takes_all,
		.takes_unknown = !space->ns,
		.opened = opened,
		.data = space,
	});
}

int space_new_of(Tree *tree, uint64_t inum, Space **ret_space)
{
	g_autoptr(Space) space = space_new(tree);

	if (inum == segfs_ipc_inum(tree->space->ipc))
		return -ENOENT;
	int r = segfs_namespace_new(tree->scanner, inum, &space->ns);
	if (r == 0)
		r = segfs_ipc_new_of(&tree->ipc_options, space->ns, &space->ipc);
	if (r < 0)
		return r;
	space->index = 1 + g_atomic_int_add(&tree->n_spaces, 1);
	space->view = view_new(space, false);
	*ret_space = g_steal_pointer(&space);
	return 0;
}

void tree_walk_begins(Tree *tree, const SegfsCaller *caller)
{
	g_mutex_lock(&tree->lock);
	tree->walker = caller->pid;
	tree->walk_from = g_get_monotonic_time();
	g_mutex_unlock(&tree->lock);
}

int64_t space_list_since(Space *space, const SegfsCaller *caller, SpaceList list)
{
	Tree *tree = space->tree;
	const gint64 now = g_get_monotonic_time();
	gint64 since = now;

	g_mutex_lock(&tree->lock);
	if (space->ns && caller->pid > 0 && caller->pid == tree->walker)
		since = MAX(now - G_USEC_PER_SEC, MAX(tree->walk_from, space->listed[list] + 1));
	space->listed[list] = now;
	g_mutex_unlock(&tree->lock);
	return since;
}

int space_find_folder(Space *space, const char *name, guint *ret_index)
{
	const char *number = strchr(name, '.');
	const guint index = number ? strtoul(number + 1, NULL, 10) - 1 : 0;
	g_autofree char *canonical = segfs_posix_folder_name(index);
	int r = 0;

	if (strcmp(canonical, name) != 0)
		return -ENOENT;
	if (!segfs_view_posix(space->view, index))
		r = segfs_view_refresh(space->view, SEGFS_SCAN_NEW);
	if (r < 0)
		return r;
	if (!segfs_view_posix(space->view, index))
		return -ENOENT;
	*ret_index = index;
	return 0;
}

/* Below /proc a name is that of a process, which ends, or of who looks. */
static char *name_for_all(const char *shm_dir, const SegfsPosix *posix)
{
	struct stat usual, used;
	autofd fd = -1;

	if (segfs_posix_open(posix, &fd) == 0 && fstat(fd, &used) == 0 &&
	    stat("/dev/shm", &usual) == 0 && usual.st_dev == used.st_dev &&
	    usual.st_ino == used.st_ino)
		return g_strdup("/dev/shm");
	return g_str_has_prefix(shm_dir, "/proc/") ? NULL : g_strdup(shm_dir);
}

int tree_new(const TreeOptions *options, Tree **ret_tree)
{
	g_autoptr(Tree) tree = g_new0(Tree, 1);

	g_mutex_init(&tree->lock);
	tree->nodes = node_table_new();
	tree->known = g_hash_table_new(NULL, NULL);
	tree->files = g_hash_table_new(NULL, NULL);
	tree->listings = g_hash_table_new(NULL, NULL);
	tree->texts = g_hash_table_new(NULL, NULL);
	tree->started = time(NULL);
	tree->ipc_options = options->ipc;
	tree->orphan_age = options->orphan_age;
	tree->no_namespaces = options->no_namespaces;
	tree->for_others = options->for_others;
	tree->other_ipc = options->other_ipc;
	tree->space = space_new(tree);
	int r = segfs_ipc_new(&options->ipc, &tree->space->ipc);
	if (r < 0)
		return r;
	const char *shm_dir = options->shm_dir ? options->shm_dir : "/dev/shm";
	r = segfs_posix_new(shm_dir, &tree->posix);
	if (r < 0)
		return r;
	tree->shm_dir = name_for_all(shm_dir, tree->posix);
	tree->plain = segfs_posix_dev(tree->posix);
	tree->scanner = segfs_scanner_new(options->ipc.proc_root);
	segfs_scanner_watch(tree->scanner, tree->plain);
	tree->space->view = view_new(tree->space, options->no_namespaces);
	segfs_view_add_posix(tree->space->view, tree->posix);
	r = segfs_posix_new_nameless(&tree->nameless);
	if (r < 0)
		return r;
	tree->root =
		folder_new(tree->space, root_entries,
			   G_N_ELEMENTS(root_entries) - (options->no_namespaces ? 1 : 0), NULL);
	*ret_tree = g_steal_pointer(&tree);
	return 0;
}

void tree_free(Tree *tree)
{
	guint n_files, n_listings, n_known;
	g_autofree gpointer *files = g_hash_table_get_keys_as_array(tree->files, &n_files);
	g_autofree gpointer *listings = g_hash_table_get_keys_as_array(tree->listings, &n_listings);
	g_autofree gpointer *known = g_hash_table_get_keys_as_array(tree->known, &n_known);

	/* What was open, and what the kernel knew, when the mount ended it does not give back one
	 * by one. What was being made through key/ is made now. */
	for (guint i = 0; i < n_files; i++)
		file_free(files[i]);
	for (guint i = 0; i < n_listings; i++)
		listing_free(listings[i]);
	for (guint i = 0; i < n_known; i++)
		node_forget(known[i], UINT64_MAX);
	g_clear_pointer(&tree->root, node_unref);
	g_clear_pointer(&tree->space, space_unref);
	g_clear_pointer(&tree->scanner, segfs_scanner_free);
	g_clear_pointer(&tree->nameless, segfs_posix_free);
	g_clear_pointer(&tree->posix, segfs_posix_free);
	g_free(tree->shm_dir);
	g_hash_table_unref(tree->nodes);
	g_hash_table_unref(tree->known);
	g_hash_table_unref(tree->files);
	g_hash_table_unref(tree->listings);
	g_hash_table_unref(tree->texts);
	g_mutex_clear(&tree->lock);
	g_free(tree);
}
