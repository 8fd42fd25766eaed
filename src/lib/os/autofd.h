/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <errno.h>
#include <unistd.h>

/* A descriptor that is closed when it goes out of scope; Debian 12's GLib has no g_autofd. */
static inline void autofd_close(int *fd)
{
	const int error = errno;

	if (*fd >= 0)
		close(*fd);
	errno = error;
}

#define autofd __attribute__((cleanup(autofd_close))) int

static inline int steal_fd(int *fd)
{
	const int stolen = *fd;

	*fd = -1;
	return stolen;
}
