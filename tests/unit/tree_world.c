/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tree_world.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const SegfsCaller stranger = {.uid = UNIT_UID + 1, .gid = UNIT_GID + 1};

void world_start_with(World *ret_world, TreeOptions options)
{
	*ret_world = (World){.shm = tree_make("/dev/shm")};
	segfs_caller_self(&ret_world->self);
	options.shm_dir = ret_world->shm;
	g_assert_cmpint(tree_new(&options, &ret_world->tree), ==, 0);
}

void world_start(World *ret_world)
{
	/* What main() sets: only root may enter other namespaces. */
	world_start_with(ret_world, (TreeOptions){.no_ns = geteuid() != 0 ? "-" : NULL});
}

void world_clear(World *world)
{
	g_clear_pointer(&world->tree, tree_free);
	segfs_caller_clear(&world->self);
	tree_remove(&world->shm);
}

int world_lookup(World *world, const SegfsCaller *caller, const char *path, Node **ret_node)
{
	g_auto(GStrv) names = g_strsplit(path, "/", -1);
	g_autoptr(Node) node = node_ref(world->tree->root);

	for (char **name = names; *name; name++) {
		Node *found = NULL;
		if (!**name)
			continue;
		int r = node->ops->lookup ? node->ops->lookup(node, caller, *name, &found)
					  : -ENOTDIR;
		if (r < 0) {
			g_assert_null(found);
			return r;
		}
		node_unref(node);
		node = found;
	}
	*ret_node = g_steal_pointer(&node);
	return 0;
}

Node *world_node(World *world, const char *path)
{
	Node *node = NULL;
	int r = world_lookup(world, &world->self, path, &node);

	if (r < 0)
		g_error("%s: %s", path, g_strerror(-r));
	return node;
}

Node *world_node_of(World *world, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	g_autofree char *path = g_strdup_vprintf(format, arguments);
	va_end(arguments);
	return world_node(world, path);
}

void assert_missing(World *world, const char *path)
{
	Node *node = NULL;

	g_assert_cmpint(world_lookup(world, &world->self, path, &node), ==, -ENOENT);
}

struct stat node_stat(Node *node)
{
	struct stat st;

	g_assert_cmpint(node->ops->getattr(node, false, &st), ==, 0);
	return st;
}

static int change(Node *node, const SegfsCaller *caller, File *file, NodeChange changes)
{
	return node->ops->setattr(node, caller, file, &changes);
}

int node_truncate(Node *node, const SegfsCaller *caller, File *file, uint64_t size)
{
	return change(node, caller, file,
		      (NodeChange){.has_size = true, .size = size, .uid = -1, .gid = -1});
}

int node_chmod(Node *node, const SegfsCaller *caller, mode_t mode)
{
	return change(node, caller, NULL,
		      (NodeChange){.has_mode = true, .mode = mode, .uid = -1, .gid = -1});
}

int node_chown(Node *node, const SegfsCaller *caller, uid_t uid, gid_t gid)
{
	return change(node, caller, NULL, (NodeChange){.has_owner = true, .uid = uid, .gid = gid});
}

File *node_open(Node *node, const SegfsCaller *caller, int flags)
{
	File *file = NULL;

	g_assert_cmpint(node->ops->open(node, caller, flags, &file), ==, 0);
	g_assert_cmpint(file->flags, ==, flags);
	return file;
}

void assert_open(Node *node, const SegfsCaller *caller, int flags, int error)
{
	File *file = NULL;

	g_assert_cmpint(node->ops->open(node, caller, flags, &file), ==, error);
	g_assert_null(file);
}

char *file_bytes(File *file, size_t size, off_t offset)
{
	FileSpan span;

	g_assert_cmpint(file->ops->read(file, size, offset, &span), ==, 0);
	g_assert_cmpuint(span.size, <=, size);
	char *bytes = g_malloc0(size + 1);
	if (span.fd >= 0)
		g_assert_cmpint(pread(span.fd, bytes, span.size, span.offset), >=, 0);
	else if (span.size > 0)
		memcpy(bytes, span.bytes, span.size);
	g_clear_pointer(&span.keep, g_bytes_unref);
	return bytes;
}

ssize_t file_write(File *file, const SegfsCaller *caller, const char *text, off_t offset)
{
	return file->ops->write(file, caller, text, strlen(text), offset);
}

char *node_text(Node *node, const SegfsCaller *caller)
{
	enum { PIECE = 1000 };
	g_autoptr(File) file = node_open(node, caller, O_RDONLY);
	g_autoptr(GString) text = g_string_new(NULL);

	for (gsize before = 1; text->len != before;) {
		g_autofree char *piece = file_bytes(file, PIECE, text->len);
		before = text->len;
		g_string_append(text, piece);
	}
	return g_strdup(text->str);
}

char *world_text(World *world, const char *path)
{
	g_autoptr(Node) node = world_node(world, path);

	return node_text(node, &world->self);
}

char *text_value(const char *text, const char *key)
{
	g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
	g_autofree char *prefix = g_strconcat(key, ":\t", NULL);

	for (char **line = lines; *line; line++) {
		if (g_str_has_prefix(*line, prefix))
			return g_strdup(*line + strlen(prefix));
	}
	return NULL;
}

/* Numbers and kinds never differ between the two; the rest may have changed in between. */
static void assert_same_found(Node *directory, const SegfsCaller *caller, const char *name,
			      Node *listed, const struct stat *st)
{
	g_autoptr(Node) found = NULL;

	if (directory->ops->lookup(directory, caller, name, &found) < 0)
		return;
	/* Of namespaces of others one can have ended since, and another have got its number. */
	const NodeKey none = {};
	if (!memcmp(&listed->key, &none, sizeof(none)))
		return;
	/* In unlinked/ the third part is of the memory's handle, which goes with its last holder.
	 */
	g_assert_true(found == listed ||
		      (found->key.a == listed->key.a && found->key.b == listed->key.b));
	struct stat now;
	if (found->ops->getattr(found, false, &now) < 0)
		return;
	g_assert_cmpuint(st->st_ino, ==, now.st_ino);
	g_assert_cmpuint(st->st_mode & S_IFMT, ==, now.st_mode & S_IFMT);
}

static int compare(gconstpointer a, gconstpointer b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

char *world_list(World *world, const SegfsCaller *caller, const char *path)
{
	g_autoptr(Node) directory = world_node(world, path);
	g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
	g_autoptr(Listing) listing = NULL;

	g_assert_cmpint(directory->ops->list(directory, caller, &listing), ==, 0);
	g_assert_true(listing->directory == directory);
	off_t next;
	const ListingEntry *entry;
	for (off_t at = LISTING_FIRST; listing_next(listing, at, &entry, &next) > 0; at = next) {
		g_autoptr(Node) node = NULL;
		struct stat st;
		g_ptr_array_add(names, g_strdup(entry->name));
		if (listing->look(listing, entry, &node, &st) < 0)
			continue;
		g_assert_cmpuint(entry->ino, ==, st.st_ino);
		g_assert_cmpuint(entry->type, ==, st.st_mode & S_IFMT);
		assert_same_found(directory, caller, entry->name, node, &st);
	}
	g_ptr_array_sort(names, compare);
	GString *text = g_string_new(NULL);
	for (guint i = 0; i < names->len; i++)
		g_string_append_printf(text, "%s ", (char *)names->pdata[i]);
	return g_string_free(text, FALSE);
}

const ListingEntry *listing_first(Listing *listing)
{
	const ListingEntry *entry = NULL;
	off_t next;

	g_assert_cmpint(listing_next(listing, LISTING_FIRST, &entry, &next), ==, 1);
	return entry;
}

/* Another mount of the host that looks at the same holds it for a moment: then it is in use. */
void assert_listed(World *world, const char *path, const char *name, bool is_listed)
{
	const gint64 end = g_get_monotonic_time() + 10 * G_USEC_PER_SEC;

	for (;;) {
		g_autofree char *names = world_list(world, &world->self, path);
		g_auto(GStrv) each = g_strsplit(names, " ", -1);
		if (g_strv_contains((const char *const *)each, name) == is_listed)
			return;
		if (!is_listed || g_get_monotonic_time() > end)
			g_error("%s: %s is%s in: %s", path, name, is_listed ? " not" : "", names);
		g_usleep(10000);
	}
}

char *node_xattr(Node *node, const SegfsCaller *caller, const char *name, int *ret_error)
{
	g_autoptr(GBytes) value = NULL;
	gsize length;

	*ret_error = node->ops->get_xattr(node, caller, name, &value);
	if (*ret_error < 0) {
		g_assert_null(value);
		return NULL;
	}
	const char *bytes = g_bytes_get_data(value, &length);
	return g_strndup(bytes ? bytes : "", length);
}

void assert_xattr(Node *node, const SegfsCaller *caller, const char *name, const char *value)
{
	int r;
	g_autofree char *found = node_xattr(node, caller, name, &r);

	g_assert_cmpint(r, ==, 0);
	g_assert_cmpstr(found, ==, value);
}

bool node_has_xattr(Node *node, const SegfsCaller *caller, const char *name)
{
	g_autoptr(GBytes) names = NULL;
	gsize length;

	g_assert_cmpint(node->ops->list_xattr(node, caller, &names), ==, 0);
	const char *at = g_bytes_get_data(names, &length), *end = at + length;
	for (; at < end; at += strlen(at) + 1) {
		if (!strcmp(at, name))
			return true;
	}
	return false;
}
