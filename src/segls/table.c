/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Columns by their names, and segments as a table of them. */

#include <string.h>

#include "segls/segls.h"

#define SEGLS_ERROR g_quark_from_static_string("segls")

static const Column *column_find(const char *name)
{
	for (guint i = 0; i < n_columns; i++)
		if (g_ascii_strcasecmp(columns[i].name, name) == 0)
			return &columns[i];
	return NULL;
}

/* All names of columns, with commas; to be freed. */
static char *columns_names(void)
{
	GString *names = g_string_new(NULL);

	for (guint i = 0; i < n_columns; i++)
		g_string_append_printf(names, "%s%s", i ? ", " : "", columns[i].name);
	return g_string_free(names, FALSE);
}

char *columns_help(void)
{
	GString *help = g_string_new("Columns:\n");

	for (guint i = 0; i < n_columns; i++)
		g_string_append_printf(help, "  %-10s %s\n", columns[i].name, columns[i].help);
	return g_string_free(help, FALSE);
}

static const Column *find(const char *name, GError **error)
{
	const Column *column = column_find(name);

	if (!column) {
		g_autofree char *names = columns_names();
		g_set_error(error, SEGLS_ERROR, 0, "unknown column '%s'; there are %s", name,
			    names);
	}
	return column;
}

gboolean columns_parse(const char *before, const char *list, GPtrArray **ret_columns,
		       GError **error)
{
	g_autoptr(GPtrArray) found = g_ptr_array_new();
	g_autofree char *all = NULL;

	if (list[0] == '+')
		all = g_strconcat(before, ",", list + 1, NULL);
	g_auto(GStrv) names = g_strsplit(all ? all : list, ",", -1);
	for (char **name = names; *name; name++) {
		const Column *column = find(*name, error);
		if (!column)
			return FALSE;
		g_ptr_array_add(found, (gpointer)column);
	}
	if (found->len == 0)
		return find("", error) != NULL;
	*ret_columns = g_steal_pointer(&found);
	return TRUE;
}

/* The key by which an item is sorted. */
typedef struct {
	SegfsItem *item;
	char *text;
	int64_t number;
	bool has_number;
} Key;

static void key_clear(gpointer pointer)
{
	g_free(((Key *)pointer)->text);
}

static int compare(gconstpointer a, gconstpointer b, gpointer data)
{
	const Key *x = a, *y = b;
	int result;

	if (x->text)
		result = strcmp(x->text, y->text);
	else if (x->has_number && y->has_number)
		result = (x->number > y->number) - (x->number < y->number);
	else
		result = x->has_number - y->has_number; /* without one comes first */
	return *(const int *)data * result;
}

gboolean table_sort(const Table *table, GPtrArray *items, const char *by, GError **error)
{
	const bool is_down = by[0] == '-';
	const Column *column = find(by + is_down, error);
	g_autoptr(GArray) keys = g_array_new(FALSE, TRUE, sizeof(Key));
	int sign = is_down ? -1 : 1;

	if (!column)
		return FALSE;
	g_array_set_clear_func(keys, key_clear);
	for (guint i = 0; i < items->len; i++) {
		Key key = {.item = items->pdata[i]};
		if (column->number) {
			key.has_number = column->number(key.item, &key.number);
		} else {
			GString *cell = g_string_new(NULL);
			column->write(table, key.item, cell);
			key.text = g_string_free(cell, FALSE);
		}
		g_array_append_val(keys, key);
	}
	/* Equal ones stay as they are. */
	g_array_sort_with_data(keys, compare, &sign);
	for (guint i = 0; i < items->len; i++)
		items->pdata[i] = g_array_index(keys, Key, i).item;
	return TRUE;
}

static void write_holders(const Table *table, const GPtrArray *shown, const SegfsItem *item,
			  Output *output, OutputLine *parent)
{
	for (guint i = 0; i < item->holders->len; i++) {
		const SegfsHolder *holder = &g_array_index(item->holders, SegfsHolder, i);
		OutputLine *line = output_line(output, parent);
		for (guint j = 0; j < shown->len; j++) {
			const Column *column = shown->pdata[j];
			g_autoptr(GString) cell = g_string_new(NULL);
			if (!column->holder)
				continue;
			column->holder(table, holder, cell);
			output_cell(output, line, j, cell->str);
		}
	}
}

void table_write(const Table *table, const GPtrArray *shown, const GPtrArray *items,
		 OutputFormat format, bool headings, bool tree, GString *text)
{
	g_autoptr(Output) output = output_new("segments", format, headings);
	guint branches = 0; /* the column of files where there is one, else the first */

	for (guint i = 0; i < shown->len; i++) {
		const Column *column = shown->pdata[i];
		output_column(output, column->name, column->kind);
		if (column->kind == OUTPUT_FILE)
			branches = i;
	}
	if (tree)
		output_tree(output, branches);
	for (guint i = 0; i < items->len; i++) {
		const SegfsItem *item = items->pdata[i];
		OutputLine *line = output_line(output, NULL);
		for (guint j = 0; j < shown->len; j++) {
			g_autoptr(GString) cell = g_string_new(NULL);
			((const Column *)shown->pdata[j])->write(table, item, cell);
			output_cell(output, line, j, cell->str);
		}
		if (tree)
			write_holders(table, shown, item, output, line);
	}
	output_print(output, text);
}
