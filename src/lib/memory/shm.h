/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <segfs/sysv.h>
#include <sys/shm.h>

#ifndef SHM_STAT_ANY
#define SHM_STAT_ANY 15
#endif

/* Converts what IPC_STAT says of a segment: shmctl(2). */
void shm_from_ds(int shmid, const struct shmid_ds *ds, SegfsSysv *ret);

/* One line of /proc/sysvipc/shm: proc_sysvipc(5). False: it is none. */
bool shm_from_line(const char *line, SegfsSysv *ret);

/* IPC_STAT or SHM_STAT_ANY of the calling thread's IPC namespace, unmasked. -ENOENT: none. */
int shm_stat(int shmid, SegfsSysv *ret_segment);
