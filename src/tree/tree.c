/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tree/tree.h"
#include "lib/survey/survey.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "lib/os/autofd.h"

static const DirectoryEntry root_entries[] = {
	{"README", readme_new, NULL},
	{"sysv", sysv_directory_new, NULL},
	{"key", key_directory_new, NULL},
	{"posix", posix_directory_new, NULL},
	{"sem", sem_directory_new, NULL},
	{"msg", msg_directory_new, NULL},
	{"orphans", orphans_directory_new, NULL},
	{"unlinked", unlinked_directory_new, NULL},
	{"info", info_directory_new, NULL},
	{"segments.json", segments_json_new, NULL},
	{"limits", limits_new, NULL},
	{"metrics", metrics_new, NULL},
	{"events", events_new, NULL},
	{"events.1", events_new, "1"},
	{"gone", gone_directory_new, NULL},
	{"ns", namespaces_directory_new, NULL}, /* the last: not on every mount */
};

/* A name below /proc is no good to everybody: its process ends, or it is the reader's own. */
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

static const Reach reach = {namespaces_all, caller_may_enter};

int tree_new(const TreeOptions *options, Tree **ret_tree)
{
	g_autoptr(Tree) tree = g_new0(Tree, 1);

	trim_start();
	g_mutex_init(&tree->lock);
	g_mutex_init(&tree->waits_lock);
	tree->nodes = node_table_new();
	tree->known = node_known_new();
	tree->files = g_hash_table_new(NULL, NULL);
	tree->listings = g_hash_table_new(NULL, NULL);
	tree->held = g_hash_table_new(NULL, NULL);
	tree->descriptors = g_hash_table_new(NULL, NULL);
	tree->started = time(NULL);
	tree->orphan_age = options->orphan_age;
	tree->no_ns = options->no_ns;
	tree->reach = &reach;
	tree->for_others = options->for_others;
	tree->other_ipc = options->other_ipc;
	tree->history = options->history;
	tree->ns = ipcns_new(tree);
	const char *shm_dir = options->shm_dir ? options->shm_dir : "/dev/shm";
	const SegfsScopeOptions scope_options = {
		.ipc = options->ipc,
		.shm_dir = shm_dir,
		.orphan_age = options->orphan_age,
		.keep = options->keep,
		.history = options->history,
		.opened = ipcns_opened,
		.data = tree->ns,
	};
	SegfsScope *scope;
	int r = segfs_scope_new(&scope_options, &scope);
	if (r < 0)
		return r;
	ipcns_take(tree->ns, scope);
	tree->scanner = segfs_scope_scanner(scope);
	tree->moments = moments_new((GDestroyNotify)ipcns_unref);
	tree->nameless = segfs_scope_nameless(scope);
	tree->plain = segfs_posix_dev(segfs_scope_posix(scope));
	events_begin_waits(tree);
	if (tree->history)
		segfs_history_watch(tree->history, segfs_scope_posix(scope));
	tree->shm_dir = name_for_all(shm_dir, segfs_scope_posix(scope));
	tree->root = directory_new(tree->ns, root_entries,
				   G_N_ELEMENTS(root_entries) - (options->no_ns ? 1 : 0), NULL);
	if (!tree->root)
		return -EIO; /* the directory was there a moment ago */
	*ret_tree = g_steal_pointer(&tree);
	return 0;
}

void tree_end(Tree *tree)
{
	events_end_waits(tree);
	if (tree->history)
		segfs_history_end(tree->history);
}

void tree_free(Tree *tree)
{
	guint n_files, n_listings;
	g_autofree gpointer *files = g_hash_table_get_keys_as_array(tree->files, &n_files);
	g_autofree gpointer *listings = g_hash_table_get_keys_as_array(tree->listings, &n_listings);
	g_autoptr(GList) known = g_hash_table_get_keys(tree->known);

	tree_end(tree);
	/* The kernel does not close each file, nor forget each node, when a mount ends. A pending
	 * segment is made by this close. */
	for (guint i = 0; i < n_files; i++)
		file_unref(files[i]);
	for (guint i = 0; i < n_listings; i++)
		listing_unref(listings[i]);
	for (GList *at = known; at; at = at->next)
		node_forget(at->data, UINT64_MAX);
	g_clear_pointer(&tree->root, node_unref);
	g_clear_pointer(&tree->ns, ipcns_unref);
	g_clear_pointer(&tree->history, segfs_history_free);
	g_free(tree->shm_dir);
	g_hash_table_unref(tree->nodes);
	g_hash_table_unref(tree->known);
	g_hash_table_unref(tree->files);
	g_hash_table_unref(tree->listings);
	g_hash_table_unref(tree->held);
	g_hash_table_unref(tree->descriptors);
	g_clear_pointer(&tree->moments, moments_free);
	g_mutex_clear(&tree->lock);
	g_mutex_clear(&tree->waits_lock);
	g_free(tree);
	trim_stop();
}

/* What stands for a number that is nobody's. */
#define GONE(verb, ...)                                                                            \
	static int gone_##verb(Node *node, __VA_ARGS__)                                            \
	{                                                                                          \
		return -ESTALE;                                                                    \
	}
GONE(getattr, bool brief, struct stat *ret_stat)
GONE(access, const SegfsCaller *caller, int mask)
GONE(setattr, const SegfsCaller *caller, File *file, const NodeChange *change)
GONE(readlink, const SegfsCaller *caller, char **ret_target)
GONE(open, const SegfsCaller *caller, int flags, File **ret_file)
GONE(statfs, struct statvfs *ret_stat)
GONE(get_xattr, const SegfsCaller *caller, const char *name, GBytes **ret_value)
GONE(list_xattr, const SegfsCaller *caller, GBytes **ret_names)
GONE(set_xattr, const SegfsCaller *caller, const char *name, const void *bytes, size_t size,
     int flags)
GONE(lookup, const SegfsCaller *caller, const char *name, Node **ret_node)
GONE(list, const SegfsCaller *caller, Listing **ret_listing)
GONE(create, const SegfsCaller *caller, const char *name, int flags, mode_t mode, Node **ret_node,
     File **ret_file)
GONE(make, const SegfsCaller *caller, const char *name, mode_t mode, dev_t device,
     const char *target, Node **ret_node)
GONE(make_nameless, const SegfsCaller *caller, int flags, mode_t mode, Node **ret_node,
     File **ret_file)
GONE(link, const SegfsCaller *caller, const char *name, Node *target)
GONE(remove, const SegfsCaller *caller, const char *name, bool is_directory)
GONE(rename, const SegfsCaller *caller, const char *name, Node *to_directory, const char *to_name,
     unsigned int flags)

Node *node_gone(Tree *tree)
{
	static const NodeOps ops = {
		.getattr = gone_getattr,
		.access = gone_access,
		.setattr = gone_setattr,
		.readlink = gone_readlink,
		.open = gone_open,
		.statfs = gone_statfs,
		.get_xattr = gone_get_xattr,
		.list_xattr = gone_list_xattr,
		.set_xattr = gone_set_xattr,
		.lookup = gone_lookup,
		.list = gone_list,
		.create = gone_create,
		.make = gone_make,
		.make_nameless = gone_make_nameless,
		.link = gone_link,
		.remove = gone_remove,
		.rename = gone_rename,
	};

	return node_new(tree->ns, &ops, sizeof(Node));
}
