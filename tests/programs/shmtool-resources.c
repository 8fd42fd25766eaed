// SPDX-License-Identifier: LGPL-2.1-or-later
/* shmtool: semaphore sets and message queues. */
#include "shmtool.h"

#include <stdio.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>

union semun {
	int val;
	struct semid_ds *buf;
};

typedef struct {
	long type;
	char bytes[65536];
} Message;

static long long say_sem_stat(int id)
{
	struct semid_ds ds;

	if (semctl(id, 0, IPC_STAT, (union semun){.buf = &ds}) < 0)
		return -1;
	sprintf(out,
		"key=0x%08x mode=%o uid=%u gid=%u cuid=%u cgid=%u nsems=%lu otime=%lld ctime=%lld",
		(unsigned int)ds.sem_perm.__key, ds.sem_perm.mode, ds.sem_perm.uid, ds.sem_perm.gid,
		ds.sem_perm.cuid, ds.sem_perm.cgid, (unsigned long)ds.sem_nsems,
		(long long)ds.sem_otime, (long long)ds.sem_ctime);
	return 0;
}

static long long say_msg_stat(int id)
{
	struct msqid_ds ds;

	if (msgctl(id, IPC_STAT, &ds) < 0)
		return -1;
	sprintf(out,
		"key=0x%08x mode=%o uid=%u gid=%u cuid=%u cgid=%u qnum=%lu cbytes=%lu qbytes=%lu "
		"lspid=%d lrpid=%d stime=%lld rtime=%lld ctime=%lld",
		(unsigned int)ds.msg_perm.__key, ds.msg_perm.mode, ds.msg_perm.uid, ds.msg_perm.gid,
		ds.msg_perm.cuid, ds.msg_perm.cgid, (unsigned long)ds.msg_qnum,
		(unsigned long)ds.__msg_cbytes, (unsigned long)ds.msg_qbytes, ds.msg_lspid,
		ds.msg_lrpid, (long long)ds.msg_stime, (long long)ds.msg_rtime,
		(long long)ds.msg_ctime);
	return 0;
}

static long long operate(int id, int num, int op, int flags)
{
	struct sembuf operation = {(unsigned short)num, (short)op, (short)flags};

	return semop(id, &operation, 1);
}

static long long send_message(int id, long type, const char *bytes, size_t size)
{
	static Message message;

	message.type = type;
	memcpy(message.bytes, bytes, size);
	return msgsnd(id, &message, size, IPC_NOWAIT);
}

static long long receive(int id, long type, int flags)
{
	static Message message;
	const ssize_t n = msgrcv(id, &message, sizeof(message.bytes), type, flags);

	if (n >= 0)
		say_bytes(message.bytes, (size_t)n);
	return n < 0 ? -1 : 0;
}

static long long make_sets(size_t count, int sems, int mode)
{
	for (size_t i = 0; i < count; i++)
		if (semget(IPC_PRIVATE, sems, IPC_CREAT | mode) < 0)
			return -1;
	return (long long)count;
}

long long run_resource(size_t n, char **w, const size_t *len)
{
	if (IS("semget", 3))
		return semget((key_t)NUM(1), INT(2), INT(3));
	if (IS("mksets", 3))
		return make_sets(SIZE(1), INT(2), INT(3));
	if (IS("semop", 3))
		return operate(INT(1), INT(2), INT(3), n > 4 ? INT(4) : 0);
	if (IS("semstat", 1))
		return say_sem_stat(INT(1));
	if (IS("semrm", 1))
		return semctl(INT(1), 0, IPC_RMID);
	if (IS("msgget", 2))
		return msgget((key_t)NUM(1), INT(2));
	if (IS("msgsnd", 3) && len[3] <= 65536)
		return send_message(INT(1), (long)NUM(2), w[3], len[3]);
	if (IS("msgrcv", 2))
		return receive(INT(1), (long)NUM(2), n > 3 ? INT(3) : 0);
	if (IS("msgstat", 1))
		return say_msg_stat(INT(1));
	return NOT_MINE;
}
