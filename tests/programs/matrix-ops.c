/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The operations: each as a call on a path, and as the SysV call that it stands for. */
#include "matrix.h"
#include "uring.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RESOURCES (TYPE_SEM | TYPE_MSG)

static int answer(long result)
{
	return result < 0 ? errno : 0;
}

static int open_path(const struct op *op, const struct job *job, const struct target *target)
{
	int fd = open(target->path, op->arg | O_CLOEXEC | O_NONBLOCK, 0600);

	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

static int open_call(const struct op *op, const struct job *job, const struct target *target)
{
	if (target->type & RESOURCES)
		return answer(resource_read(target->type, target->shmid));
	/* There is no write-only attach, and whoever truncates writes. */
	bool reads = (op->arg & O_ACCMODE) == O_RDONLY && !(op->arg & O_TRUNC);
	void *memory = shmat(target->shmid, NULL, reads ? SHM_RDONLY : 0);

	if (memory == (void *)-1)
		return errno;
	shmdt(memory);
	return 0;
}

/*
 * What the twins hold is no program: who may run them gets ENOEXEC. The mount lets run only who may
 * also read, see doc/contract.md.
 */
static int exec_path(const struct op *op, const struct job *job, const struct target *target)
{
	char *const arguments[] = {(char *)target->path, NULL}, *const environment[] = {NULL};

	execve(target->path, arguments, environment);
	const int error = errno;
	if (error == ENOEXEC && target == &job->direct &&
	    syscall(SYS_faccessat2, AT_FDCWD, target->path, R_OK, AT_EACCESS) < 0)
		return errno;
	return error;
}

static int uring_path(const struct op *op, const struct job *job, const struct target *target)
{
	int fd = uring_open(target->path, op->arg | O_CLOEXEC | O_NONBLOCK);

	if (fd >= 0)
		close(fd);
	return fd < 0 ? -fd : 0;
}

static int truncate_path(const struct op *op, const struct job *job, const struct target *target)
{
	return answer(truncate(target->path, 0));
}

static int access_path(const struct op *op, const struct job *job, const struct target *target)
{
	if (op->flags & OP_REAL)
		return answer(syscall(SYS_faccessat, AT_FDCWD, target->path, op->arg));
	return answer(syscall(SYS_faccessat2, AT_FDCWD, target->path, op->arg, AT_EACCESS));
}

static int access_call(const struct op *op, const struct job *job, const struct target *target)
{
	if (target->type & RESOURCES)
		return answer(resource_read(target->type, target->shmid));
	void *memory = shmat(target->shmid, NULL, op->arg & W_OK ? 0 : SHM_RDONLY);

	if (memory == (void *)-1)
		return errno;
	shmdt(memory);
	return 0;
}

static int unlink_path(const struct op *op, const struct job *job, const struct target *target)
{
	return answer(unlink(target->path));
}

static int unlink_call(const struct op *op, const struct job *job, const struct target *target)
{
	if (target->type & RESOURCES)
		return answer(resource_remove(target->type, target->shmid));
	return answer(shmctl(target->shmid, IPC_RMID, NULL));
}

static int chmod_path(const struct op *op, const struct job *job, const struct target *target)
{
	return answer(chmod(target->path, job->new_mode));
}

static int chown_path(const struct op *op, const struct job *job, const struct target *target)
{
	return answer(chown(target->path, job->new_uid, job->new_gid));
}

/* IPC_SET takes all three at once; what it is not to change it is told again, without IPC_STAT. */
static int set_call(const struct op *op, const struct job *job, const struct target *target)
{
	struct shmid_ds ds = {
		.shm_perm.uid = job->new_uid == (uid_t)-1 ? target->uid : job->new_uid,
		.shm_perm.gid = job->new_gid == (gid_t)-1 ? target->gid : job->new_gid,
		.shm_perm.mode = op->by_path == chmod_path ? job->new_mode : target->mode,
	};

	if (target->type & RESOURCES)
		return answer(resource_set(target->type, target->shmid, ds.shm_perm.uid,
					   ds.shm_perm.gid, ds.shm_perm.mode));
	return answer(shmctl(target->shmid, IPC_SET, &ds));
}

static int touch_path(const struct op *op, const struct job *job, const struct target *target)
{
	const struct timespec given[2] = {{.tv_sec = 1000000}, {.tv_sec = 1000000}};

	return answer(utimensat(AT_FDCWD, target->path, op->arg ? given : NULL, 0));
}

static int rename_path(const struct op *op, const struct job *job, const struct target *target)
{
	return answer(rename(target->path, target->path2));
}

static int link_path(const struct op *op, const struct job *job, const struct target *target)
{
	return answer(link(target->path, target->path2));
}

static int create_path(const struct op *op, const struct job *job, const struct target *target)
{
	mode_t before = umask(op->arg);
	int fd = open(target->path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, op->mode);
	int status = fd < 0 ? errno : 0;

	umask(before);
	if (!status)
		status = answer(ftruncate(fd, SEGMENT_BYTES));
	if (fd >= 0 && close(fd) < 0 && !status)
		status = errno;
	return status;
}

static int create_call(const struct op *op, const struct job *job, const struct target *target)
{
	return answer(
		shmget(target->key, SEGMENT_BYTES, IPC_CREAT | IPC_EXCL | (op->mode & ~op->arg)));
}

#define SYSV (TYPE_SYSV | TYPE_KEY)
#define ALL (SYSV | TYPE_POSIX)
#define ANY (ALL | RESOURCES)
#define FILES (TYPE_POSIX | TYPE_FIFO)

/* clang-format off */
#define OPEN(flags, types, what) { "open " #flags, types, what, open_path, open_call, .arg = flags }
#define ACCESS(mask, types)								\
	{ "access " #mask, types, OP_ACCESS | OP_REAL, access_path, access_call, .arg = mask },	\
	{ "access AT_EACCESS " #mask, types, OP_ACCESS, access_path, access_call, .arg = mask }
#define CHMOD(to, types)								\
	{ "chmod " #to, types, OP_CHANGES, chmod_path, set_call, .mode = to }
#define CHOWN(what, to, types)								\
	{ what, types, OP_CHANGES, chown_path, set_call, .owner = to }

const struct op matrix_ops[] = {
	OPEN(O_RDONLY, ANY, 0),
	OPEN(O_WRONLY, ALL, 0),
	OPEN(O_RDWR, ALL, 0),
	OPEN(O_RDWR | O_CREAT, ALL, 0),
	OPEN(O_RDONLY | O_TRUNC, ALL, OP_CHANGES | OP_TRUNCATES),
	OPEN(O_WRONLY | O_TRUNC, ALL, OP_CHANGES | OP_TRUNCATES),
	OPEN(O_RDWR | O_TRUNC, ALL, OP_CHANGES | OP_TRUNCATES),
	OPEN(O_RDONLY, TYPE_FIFO, 0),
	OPEN(O_WRONLY, TYPE_FIFO, 0),
	OPEN(O_RDWR, TYPE_FIFO, 0),
	OPEN(O_RDWR | O_CREAT, TYPE_FIFO, 0),
	OPEN(O_RDONLY | O_TRUNC, TYPE_FIFO, 0),
	OPEN(O_PATH, FILES, 0),
	{ "open O_RDONLY by io_uring", ALL, OP_URING, uring_path, open_call,
	  .arg = O_RDONLY },
	{ "open O_RDWR by io_uring", ALL, OP_URING, uring_path, open_call,
	  .arg = O_RDWR },
	{ "exec", TYPE_POSIX, 0, exec_path, NULL, .arg = 0 },
	{ "truncate to 0", ALL, OP_CHANGES | OP_TRUNCATES, truncate_path, open_call,
	  .arg = O_RDWR },
	ACCESS(F_OK, FILES),
	ACCESS(X_OK, TYPE_POSIX),
	ACCESS(R_OK, ANY),
	ACCESS(W_OK, ALL),
	ACCESS(R_OK | W_OK, ALL),
	{ "unlink", ANY, OP_CHANGES, unlink_path, unlink_call, .arg = 0 },
	CHMOD(0640, ANY),
	CHMOD(0751, ANY),
	CHMOD(06755, TYPE_POSIX),
	CHOWN("chown to self", SELF_UID, ANY),
	CHOWN("chown to self and own group", SELF_BOTH, ANY),
	CHOWN("chown to another", GIVE_UID, ANY),
	CHOWN("chgrp to own group", SELF_GID, ANY),
	CHOWN("chgrp to supplementary group", SUPPLEMENTARY_GID, ANY),
	CHOWN("chgrp to foreign group", GIVE_GID, ANY),
	CHOWN("chown to nobody new", KEEP, TYPE_POSIX),
	{ "touch", TYPE_POSIX, OP_CHANGES, touch_path, .arg = 0 },
	{ "touch to a time", TYPE_POSIX, OP_CHANGES, touch_path, .arg = 1 },
	{ "rename", TYPE_POSIX, OP_CHANGES, rename_path, .arg = 0 },
	{ "link", TYPE_POSIX, OP_CHANGES, link_path, .arg = 0 },
	{ "create", TYPE_POSIX, OP_CHANGES | OP_MAKES, create_path, NULL, 0, .mode = 0666 },
	{ "create with umask", TYPE_POSIX, OP_CHANGES | OP_MAKES, create_path, NULL, 027,
	  .mode = 0666 },
	{ "create", TYPE_KEY, OP_CHANGES | OP_MAKES, create_path, create_call, 0, .mode = 0640 },
	{ "create unreadable", TYPE_KEY, OP_CHANGES | OP_MAKES, create_path, create_call, 0,
	  .mode = 0000 },
};
/* clang-format on */
const int matrix_op_count = sizeof(matrix_ops) / sizeof(*matrix_ops);

static int ask_directly(const struct op *op, const struct job *job, const struct target *target,
			const struct caller *caller)
{
	int status;

	/* Neither a key nor an id: a POSIX object. */
	if (target->key == 0 && target->shmid < 0)
		return op->by_path(op, job, target);
	/* A path call has access()'s change of user built in; a SysV call needs it done. */
	if (op->flags & OP_REAL)
		caller_enter_real(caller);
	status = op->by_call(op, job, target);
	if (op->flags & OP_REAL)
		caller_leave_real(caller);
	return status;
}

/* Where a mode gives others what it does not give to the group: who may be of it is refused. */
static bool may_be_barred(const struct job *job)
{
	const mode_t wanted = (job->op->arg & O_ACCMODE) == O_RDONLY ? 4 : 6;
	const mode_t mode = job->direct.mode;

	return (mode & wanted) == wanted && (mode >> 3 & wanted) != wanted;
}

void jobs_run(struct arena *arena, const struct caller *caller)
{
	for (int i = 0; i < arena->count; i++) {
		struct job *job = &arena->jobs[i];

		job->by_direct = ask_directly(job->op, job, &job->direct, caller);
		job->by_blind = job->by_direct;
		if (job->op->flags & OP_ACCESS && caller_is_blind(caller)) {
			struct op otherwise = *job->op;

			otherwise.flags ^= OP_REAL;
			job->by_blind = ask_directly(&otherwise, job, &job->direct, caller);
		}
		/* Less than the kernel gives, and never more: nor is the call known, see matrix.h.
		 */
		if (job->op->flags & OP_URING &&
		    (caller_has_more(caller) || may_be_barred(job) || arena->is_protected))
			job->by_blind = EACCES;
		if (direct_only)
			job->by_mount = ask_directly(job->op, job, &job->mount, caller);
		else
			job->by_mount = job->op->by_path(job->op, job, &job->mount);
	}
}
