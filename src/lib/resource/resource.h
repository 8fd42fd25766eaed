/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <segfs/resource.h>
#include <sys/msg.h>
#include <sys/sem.h>

#include "lib/memory/shm.h"

/* The fourth argument of semctl(2), which every program declares for itself. */
union semun {
	int val;
	struct semid_ds *buf;
	unsigned short *array;
	struct seminfo *info;
};

/* 0, or -errno of semctl(2), msgctl(2) and msgrcv(2): an id that is gone is -ENOENT. */
static inline int resource_result(long r)
{
	return r >= 0 ? 0 : shm_error(-errno);
}

/* One more of its users. */
void use_add(SegfsResourceUse *use, const SegfsResourceUser *added);
