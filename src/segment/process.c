/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <segfs/sysv.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "segment/ipc.h"

/* When the process started, in seconds since 1970: field 22 of /proc/PID/stat, in ticks
 * since boot. */
static bool process_started(const char *proc_root, pid_t pid, int64_t *ret_started)
{
	g_autofree char *path = g_strdup_printf("%s/%d/stat", proc_root, pid);
	g_autofree char *stat = NULL;
	unsigned long long ticks;
	struct timespec real, boot;

	if (!g_file_get_contents(path, &stat, NULL, NULL))
		return false;
	/* The command, field 2, can hold anything, brackets and blanks included. */
	const char *after = strrchr(stat, ')');
	if (!after || sscanf(after + 1,
			     " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d "
			     "%*d %*d %llu",
			     &ticks) != 1)
		return false;
	clock_gettime(CLOCK_REALTIME, &real);
	clock_gettime(CLOCK_BOOTTIME, &boot);
	*ret_started = real.tv_sec - boot.tv_sec + (int64_t)(ticks / sysconf(_SC_CLK_TCK));
	return true;
}

char *segfs_sysv_creator(SegfsIpc *ipc, const SegfsSysv *segment)
{
	g_autofree char *path = g_strdup_printf("%s/%d/comm", ipc->proc_root, segment->cpid);
	char *command = NULL;
	int64_t started;

	/* A second's grace: both clocks are cut to seconds. */
	if (segment->cpid <= 0 || !process_started(ipc->proc_root, segment->cpid, &started) ||
	    started > segment->ctime + 1)
		return NULL;
	if (!g_file_get_contents(path, &command, NULL, NULL))
		return NULL;
	return g_strchomp(command);
}
