/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/report/put.h"

#include <inttypes.h>
#include <string.h>

void put_number(JsonBuilder *builder, const char *member, int64_t number)
{
	json_builder_set_member_name(builder, member);
	json_builder_add_int_value(builder, number);
}

/* The kernel's "no limit" is more than a signed number holds, and few parsers read more. */
void put_size(JsonBuilder *builder, const char *member, uint64_t size)
{
	put_number(builder, member, MIN(size, INT64_MAX));
}

void put_null(JsonBuilder *builder, const char *member)
{
	json_builder_set_member_name(builder, member);
	json_builder_add_null_value(builder);
}

void put_bool(JsonBuilder *builder, const char *member, bool value)
{
	json_builder_set_member_name(builder, member);
	json_builder_add_boolean_value(builder, value);
}

void put_time(JsonBuilder *builder, const char *member, int64_t when)
{
	if (when == 0)
		put_null(builder, member);
	else
		put_number(builder, member, when);
}

/* What is no UTF-8 comes with U+FFFD in its place. */
void put_text(JsonBuilder *builder, const char *member, const char *text)
{
	g_autofree char *valid = text ? g_utf8_make_valid(text, -1) : NULL;

	json_builder_set_member_name(builder, member);
	if (valid)
		json_builder_add_string_value(builder, valid);
	else
		json_builder_add_null_value(builder);
}

/* By which something is found again: where it is no UTF-8, its bytes too, as in a URI. */
void put_name(JsonBuilder *builder, const char *member, const char *name)
{
	put_text(builder, member, name);
	if (name && !g_utf8_validate(name, -1, NULL)) {
		g_autofree char *exact = g_strconcat(member, "_bytes", NULL);
		g_autofree char *bytes =
			g_uri_escape_bytes((const guint8 *)name, strlen(name), "/");
		put_text(builder, exact, bytes);
	}
}

void put_owner(JsonBuilder *builder, const char *member, GHashTable *names, NameOf ask, guint id)
{
	gpointer name;

	if (!g_hash_table_lookup_extended(names, GUINT_TO_POINTER(id), NULL, &name)) {
		name = ask(id);
		g_hash_table_insert(names, GUINT_TO_POINTER(id), name);
	}
	put_text(builder, member, name);
}
