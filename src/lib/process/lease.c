/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/process/lease.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <signal.h>
#include <unistd.h>

#include "lib/os/deadline.h"
#include "lib/os/fd.h"

/* A lease that is kept longer is not waited for: the call that it is for hangs. */
#define PATIENCE (500 * G_TIME_SPAN_MILLISECOND)

static GMutex lock;
static GCond has_settled;
static guint n_kept; /* leases that are kept without the lock */

void lease_lock(void)
{
	g_mutex_lock(&lock);
}

void lease_unlock(void)
{
	g_mutex_unlock(&lock);
}

void lease_keep(void)
{
	n_kept++;
	g_mutex_unlock(&lock);
}

void lease_end(void)
{
	g_mutex_lock(&lock);
	if (--n_kept == 0)
		g_cond_broadcast(&has_settled);
	g_mutex_unlock(&lock);
}

void lease_settle(void)
{
	DeadlineSteps steps = {};

	g_mutex_lock(&lock);
	while (n_kept > 0 && deadline_step(&has_settled, &lock, PATIENCE, &steps))
		;
	g_mutex_unlock(&lock);
}

int lease_take(int fd)
{
	/* A process that opens it meanwhile breaks the lease; by default that is a SIGIO to us,
	 * which kills. */
	if (fcntl(fd, F_SETSIG, SIGURG) < 0)
		return -errno;
	if (fcntl(fd, F_SETLEASE, F_WRLCK) == 0)
		return 0;
	return errno == EAGAIN ? -EBUSY : -errno;
}

int lease_open(int path_fd, int *ret_fd)
{
	FdPath name;

	if (path_fd < 0)
		return -EBADF;
	fd_path(path_fd, name);
	/* A lease of another process is not waited for: it shows that the process has the file. */
	const int fd = open(name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	int r = lease_take(fd);
	if (r < 0) {
		close(fd);
		return r;
	}
	*ret_fd = fd;
	return 0;
}
