/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "segtop/bars.h"

#include <ncurses.h>
#include <stdlib.h>
#include <string.h>

#include "lib/os/escape.h"
#include "segtop/source.h"

#define LABEL 12 /* columns */

/* Each part has a character of its own, for terminals without colours. */
typedef struct {
	const char *name;
	char character;
	short color;
} Part;

static const Part kinds[] = {
	[SEGFS_SYSV] = {"sysv", '#', COLOR_BLUE},
	[SEGFS_POSIX] = {"posix", '=', COLOR_CYAN},
	[SEGFS_MEMFD] = {"memfd", '+', COLOR_MAGENTA},
	[SEGFS_ANON] = {"anon", '-', COLOR_GREEN},
	{"elsewhere", '.', COLOR_WHITE},
};

static const Part verdicts[] = {
	[SEGFS_IN_USE] = {"in use", '#', COLOR_GREEN},
	[SEGFS_IDLE] = {"idle", '=', COLOR_CYAN},
	[SEGFS_ORPHANED] = {"orphaned", '!', COLOR_RED},
	[SEGFS_UNKNOWN] = {"unknown", '?', COLOR_YELLOW},
	{"elsewhere", '.', COLOR_WHITE},
};

static bool has_pairs;

void bars_start_colors(void)
{
	for (short color = COLOR_RED; color <= COLOR_WHITE; color++)
		init_pair(color, color, -1);
	has_pairs = true;
}

static void color(const Part *part, bool on)
{
	if (!has_pairs)
		return;
	if (on)
		attron(COLOR_PAIR(part->color));
	else
		attroff(COLOR_PAIR(part->color));
}

/* The last part is what the others have left of all. */
static void draw_bar(int y, const char *label, const Part *parts, guint n, const uint64_t *sums,
		     uint64_t all)
{
	const int width = COLS - LABEL - 2;
	uint64_t sum = 0;
	int x = 0;

	mvprintw(y, 0, "%-*.*s[", LABEL, MIN(LABEL, COLS), label);
	for (guint i = 0; i < n && width > 0; i++) {
		/* To the end of all so far, so that roundings do not add up. */
		sum += sums[i];
		const int end = all > 0 ? (int)((double)sum / (double)all * width + 0.5) : 0;
		color(&parts[i], true);
		for (; x < MIN(end, width); x++)
			mvaddch(y, LABEL + 1 + x, (chtype)parts[i].character);
		color(&parts[i], false);
	}
	if (width > 0)
		mvaddch(y, LABEL + 1 + width, ']');
}

static void draw_legend(int y, const Part *parts, guint n, const uint64_t *sums)
{
	int x = LABEL + 1;

	for (guint i = 0; i < n; i++) {
		g_autoptr(GString) text = g_string_new(NULL);
		g_string_append_printf(text, "%c %s ", parts[i].character, parts[i].name);
		escape_append_size(text, sums[i]);
		if (x + (int)text->len > COLS)
			return;
		color(&parts[i], true);
		mvaddnstr(y, x, text->str, (int)text->len);
		color(&parts[i], false);
		x += (int)text->len + 2;
	}
}

void bars_draw(int y, const GPtrArray *pieces, uint64_t shmem)
{
	uint64_t by_kind[G_N_ELEMENTS(kinds)] = {}, by_verdict[G_N_ELEMENTS(verdicts)] = {};
	uint64_t shown = 0;
	g_autoptr(GString) label = g_string_new("Shmem ");

	for (guint i = 0; i < pieces->len; i++) {
		const Piece *piece = pieces->pdata[i];
		if (!piece->has_resident || piece->is_huge)
			continue;
		by_kind[piece->kind] += piece->resident;
		by_verdict[piece->is_judged ? piece->verdict : SEGFS_UNKNOWN] += piece->resident;
		shown += piece->resident;
	}
	by_kind[SEGFS_ANON + 1] = by_verdict[SEGFS_UNKNOWN + 1] = shmem - MIN(shmem, shown);
	escape_append_size(label, shmem);
	draw_bar(y, label->str, kinds, G_N_ELEMENTS(kinds), by_kind, MAX(shmem, shown));
	draw_legend(y + 1, kinds, G_N_ELEMENTS(kinds), by_kind);
	draw_bar(y + 2, "verdict", verdicts, G_N_ELEMENTS(verdicts), by_verdict, MAX(shmem, shown));
	draw_legend(y + 3, verdicts, G_N_ELEMENTS(verdicts), by_verdict);
}
