/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <segfs/history.h>
#include <segfs/resource.h>

#include "lib/probe/calls.h"

/*
 * Who has made and used semaphore sets and message queues, those whose creation was told. Not safe
 * to use from two threads at once.
 */
typedef struct Uses Uses;

Uses *uses_new(void);
void uses_free(Uses *uses);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Uses, uses_free)

/* How many events had not even been counted as lost before each that is taken from now on. */
void uses_missed(Uses *uses, uint64_t missed);

/* What is told of one; at: when, microseconds since 1970. kin: of who has done it. */
void uses_take(Uses *uses, const struct calls_event *event, const struct calls_kin *kin,
	       int64_t at);

/* The process has ended. start: in ticks; is_alone: it has left no descendant for certain. */
void uses_end(Uses *uses, pid_t pid, uint64_t start, int64_t ended, bool is_alone);

/* A process that may use it again. */
typedef struct {
	pid_t pid;
	uint64_t start; /* ticks */
	uid_t uid;
	char command[ENDS_COMMAND]; /* "": not known */
	bool is_relative;           /* of one that has used it: it runs the same program */
	bool has_ended;             /* and may have left a descendant */
} UsesPerson;

/* What is known of one of them. */
typedef struct {
	guint n_ended;   /* who have used it, and left nobody: */
	int64_t ended;   /* the last of them, microseconds since 1970 */
	GArray *persons; /* UsesPerson: all others */
} UsesPast;

void uses_past_clear(UsesPast *past);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(UsesPast, uses_past_clear)

/*
 * False: it was made before, or something was lost since that may be of it. ns, ns_id: of its IPC
 * namespace (ns_id 0: this kernel has none). lost: events by now.
 */
bool uses_find(Uses *uses, uint64_t ns, uint64_t ns_id, const SegfsResource *resource,
	       uint64_t lost, UsesPast *ret_past);
