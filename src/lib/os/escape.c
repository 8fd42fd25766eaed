/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/os/escape.h"

#include <stdbool.h>
#include <string.h>

char *escape_text(const char *text, gssize size)
{
	const char *end = text + (size < 0 ? (gssize)strlen(text) : size);
	GString *escaped = g_string_sized_new(end - text);

	for (const char *at = text; at < end;) {
		const gunichar c = g_utf8_get_char_validated(at, end - at);
		const bool is_utf8 = c != (gunichar)-1 && c != (gunichar)-2;
		const char *next = is_utf8 ? g_utf8_next_char(at) : at + 1;

		if (is_utf8 && !g_unichar_iscntrl(c)) {
			g_string_append_len(escaped, at, next - at);
			at = next;
			continue;
		}
		for (; at < next; at++) {
			static const char named[] = "\b\f\n\r\t\v", letters[] = "bfnrtv";
			const char *found = *at ? strchr(named, *at) : NULL;
			if (found)
				g_string_append_printf(escaped, "\\%c", letters[found - named]);
			else
				g_string_append_printf(escaped, "\\%03o", (guchar)*at);
		}
	}
	return g_string_free(escaped, FALSE);
}
