/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/*
 * For a table whose entries become stale without anybody telling: to be called before one is
 * added, under the lock of the table. Looks for stale ones each time there are twice as many
 * entries, and kept more, as the last look has left; most, 0 at first, is the number for that.
 * So a table has at most twice its live entries, and kept, and an addition costs one look at an
 * entry, on the whole.
 */
static inline void sweep_table(GHashTable *table, guint *most, guint kept, GHRFunc is_stale,
			       gpointer data)
{
	if (g_hash_table_size(table) < MAX(*most, kept))
		return;
	g_hash_table_foreach_remove(table, is_stale, data);
	*most = 2 * g_hash_table_size(table) + kept;
}
