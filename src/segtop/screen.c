/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "segtop/screen.h"

#include <inttypes.h>
#include <ncurses.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "lib/os/escape.h"
#include "segtop/bars.h"

#define HEADING_LINES 6 /* title, two bars with what they mean, headings */
#define LEAST_FOR_BARS 14
#define KEYS "Enter info  l holders  y history  d remove  v u c / filter  r g a h s n sort  ? help"

static bool is_utf8;

/*
 * A size that has changed and changed back before ncurses asks for it is no new one to it, and it
 * draws nothing; but the terminal has thrown away what did not fit meanwhile.
 */
static struct sigaction of_ncurses;
static volatile sig_atomic_t is_resized;

static void resized(int signal)
{
	is_resized = 1;
	of_ncurses.sa_handler(signal);
}

static void watch_size(void)
{
	sigaction(SIGWINCH, NULL, &of_ncurses);
	if (of_ncurses.sa_handler == SIG_DFL || of_ncurses.sa_handler == SIG_IGN)
		return;
	struct sigaction own = of_ncurses;
	own.sa_handler = resized;
	sigaction(SIGWINCH, &own, NULL);
}

/* What is drawn next is all there is. */
static void begin(void)
{
	if (is_resized) {
		is_resized = 0;
		clearok(curscr, true);
	}
	erase();
}

bool screen_start(void)
{
	is_utf8 = g_get_charset(NULL);
	if (!newterm(NULL, stdout, stdin))
		return false;
	cbreak();
	noecho();
	keypad(stdscr, true);
	nodelay(stdscr, true);
	set_escdelay(50);
	curs_set(0);
	if (has_colors() && !g_getenv("NO_COLOR")) {
		start_color();
		use_default_colors();
		bars_start_colors();
	}
	watch_size();
	return true;
}

void screen_end(void)
{
	endwin();
}

/* Columns that a character takes; one that takes none of its own is part of the one before. */
static int width_of(gunichar c)
{
	return MAX(wcwidth((wchar_t)c), 0);
}

/*
 * Puts text that others may have named into so many columns, "~" where it is cut; aligned right
 * where right is true.
 */
static void put(int y, int x, int columns, const char *text, bool right)
{
	g_autofree char *safe = escape_printable(text, is_utf8);
	const char *end = safe;
	int width = 0, kept = 0;
	const char *cut = safe; /* up to here one column is left */

	for (; *end; end = g_utf8_next_char(end)) {
		const int next = width_of(g_utf8_get_char(end));
		if (width + next > columns)
			break;
		width += next;
		if (width <= columns - 1) {
			cut = g_utf8_next_char(end);
			kept = width;
		}
	}
	if (columns <= 0)
		return;
	if (*end) {
		mvaddnstr(y, x, safe, cut - safe);
		mvaddch(y, x + kept, '~');
	} else {
		mvaddnstr(y, right ? x + columns - width : x, safe, end - safe);
	}
}

typedef struct {
	const char *heading;
	int width; /* 0: what is left */
	bool is_right;
	int least; /* columns of a terminal on which it is shown */
	void (*write)(const Piece *piece, int64_t now, GString *cell);
} Field;

static void write_resident(const Piece *piece, int64_t now, GString *cell)
{
	if (piece->has_resident)
		escape_append_size(cell, piece->resident);
	else
		g_string_append_c(cell, '-');
}

static void write_size(const Piece *piece, int64_t now, GString *cell)
{
	escape_append_size(cell, piece->size);
}

static void write_growth(const Piece *piece, int64_t now, GString *cell)
{
	if (!piece->has_growth) {
		g_string_append_c(cell, '-');
		return;
	}
	if (piece->growth >= 0.5)
		g_string_append_c(cell, '+');
	if (piece->growth <= -0.5)
		g_string_append_c(cell, '-');
	escape_append_size(cell, (uint64_t)(ABS(piece->growth) + 0.5));
}

static void write_age(const Piece *piece, int64_t now, GString *cell)
{
	const int64_t age = piece_age(piece, now);

	if (age < 0)
		g_string_append_c(cell, '-');
	else
		escape_append_age(cell, age);
}

static void write_holders(const Piece *piece, int64_t now, GString *cell)
{
	if (piece->is_judged)
		g_string_append_printf(cell, "%u", piece->n_holders);
	else
		g_string_append_c(cell, '-');
}

static void write_owner(const Piece *piece, int64_t now, GString *cell)
{
	g_string_append(cell, owner_name(piece->uid));
}

static void write_verdict(const Piece *piece, int64_t now, GString *cell)
{
	g_string_append(cell, piece->is_judged ? segfs_verdict_name(piece->verdict) : "-");
}

static void write_container(const Piece *piece, int64_t now, GString *cell)
{
	g_string_append(cell, piece->container ? piece->container : "-");
}

static void write_creator(const Piece *piece, int64_t now, GString *cell)
{
	g_string_append(cell, piece->creator ? piece->creator : "-");
}

static void write_file(const Piece *piece, int64_t now, GString *cell)
{
	g_string_append(cell, piece->file);
}

static const Field fields[] = {
	{"RESIDENT", 8, true, 0, write_resident},
	{"SIZE", 7, true, 0, write_size},
	{"GROWTH/S", 8, true, 0, write_growth},
	{"AGE", 4, true, 0, write_age},
	{"HELD", 4, true, 0, write_holders},
	{"OWNER", 9, false, 0, write_owner},
	{"VERDICT", 8, false, 0, write_verdict},
	{"CREATOR", 15, false, 110, write_creator},
	{"CONTAINER", 30, false, 150, write_container},
	{"FILE", 0, false, 0, write_file},
};

/* The column by which it is sorted, in the order of SortBy. */
static const char *const sorted_by[] = {"RESIDENT", "GROWTH/S", "AGE", "HELD", "SIZE", "FILE"};

static void draw_line(int y, const Piece *piece, const Pieces *pieces, int64_t now)
{
	int x = 0;

	for (guint i = 0; i < G_N_ELEMENTS(fields); i++) {
		const Field *field = &fields[i];
		g_autoptr(GString) cell = g_string_new(NULL);
		if (COLS < field->least)
			continue;
		const int width = field->width ? MIN(field->width, COLS - x) : COLS - x;
		if (piece)
			field->write(piece, now, cell);
		else
			g_string_append(cell, field->heading);
		const bool is_sorted =
			!piece && strcmp(field->heading, sorted_by[pieces->sort]) == 0;
		if (is_sorted)
			attron(A_UNDERLINE | A_BOLD);
		put(y, x, width, cell->str, field->is_right);
		if (is_sorted)
			attroff(A_UNDERLINE | A_BOLD);
		x += width + 1;
		if (x >= COLS)
			return;
	}
}

static int first_line(void)
{
	return LINES >= LEAST_FOR_BARS ? HEADING_LINES : 2;
}

guint screen_page(void)
{
	return MAX(LINES - first_line() - 1, 1);
}

guint screen_selected(const Screen *screen)
{
	const GPtrArray *shown = screen->pieces->shown;

	for (guint i = 0; screen->selected && i < shown->len; i++)
		if (strcmp(((Piece *)shown->pdata[i])->file, screen->selected) == 0)
			return i;
	return 0;
}

static void append_filters(const Pieces *pieces, GString *text)
{
	if (pieces->verdict >= 0)
		g_string_append_printf(text, ", only %s",
				       segfs_verdict_name((SegfsVerdict)pieces->verdict));
	if (pieces->owner)
		g_string_append_printf(text, ", of %s", pieces->owner);
	if (pieces->container)
		g_string_append_printf(text, ", in %s", pieces->container);
	if (pieces->text)
		g_string_append_printf(text, ", with \"%s\"", pieces->text);
}

static void draw_title(const Screen *screen)
{
	const Pieces *pieces = screen->pieces;
	g_autoptr(GString) text = g_string_new(NULL);

	g_string_append_printf(text, "segtop %s: ", screen->source);
	if (pieces->shown->len < pieces->all->len)
		g_string_append_printf(text, "%u of ", pieces->shown->len);
	g_string_append_printf(text, "%u", pieces->all->len);
	append_filters(pieces, text);
	if (screen->surveyed > 0)
		g_string_append_printf(text, "; holders of %" PRId64 " s ago",
				       (g_get_monotonic_time() - screen->surveyed) /
					       G_USEC_PER_SEC);
	else
		g_string_append(text, "; looking at all processes");
	if (screen->unexamined > 0)
		g_string_append_printf(text, ", %u not examined", screen->unexamined);
	attron(A_BOLD);
	put(0, 0, COLS, text->str, false);
	attroff(A_BOLD);
}

static void draw_last(const char *text)
{
	move(LINES - 1, 0);
	clrtoeol();
	put(LINES - 1, 0, COLS - 1, text, false);
}

void screen_draw_list(Screen *screen)
{
	const GPtrArray *shown = screen->pieces->shown;
	const guint selected = screen_selected(screen), page = screen_page();
	const int64_t now = g_get_real_time() / G_USEC_PER_SEC;
	const int first = first_line();

	if (selected < screen->top)
		screen->top = selected;
	if (selected >= screen->top + page)
		screen->top = selected - page + 1;
	screen->top = MIN(screen->top, shown->len > page ? shown->len - page : 0);
	begin();
	draw_title(screen);
	if (first == HEADING_LINES)
		bars_draw(1, screen->pieces->all, screen->shmem);
	attron(A_REVERSE);
	mvhline(first - 1, 0, ' ', COLS);
	draw_line(first - 1, NULL, screen->pieces, now);
	attroff(A_REVERSE);
	for (guint i = screen->top; i < MIN(shown->len, screen->top + page); i++) {
		const int y = first + (int)(i - screen->top);
		if (i == selected) {
			attron(A_STANDOUT);
			mvhline(y, 0, ' ', COLS);
		}
		draw_line(y, shown->pdata[i], screen->pieces, now);
		if (i == selected)
			attroff(A_STANDOUT);
	}
	draw_last(screen->message ? screen->message : KEYS);
	refresh();
}

guint screen_draw_text(const char *title, const char *text, guint top)
{
	g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
	const guint n = g_strv_length(lines), page = MAX(LINES - 2, 1);
	const guint most = n > page ? n - page : 0;

	begin();
	attron(A_REVERSE);
	mvhline(0, 0, ' ', COLS);
	put(0, 0, COLS, title, false);
	attroff(A_REVERSE);
	for (guint i = MIN(top, most), y = 1; i < n && y <= page; i++, y++) {
		/* A tab stands after the key. */
		g_strdelimit(lines[i], "\t", ' ');
		put((int)y, 0, COLS, lines[i], false);
	}
	draw_last(most > 0 ? "Up and Down, PgUp and PgDn; q back" : "q back");
	refresh();
	return most;
}

void screen_draw_prompt(const char *prompt, const char *typed)
{
	g_autofree char *text = g_strconcat(prompt, typed, NULL);

	draw_last(text);
	refresh();
}
