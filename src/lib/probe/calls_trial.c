/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A child does all that programs at functions are to tell of: what is attached may not run. */

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/probe/calls_probe.h"

/* Makes and uses a set and a queue. */
static void use_both(void)
{
	struct sembuf up = {0, 1, IPC_NOWAIT};
	struct {
		long type;
		char byte;
	} message = {1, 0};
	const key_t key = 1; /* in a namespace of its own */

	const int set = semget(key, 1, IPC_CREAT | 0600);
	semget(key, 1, 0);
	semop(set, &up, 1);
	semctl(set, 0, SETVAL, 0);
	semctl(set, 0, IPC_RMID);
	const int queue = msgget(key, IPC_CREAT | 0600);
	msgget(key, 0);
	msgsnd(queue, &message, 1, IPC_NOWAIT);
	msgrcv(queue, &message, 1, 0, IPC_NOWAIT);
	msgctl(queue, IPC_RMID, NULL);
}

/* A memfd is made, is made larger, and goes. */
static void use_memfd(void)
{
	const int fd = memfd_create("segfs", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, 4096) < 0)
		_exit(1);
	close(fd);
}

/* What a child of the trial does: no more than may be done between fork(2) and execve(2). */
static void G_GNUC_NORETURN make_and_remove(int go_fd, int parent_fd)
{
	char byte;

	close(parent_fd);
	if (unshare(CLONE_NEWIPC) < 0 || read(go_fd, &byte, 1) != 1)
		_exit(1);
	use_both();
	use_memfd();
	const int shmid = shmget(IPC_PRIVATE, 4096, 0600);
	void *at = shmid < 0 ? (void *)-1 : shmat(shmid, NULL, 0);
	if (at == (void *)-1)
		_exit(1);
	const pid_t child = fork();
	if (child == 0)
		_exit(0);
	while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
	_exit(shmdt(at) < 0 || shmctl(shmid, IPC_RMID, NULL) < 0 || child < 0);
}

int calls_try(uint32_t *tried_pid)
{
	int fds[2], status = 0;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	const pid_t pid = fork();
	if (pid == 0)
		make_and_remove(fds[0], fds[1]);
	int r = pid < 0 ? -errno : 0;
	close(fds[0]);
	if (r == 0) {
		*tried_pid = pid;
		/* It goes on with this byte, or at the end of the file. */
		if (write(fds[1], "", 1) != 1)
			r = -EIO;
	}
	close(fds[1]);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	*tried_pid = 0;
	return r == 0 && status != 0 ? -ECHILD : r;
}
