/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * An object whose last name was removed while somebody held it lives on, and inotify(7) tells when
 * it does not any more. A watch holds no memory and is no holder; it takes some 100 bytes of the
 * kernel's. Of a segment it would take an attach, which all of the host would see.
 */

#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "lib/history/inside.h"
#include "lib/os/fd.h"

/* So many at once. All of the user have a share of fs.inotify.max_user_watches. */
#define WATCHED_MOST 1024

typedef struct {
	char *file; /* as events have it */
	uint64_t ino, ns;
} Held;

static void held_free(gpointer data)
{
	Held *held = data;

	g_free(held->file);
	g_free(held);
}

void freed_begin(SegfsHistory *history)
{
	history->freed_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	history->held = g_hash_table_new_full(NULL, NULL, NULL, held_free);
}

void freed_end(SegfsHistory *history)
{
	if (history->freed_fd >= 0)
		close(history->freed_fd);
	g_hash_table_unref(history->held);
}

void freed_watch(SegfsHistory *history, int fd, const Piece *piece)
{
	FdPath path;

	if (history->freed_fd < 0 || g_hash_table_size(history->held) >= WATCHED_MOST)
		return;
	fd_path(fd, path);
	const int watch = inotify_add_watch(history->freed_fd, path, IN_DELETE_SELF);
	if (watch < 0)
		return;
	Held *held = g_new0(Held, 1);
	held->file = g_strdup_printf("posix/%s", piece->name);
	held->ino = piece->key.number;
	held->ns = piece->ns;
	g_hash_table_replace(history->held, GINT_TO_POINTER(watch), held);
}

static void take_freed(SegfsHistory *history, const struct inotify_event *event)
{
	const Held *held = g_hash_table_lookup(history->held, GINT_TO_POINTER(event->wd));

	if (event->mask & IN_Q_OVERFLOW)
		history_lose(history, 1);
	if (held && event->mask & (IN_DELETE_SELF | IN_UNMOUNT)) {
		GString *line = log_line(g_get_real_time(), "gone", held->file);
		if (held->ns)
			log_field_number(line, "ns", held->ns);
		log_field_number(line, "inode", held->ino);
		g_mutex_lock(&history->lock);
		history_add_line(history, line);
		g_mutex_unlock(&history->lock);
	}
	/* The last of a watch; its number is not given again soon. */
	if (event->mask & IN_IGNORED)
		g_hash_table_remove(history->held, GINT_TO_POINTER(event->wd));
}

void freed_read(SegfsHistory *history)
{
	_Alignas(struct inotify_event) char buffer[4096];
	struct inotify_event event;
	ssize_t n;

	while ((n = read(history->freed_fd, buffer, sizeof(buffer))) > 0)
		for (const char *at = buffer; at < buffer + n; at += sizeof(event) + event.len) {
			memcpy(&event, at, sizeof(event));
			take_freed(history, &event);
		}
}
