/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Calls on what is open or mapped, and the direct ones that it meets. */

#include "calls.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

static void do_read(Worker *worker)
{
	const int fd = some_fd(worker);
	const size_t size = (size_t)below(worker, BUFFER);
	const int64_t offset = some_size(worker);

	note(worker, "read(%d, %zu at %lld)", fd, size, (long long)offset);
	if (one_in(worker, 2) && read(fd, worker->buffer, size) < 0)
		return;
	if (pread(fd, worker->buffer, size, offset) < 0)
		return;
}

static void do_write(Worker *worker)
{
	const int fd = some_fd(worker);
	const size_t size = (size_t)below(worker, BUFFER);
	const int64_t offset = some_size(worker);
	const struct iovec pieces[3] = {
		{worker->buffer, size / 3}, {worker->buffer, 0}, {worker->buffer, size / 2}};

	note(worker, "write(%d, %zu at %lld)", fd, size, (long long)offset);
	switch (below(worker, 3)) {
	case 0:
		if (write(fd, worker->buffer, size) < 0)
			return;
		break;
	case 1:
		if (pwritev(fd, pieces, 3, offset) < 0)
			return;
		break;
	default:
		if (pwrite(fd, worker->buffer, size, offset) < 0)
			return;
	}
}

static void do_size(Worker *worker)
{
	const int fd = some_fd(worker),
		  mode = one_in(worker, 2) ? (int)below(worker, 128) : (int)ONE_OF(worker, 0, 1, 3);
	const int64_t offset = some_size(worker), length = some_size(worker);

	note(worker, "size(%d, %d, %lld, %lld)", fd, mode, (long long)offset, (long long)length);
	switch (below(worker, 3)) {
	case 0:
		fallocate(fd, mode, offset, length);
		break;
	case 1:
		if (ftruncate(fd, length) < 0)
			return;
		break;
	default:
		lseek(fd, offset, (int)below(worker, 6));
	}
}

/* What is mapped is touched by calls: where there is no page that is EFAULT, no signal. */
static void do_map(Worker *worker)
{
	const uint64_t slot = below(worker, N_MAPS);
	const int fd = some_fd(worker);
	const size_t size = 1 + (size_t)below(worker, 4 << 20);
	const int kind = one_in(worker, 3) ? MAP_PRIVATE : MAP_SHARED;
	const int rights = one_in(worker, 2) ? PROT_READ | PROT_WRITE : PROT_READ;
	char byte = 1;

	note(worker, "map(%d, %zu)", fd, size);
	if (worker->maps[slot].at)
		munmap(worker->maps[slot].at, worker->maps[slot].size);
	worker->maps[slot].at = NULL;
	char *at = mmap(NULL, size, rights, kind, fd, (off_t)below(worker, 8) * 4096);
	if (at == MAP_FAILED)
		return;
	worker->maps[slot].at = at;
	worker->maps[slot].size = size;
	struct iovec here = {&byte, 1}, there = {at + below(worker, size), 1};
	process_vm_readv(getpid(), &here, 1, &there, 1, 0);
	if (rights & PROT_WRITE)
		process_vm_writev(getpid(), &here, 1, &there, 1, 0);
	if (one_in(worker, 3))
		madvise(at, size,
			(int)ONE_OF(worker, MADV_DONTNEED, MADV_REMOVE, MADV_WILLNEED, MADV_FREE));
	if (one_in(worker, 4))
		msync(at, size, MS_SYNC);
}

static void do_lock(Worker *worker)
{
	const int fd = some_fd(worker);
	struct flock lock = {.l_type = (short)ONE_OF(worker, F_RDLCK, F_WRLCK, F_UNLCK),
			     .l_whence = (short)below(worker, 3),
			     .l_start = some_size(worker),
			     .l_len = one_in(worker, 2) ? 0 : some_size(worker)};

	note(worker, "lock(%d)", fd);
	if (one_in(worker, 3))
		flock(fd, (int)ONE_OF(worker, LOCK_SH, LOCK_EX, LOCK_UN) |
				  (one_in(worker, 8) ? 0 : LOCK_NB));
	else
		fcntl(fd,
		      (int)ONE_OF(worker, F_SETLK, F_GETLK, F_SETLK, F_OFD_SETLK, F_OFD_GETLK,
				  F_SETLKW),
		      &lock);
	if (one_in(worker, 8))
		fcntl(fd, F_SETLEASE, (int)ONE_OF(worker, F_RDLCK, F_WRLCK, F_UNLCK));
}

static void do_change(Worker *worker)
{
	const int fd = some_fd(worker);
	long argument = (long)next(worker);
	struct stat st;

	note(worker, "change or ask %d", fd);
	switch (below(worker, 9)) {
	case 0:
		fchmod(fd, (mode_t)below(worker, 010000) | 0600);
		break;
	case 1:
		if (fchown(fd, (uid_t)ONE_OF(worker, -1, 4001, 4002), (gid_t)-1) < 0)
			return;
		break;
	case 2:
		futimens(fd, NULL);
		break;
	case 3:
		fsetxattr(fd, "user.segfs.locked", one_in(worker, 2) ? "1" : "0", 1, 0);
		break;
	case 4:
		flistxattr(fd, worker->buffer, BUFFER);
		break;
	case 5:
		/* Not FICLONE and the like: their numbers carry descriptors. */
		ioctl(fd,
		      (unsigned long)ONE_OF(worker, 0x80086601, 0x40086602, 0x541b, 0x5421,
					    0x801c581f, 0x401c5820, 0x12345678),
		      &argument);
		break;
	case 6:
		one_in(worker, 2) ? fsync(fd) : fdatasync(fd);
		posix_fadvise(fd, some_size(worker), some_size(worker), (int)below(worker, 6));
		break;
	default:
		fstat(fd, &st);
		poll(&(struct pollfd){fd, POLLIN | POLLOUT, 0}, 1, 1);
	}
}

static void do_copy(Worker *worker)
{
	const int from = some_fd(worker), to = some_fd(worker);
	const size_t size = (size_t)below(worker, 1 << 20);
	int ends[2];

	note(worker, "copy(%d, %d, %zu)", from, to, size);
	if (one_in(worker, 2)) {
		if (copy_file_range(from, NULL, to, NULL, size, 0) < 0 &&
		    sendfile(to, from, NULL, size) < 0)
			return;
		return;
	}
	if (pipe2(ends, O_NONBLOCK) < 0)
		return;
	if (splice(from, NULL, ends[1], NULL, size, SPLICE_F_NONBLOCK) > 0)
		splice(ends[0], NULL, to, NULL, size, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
	close(ends[0]);
	close(ends[1]);
}

static void do_close(Worker *worker)
{
	const uint64_t slot = below(worker, N_FDS);

	note(worker, "close(%d)", worker->fds[slot]);
	if (worker->fds[slot] < 0)
		return;
	if (one_in(worker, 8)) {
		keep_fd(worker, dup(worker->fds[slot]));
	} else {
		close(worker->fds[slot]);
		worker->fds[slot] = -1;
	}
}

/* Beside the mount: what it shows changes under it. */
static void do_segment(Worker *worker)
{
	int *id = &worker->ids[below(worker, N_IDS)];
	const key_t key = one_in(worker, 3) ? IPC_PRIVATE : (key_t)below(worker, 12);
	struct shmid_ds ds;

	note(worker, "segment %d, key %d", *id, key);
	switch (below(worker, 8)) {
	case 0:
	case 1:
		if (*id >= 0)
			return;
		*id = shmget(key, (size_t)below(worker, 4 << 20) + 1,
			     IPC_CREAT | (one_in(worker, 2) ? 0666 : 0600));
		break;
	case 2:
		shmctl(*id, IPC_RMID, NULL);
		*id = -1;
		break;
	case 3:
		shmctl(*id, (int)ONE_OF(worker, SHM_LOCK, SHM_UNLOCK), NULL);
		break;
	default: {
		char *at = shmat(*id, NULL, one_in(worker, 2) ? SHM_RDONLY : 0);
		if (at == (char *)-1 || shmctl(*id, IPC_STAT, &ds) < 0)
			return;
		if (one_in(worker, 8))
			shmctl(*id, IPC_RMID, NULL);
		if (!one_in(worker, 3))
			shmdt(at);
	}
	}
}

/* Descriptors in two processes, one of which is killed. */
static void do_fork(Worker *worker)
{
	const int fd = some_fd(worker);
	char *const arguments[] = {"x", NULL}, *const none[] = {NULL};

	note(worker, "fork with %d", fd);
	const pid_t child = fork();
	if (child == 0) {
		if (one_in(worker, 3))
			syscall(SYS_execveat, fd, "", arguments, none, AT_EMPTY_PATH);
		if (read(fd, worker->buffer, 100) < 0 || pwrite(fd, worker->buffer, 100, 5) < 0)
			_exit(1);
		_exit(0);
	}
	if (child < 0)
		return;
	if (one_in(worker, 2))
		kill(child, SIGKILL);
	while (waitpid(child, NULL, 0) < 0)
		kill(child, SIGKILL); /* the alarm: it may wait for the other end of a FIFO */
}

const Call calls_of_files[] = {
	{"read", do_read, 12}, {"write", do_write, 14}, {"size", do_size, 12},
	{"map", do_map, 6},    {"lock", do_lock, 4},    {"change", do_change, 8},
	{"copy", do_copy, 5},  {"close", do_close, 5},  {"segment", do_segment, 8},
	{"fork", do_fork, 1},
};
const size_t n_calls_of_files = sizeof(calls_of_files) / sizeof(*calls_of_files);
