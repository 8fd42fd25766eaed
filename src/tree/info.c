/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The folder info/: for each file of sysv/, posix/ and unlinked/ one of text. Listing them
 * examines no process; opening one does, and its text is of that moment. In a namespace
 * there is one for each of its folders of POSIX objects.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "segment/autofd.h"
#include "tree/item.h"
#include "tree/segment.h"

/* What one of the folders in info/ is of; of POSIX objects those of folder index. */
typedef struct {
	/* The names of its files, to be freed. */
	int (*names)(Space *space, guint index, const SegfsCaller *caller, GPtrArray **ret_names);
	/* Is there a file of this name? */
	int (*exists)(Space *space, guint index, const SegfsCaller *caller, const char *name);
	int (*find)(Space *space, guint index, const SegfsCaller *caller, const char *name,
		    SegfsItem **ret_item);
} InfoKind;

typedef struct {
	Node node;
	const InfoKind *kind;
	guint index;
} InfoFolder;

typedef struct {
	Node node;
	const InfoKind *kind;
	guint index;
	char *name;
} InfoNode;

typedef struct {
	Listing listing;
	GPtrArray *names;
} InfoListing;

static int sysv_names(Space *space, guint index, const SegfsCaller *caller, GPtrArray **ret_names)
{
	g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
	g_autoptr(GArray) segments = NULL;

	int r = segfs_sysv_list_brief(space->ipc, &segments);
	for (guint i = 0; r == 0 && i < segments->len; i++) {
		const SegfsSysv *segment = &g_array_index(segments, SegfsSysv, i);
		if (!segment->dest)
			g_ptr_array_add(names, g_strdup_printf("%d", segment->shmid));
	}
	if (r == 0)
		*ret_names = g_steal_pointer(&names);
	return r;
}

static int sysv_exists(Space *space, guint index, const SegfsCaller *caller, const char *name)
{
	SegfsSysv segment;
	int shmid;
	int r = segment_parse_id(name, &shmid);

	if (r == 0)
		r = segfs_sysv_stat(space->ipc, shmid, &segment);
	return r == 0 && segment.dest ? -ENOENT : r;
}

static int sysv_find(Space *space, guint index, const SegfsCaller *caller, const char *name,
		     SegfsItem **ret_item)
{
	int shmid;
	int r = segment_parse_id(name, &shmid);

	return r < 0 ? r : segfs_view_sysv(space->view, shmid, SEGFS_SCAN_NEW, ret_item);
}

/* The flat name of a path: what orphans/ calls it, without its kind. */
static char *flat(const char *path)
{
	const SegfsItem item = {.id.kind = SEGFS_POSIX, .name = (char *)path};
	g_autofree char *name = segfs_item_orphan_name(&item);

	return g_strdup(name + strlen("posix-"));
}

static int posix_names(Space *space, guint index, const SegfsCaller *caller, GPtrArray **ret_names)
{
	g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
	g_autoptr(GHashTable) known = segfs_folders_known_new();
	g_autoptr(GArray) files = NULL;
	guint unread;

	const SegfsPosix *posix = segfs_view_posix(space->view, index);
	int r = posix ? segfs_posix_list(posix, &files, &unread) : 0;
	for (guint i = 0; r == 0 && files && i < files->len; i++) {
		char *path = g_array_index(files, SegfsPosixFile, i).path;
		const SegfsItem item = {.id.kind = SEGFS_POSIX, .posix = posix, .name = path};
		if (segfs_item_is_visible(caller, &item, known))
			g_ptr_array_add(names, flat(path));
	}
	if (r == 0)
		*ret_names = g_steal_pointer(&names);
	return r;
}

static int posix_exists(Space *space, guint index, const SegfsCaller *caller, const char *name)
{
	g_autofree char *path = item_decode(name);
	g_autofree char *again = path ? flat(path) : NULL;
	autofd fd = -1;
	struct stat st;

	const SegfsPosix *posix = segfs_view_posix(space->view, index);
	if (!posix || !path || !*path || strcmp(again, name) != 0)
		return -ENOENT;
	return segfs_posix_open_path(posix, caller, path, &fd) < 0 || fstat(fd, &st) < 0 ||
			       !S_ISREG(st.st_mode)
		       ? -ENOENT
		       : 0;
}

static int posix_find_item(Space *space, guint index, const SegfsCaller *caller, const char *name,
			   SegfsItem **ret_item)
{
	g_autofree char *path = item_decode(name);
	int r = posix_exists(space, index, caller, name);

	return r < 0 ? r : segfs_view_object(space->view, index, path, SEGFS_SCAN_NEW, ret_item);
}

static int unlinked_names(Space *space, guint index, const SegfsCaller *caller,
			  GPtrArray **ret_names)
{
	g_autoptr(GPtrArray) items = NULL;

	int r = segfs_view_unlinked(space->view, space_list_since(space, caller, LIST_INFO),
				    &items);
	if (r < 0)
		return r;
	*ret_names = g_ptr_array_new_with_free_func(g_free);
	for (guint i = 0; i < items->len; i++)
		g_ptr_array_add(*ret_names, item_unlinked_name(items->pdata[i]));
	return 0;
}

static int unlinked_exists(Space *space, guint index, const SegfsCaller *caller, const char *name)
{
	g_autoptr(SegfsItem) item = NULL;

	return item_find_unlinked(space, name, SEGFS_SCAN_RECENT, &item);
}

static int unlinked_find(Space *space, guint index, const SegfsCaller *caller, const char *name,
			 SegfsItem **ret_item)
{
	return item_find_unlinked(space, name, SEGFS_SCAN_NEW, ret_item);
}

static const InfoKind sysv_kind = {sysv_names, sysv_exists, sysv_find};
static const InfoKind posix_kind = {posix_names, posix_exists, posix_find_item};
static const InfoKind unlinked_kind = {unlinked_names, unlinked_exists, unlinked_find};

/* A file has no number of its own: but for segments' it is known by its folder and name. */
static NodeKey key_of(const InfoFolder *folder, const char *name)
{
	const InfoKind *kind = folder->kind;
	/* Not its number, which can be another's by now. */
	const guint space = folder->node.space->index;
	g_autoptr(GChecksum) sum = NULL;
	union {
		guint8 digest[32];
		NodeKey key;
	} u;
	gsize size = sizeof(u.digest);
	int shmid;

	if (kind == &sysv_kind && segment_parse_id(name, &shmid) == 0)
		return (NodeKey){.a = (uint64_t)space << 32 | (uint32_t)shmid, .c = 1};
	sum = g_checksum_new(G_CHECKSUM_SHA256);
	g_checksum_update(sum, (const guchar *)&space, sizeof(space));
	g_checksum_update(sum, (const guchar *)&kind, sizeof(kind));
	g_checksum_update(sum, (const guchar *)&folder->index, sizeof(folder->index));
	g_checksum_update(sum, (const guchar *)name, -1);
	g_checksum_get_digest(sum, u.digest, &size);
	return u.key;
}

/* Above those of POSIX objects, below those of segments. */
static ino_t ino_of(const NodeKey *key)
{
	enum { OF_SEGMENT = 0xa, OF_NAME = 0xb, KIND_SHIFT = 60 };
	const uint64_t kind = key->b == 0 ? OF_SEGMENT : OF_NAME;

	return kind << KIND_SHIFT | (key->a & ((1ULL << KIND_SHIFT) - 1));
}

static int info_getattr(Node *node, bool brief, struct stat *ret_stat)
{
	*ret_stat = (struct stat){
		.st_ino = ino_of(&node->key),
		.st_mode = S_IFREG | 0444,
		.st_nlink = 1,
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
	const InfoNode *node = (InfoNode *)base;
	g_autoptr(SegfsItem) item = NULL;

	if ((flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC)
		return -EACCES;
	int r = node->kind->find(base->space, node->index, caller, node->name, &item);
	if (r < 0)
		return r;
	GString *text = g_string_new(NULL);
	info_write(base->space, caller, item, text);
	return text_file_new(base, caller, flags, text, ret_file);
}

static void info_free(Node *base)
{
	g_free(((InfoNode *)base)->name);
}

static const NodeOps info_ops = {
	.is_dear = true,
	.getattr = info_getattr,
	.access = info_access,
	.open = info_open,
	.free = info_free,
};

typedef struct {
	const InfoFolder *folder;
	const char *name;
} Made;

static Node *make(Space *space, const void *data)
{
	InfoNode *node = node_new(space, &info_ops, sizeof(InfoNode));
	const Made *made = data;

	node->kind = made->folder->kind;
	node->index = made->folder->index;
	node->name = g_strdup(made->name);
	return &node->node;
}

static int folder_getattr(Node *folder, bool brief, struct stat *ret_stat)
{
	node_static_folder_stat(folder, 0555, ret_stat);
	return 0;
}

static int folder_lookup(Node *base, const SegfsCaller *caller, const char *name, Node **ret_node)
{
	const InfoFolder *folder = (InfoFolder *)base;
	const Made made = {folder, name};
	const NodeKey key = key_of(folder, name);

	int r = folder->kind->exists(base->space, folder->index, caller, name);
	if (r == 0)
		*ret_node = node_intern(base->space, &info_ops, &key, make, &made);
	return r;
}

static void listing_entry(Listing *base, guint index, ListingEntry *ret_entry)
{
	const char *name = ((InfoListing *)base)->names->pdata[index];
	const InfoFolder *folder = (InfoFolder *)base->folder;
	const NodeKey key = key_of(folder, name);

	g_strlcpy(ret_entry->name, name, sizeof(ret_entry->name));
	ret_entry->ino = ino_of(&key);
	ret_entry->type = S_IFREG;
}

static int listing_look(Listing *base, guint index, Node **ret_node, struct stat *ret_stat)
{
	const InfoFolder *folder = (InfoFolder *)base->folder;
	const Made made = {folder, ((InfoListing *)base)->names->pdata[index]};
	const NodeKey key = key_of(folder, made.name);

	*ret_node = node_intern(base->folder->space, &info_ops, &key, make, &made);
	return info_getattr(*ret_node, true, ret_stat);
}

static void listing_close(Listing *base)
{
	g_ptr_array_unref(((InfoListing *)base)->names);
}

static const ListingOps listing_ops = {
	.entry = listing_entry,
	.look = listing_look,
	.free = listing_close,
};

static int folder_list(Node *base, const SegfsCaller *caller, Listing **ret_listing)
{
	GPtrArray *names;
	const InfoFolder *folder = (InfoFolder *)base;
	int r = folder->kind->names(base->space, folder->index, caller, &names);

	if (r < 0)
		return r;
	InfoListing *listing = listing_new(base, &listing_ops, sizeof(InfoListing));
	listing->names = names;
	listing->listing.n_entries = names->len;
	listing->listing.taken = g_get_monotonic_time();
	*ret_listing = &listing->listing;
	return 0;
}

static const NodeOps folder_ops = {
	.looks_as_caller = true,
	.getattr = folder_getattr,
	.lookup = folder_lookup,
	.list = folder_list,
};

/* Segments are everybody's to see. */
static const NodeOps sysv_folder_ops = {
	.getattr = folder_getattr,
	.lookup = folder_lookup,
	.list = folder_list,
};

/* There is no list of them but what a look at all processes finds. */
static const NodeOps unlinked_folder_ops = {
	.is_dear = true,
	.looks_as_caller = true,
	.getattr = folder_getattr,
	.lookup = folder_lookup,
	.list = folder_list,
};

static Node *kind_folder_new(Space *space, const void *data)
{
	const NodeOps *ops = data == &sysv_kind       ? &sysv_folder_ops
			     : data == &unlinked_kind ? &unlinked_folder_ops
						      : &folder_ops;
	InfoFolder *folder = node_new_static(space, ops, sizeof(InfoFolder));

	folder->kind = data;
	return &folder->node;
}

static const FolderEntry entries[] = {
	{"sysv", kind_folder_new, &sysv_kind},
	{"unlinked", kind_folder_new, &unlinked_kind},
	{"namespace", namespace_info_new, NULL}, /* the last: of our own there is none */
};

static Node *posix_info_new(Space *space, guint index)
{
	Node *node = kind_folder_new(space, &posix_kind);

	((InfoFolder *)node)->index = index;
	return node;
}

Node *info_folder_new(Space *space, const void *data)
{
	const bool own = !space->ns;

	return folder_new(space, entries, G_N_ELEMENTS(entries) - (own ? 1 : 0), posix_info_new);
}
