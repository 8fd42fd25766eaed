/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <segfs/caller.h>
#include <segfs/ipc.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/ipc.h>

/* Of which pages its memory is. */
typedef enum {
	SEGFS_PAGES_UNKNOWN,
	SEGFS_PAGES_SMALL, /* on the kernel's tmpfs, part of Shmem in proc_meminfo(5) */
	SEGFS_PAGES_HUGE,  /* SHM_HUGETLB of shmget(2), part of Hugetlb */
} SegfsPages;

/*
 * A SysV segment, as shmctl(2) IPC_STAT and /proc/sysvipc/shm (proc_sysvipc(5)) show
 * it, less the traces that this process left by looking.
 */
typedef struct {
	uint64_t size;
	uint64_t nattch;
	int64_t atime, dtime, ctime; /* last attach, detach, change; 0: never */
	uint64_t rss, swap;          /* bytes; valid where has_resident */
	SegfsPages pages;            /* where rss is known, or it was seen before */
	int shmid;
	key_t key; /* IPC_PRIVATE also once it is marked for removal */
	uid_t uid, cuid;
	gid_t gid, cgid;
	pid_t cpid, lpid; /* 0: none, or not visible from our pid namespace */
	uint16_t mode;    /* permission bits, 0777 */
	bool dest;        /* marked for removal, lives while it is attached */
	bool locked;      /* SHM_LOCK: is not swapped */
	bool has_resident;
} SegfsSysv;

/*
 * Every segment of the namespace, in the kernel's order, as an array of SegfsSysv that
 * the caller unrefs. Needs no rights on them.
 */
int segfs_sysv_list(SegfsIpc *ipc, GArray **ret_segments);
/* The same without rss and swap, which are what takes long. */
int segfs_sysv_list_brief(SegfsIpc *ipc, GArray **ret_segments);

/*
 * One segment, at this moment, without what is resident. -ENOENT: no segment has this
 * id. Needs no rights on it (SHM_STAT_ANY).
 */
int segfs_sysv_stat(SegfsIpc *ipc, int shmid, SegfsSysv *ret_segment);

/*
 * Fills in rss, swap and pages. The kernel's figure is wrong for huge pages since Linux 6.7 (2 MiB
 * are 1 GiB): where it cannot be known what it stands for has_resident stays false. The kernel
 * gives them for all segments at once only, which takes 45 ms for 32768 of them: the answer may be
 * up to four times as old as it took to get.
 */
int segfs_sysv_resident(SegfsIpc *ipc, SegfsSysv *segment);

/*
 * Forgets what segfs_sysv_resident() knows: something was written or freed. Not where a segment was
 * removed: that changes nothing of the others.
 */
void segfs_sysv_resident_changed(SegfsIpc *ipc);

/* shmget(2) without flags: -ENOENT where no segment has the key. Needs no rights on it. */
int segfs_sysv_by_key(SegfsIpc *ipc, key_t key, int *ret_shmid);

/*
 * May the caller attach it so (shmat(2))? 0 or -EACCES; -ENOENT where it is gone. Where the
 * segment's mode grants it to the caller's own user or group and no security module has a say, that
 * is the answer; else the kernel is asked and no trace is left. Under no_attach the kernel cannot
 * be asked about writing to a private segment: -EBUSY. -ENOMEM: our own address space is full.
 */
int segfs_sysv_may_attach(SegfsIpc *ipc, const SegfsCaller *caller, const SegfsSysv *segment,
			  bool write);

/*
 * True where both are of one segment, not of two that have had the same id. Compares what
 * never changes in a segment's life; ctime is left to the caller (see memory.h).
 */
bool segfs_sysv_same(const SegfsSysv *a, const SegfsSysv *b);

/* shmget(2) with IPC_CREAT | IPC_EXCL, as the caller. Errors are those of the man page. */
int segfs_sysv_create(SegfsIpc *ipc, const SegfsCaller *caller, key_t key, uint64_t size,
		      mode_t mode, int *ret_shmid);

/* shmctl(2) IPC_RMID, as the caller. */
int segfs_sysv_remove(SegfsIpc *ipc, const SegfsCaller *caller, int shmid);

/*
 * The same, but only where nobody has used the segment since as was read of it (segfs_sysv_stat()):
 * -EBUSY where somebody has it attached, or its times or last user are others by now; -ENOENT where
 * it is gone. Between that look and the removal are no more than two calls of the kernel.
 */
int segfs_sysv_remove_unused(SegfsIpc *ipc, const SegfsCaller *caller, const SegfsSysv *as);

/* shmctl(2) IPC_SET, as the caller; what is -1 stays as it is. */
int segfs_sysv_set(SegfsIpc *ipc, const SegfsCaller *caller, int shmid, uid_t uid, gid_t gid,
		   mode_t mode);

/*
 * shmctl(2) SHM_LOCK and SHM_UNLOCK, as the caller. -ENOMEM where the bytes of all locked segments
 * of this IPC namespace that the caller owns or has made would be more than the caller's
 * RLIMIT_MEMLOCK (getrlimit(2)), -EPERM where that is 0, unless the caller has CAP_IPC_LOCK.
 */
int segfs_sysv_lock(SegfsIpc *ipc, const SegfsCaller *caller, int shmid, bool lock);
