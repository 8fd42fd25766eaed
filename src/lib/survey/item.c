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
	if (item->past)
		segfs_past_clear(item->past);
	g_free(item->past);
	g_free(item);
}

SegfsProcess segfs_item_creator(const SegfsItem *item)
{
	return (SegfsProcess){
		.pid = item->creator_pid,
		.thread = item->creator_pid,
		.uid = item->sysv.cuid,
		.start = item->creator_start,
	};
}

void item_take_resident(SegfsItem *item)
{
	item->resident = item->sysv.rss;
	item->has_resident = item->sysv.has_resident;
	item->pages = item->sysv.pages;
}

/* What a process has attached says of which pages it is, and of huge ones how many there are. */
static void see_pages(SegfsItem *item)
{
	SegfsSysv *segment = &item->sysv;

	for (guint i = 0; i < item->holders->len; i++) {
		const SegfsHolder *holder = &g_array_index(item->holders, SegfsHolder, i);
		if (!holder->has_memory)
			continue;
		segment->pages = holder->is_huge ? SEGFS_PAGES_HUGE : SEGFS_PAGES_SMALL;
		if (holder->is_huge)
			segment->rss = holder->memory_resident;
		/* Else the kernel's figure is right as it is, where it was asked for. */
		segment->has_resident |= holder->is_huge || segment->rss > 0;
		return;
	}
}

void item_take_pages(SegfsItem *item)
{
	see_pages(item);
	item_take_resident(item);
}
