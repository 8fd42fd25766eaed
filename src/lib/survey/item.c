/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/survey/survey.h"

SegfsItem *item_new(void)
{
	SegfsItem *item = g_new0(SegfsItem, 1);

	item->holders = g_array_new(FALSE, TRUE, sizeof(SegfsHolder));
	return item;
}

void segfs_item_free(SegfsItem *item)
{
	g_array_unref(item->holders);
	g_clear_pointer(&item->scan, segfs_scan_unref);
	g_free(item->name);
	g_free(item->creator);
	g_free(item);
}
