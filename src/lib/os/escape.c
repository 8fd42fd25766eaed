/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/os/escape.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

/* Does it begin a line, or turn what stands behind it? */
static bool is_layout(gunichar c)
{
	return c == 0x061c || c == 0x200e || c == 0x200f || (c >= 0x2028 && c <= 0x202e) ||
	       (c >= 0x2066 && c <= 0x2069);
}

char *escape_text(const char *text, gssize size)
{
	const char *end = text + (size < 0 ? (gssize)strlen(text) : size);
	GString *escaped = g_string_sized_new(end - text);

	for (const char *at = text; at < end;) {
		const gunichar c = g_utf8_get_char_validated(at, end - at);
		const bool is_utf8 = c != (gunichar)-1 && c != (gunichar)-2;
		const char *next = is_utf8 ? g_utf8_next_char(at) : at + 1;

		if (is_utf8 && !g_unichar_iscntrl(c) && !is_layout(c)) {
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

char *escape_item(const char *text)
{
	g_autofree char *escaped = escape_text(text, -1);
	GString *item = g_string_new(escaped);

	g_string_replace(item, ",", "\\054", 0);
	return g_string_free(item, FALSE);
}

char *escape_printable(const char *text, bool is_utf8)
{
	GString *escaped = g_string_new(NULL);

	for (const char *at = text; *at;) {
		const gunichar c = g_utf8_get_char_validated(at, -1);
		const bool is_char = c < (gunichar)-2 && (c < 0x80 || is_utf8);
		const size_t length = is_char ? (size_t)(g_utf8_next_char(at) - at) : 1;
		const bool is_safe =
			is_char && g_unichar_isprint(c) && !(c == '\\' && at[1] == 'x');

		for (size_t i = 0; i < length; i++) {
			if (is_safe)
				g_string_append_c(escaped, at[i]);
			else
				g_string_append_printf(escaped, "\\x%02x", (guint8)at[i]);
		}
		at += length;
	}
	return g_string_free(escaped, FALSE);
}

void escape_append_size(GString *text, uint64_t size)
{
	static const char units[] = "BKMGTPE";
	double value = size;
	guint unit = 0;

	/* 1023.96K would be shown as 1024K. */
	for (; value >= 1023.95 && unit + 2 < sizeof(units); unit++)
		value /= 1024;
	const bool is_whole = (uint64_t)(value * 10 + 0.5) % 10 == 0;
	g_string_append_printf(text, "%.*f%c", is_whole ? 0 : 1, value, units[unit]);
}

void escape_append_age(GString *text, int64_t seconds)
{
	if (seconds < 100)
		g_string_append_printf(text, "%" PRId64 "s", seconds);
	else if (seconds < 100 * 60)
		g_string_append_printf(text, "%" PRId64 "m", seconds / 60);
	else if (seconds < 48 * 3600)
		g_string_append_printf(text, "%" PRId64 "h", seconds / 3600);
	else
		g_string_append_printf(text, "%" PRId64 "d", seconds / (24 * 3600));
}

/*
 * Is the byte at at written by its number? So is what would end a line, or drive a terminal: the
 * control characters of ASCII, and those that UTF-8 writes as 0xc2 and one of 0x80 to 0x9f.
 */
static bool is_escaped(const char *name, const char *at)
{
	const guchar byte = *at;

	if (byte == '/' || byte == '%' || g_ascii_iscntrl(byte))
		return true;
	if (byte == 0xc2)
		return ((guchar)at[1] & 0xe0) == 0x80;
	return (byte & 0xe0) == 0x80 && at > name && (guchar)at[-1] == 0xc2;
}

bool escape_flat(const char *name, size_t most, GString *flat)
{
	for (const char *at = name; *at; at++) {
		const bool escape = is_escaped(name, at);
		if (flat->len + (escape ? strlen("%25") : 1) > most)
			return false;
		if (escape)
			g_string_append_printf(flat, "%%%02X", (guchar)*at);
		else
			g_string_append_c(flat, *at);
	}
	return true;
}
