/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#define FUSE_USE_VERSION FUSE_MAKE_VERSION(3, 17)

#include <fuse_lowlevel.h>
#include <glib.h>

/*
 * Requests that take a look at all processes, on threads of their own. libfuse's threads are
 * few, and users could keep them all busy with such looks, which take the longer the more
 * mappings and mounts they have made: all else goes on beside them.
 */
typedef struct SlowPool SlowPool;

/*
 * What a request is about: data is a name, or what is to be set; data and fi can be NULL, and
 * are its own copies.
 */
typedef struct {
	fuse_ino_t ino;
	const void *data;
	size_t data_size;
	size_t number; /* a size, or flags */
	struct fuse_file_info *fi;
} Asked;

/* Answers the request. */
typedef void (*SlowRun)(fuse_req_t req, const Asked *asked);

SlowPool *slow_pool_new(void);
/* Waits for what has begun; what has not is answered with an error. */
void slow_pool_free(SlowPool *slow);

void slow_pool_do(SlowPool *slow, SlowRun run, fuse_req_t req, const Asked *asked);
