/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What is kept on purpose. The list below has what is known of programs that many hosts run: an
 * entry needs a program that finds the object again in a later run, and is worse off without it.
 * What a program only leaves behind, as most do that end by a signal, is not kept.
 */

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <segfs/keep.h>
#include <string.h>

#include "lib/os/autofd.h"
#include "lib/os/procfs.h"
#include "lib/survey/survey.h"

static const Kept known[] = {
	{"posix/libpod_lock", "the locks of podman's containers"},
	{"posix/libpod_rootless_lock_*", "the locks of podman's containers"},
	{"posix/lttng-ust-wait-*", "LTTng's traced programs wait on it for a session daemon"},
	{"posix/jack-shm-registry", "JACK's list of the memory that a next server cleans up"},
};

struct SegfsKeep {
	GArray *kept; /* Kept, owned */
};

SegfsKeep *segfs_keep_new(void)
{
	SegfsKeep *keep = g_new0(SegfsKeep, 1);

	keep->kept = g_array_new(FALSE, FALSE, sizeof(Kept));
	return keep;
}

void segfs_keep_free(SegfsKeep *keep)
{
	for (guint i = 0; i < keep->kept->len; i++) {
		const Kept *kept = &g_array_index(keep->kept, Kept, i);
		g_free((char *)kept->glob);
		g_free((char *)kept->reason);
	}
	g_array_unref(keep->kept);
	g_free(keep);
}

void segfs_keep_add(SegfsKeep *keep, const char *glob, const char *reason)
{
	const Kept kept = {g_strdup(glob), g_strdup(reason)};

	g_array_append_val(keep->kept, kept);
}

int segfs_keep_read(SegfsKeep *keep, const char *path)
{
	g_autoptr(GString) text = g_string_new(NULL);

	int r = procfs_read(AT_FDCWD, path ? path : SEGFS_KEEP_FILE, text);
	if (r < 0)
		return r == -ENOENT && !path ? 0 : r;
	g_auto(GStrv) lines = g_strsplit(text->str, "\n", -1);
	for (char **line = lines; *line; line++) {
		char *reason = strchr(*line, '#');
		if (reason)
			*reason++ = '\0';
		g_strstrip(*line);
		if (**line)
			segfs_keep_add(keep, *line, reason ? g_strstrip(reason) : NULL);
	}
	return 0;
}

/* Its names, for a glob that has a directory and for one that has not; the calling function's. */
static GStrv names_of(const SegfsItem *item)
{
	g_autoptr(GStrvBuilder) names = g_strv_builder_new();

	if (item->id.kind == SEGFS_SYSV) {
		g_autofree char *sysv = g_strdup_printf("sysv/%d", item->sysv.shmid);
		g_autofree char *key = g_strdup_printf("key/0x%08x", (guint)item->sysv.key);
		g_strv_builder_add(names, sysv);
		if (item->sysv.key != 0) {
			g_strv_builder_add(names, key);
			g_strv_builder_add(names, key + strlen("key/"));
		}
	} else if (item->name) {
		g_autofree char *posix = g_strconcat("posix/", item->name, NULL);
		g_strv_builder_add(names, posix);
		g_strv_builder_add(names, item->name);
	}
	return g_strv_builder_end(names);
}

static bool matches(const Kept *kept, GStrv names)
{
	for (char **name = names; *name; name++)
		if (fnmatch(kept->glob, *name, 0) == 0)
			return true;
	return false;
}

const Kept *keep_find(const SegfsKeep *keep, const SegfsItem *item)
{
	g_auto(GStrv) names = names_of(item);

	for (guint i = 0; keep && i < keep->kept->len; i++)
		if (matches(&g_array_index(keep->kept, Kept, i), names))
			return &g_array_index(keep->kept, Kept, i);
	for (guint i = 0; i < G_N_ELEMENTS(known); i++)
		if (matches(&known[i], names))
			return &known[i];
	return NULL;
}
