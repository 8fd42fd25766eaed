/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is remembered is kept for the daemon that comes after this one. */

#include "lib/history/inside.h"

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
