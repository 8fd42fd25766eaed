/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <linux/types.h>

#include "lib/probe/ends.h"

/* What calls.bpf.c tells, and calls.c reads. */

enum {
	CALLS_CREATE,
	CALLS_ATTACH,
	CALLS_INHERIT, /* a child of the process has it attached from its birth */
	CALLS_DETACH,
	CALLS_REMOVE,
	CALLS_GONE, /* the memory is freed */
	CALLS_N,
};

/* What one process has done to one segment. */
struct calls_event {
	__u64 at;                    /* CLOCK_BOOTTIME, nanoseconds */
	__u64 start;                 /* of the process, likewise */
	__u64 exec;                  /* as in ends_process */
	__u64 cgroup;                /* likewise */
	struct ends_segment segment; /* what is attached and detached has no size and times here */
	__u32 verb;                  /* CALLS_CREATE and so on */
	__u32 pid;            /* in the pid namespace of the reader; 0: it is not seen there */
	__u32 uid;            /* of the first user namespace */
	__u32 cpid;           /* of the segment, as its namespace's reader has it; 0: not known */
	__u32 n_attaches;     /* of what is removed or gone */
	__u32 is_ending;      /* the process ends, and code is how */
	__s32 code;           /* as wait(2) has it */
	__u32 is_kernel;      /* the kernel itself did it: at the end of the namespace */
	__u32 is_ours;        /* a segfs of root's did it, for whom it says itself */
	__u32 arguments_size; /* bytes; 0: not known */
	char command[ENDS_COMMAND];
	char arguments[]; /* up to ENDS_ARGUMENTS, a NUL after each */
};
