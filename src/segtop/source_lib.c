/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What libsegfs knows: of our own IPC namespace and, as root, of all others. */

#include <errno.h>
#include <inttypes.h>
#include <json-glib/json-glib.h>
#include <string.h>
#include <unistd.h>

#include "segtop/source.h"

typedef struct {
	Source base;
	GPtrArray *scopes;      /* SegfsScope: our own, then others', as of the last survey */
	GPtrArray *of;          /* GPtrArray of SegfsItem: what each of those has */
	GPtrArray *containers;  /* GArray of SegfsContainer: of each */
	GHashTable *by_process; /* SegfsProcess of the last survey -> text, "": none */
} LibSource;

static const char *container_of(const LibSource *self, const SegfsProcess *process)
{
	const char *known = g_hash_table_lookup(self->by_process, process);
	g_auto(SegfsContainer) container = {};

	if (known)
		return known;
	char *text = segfs_container_of_process("/proc", "", process, &container)
			     ? segfs_container_text(&container)
			     : g_strdup("");
	g_hash_table_insert(self->by_process, (gpointer)process, text);
	return text;
}

/* Of its first holder that is in one; of what nobody holds, that of its namespace. To be freed. */
static char *item_container(const LibSource *self, const SegfsItem *item, guint scope)
{
	for (guint i = 0; i < item->holders->len; i++) {
		const SegfsHolder *holder = &g_array_index(item->holders, SegfsHolder, i);
		const char *text = container_of(self, holder->process);
		if (*text)
			return g_strdup(text);
	}
	const GArray *containers = self->containers->pdata[scope];
	return containers->len > 0
		       ? segfs_container_text(&g_array_index(containers, SegfsContainer, 0))
		       : NULL;
}

static Piece *piece_of_item(const LibSource *self, const SegfsItem *item, guint scope)
{
	Piece *piece = g_new0(Piece, 1);

	*piece = (Piece){
		.file = segfs_item_path(item),
		.kind = item->id.kind,
		.unlinked = item->unlinked,
		.is_huge = item->pages == SEGFS_PAGES_HUGE,
		.size = item->size,
		.resident = item->resident,
		.has_resident = item->has_resident,
		.nattch = item->id.kind == SEGFS_SYSV ? item->sysv.nattch : 0,
		.used = MAX(item->atime.tv_sec, MAX(item->mtime.tv_sec, item->ctime.tv_sec)),
		.uid = item->uid,
		.is_judged = true,
		.verdict = item->verdict,
		.n_holders = item->holders->len,
		.container = item_container(self, item, scope),
		.creator = item->creator[0] ? g_strdup(item->creator) : NULL,
	};
	return piece;
}

static int add_items(LibSource *self, SegfsScope *scope, SegfsSince since)
{
	GPtrArray *items;
	GArray *containers = NULL;
	const int r = segfs_view_survey(segfs_scope_view(scope), since, &items);

	if (r < 0)
		return r;
	g_ptr_array_add(self->of, items);
	SegfsNamespace *ns = segfs_scope_namespace(scope);
	if (!ns || segfs_namespace_containers(ns, "/proc", since, &containers) < 0)
		containers = g_array_new(FALSE, FALSE, sizeof(SegfsContainer));
	g_ptr_array_add(self->containers, containers);
	return 0;
}

static int add_others(LibSource *self, SegfsSince since)
{
	SegfsScope *own = self->scopes->pdata[0];
	g_autoptr(GArray) inums = NULL;

	int r = segfs_namespaces_list(segfs_scope_scanner(own), &inums);
	for (guint i = 0; r == 0 && i < inums->len; i++) {
		g_autoptr(SegfsScope) scope = NULL;
		/* One that has gone meanwhile has nothing, and one may be closed to us. */
		if (segfs_scope_new_of(own, g_array_index(inums, uint64_t, i), NULL, NULL, &scope) <
			    0 ||
		    add_items(self, scope, since) < 0)
			continue;
		g_ptr_array_add(self->scopes, g_steal_pointer(&scope));
	}
	return r;
}

static int look(LibSource *self)
{
	const SegfsSince since = segfs_since_now(); /* one look at the processes does for all */

	/* Items before what they are of. */
	g_hash_table_remove_all(self->by_process);
	g_ptr_array_set_size(self->of, 0);
	g_ptr_array_set_size(self->containers, 0);
	g_ptr_array_set_size(self->scopes, 1);
	const int r = add_items(self, self->scopes->pdata[0], since);
	return r < 0 || geteuid() != 0 ? r : add_others(self, since);
}

/* Of a look of this moment; it is the source's. */
static int find(LibSource *self, const char *file, guint *ret_scope, const SegfsItem **ret_item)
{
	const int r = look(self);

	for (guint i = 0; r == 0 && i < self->of->len; i++) {
		const GPtrArray *items = self->of->pdata[i];
		for (guint j = 0; j < items->len; j++) {
			g_autofree char *path = segfs_item_path(items->pdata[j]);
			if (strcmp(path, file) != 0)
				continue;
			*ret_scope = i;
			*ret_item = items->pdata[j];
			return 0;
		}
	}
	return r < 0 ? r : -ENOENT;
}

static int lib_survey(Source *source, GPtrArray **ret_pieces, guint *ret_unexamined)
{
	LibSource *self = (LibSource *)source;
	g_autoptr(GHashTable) added = g_hash_table_new(segfs_id_hash, segfs_id_equal);
	g_autoptr(GPtrArray) pieces = g_ptr_array_new_with_free_func((GDestroyNotify)piece_free);
	g_autoptr(SegfsScan) scan = NULL;

	int r = look(self);
	if (r < 0)
		return r;
	/* Namespaces may share a /dev/shm. */
	for (guint i = 0; i < self->of->len; i++) {
		const GPtrArray *items = self->of->pdata[i];
		for (guint j = 0; j < items->len; j++) {
			SegfsItem *item = items->pdata[j];
			if (g_hash_table_add(added, &item->id))
				g_ptr_array_add(pieces, piece_of_item(self, item, i));
		}
	}
	r = segfs_scanner_scan(segfs_scope_scanner(self->scopes->pdata[0]), segfs_since_recent(),
			       &scan);
	*ret_unexamined = r < 0 ? 0 : segfs_scan_unexamined(scan);
	*ret_pieces = g_steal_pointer(&pieces);
	return 0;
}

static void glance_sysv(const GArray *segments, const char *prefix, GPtrArray *pieces)
{
	for (guint i = 0; i < segments->len; i++) {
		const SegfsSysv *segment = &g_array_index(segments, SegfsSysv, i);
		if (segment->dest) /* in unlinked/ */
			continue;
		Piece *piece = g_new0(Piece, 1);
		*piece = (Piece){
			.file = g_strdup_printf("%ssysv/%d", prefix, segment->shmid),
			.kind = SEGFS_SYSV,
			.is_huge = segment->pages == SEGFS_PAGES_HUGE,
			.size = segment->size,
			.resident = segment->rss,
			.has_resident = segment->has_resident,
			.nattch = segment->nattch,
			.used = MAX(segment->atime, MAX(segment->dtime, segment->ctime)),
			.uid = segment->uid,
		};
		g_ptr_array_add(pieces, piece);
	}
}

static void glance_posix(const GArray *files, const char *prefix, guint directory,
			 GPtrArray *pieces)
{
	g_autofree char *name = segfs_posix_directory_name(directory);

	for (guint i = 0; i < files->len; i++) {
		const SegfsPosixFile *file = &g_array_index(files, SegfsPosixFile, i);
		const struct stat *st = &file->stat;
		Piece *piece = g_new0(Piece, 1);
		*piece = (Piece){
			.file = g_strdup_printf("%s%s/%s", prefix, name, file->path),
			.kind = SEGFS_POSIX,
			.size = st->st_size,
			.resident = (uint64_t)st->st_blocks * 512,
			.has_resident = true,
			.used = MAX(st->st_atime, MAX(st->st_mtime, st->st_ctime)),
			.uid = st->st_uid,
		};
		g_ptr_array_add(pieces, piece);
	}
}

static int lib_glance(Source *source, GPtrArray **ret_pieces)
{
	LibSource *self = (LibSource *)source;
	g_autoptr(GPtrArray) pieces = g_ptr_array_new_with_free_func((GDestroyNotify)piece_free);

	for (guint i = 0; i < self->scopes->len; i++) {
		SegfsScope *scope = self->scopes->pdata[i];
		SegfsView *view = segfs_scope_view(scope);
		g_autoptr(GArray) segments = NULL;
		const SegfsPosix *posix;
		g_autofree char *prefix =
			i == 0 ? g_strdup("")
			       : g_strdup_printf("ns/%" PRIu64 "/",
						 segfs_ipc_inum(segfs_scope_ipc(scope)));
		const int r = segfs_sysv_list(segfs_scope_ipc(scope), &segments);
		if (r < 0 && i == 0)
			return r;
		if (r < 0) /* it has ended */
			continue;
		glance_sysv(segments, prefix, pieces);
		for (guint j = 0; (posix = segfs_view_posix(view, j)); j++) {
			g_autoptr(GArray) files = NULL;
			g_autoptr(GPtrArray) unread = NULL;
			if (segfs_posix_list(posix, &files, &unread) == 0)
				glance_posix(files, prefix, j, pieces);
		}
	}
	*ret_pieces = g_steal_pointer(&pieces);
	return 0;
}

/* The value of a member of the report, for a line of text; to be freed. NULL: there is none. */
static char *value_text(const char *name, JsonNode *value)
{
	if (JSON_NODE_HOLDS_NULL(value))
		return NULL;
	if (g_str_has_suffix(name, "time") && json_node_get_value_type(value) == G_TYPE_INT64) {
		g_autoptr(GDateTime) time =
			g_date_time_new_from_unix_local(json_node_get_int(value));
		return time ? g_date_time_format(time, "%F %T %z") : NULL;
	}
	if (JSON_NODE_HOLDS_VALUE(value) && json_node_get_value_type(value) == G_TYPE_STRING)
		return g_strdup(json_node_get_string(value));
	return json_to_string(value, FALSE);
}

static void append_holder(JsonNode *holder, GString *text)
{
	JsonObject *object = json_node_get_object(holder);
	static const char *const counts[] = {"attached", "mapped", "open"};

	g_string_append_printf(
		text, "holder: %" PRId64 " %s, user %s:", json_object_get_int_member(object, "pid"),
		json_object_get_string_member_with_default(object, "command", "?"),
		json_object_get_string_member_with_default(object, "user", "?"));
	for (guint i = 0; i < G_N_ELEMENTS(counts); i++) {
		const gint64 n = json_object_get_int_member_with_default(object, counts[i], 0);
		if (n > 0)
			g_string_append_printf(text, " %s %" PRId64, counts[i], n);
	}
	g_string_append_printf(text, "; %s\n",
			       json_object_get_string_member_with_default(object, "cmdline", "-"));
}

static void append_member(const char *name, JsonNode *value, GString *text)
{
	g_autofree char *shown = value_text(name, value);

	if (shown)
		g_string_append_printf(text, "%s: %s\n", name, shown);
}

/* What segments.json says of a segment, a line for each member and each holder; first what matters.
 */
static char *object_text(JsonObject *object)
{
	static const char *const first[] = {"file", "verdict", "evidence", NULL};
	GString *text = g_string_new(NULL);
	g_autoptr(GList) members = json_object_get_members(object);

	for (guint i = 0; first[i]; i++)
		if (json_object_has_member(object, first[i]))
			append_member(first[i], json_object_get_member(object, first[i]), text);
	for (const GList *at = members; at; at = at->next) {
		JsonNode *value = json_object_get_member(object, at->data);
		if (g_strv_contains(first, at->data))
			continue;
		if (strcmp(at->data, "holders") != 0) {
			append_member(at->data, value, text);
			continue;
		}
		g_autoptr(GList) holders = json_array_get_elements(json_node_get_array(value));
		for (const GList *one = holders; one; one = one->next)
			append_holder(one->data, text);
	}
	return g_string_free(text, FALSE);
}

static int lib_info(Source *source, const char *file, char **ret_text)
{
	LibSource *self = (LibSource *)source;
	g_autoptr(GPtrArray) one = g_ptr_array_new();
	g_autoptr(GString) json = g_string_new(NULL);
	g_autoptr(JsonNode) root = NULL;
	const SegfsItem *item;
	guint scope;

	const int r = find(self, file, &scope, &item);
	if (r < 0)
		return r;
	g_ptr_array_add(one, (gpointer)item);
	g_autoptr(SegfsReport) report = segfs_report_new(NULL, "/proc", item->scan);
	segfs_report_add(report, segfs_scope_ipc(self->scopes->pdata[scope]), NULL, NULL, one, 0);
	segfs_report_write(report, json);
	root = json_from_string(json->str, NULL);
	if (!root)
		return -EBADMSG;
	JsonArray *segments = json_object_get_array_member(json_node_get_object(root), "segments");
	if (json_array_get_length(segments) == 0)
		return -ENOENT;
	*ret_text = object_text(json_array_get_object_element(segments, 0));
	return 0;
}

static int lib_remove(Source *source, const char *file)
{
	LibSource *self = (LibSource *)source;
	g_auto(SegfsCaller) caller = {};
	const SegfsItem *item;
	guint scope;

	const int r = find(self, file, &scope, &item);
	if (r < 0)
		return r;
	segfs_caller_self(&caller);
	return segfs_view_remove_orphan(segfs_scope_view(self->scopes->pdata[scope]), &caller,
					item);
}

static void lib_free(Source *source)
{
	LibSource *self = (LibSource *)source;

	g_hash_table_unref(self->by_process);
	g_ptr_array_unref(self->of);
	g_ptr_array_unref(self->containers);
	g_ptr_array_unref(self->scopes);
	g_free(self);
}

int source_lib_new(const SourceOptions *options, Source **ret_source)
{
	static const SourceOps ops = {lib_survey, lib_glance, lib_info, lib_remove, lib_free};
	const SegfsScopeOptions scope_options = {
		.ipc.no_attach = true,
		.shm_dir = options->shm_dir,
		.orphan_age = options->orphan_age,
		.keep = options->keep,
	};
	SegfsScope *own;

	const int r = segfs_scope_new(&scope_options, &own);
	if (r < 0)
		return r;
	LibSource *self = g_new0(LibSource, 1);
	self->base.ops = &ops;
	self->scopes = g_ptr_array_new_with_free_func((GDestroyNotify)segfs_scope_free);
	self->of = g_ptr_array_new_with_free_func((GDestroyNotify)g_ptr_array_unref);
	self->containers = g_ptr_array_new_with_free_func((GDestroyNotify)g_array_unref);
	self->by_process = g_hash_table_new_full(NULL, NULL, NULL, g_free);
	g_ptr_array_add(self->scopes, own);
	*ret_source = &self->base;
	return 0;
}
