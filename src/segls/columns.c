/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The columns of segls: each says one thing of a segment, some of them something of its holders. */

#include <inttypes.h>
#include <string.h>

#include "lib/os/escape.h"
#include "segls/output.h"
#include "segls/segls.h"

#define NOTHING OUTPUT_NOTHING

void table_init(Table *table, bool bytes, bool plain)
{
	*table = (Table){
		.now = g_get_real_time() / G_USEC_PER_SEC,
		.bytes = bytes || plain,
		.plain = plain,
		.users = g_hash_table_new_full(NULL, NULL, NULL, g_free),
		.groups = g_hash_table_new_full(NULL, NULL, NULL, g_free),
		.containers = g_hash_table_new_full(NULL, NULL, NULL, g_free),
	};
}

void table_clear(Table *table)
{
	g_hash_table_unref(table->users);
	g_hash_table_unref(table->groups);
	g_hash_table_unref(table->containers);
	g_clear_pointer(&table->mounted, mounted_free);
}

const char *table_container(const Table *table, const SegfsProcess *process)
{
	const char *known = g_hash_table_lookup(table->containers, process);
	g_auto(SegfsContainer) container = {};

	if (known)
		return known;
	char *name = segfs_container_of_process("/proc", "", process, &container)
			     ? segfs_container_text(&container)
			     : g_strdup(NO_CONTAINER);
	g_hash_table_insert(table->containers, (gpointer)process, name);
	return name;
}

static bool is_sysv(const SegfsItem *item)
{
	return item->id.kind == SEGFS_SYSV;
}

void table_append_size(const Table *table, uint64_t size, GString *cell)
{
	if (table->bytes)
		g_string_append_printf(cell, "%" PRIu64, size);
	else
		escape_append_size(cell, size);
}

static void append_text(const char *text, GString *cell)
{
	g_string_append(cell, text && *text ? text : NOTHING);
}

void table_append_owner(GHashTable *names, char *(*name_of)(guint id), guint id, GString *cell)
{
	gpointer name;

	if (!g_hash_table_lookup_extended(names, GUINT_TO_POINTER(id), NULL, &name)) {
		name = name_of(id);
		g_hash_table_insert(names, GUINT_TO_POINTER(id), name);
	}
	if (name)
		g_string_append(cell, name);
	else
		g_string_append_printf(cell, "%u", id);
}

/* The pids of IPC_STAT: 0 is no process, or one that is not visible from here. */
static void append_pid(const SegfsItem *item, pid_t pid, GString *cell)
{
	if (is_sysv(item) && pid > 0)
		g_string_append_printf(cell, "%d", pid);
	else
		g_string_append(cell, NOTHING);
}

static void write_file(const Table *table, const SegfsItem *item, GString *cell)
{
	g_autofree char *path = segfs_item_path(item);

	g_string_append(cell, path);
}

static void holder_file(const Table *table, const SegfsHolder *holder, GString *cell)
{
	g_string_append_printf(cell, "%d %s", holder->process->pid, holder->process->command);
}

static void write_kind(const Table *table, const SegfsItem *item, GString *cell)
{
	g_string_append(cell, segfs_kind_name(item->id.kind));
}

static void write_id(const Table *table, const SegfsItem *item, GString *cell)
{
	g_string_append_printf(cell, "%" PRIu64, item->id.number);
}

static bool number_id(const SegfsItem *item, int64_t *ret_number)
{
	*ret_number = item->id.number;
	return true;
}

static void write_key(const Table *table, const SegfsItem *item, GString *cell)
{
	if (is_sysv(item))
		g_string_append_printf(cell, "0x%08x", (unsigned int)item->sysv.key);
	else
		g_string_append(cell, NOTHING);
}

static void write_name(const Table *table, const SegfsItem *item, GString *cell)
{
	append_text(item->name, cell);
}

static void write_owner(const Table *table, const SegfsItem *item, GString *cell)
{
	table_append_owner(table->users, segfs_user_name, item->uid, cell);
}

static void holder_owner(const Table *table, const SegfsHolder *holder, GString *cell)
{
	table_append_owner(table->users, segfs_user_name, holder->process->uid, cell);
}

static void write_group(const Table *table, const SegfsItem *item, GString *cell)
{
	table_append_owner(table->groups, segfs_group_name, item->gid, cell);
}

static void write_cuser(const Table *table, const SegfsItem *item, GString *cell)
{
	if (is_sysv(item))
		table_append_owner(table->users, segfs_user_name, item->sysv.cuid, cell);
	else
		g_string_append(cell, NOTHING);
}

static void write_perms(const Table *table, const SegfsItem *item, GString *cell)
{
	g_string_append_printf(cell, "%04o", item->mode & 07777);
}

static void write_size(const Table *table, const SegfsItem *item, GString *cell)
{
	table_append_size(table, item->size, cell);
}

static bool number_size(const SegfsItem *item, int64_t *ret_number)
{
	*ret_number = item->size;
	return true;
}

static void write_resident(const Table *table, const SegfsItem *item, GString *cell)
{
	if (item->has_resident)
		table_append_size(table, item->resident, cell);
	else
		g_string_append(cell, NOTHING);
}

static bool number_resident(const SegfsItem *item, int64_t *ret_number)
{
	*ret_number = item->resident;
	return item->has_resident;
}

static void write_swap(const Table *table, const SegfsItem *item, GString *cell)
{
	if (is_sysv(item) && item->sysv.has_resident)
		table_append_size(table, item->sysv.swap, cell);
	else
		g_string_append(cell, NOTHING);
}

static bool number_swap(const SegfsItem *item, int64_t *ret_number)
{
	*ret_number = item->sysv.swap;
	return is_sysv(item) && item->sysv.has_resident;
}

static void write_nattch(const Table *table, const SegfsItem *item, GString *cell)
{
	if (is_sysv(item))
		g_string_append_printf(cell, "%" PRIu64, item->sysv.nattch);
	else
		g_string_append(cell, NOTHING);
}

static bool number_nattch(const SegfsItem *item, int64_t *ret_number)
{
	*ret_number = item->sysv.nattch;
	return is_sysv(item);
}

static void write_status(const Table *table, const SegfsItem *item, GString *cell)
{
	const size_t before = cell->len;

	if (is_sysv(item) && item->sysv.dest)
		g_string_append(cell, "dest,");
	if (is_sysv(item) && item->sysv.locked)
		g_string_append(cell, "locked,");
	if (item->unlinked)
		g_string_append(cell, "unlinked,");
	if (cell->len > before)
		g_string_truncate(cell, cell->len - 1);
	else
		g_string_append(cell, NOTHING);
}

static void holder_status(const Table *table, const SegfsHolder *holder, GString *cell)
{
	if (holder->attached > 0)
		g_string_append(cell, "attached,");
	if (holder->mapped > 0)
		g_string_append(cell, "mapped,");
	if (holder->open > 0)
		g_string_append(cell, "open,");
	if (cell->len > 0)
		g_string_truncate(cell, cell->len - 1);
}

static void write_holders(const Table *table, const SegfsItem *item, GString *cell)
{
	g_string_append_printf(cell, "%u", item->holders->len);
}

static bool number_holders(const SegfsItem *item, int64_t *ret_number)
{
	*ret_number = item->holders->len;
	return true;
}

static void write_processes(const Table *table, const SegfsItem *item, GString *cell)
{
	if (item->holders->len == 0)
		g_string_append(cell, NOTHING);
	for (guint i = 0; i < item->holders->len; i++) {
		const SegfsProcess *process = g_array_index(item->holders, SegfsHolder, i).process;
		g_string_append_printf(cell, "%s%d:%s", i ? "," : "", process->pid,
				       process->command);
	}
}

static void holder_processes(const Table *table, const SegfsHolder *holder, GString *cell)
{
	g_string_append_printf(cell, "%d:%s", holder->process->pid, holder->process->command);
}

/* Those of its holders, each once. */
static void write_container(const Table *table, const SegfsItem *item, GString *cell)
{
	g_autoptr(GHashTable) written = g_hash_table_new(g_str_hash, g_str_equal);

	for (guint i = 0; i < item->holders->len; i++) {
		const SegfsHolder *holder = &g_array_index(item->holders, SegfsHolder, i);
		const char *name = table_container(table, holder->process);
		if (strcmp(name, NO_CONTAINER) == 0 || !g_hash_table_add(written, (gpointer)name))
			continue;
		g_string_append_printf(cell, "%s%s", cell->len > 0 ? "; " : "", name);
	}
	if (cell->len == 0)
		g_string_append(cell, NOTHING);
}

static void holder_container(const Table *table, const SegfsHolder *holder, GString *cell)
{
	const char *name = table_container(table, holder->process);

	g_string_append(cell, strcmp(name, NO_CONTAINER) == 0 ? NOTHING : name);
}

static void write_cpid(const Table *table, const SegfsItem *item, GString *cell)
{
	append_pid(item, item->sysv.cpid, cell);
}

static bool number_cpid(const SegfsItem *item, int64_t *ret_number)
{
	*ret_number = item->sysv.cpid;
	return is_sysv(item);
}

static void write_lpid(const Table *table, const SegfsItem *item, GString *cell)
{
	append_pid(item, item->sysv.lpid, cell);
}

static bool number_lpid(const SegfsItem *item, int64_t *ret_number)
{
	*ret_number = item->sysv.lpid;
	return is_sysv(item);
}

static void write_creator(const Table *table, const SegfsItem *item, GString *cell)
{
	const MountedPast *past = *item->creator ? NULL : mounted_past(table->mounted, item);

	append_text(past ? past->creator : item->creator, cell);
}

static void write_command(const Table *table, const SegfsItem *item, GString *cell)
{
	const SegfsProcess creator = segfs_item_creator(item);
	const MountedPast *past = mounted_past(table->mounted, item);
	g_autofree char *command =
		creator.start ? segfs_process_command_line("/proc", &creator) : NULL;

	append_text(command || !past ? command : past->command, cell);
}

static void write_ended(const Table *table, const SegfsItem *item, GString *cell)
{
	const MountedPast *past = mounted_past(table->mounted, item);

	append_text(past ? past->end : NULL, cell);
}

static bool number_age(const SegfsItem *item, int64_t *ret_number)
{
	const int64_t used = MAX(item->atime.tv_sec, MAX(item->mtime.tv_sec, item->ctime.tv_sec));

	*ret_number = -used;
	return used != 0;
}

static void write_age(const Table *table, const SegfsItem *item, GString *cell)
{
	int64_t used;

	if (!number_age(item, &used)) {
		g_string_append(cell, NOTHING);
		return;
	}
	const int64_t age = MAX(table->now + used, 0);
	if (table->plain)
		g_string_append_printf(cell, "%" PRId64, age);
	else
		escape_append_age(cell, age);
}

static void write_verdict(const Table *table, const SegfsItem *item, GString *cell)
{
	g_string_append(cell, segfs_verdict_name(item->verdict));
}

static void write_evidence(const Table *table, const SegfsItem *item, GString *cell)
{
	g_autofree char *evidence = segfs_item_evidence("/proc", NULL, item, 0);

	append_text(evidence, cell);
}

const Column columns[] = {
	{"FILE", "its file on a mount of segfs", OUTPUT_FILE, write_file, NULL, holder_file},
	{"KIND", "sysv, posix, memfd or anon", OUTPUT_TEXT, write_kind, NULL, NULL},
	{"ID", "shmid of a SysV segment, inode number of others", OUTPUT_NUMBER, write_id,
	 number_id, NULL},
	{"KEY", "key of a SysV segment", OUTPUT_TEXT, write_key, NULL, NULL},
	{"NAME", "name of a POSIX object or a memfd", OUTPUT_LONG_TEXT, write_name, NULL, NULL},
	{"OWNER", "owner", OUTPUT_TEXT, write_owner, NULL, holder_owner},
	{"GROUP", "group", OUTPUT_TEXT, write_group, NULL, NULL},
	{"CUSER", "creating user of a SysV segment", OUTPUT_TEXT, write_cuser, NULL, NULL},
	{"PERMS", "permissions", OUTPUT_RIGHT, write_perms, NULL, NULL},
	{"SIZE", "size", OUTPUT_NUMBER, write_size, number_size, NULL},
	{"RESIDENT", "how much of it is in memory", OUTPUT_NUMBER, write_resident, number_resident,
	 NULL},
	{"SWAP", "how much of a SysV segment is swapped", OUTPUT_NUMBER, write_swap, number_swap,
	 NULL},
	{"NATTCH", "attaches of a SysV segment, as the kernel counts", OUTPUT_NUMBER, write_nattch,
	 number_nattch, NULL},
	{"STATUS", "dest, locked, unlinked; how a holder has it", OUTPUT_TEXT, write_status, NULL,
	 holder_status},
	{"HOLDERS", "processes that have it attached, mapped or open", OUTPUT_NUMBER, write_holders,
	 number_holders, NULL},
	{"PROCESSES", "the holders, as pid:command", OUTPUT_LONG_TEXT, write_processes, NULL,
	 holder_processes},
	{"CONTAINER", "containers of the holders", OUTPUT_LONG_TEXT, write_container, NULL,
	 holder_container},
	{"CPID", "pid of the creator of a SysV segment", OUTPUT_NUMBER, write_cpid, number_cpid,
	 NULL},
	{"LPID", "pid of its last user", OUTPUT_NUMBER, write_lpid, number_lpid, NULL},
	{"CREATOR", "program of its creator", OUTPUT_TEXT, write_creator, NULL, NULL},
	{"COMMAND", "command line of its creator", OUTPUT_LONG_TEXT, write_command, NULL, NULL},
	{"ENDED", "how and when its creator ended, where a mount remembers it", OUTPUT_LONG_TEXT,
	 write_ended, NULL, NULL},
	{"AGE", "time since it was last used or changed", OUTPUT_NUMBER, write_age, number_age,
	 NULL},
	{"VERDICT", "in use, idle, orphaned or unknown", OUTPUT_TEXT, write_verdict, NULL, NULL},
	{"EVIDENCE", "why", OUTPUT_LONG_TEXT, write_evidence, NULL, NULL},
};

const guint n_columns = G_N_ELEMENTS(columns);
