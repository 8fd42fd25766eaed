/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* segls -s and -q: semaphore sets and message queues, and who uses them. */

#include "segls/resources.h"

#include <errno.h>
#include <inttypes.h>

#include "segls/segls.h"

/* What a cell is written of. */
typedef struct {
	const Table *table;
	uint64_t inum; /* of another namespace; 0: it is our own */
	const SegfsResource *resource;
	const SegfsResourceUse *use;
} Row;

typedef struct {
	const char *name;
	OutputKind kind;
	bool of[SEGFS_N_RESOURCE_KINDS];
	void (*write)(const Row *row, GString *cell);
} ResourceColumn;

static void write_file(const Row *row, GString *cell)
{
	if (row->inum)
		g_string_append_printf(cell, "ns/%" PRIu64 "/", row->inum);
	g_string_append_printf(cell, "%s/%d", segfs_resource_kind_name(row->resource->kind),
			       row->resource->id);
}

static void write_key(const Row *row, GString *cell)
{
	g_string_append_printf(cell, "0x%08x", (unsigned int)row->resource->key);
}

static void write_owner(const Row *row, GString *cell)
{
	table_append_owner(row->table->users, segfs_user_name, row->resource->uid, cell);
}

static void write_perms(const Row *row, GString *cell)
{
	g_string_append_printf(cell, "%04o", row->resource->mode);
}

static void write_sems(const Row *row, GString *cell)
{
	g_string_append_printf(cell, "%" PRIu64, row->resource->sems);
}

static void write_messages(const Row *row, GString *cell)
{
	g_string_append_printf(cell, "%" PRIu64, row->resource->messages);
}

static void write_bytes(const Row *row, GString *cell)
{
	table_append_size(row->table, row->resource->bytes, cell);
}

static void write_waiting(const Row *row, GString *cell)
{
	g_string_append_printf(cell, "%" PRIu64, row->use->waiting);
}

static void write_users(const Row *row, GString *cell)
{
	const GArray *users = row->use->users;

	for (guint i = 0; i < users->len; i++) {
		const SegfsResourceUser *user = &g_array_index(users, SegfsResourceUser, i);
		g_string_append_printf(cell, "%s%d %s", i ? "," : "", user->process.pid,
				       user->lives ? user->process.command : "(ended)");
	}
	if (users->len == 0)
		g_string_append(cell, OUTPUT_NOTHING);
}

static void write_verdict(const Row *row, GString *cell)
{
	g_string_append(cell, segfs_verdict_name(row->use->verdict));
}

static const ResourceColumn resource_columns[] = {
	{"FILE", OUTPUT_FILE, {true, true}, write_file},
	{"KEY", OUTPUT_TEXT, {true, true}, write_key},
	{"OWNER", OUTPUT_TEXT, {true, true}, write_owner},
	{"PERMS", OUTPUT_TEXT, {true, true}, write_perms},
	{"NSEMS", OUTPUT_NUMBER, {true, false}, write_sems},
	{"MESSAGES", OUTPUT_NUMBER, {false, true}, write_messages},
	{"BYTES", OUTPUT_RIGHT, {false, true}, write_bytes},
	{"WAITING", OUTPUT_NUMBER, {true, true}, write_waiting},
	{"USERS", OUTPUT_LONG_TEXT, {true, true}, write_users},
	{"VERDICT", OUTPUT_TEXT, {true, true}, write_verdict},
};

static void write_line(const Row *row, Output *output)
{
	OutputLine *line = output_line(output, NULL);
	guint column = 0;

	for (guint i = 0; i < G_N_ELEMENTS(resource_columns); i++) {
		g_autoptr(GString) cell = g_string_new(NULL);
		if (!resource_columns[i].of[row->resource->kind])
			continue;
		resource_columns[i].write(row, cell);
		output_cell(output, line, column++, cell->str);
	}
}

gboolean resources_write(const Source *source, SegfsResourceKind kind, OutputFormat format,
			 bool headings, bool bytes, GString *text, GError **error)
{
	const char *name = kind == SEGFS_SEM ? "semaphores" : "queues";
	g_autoptr(Output) output = output_new(name, format, headings);
	g_autoptr(SegfsWaiters) waiters = segfs_waiters_new("/proc");
	g_auto(Table) table;

	table_init(&table, bytes, format == OUTPUT_JSON);
	for (guint i = 0; i < G_N_ELEMENTS(resource_columns); i++)
		if (resource_columns[i].of[kind])
			output_column(output, resource_columns[i].name, resource_columns[i].kind);
	for (guint i = 0; i < source->scopes->len; i++) {
		SegfsIpc *ipc = segfs_scope_ipc(source->scopes->pdata[i]);
		g_autoptr(GArray) resources = NULL;
		g_autoptr(GArray) uses = NULL;

		int r = segfs_resource_list(ipc, kind, &resources);
		if (r == 0)
			r = segfs_resource_uses(ipc, NULL, resources, waiters, &uses);
		/* Another namespace may have gone meanwhile. */
		if (r < 0 && (i == 0 || r != -ENOENT))
			return fail(error, "cannot list %s: %s", name, g_strerror(-r));
		for (guint j = 0; r == 0 && j < resources->len; j++) {
			const Row row = {&table, i ? segfs_ipc_inum(ipc) : 0,
					 &g_array_index(resources, SegfsResource, j),
					 &g_array_index(uses, SegfsResourceUse, j)};
			write_line(&row, output);
		}
	}
	output_print(output, text);
	return TRUE;
}
