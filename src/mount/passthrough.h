/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <fuse_lowlevel.h>

#include "tree/node.h"

/*
 * FUSE passthrough: the kernel reads, writes and maps a file of ours itself, from the file
 * that we name (Documentation/filesystems/fuse-passthrough.rst).
 *
 * It names that file by an id, and wants the same one from all opens that an inode has at a
 * time: another, or none, is EIO. So each node has one id from its first open to its last
 * release. We count an open before we answer it and a release after the kernel is done with
 * it, so our count is never below the kernel's, and an id is never given up too early.
 */
typedef struct Passthrough Passthrough;

Passthrough *passthrough_new(void);
void passthrough_free(Passthrough *passthrough);

/* One more open of node, whose memory is fd: the id for it. -errno where there is none. */
int passthrough_open(Passthrough *passthrough, fuse_req_t req, const Node *node, int fd,
		     int *ret_id);
/* One less. */
void passthrough_release(Passthrough *passthrough, fuse_req_t req, const Node *node);
/*
 * The same for an open of which the kernel did not want to hear any more. Its request is
 * over, and an id can only be given back with one: that is left to the next that comes.
 */
void passthrough_abandon(Passthrough *passthrough, const Node *node);
