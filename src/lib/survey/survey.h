/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <segfs/keep.h>
#include <segfs/limits.h>
#include <segfs/survey.h>

/* The inside of a survey: survey.c finds the items, verdict.c judges them. */
typedef struct {
	SegfsScanner *scanner;
	SegfsIpc *ipc;
	const SegfsKeep *keep; /* NULL: only what is known; see keep_find() */
	int64_t orphan_age;    /* seconds that memory has not been used before it is orphaned */
	SegfsHistory *history; /* NULL: there is none */
	dev_t plain;           /* see segfs_mount_ino() */
	/*
	 * Where the calling process is a mount: what it has done with a segment for others, which
	 * scans leave out. NULL: it is none. data: any.
	 */
	SegfsOpened (*opened)(int shmid, gpointer data);
	gpointer data;
	bool takes_unknown; /* also what has no name and is held in who knows which namespace */
} ViewOptions;

struct SegfsView {
	ViewOptions options;
	struct Relatives *relatives; /* see relatives.h */
	GMutex refreshing; /* held while new directories are looked for, so that each is added once
			    */
	GMutex lock;       /* protects what follows */
	GArray *directories; /* see view.c */
	GPtrArray *own;      /* SegfsPosix that it has made; only grows */
	GHashTable *seen;    /* SegfsId -> GArray of SegfsProcess: who held a POSIX object */
	GPtrArray *unread;   /* names, see segfs_view_unread_names() */
};

/* What options point to must outlive it. */
SegfsView *view_new(const ViewOptions *options);
void view_free(SegfsView *view);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SegfsView, view_free)

/*
 * One more directory of POSIX objects: the first is posix/, the second posix.2/ and so on. It must
 * outlive the view.
 */
void view_add_posix(SegfsView *view, const SegfsPosix *posix);

/* item.c: an empty one, with no holders. */
SegfsItem *item_new(void);

/* item.c: of a segment's item resident and pages, from its segment; and that from its holders. */
void item_take_resident(SegfsItem *item);
void item_take_pages(SegfsItem *item);

/* One round of judging. */
typedef struct {
	SegfsView *view;
	SegfsScan *scan;
	GHashTable *processes; /* see process_lives() */
	GHashTable *by_pid;    /* these three: see lineage.c; NULL: not needed yet */
	GHashTable *children;
	GHashTable *holding;
	GHashTable *likeness; /* see likeness.c; a reference, or NULL */
	int64_t now;          /* seconds since 1970 */
	SegfsProcess creator; /* of the segment that is judged */
} Judge;

/* keep.c: a glob, and why what it names is kept (NULL: it was not said). */
typedef struct {
	const char *glob;
	const char *reason;
} Kept;
/* The first that names the item; it lives as long as keep. NULL: there is none. */
const Kept *keep_find(const SegfsKeep *keep, const SegfsItem *item);

/* mounted.c. */
bool object_is_mounted(const Judge *judge, const SegfsItem *item);

/* evidence.c: the rule decides, and with it the verdict. */
void item_conclude(SegfsItem *item, SegfsRule rule);

/* The one way to add to item->holders, which may be everybody's empty array. */
void item_add_holder(SegfsItem *item, const SegfsHolder *holder);

/* Sets holders, verdict, evidence and creator; the rest of item is there. */
void judge_sysv(Judge *judge, SegfsItem *item);
/* at: O_PATH, of the object, or -1 where it is gone. */
void judge_object(Judge *judge, SegfsItem *item, int at);
void judge_unlinked(Judge *judge, SegfsItem *item);

/* moment.c: surveys that those share who ask within one moment. */
typedef struct Moments Moments;
typedef struct Moment Moment;

/* Of one namespace; a counted reference, that never changes. */
typedef struct {
	GPtrArray *items; /* SegfsItem */
	SegfsScan *scan;
	SegfsLimits limits;
	bool has_limits;
} Surveyed;
void surveyed_unref(Surveyed *surveyed);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Surveyed, surveyed_unref)

/* unref_owner: see moment_survey(). */
Moments *moments_new(GDestroyNotify unref_owner);
/* Nobody may be in one of them. */
void moments_free(Moments *moments);

/* Waits for others who ask: moment_leave() comes with each answer. */
Moment *moment_join(Moments *moments);
void moment_leave(Moment *moment);
/* From when on its surveys are, for what is to agree with them. */
SegfsSince moment_since(const Moment *moment);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Moment, moment_leave)

/*
 * segfs_view_survey() of what is there when the moment is over, or later. owner: a reference, which
 * is taken over, to what the view lives as long as.
 */
int moment_survey(Moment *moment, SegfsView *view, gpointer owner, Surveyed **ret_surveyed);
