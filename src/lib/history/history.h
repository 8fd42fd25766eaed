/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <segfs/history.h>
#include <segfs/resource.h>

#include "lib/history/witness.h"
#include "lib/record/log.h"
#include "lib/record/table.h"

/* The inside of SegfsHistory, for those who show it. */

/* See log_generation(). history can be NULL. */
Generation *history_generation(SegfsHistory *history, guint back);
/* When its text has changed last, in microseconds since 1970. */
int64_t history_generation_changed(SegfsHistory *history, const Generation *generation);
/* How long its text is by now, and size bytes of it from offset; what is behind its end is left
 * out. */
gsize history_generation_size(SegfsHistory *history, const Generation *generation);
GBytes *history_generation_read(SegfsHistory *history, const Generation *generation, gsize offset,
				gsize size);

/* Will nothing be added to it any more? */
bool history_generation_is_full(SegfsHistory *history, const Generation *generation);

/*
 * Calls changed, which may not ask the history, after lines were added: on the thread that has
 * added them, with no lock held. NULL: no longer, and no call is on its way any more.
 */
typedef void (*HistoryChanged)(gpointer data);
void history_on_change(SegfsHistory *history, HistoryChanged changed, gpointer data);

/* Copies of all that is gone, Gone, the last first; unref the array. */
GPtrArray *history_gone(SegfsHistory *history);
/* A copy of the one with that serial number, gone_free(); NULL: there is none any more. */
Gone *history_gone_one(SegfsHistory *history, uint64_t serial);

/* Segments of the namespace that are known from before and are no more are seen to be gone. */
void history_look(SegfsHistory *history, SegfsIpc *ipc);

/* See probe_holds(). -1: there is no such probe. */
int history_holds(const SegfsHistory *history);

/* Was its creation told? Then segfs_history_judge() may know more of it. history can be NULL. */
bool history_knows_resource(SegfsHistory *history, const SegfsIpc *ipc,
			    const SegfsResource *resource);

/* Is it told who removes a segment? history can be NULL. */
bool history_tells_removals(const SegfsHistory *history);
/* Likewise, who makes semaphore sets or queues? */
bool history_tells_uses(const SegfsHistory *history);

/* See symbols_of(), of a piece whose stack is known. */
char **history_name_stack(SegfsHistory *history, const SegfsCaller *caller, const SegfsPast *past);

/* What this process does for a caller is the caller's deed. history can be NULL in what follows. */
typedef enum { DEED_CREATE, DEED_REMOVE, DEED_RENAME, DEED_CHMOD } DeedVerb;

/*
 * An object's name (its new one) or path is about to be made, removed or renamed, on the file
 * system of that st_dev, for a caller who waits. What history_end() takes.
 */
typedef struct Deed Deed;
Deed *history_begin(SegfsHistory *history, const SegfsCaller *caller, DeedVerb verb, dev_t dev,
		    const char *name);
/* It was done, or r says why not. */
void history_end(SegfsHistory *history, Deed *deed, int r);

/* It was done to a segment, which is as it was before, or is now (DEED_CHMOD); the caller waits. */
void history_did(SegfsHistory *history, const SegfsCaller *caller, DeedVerb verb, SegfsIpc *ipc,
		 const SegfsSysv *segment);

/* A segment is made in the end for who has asked for it once, when it waited. */
WitnessCaller history_who(const SegfsHistory *history, const SegfsCaller *caller);
void history_made(SegfsHistory *history, const WitnessCaller *who, const SegfsIpc *ipc,
		  const SegfsSysv *segment);
