/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "segtop/screen.h"
#include "segtop/worker.h"

/* What keys do, and what comes of what they ask for. */

typedef enum {
	KEYS_LIST,
	KEYS_TEXT,     /* a text of one piece, or the help */
	KEYS_PROMPT,   /* a filter is typed */
	KEYS_QUESTION, /* is it to be removed? */
} KeysMode;

typedef struct {
	Pieces pieces;
	Screen screen;
	Worker *worker;
	KeysMode mode;
	bool is_over;

	char *title, *text; /* of KEYS_TEXT; text NULL: it is being looked for */
	guint text_top;
	int text_key; /* which lines of it are wanted */
	char *file;   /* of which piece the text or the question is */

	int prompt_key; /* for which filter */
	GString *typed;
} Keys;

void keys_init(Keys *keys, Worker *worker, const char *source);
void keys_clear(Keys *keys);
void keys_press(Keys *keys, int key);
void keys_take(Keys *keys, WorkerAnswer *answer);
void keys_draw(Keys *keys);
