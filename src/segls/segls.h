/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <segfs/segfs.h>

/* The values on which cells depend besides the segment. */
typedef struct {
	int64_t now;                /* seconds since 1970 */
	bool bytes;                 /* sizes as plain numbers */
	GHashTable *users, *groups; /* names by number: asking for them takes long */
} Table;

void table_clear(Table *table);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Table, table_clear)

typedef struct {
	const char *name, *help;
	bool is_right; /* aligned */
	void (*write)(const Table *table, const SegfsItem *item, GString *cell);
	/* The number to sort by; false: there is none. NULL: the column is sorted by its text. */
	bool (*number)(const SegfsItem *item, int64_t *ret_number);
} Column;

extern const Column columns[];
extern const guint n_columns;

/* As typed, in any case; NULL: there is no such column. */
const Column *column_find(const char *name);

/* The columns of a list with commas; one that starts with "+" is added to those of before. */
gboolean columns_parse(const char *before, const char *list, GPtrArray **ret_columns,
		       GError **error);

/* All names of columns, with commas; the caller's to free. */
char *columns_names(void);
/* The same as lines of a help text. */
char *columns_help(void);

/* Items in the order of a column; by says its name, after a "-" for the other way round. */
gboolean table_sort(const Table *table, GPtrArray *items, const char *by, GError **error);

typedef enum {
	TABLE_ALIGNED,
	TABLE_RAW, /* one blank between cells, and none in them */
} TableStyle;

/* Nothing that could move a terminal's cursor gets into it. */
void table_write(const Table *table, const GPtrArray *shown, const GPtrArray *items,
		 TableStyle style, bool headings, GString *text);

/* A cell in which a byte that is not printable is \xNN, and so is a backslash before an x; the
 * caller's to free. */
char *table_safe(const char *cell, TableStyle style);
/* Rows of n such cells, each an array that ends in NULL. */
void table_write_rows(const GPtrArray *rows, const bool *is_right, guint n, TableStyle style,
		      GString *text);
/* As lsipc(1) does: 512B, 1.5K, 64M; or in bytes. */
void table_append_size(const Table *table, uint64_t size, GString *cell);

/* sums.c: what has how much. */
typedef enum {
	SUMS_BY_PROGRAM,
	SUMS_BY_PROCESS,
	SUMS_BY_USER,
	SUMS_BY_CONTAINER,
	SUMS_BY_NAME,
} SumsBy;

gboolean sums_parse(const char *word, SumsBy *ret_by);
void sums_write(const Table *table, SumsBy by, const GPtrArray *items, TableStyle style,
		bool headings, GString *text);
