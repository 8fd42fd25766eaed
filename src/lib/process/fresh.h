/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <segfs/since.h>

/* When an answer was got that is kept for others. All 0: there is none. Microseconds, monotonic. */
typedef struct {
	gint64 from; /* when the look at things began */
	gint64 took;
} Fresh;

/* An answer is there, for which the look has just ended. */
static inline void fresh_got(Fresh *fresh, gint64 from)
{
	*fresh = (Fresh){from, g_get_monotonic_time() - from};
}

static inline bool fresh_enough(const Fresh *fresh, SegfsSince since)
{
	enum { TIMES = 4 };

	if (fresh->from == 0)
		return false;
	return since.is_recent ? g_get_monotonic_time() < fresh->from + (1 + TIMES) * fresh->took
			       : fresh->from >= since.from;
}
