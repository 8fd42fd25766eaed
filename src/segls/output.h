/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <libsmartcols/libsmartcols.h>
#include <stdbool.h>

/* What is printed, as libsmartcols does it (the -l, -r, -P and -J of lsblk(8), lsipc(1) ...). */
typedef enum {
	OUTPUT_TABLE,
	OUTPUT_RAW,    /* one blank between cells, and none in them */
	OUTPUT_EXPORT, /* KEY="value" */
	OUTPUT_SHELL,  /* the same, with keys that are names of variables */
	OUTPUT_JSON,
} OutputFormat;

typedef struct libscols_table Output;
typedef struct libscols_line OutputLine;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Output, scols_unref_table)

typedef enum {
	OUTPUT_TEXT,
	OUTPUT_LONG_TEXT, /* cut first where the terminal is too narrow */
	OUTPUT_FILE,      /* cut where the others are as short as they can be */
	OUTPUT_RIGHT,     /* aligned right */
	OUTPUT_NUMBER,    /* the same, and in JSON no string */
} OutputKind;

/* The cell of a value that there is not, or that is not known; in JSON null. */
#define OUTPUT_NOTHING "-"

/* A new one; name is that of the JSON's array. Memory that is not to be had ends the program. */
Output *output_new(const char *name, OutputFormat format, bool headings);
void output_column(Output *output, const char *name, OutputKind kind);
/* Of lines that have a parent, branches are drawn in that column. */
void output_tree(Output *output, guint column);
/* A new line, the output's, below parent where that is not NULL. */
OutputLine *output_line(Output *output, OutputLine *parent);
/* Puts text into a cell of it. Nothing that could move a terminal's cursor gets out. */
void output_cell(const Output *output, OutputLine *line, guint column, const char *text);
/* Appends it all to text. */
void output_print(Output *output, GString *text);
