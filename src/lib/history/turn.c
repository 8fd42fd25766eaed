/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The thread of history.c is told that there is something for it, and waited for. */

#include <errno.h>
#include <unistd.h>

#include "lib/history/inside.h"
#include "lib/os/deadline.h"

/* So long a call that shows what has happened waits for what is on its way, at most. */
#define PATIENCE_US G_USEC_PER_SEC

void history_wake(SegfsHistory *history)
{
	const uint64_t one = 1;

	while (write(history->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

bool history_catch_up(SegfsHistory *history)
{
	DeadlineSteps steps = {};

	if (!history->calls || !history->thread)
		return false;
	g_mutex_lock(&history->deeds_lock);
	const uint64_t round = ++history->round_wanted;
	history_wake(history);
	while (history->round_done < round &&
	       deadline_step(&history->round_changed, &history->deeds_lock, PATIENCE_US, &steps))
		;
	const bool is_done = history->round_done >= round;
	g_mutex_unlock(&history->deeds_lock);
	return is_done;
}
