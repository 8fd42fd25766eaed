/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Semaphore sets and message queues: two families of system calls with the same verbs. What differs
 * is in a row of a table, and what is said of both is said once.
 */

#include "lib/resource/resource.h"

#include <errno.h>
#include <segfs/caller.h>

#include "lib/memory/ipc.h"

#ifndef SEM_STAT_ANY
#define SEM_STAT_ANY 20
#endif
#ifndef MSG_STAT_ANY
#define MSG_STAT_ANY 13
#endif

/* What a command of semctl(2) and msgctl(2) fills in, or takes. */
typedef union {
	struct semid_ds sem;
	struct msqid_ds msg;
	struct seminfo seminfo;
	struct msginfo msginfo;
} Data;

typedef struct {
	int (*ask)(int id, int command, Data *data);
	int (*get)(key_t key);
	struct ipc_perm *(*perm)(Data *data);
	void (*convert)(const Data *data, SegfsResource *resource); /* what differs */
	int info, stat_any;                                         /* commands */
} Kind;

static int sem_ask(int id, int command, Data *data)
{
	return semctl(id, 0, command, (union semun){.buf = &data->sem});
}

static int msg_ask(int id, int command, Data *data)
{
	return msgctl(id, command, &data->msg);
}

static int sem_get(key_t key)
{
	return semget(key, 0, 0);
}

static int msg_get(key_t key)
{
	return msgget(key, 0);
}

static struct ipc_perm *sem_perm_of(Data *data)
{
	return &data->sem.sem_perm;
}

static struct ipc_perm *msg_perm_of(Data *data)
{
	return &data->msg.msg_perm;
}

static void sem_convert(const Data *data, SegfsResource *resource)
{
	resource->ctime = data->sem.sem_ctime;
	resource->otime = data->sem.sem_otime;
	resource->sems = data->sem.sem_nsems;
}

static void msg_convert(const Data *data, SegfsResource *resource)
{
	resource->ctime = data->msg.msg_ctime;
	resource->stime = data->msg.msg_stime;
	resource->rtime = data->msg.msg_rtime;
	resource->messages = data->msg.msg_qnum;
	resource->bytes = data->msg.__msg_cbytes;
	resource->most_bytes = data->msg.msg_qbytes;
	resource->lspid = data->msg.msg_lspid;
	resource->lrpid = data->msg.msg_lrpid;
}

static const Kind kinds[] = {
	[SEGFS_SEM] = {sem_ask, sem_get, sem_perm_of, sem_convert, SEM_INFO, SEM_STAT_ANY},
	[SEGFS_MSG] = {msg_ask, msg_get, msg_perm_of, msg_convert, MSG_INFO, MSG_STAT_ANY},
};

const char *segfs_resource_kind_name(SegfsResourceKind kind)
{
	return kind == SEGFS_SEM ? "sem" : "msg";
}

static void convert(SegfsResourceKind kind, int id, Data *data, SegfsResource *ret_resource)
{
	const struct ipc_perm *perm = kinds[kind].perm(data);

	*ret_resource = (SegfsResource){
		.kind = kind,
		.id = id,
		.key = perm->__key,
		.uid = perm->uid,
		.cuid = perm->cuid,
		.gid = perm->gid,
		.cgid = perm->cgid,
		.mode = perm->mode & 0777,
	};
	kinds[kind].convert(data, ret_resource);
}

int segfs_resource_list(SegfsIpc *ipc, SegfsResourceKind kind, GArray **ret_resources)
{
	g_autoptr(GArray) resources = g_array_new(FALSE, FALSE, sizeof(SegfsResource));
	Data data;
	int r;
	IPC_SCOPE(ipc, r);

	if (r < 0)
		return r;
	const int last = kinds[kind].ask(0, kinds[kind].info, &data);
	if (last < 0)
		return -errno;
	for (int index = 0; index <= last; index++) {
		SegfsResource resource;
		const int id = kinds[kind].ask(index, kinds[kind].stat_any, &data);
		if (id < 0)
			continue;
		convert(kind, id, &data, &resource);
		g_array_append_val(resources, resource);
	}
	*ret_resources = g_steal_pointer(&resources);
	return 0;
}

/* Call in the namespace. data gets what IPC_STAT gives. */
static int stat_any(SegfsResourceKind kind, int id, Data *data)
{
	if (id < 0)
		return -ENOENT;
	int r = resource_result(kinds[kind].ask(id, IPC_STAT, data));
	for (guint i = 0; r == -EACCES && i < SHM_N_INDEXES; i++)
		if (kinds[kind].ask(shm_index(id, i), kinds[kind].stat_any, data) == id)
			return 0;
	return r == -EACCES ? -ENOENT : r;
}

int segfs_resource_stat(SegfsIpc *ipc, SegfsResourceKind kind, int id, SegfsResource *ret_resource)
{
	Data data;
	int r;
	IPC_SCOPE(ipc, r);

	if (r == 0)
		r = stat_any(kind, id, &data);
	if (r == 0)
		convert(kind, id, &data, ret_resource);
	return r;
}

int segfs_resource_by_key(SegfsIpc *ipc, SegfsResourceKind kind, key_t key, int *ret_id)
{
	int r;
	IPC_SCOPE(ipc, r);

	if (r < 0)
		return r;
	if (key == IPC_PRIVATE)
		return -ENOENT;
	const int id = kinds[kind].get(key);
	if (id < 0)
		return -errno;
	*ret_id = id;
	return 0;
}

bool segfs_resource_same(const SegfsResource *a, const SegfsResource *b)
{
	return a->kind == b->kind && a->id == b->id && a->key == b->key && a->cuid == b->cuid &&
	       a->cgid == b->cgid && a->sems == b->sems;
}

/* One command as the caller. */
static int ask_as(SegfsIpc *ipc, const SegfsCaller *caller, SegfsResourceKind kind, int id,
		  int command, Data *data)
{
	int r;
	IPC_SCOPE(ipc, r);

	if (r < 0)
		return r;
	r = shm_error(SEGFS_AS(caller, kinds[kind].ask(id, command, data)));
	return MIN(r, 0);
}

int segfs_resource_may_read(SegfsIpc *ipc, const SegfsCaller *caller, SegfsResourceKind kind,
			    int id)
{
	Data data;

	return ask_as(ipc, caller, kind, id, IPC_STAT, &data);
}

int segfs_resource_remove(SegfsIpc *ipc, const SegfsCaller *caller, SegfsResourceKind kind, int id)
{
	Data data = {};

	return ask_as(ipc, caller, kind, id, IPC_RMID, &data);
}

int segfs_resource_set(SegfsIpc *ipc, const SegfsCaller *caller, SegfsResourceKind kind, int id,
		       uid_t uid, gid_t gid, mode_t mode)
{
	Data data;
	int r;
	IPC_SCOPE(ipc, r);

	if (r == 0)
		r = stat_any(kind, id, &data);
	if (r < 0)
		return r;
	struct ipc_perm *perm = kinds[kind].perm(&data);
	if (uid != (uid_t)-1)
		perm->uid = uid;
	if (gid != (gid_t)-1)
		perm->gid = gid;
	if (mode != (mode_t)-1)
		perm->mode = mode & 0777;
	return ask_as(ipc, caller, kind, id, IPC_SET, &data);
}

int segfs_resource_limits(SegfsIpc *ipc, SegfsResourceLimits *ret_limits)
{
	Data sem, sem_used, msg, msg_used;
	int r;
	IPC_SCOPE(ipc, r);

	if (r < 0)
		return r;
	if (sem_ask(0, IPC_INFO, &sem) < 0 || sem_ask(0, SEM_INFO, &sem_used) < 0 ||
	    msg_ask(0, IPC_INFO, &msg) < 0 || msg_ask(0, MSG_INFO, &msg_used) < 0)
		return -errno;
	/* In the second of each pair some fields are counts instead: "used" of semctl(2),
	 * msgctl(2). */
	*ret_limits = (SegfsResourceLimits){
		.semmni = sem.seminfo.semmni,
		.semmns = sem.seminfo.semmns,
		.semmsl = sem.seminfo.semmsl,
		.semopm = sem.seminfo.semopm,
		.sets = sem_used.seminfo.semusz,
		.sems = sem_used.seminfo.semaem,
		.msgmni = msg.msginfo.msgmni,
		.msgmax = msg.msginfo.msgmax,
		.msgmnb = msg.msginfo.msgmnb,
		.queues = msg_used.msginfo.msgpool,
		.messages = msg_used.msginfo.msgmap,
		.bytes = msg_used.msginfo.msgtql,
	};
	return 0;
}
