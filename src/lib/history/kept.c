/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is remembered is kept for the daemon that comes after this one. */

#include <errno.h>

#include "lib/history/inside.h"
#include "lib/os/autofd.h"

/* Where very much happens all is kept this often. */
#define KEEP_EVERY_US (5 * G_USEC_PER_SEC)

void history_keep(SegfsHistory *history)
{
	if (!history->state)
		return;
	g_autoptr(GBytes) saved = history_save(history);
	const int r = state_write(history->state, saved);
	if (r < 0)
		g_warning("history could not be kept: %s", g_strerror(-r));
}

void history_keep_full(SegfsHistory *history)
{
	const gint64 now = g_get_monotonic_time();

	g_mutex_lock(&history->lock);
	const uint64_t number = log_number(history->log);
	g_mutex_unlock(&history->lock);
	if (number == history->n_kept || now - history->kept < KEEP_EVERY_US)
		return;
	history->n_kept = number;
	history->kept = now;
	history_keep(history);
}

void history_recall(SegfsHistory *history, const char *directory, const char *name)
{
	g_autofree char *why_not = NULL;

	history->state = state_open(directory, name, &history->why_not_kept);
	if (!history->state)
		return;
	g_autoptr(GBytes) saved = state_read(history->state, &why_not);
	if (!saved && why_not)
		g_warning("history begins anew: %s", why_not);
	if (saved && !history_restore(history, saved))
		g_warning("history begins anew: %s: what is kept there is of another pid "
			  "namespace, or of another version",
			  directory);
}

/*
 * An object that is known from before is that very one where number, generation and time of birth
 * agree; what is no more has gone since.
 */
static void check_object(SegfsHistory *history, const Piece *was)
{
	const NamesFile file = {was->key.domain, was->key.number, was->again};
	Names *names = was->ns ? history->others : history->names;
	g_autofree char *path = NULL;
	int64_t born = 0;
	nlink_t links = 0;
	int opened = -1;
	const int r = names ? names_open(names, &file, &opened, &path) : -EXDEV;
	autofd fd = opened;
	const bool is_it = r == 0 && names_look(fd, &born, &links) && born && born == was->born;

	g_mutex_lock(&history->lock);
	Piece *piece = table_find_same(history->table, was);
	if (piece && is_it && path && links > 0) {
		piece->is_recalled = false;
		table_rename(history->table, piece, g_steal_pointer(&path));
	} else if (piece && (r == -ESTALE || (is_it && links == 0))) {
		history_is_gone(history, piece);
	} else if (piece) {
		table_forget(history->table, &was->key);
	}
	g_mutex_unlock(&history->lock);
}

void kept_check_objects(SegfsHistory *history, dev_t dev)
{
	g_autoptr(GArray) recalled = g_array_new(FALSE, FALSE, sizeof(Piece));

	g_mutex_lock(&history->lock);
	g_autoptr(GPtrArray) pieces = table_pieces(history->table);
	for (guint i = 0; i < pieces->len; i++) {
		const Piece *piece = pieces->pdata[i];
		if (piece->is_recalled && !piece->key.is_sysv && piece->key.domain == dev)
			g_array_append_vals(recalled, piece, 1);
	}
	g_mutex_unlock(&history->lock);
	for (guint i = 0; i < recalled->len; i++)
		check_object(history, &g_array_index(recalled, Piece, i));
}
