/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* Text for a terminal. */

/*
 * A name that another user has chosen, for a terminal: it stays on its line and moves no cursor.
 * Control characters, those of Unicode (U+0080 to U+009F) too, separators of lines, marks
 * that turn the direction of text, and bytes that are no UTF-8 are written as in C, "\n" or "\033";
 * all else is as it was, backslashes included. size -1: up to the NUL; others are control
 * characters. The caller's to free.
 */
char *escape_text(const char *text, gssize size);

/* The same of what others follow on its line, behind a comma: its own are \054. */
char *escape_item(const char *text);

/*
 * The same for a table on a terminal, of which is_utf8 says whether it shows UTF-8: a byte of what
 * is not printable is \xNN, marks that turn the direction of text among it, and so is a backslash
 * before an x. The caller's to free.
 */
char *escape_printable(const char *text, bool is_utf8);

/*
 * Appends the name as one of a file, that stays on its line: "/", "%" and control characters are
 * written by their numbers, "%2F". Until flat has most bytes; false: the rest was cut off.
 */
bool escape_flat(const char *name, gsize most, GString *flat);

/* Bytes as lsipc(1) shows them: 512B, 1.5K, 64M. */
void escape_append_size(GString *text, uint64_t size);
/* Seconds as 59s, 12m, 3h or 20d. */
void escape_append_age(GString *text, int64_t seconds);
