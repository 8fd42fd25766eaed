/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* For the scripts: PATH's ftok key and the id of its segment, "none" where there is none. */
#include "seed.h"

#include <sys/shm.h>

int main(int argc, char **argv)
{
	key_t key = ftok(seed_argument(argc, argv, 1, "PATH"), 0);
	int shmid;

	if (key == -1)
		err(EXIT_FAILURE, "ftok");
	shmid = shmget(key, 0, 0);
	printf("0x%08x ", (unsigned)key);
	if (shmid < 0)
		puts("none");
	else
		printf("%d\n", shmid);
	return EXIT_SUCCESS;
}
