/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "segtop/pieces.h"

/* What is on the terminal, by ncurses(3). Only what can be printed gets there. */

typedef struct {
	Pieces *pieces;
	char *selected;  /* the file of the line that is */
	guint top;       /* the first line that is in sight */
	gint64 surveyed; /* when the last survey began; 0: there was none */
	uint64_t shmem;
	guint unexamined;
	const char *source; /* what it is all known from */
	char *message;      /* in the last line; NULL: the keys */
} Screen;

/* False: the terminal cannot do what it would have to, which is said. */
bool screen_start(void);
void screen_end(void);

void screen_draw_list(Screen *screen);
/* Lines of the list that there is place for. */
guint screen_page(void);
/* The selected line's number; 0 where it has gone. */
guint screen_selected(const Screen *screen);

/* A text of lines, from line top on, with a title. Returns the most that top can be. */
guint screen_draw_text(const char *title, const char *text, guint top);

/* A question, or a prompt with what has been typed, in the last line. */
void screen_draw_prompt(const char *prompt, const char *typed);
