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
struct SegfsNamespace; /* see namespace.h */

typedef struct {
	const char *proc_root; /* NULL: /proc */
	bool no_attach;        /* never shmat(2), not even to ask for rights */
} SegfsIpcOptions;

/*
 * The namespace of the calling process. -ENOSYS: the kernel has no SysV IPC, or no /proc
 * to show it (proc_sysvipc(5)).
 */
int segfs_ipc_new(const SegfsIpcOptions *options, SegfsIpc **ret_ipc);

/*
 * Another one, which each call enters and leaves again (setns(2), CAP_SYS_ADMIN) on the
 * thread that makes it. -ENOENT from any call: no process lives in it any more.
 */
int segfs_ipc_new_of(const SegfsIpcOptions *options, struct SegfsNamespace *ns, SegfsIpc **ret_ipc);
void segfs_ipc_free(SegfsIpc *ipc);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SegfsIpc, segfs_ipc_free)

/*
 * To be called first by whatever a thread of a GThreadPool is to do: GLib makes such threads
 * when work comes in, and a thread is born in the IPC namespace (ipc_namespaces(7)) in which
 * its creator is just then, which can be another than the process's own.
 */
void segfs_thread_comes_home(void);

/* The number of the namespace, as in /proc/PID/ns/ipc. */
uint64_t segfs_ipc_inum(const SegfsIpc *ipc);

const char *segfs_ipc_proc_root(const SegfsIpc *ipc);
