/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lib/memory/ipc.h"

/*
 * Attaching leaves traces in a segment: nattch while it lasts, atime, dtime and lpid for
 * good. Each attach of ours writes down what was there before and what it left, and every
 * answer about the segment is read through ipc_mask(), which puts back what was
 * there as long as the kernel still shows what we left. Somebody else's attach in the
 * same second as ours shows as before it in atime; lpid and nattch are exact.
 */

/* Call with the lock held, since before the kernel was asked. */
void ipc_mask(SegfsIpc *ipc, SegfsSysv *segment);

/* An address at which nothing can be attached: it is taken. NULL: there is no room to take one. */
void *ipc_occupied(void);

/*
 * Attaches and, where hold is false, detaches again; between calls seen(address, data)
 * if it is not NULL and returns what that did if it is negative. Leaves no trace.
 */
typedef int (*AttachSeen)(void *address, void *data);
int ipc_attach(SegfsIpc *ipc, int shmid, int flags, bool hold, AttachSeen seen, void *data,
	       void **ret_address);
void ipc_detach(SegfsIpc *ipc, int shmid, void *address);

/*
 * May we attach this segment at all? Not under no_attach; and not where
 * kernel.shm_rmid_forced would remove it when we detach (proc_sys_kernel(5)).
 */
bool ipc_attach_is_safe(const SegfsIpc *ipc, const SegfsSysv *segment);
