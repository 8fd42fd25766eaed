/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What is printed, by libsmartcols. It takes for printable what iswprint(3) does, marks that turn
 * the direction of what follows among it; so the cells of a table are made safe here, and are not
 * encoded again there.
 */

#include "segls/output.h"

#include <stdlib.h>
#include <string.h>

#include "lib/os/escape.h"

static gpointer got(gpointer pointer)
{
	if (!pointer)
		g_error("out of memory");
	return pointer;
}

Output *output_new(const char *name, OutputFormat format, bool headings)
{
	Output *output = got(scols_new_table());

	scols_table_set_name(output, name);
	scols_table_enable_noheadings(output, !headings);
	scols_table_enable_noencoding(output, true);
	scols_table_enable_minout(output, true);
	scols_table_enable_raw(output, format == OUTPUT_RAW);
	if (format == OUTPUT_EXPORT || format == OUTPUT_SHELL)
		scols_table_enable_export(output, true);
	scols_table_enable_shellvar(output, format == OUTPUT_SHELL);
	if (format == OUTPUT_JSON)
		scols_table_enable_json(output, true);
	return output;
}

void output_column(Output *output, const char *name, OutputKind kind)
{
	static const struct {
		double width; /* below 1: of the terminal's, as long as others can be cut */
		int flags;
	} kinds[] = {
		[OUTPUT_TEXT] = {1, 0},
		[OUTPUT_LONG_TEXT] = {0.1, SCOLS_FL_TRUNC},
		[OUTPUT_FILE] = {0.5, SCOLS_FL_TRUNC},
		[OUTPUT_RIGHT] = {1, SCOLS_FL_RIGHT},
		[OUTPUT_NUMBER] = {1, SCOLS_FL_RIGHT},
	};
	struct libscols_column *column =
		got(scols_table_new_column(output, name, kinds[kind].width, kinds[kind].flags));

	if (kind == OUTPUT_NUMBER)
		scols_column_set_json_type(column, SCOLS_JSON_NUMBER);
}

void output_tree(Output *output, guint column)
{
	struct libscols_column *branches = scols_table_get_column(output, column);

	scols_column_set_flags(branches, scols_column_get_flags(branches) | SCOLS_FL_TREE);
}

OutputLine *output_line(Output *output, OutputLine *parent)
{
	return got(scols_table_new_line(output, parent));
}

void output_cell(const Output *output, OutputLine *line, guint column, const char *text)
{
	const bool is_json = scols_table_is_json(output);
	char *cell = NULL;

	if (scols_table_is_raw(output) || scols_table_is_export(output))
		cell = g_strdup(text);
	else if (!is_json || strcmp(text, OUTPUT_NOTHING) != 0)
		cell = escape_printable(text, is_json || g_get_charset(NULL));
	if (scols_line_refer_data(line, column, cell) != 0)
		got(NULL);
}

void output_print(Output *output, GString *text)
{
	char *printed = NULL;

	if (scols_print_table_to_string(output, &printed) != 0)
		got(NULL);
	g_string_append(text, printed);
	/* Of no lines it prints no headings, which whoever reads them by name would miss. */
	if (scols_table_get_nlines(output) == 0 && !scols_table_is_json(output) &&
	    !scols_table_is_export(output) && !scols_table_is_noheadings(output)) {
		for (size_t i = 0; i < scols_table_get_ncols(output); i++)
			g_string_append_printf(
				text, "%s%s", i ? " " : "",
				scols_column_get_name(scols_table_get_column(output, i)));
	}
	if (text->len > 0 && text->str[text->len - 1] != '\n')
		g_string_append_c(text, '\n');
	free(printed);
}
