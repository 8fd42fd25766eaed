/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <segfs/ipc.h>

/* The limits of SysV shared memory (shmget(2)) and how much of each is used. */
typedef struct {
	uint64_t shmmax;        /* bytes, of one segment */
	uint64_t shmmni;        /* segments */
	uint64_t shmall;        /* pages, of all segments */
	uint64_t segments_used; /* segments */
	uint64_t pages_used;    /* pages, resident or not */
	uint64_t page_size;     /* bytes */
} SegfsLimits;

/* A pool of huge pages (sysfs: kernel/mm/hugepages); surplus pages are part of it. */
typedef struct {
	uint64_t page_size;  /* bytes, of one page */
	uint64_t size, free; /* bytes; free: given to nobody, though it may be reserved */
} SegfsHugePool;

/* All of the host's, as an array of SegfsHugePool that the caller unrefs. Cannot fail. */
GArray *segfs_huge_pools(void);

/* shmctl(2) IPC_INFO and SHM_INFO, whose errors it has; -ENOENT: the namespace is gone. */
int segfs_limits_read(SegfsIpc *ipc, SegfsLimits *ret_limits);
