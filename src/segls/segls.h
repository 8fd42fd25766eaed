/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <segfs/segfs.h>
#include <stdbool.h>

#include "segls/mounted.h"
#include "segls/output.h"

/* The values on which cells depend besides the segment. */
typedef struct {
	int64_t now;                /* seconds since 1970 */
	bool bytes;                 /* sizes as plain numbers */
	bool plain;                 /* and ages: for a program */
	GHashTable *users, *groups; /* names by number: asking for them takes long */
	GHashTable *containers;     /* SegfsProcess -> text */
	Mounted *mounted;           /* NULL: nobody remembers anything, or nobody was asked */
} Table;

void table_init(Table *table, bool bytes, bool plain);
void table_clear(Table *table);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Table, table_clear)

typedef struct {
	const char *name, *help;
	OutputKind kind;
	void (*write)(const Table *table, const SegfsItem *item, GString *cell);
	/* The number to sort by; false: there is none. NULL: the column is sorted by its text. */
	bool (*number)(const SegfsItem *item, int64_t *ret_number);
	/* In a tree the cell of a holder's line; NULL: it is empty. */
	void (*holder)(const Table *table, const SegfsHolder *holder, GString *cell);
} Column;

extern const Column columns[];
extern const guint n_columns;

#define NO_CONTAINER "no container"

/* The process's container, as segfs_container_text() says it; the table's. */
const char *table_container(const Table *table, const SegfsProcess *process);
/* The name of a user or group, which name_of() knows and names remembers; else its number. */
void table_append_owner(GHashTable *names, char *(*name_of)(guint id), guint id, GString *cell);
/* As lsipc(1) does: 512B, 1.5K, 64M; or in bytes. */
void table_append_size(const Table *table, uint64_t size, GString *cell);

/* table.c: the columns by their names. */

/* The columns of a list with commas; one that starts with "+" is added to those of before. */
gboolean columns_parse(const char *before, const char *list, GPtrArray **ret_columns,
		       GError **error);

/* The same as lines of a help text; the caller's to free. */
char *columns_help(void);

/* Items in the order of a column; by says its name, after a "-" for the other way round. */
gboolean table_sort(const Table *table, GPtrArray *items, const char *by, GError **error);

/* Appends a line for each item, with tree one for each of its holders below. */
void table_write(const Table *table, const GPtrArray *shown, const GPtrArray *items,
		 OutputFormat format, bool headings, bool tree, GString *text);
