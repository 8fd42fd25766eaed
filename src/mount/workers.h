/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#define FUSE_USE_VERSION FUSE_MAKE_VERSION(3, 17)

#include <fuse_lowlevel.h>

#include "tree/node.h"

/*
 * Requests that may wait, on threads of their own: for a look at all processes, which takes the
 * longer the more others have made, or for a lock of the kernel's that another user can hold for
 * ever. libfuse's threads are few, and all else goes on beside them.
 *
 * Requests count for somebody: a user, or a namespace. Each has a share of the workers, so who
 * has made some wait for ever waits alone.
 */
typedef struct Workers Workers;

/*
 * What a request is about; what is not of it is NULL or 0. A worker's has copies and references of
 * its own of all of it.
 */
typedef struct {
	fuse_ino_t ino, other;     /* other: a second node */
	const char *name, *target; /* target: a second name, or where a link leads to */
	const void *data;          /* bytes, or what is to be set */
	size_t data_size;
	size_t number; /* a size, flags, or a mode */
	off_t offset, length;
	struct fuse_file_info *fi;
	File *file;
	Listing *listing;
} Asked;

/* Answers the request. */
typedef void (*WorkerRun)(fuse_req_t req, const Asked *asked);

/* Each of whoever it counts for: what can be stuck keeps none of the others waiting. */
typedef enum {
	SHARE_OTHERS,
	SHARE_LOOKS,   /* what takes its time */
	SHARE_LOOKUPS, /* of names, where that takes its time */
	SHARE_CHANGES,
} WorkerShare;

typedef struct {
	fuse_req_t req;
	uint64_t unique; /* the kernel's number of the request */
	uint64_t whose;  /* for whom it counts */
	WorkerShare share;
	bool is_long; /* it takes its time; only who is killed gives it up */
	/*
	 * The kernel keeps others from the file or directory until it is answered: so it does not
	 * wait for a lock for long.
	 */
	bool is_urgent;
	WorkerRun run;
	const Asked *asked;
	Node *node, *other; /* of asked; other can be NULL */
} WorkerRequest;

/* proc_root must outlive it. */
Workers *workers_new(struct fuse_session *session, const char *proc_root);
/*
 * What has not begun is answered with an error, what has is waited for, so many milliseconds.
 * False: some are stuck; they use the session, the tree and the workers until the process ends.
 */
bool workers_end(Workers *workers, guint ms);
void workers_free(Workers *workers);

void workers_do(Workers *workers, const WorkerRequest *request);
/* For fuse_req_interrupt_func(3). */
void workers_interrupt(fuse_req_t req, void *unique);
