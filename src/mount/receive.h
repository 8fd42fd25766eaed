/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <fuse_lowlevel.h>
#include <stdint.h>

/*
 * Receives requests in libfuse's stead, so that the bytes of a write land in a huge page
 * of the thread that receives them: the kernel looks up each 4 KiB of a receive buffer by
 * itself, which takes longer than to copy them, and in a huge page half as long.
 *
 * A pipe is no way around: for it the kernel copies the bytes of a direct write into new pages
 * (user_pages in fuse_copy_folio(), fs/fuse/dev.c). Measured in 1 MiB writes to a SysV file,
 * ratio to native: 0.58 into libfuse's buffer, 0.62 so; spliced 0.45 where the buffer had 0.51. The
 * price is 2 MiB for each thread that has met a large write.
 */
int receive_start(struct fuse_session *session);

/* The place of the bytes of the write that this thread handles; libfuse takes it to be bytes. */
const char *receive_bytes(const char *bytes);

/*
 * The same bytes for another thread, which gives them to receive_free(): the place is theirs, or a
 * copy is. Bytes of any origin are copied.
 */
void *receive_keep(const void *bytes, size_t size);
void receive_free(void *kept);

/* The kernel's number of the request that this thread handles, which libfuse keeps to itself. */
uint64_t receive_unique(void);

/* Tells the kernel, past libfuse, which keeps the request for who is at it, that it has failed. */
void receive_end(struct fuse_session *session, uint64_t request, int error);
