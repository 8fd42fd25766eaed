/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * How fresh an answer has to be that takes long to get and is shared by those who ask: of a look
 * at all processes. A look that had begun before a question may have passed by what happened just
 * before it.
 */
typedef struct {
	bool is_recent; /* see segfs_since_recent() */
	int64_t from;   /* else: got from then on, microseconds of g_get_monotonic_time() */
} SegfsSince;

/*
 * From this moment on: whoever asks several times with one value gets one look's answer each time,
 * if all can be told of it, and whoever asks while a look goes on waits for the next. Cannot fail.
 */
static inline SegfsSince segfs_since_now(void)
{
	return (SegfsSince){.from = g_get_monotonic_time()};
}

/* The same from another moment on, in microseconds of g_get_monotonic_time(). Cannot fail. */
static inline SegfsSince segfs_since(int64_t from)
{
	return (SegfsSince){.from = from};
}

/*
 * As old as four times what it took to get: looks take no more than a fifth of the time, however
 * often somebody asks. Cannot fail.
 */
static inline SegfsSince segfs_since_recent(void)
{
	return (SegfsSince){.is_recent = true};
}
