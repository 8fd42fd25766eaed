/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What items are called, in words and as files. */

#include <inttypes.h>
#include <limits.h>
#include <segfs/survey.h>
#include <string.h>

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

/* kind-name, or kind-name-number where there is one, as the name of one file. */
static char *flat_name(const char *kind, const char *name, const char *number)
{
	GString *flat = g_string_new(kind);
	const size_t end = strlen(number);

	g_string_append_c(flat, '-');
	for (; *name; name++) {
		const char *part = *name == '/' ? "%2F" : *name == '%' ? "%25" : NULL;
		const size_t length = part ? 3 : 1;
		if (flat->len + length + end > NAME_MAX)
			break;
		g_string_append_len(flat, part ? part : name, length);
	}
	g_string_append(flat, number);
	return g_string_free(flat, FALSE);
}

static char *unlinked_name(const SegfsItem *item)
{
	g_autofree char *number = g_strdup_printf("-%" PRIu64, item->id.number);
	const char *kind = segfs_kind_name(item->id.kind);

	switch (item->id.kind) {
	case SEGFS_SYSV:
		return flat_name(kind, number + 1, "");
	case SEGFS_ANON:
		return flat_name(kind, number + 1, "");
	default:
		return flat_name(kind, item->name, number);
	}
}

/* "posix", "posix.2" and so on. */
static char *folder_name(const SegfsItem *item)
{
	return item->folder ? g_strdup_printf("posix.%u", item->folder + 1) : g_strdup("posix");
}

char *segfs_item_orphan_name(const SegfsItem *item)
{
	g_autofree char *number = g_strdup_printf("%" PRIu64, item->id.number);

	if (item->id.kind == SEGFS_SYSV)
		return flat_name("sysv", number, "");
	g_autofree char *folder = folder_name(item);
	return flat_name(folder, item->name, "");
}

char *segfs_item_path(const SegfsItem *item)
{
	if (item->unlinked) {
		g_autofree char *name = unlinked_name(item);
		return g_strconcat("unlinked/", name, NULL);
	}
	if (item->id.kind == SEGFS_SYSV)
		return g_strdup_printf("sysv/%" PRIu64, item->id.number);
	g_autofree char *folder = folder_name(item);
	return g_strconcat(folder, "/", item->name, NULL);
}
