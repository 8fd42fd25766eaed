/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The directory info/: for each file of sysv/, posix/ and unlinked/ a file of text. Listing the
 * first two examines no process; opening a text does, and the text is of that moment. An IPC
 * namespace has in its info/ one directory for each of its directories of POSIX objects.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/os/autofd.h"
#include "lib/survey/item_name.h"
#include "tree/item.h"
#include "tree/resource/resource.h"
#include "tree/sysv/segment.h"

typedef struct {
	Node node;
	const InfoKind *kind;
	guint index;
} InfoDirectory;

typedef struct {
	TextNode text;
	const InfoKind *kind;
	guint index;
	char *name;
} InfoNode;

static int sysv_names(IpcNs *ns, guint index, const SegfsCaller *caller, GPtrArray **ret_names)
{
	g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
	g_autoptr(GArray) segments = NULL;

	int r = segfs_sysv_list_brief(ns->ipc, &segments);
	for (guint i = 0; r == 0 && i < segments->len; i++) {
		const SegfsSysv *segment = &g_array_index(segments, SegfsSysv, i);
		if (!segment->dest)
			g_ptr_array_add(names, g_strdup_printf("%d", segment->shmid));
	}
	if (r == 0)
		*ret_names = g_steal_pointer(&names);
	return r;
}

static int key_names(IpcNs *ns, guint index, const SegfsCaller *caller, GPtrArray **ret_names)
{
	g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
	g_autoptr(GArray) segments = NULL;

	int r = segfs_sysv_list_brief(ns->ipc, &segments);
	for (guint i = 0; r == 0 && i < segments->len; i++) {
		const SegfsSysv *segment = &g_array_index(segments, SegfsSysv, i);
		if (!segment->dest && segment->key != IPC_PRIVATE)
			g_ptr_array_add(names,
					g_strdup_printf("0x%08x", (unsigned int)segment->key));
	}
	if (r == 0)
		*ret_names = g_steal_pointer(&names);
	return r;
}

static int key_exists(IpcNs *ns, guint index, const SegfsCaller *caller, const char *name)
{
	SegfsSysv segment;

	return segment_find_by_key(ns, name, &segment);
}

static int sysv_exists(IpcNs *ns, guint index, const SegfsCaller *caller, const char *name)
{
	SegfsSysv segment;
	int shmid;
	int r = item_parse_id(name, &shmid);

	if (r == 0)
		r = segfs_sysv_stat(ns->ipc, shmid, &segment);
	return r == 0 && segment.dest ? -ENOENT : r;
}

static int find_segment(IpcNs *ns, int shmid, SegfsItem **ret_item)
{
	g_autoptr(SegfsItem) item = NULL;

	int r = segfs_view_sysv(ns->view, shmid, segfs_since_now(), &item);
	if (r == 0)
		r = segfs_view_read_resident(ns->view, item);
	if (r == 0)
		*ret_item = g_steal_pointer(&item);
	return r;
}

static int sysv_find(IpcNs *ns, guint index, const SegfsCaller *caller, const char *name,
		     SegfsItem **ret_item)
{
	int shmid;
	int r = item_parse_id(name, &shmid);

	return r == 0 ? find_segment(ns, shmid, ret_item) : r;
}

static int key_find(IpcNs *ns, guint index, const SegfsCaller *caller, const char *name,
		    SegfsItem **ret_item)
{
	SegfsSysv segment;
	int r = segment_find_by_key(ns, name, &segment);

	return r == 0 ? find_segment(ns, segment.shmid, ret_item) : r;
}

/* The flat name of a path: what orphans/ calls it, without its kind. */
static char *flat(const char *path, uint64_t number)
{
	const SegfsItem item = {.id = {.kind = SEGFS_POSIX, .number = number},
				.name = (char *)path};
	g_autofree char *name = segfs_item_orphan_name(&item);

	return g_strdup(name + strlen("posix-"));
}

/* A cut name does not hold the whole path, so it is compared with that of each object. */
static int path_by_cut_name(const SegfsPosix *posix, const char *name, char **ret_path)
{
	g_autoptr(GArray) files = NULL;
	g_autoptr(GPtrArray) unread = NULL;

	int r = segfs_posix_list(posix, &files, &unread);
	for (guint i = 0; r == 0 && i < files->len; i++) {
		const SegfsPosixFile *file = &g_array_index(files, SegfsPosixFile, i);
		g_autofree char *its = flat(file->path, file->stat.st_ino);
		if (strcmp(its, name) != 0)
			continue;
		*ret_path = g_strdup(file->path);
		return 0;
	}
	return r < 0 ? r : -ENOENT;
}

/* The path that a flat name stands for. */
static int posix_path(const SegfsPosix *posix, const char *name, char **ret_path)
{
	enum { LONGEST_ESCAPE = 3 };
	g_autofree char *path = item_decode(name);
	g_autofree char *again = path ? flat(path, 0) : NULL;

	if (again && *path && !strcmp(again, name)) {
		*ret_path = g_steal_pointer(&path);
		return 0;
	}
	return strlen("posix-") + strlen(name) > NAME_MAX - LONGEST_ESCAPE
		       ? path_by_cut_name(posix, name, ret_path)
		       : -ENOENT;
}

static int posix_names(IpcNs *ns, guint index, const SegfsCaller *caller, GPtrArray **ret_names)
{
	g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
	g_autoptr(GHashTable) known = segfs_directories_known_new();
	g_autoptr(GArray) files = NULL;
	g_autoptr(GPtrArray) unread = NULL;

	const SegfsPosix *posix = segfs_view_posix(ns->view, index);
	int r = posix ? segfs_posix_list(posix, &files, &unread) : 0;
	for (guint i = 0; r == 0 && files && i < files->len; i++) {
		const SegfsPosixFile *file = &g_array_index(files, SegfsPosixFile, i);
		const SegfsItem item = {.id.kind = SEGFS_POSIX, .posix = posix, .name = file->path};
		if (segfs_item_is_visible(caller, &item, known))
			g_ptr_array_add(names, flat(file->path, file->stat.st_ino));
	}
	/* As in a survey: the file limits names a directory that does not answer. */
	if (r == -ETIMEDOUT)
		r = 0;
	if (r == 0)
		*ret_names = g_steal_pointer(&names);
	return r;
}

static int posix_find_path(IpcNs *ns, guint index, const SegfsCaller *caller, const char *name,
			   char **ret_path)
{
	const SegfsPosix *posix = segfs_view_posix(ns->view, index);
	g_autofree char *path = NULL;
	autofd fd = -1;
	struct stat st;

	if (!posix || posix_path(posix, name, &path) < 0 ||
	    segfs_posix_open_path(posix, caller, path, &fd) < 0 || fstat(fd, &st) < 0 ||
	    !S_ISREG(st.st_mode))
		return -ENOENT;
	*ret_path = g_steal_pointer(&path);
	return 0;
}

static int posix_exists(IpcNs *ns, guint index, const SegfsCaller *caller, const char *name)
{
	g_autofree char *path = NULL;

	return posix_find_path(ns, index, caller, name, &path);
}

static int posix_find_item(IpcNs *ns, guint index, const SegfsCaller *caller, const char *name,
			   SegfsItem **ret_item)
{
	g_autofree char *path = NULL;
	int r = posix_find_path(ns, index, caller, name, &path);

	return r < 0 ? r : segfs_view_object(ns->view, index, path, segfs_since_now(), ret_item);
}

static int unlinked_names(IpcNs *ns, guint index, const SegfsCaller *caller, GPtrArray **ret_names)
{
	g_autoptr(GPtrArray) items = NULL;

	int r = segfs_view_unlinked(ns->view, ipcns_list_since(ns, caller, LIST_INFO), &items);
	if (r < 0)
		return r;
	ipcns_was_listed(ns, LIST_INFO);
	*ret_names = g_ptr_array_new_with_free_func(g_free);
	for (guint i = 0; i < items->len; i++)
		g_ptr_array_add(*ret_names, item_unlinked_name(items->pdata[i]));
	return 0;
}

static int unlinked_exists(IpcNs *ns, guint index, const SegfsCaller *caller, const char *name)
{
	g_autoptr(SegfsItem) item = NULL;

	return item_find_unlinked(ns, name, segfs_since_recent(), &item);
}

static int unlinked_find(IpcNs *ns, guint index, const SegfsCaller *caller, const char *name,
			 SegfsItem **ret_item)
{
	return item_find_unlinked(ns, name, segfs_since_now(), ret_item);
}

static const InfoKind sysv_kind = {sysv_names, sysv_exists, sysv_find, NULL};
static const InfoKind key_kind = {key_names, key_exists, key_find, NULL};
static const InfoKind posix_kind = {posix_names, posix_exists, posix_find_item, NULL};
static const InfoKind unlinked_kind = {unlinked_names, unlinked_exists, unlinked_find, NULL};

/* The key of a segment's text has the shmid in it, that of any other a hash of directory and name.
 */
static NodeKey key_of(const InfoDirectory *directory, const char *name)
{
	const InfoKind *kind = directory->kind;
	/* The number of an IPC namespace can come again, the index never does. */
	const guint ns = directory->node.ns->index;
	g_autoptr(GChecksum) sum = NULL;
	union {
		guint8 digest[32];
		NodeKey key;
	} u;
	gsize size = sizeof(u.digest);
	int shmid;

	if (kind == &sysv_kind && item_parse_id(name, &shmid) == 0)
		return (NodeKey){.a = (uint64_t)ns << 32 | (uint32_t)shmid, .c = 1};
	sum = g_checksum_new(G_CHECKSUM_SHA256);
	g_checksum_update(sum, (const guchar *)&ns, sizeof(ns));
	g_checksum_update(sum, (const guchar *)&kind, sizeof(kind));
	g_checksum_update(sum, (const guchar *)&directory->index, sizeof(directory->index));
	g_checksum_update(sum, (const guchar *)name, -1);
	g_checksum_get_digest(sum, u.digest, &size);
	return u.key;
}

/* Inode numbers of texts are above those of POSIX objects and below those of segments. */
static ino_t ino_of(const NodeKey *key)
{
	return ino_of_kind(key->b == 0 ? INO_INFO_SEGMENT : INO_INFO_NAME, key->a);
}

static int info_getattr(Node *node, bool brief, struct stat *ret_stat)
{
	*ret_stat = (struct stat){
		.st_ino = ino_of(&node->key),
		.st_mode = S_IFREG | 0444,
		.st_nlink = 1,
		.st_size = text_node_size(node),
		.st_uid = geteuid(),
		.st_gid = getegid(),
	};
	ret_stat->st_atime = ret_stat->st_mtime = ret_stat->st_ctime = time(NULL);
	return 0;
}

static int info_access(Node *node, const SegfsCaller *caller, int mask)
{
	return mask & (W_OK | X_OK) ? -EACCES : 0;
}

static int info_open(Node *base, const SegfsCaller *caller, int flags, File **ret_file)
{
	InfoNode *node = (InfoNode *)base;
	g_autoptr(SegfsItem) item = NULL;

	if ((flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC)
		return -EACCES;
	GString *text = g_string_new(NULL);
	int r = node->kind->write
			? node->kind->write(base->ns, node->index, caller, node->name, text)
			: node->kind->find(base->ns, node->index, caller, node->name, &item);
	if (item)
		info_write(base->ns, caller, item, text);
	if (r == 0)
		return text_file_new(&node->text, caller, flags, text, ret_file);
	g_string_free(text, TRUE);
	return r;
}

static void info_free(Node *base)
{
	g_free(((InfoNode *)base)->name);
}

typedef struct {
	const InfoDirectory *directory;
	const char *name;
} Made;

static void init(Node *base, const void *data)
{
	InfoNode *node = (InfoNode *)base;
	const Made *made = data;

	node->kind = made->directory->kind;
	node->index = made->directory->index;
	node->name = g_strdup(made->name);
}

static const NodeOps info_ops = {
	.waits = NODE_EXPENSIVE,
	.size_changes = true,
	.getattr = info_getattr,
	.access = info_access,
	.open = info_open,
	.free = info_free,
	.size = sizeof(InfoNode),
	.init = init,
};

static Node *info_node(const InfoDirectory *directory, const char *name)
{
	const NodeKey key = key_of(directory, name);

	const Made made = {directory, name};
	Node *node = node_intern(directory->node.ns, &info_ops, &key, &made);

	if (!text_node_is_open(node))
		return node;
	node_unref(node);
	node = node_new(directory->node.ns, &info_ops, sizeof(InfoNode));
	init(node, &made);
	node->key = key;
	return node;
}

static int directory_getattr(Node *directory, bool brief, struct stat *ret_stat)
{
	node_static_directory_stat(directory, 0555, ret_stat);
	return 0;
}

static int directory_lookup(Node *base, const SegfsCaller *caller, const char *name,
			    Node **ret_node)
{
	const InfoDirectory *directory = (InfoDirectory *)base;
	int r = directory->kind->exists(base->ns, directory->index, caller, name);

	if (r == 0)
		*ret_node = info_node(directory, name);
	return r;
}

static int look(const Listing *listing, const ListingEntry *entry, Node **ret_node,
		struct stat *ret_stat)
{
	*ret_node = info_node((InfoDirectory *)listing->directory, entry->name);
	return info_getattr(*ret_node, true, ret_stat);
}

static int directory_list(Node *base, const SegfsCaller *caller, Listing **ret_listing)
{
	const InfoDirectory *directory = (InfoDirectory *)base;
	g_autoptr(GPtrArray) names = NULL;
	int r = directory->kind->names(base->ns, directory->index, caller, &names);

	if (r < 0)
		return r;
	Listing *listing = listing_new(base, look, NULL, NULL);
	listing->taken = g_get_monotonic_time();
	for (guint i = 0; i < names->len; i++) {
		const NodeKey key = key_of(directory, names->pdata[i]);
		listing_add(listing, names->pdata[i], ino_of(&key), S_IFREG, NULL);
	}
	*ret_listing = listing;
	return 0;
}

static const NodeOps directory_ops = {
	.looks_as_caller = true,
	.getattr = directory_getattr,
	.lookup = directory_lookup,
	.list = directory_list,
};

/* The kernel shows every segment, set and queue to everybody: no lookup depends on the caller. */
static const NodeOps sysv_directory_ops = {
	.getattr = directory_getattr,
	.lookup = directory_lookup,
	.list = directory_list,
};

/* Only a look at all processes finds memory that has no name. */
static const NodeOps unlinked_directory_ops = {
	.waits = NODE_EXPENSIVE,
	.looks_as_caller = true,
	.getattr = directory_getattr,
	.lookup = directory_lookup,
	.list = directory_list,
};

static Node *kind_directory_new(IpcNs *ns, const void *data)
{
	const NodeOps *ops = data == &posix_kind      ? &directory_ops
			     : data == &unlinked_kind ? &unlinked_directory_ops
						      : &sysv_directory_ops;
	InfoDirectory *directory = node_new_static(ns, ops, sizeof(InfoDirectory));

	directory->kind = data;
	return &directory->node;
}

static const SegfsResourceKind sem = SEGFS_SEM, msg = SEGFS_MSG;

static Node *indexed_new(IpcNs *ns, const InfoKind *kind, guint index)
{
	Node *node = kind_directory_new(ns, kind);

	((InfoDirectory *)node)->index = index;
	return node;
}

static Node *resource_info_new(IpcNs *ns, const void *data)
{
	return indexed_new(ns, &resource_info, *(const SegfsResourceKind *)data);
}

static const DirectoryEntry entries[] = {
	{"sysv", kind_directory_new, &sysv_kind},
	{"key", kind_directory_new, &key_kind},
	{"unlinked", kind_directory_new, &unlinked_kind},
	{"sem", resource_info_new, &sem},
	{"msg", resource_info_new, &msg},
	{"namespace", namespace_info_new, NULL}, /* the last: the mount's own has none */
};

static Node *posix_info_new(IpcNs *ns, guint index)
{
	return indexed_new(ns, &posix_kind, index);
}

Node *info_directory_new(IpcNs *ns, const void *data)
{
	const bool own = !ns->other;

	return directory_new(ns, entries, G_N_ELEMENTS(entries) - (own ? 1 : 0), posix_info_new);
}
