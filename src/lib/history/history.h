/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <segfs/history.h>

#include "lib/history/log.h"
#include "lib/history/table.h"

/* The inside of SegfsHistory, for those who show it. */

/* See log_generation(). history can be NULL. */
Generation *history_generation(SegfsHistory *history, guint back);
/* How long its text is by now, and size bytes of it from offset; what is behind its end is left
 * out. */
gsize history_generation_size(SegfsHistory *history, const Generation *generation);
GBytes *history_generation_read(SegfsHistory *history, const Generation *generation, gsize offset,
				gsize size);

/* Copies of all that is gone, Gone, the last first; unref the array. */
GPtrArray *history_gone(SegfsHistory *history);
/* A copy of the one with that serial number, gone_free(); NULL: there is none any more. */
Gone *history_gone_one(SegfsHistory *history, uint64_t serial);

/*
 * These, SegfsSysv, are the segments of the namespace, as they were asked for at that time
 * (microseconds since 1970) or later: others that are known from before are gone.
 */
void history_compare(SegfsHistory *history, const SegfsIpc *ipc, const GArray *segments,
		     int64_t asked);
