/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <err.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

/* fs.protected_regular is on (proc_sys_fs(5)), as distributions set it. */
static inline bool fs_is_protected(void)
{
	char level = '0';
	const int fd = open("/proc/sys/fs/protected_regular", O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, &level, 1) != 1)
		err(EXIT_FAILURE, "fs.protected_regular");
	close(fd);
	return level != '0';
}
