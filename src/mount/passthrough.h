/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <fuse_lowlevel.h>

#include "tree/node.h"

/*
 * FUSE passthrough: the kernel reads, writes and maps a file of the mount itself, from a backing
 * file that the daemon names (Documentation/filesystems/fuse-passthrough.rst).
 *
 * An id stands for the backing file, and the kernel demands the same id from all opens that an
 * inode has at a time: another, or none, is EIO. So each node has one id from its first open to
 * its last release. The daemon counts an open before the answer and a release after the kernel is
 * done with it, so its count is never below the kernel's, and no id is given up too early.
 */
typedef struct Passthrough Passthrough;

Passthrough *passthrough_new(void);
void passthrough_free(Passthrough *passthrough);

/* Counts one more open of node, whose memory is fd, and finds its id. -errno: there is none. */
int passthrough_open(Passthrough *passthrough, fuse_req_t req, const Node *node, int fd,
		     int *ret_id);
/* Counts one open less. */
void passthrough_release(Passthrough *passthrough, fuse_req_t req, const Node *node);
/*
 * The same for an open whose program was killed before the answer. Its request is over, and an
 * id can only be given back within one: the next request does it.
 */
void passthrough_abandon(Passthrough *passthrough, const Node *node);
