/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <linux/types.h>

#include "lib/probe/stack.h"

/* What ends.bpf.c tells, and ends.c reads: through a ring buffer, and from two tables. */

#define PROC_PID_INIT_INO 0xeffffffcU /* include/linux/proc_ns.h */
#define ENDS_COMMAND 16
#define ENDS_ARGUMENTS 256
#define ENDS_SEGMENTS 16
#define ENDS_TICK 10000000 /* nanoseconds; /proc counts in ticks, 100 a second, in every kernel */
#define ENDS_KIN 6
#define ENDS_MANY 0xffffffff
#define ENDS_LOST_EVENTS 0
#define ENDS_LOST_FAMILIES 1
#define ENDS_KEPT 2048   /* processes that have ended, or have run another program, lately */
#define ENDS_MADE 16384  /* files that were made lately */
#define ENDS_STACKS 2048 /* of those, and segments and memfds, with the stack of their creator */

struct ends_person {
	__u64 start; /* CLOCK_BOOTTIME, nanoseconds */
	__u32 pid;
	__u32 padding;
};

/* Who may go on with what a process has made. */
struct ends_kin {
	__u32 is_known; /* these are all, as far as the kernel's lists go */
	__u32 parent;   /* its pid */
	__u32 n_ancestors, n_children;
	__u32 is_alone; /* it leaves no descendant */
	/* One of its family has lost its parent, and may have come from one of its program. */
	__u32 is_scattered;
	struct ends_person ancestors[ENDS_KIN]; /* that run the same program, the nearest first */
	struct ends_person children[ENDS_KIN];
};

/* A process as it was when it ended, or before it ran another program. */
struct ends_process {
	__u64 at;     /* CLOCK_BOOTTIME, nanoseconds */
	__u64 start;  /* likewise */
	__u64 cgroup; /* the id of its cgroup, version 2 */
	__u32 pid;    /* in the pid namespace of the reader; 0: it is not seen there */
	__u32 uid;    /* of the first user namespace */
	__s32 code;   /* as wait(2) has it; with has_ended only */
	__u32 has_ended;
	__u32 is_daemon;      /* it is a segfs of root's, whose segments are its callers' */
	__u32 arguments_size; /* bytes; 0: not known */
	__u32 n_execs;        /* programs that it has run since it was forked; of one that runs
				 another program, with that; ENDS_MANY: not known */
	__u32 padding;
	__u64 before; /* with has_ended: when the last one ended that had this number before, or
			 another of few numbers; CLOCK_BOOTTIME, 0: none since the programs run */
	__u64 exec;   /* which of the programs that it has run in its life: each has another */
	struct ends_kin kin;
	char command[ENDS_COMMAND];
	char arguments[ENDS_ARGUMENTS]; /* a NUL after each */
};

/* A file of a tmpfs, and who has made it, at that moment. */
struct ends_made {
	__u64 ino;
	__u64 start, exec; /* as above */
	__u32 dev;         /* as the kernel has it */
	__u32 pid, uid, n_execs;
	char command[ENDS_COMMAND];
	__u64 sum; /* of all before it: ends_made_sum() */
};

/* Likewise how. */
struct ends_stack {
	__u64 ino;       /* of a segment or a memfd, where the kernel has it */
	__u64 start, at; /* as in ends_process */
	__u32 dev;       /* 0: of a segment or a memfd */
	__u32 padding;
	struct stack stack;
	__u64 sum; /* likewise: ends_stack_sum() */
};

/* Where it is in the table: a tmpfs numbers its files one after the other. */
static inline __u32 ends_made_index(__u32 dev, __u64 ino)
{
	return (dev * 2654435761U + (__u32)ino) % ENDS_MADE;
}

static inline __u32 ends_stack_index(__u32 dev, __u64 ino)
{
	return (dev ^ (ino * 0x9e3779b97f4a7c15ULL >> 32)) % ENDS_STACKS;
}

static inline __u64 ends_sum(const void *of, unsigned int size)
{
	typedef __u64 __attribute__((may_alias)) Word;
	const Word *words = (const Word *)of;
	__u64 sum = 1;

	for (unsigned int i = 0; i < size / sizeof(*words) - 1; i++)
		sum = (sum ^ words[i]) * 0x9e3779b97f4a7c15ULL;
	return sum;
}

static inline __u64 ends_made_sum(const struct ends_made *made)
{
	return ends_sum(made, sizeof(*made));
}

static inline __u64 ends_stack_sum(const struct ends_stack *made)
{
	return ends_sum(made, sizeof(*made));
}

struct ends_segment {
	__u64 size;
	__u64 ns_id; /* never given again (NS_GET_ID); 0: this kernel has none */
	__u64 inode; /* where the kernel has its file; 0: not known */
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

#define HOLDS_DEVICES 5

/*
 * Where a process, or a thread that has descriptors of its own, has files mapped and open: what
 * holds.bpf.c tells, which is loaded with ends.bpf.c, and holds.c reads.
 */
struct holds_process {
	__u32 pid;        /* of the process, in the pid namespace of the reader */
	__u32 is_unknown; /* it may have others than these */
	__u32 n;
	__u32 devices[HOLDS_DEVICES]; /* as the kernel has them: of a tmpfs, hugetlbfs or FUSE */
};
