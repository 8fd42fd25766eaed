/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <segfs/caller.h>
#include <segfs/posix.h>
#include <segfs/scan.h>
#include <segfs/sysv.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * What has happened to shared memory, also when nobody is left to ask: who left a SysV segment
 * behind (the kernel tells at the end of a task: bpf(2), of all IPC namespaces), made, attached and
 * removed it (where it takes function probes), who made, renamed and removed a POSIX object
 * (fanotify(7) on its tmpfs). One thread waits for both, and sleeps while nothing happens. What is
 * remembered is bounded, and what was lost is counted. Safe to use from many threads.
 */
typedef struct SegfsHistory SegfsHistory;

typedef struct {
	const char *proc_root; /* NULL: /proc */
	bool no_arguments;     /* of no process the command line is kept */
	bool stacks;           /* and how the creator has made it, */
	const char *symbols;   /* with that program's help; NULL: without names of functions */
	const char
		*directory; /* where it is kept for the next one; NULL: nowhere. Made if missing */
	const char *name;   /* whose it is there: any text, such as the mountpoint */
} SegfsHistoryOptions;

/*
 * Begins; needs root of the host, and is there without, too: then it says why it knows nothing.
 * Free with segfs_history_free(). Cannot fail.
 */
SegfsHistory *segfs_history_new(const SegfsHistoryOptions *options);

/* Ends its thread, and keeps what is known, where it has a directory for that. Cannot fail. */
void segfs_history_end(SegfsHistory *history);

/* The same, and frees it. Cannot fail. */
void segfs_history_free(SegfsHistory *history);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SegfsHistory, segfs_history_free)

/*
 * Watches the tmpfs that the directory of POSIX objects is the root of. What the calling process
 * does there itself is for others, and is left out. 0, or -EXDEV: the directory is not the root of
 * a tmpfs of its own; others are those of fanotify_init(2) and fanotify_mark(2).
 */
int segfs_history_watch(SegfsHistory *history, const SegfsPosix *posix);

/*
 * The same of the /dev/shm that a process of another IPC namespace sees, on the file system of that
 * st_dev, until that process ends; 1,000 at most. Where that cannot be it is not watched.
 */
void segfs_history_watch_of(SegfsHistory *history, uint64_t ns, pid_t pid, dev_t dev);
/* Is it watched? Cannot fail. */
bool segfs_history_watches(SegfsHistory *history, dev_t dev);

/* A process that has done something. */
typedef struct {
	pid_t pid;      /* 0: of a pid namespace that is not seen from here */
	uint64_t start; /* clock ticks since boot; 0: not known */
	uid_t uid;
	char command[16];   /* as it was then, of whose it may be "" */
	char *command_line; /* for a terminal; NULL: not known */
	char *cgroup;       /* likewise */
} SegfsActor;

/* False: it had ended before it could be read; only pid counts. Cannot fail. */
bool segfs_actor_is_known(const SegfsActor *actor);

/* What a process is to one that has made something and ended. */
typedef enum {
	SEGFS_KIN_ANCESTOR, /* it runs the same program */
	SEGFS_KIN_CHILD,    /* it was left behind */
	SEGFS_KIN_DOUBTFUL, /* an ancestor that runs what the other may have run when it did */
} SegfsKinRole;

typedef struct {
	pid_t pid;
	SegfsKinRole role;
	uint64_t start; /* clock ticks since boot */
} SegfsKinsman;

/* Who may go on with what a process has made, as its end has shown. */
typedef struct {
	bool is_known; /* these are all; false: at least these */
	bool is_alone; /* it has left no descendant */
	/* One has lost its parent before: there may be others, whom no scan has seen as such. */
	bool is_scattered;
	pid_t parent;
	guint n;
	SegfsKinsman all[];
} SegfsKin;

/*
 * The user stack with which a process has made a piece of shared memory: where in which files its
 * code was. It never changes. Safe to use from many threads.
 */
typedef struct SegfsStack SegfsStack;

/* stack can be NULL, and is returned. Cannot fail. */
SegfsStack *segfs_stack_ref(SegfsStack *stack);
/* Frees it with the last reference. Cannot fail. */
void segfs_stack_unref(SegfsStack *stack);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SegfsStack, segfs_stack_unref)

typedef struct {
	const char *file; /* its path as the process had it, from the root where it begins with a
			     slash, else its end alone; any bytes. NULL: offset is an address */
	const char *build_id; /* of that file, in hex; NULL: not known */
	uint64_t offset;      /* in the file, bytes; where the function is gone back to */
} SegfsFrame;

/* Could the process's user have looked into it (PR_SET_DUMPABLE of prctl(2))? Cannot fail. */
bool segfs_stack_is_dumpable(const SegfsStack *stack);

/* Frames, 1 or more. Cannot fail. */
guint segfs_stack_n(const SegfsStack *stack);
/* That one, from 0, the innermost; what it points to is the stack's. Cannot fail. */
SegfsFrame segfs_stack_frame(const SegfsStack *stack, guint i);

/* "nightly-job+0x1f2a", for a terminal; the caller's to free. Cannot fail. */
char *segfs_frame_text(const SegfsFrame *frame);

/* What is known of one piece of memory. */
typedef struct {
	SegfsActor creator;
	SegfsKin *kin;     /* of the creator; NULL: not known */
	SegfsStack *stack; /* with which the creator has made it; NULL: not known */
	int64_t made;      /* microseconds since 1970; 0: not known */
	int64_t ended;     /* when the creator did, likewise; 0: not known */
	int code;          /* how, as wait(2) has it; with ended */
	bool ended_unseen; /* it has ended while nobody watched */
	SegfsActor holder; /* of a segment who has detached it last, without strings; pid 0: not
			      known */
	int64_t detached;  /* when, microseconds since 1970; with holder */
	int holder_code;   /* how it has ended then, as wait(2) has it; -1: it went on */
} SegfsPast;

/* Frees what is in it. Cannot fail. */
void segfs_past_clear(SegfsPast *past);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(SegfsPast, segfs_past_clear)

/*
 * What is known of the segment, which is of the IPC namespace of ipc: only where it is that very
 * one, not another that has its number, key and size by now. history can be NULL. Cannot fail.
 */
bool segfs_history_of_sysv(SegfsHistory *history, const SegfsIpc *ipc, const SegfsSysv *segment,
			   SegfsPast *ret_past);

/* The same of a POSIX object: segfs_object_read(). Cannot fail. */
bool segfs_history_of_object(SegfsHistory *history, const SegfsObject *object, SegfsPast *ret_past);

/*
 * The kin of the process that had that number when it used a segment last (used: seconds since
 * 1970), where it has ended lately; the caller's to free. NULL: not known. history can be NULL.
 * Cannot fail.
 */
SegfsKin *segfs_history_kin_of(SegfsHistory *history, pid_t pid, int64_t used);

/* How a process ended: "signal 9 (KILL)", "exit status 1"; the caller's to free. Cannot fail. */
char *segfs_end_text(int code);

/*
 * From where what is known comes, and since when, or why nothing is known: "the ends of tasks and
 * /dev/shm, since 2026-11-25 08:00:02 +0000, 0 events lost". The caller's to free. Cannot fail.
 */
char *segfs_history_text(SegfsHistory *history);

typedef struct {
	uint64_t seen; /* events */
	uint64_t lost; /* at least so many, for which there was no room on their way */
} SegfsHistoryCounts;

/* Events so far. Cannot fail. */
void segfs_history_count(SegfsHistory *history, SegfsHistoryCounts *ret_counts);
