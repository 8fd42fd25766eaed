/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <segfs/caller.h>
#include <segfs/history.h>
#include <segfs/ipc.h>
#include <segfs/scan.h>
#include <segfs/survey.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/ipc.h>

/*
 * What ipcs(1) lists beside segments: semaphore sets and message queues (sysvipc(7)). Nothing here
 * changes a time, a count or a pid of what it looks at.
 */
typedef enum {
	SEGFS_SEM, /* a semaphore set: semget(2) */
	SEGFS_MSG, /* a message queue: msgget(2) */
} SegfsResourceKind;
#define SEGFS_N_RESOURCE_KINDS (SEGFS_MSG + 1)

/* "sem", "msg": what the directory in a mount is called. Static. */
const char *segfs_resource_kind_name(SegfsResourceKind kind);

/* As semctl(2) and msgctl(2) IPC_STAT show it. */
typedef struct {
	SegfsResourceKind kind;
	int id;    /* semid or msqid */
	key_t key; /* IPC_PRIVATE: it has none */
	uid_t uid, cuid;
	gid_t gid, cgid;
	uint16_t mode; /* permission bits, 0777 */
	int64_t ctime; /* made, or changed by IPC_SET */

	int64_t otime; /* of a set: the last semop(2); 0: never */
	uint64_t sems; /* semaphores in it */

	int64_t stime, rtime; /* of a queue: the last msgsnd(2), msgrcv(2); 0: never */
	uint64_t messages;    /* that wait in it, */
	uint64_t bytes;       /* and of how many bytes */
	uint64_t most_bytes;  /* msg_qbytes: so many may wait */
	pid_t lspid, lrpid;   /* of those two; 0: none, or not visible from our pid namespace */
} SegfsResource;

/*
 * Every set or queue of the namespace, in the kernel's order, as an array of SegfsResource that the
 * caller unrefs. Needs no rights on them (SEM_STAT_ANY, MSG_STAT_ANY). -ENOSYS: the kernel has no
 * such; -ENOENT: the namespace is gone.
 */
int segfs_resource_list(SegfsIpc *ipc, SegfsResourceKind kind, GArray **ret_resources);

/* One at this moment. -ENOENT: none has this id. Needs no rights on it. */
int segfs_resource_stat(SegfsIpc *ipc, SegfsResourceKind kind, int id, SegfsResource *ret_resource);

/* semget(2), msgget(2) without flags: -ENOENT where none has the key. Needs no rights on it. */
int segfs_resource_by_key(SegfsIpc *ipc, SegfsResourceKind kind, key_t key, int *ret_id);

/* True where both are of one, not of two that have had the same id. Cannot fail. */
bool segfs_resource_same(const SegfsResource *a, const SegfsResource *b);

/* May the caller read it? As IPC_STAT of semctl(2) and msgctl(2) answers it: 0, -EACCES, -ENOENT.
 */
int segfs_resource_may_read(SegfsIpc *ipc, const SegfsCaller *caller, SegfsResourceKind kind,
			    int id);

/* IPC_RMID of semctl(2) and msgctl(2), as the caller. -ENOENT: it is gone. */
int segfs_resource_remove(SegfsIpc *ipc, const SegfsCaller *caller, SegfsResourceKind kind, int id);

/*
 * IPC_SET of semctl(2) and msgctl(2), as the caller; what is -1 stays as it is. A queue's
 * msg_qbytes stays, too, which takes CAP_SYS_RESOURCE where it is above msgmnb
 * (proc_sys_kernel(5)).
 */
int segfs_resource_set(SegfsIpc *ipc, const SegfsCaller *caller, SegfsResourceKind kind, int id,
		       uid_t uid, gid_t gid, mode_t mode);

/* One semaphore of a set. */
typedef struct {
	unsigned int value;
	unsigned int ncount; /* processes that wait for it to grow, */
	unsigned int zcount; /* and for it to be zero */
	pid_t pid;           /* of the last operation; 0: none, or not visible from here */
} SegfsSemaphore;

/*
 * The semaphores of a set, as an array of SegfsSemaphore that the caller unrefs; read as the caller
 * (NULL: as this process): semctl(2) GETALL, GETPID, GETNCNT, GETZCNT. The values are of one
 * moment, the rest of the moments after it. -EACCES; -ENOENT: it is gone.
 */
int segfs_sem_read(SegfsIpc *ipc, const SegfsCaller *caller, int semid, GArray **ret_semaphores);

/* One message, of which bytes are valid until the call returns. Negative: no more are wanted. */
typedef int (*SegfsMessageSeen)(guint index, long type, const void *bytes, size_t size,
				gpointer data);

/*
 * What waits in a queue, one message after the other, as the caller: msgrcv(2) MSG_COPY, which
 * takes nothing out. Each is whole; those that come and go meanwhile may be missed or seen twice.
 * Of one that is longer than most bytes no more are read, and size is most. -ENOSYS: the kernel was
 * built without CONFIG_CHECKPOINT_RESTORE; -EACCES; -ENOENT: it is gone; else what seen returned.
 */
int segfs_msg_read(SegfsIpc *ipc, const SegfsCaller *caller, int msqid, size_t most,
		   SegfsMessageSeen seen, gpointer data);

/* Limits of both (proc_sys_kernel(5)) and how much of each is used. */
typedef struct {
	uint64_t semmni, semmns, semmsl, semopm; /* sets; semaphores; of one set; of one call */
	uint64_t sets, sems;                     /* used */
	uint64_t msgmni, msgmax, msgmnb;         /* queues; bytes of a message; of a queue */
	uint64_t queues, messages, bytes;        /* used */
} SegfsResourceLimits;

/* IPC_INFO, SEM_INFO and MSG_INFO of semctl(2) and msgctl(2), whose errors it has. */
int segfs_resource_limits(SegfsIpc *ipc, SegfsResourceLimits *ret_limits);

/* A process that a set or a queue tells of. */
typedef struct {
	SegfsProcess process; /* command is empty, start 0: it has ended */
	bool lives;
	bool waits;
	bool is_last; /* it has done a last operation */
	bool is_told; /* history has seen it make or use it */
} SegfsResourceUser;

/* What history knows of one, where it knows all who have made and used it. */
typedef struct {
	bool is_known;
	guint n_ended;         /* so many of them have ended */
	int64_t ended;         /* the last one, seconds since 1970 */
	SegfsProcess relative; /* an ancestor of one of those that runs the same program and lives;
				  pid 0: there is none */
} SegfsResourcePast;

/*
 * Who is known to use it. The kernel counts no attaches of it, so what it says alone proves none
 * abandoned: in use where somebody waits, or where the process of a last operation lives; else
 * unknown, unless history knows more (segfs_history_judge()).
 */
typedef struct {
	SegfsVerdict verdict;
	uint64_t waiting; /* as the kernel counts them; of a queue as many as were found */
	bool has_users;   /* the processes of the last operations could be asked for */
	GArray *users; /* SegfsResourceUser: of the last operations, those who wait, who are told */
	SegfsResourcePast past;
	int64_t age;        /* with past.is_known: seconds since it was used last, */
	int64_t orphan_age; /* and before which it is no orphan */
} SegfsResourceUse;

/*
 * Who waits for sets and queues, of all IPC namespaces: found by one walk through /proc, when it is
 * needed first. A thread that waits shows in /proc/PID/task/TID/syscall (proc_pid_syscall(5)) in
 * which call of what, if this process may trace it and it runs no 32-bit program. Not to be used
 * from two threads at once.
 */
typedef struct SegfsWaiters SegfsWaiters;

/* Free with segfs_waiters_free(). Cannot fail. */
SegfsWaiters *segfs_waiters_new(const char *proc_root);

/* Frees it. Cannot fail. */
void segfs_waiters_free(SegfsWaiters *waiters);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SegfsWaiters, segfs_waiters_free)

/*
 * Of each of resources (SegfsResource, of the namespace of ipc) who uses it, in the same order, as
 * an array of SegfsResourceUse that the caller unrefs; as far as the caller may read it (NULL: this
 * process), who alone is told of a set's last operations. One that has gone is unknown. -EINTR:
 * nobody wants it any more; other errors are those of opendir(3) on the proc_root of waiters.
 */
int segfs_resource_uses(SegfsIpc *ipc, const SegfsCaller *caller, const GArray *resources,
			SegfsWaiters *waiters, GArray **ret_uses);

/*
 * What follows from the past of a resource whose use is unknown otherwise: orphaned where all who
 * have made and used it have ended, no relative of theirs lives, and it was not used for orphan_age
 * seconds; idle where only one of the last two is not so. now: seconds since 1970. Cannot fail.
 */
void segfs_resource_judge(const SegfsResource *resource, const SegfsResourcePast *past, int64_t now,
			  int64_t orphan_age, SegfsResourceUse *use);

/*
 * Adds to the uses (SegfsResourceUse) of resources (SegfsResource), both of the namespace of ipc
 * and in the same order, as segfs_resource_uses() has found them, who else is known to use them,
 * and judges them by it: segfs_resource_judge(). Only where function probes have told of their
 * creation, and of all since. history can be NULL. Cannot fail.
 */
void segfs_history_judge(SegfsHistory *history, SegfsIpc *ipc, const GArray *resources,
			 int64_t orphan_age, GArray *uses);
