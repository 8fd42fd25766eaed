/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/*
 * A name that another user has chosen, for a terminal: it stays on its line and moves no cursor.
 * Control characters, those of Unicode (U+0080 to U+009F) too, and bytes that are no UTF-8
 * are written as in C, "\n" or "\033"; all else is as it was, backslashes included. size -1: up to
 * the NUL; others are control characters. The caller's to free.
 */
char *escape_text(const char *text, gssize size);
