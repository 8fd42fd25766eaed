/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <linux/types.h>

/* What ends.bpf.c tells, and ends.c reads: through a ring buffer, and from two tables. */

#define ENDS_COMMAND 16
#define ENDS_ARGUMENTS 256
#define ENDS_SEGMENTS 16
#define ENDS_TICK 10000000 /* nanoseconds; /proc counts in ticks, 100 a second, in every kernel */
#define ENDS_KEPT 2048     /* processes that have ended, or have run another program, lately */

/* A process as it was when it ended, or before it ran another program. */
struct ends_process {
	__u64 at;     /* CLOCK_BOOTTIME, nanoseconds */
	__u64 coarse; /* CLOCK_MONOTONIC_COARSE, nanoseconds; of one that runs another program only
		       */
	__u64 start;  /* likewise */
	__u64 cgroup; /* the id of its cgroup, version 2 */
	__u32 pid;    /* in the pid namespace of the reader; 0: it is not seen there */
	__u32 uid;    /* of the first user namespace */
	__s32 code;   /* as wait(2) has it; with has_ended only */
	__u32 has_ended;
	__u32 is_daemon;      /* it is a segfs of root's, whose segments are its callers' */
	__u32 arguments_size; /* bytes; 0: not known */
	char command[ENDS_COMMAND];
	char arguments[ENDS_ARGUMENTS]; /* a NUL after each */
};

struct ends_segment {
	__u64 size;
	__u64 ns_id; /* never given again (NS_GET_ID); 0: this kernel has none */
	__s64 ctime;
	__u32 ns; /* as in /proc/PID/ns/ipc */
	__u32 key;
	__s32 shmid;
	__u32 padding;
};

/* One thing that has come through the ring. */
struct ends_event {
	struct ends_process process;
	__u32 n;    /* segments that it has made and not removed; 0: it was only waited for */
	__u32 more; /* there were more than could be told */
	struct ends_segment segments[]; /* 1, and ENDS_SEGMENTS in those that follow */
};
