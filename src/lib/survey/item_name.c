/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What items are called, in words and as files. */

#include "lib/survey/item_name.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <segfs/survey.h>
#include <string.h>

#include "lib/os/escape.h"

const char *segfs_kind_name(SegfsKind kind)
{
	static const char *const names[] = {
		[SEGFS_SYSV] = "sysv",
		[SEGFS_POSIX] = "posix",
		[SEGFS_MEMFD] = "memfd",
		[SEGFS_ANON] = "anon",
	};

	return names[kind];
}

/* kind-name, and where it is too long ~number for the rest of it. */
static char *flat_name(const char *kind, const char *name, uint64_t number)
{
	g_autofree char *end = g_strdup_printf("~%" PRIu64, number);
	GString *flat = g_string_new(kind);

	g_string_append_c(flat, '-');
	const size_t begin = flat->len;
	/* A name that is cut has at least NAME_MAX - 2 bytes, so that no other has it. */
	if (!escape_flat(name, NAME_MAX - 3, flat)) {
		g_string_truncate(flat, begin);
		escape_flat(name, NAME_MAX - strlen(end), flat);
		g_string_append(flat, end);
	}
	return g_string_free(flat, FALSE);
}

char *segfs_posix_directory_name(guint index)
{
	return index ? g_strdup_printf("posix.%u", index + 1) : g_strdup("posix");
}

static char *unlinked_name(const SegfsItem *item)
{
	g_autofree char *number = g_strdup_printf("-%" PRIu64, item->id.number);
	g_autofree char *directory = segfs_posix_directory_name(item->directory);
	GString *flat = g_string_new(item->id.kind == SEGFS_POSIX ? directory
								  : segfs_kind_name(item->id.kind));

	if (item->name) {
		g_string_append_c(flat, '-');
		escape_flat(item->name, NAME_MAX - strlen(number), flat);
	}
	g_string_append(flat, number);
	return g_string_free(flat, FALSE);
}

char *segfs_item_orphan_name(const SegfsItem *item)
{
	if (item->id.kind == SEGFS_SYSV)
		return g_strdup_printf("sysv-%" PRIu64, item->id.number);
	g_autofree char *directory = segfs_posix_directory_name(item->directory);
	return flat_name(directory, item->name, item->id.number);
}

static char *path_in_namespace(const SegfsItem *item)
{
	if (item->unlinked) {
		g_autofree char *name = unlinked_name(item);
		return g_strconcat("unlinked/", name, NULL);
	}
	if (item->id.kind == SEGFS_SYSV)
		return g_strdup_printf("sysv/%" PRIu64, item->id.number);
	g_autofree char *directory = segfs_posix_directory_name(item->directory);
	return g_strconcat(directory, "/", item->name, NULL);
}

char *segfs_item_path(const SegfsItem *item)
{
	g_autofree char *path = path_in_namespace(item);

	if (item->ns == 0)
		return g_steal_pointer(&path);
	return g_strdup_printf("ns/%" PRIu64 "/%s", item->ns, path);
}

int item_parse_id(const char *name, int *ret_id)
{
	guint64 id;

	if (!g_ascii_string_to_unsigned(name, 10, 0, INT32_MAX, &id, NULL) ||
	    (name[0] == '0' && name[1]))
		return -ENOENT;
	*ret_id = id;
	return 0;
}

int item_parse_key(const char *name, key_t *ret_key)
{
	const bool hex = name[0] == '0' && (name[1] == 'x' || name[1] == 'X');
	guint64 key;

	if (!g_ascii_string_to_unsigned(hex ? name + 2 : name, hex ? 16 : 10, 0, UINT32_MAX, &key,
					NULL))
		return -EINVAL;
	*ret_key = (key_t)key;
	return 0;
}

char *item_decode(const char *flat)
{
	g_autoptr(GString) path = g_string_new(NULL);

	for (; *flat; flat++) {
		if (*flat != '%') {
			g_string_append_c(path, *flat);
			continue;
		}
		if (!g_ascii_isxdigit(flat[1]) || !g_ascii_isxdigit(flat[2]))
			return NULL;
		g_string_append_c(path, (char)(g_ascii_xdigit_value(flat[1]) << 4 |
					       g_ascii_xdigit_value(flat[2])));
		flat += 2;
	}
	/* A path has one name. */
	g_auto(GStrv) parts = g_strsplit(path->str, "/", -1);
	for (char **part = parts; *part; part++)
		if (!**part || !strcmp(*part, ".") || !strcmp(*part, ".."))
			return NULL;
	return g_string_free(g_steal_pointer(&path), FALSE);
}
