/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "segment/lease.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>

int lease_take(int fd)
{
	/* Who opens it meanwhile breaks the lease; by default that is a SIGIO, which kills. */
	if (fcntl(fd, F_SETSIG, SIGURG) < 0)
		return -errno;
	if (fcntl(fd, F_SETLEASE, F_WRLCK) == 0)
		return 0;
	return errno == EAGAIN ? -EBUSY : -errno;
}
