/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <segfs/ipc.h>
#include <segfs/namespace.h>
#include <segfs/sysv.h>
#include <sys/shm.h>

#include "lib/process/fresh.h"
#include "lib/process/scan.h"

/*
 * The IPC namespace ns, to which a reference is kept: each call enters it and leaves it again
 * (setns(2), CAP_SYS_ADMIN) on the thread that makes it. -ENOENT, from any call: no process lives
 * in it any more.
 */
int ipc_new_of(const SegfsIpcOptions *options, SegfsNamespace *ns, SegfsIpc **ret_ipc);

/* The inside of SegfsIpc. */
struct SegfsIpc {
	SegfsNamespace *ns; /* NULL: that of this process */
	char *proc_root;
	bool no_attach;
	bool has_map_files; /* may we open what others have mapped? */
	uint64_t inum;
	uint64_t id; /* never given again (NS_GET_ID, Linux 6.18); 0: not known */
	pid_t pid;   /* ours, as it shows in lpid */

	/*
	 * Held from before the kernel is asked about a segment until the answer is masked,
	 * and while we attach or detach, so that no answer comes from between. Only a
	 * listing, which takes long, asks without it, and again if attaches changed.
	 */
	GMutex lock;        /* protects what follows */
	GHashTable *traces; /* shmid -> Trace */
	guint traces_most;  /* before those that are over are looked for */
	guint attaches;     /* and detaches that we have made */

	GMutex creators_lock; /* protects what follows */
	GHashTable *creators; /* shmid -> Creator */
	guint creators_most;  /* before those of segments that are gone are looked for */

	GMutex handles_lock; /* protects what follows */
	GHashTable *handles; /* shmid -> the handle of its memory, see handles.c */
	guint handles_most;  /* before those of segments that are gone are looked for */

	GMutex pages_lock; /* protects what follows */
	GHashTable *pages; /* shmid -> of which pages its memory is, see huge.c */
	guint pages_most;  /* before those of segments that are gone are looked for */

	GMutex resident_lock; /* protects what follows */
	GArray *resident;     /* Resident, by shmid */
	Fresh resident_fresh;
};

typedef struct {
	int shmid;
	guint held; /* attaches of ours that last */
	int64_t atime_before, dtime_before;
	pid_t lpid_before;
	int64_t atime_left, dtime_left;
} Trace;

/*
 * Every function that asks the kernel about segments does so between these: there the
 * calling thread is in ipc's namespace. Calls nest. -ENOENT: it is gone. -EDEADLK: the
 * thread is in another one already. -ENOTRECOVERABLE: the thread is lost (segfs/thread.h). Not
 * while acting as somebody else, who may not enter it.
 */
int ipc_enter(SegfsIpc *ipc);
/* Back. Keeps errno. Where that is refused the thread is lost. */
void ipc_leave(SegfsIpc *ipc);

static inline void ipc_leave_at(SegfsIpc **ipc)
{
	if (*ipc)
		ipc_leave(*ipc);
}

/* Enters until the end of the scope; result is 0 or an error, and then nothing was entered. */
#define IPC_SCOPE(ipc, result)                                                                     \
	__attribute__((cleanup(ipc_leave_at), unused)) SegfsIpc *ipc_scope_ =                      \
		(((result) = ipc_enter(ipc)) == 0 ? (ipc) : NULL)
