/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is in a semaphore set, and what waits in a message queue: looked at, never taken. */

#include "lib/resource/resource.h"

#include <errno.h>

#include "lib/memory/ipc.h"
#include "lib/os/errand.h"

/* Call as who reads, in the namespace. */
static int sem_read_all(int semid, GArray *semaphores)
{
	struct semid_ds ds;

	int r = resource_result(semctl(semid, 0, IPC_STAT, (union semun){.buf = &ds}));
	if (r < 0)
		return r;
	/* A set's number of semaphores never changes. */
	g_autofree unsigned short *values = g_new0(unsigned short, ds.sem_nsems + 1);
	r = resource_result(semctl(semid, 0, GETALL, (union semun){.array = values}));
	for (guint i = 0; r == 0 && i < ds.sem_nsems; i++) {
		const int pid = semctl(semid, (int)i, GETPID);
		const int ncount = pid < 0 ? -1 : semctl(semid, (int)i, GETNCNT);
		const int zcount = ncount < 0 ? -1 : semctl(semid, (int)i, GETZCNT);
		r = resource_result(zcount);
		const SegfsSemaphore semaphore = {values[i], ncount, zcount, pid};
		if (r == 0)
			g_array_append_val(semaphores, semaphore);
	}
	return r;
}

int segfs_sem_read(SegfsIpc *ipc, const SegfsCaller *caller, int semid, GArray **ret_semaphores)
{
	g_autoptr(GArray) semaphores = g_array_new(FALSE, FALSE, sizeof(SegfsSemaphore));
	int r;
	IPC_SCOPE(ipc, r);

	if (r == 0 && caller)
		r = segfs_caller_enter(caller);
	if (r < 0)
		return r;
	r = sem_read_all(semid, semaphores);
	if (caller)
		segfs_caller_leave();
	if (r == 0)
		*ret_semaphores = g_steal_pointer(&semaphores);
	return r;
}

typedef struct {
	long type;
	char bytes[];
} Message;

/* A copy of the message at index. -ENOMSG: there are not so many. */
static ssize_t copy(SegfsIpc *ipc, const SegfsCaller *caller, int msqid, guint index,
		    Message *message, size_t most)
{
	const int flags = MSG_COPY | IPC_NOWAIT | MSG_NOERROR;
	int r;
	IPC_SCOPE(ipc, r);

	if (r < 0)
		return r;
	return SEGFS_AS(caller, msgrcv(msqid, message, most, index, flags));
}

int segfs_msg_read(SegfsIpc *ipc, const SegfsCaller *caller, int msqid, size_t most,
		   SegfsMessageSeen seen, gpointer data)
{
	g_autofree Message *message = g_malloc(sizeof(Message) + most);

	for (guint i = 0;; i++) {
		if (errand_is_unwanted())
			return -EINTR;
		const ssize_t n = copy(ipc, caller, msqid, i, message, most);
		if (n == -ENOMSG)
			return 0;
		if (n < 0)
			return shm_error(n);
		int r = seen(i, message->type, message->bytes, n, data);
		if (r < 0)
			return r;
	}
}
