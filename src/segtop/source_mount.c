/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a mount of segfs shows to us: its segments.json, and stat(2) of its files in between. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <json-glib/json-glib.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/os/autofd.h"
#include "segtop/source.h"

#define REPORT "segments.json"
#define DEEPEST 64 /* directories of objects, as the mount looks into them */

typedef struct {
	Source base;
	int fd;               /* the mount's top */
	GHashTable *prefixes; /* a set: "" and "ns/4026532188/" of the last survey */
} MountSource;

/* What was read of it so far is in text where it fails. */
static int read_file(int directory, const char *name, GString *text)
{
	autofd fd = openat(directory, name, O_RDONLY | O_CLOEXEC);
	char some[65536];
	ssize_t n = fd;

	while (fd >= 0 && (n = read(fd, some, sizeof(some))) > 0)
		g_string_append_len(text, some, n);
	return n < 0 ? -errno : 0;
}

static const char *string_of(JsonObject *object, const char *name)
{
	return json_object_get_string_member_with_default(object, name, NULL);
}

static int64_t number_of(JsonObject *object, const char *name)
{
	return json_object_get_int_member_with_default(object, name, 0);
}

static bool is_true(JsonObject *object, const char *name)
{
	return json_object_get_boolean_member_with_default(object, name, FALSE);
}

/* What an array member has, an empty array where there is none. */
static JsonArray *array_of(JsonObject *object, const char *name)
{
	JsonNode *node = json_object_get_member(object, name);

	return node && JSON_NODE_HOLDS_ARRAY(node) ? json_array_ref(json_node_get_array(node))
						   : json_array_new();
}

/* As segfs_container_text() says it. To be freed. */
static char *container_text(JsonObject *object)
{
	const char *pod = string_of(object, "pod"), *name = string_of(object, "container");
	GString *text = g_string_new(NULL);

	if (pod)
		g_string_append_printf(text, "pod %s, ", pod);
	g_string_append_printf(text, "%s %s", string_of(object, "runtime"),
			       name ? name : string_of(object, "id"));
	return g_string_free(text, FALSE);
}

/* Adds id -> text, and namespace -> text of its first one, to containers. */
static void add_containers(JsonObject *ns, GHashTable *containers)
{
	g_autoptr(JsonArray) all = array_of(ns, "containers");

	for (guint i = 0; i < json_array_get_length(all); i++) {
		JsonObject *container = json_array_get_object_element(all, i);
		const char *id = string_of(container, "id");
		if (i == 0)
			g_hash_table_insert(containers,
					    g_strdup_printf("%" PRId64, number_of(ns, "ipc")),
					    container_text(container));
		if (id)
			g_hash_table_insert(containers, g_strdup(id), container_text(container));
	}
}

static char *container_of(JsonObject *segment, JsonArray *holders, GHashTable *containers)
{
	for (guint i = 0; i < json_array_get_length(holders); i++) {
		g_auto(SegfsContainer) container = {};
		const char *cgroup = string_of(json_array_get_object_element(holders, i), "cgroup");
		if (!cgroup || !segfs_container_of_cgroup(cgroup, &container))
			continue;
		const char *text = g_hash_table_lookup(containers, container.id);
		return text ? g_strdup(text) : segfs_container_text(&container);
	}
	g_autofree char *ns = g_strdup_printf("%" PRId64, number_of(segment, "namespace"));
	return g_strdup(g_hash_table_lookup(containers, ns));
}

static SegfsVerdict verdict_of(const char *name)
{
	for (SegfsVerdict verdict = SEGFS_IN_USE; verdict < SEGFS_UNKNOWN; verdict++)
		if (g_strcmp0(name, segfs_verdict_name(verdict)) == 0)
			return verdict;
	return SEGFS_UNKNOWN;
}

static SegfsKind kind_of(const char *name)
{
	for (SegfsKind kind = SEGFS_SYSV; kind < SEGFS_ANON; kind++)
		if (g_strcmp0(name, segfs_kind_name(kind)) == 0)
			return kind;
	return SEGFS_ANON;
}

/* NULL: it has no file. */
static Piece *piece_of_object(JsonObject *segment, GHashTable *containers)
{
	const char *file = string_of(segment, "file"), *bytes = string_of(segment, "file_bytes");
	g_autoptr(JsonArray) holders = array_of(segment, "holders");
	g_autoptr(Piece) piece = g_new0(Piece, 1);

	piece->file = bytes ? g_uri_unescape_string(bytes, NULL) : g_strdup(file);
	if (!piece->file)
		return NULL;
	piece->kind = kind_of(string_of(segment, "kind"));
	piece->unlinked = is_true(segment, "unlinked");
	piece->is_huge = is_true(segment, "huge_pages");
	piece->size = number_of(segment, "size");
	piece->has_resident = !json_object_get_null_member(segment, "resident");
	piece->resident = piece->has_resident ? number_of(segment, "resident") : 0;
	piece->nattch = number_of(segment, "nattch");
	piece->used = MAX(MAX(number_of(segment, "atime"), number_of(segment, "ctime")),
			  MAX(number_of(segment, "mtime"), number_of(segment, "dtime")));
	piece->uid = number_of(segment, "uid");
	piece->is_judged = true;
	piece->verdict = verdict_of(string_of(segment, "verdict"));
	piece->n_holders = json_array_get_length(holders) + number_of(segment, "holders_hidden");
	piece->container = container_of(segment, holders, containers);
	piece->creator = g_strdup(string_of(segment, "creator"));
	return g_steal_pointer(&piece);
}

static int mount_survey(Source *source, GPtrArray **ret_pieces, guint *ret_unexamined)
{
	MountSource *self = (MountSource *)source;
	g_autoptr(GString) text = g_string_new(NULL);
	g_autoptr(JsonParser) parser = json_parser_new_immutable();
	g_autoptr(GHashTable) containers =
		g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	g_autoptr(GPtrArray) pieces = g_ptr_array_new_with_free_func((GDestroyNotify)piece_free);

	int r = read_file(self->fd, REPORT, text);
	if (r < 0)
		return r;
	JsonNode *root = json_parser_load_from_data(parser, text->str, text->len, NULL)
				 ? json_parser_get_root(parser)
				 : NULL;
	if (!root || !JSON_NODE_HOLDS_OBJECT(root))
		return -EBADMSG;
	JsonObject *report = json_node_get_object(root);
	g_autoptr(JsonArray) namespaces = array_of(report, "namespaces");
	g_autoptr(JsonArray) segments = array_of(report, "segments");
	g_hash_table_remove_all(self->prefixes);
	for (guint i = 0; i < json_array_get_length(namespaces); i++) {
		JsonObject *ns = json_array_get_object_element(namespaces, i);
		add_containers(ns, containers);
		g_hash_table_add(self->prefixes,
				 i == 0 ? g_strdup("")
					: g_strdup_printf("ns/%" PRId64 "/", number_of(ns, "ipc")));
	}
	for (guint i = 0; i < json_array_get_length(segments); i++) {
		Piece *piece =
			piece_of_object(json_array_get_object_element(segments, i), containers);
		if (piece)
			g_ptr_array_add(pieces, piece);
	}
	*ret_unexamined = number_of(report, "unexamined");
	*ret_pieces = g_steal_pointer(&pieces);
	return 0;
}

static Piece *piece_of_stat(const char *file, SegfsKind kind, const struct stat *st)
{
	Piece *piece = g_new0(Piece, 1);

	*piece = (Piece){
		.file = g_strdup(file),
		.kind = kind,
		.size = st->st_size,
		.resident = (uint64_t)st->st_blocks * 512,
		.has_resident = true,
		.nattch = kind == SEGFS_SYSV && st->st_nlink > 0 ? st->st_nlink - 1 : 0,
		.used = MAX(st->st_atime, MAX(st->st_mtime, st->st_ctime)),
		.uid = st->st_uid,
	};
	return piece;
}

/* What is in a directory and below, as far as we may look; symbolic links are not followed. */
static void glance_directory(int top, const char *path, SegfsKind kind, guint depth,
			     GPtrArray *pieces)
{
	const int fd = openat(top, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *directory = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;

	if (!directory) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((entry = readdir(directory))) {
		struct stat st;
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
		    fstatat(dirfd(directory), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		g_autofree char *file = g_strdup_printf("%s/%s", path, entry->d_name);
		if (S_ISREG(st.st_mode))
			g_ptr_array_add(pieces, piece_of_stat(file, kind, &st));
		else if (S_ISDIR(st.st_mode) && kind == SEGFS_POSIX && depth < DEEPEST)
			glance_directory(top, file, kind, depth + 1, pieces);
	}
	closedir(directory);
}

static int mount_glance(Source *source, GPtrArray **ret_pieces)
{
	MountSource *self = (MountSource *)source;
	g_autoptr(GPtrArray) pieces = g_ptr_array_new_with_free_func((GDestroyNotify)piece_free);
	GHashTableIter iter;
	gpointer prefix;
	struct stat st;

	if (fstatat(self->fd, "sysv", &st, 0) < 0) /* it has been unmounted */
		return -errno;
	g_hash_table_iter_init(&iter, self->prefixes);
	while (g_hash_table_iter_next(&iter, &prefix, NULL)) {
		g_autofree char *sysv = g_strconcat(prefix, "sysv", NULL);
		glance_directory(self->fd, sysv, SEGFS_SYSV, 0, pieces);
		for (guint i = 0;; i++) {
			g_autofree char *name = segfs_posix_directory_name(i);
			g_autofree char *posix = g_strconcat(prefix, name, NULL);
			if (fstatat(self->fd, posix, &st, AT_SYMLINK_NOFOLLOW) < 0)
				break;
			glance_directory(self->fd, posix, SEGFS_POSIX, 0, pieces);
		}
	}
	*ret_pieces = g_steal_pointer(&pieces);
	return 0;
}

/* "ns/4026532188/sysv/5" is "ns/4026532188/" and "sysv/5". */
static const char *below_namespace(const char *file)
{
	if (!g_str_has_prefix(file, "ns/"))
		return file;
	const char *slash = strchr(file + strlen("ns/"), '/');
	return slash ? slash + 1 : file;
}

static int mount_info(Source *source, const char *file, char **ret_text)
{
	MountSource *self = (MountSource *)source;
	const char *below = below_namespace(file);
	g_autofree char *name = g_strdup_printf("%.*sinfo/%s", (int)(below - file), file, below);
	g_autoptr(GString) text = g_string_new(NULL);

	const int r = read_file(self->fd, name, text);
	if (r == 0)
		*ret_text = g_string_free(g_steal_pointer(&text), FALSE);
	return r;
}

/* Its name in orphans/, where it is the same file under another name. */
static int mount_remove(Source *source, const char *file)
{
	MountSource *self = (MountSource *)source;
	const char *below = below_namespace(file);
	g_autofree char *orphans = g_strdup_printf("%.*sorphans", (int)(below - file), file);
	struct stat wanted, st;
	const struct dirent *entry;
	int r = -EBUSY;

	if (fstatat(self->fd, file, &wanted, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	const int fd = openat(self->fd, orphans, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *directory = fd < 0 ? NULL : fdopendir(fd);
	if (!directory)
		return -errno;
	while (r == -EBUSY && (entry = readdir(directory)))
		if (entry->d_ino == wanted.st_ino &&
		    fstatat(dirfd(directory), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    st.st_ino == wanted.st_ino && st.st_dev == wanted.st_dev) {
			r = unlinkat(dirfd(directory), entry->d_name, 0) < 0 ? -errno : 0;
			break;
		}
	closedir(directory);
	return r;
}

static void mount_free(Source *source)
{
	MountSource *self = (MountSource *)source;

	g_hash_table_unref(self->prefixes);
	close(self->fd);
	g_free(self);
}

int source_mount_new(const char *directory, Source **ret_source)
{
	static const SourceOps ops = {mount_survey, mount_glance, mount_info, mount_remove,
				      mount_free};
	autofd fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (faccessat(fd, REPORT, R_OK, 0) < 0 || faccessat(fd, "orphans", F_OK, 0) < 0)
		return -EINVAL;
	MountSource *self = g_new0(MountSource, 1);
	self->base = (Source){&ops, true};
	self->fd = steal_fd(&fd);
	self->prefixes = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	*ret_source = &self->base;
	return 0;
}
