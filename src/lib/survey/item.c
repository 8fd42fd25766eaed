/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/survey/survey.h"

/* Of 100,000 items most have no holder: they share one array, as each would take its own piece of
 * memory. */
static GArray *nobody(void)
{
	static gsize made;

	if (g_once_init_enter(&made))
		g_once_init_leave(&made, (gsize)g_array_new(FALSE, TRUE, sizeof(SegfsHolder)));
	return (GArray *)made;
}

SegfsItem *item_new(void)
{
	SegfsItem *item = g_new0(SegfsItem, 1);

	item->holders = g_array_ref(nobody());
	return item;
}

void item_add_holder(SegfsItem *item, const SegfsHolder *holder)
{
	if (item->holders == nobody()) {
		g_array_unref(item->holders);
		item->holders = g_array_new(FALSE, TRUE, sizeof(SegfsHolder));
	}
	g_array_append_val(item->holders, *holder);
}

void segfs_item_free(SegfsItem *item)
{
	g_array_unref(item->holders);
	g_clear_pointer(&item->scan, segfs_scan_unref);
	g_free(item->name);
	g_free(item->creator);
	g_free(item);
}
