/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The limits as the kernel tells a program, in the form of /proc/sys/kernel. */
#include "seed.h"

#include <sys/shm.h>

int main(void)
{
	struct shminfo info;

	if (shmctl(0, IPC_INFO, (struct shmid_ds *)&info) < 0)
		err(EXIT_FAILURE, "IPC_INFO");
	printf("shmmax: %lu\n", info.shmmax);
	printf("shmmni: %lu\n", info.shmmni);
	printf("shmall: %lu\n", info.shmall);
	return EXIT_SUCCESS;
}
