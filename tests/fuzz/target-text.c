/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Text that others have written, into what takes it apart: cgroup paths, lines of
 * /proc/sysvipc/shm, names of orphans/ and info/, options. The first byte says which; see run.
 */

#include <glib.h>
#include <segfs/segfs.h>
#include <stdint.h>
#include <string.h>

#include <segfs/container.h>

#include "lib/memory/shm.h"
#include "lib/os/escape.h"
#include "lib/os/room.h"
#include "lib/survey/item_name.h"
#include "mount/options.h"

static void cgroup(const char *text)
{
	g_auto(SegfsContainer) found = {};
	uint64_t limit, left;

	const bool is_one = segfs_container_of_cgroup(text, &found);
	g_autofree char *container = is_one ? segfs_container_text(&found) : NULL;

	/* Whatever a cgroup is called, what is told of it does nothing to a terminal. */
	for (const char *c = container; c && *c; c++)
		g_assert_true((unsigned char)*c >= ' ' && *c != 0x7f);
	room_of_cgroup(text, "/nonexistent", &limit, &left);
}

static void sysvipc(const char *text)
{
	SegfsSysv segment;

	shm_from_line(text, &segment);
}

static void name(const char *text)
{
	g_autofree char *path = item_decode(text);
	const SegfsItem item = {.id.kind = SEGFS_POSIX, .name = (char *)text};
	int shmid;

	/* No name leads out of its directory. */
	g_assert_true(!path ||
		      (path[0] != '/' && strcmp(path, "..") != 0 && !strstr(path, "/../") &&
		       !g_str_has_prefix(path, "../") && !g_str_has_suffix(path, "/..")));
	if (item_parse_id(text, &shmid) == 0)
		g_assert_cmpint(shmid, >=, 0);
	if (*text) {
		g_autofree char *flat = segfs_item_orphan_name(&item);
		g_assert_true(!strchr(flat, '/') && strlen(flat) <= NAME_MAX);
	}
	g_autofree char *shown = escape_text(text, -1);
	g_assert_nonnull(shown);
}

static void options(const char *text)
{
	g_auto(Options) options = {};
	g_autoptr(GError) error = NULL;
	OptionsVerdict verdict;
	g_auto(GStrv) words = g_strsplit(text, "\n", 8);
	char *argv[20] = {"segfs"};
	char **arguments = argv;
	int argc = 1;

	/* Not the words that print something and end the program; -o and its value as two. */
	for (char **word = words; *word; word++) {
		if (g_str_has_prefix(*word, "-o"))
			argv[argc++] = "-o";
		if (g_str_has_prefix(*word, "-o") || (*word)[0] != '-')
			argv[argc++] = *word + (g_str_has_prefix(*word, "-o") ? 2 : 0);
	}
	if (!options_parse(&argc, &arguments, &options, &verdict, &error))
		g_assert_nonnull(error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const targets[])(const char *) = {cgroup, sysvipc, name, options};

	if (size < 1)
		return 0;
	g_autofree char *text = g_strndup((const char *)data + 1, size - 1);
	targets[data[0] % G_N_ELEMENTS(targets)](text);
	return 0;
}
