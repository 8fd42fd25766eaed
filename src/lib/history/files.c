/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What function probes tell of memfds, and of objects that are made larger or smaller. A memfd has
 * no name that others could not have, so it is called as in unlinked/, with its number.
 */

#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "lib/history/inside.h"
#include "lib/os/escape.h"

static char *unlinked_name(const struct calls_file *file)
{
	g_autofree char *number = g_strdup_printf("-%" PRIu64, (uint64_t)file->ino);
	GString *name = g_string_new(file->is_memfd ? "memfd-" : "posix-");

	escape_flat(file->name, NAME_MAX - strlen(number), name);
	g_string_append(name, number);
	g_string_prepend(name, "unlinked/");
	return g_string_free(name, FALSE);
}

/* The path of an object, by what is known of it, or where it is now. NULL: it has none. */
static char *find_path(SegfsHistory *history, const NamesFile *file, uint64_t *ret_ns)
{
	const Piece of = {.key = {false, file->dev, file->ino}, .again = file->generation};
	Names *all[] = {history->names, history->others};
	char *path = NULL;

	g_mutex_lock(&history->lock);
	const Piece *known = table_find_same(history->table, &of);
	if (known) {
		path = g_strdup(known->name);
		*ret_ns = known->ns;
	}
	g_mutex_unlock(&history->lock);
	for (guint i = 0; i < G_N_ELEMENTS(all) && !path; i++) {
		int opened = -1;
		int64_t born;
		nlink_t links;
		if (!all[i] || names_open(all[i], file, &opened, &path) < 0)
			continue;
		/* The kernel says where one without a name was. */
		if (!names_look(opened, &born, &links) || links == 0)
			g_clear_pointer(&path, g_free);
		close(opened);
	}
	return path;
}

static char *find_name(SegfsHistory *history, const struct calls_file *file, uint64_t *ret_ns)
{
	const NamesFile of = {probe_device_back(file->dev), file->ino, file->generation};
	g_autofree char *path = file->is_memfd ? NULL : find_path(history, &of, ret_ns);

	return path ? g_strconcat("posix/", path, NULL) : unlinked_name(file);
}

void files_take(SegfsHistory *history, const struct calls_event *event)
{
	static const char *const verbs[] = {
		[CALLS_MEMFD_CREATE - CALLS_FILES] = "create",
		[CALLS_RESIZE - CALLS_FILES] = "resize",
		[CALLS_MEMFD_GONE - CALLS_FILES] = "gone",
	};
	const struct calls_file *file = (const void *)event->arguments;
	const dev_t dev = probe_device_back(file->dev);
	g_auto(SegfsActor) actor = {};
	uint64_t ns = 0;

	if (!file->is_memfd && !segfs_history_watches(history, dev)) {
		calls_probe_watch(history->calls, dev, false);
		return;
	}
	if (!event->is_kernel && !event->is_ours)
		witness_actor_of_call(history->witness, event, file->arguments, &actor);
	g_autofree char *name = find_name(history, file, &ns);
	GString *line = log_line(witness_time(event->at), verbs[event->verb - CALLS_FILES], name);
	log_field_actor(line, "", &actor);
	if (event->is_ending && actor.pid > 0) {
		g_autofree char *end = segfs_end_text(event->code);
		log_field(line, "end", end);
	}
	if (ns)
		log_field_number(line, "ns", ns);
	log_field_number(line, "inode", file->ino);
	log_field_number(line, "size", file->size);
	g_mutex_lock(&history->lock);
	history_add_line(history, line);
	g_mutex_unlock(&history->lock);
}
