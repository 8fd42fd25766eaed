/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* For the scripts: whether PATH can be mapped shared; "ok", or the error's name. */
#include "seed.h"

int main(int argc, char **argv)
{
	int fd = seed_open(seed_argument(argc, argv, 1, "PATH"), O_RDWR);

	if (mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED)
		puts(strerrorname_np(errno));
	else
		puts("ok");
	return EXIT_SUCCESS;
}
