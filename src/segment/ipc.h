/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <segfs/ipc.h>
#include <segfs/namespace.h>
#include <segfs/sysv.h>
#include <sys/shm.h>

/*
 * The inside of SegfsIpc.
 *
 * Attaching leaves traces in a segment: nattch while it lasts, atime, dtime and lpid for
 * good. Each attach of ours writes down what was there before and what it left, and every
 * answer about the segment is read through ipc_mask(), which puts back what was
 * there as long as the kernel still shows what we left. Somebody else's attach in the
 * same second as ours shows as before it in atime; lpid and nattch are exact.
 */
struct SegfsIpc {
	SegfsNamespace *ns; /* NULL: that of this process */
	char *proc_root;
	bool no_attach;
	bool has_map_files; /* may we open what others have mapped? */
	uint64_t inum;
	pid_t pid; /* ours, as it shows in lpid */

	/*
	 * Held from before the kernel is asked about a segment until the answer is masked,
	 * and while we attach or detach, so that no answer comes from between. Only a
	 * listing, which takes long, asks without it, and again if attaches changed.
	 */
	GMutex lock;        /* protects what follows */
	GHashTable *traces; /* shmid -> Trace */
	guint traces_most;  /* before those that are over are looked for */
	guint attaches;     /* and detaches that we have made */

	GMutex makers_lock; /* protects what follows */
	GHashTable *makers; /* shmid -> Maker */
	guint makers_most;  /* before those of segments that are gone are looked for */

	GMutex resident_lock; /* protects what follows */
	GArray *resident;     /* Resident, by shmid */
	gint64 resident_until;
};

typedef struct {
	int shmid;
	guint held; /* attaches of ours that last */
	int64_t atime_before, dtime_before;
	pid_t lpid_before;
	int64_t atime_left, dtime_left;
} Trace;

/* Who made a segment, as it was when that process was seen alive. */
typedef struct {
	SegfsSysv segment;
	bool through_us; /* to the kernel we have made it; this is who has asked for it */
	pid_t pid;       /* 0: of a pid namespace that cannot be seen from here */
	uint64_t start; /* 0: not known, or it has ended; of one that made it through us it stays */
	char command[16];
} Maker;

/* maker.c: remembers until the segment is gone. */
void ipc_remember(SegfsIpc *ipc, const Maker *maker);
bool ipc_recall(SegfsIpc *ipc, const SegfsSysv *segment, Maker *ret_maker);

typedef enum {
	MAKER_ENDED,
	MAKER_LIVES,
	MAKER_UNKNOWN, /* cannot be seen from here, or another mount has made it for somebody */
} MakerState;

/*
 * Does who made it live? ret_maker is set where that is known or remembered. known: see
 * process_lives().
 */
MakerState ipc_maker_state(SegfsIpc *ipc, GHashTable *known, const SegfsSysv *segment,
			   Maker *ret_maker);
SegfsProcess maker_process(const Maker *maker);

/* Call with the lock held, since before the kernel was asked. */
void ipc_mask(SegfsIpc *ipc, SegfsSysv *segment);

/* IPC_STAT or SHM_STAT_ANY, unmasked. */
int sysv_stat_raw(int shmid, SegfsSysv *ret_segment);

/* The device of the kernel's own tmpfs, on which segments' memory is, and memfds. */
dev_t ipc_kernel_tmpfs(void);

/* An address at which nothing can be attached: it is taken. */
void *ipc_occupied(void);

/*
 * Every function that asks the kernel about segments does so between these: there the
 * calling thread is in ipc's namespace. Calls nest. -ENOENT: it is gone. Not while acting
 * as somebody else, who may not enter it.
 */
int ipc_enter(SegfsIpc *ipc);
/* Back. Keeps errno. Ends the process if that is refused: no thread stays in there. */
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
