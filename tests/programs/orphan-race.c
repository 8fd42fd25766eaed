/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * rm of orphans against somebody who comes at a random moment: does rm ever take what was in use
 * when it began, and how long is the instant in which it takes what came later?
 *
 *   orphan-race ORPHANS ROUNDS
 *
 * ORPHANS is the directory of a mount with orphan_age=1. Each round has a segment whose creator has
 * ended. One thread removes it there; another attaches it, in every other round to stay, else to
 * write and detach, at a moment around that. Prints how often which happened, and the instant's
 * length: the part of an rm in which who came was not seen.
 */

#include <err.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 500, PATIENCE = 20 };

static const char *orphans;
static int ids[BATCH];

/* Of a round; written by one thread and read by the other across the two counters. */
static struct {
	int id;
	bool stays;
	double delay; /* seconds from the start of the round */
	double begin, end;
	bool attached;
	char *at;
} visit;
static _Atomic int started, done;

static struct {
	long rounds, removed, kept, early_lost, late_attached, within, within_lost, errors, skipped;
	double length, removals;
} sums;

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static void wait_until(double when)
{
	while (now() < when)
		;
}

static void *visitor(void *unused)
{
	for (int round = 1;; round++) {
		while (started < round)
			;
		wait_until(visit.begin + visit.delay);
		visit.begin = now();
		visit.at = shmat(visit.id, NULL, 0);
		visit.attached = visit.at != (char *)-1;
		if (visit.attached && !visit.stays) {
			*visit.at = 'x';
			shmdt(visit.at);
		}
		visit.end = now();
		done = round;
	}
	return NULL;
}

/* The creator ends at once. */
static void make_batch(void)
{
	int ends[2];

	if (pipe(ends) < 0)
		err(2, "pipe");
	const pid_t child = fork();
	if (child == 0) {
		for (int i = 0; i < BATCH; i++)
			ids[i] = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);
		_exit(write(ends[1], ids, sizeof(ids)) == sizeof(ids) ? 0 : 1);
	}
	if (child < 0 || read(ends[0], ids, sizeof(ids)) != sizeof(ids))
		err(2, "no segments");
	close(ends[0]);
	close(ends[1]);
	waitpid(child, NULL, 0);
}

static void path_of(int id, char *path, size_t size)
{
	snprintf(path, size, "%s/sysv-%d", orphans, id);
}

/* Until the last that was made is an orphan. */
static void await_batch(void)
{
	const double deadline = now() + PATIENCE;
	const struct timespec pause = {0, 100000000};
	char path[4096];

	path_of(ids[BATCH - 1], path, sizeof(path));
	while (access(path, F_OK) < 0) {
		if (now() > deadline)
			errx(2, "%s: no orphan", path);
		nanosleep(&pause, NULL);
	}
}

static void count(int error, double begin, double end)
{
	const bool removed = error == 0;

	sums.rounds++;
	sums.removed += removed;
	sums.kept += error == EBUSY || error == ENOENT;
	sums.errors += error != 0 && error != EBUSY && error != ENOENT;
	sums.removals += end - begin;
	if (!visit.attached)
		return;
	/* What stays attached, or was used not a second ago, is no orphan. */
	if (visit.end < begin)
		sums.early_lost += removed;
	else if (visit.begin > begin && visit.end < end) {
		sums.within++;
		sums.within_lost += removed;
	} else {
		sums.late_attached += removed;
	}
}

static void run_round(int round, int id, double mean)
{
	static unsigned int random = 1;
	char path[4096];

	path_of(id, path, sizeof(path));
	/* So that nobody has to look the name up in the race. On a busy machine a process may be
	 * one that could not be examined in time: then nothing is an orphan. */
	if (access(path, F_OK) < 0) {
		sums.skipped++;
		return;
	}
	/* From half an rm before it begins to its end. */
	visit.id = id;
	visit.stays = round % 2;
	visit.delay = 1.5 * mean * rand_r(&random) / RAND_MAX;
	visit.begin = now();
	const double start = visit.begin + mean / 2;
	started = round;
	wait_until(start);
	const double begin = now();
	const int error = unlink(path) < 0 ? errno : 0;
	const double end = now();
	while (done < round)
		;
	count(error, begin, end);
	if (visit.attached && visit.stays)
		shmdt(visit.at);
	if (error)
		shmctl(id, IPC_RMID, NULL);
}

int main(int argc, char **argv)
{
	pthread_t thread;
	double mean = 300e-6;

	if (argc != 3)
		errx(2, "usage: orphan-race ORPHANS ROUNDS");
	orphans = argv[1];
	const int rounds = atoi(argv[2]);
	if (pthread_create(&thread, NULL, visitor, NULL) != 0)
		errx(2, "no thread");
	for (int round = 0; round < rounds;) {
		make_batch();
		await_batch();
		for (int i = 0; i < BATCH && round < rounds; i++) {
			run_round(++round, ids[i], mean);
			if (sums.rounds)
				mean = sums.removals / (double)sums.rounds;
		}
	}
	printf("rounds %ld removed %ld kept %ld errors %ld skipped %ld\n", sums.rounds,
	       sums.removed, sums.kept, sums.errors, sums.skipped);
	printf("early_lost %ld\n", sums.early_lost);
	printf("across the end of rm %ld, within rm %ld, of those lost %ld\n", sums.late_attached,
	       sums.within, sums.within_lost);
	printf("rm takes %.1f us; the instant in which nobody is seen: %.2f us\n",
	       1e6 * sums.removals / (double)sums.rounds,
	       sums.within ? 1e6 * sums.removals / (double)sums.rounds * (double)sums.within_lost /
				     (double)sums.within
			   : 0);
	return sums.early_lost > 0 || sums.errors > 0;
}
