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
	CALLS_SEM_CREATE,
	CALLS_SEM_GET, /* semget(2) of one that is there */
	CALLS_SEM_OPERATE,
	CALLS_SEM_CONTROL, /* semctl(2) sets values */
	CALLS_SEM_GONE,
	CALLS_MSG_CREATE,
	CALLS_MSG_GET,
	CALLS_MSG_SEND,
	CALLS_MSG_RECEIVE, /* begins: it may wait */
	CALLS_MSG_GONE,
	CALLS_MEMFD_CREATE,
	CALLS_RESIZE, /* of a memfd, or of an object */
	CALLS_MEMFD_GONE,
	CALLS_N,
};
#define CALLS_SEGMENTS CALLS_SEM_CREATE /* those before are of segments */
#define CALLS_FILES CALLS_MEMFD_CREATE  /* and from here on of memfds and objects */
#define CALLS_SETS_MOST 8192            /* semaphore sets and queues whose users are told */

static inline int calls_is_of_set(__u32 verb)
{
	return verb >= CALLS_SEGMENTS && verb < CALLS_FILES;
}

static inline int calls_is_of_queue(__u32 verb)
{
	return verb >= CALLS_MSG_CREATE;
}

/* What one process has done to one segment; of a set or queue that, once for each process. */
struct calls_event {
	__u64 at;                    /* CLOCK_BOOTTIME, nanoseconds */
	__u64 start;                 /* of the process, likewise */
	__u64 exec;                  /* as in ends_process */
	__u64 cgroup;                /* likewise */
	__u64 made;                  /* of a set or queue, when; CLOCK_BOOTTIME, no other has it */
	__u64 lost;                  /* events that were lost before it */
	struct ends_segment segment; /* what is attached and detached has no size and times here */
	__u32 verb;                  /* CALLS_CREATE and so on */
	__u32 pid;            /* in the pid namespace of the reader; 0: it is not seen there */
	__u32 uid;            /* of the first user namespace */
	__u32 cpid;           /* of the segment, as its namespace's reader has it; 0: not known */
	__u32 n_attaches;     /* of what is removed or gone */
	__u32 is_ending;      /* the process ends, and code is how */
	__s32 code;           /* as wait(2) has it */
	__u32 is_kernel;      /* the kernel itself did it: at the end of the namespace */
	__u32 has_stack;      /* see calls_stack() */
	__u32 is_ours;        /* a segfs of root's did it, for whom it says itself */
	__u32 arguments_size; /* bytes; 0: not known */
	__u32 padding;        /* what stands in the place of arguments is aligned like all this */
	char command[ENDS_COMMAND];
	char arguments[]; /* up to ENDS_ARGUMENTS, a NUL after each */
};

/* How a segment was made, behind all else. */
static inline const struct stack *calls_stack(const struct calls_event *event)
{
	return (const void *)((const char *)(event + 1) + ENDS_ARGUMENTS);
}

#define CALLS_GENERATIONS 16

#define CALLS_UNSEEN 0xffffffff

/* What stands in the place of arguments where a set or queue is made or used. */
struct calls_kin {
	__u32 has_more; /* than there is room for */
	__u32 padding;
	/* Of the process, that run the same program; pid 0: one that does not; CALLS_UNSEEN: one
	 * that the reader does not see. */
	struct ends_person ancestors[CALLS_GENERATIONS];
};

#define CALLS_WATCHED_MOST 2048 /* file systems whose objects are told of */
#define CALLS_NAME 256          /* NAME_MAX and a NUL */

/* What stands there of a memfd, or of an object of a tmpfs. */
struct calls_file {
	__u64 ino, size;
	__u32 dev; /* major << 20 | minor */
	__u32 generation;
	__u32 is_memfd;
	__u32 padding;
	char name[CALLS_NAME]; /* what memfd_create(2) was given; the last part of a path */
	char arguments[];      /* as in calls_event */
};
