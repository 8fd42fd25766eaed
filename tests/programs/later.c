// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * later: to be preloaded by a program that is to believe that it is LATER_SECONDS later than it is.
 * The times of a segment are the kernel's, and no call sets them: so what removes memory that
 * nobody has used for an hour is tried an hour later. The machine has then run that much longer,
 * too: by what CLOCK_BOOTTIME says, memory is unused since the boot at most. CLOCK_MONOTONIC stays,
 * by which the kernel wakes who waits.
 */
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static time_t later(void)
{
	const char *seconds = getenv("LATER_SECONDS");

	return seconds ? strtol(seconds, NULL, 10) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
	const long result = syscall(SYS_clock_gettime, clock, now);

	if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_BOOTTIME))
		now->tv_sec += later();
	return (int)result;
}

int timespec_get(struct timespec *now, int base)
{
	return base == TIME_UTC && clock_gettime(CLOCK_REALTIME, now) == 0 ? base : 0;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
	struct timespec precise;

	(void)zone;
	if (clock_gettime(CLOCK_REALTIME, &precise) != 0)
		return -1;
	now->tv_sec = precise.tv_sec;
	now->tv_usec = precise.tv_nsec / 1000;
	return 0;
}

time_t time(time_t *now)
{
	struct timespec precise = {};

	clock_gettime(CLOCK_REALTIME, &precise);
	if (now)
		*now = precise.tv_sec;
	return precise.tv_sec;
}
