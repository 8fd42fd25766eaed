/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/memory/attach.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "lib/memory/shm.h"
#include "lib/os/procfs.h"
#include "lib/os/sweep.h"

/* As many traces may be of segments that are gone. */
#define TRACES_KEPT 256

/*
 * At least SHMLBA on every architecture (parisc's is the greatest), so that shmat(2) takes the
 * address: with one that is not aligned so it is EINVAL before the rights are judged.
 */
#define OCCUPIED_SIZE (4 * 1024 * 1024)

void *ipc_occupied(void)
{
	static _Atomic uintptr_t occupied; /* as it was mapped */
	uintptr_t reserved = atomic_load(&occupied);

	if (reserved == 0) {
		void *mapped = mmap(NULL, 2 * OCCUPIED_SIZE, PROT_NONE,
				    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (mapped == MAP_FAILED)
			return NULL;
		/* Another thread may have been as quick: its own is for good. */
		if (atomic_compare_exchange_strong(&occupied, &reserved, (uintptr_t)mapped))
			reserved = (uintptr_t)mapped;
		else
			munmap(mapped, 2 * OCCUPIED_SIZE);
	}
	return (void *)((reserved + OCCUPIED_SIZE - 1) & ~((uintptr_t)OCCUPIED_SIZE - 1));
}

void ipc_mask(SegfsIpc *ipc, SegfsSysv *segment)
{
	const Trace *trace = g_hash_table_lookup(ipc->traces, &segment->shmid);

	if (!trace)
		return;
	segment->nattch -= MIN(segment->nattch, trace->held);
	if (segment->lpid == ipc->pid)
		segment->lpid = trace->lpid_before;
	if (segment->atime == trace->atime_left)
		segment->atime = trace->atime_before;
	if (segment->dtime == trace->dtime_left)
		segment->dtime = trace->dtime_before;
}

static gboolean trace_is_over(gpointer key, gpointer value, gpointer data)
{
	const Trace *trace = value;
	SegfsSysv segment;

	return trace->held == 0 && shm_stat(trace->shmid, &segment) < 0;
}

/* Before an attach: notes what was there, to tell it from what the attach leaves. */
static Trace *trace_begin(SegfsIpc *ipc, int shmid, int *ret_error)
{
	SegfsSysv before;

	if ((*ret_error = shm_stat(shmid, &before)) < 0) {
		const Trace *old = g_hash_table_lookup(ipc->traces, &shmid);
		if (old && old->held == 0)
			g_hash_table_remove(ipc->traces, &shmid);
		return NULL;
	}
	ipc_mask(ipc, &before);
	Trace *trace = g_hash_table_lookup(ipc->traces, &shmid);
	if (!trace) {
		sweep_table(ipc->traces, &ipc->traces_most, TRACES_KEPT, trace_is_over, NULL);
		trace = g_new0(Trace, 1);
		trace->shmid = shmid;
		trace->atime_left = trace->dtime_left = -1;
		g_hash_table_insert(ipc->traces, &trace->shmid, trace);
	}
	trace->atime_before = before.atime;
	trace->dtime_before = before.dtime;
	trace->lpid_before = before.lpid;
	return trace;
}

static void trace_left(Trace *trace, bool detached)
{
	SegfsSysv after;

	if (shm_stat(trace->shmid, &after) < 0)
		return;
	trace->atime_left = after.atime;
	if (detached)
		trace->dtime_left = after.dtime;
}

int ipc_attach(SegfsIpc *ipc, int shmid, int flags, bool hold, AttachSeen seen, void *data,
	       void **ret_address)
{
	int r;
	IPC_SCOPE(ipc, r);

	if (r < 0)
		return r;
	g_mutex_lock(&ipc->lock);
	ipc->attaches++;
	Trace *trace = trace_begin(ipc, shmid, &r);
	if (!trace)
		goto out;
	void *address = shmat(shmid, NULL, flags);
	if (address == (void *)-1) {
		r = errno == EINVAL || errno == EIDRM ? -ENOENT : -errno;
		goto out;
	}
	r = seen ? seen(address, data) : 0;
	if (hold && r >= 0) {
		trace->held++;
		trace_left(trace, false);
		*ret_address = address;
	} else {
		shmdt(address);
		trace_left(trace, true);
	}
out:
	g_mutex_unlock(&ipc->lock);
	return r;
}

void ipc_detach(SegfsIpc *ipc, int shmid, void *address)
{
	int r;
	IPC_SCOPE(ipc, r);

	g_mutex_lock(&ipc->lock);
	ipc->attaches++;
	/* Where the namespace is gone, so is the segment. */
	Trace *trace = r == 0 ? trace_begin(ipc, shmid, &r) : NULL;
	shmdt(address);
	if (trace) {
		trace->held--;
		trace_left(trace, true);
	} else if ((trace = g_hash_table_lookup(ipc->traces, &shmid)) && --trace->held == 0) {
		g_hash_table_remove(ipc->traces, &shmid);
	}
	g_mutex_unlock(&ipc->lock);
}

bool ipc_attach_is_safe(const SegfsIpc *ipc, const SegfsSysv *segment)
{
	int forced;

	if (ipc->no_attach)
		return false;
	return segment->nattch > 0 ||
	       procfs_sysctl(ipc->proc_root, "kernel/shm_rmid_forced", &forced) < 0 || forced == 0;
}
