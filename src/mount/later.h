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
typedef struct Later Later;

/* Answers the request; name and fi, which can be NULL, are its own copies. */
typedef void (*LaterRun)(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size,
			 struct fuse_file_info *fi);

Later *later_new(void);
/* Waits for what has begun; what has not is answered with an error. */
void later_free(Later *later);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Later, later_free)

void later_do(Later *later, LaterRun run, fuse_req_t req, fuse_ino_t ino, const char *name,
	      size_t size, const struct fuse_file_info *fi);
