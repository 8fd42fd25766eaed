/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lib/history/history.h"
#include "lib/history/names.h"
#include "lib/history/uses.h"
#include "lib/history/witness.h"
#include "lib/probe/calls_probe.h"
#include "lib/probe/probe.h"
#include "lib/stack/symbols.h"
#include "lib/state/state.h"

/* What history.c writes and past.c reads. */
struct SegfsHistory {
	Probe *probe; /* NULL: why_no_probe */
	char *why_no_probe;
	bool stacks;      /* they were asked for */
	Symbols *symbols; /* NULL: why_no_symbols, or that, too, where they were not */
	char *why_no_symbols;
	uint64_t probe_lost; /* the thread's own: of probe_lost(), what is counted in lost */
	CallsProbe *calls;   /* NULL: why_no_calls, and that is NULL where there is no probe */
	char *why_no_calls;
	/* The thread's own: calls_probe_missed(), before the last look. */
	uint64_t calls_missed;
	Names *names;  /* NULL: why_no_names */
	Names *others; /* those of other namespaces; NULL: none */
	char *why_no_names;
	Witness *witness; /* the thread's own */
	int freed_fd;     /* inotify(7) of what is in held; -1 */
	GHashTable *held; /* the thread's own: watches of objects without a name: freed.c */
	int wake_fd;      /* there are deeds, or it is to end, or somebody waits */
	_Atomic bool ends;
	GThread *thread; /* NULL: there is nothing to wait for */
	State *state;    /* NULL: nothing is kept for the next one: why_not_kept, or NULL */
	char *why_not_kept;
	uint64_t n_kept; /* the thread's own: the log's present generation when all was kept, */
	gint64 kept;     /* and when; monotonic */
	int64_t since;   /* microseconds since 1970; also of those before this one */
	int64_t gap_from, gap_to; /* the last time when none ran; 0: there was none */
	uint64_t n_gaps;
	uint64_t since_boot; /* CLOCK_BOOTTIME, nanoseconds: the programs in the kernel run since
				before it */

	GMutex lock; /* protects what follows */
	Log *log;
	Table *table;
	Uses *uses;
	guint n_watched; /* directories of POSIX objects */
	uint64_t seen, lost;
	uint64_t told; /* of seen: whom it concerns was told */

	GMutex deeds_lock; /* protects what follows: deeds.c */
	GCond deeds_changed;
	GQueue deeds; /* Deed, in the order in which they were begun */
	uint64_t deeds_lost;
	GCond round_changed;
	uint64_t round_wanted, round_done; /* see history_catch_up() */

	GMutex change_lock; /* protects what follows, and is held over the call */
	HistoryChanged changed;
	gpointer changed_data;
};

/* Takes the line. Call with the lock held. */
void history_add_line(SegfsHistory *history, GString *line);

/* Lines may have been added: see history_on_change(). Call without a lock. */
void history_tell(SegfsHistory *history);

/* A piece, the table's own, was seen to be no more. Call with the lock held. */
void history_is_gone(SegfsHistory *history, const Piece *piece);

/* Has the thread look at what is there. */
void history_wake(SegfsHistory *history);

/*
 * What has happened before the call is told of after it, unless that takes a second: false, as
 * where nothing tells. Not for the thread; call without a lock.
 */
bool history_catch_up(SegfsHistory *history);

/* The process has ended. Call with the lock held. */
void history_take_end(SegfsHistory *history, const struct ends_process *process,
		      const SegfsActor *actor, const SegfsKin *kin);

/* segments.c, for the thread: writes down what function probes have told. */
void segments_read(SegfsHistory *history);

/* files.c, for the thread: likewise of a memfd or an object. */
void files_take(SegfsHistory *history, const struct calls_event *event);

/*
 * freed.c, for the thread: the object that fd (O_PATH) is of has no name any more, but a holder.
 * When its memory is freed, that is an event; freed_read() where freed_fd is readable.
 */
void freed_begin(SegfsHistory *history);
void freed_end(SegfsHistory *history);
void freed_watch(SegfsHistory *history, int fd, const Piece *piece);
void freed_read(SegfsHistory *history);

/* kept.c: what was kept by the one before, if it was. */
void history_recall(SegfsHistory *history, const char *directory, const char *name);
/* Keeps all for the next one; where a generation of the log is full, which what is kept lacks. */
void history_keep(SegfsHistory *history);
void history_keep_full(SegfsHistory *history);

/* Events on their way have found no room, at least so many. */
void history_lose(SegfsHistory *history, uint64_t n);

/* What was before this history is not known to the program in the kernel either; for g_free(). */
SegfsKin *history_kin_of(const SegfsHistory *history, const struct ends_process *process);

/* Who has made or used something: its end, of now or later, is told to all of that. */
void history_await(SegfsHistory *history, const SegfsActor *actor);

/*
 * deeds.c, for the thread. Whom an event of our own is of, to be cleared: where one caller alone
 * has done that to a file of that name, whichever its directory is. False: none has.
 */
bool deeds_actor(SegfsHistory *history, DeedVerb verb, dev_t dev, const char *path,
		 SegfsActor *ret_actor);
/* Writes down those of which no event comes. */
void deeds_take(SegfsHistory *history);
/* No event waits: what was done before has none. */
void deeds_rest(SegfsHistory *history);
void deeds_clear(SegfsHistory *history);

/* All that is known, for the next one; and what the one before has kept. False: it is not that. */
GBytes *history_save(SegfsHistory *history);
bool history_restore(SegfsHistory *history, GBytes *saved);

/* kept.c: which objects of that device are those that are known from before. */
void kept_check_objects(SegfsHistory *history, dev_t dev);
