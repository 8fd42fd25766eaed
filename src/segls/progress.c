/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "segls/progress.h"

#include <stdbool.h>
#include <string.h>
#include <unistd.h>

struct Progress {
	GMutex mutex;
	GCond cond;
	bool is_over; /* under the mutex */
	const char *what;
	GThread *thread;
};

static gpointer say(gpointer data)
{
	Progress *progress = data;
	const gint64 start = g_get_monotonic_time();
	g_autofree char *line = NULL;

	g_mutex_lock(&progress->mutex);
	for (guint second = 1; !progress->is_over;) {
		if (g_cond_wait_until(&progress->cond, &progress->mutex,
				      start + second * G_TIME_SPAN_SECOND))
			continue;
		g_free(line);
		line = g_strdup_printf("%s: %u s", progress->what, second++);
		g_printerr("\r%s", line);
	}
	if (line)
		g_printerr("\r%*s\r", (int)strlen(line), "");
	g_mutex_unlock(&progress->mutex);
	return NULL;
}

Progress *progress_start(const char *what)
{
	if (!isatty(STDERR_FILENO))
		return NULL;
	Progress *progress = g_new0(Progress, 1);
	g_mutex_init(&progress->mutex);
	g_cond_init(&progress->cond);
	progress->what = what;
	progress->thread = g_thread_new("progress", say, progress);
	return progress;
}

void progress_end(Progress *progress)
{
	if (!progress)
		return;
	g_mutex_lock(&progress->mutex);
	progress->is_over = true;
	g_cond_signal(&progress->cond);
	g_mutex_unlock(&progress->mutex);
	g_thread_join(progress->thread);
	g_cond_clear(&progress->cond);
	g_mutex_clear(&progress->mutex);
	g_free(progress);
}
