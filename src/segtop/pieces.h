/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "segtop/source.h"

/* The pieces as they are shown: brought up to date by looks, filtered and sorted. */

typedef enum {
	SORT_RESIDENT,
	SORT_GROWTH,
	SORT_AGE,
	SORT_HOLDERS,
	SORT_SIZE,
	SORT_FILE,
} SortBy;

typedef struct {
	GPtrArray *all;      /* Piece */
	GHashTable *by_file; /* of them */
	GPtrArray *shown;    /* of them */

	SortBy sort;
	bool is_reversed;
	int verdict;                    /* only such; -1: all */
	char *owner, *container, *text; /* only such; NULL: all */
} Pieces;

/* A name of a user, kept for good: asking for it takes long. */
const char *owner_name(uid_t uid);

void pieces_init(Pieces *pieces);
void pieces_clear(Pieces *pieces);

/*
 * Takes what a look at that time (g_get_monotonic_time()) has found; the array is taken over. Of
 * what was seen at a glance what is known from the survey stays, unless the kernel counts other
 * attaches by now; what a glance cannot see stays.
 */
void pieces_take(Pieces *pieces, GPtrArray *found, bool is_survey, gint64 at);

/* After a change of filters or order. */
void pieces_arrange(Pieces *pieces);

/* Seconds since it was last used; -1: not known. */
int64_t piece_age(const Piece *piece, int64_t now);

/* What is in a line of the list, for a filter: file, owner, creator, container, verdict. */
bool piece_has_text(const Piece *piece, const char *text);
