/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "segtop/keys.h"

#include <errno.h>
#include <ncurses.h>
#include <string.h>

#include "lib/os/escape.h"

#define ESCAPE 27

static const char help[] =
	"Up Down PgUp PgDn Home End   move\n"
	"Enter, i   all that is known of a piece\n"
	"l          who holds it\n"
	"y          its history: creator, last user, times\n"
	"d, Delete  remove an orphan, after a question; what somebody has by now stays\n"
	"\n"
	"r          sort by resident bytes; the same key again turns the order round\n"
	"g          by growth, bytes a second since the look before\n"
	"a          by age, seconds since it was last used\n"
	"h          by holders\n"
	"s          by size\n"
	"n          by name\n"
	"\n"
	"v          only one verdict, one after the other\n"
	"u          only what a user owns; an empty name takes the filter away\n"
	"c          only what a container has, by a part of its name or id\n"
	"/          only what has a text in its file, owner, creator, container or verdict\n"
	"x          no filter\n"
	"\n"
	"R, F5      look at all processes now\n"
	"q          quit\n"
	"\n"
	"Sizes and resident bytes are of the last look, each few seconds. Holders and verdicts "
	"take a\n"
	"look at all processes, which is made as often as it takes less than a percent of a "
	"processor;\n"
	"how old it is stands in the first line. \"-\": not known, or not looked at yet.\n";

void keys_init(Keys *keys, Worker *worker, const char *source)
{
	*keys = (Keys){.worker = worker, .typed = g_string_new(NULL)};
	pieces_init(&keys->pieces);
	keys->screen.pieces = &keys->pieces;
	keys->screen.source = source;
}

void keys_clear(Keys *keys)
{
	pieces_clear(&keys->pieces);
	g_free(keys->screen.selected);
	g_free(keys->screen.message);
	g_free(keys->title);
	g_free(keys->text);
	g_free(keys->file);
	g_string_free(keys->typed, TRUE);
}

static void say(Keys *keys, char *message)
{
	g_free(keys->screen.message);
	keys->screen.message = message;
}

static void take(char **member, const char *text)
{
	g_free(*member);
	*member = text && *text ? g_strdup(text) : NULL;
}

static const Piece *selected(const Keys *keys)
{
	const GPtrArray *shown = keys->pieces.shown;

	return shown->len > 0 ? shown->pdata[screen_selected(&keys->screen)] : NULL;
}

static void move_to(Keys *keys, gint64 line)
{
	const GPtrArray *shown = keys->pieces.shown;

	if (shown->len == 0)
		return;
	const Piece *piece = shown->pdata[CLAMP(line, 0, (gint64)shown->len - 1)];
	take(&keys->screen.selected, piece->file);
}

static bool press_move(Keys *keys, int key)
{
	const gint64 at = screen_selected(&keys->screen), page = screen_page();

	switch (key) {
	case KEY_UP:
	case 'k':
		move_to(keys, at - 1);
		return true;
	case KEY_DOWN:
	case 'j':
		move_to(keys, at + 1);
		return true;
	case KEY_PPAGE:
		move_to(keys, at - page);
		return true;
	case KEY_NPAGE:
	case ' ':
		move_to(keys, at + page);
		return true;
	case KEY_HOME:
		move_to(keys, 0);
		return true;
	case KEY_END:
		move_to(keys, G_MAXINT);
		return true;
	default:
		return false;
	}
}

static bool press_sort(Keys *keys, int key)
{
	static const char letters[] = "rgahsn"; /* in the order of SortBy */
	const char *letter = key > 0 && key < 128 ? strchr(letters, key) : NULL;
	Pieces *pieces = &keys->pieces;

	if (!letter)
		return false;
	const SortBy sort = (SortBy)(letter - letters);
	pieces->is_reversed = sort == pieces->sort && !pieces->is_reversed;
	pieces->sort = sort;
	pieces_arrange(pieces);
	take(&keys->screen.selected, NULL); /* the first is what was asked for */
	return true;
}

static void show_text(Keys *keys, const char *title, const char *text)
{
	keys->mode = KEYS_TEXT;
	keys->text_top = 0;
	take(&keys->title, title);
	take(&keys->text, text);
}

static void press_info(Keys *keys, int key)
{
	const Piece *piece = selected(keys);

	if (!piece)
		return;
	take(&keys->file, piece->file);
	keys->text_key = key;
	show_text(keys, piece->file, NULL);
	worker_ask(keys->worker, WORKER_INFO, piece->file);
}

static void press_remove(Keys *keys)
{
	const Piece *piece = selected(keys);

	if (!piece)
		return;
	if (!piece->is_judged || piece->verdict != SEGFS_ORPHANED) {
		say(keys, g_strdup_printf("%s is %s: only orphans are removed here", piece->file,
					  piece->is_judged ? segfs_verdict_name(piece->verdict)
							   : "not judged yet"));
		return;
	}
	take(&keys->file, piece->file);
	keys->mode = KEYS_QUESTION;
}

static bool press_filter(Keys *keys, int key)
{
	Pieces *pieces = &keys->pieces;

	switch (key) {
	case 'v':
		pieces->verdict = pieces->verdict == SEGFS_UNKNOWN ? -1 : pieces->verdict + 1;
		break;
	case 'x':
		pieces->verdict = -1;
		take(&pieces->owner, NULL);
		take(&pieces->container, NULL);
		take(&pieces->text, NULL);
		break;
	case 'u':
	case 'c':
	case '/':
		keys->mode = KEYS_PROMPT;
		keys->prompt_key = key;
		g_string_truncate(keys->typed, 0);
		return true;
	default:
		return false;
	}
	pieces_arrange(pieces);
	return true;
}

static void press_list(Keys *keys, int key)
{
	say(keys, NULL);
	if (press_move(keys, key) || press_sort(keys, key) || press_filter(keys, key))
		return;
	switch (key) {
	case '\n':
	case '\r':
	case KEY_ENTER:
	case 'i':
	case 'l':
	case 'y':
		press_info(keys, key);
		break;
	case 'd':
	case KEY_DC:
		press_remove(keys);
		break;
	case 'R':
	case KEY_F(5):
		worker_ask(keys->worker, WORKER_LOOKED, NULL);
		say(keys, g_strdup("looking at all processes"));
		break;
	case '?':
	case KEY_F(1):
		take(&keys->file, NULL);
		show_text(keys, "segtop " SEGFS_VERSION ": keys", help);
		break;
	case 'q':
		keys->is_over = true;
		break;
	}
}

static void press_text(Keys *keys, int key)
{
	const gint64 page = screen_page();
	gint64 top = keys->text_top;

	switch (key) {
	case KEY_UP:
	case 'k':
		top--;
		break;
	case KEY_DOWN:
	case 'j':
		top++;
		break;
	case KEY_PPAGE:
		top -= page;
		break;
	case KEY_NPAGE:
	case ' ':
		top += page;
		break;
	case KEY_HOME:
		top = 0;
		break;
	case KEY_END:
		top = G_MAXINT;
		break;
	case KEY_RESIZE:
		break;
	default:
		take(&keys->file, NULL);
		keys->mode = KEYS_LIST;
	}
	keys->text_top = (guint)CLAMP(top, 0, G_MAXINT);
}

static void press_prompt(Keys *keys, int key)
{
	GString *typed = keys->typed;
	Pieces *pieces = &keys->pieces;

	switch (key) {
	case '\n':
	case '\r':
	case KEY_ENTER:
		take(keys->prompt_key == 'u'   ? &pieces->owner
		     : keys->prompt_key == 'c' ? &pieces->container
					       : &pieces->text,
		     typed->str);
		pieces_arrange(pieces);
		keys->mode = KEYS_LIST;
		break;
	case ESCAPE:
		keys->mode = KEYS_LIST;
		break;
	case KEY_BACKSPACE:
	case 127:
	case '\b': {
		/* A whole character, of however many bytes. */
		const char *end = g_utf8_find_prev_char(typed->str, typed->str + typed->len);
		g_string_truncate(typed, end ? (gsize)(end - typed->str) : 0);
		break;
	}
	default:
		if (key >= ' ' && key <= 255)
			g_string_append_c(typed, (char)key);
	}
}

static void press_question(Keys *keys, int key)
{
	if (key == KEY_RESIZE)
		return;
	keys->mode = KEYS_LIST;
	if (key == 'y' || key == 'Y') {
		worker_ask(keys->worker, WORKER_REMOVED, keys->file);
		say(keys, g_strdup_printf("removing %s", keys->file));
	} else {
		say(keys, g_strdup_printf("%s stays", keys->file));
	}
	take(&keys->file, NULL);
}

void keys_press(Keys *keys, int key)
{
	if (key == ('L' & 0x1f))
		clearok(curscr, true);
	switch (keys->mode) {
	case KEYS_LIST:
		press_list(keys, key);
		break;
	case KEYS_TEXT:
		press_text(keys, key);
		break;
	case KEYS_PROMPT:
		press_prompt(keys, key);
		break;
	case KEYS_QUESTION:
		press_question(keys, key);
		break;
	}
}

static bool begins(const char *line, const char *const *keys)
{
	for (; *keys; keys++)
		if (g_ascii_strncasecmp(line, *keys, strlen(*keys)) == 0)
			return true;
	return false;
}

/* The lines that a key has asked for. To be freed. */
static char *wanted_lines(const char *text, int key)
{
	static const char *const holders[] = {"holder", "attaches", NULL};
	static const char *const history[] = {"creat",     "last",      "removed",  "history",
					      "attached:", "detached:", "changed:", "atime",
					      "ctime",     "dtime",     "mtime",    "cpid",
					      "lpid",      NULL};
	g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
	GString *wanted = g_string_new(NULL);

	if (key != 'l' && key != 'y')
		return g_string_free(wanted, TRUE), g_strdup(text);
	for (char **line = lines; *line; line++)
		if (begins(*line, key == 'l' ? holders : history))
			g_string_append_printf(wanted, "%s\n", *line);
	if (wanted->len == 0)
		g_string_append(wanted, key == 'l' ? "nobody that is known holds it\n"
						   : "nothing is known\n");
	return g_string_free(wanted, FALSE);
}

static void take_look(Keys *keys, WorkerAnswer *answer)
{
	if (answer->r < 0) {
		say(keys, g_strdup_printf("cannot look: %s", g_strerror(-answer->r)));
		return;
	}
	keys->screen.shmem = answer->shmem;
	if (answer->is_survey) {
		keys->screen.surveyed = answer->at;
		keys->screen.unexamined = answer->unexamined;
		if (g_strcmp0(keys->screen.message, "looking at all processes") == 0)
			say(keys, NULL);
	}
	pieces_take(&keys->pieces, g_steal_pointer(&answer->pieces), answer->is_survey, answer->at);
}

void keys_take(Keys *keys, WorkerAnswer *answer)
{
	switch (answer->kind) {
	case WORKER_LOOKED:
		take_look(keys, answer);
		break;
	case WORKER_INFO:
		/* Unless somebody has gone back meanwhile. */
		if (keys->mode != KEYS_TEXT || g_strcmp0(keys->file, answer->file) != 0)
			break;
		g_free(keys->text);
		keys->text = answer->r < 0 ? g_strdup(g_strerror(-answer->r))
					   : wanted_lines(answer->text, keys->text_key);
		break;
	case WORKER_REMOVED:
		say(keys, answer->r == 0 ? g_strdup_printf("%s is removed", answer->file)
			  : answer->r == -EBUSY
				  ? g_strdup_printf("%s stays: somebody has it, or has used it",
						    answer->file)
				  : g_strdup_printf("%s stays: %s", answer->file,
						    g_strerror(-answer->r)));
		break;
	}
}

static void draw_question(Keys *keys)
{
	const Piece *piece = g_hash_table_lookup(keys->pieces.by_file, keys->file);
	g_autoptr(GString) text = g_string_new(NULL);

	g_string_append_printf(text, "Remove %s", keys->file);
	if (piece) {
		g_string_append(text, " (");
		escape_append_size(text, piece->size);
		g_string_append_printf(text, ", of %s)", owner_name(piece->uid));
	}
	screen_draw_prompt(text->str, "? y or n");
}

void keys_draw(Keys *keys)
{
	if (keys->mode == KEYS_TEXT) {
		const guint most =
			screen_draw_text(keys->title ? keys->title : "",
					 keys->text ? keys->text : "looking", keys->text_top);
		keys->text_top = MIN(keys->text_top, most);
		return;
	}
	screen_draw_list(&keys->screen);
	if (keys->mode == KEYS_QUESTION)
		draw_question(keys);
	else if (keys->mode == KEYS_PROMPT)
		screen_draw_prompt(keys->prompt_key == 'u'   ? "owner: "
				   : keys->prompt_key == 'c' ? "container: "
							     : "text: ",
				   keys->typed->str);
}
