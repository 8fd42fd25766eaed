/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "unit.h"

/*
 * Another process, which takes memory step by step and holds it until its variable goes.
 * What this process has open and mapped it inherits.
 */
typedef struct {
	SegfsId id;             /* of what the step has taken; as a scan names it */
	int fd;                 /* one of the child's; no meaning here */
	char *at;               /* where it is mapped there */
	bool ends_first_thread; /* set by the step: a second thread goes on */
} Taken;

/* A step, in the child: taken is what the step before has left. False: it failed. */
typedef bool (*HoldTake)(Taken *taken, const void *data);

typedef struct {
	pid_t pid;
	int socket;
	Taken taken; /* by the last step */
} Hold;

void hold_start(Hold *ret_hold, HoldTake take, const void *data);
void hold_step(Hold *hold, HoldTake take, const void *data); /* data: as it was at the start */
void hold_stop(Hold *hold);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Hold, hold_stop)

/* Steps; each fills in id, fd (or -1) and at (or NULL). */
bool take_memfd(Taken *taken, const void *name);        /* open, 5000 bytes */
bool take_memfd_mapped(Taken *taken, const void *name); /* mapped only */
bool take_anon(Taken *taken, const void *unused);       /* MAP_SHARED | MAP_ANONYMOUS */
bool take_zero(Taken *taken, const void *unused);       /* /dev/zero, MAP_SHARED */
bool take_file(Taken *taken, const void *path);         /* open; it is made where missing */
bool take_file_mapped(Taken *taken, const void *path);  /* mapped only */
bool take_segment(Taken *taken, const void *unused);    /* makes one, of 5000 bytes, attached */
bool take_first_threads_end(Taken *taken, const void *unused);
/* Of what the step before has taken. */
bool take_again(Taken *taken, const void *unused); /* opened, mapped or attached once more */
bool take_less(Taken *taken, const void *unused);  /* closed, unmapped or detached */

/* A process for one segment that is there already; it has it attached after hold_attach(). */
void hold_segment(Hold *ret_hold, int shmid);
void hold_attach(Hold *hold);
void hold_attach_read_only(Hold *hold);
void hold_detach(Hold *hold);
void hold_fill(Hold *hold, char byte);              /* the first 4096 bytes */
void hold_leave_namespace(Hold *hold, size_t size); /* has the same id in another one */

/* A segment that a process made that has ended since. */
int segment_make_by_dead(size_t size, mode_t mode);

/* By device and inode number. */
SegfsId id_of_stat(SegfsKind kind, const struct stat *st);
SegfsId id_of_segment(const SegfsIpc *ipc, int shmid);

SegfsScan *scan_now(SegfsScanner *scanner);
/* NULL: pid does not hold it. */
const SegfsHolder *scan_holder(const SegfsScan *scan, const SegfsId *id, pid_t pid);
