/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stdbool.h>

#include "lib/probe/calls.h"
#include "lib/probe/probe.h"
#include "lib/record/actor.h"

/* Who a process is, or was. Not safe to use from two threads at once. */
typedef struct Witness Witness;

/* probe: NULL or what must outlive it. */
Witness *witness_new(const char *proc_root, Probe *probe, bool no_arguments);
void witness_free(Witness *witness);

/* CLOCK_BOOTTIME, nanoseconds. */
uint64_t witness_now(void);

/* CLOCK_BOOTTIME in nanoseconds as microseconds since 1970. */
int64_t witness_time(uint64_t boottime);

/* The same in nanoseconds since 1970, at the latest. */
int64_t witness_latest_time(uint64_t boottime);

/* What the probe says of a process, to be cleared; arguments: those of the event. */
void witness_actor_of_call(const Witness *witness, const struct calls_event *event,
			   const char *arguments, SegfsActor *ret_actor);
void witness_actor_of(const Witness *witness, const struct ends_process *process,
		      SegfsActor *ret_actor);

/*
 * The process that has caused an event which was read just now, to be cleared; of one that is not
 * known only its pid. pidfd: of it, -1: it had ended. when: of the event, nanoseconds since 1970;
 * 0: not known. False: it is a segfs mount, which has done it for somebody.
 */
bool witness_read(Witness *witness, pid_t pid, int pidfd, int64_t when, SegfsActor *ret_actor);

/* Whom this process has done something for. */
typedef struct {
	pid_t pid;      /* 0: not seen from here */
	uid_t uid;      /* with which it has asked */
	uint64_t start; /* in ticks; 0: a pidfd says that it is the same */
	uint64_t at;    /* when it has asked: CLOCK_BOOTTIME, nanoseconds */
} WitnessCaller;

/* The caller as it was then, to be cleared. pidfd: of it, -1: there is none. */
void witness_read_caller(Witness *witness, const WitnessCaller *caller, int pidfd,
			 SegfsActor *ret_actor);

/*
 * Likewise the process that has made a file: what it was when it did. False: as above.
 */
bool witness_read_maker(Witness *witness, const struct ends_made *made, int pidfd,
			SegfsActor *ret_actor);

/*
 * How many programs the process had run when it made a file at that time (when: as above), or
 * ENDS_MANY. ret_doubtful is set where it may have been one less: whom it had then, to be freed.
 */
uint32_t witness_execs(const Witness *witness, const SegfsActor *actor, int64_t when,
		       SegfsKin **ret_doubtful);

/* No event waits any more: those that come are of now, or later. */
void witness_round_ends(Witness *witness);

/* The end of that process will be an event of the probe's. False: it has ended, so. */
bool witness_await(Witness *witness, const SegfsActor *actor, struct ends_process *ret_end);
