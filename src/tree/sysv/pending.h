/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "tree/sysv/segment.h"

/*
 * A segment that is being made through key/ (doc/contract.md). A file there can be created
 * before it has a size, a segment cannot: until the size is known, by ftruncate(2),
 * fallocate(2) or the close of what was written, there is only this. What is written
 * meanwhile is kept in a memfd, as much in all as the namespace has left of shmall.
 *
 * Which close is the last one? The kernel tells of each (flush) and waits for the answer,
 * so that an error reaches the program; of the last it tells too late (release). A shell's
 * `head -c 1M /dev/zero > key/0x5` opens, duplicates and closes before head runs, and in
 * `(a; b) > key/0x5` each of a and b closes as it ends. So what makes the segment is a
 * close by the process that opened it, once something is written; and, failing that, the
 * release.
 */

/* Takes a copy of caller: the segment is made with its rights. */
int pending_new(IpcNs *ns, const SegfsCaller *caller, key_t key, mode_t mode,
		Pending **ret_pending);
void pending_free(Pending *pending);

/* All of these with node's lock held and node->pending not NULL. */
int pending_open(SegmentNode *node, const SegfsCaller *caller, int flags, File **ret_file);
void pending_stat(const Pending *pending, struct stat *ret_stat);
int pending_setattr(SegmentNode *node, const SegfsCaller *caller, const NodeChange *change);
int pending_read(Pending *pending, size_t size, off_t offset, FileSpan *ret_span);
/* At PENDING_END: behind what is there; stat shows no size, so the kernel cannot know. */
#define PENDING_END ((off_t)-1)
ssize_t pending_write(Pending *pending, const void *bytes, size_t size, off_t offset);
off_t pending_seek(Pending *pending, off_t offset, int whence);
int pending_allocate(SegmentNode *node, int mode, off_t offset, off_t length);
int pending_close(SegmentNode *node, const SegfsCaller *caller);
/* No file is left: the segment is made if there is something to make it of. */
void pending_release(SegmentNode *node);
