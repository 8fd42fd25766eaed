/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The columns of segls: each says one thing of a segment. */

#include <inttypes.h>
#include <string.h>

#include "segls/segls.h"

void table_clear(Table *table)
{
	g_hash_table_unref(table->users);
	g_hash_table_unref(table->groups);
}

/* The cell of a value that there is not, or that is not known. */
#define NOTHING "-"

static bool is_sysv(const SegfsItem *item)
{
	return item->id.kind == SEGFS_SYSV;
}

void table_append_size(const Table *table, uint64_t size, GString *cell)
{
	static const char units[] = "BKMGTPE";
	double value = size;
	guint unit = 0;

	if (table->bytes) {
		g_string_append_printf(cell, "%" PRIu64, size);
		return;
	}
	/* 1023.96K would be shown as 1024K. */
	for (; value >= 1023.95 && unit + 2 < sizeof(units); unit++)
		value /= 1024;
	const bool is_whole = (uint64_t)(value * 10 + 0.5) % 10 == 0;
	g_string_append_printf(cell, "%.*f%c", is_whole ? 0 : 1, value, units[unit]);
}

static void append_text(const char *text, GString *cell)
{
	g_string_append(cell, text && *text ? text : NOTHING);
}

static void append_owner(GHashTable *names, char *(*name_of)(guint id), guint id, GString *cell)
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
	append_owner(table->users, segfs_user_name, item->uid, cell);
}

static void write_group(const Table *table, const SegfsItem *item, GString *cell)
{
	append_owner(table->groups, segfs_group_name, item->gid, cell);
}

static void write_cuser(const Table *table, const SegfsItem *item, GString *cell)
{
	if (is_sysv(item))
		append_owner(table->users, segfs_user_name, item->sysv.cuid, cell);
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
	append_text(item->creator, cell);
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
	if (age < 100)
		g_string_append_printf(cell, "%" PRId64 "s", age);
	else if (age < 100 * 60)
		g_string_append_printf(cell, "%" PRId64 "m", age / 60);
	else if (age < 48 * 3600)
		g_string_append_printf(cell, "%" PRId64 "h", age / 3600);
	else
		g_string_append_printf(cell, "%" PRId64 "d", age / (24 * 3600));
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
	{"FILE", "its file on a mount of segfs", false, write_file, NULL},
	{"KIND", "sysv, posix, memfd or anon", false, write_kind, NULL},
	{"ID", "shmid of a SysV segment, inode number of others", true, write_id, number_id},
	{"KEY", "key of a SysV segment", false, write_key, NULL},
	{"NAME", "name of a POSIX object or a memfd", false, write_name, NULL},
	{"OWNER", "owner", false, write_owner, NULL},
	{"GROUP", "group", false, write_group, NULL},
	{"CUSER", "creating user of a SysV segment", false, write_cuser, NULL},
	{"PERMS", "permissions", true, write_perms, NULL},
	{"SIZE", "size", true, write_size, number_size},
	{"RESIDENT", "how much of it is in memory", true, write_resident, number_resident},
	{"SWAP", "how much of a SysV segment is swapped", true, write_swap, number_swap},
	{"NATTCH", "attaches of a SysV segment, as the kernel counts", true, write_nattch,
	 number_nattch},
	{"STATUS", "dest, locked, unlinked", false, write_status, NULL},
	{"HOLDERS", "processes that have it attached, mapped or open", true, write_holders,
	 number_holders},
	{"PROCESSES", "the holders, as pid:command", false, write_processes, NULL},
	{"CPID", "pid of the creator of a SysV segment", true, write_cpid, number_cpid},
	{"LPID", "pid of its last user", true, write_lpid, number_lpid},
	{"CREATOR", "command of its creator", false, write_creator, NULL},
	{"AGE", "time since it was last used or changed", true, write_age, number_age},
	{"VERDICT", "in use, idle, orphaned or unknown", false, write_verdict, NULL},
	{"EVIDENCE", "why", false, write_evidence, NULL},
};

const guint n_columns = G_N_ELEMENTS(columns);
