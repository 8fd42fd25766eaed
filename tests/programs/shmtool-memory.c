// SPDX-License-Identifier: LGPL-2.1-or-later
/* shmtool: SysV segments, and memory that is attached or mapped. */
#include "shmtool.h"

#include <errno.h>
#include <stdio.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>

static long long say_ipc_stat(int id)
{
	struct shmid_ds ds;

	if (shmctl(id, IPC_STAT, &ds) < 0)
		return -1;
	sprintf(out,
		"key=0x%08x mode=%o uid=%u gid=%u cuid=%u cgid=%u size=%zu cpid=%d lpid=%d "
		"nattch=%lu "
		"atime=%lld dtime=%lld ctime=%lld",
		(unsigned int)ds.shm_perm.__key, ds.shm_perm.mode, ds.shm_perm.uid, ds.shm_perm.gid,
		ds.shm_perm.cuid, ds.shm_perm.cgid, ds.shm_segsz, ds.shm_cpid, ds.shm_lpid,
		(unsigned long)ds.shm_nattch, (long long)ds.shm_atime, (long long)ds.shm_dtime,
		(long long)ds.shm_ctime);
	return 0;
}

static long long set_ipc(int id, long long uid, long long gid, long long mode)
{
	struct shmid_ds ds;

	if (shmctl(id, IPC_STAT, &ds) < 0)
		return -1;
	ds.shm_perm.uid = (uid_t)uid;
	ds.shm_perm.gid = (gid_t)gid;
	ds.shm_perm.mode = (unsigned short)mode;
	return shmctl(id, IPC_SET, &ds);
}

static long long attach(Slot *s, int id, int flags)
{
	struct shmid_ds ds;
	void *mem = shmat(id, NULL, flags);

	if (mem == (void *)-1)
		return -1;
	s->mem = mem;
	s->size = shmctl(id, IPC_STAT, &ds) == 0 ? ds.shm_segsz : 0;
	return 0;
}

static long long make_segments(size_t count, size_t size, int mode)
{
	for (size_t i = 0; i < count; i++)
		if (shmget(IPC_PRIVATE, size, IPC_CREAT | mode) < 0)
			return -1;
	return (long long)count;
}

/* Makes and removes segments, one after the other. */
static long long churn(size_t count, size_t size)
{
	for (size_t i = 0; i < count; i++) {
		int id = shmget(IPC_PRIVATE, size, IPC_CREAT | 0666);

		if (id < 0 || shmctl(id, IPC_RMID, NULL) < 0)
			return -1;
	}
	return (long long)count;
}

long long run_segment(size_t n, char **w, const size_t *len)
{
	if (IS("shmget", 3))
		return shmget((key_t)NUM(1), SIZE(2), INT(3));
	if (IS("shmat", 2))
		return attach(slot(w[1]), INT(2), n > 3 ? INT(3) : 0);
	if (IS("shmdt", 1))
		return shmdt(slot(w[1])->mem);
	if (IS("ipcstat", 1))
		return say_ipc_stat(INT(1));
	if (IS("ipcset", 4))
		return set_ipc(INT(1), NUM(2), NUM(3), NUM(4));
	if (IS("rmid", 1))
		return shmctl(INT(1), IPC_RMID, NULL);
	if (IS("shmlock", 1))
		return shmctl(INT(1), SHM_LOCK, NULL);
	if (IS("shmunlock", 1))
		return shmctl(INT(1), SHM_UNLOCK, NULL);
	if (IS("mksegs", 3))
		return make_segments(SIZE(1), SIZE(2), INT(3));
	if (IS("churn", 2))
		return churn(SIZE(1), SIZE(2));
	return NOT_MINE;
}

/* How many pages hold only byte a, only byte b, anything else. */
static void say_pages(const Slot *s, char a, char b)
{
	size_t only_a = 0, only_b = 0, mixed = 0, other = 0;

	for (size_t page = 0; page < s->size; page += 4096) {
		size_t n_a = 0, n_b = 0, end = page + 4096 < s->size ? page + 4096 : s->size;

		for (size_t i = page; i < end; i++) {
			n_a += s->mem[i] == a;
			n_b += s->mem[i] == b;
		}
		if (n_a == end - page)
			only_a++;
		else if (n_b == end - page)
			only_b++;
		else if (n_a + n_b == end - page)
			mixed++;
		else
			other++;
	}
	sprintf(out, "%c=%zu %c=%zu mixed=%zu other=%zu", a, only_a, b, only_b, mixed, other);
}

static long long map_file(Slot *s, int fd, int prot, int flags, size_t size, long long offset)
{
	void *mem = mmap(NULL, size, prot, flags, fd, offset);

	if (mem == MAP_FAILED)
		return -1;
	s->mem = mem;
	s->size = size;
	return 0;
}

long long run_memory(size_t n, char **w, const size_t *len)
{
	if ((IS("peek", 3) || IS("poke", 3)) && !slot(w[1])->mem) {
		errno = EFAULT;
		return -1;
	}
	if (IS("peek", 3)) {
		say_bytes(slot(w[1])->mem + SIZE(2), SIZE(3));
		return 0;
	}
	if (IS("poke", 3)) {
		memcpy(slot(w[1])->mem + SIZE(2), w[3], len[3]);
		return 0;
	}
	if (IS("fill", 2)) {
		memset(slot(w[1])->mem, w[2][0], slot(w[1])->size);
		return 0;
	}
	if (IS("pages", 3)) {
		say_pages(slot(w[1]), w[2][0], w[3][0]);
		return 0;
	}
	if (IS("mmap", 5))
		return map_file(slot(w[1]), FD(2), INT(3), INT(4), SIZE(5), n > 6 ? NUM(6) : 0);
	if (IS("munmap", 1))
		return munmap(slot(w[1])->mem, slot(w[1])->size);
	if (IS("msync", 1))
		return msync(slot(w[1])->mem, slot(w[1])->size, MS_SYNC);
	return NOT_MINE;
}
