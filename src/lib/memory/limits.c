/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <segfs/limits.h>
#include <sys/shm.h>
#include <unistd.h>

#include "lib/memory/ipc.h"

int segfs_limits_read(SegfsIpc *ipc, SegfsLimits *ret_limits)
{
	struct shminfo info;
	struct shm_info used;
	int r;
	IPC_SCOPE(ipc, r);

	if (r < 0)
		return r;
	if (shmctl(0, IPC_INFO, (struct shmid_ds *)&info) < 0 ||
	    shmctl(0, SHM_INFO, (struct shmid_ds *)&used) < 0)
		return -errno;
	*ret_limits = (SegfsLimits){
		.shmmax = info.shmmax,
		.shmmni = info.shmmni,
		.shmall = info.shmall,
		.segments_used = used.used_ids,
		.pages_used = used.shm_tot,
		.page_size = sysconf(_SC_PAGESIZE),
	};
	return 0;
}
