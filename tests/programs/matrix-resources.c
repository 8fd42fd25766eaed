/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the matrix asks of semaphore sets and message queues directly. */
#include "matrix.h"

#include <errno.h>
#include <stdio.h>
#include <sys/msg.h>
#include <sys/sem.h>

union semun {
	struct semid_ds *buf;
	unsigned short *array;
};

int resource_make(int type, key_t key)
{
	const int flags = IPC_CREAT | IPC_EXCL | 0600;

	return type == TYPE_SEM ? semget(key, 1, flags) : msgget(key, flags);
}

int resource_read(int type, int id)
{
	unsigned short values[1];
	char message[64];

	if (type == TYPE_SEM)
		return semctl(id, 0, GETALL, (union semun){.array = values});
	/* It is empty: who may read it learns that. */
	const ssize_t n = msgrcv(id, message, 8, 0, MSG_COPY | IPC_NOWAIT);
	return n < 0 && errno == ENOMSG ? 0 : (int)n;
}

int resource_remove(int type, int id)
{
	return type == TYPE_SEM ? semctl(id, 0, IPC_RMID) : msgctl(id, IPC_RMID, NULL);
}

/* Root's, since who is asked may not be allowed to. */
static unsigned long queue_bytes(void)
{
	static unsigned long bytes;
	FILE *file = bytes ? NULL : fopen("/proc/sys/kernel/msgmnb", "re");

	if (file && fscanf(file, "%lu", &bytes) != 1)
		bytes = 16384;
	if (file)
		fclose(file);
	return bytes;
}

int resource_set(int type, int id, uid_t uid, gid_t gid, mode_t mode)
{
	const struct ipc_perm perm = {.uid = uid, .gid = gid, .mode = mode};
	struct semid_ds set = {.sem_perm = perm};
	struct msqid_ds queue = {.msg_perm = perm, .msg_qbytes = queue_bytes()};

	return type == TYPE_SEM ? semctl(id, 0, IPC_SET, (union semun){.buf = &set})
				: msgctl(id, IPC_SET, &queue);
}

int resource_perm(int type, int id, struct ipc_perm *ret_perm)
{
	struct semid_ds set;
	struct msqid_ds queue;
	const int r = type == TYPE_SEM ? semctl(id, 0, IPC_STAT, (union semun){.buf = &set})
				       : msgctl(id, IPC_STAT, &queue);

	if (r == 0)
		*ret_perm = type == TYPE_SEM ? set.sem_perm : queue.msg_perm;
	return r;
}
