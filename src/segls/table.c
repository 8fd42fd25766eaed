/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Columns by their names, and segments as a table of them. */

#include <string.h>

#include "segls/segls.h"

#define SEGLS_ERROR g_quark_from_static_string("segls")

const Column *column_find(const char *name)
{
	for (guint i = 0; i < n_columns; i++)
		if (g_ascii_strcasecmp(columns[i].name, name) == 0)
			return &columns[i];
	return NULL;
}

char *columns_names(void)
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

char *table_safe(const char *cell, TableStyle style)
{
	GString *text = g_string_new(NULL);
	const bool is_utf8 = g_get_charset(NULL);

	for (const char *at = cell; *at;) {
		const gunichar c = g_utf8_get_char_validated(at, -1);
		const bool is_char = c < (gunichar)-2 && (c < 0x80 || is_utf8);
		const size_t length = is_char ? (size_t)(g_utf8_next_char(at) - at) : 1;
		const bool is_safe = is_char && g_unichar_isprint(c) &&
				     !(c == '\\' && at[1] == 'x') &&
				     !(style == TABLE_RAW && g_unichar_isspace(c));

		for (size_t i = 0; i < length; i++) {
			if (is_safe)
				g_string_append_c(text, at[i]);
			else
				g_string_append_printf(text, "\\x%02x", (guint8)at[i]);
		}
		at += length;
	}
	return g_string_free(text, FALSE);
}

/* On a terminal. */
static guint width_of(const char *cell)
{
	guint width = 0;

	if (!g_utf8_validate(cell, -1, NULL))
		return strlen(cell);
	for (; *cell; cell = g_utf8_next_char(cell)) {
		const gunichar c = g_utf8_get_char(cell);
		width += g_unichar_iszerowidth(c) ? 0 : g_unichar_iswide(c) ? 2 : 1;
	}
	return width;
}

static char *cell_of(const Table *table, const Column *column, const SegfsItem *item,
		     TableStyle style)
{
	g_autoptr(GString) cell = g_string_new(NULL);

	column->write(table, item, cell);
	return table_safe(cell->str, style);
}

static void append_row(GString *text, char **cells, const bool *is_right, const guint *widths,
		       guint n)
{
	for (guint i = 0; i < n; i++) {
		const int pad = MAX((int)widths[i] - (int)width_of(cells[i]), 0);
		const bool is_last = i + 1 == n;

		if (i > 0)
			g_string_append_c(text, ' ');
		if (is_right[i])
			g_string_append_printf(text, "%*s", pad, "");
		g_string_append(text, cells[i]);
		if (!is_right[i] && !is_last)
			g_string_append_printf(text, "%*s", pad, "");
	}
	g_string_append_c(text, '\n');
}

void table_write_rows(const GPtrArray *rows, const bool *is_right, guint n, TableStyle style,
		      GString *text)
{
	g_autofree guint *widths = g_new0(guint, n);

	for (guint i = 0; style == TABLE_ALIGNED && i < rows->len; i++)
		for (guint j = 0; j < n; j++)
			widths[j] = MAX(widths[j], width_of(((char **)rows->pdata[i])[j]));
	for (guint i = 0; i < rows->len; i++)
		append_row(text, rows->pdata[i], is_right, widths, n);
}

void table_write(const Table *table, const GPtrArray *shown, const GPtrArray *items,
		 TableStyle style, bool headings, GString *text)
{
	g_autoptr(GPtrArray) rows = g_ptr_array_new_with_free_func((GDestroyNotify)g_strfreev);
	g_autofree bool *is_right = g_new0(bool, shown->len);

	for (guint i = 0; i < shown->len; i++)
		is_right[i] = ((const Column *)shown->pdata[i])->is_right;
	if (headings) {
		char **row = g_new0(char *, shown->len + 1);
		for (guint i = 0; i < shown->len; i++)
			row[i] = g_strdup(((const Column *)shown->pdata[i])->name);
		g_ptr_array_add(rows, row);
	}
	for (guint i = 0; i < items->len; i++) {
		char **row = g_new0(char *, shown->len + 1);
		for (guint j = 0; j < shown->len; j++)
			row[j] = cell_of(table, shown->pdata[j], items->pdata[i], style);
		g_ptr_array_add(rows, row);
	}
	table_write_rows(rows, is_right, shown->len, style, text);
}
