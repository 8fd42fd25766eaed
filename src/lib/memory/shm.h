/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <errno.h>
#include <segfs/sysv.h>
#include <sys/shm.h>

#ifndef SHM_STAT_ANY
#define SHM_STAT_ANY 15
#endif

/* Converts what IPC_STAT says of a segment: shmctl(2). */
void shm_from_ds(int shmid, const struct shmid_ds *ds, SegfsSysv *ret);

/* One line of /proc/sysvipc/shm: proc_sysvipc(5). False: it is none. */
bool shm_from_line(const char *line, SegfsSysv *ret);

/* A -errno of a call that takes an id (shmctl(2), semctl(2) ...): one that is gone is -ENOENT. */
static inline int shm_error(long r)
{
	return r == -EINVAL || r == -EIDRM ? -ENOENT : (int)r;
}

/*
 * An id's index in the kernel's table: its low bits, more of them on a kernel booted with
 * ipcmni_extend, which the second answer is for.
 */
#define SHM_N_INDEXES 2
int shm_index(int id, unsigned int nth);

/* IPC_STAT or SHM_STAT_ANY of the calling thread's IPC namespace, unmasked. -ENOENT: none. */
int shm_stat(int shmid, SegfsSysv *ret_segment);

/*
 * huge.c: sets rss, pages and has_resident of segments (SegfsSysv) that are as the kernel's table
 * has them: where what its figure stands for cannot be known has_resident is false, and rss stays
 * the figure.
 */
void huge_correct(SegfsIpc *ipc, GArray *segments);

/* huge.c: what the segment's memory was seen to be of. */
void huge_remember(SegfsIpc *ipc, const SegfsSysv *segment, SegfsPages pages);
