/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <segfs/survey.h>

/* The inside of a survey: survey.c finds the items, verdict.c judges them. */
struct SegfsView {
	SegfsViewOptions options;
	GMutex refreshing; /* held while new directories are looked for, so that each is added once
			    */
	GMutex lock;       /* protects what follows */
	GArray *directories; /* see view.c */
	GPtrArray *own;      /* SegfsPosix that it has made; only grows */
	GHashTable *seen;    /* SegfsId -> GArray of SegfsProcess: who held a POSIX object */
	guint n_unread;      /* see segfs_view_unread() */
};

/* One round of judging. */
typedef struct {
	SegfsView *view;
	SegfsScan *scan;
	GHashTable *processes; /* see process_lives() */
	int64_t now;           /* seconds since 1970 */
} Judge;

/* evidence.c: the rule decides, and with it the verdict. */
void item_conclude(SegfsItem *item, SegfsRule rule);

/* Sets holders, verdict, evidence and creator; the rest of item is there. */
void judge_sysv(Judge *judge, SegfsItem *item);
/* at: O_PATH, of the object, or -1 where it is gone. */
void judge_object(Judge *judge, SegfsItem *item, int at);
void judge_unlinked(Judge *judge, SegfsItem *item);
