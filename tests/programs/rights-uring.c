/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * rights-uring caps|ids PATH...: opens each PATH by open(2) and by io_uring, after rights were
 * given up. "caps": user 0 without any capability; "ids": user and group 4001 without
 * supplementary groups. The ring's worker was made before, while there were rights: the kernel
 * judges both opens by what the request carries, whatever the worker's status shows.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "uring.h"

static void give_up(const char *what)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[2] = {};

	if (!strcmp(what, "caps")) {
		if (syscall(SYS_capset, &header, none) < 0)
			err(2, "capset");
	} else if (setgroups(0, NULL) || setresgid(4001, 4001, 4001) ||
		   setresuid(4001, 4001, 4001)) {
		err(2, "ids");
	}
}

int main(int argc, char **argv)
{
	if (argc < 3)
		errx(2, "usage: rights-uring caps|ids PATH...");
	const int r = uring_start();
	if (r < 0) {
		printf("no io_uring: %s\n", strerror(-r));
		return 77;
	}
	give_up(argv[1]);
	for (int i = 2; i < argc; i++) {
		const int fd = open(argv[i], O_RDONLY), error = errno;
		const int by_ring = uring_open(argv[i], O_RDONLY);
		printf("open %s, io_uring %s\n", fd < 0 ? strerror(error) : "OK",
		       by_ring < 0 ? strerror(-by_ring) : "OK");
	}
	return 0;
}
