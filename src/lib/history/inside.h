/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lib/history/history.h"
#include "lib/history/names.h"
#include "lib/history/probe.h"
#include "lib/history/witness.h"

/* What history.c writes and past.c reads. */
struct SegfsHistory {
	Probe *probe; /* NULL: why_no_probe */
	char *why_no_probe;
	uint64_t probe_lost; /* the thread's own: of probe_lost(), what is counted in lost */
	Names *names;        /* NULL: why_no_names */
	char *why_no_names;
	Witness *witness; /* the thread's own */
	int stop_fd;
	GThread *thread;     /* NULL: there is nothing to wait for */
	int64_t since;       /* microseconds since 1970 */
	uint64_t since_boot; /* CLOCK_BOOTTIME, nanoseconds: the programs in the kernel run since
				before it */

	GMutex lock; /* protects what follows */
	Log *log;
	Table *table;
	guint n_watched; /* directories of POSIX objects */
	uint64_t seen, lost;
	uint64_t told; /* of seen: whom it concerns was told */

	GMutex change_lock; /* protects what follows, and is held over the call */
	HistoryChanged changed;
	gpointer changed_data;
};

/* Takes the line. Call with the lock held. */
void history_add_line(SegfsHistory *history, GString *line);

/* Lines may have been added: see history_on_change(). Call without a lock. */
void history_tell(SegfsHistory *history);
