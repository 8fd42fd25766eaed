/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * One IPC namespace (ipc_namespaces(7)) as this process looks at it. All SysV calls go
 * through one of these: it names the namespace, and it remembers the traces that our own
 * attaching leaves, so that they stay out of what is reported. Safe to use from many
 * threads; freed after everything that came from it.
 */
typedef struct SegfsIpc SegfsIpc;

typedef struct {
	const char *proc_root; /* NULL: /proc */
	bool no_attach;        /* never shmat(2), not even to ask for rights */
} SegfsIpcOptions;

/*
 * The namespace of the calling process. -ENOSYS: the kernel has no SysV IPC, or no /proc
 * to show it (proc_sysvipc(5)).
 */
int segfs_ipc_new(const SegfsIpcOptions *options, SegfsIpc **ret_ipc);

/* Frees it, after everything that came from it. Cannot fail. */
void segfs_ipc_free(SegfsIpc *ipc);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SegfsIpc, segfs_ipc_free)

/* The number of the namespace, as in /proc/PID/ns/ipc (namespaces(7)); 0: not known. Cannot fail.
 */
uint64_t segfs_ipc_inum(const SegfsIpc *ipc);

/* The root of /proc that it reads; its own, and valid as long as it is. Cannot fail. */
const char *segfs_ipc_proc_root(const SegfsIpc *ipc);
