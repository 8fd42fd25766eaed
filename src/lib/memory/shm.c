/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The raw calls, and the kernel's structs turned into ours. */

#include "lib/memory/shm.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/ipc.h>

#ifndef SHM_DEST
#define SHM_DEST 01000
#define SHM_LOCKED 02000
#endif
#ifndef SHM_STAT_ANY
#define SHM_STAT_ANY 15
#endif

static void mode_convert(SegfsSysv *segment, unsigned int mode)
{
	segment->mode = mode & 0777;
	segment->dest = mode & SHM_DEST;
	segment->locked = mode & SHM_LOCKED;
}

void shm_from_ds(int shmid, const struct shmid_ds *ds, SegfsSysv *ret)
{
	*ret = (SegfsSysv){
		.shmid = shmid,
		.key = ds->shm_perm.__key,
		.size = ds->shm_segsz,
		.nattch = ds->shm_nattch,
		.atime = ds->shm_atime,
		.dtime = ds->shm_dtime,
		.ctime = ds->shm_ctime,
		.uid = ds->shm_perm.uid,
		.gid = ds->shm_perm.gid,
		.cuid = ds->shm_perm.cuid,
		.cgid = ds->shm_perm.cgid,
		.cpid = ds->shm_cpid,
		.lpid = ds->shm_lpid,
	};
	mode_convert(ret, ds->shm_perm.mode);
}

/* One line of /proc/sysvipc/shm; ipc/shm.c, sysvipc_shm_proc_show(). */
bool shm_from_line(const char *line, SegfsSysv *ret)
{
	enum {
		KEY,
		SHMID,
		PERMS,
		SIZE,
		CPID,
		LPID,
		NATTCH,
		UID,
		GID,
		CUID,
		CGID,
		ATIME,
		DTIME,
		CTIME,
		RSS,
		SWAP,
		N_FIELDS
	};
	long long field[N_FIELDS];

	for (int i = 0; i < N_FIELDS; i++) {
		char *end;
		while (*line == ' ')
			line++;
		if (*line == '\n')
			return false;
		/* Sizes can have the top bit set, keys a sign. */
		field[i] = i == KEY ? strtoll(line, &end, 10)
				    : (long long)strtoull(line, &end, i == PERMS ? 8 : 10);
		if (end == line)
			return false;
		line = end;
	}
	*ret = (SegfsSysv){
		.shmid = field[SHMID],
		.key = (key_t)field[KEY],
		.size = field[SIZE],
		.nattch = field[NATTCH],
		.atime = field[ATIME],
		.dtime = field[DTIME],
		.ctime = field[CTIME],
		.rss = field[RSS],
		.swap = field[SWAP],
		.has_resident = true,
		.uid = field[UID],
		.gid = field[GID],
		.cuid = field[CUID],
		.cgid = field[CGID],
		.cpid = field[CPID],
		.lpid = field[LPID],
	};
	mode_convert(ret, field[PERMS]);
	return true;
}

int shm_index(int id, unsigned int nth)
{
	static const int masks[SHM_N_INDEXES] = {(1 << 15) - 1, (1 << 24) - 1};

	return id & masks[nth];
}

int shm_stat(int shmid, SegfsSysv *ret_segment)
{
	struct shmid_ds ds;

	if (shmid < 0)
		return -ENOENT;
	if (shmctl(shmid, IPC_STAT, &ds) == 0) {
		shm_from_ds(shmid, &ds, ret_segment);
		return 0;
	}
	if (errno != EACCES)
		return shm_error(-errno);
	for (guint i = 0; i < SHM_N_INDEXES; i++) {
		if (shmctl(shm_index(shmid, i), SHM_STAT_ANY, &ds) == shmid) {
			shm_from_ds(shmid, &ds, ret_segment);
			return 0;
		}
	}
	return -ENOENT;
}

bool segfs_sysv_same(const SegfsSysv *a, const SegfsSysv *b)
{
	return a->shmid == b->shmid && a->size == b->size && a->cuid == b->cuid &&
	       a->cgid == b->cgid && a->cpid == b->cpid && (a->key == b->key || a->dest || b->dest);
}
