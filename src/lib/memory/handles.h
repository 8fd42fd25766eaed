/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <fcntl.h>

#include "lib/memory/ipc.h"

/*
 * The file handles of segments' memory (name_to_handle_at(2)). A handle opens the memory again
 * without attaching it and without looking for a process that has it, and it pins nothing: once
 * the memory is freed it is ESTALE. Memory of huge pages has none.
 */
typedef struct {
	struct file_handle header;
	unsigned char bytes[MAX_HANDLE_SZ];
} MemoryHandle;

/* The handle of the memory that fd is of. False: it has none. */
bool handle_read(int fd, MemoryHandle *ret_handle);

/*
 * A descriptor of segment's memory, to read and write, the caller's to close; and its handle.
 * -ENOENT: no handle is known for just this segment, or it opens nothing any more; other errors are
 * those of open_by_handle_at(2).
 */
int handle_open(SegfsIpc *ipc, const SegfsSysv *segment, MemoryHandle *ret_handle, int *ret_fd);

/* handle is that of segment's memory, which IPC_STAT after the memory was opened has confirmed. */
void handle_remember(SegfsIpc *ipc, const SegfsSysv *segment, const MemoryHandle *handle);
