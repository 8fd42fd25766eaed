/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ten people into the SysV segment of PATH's ftok key; the segment stays when we are gone. */
#include "seed.h"

#include <sys/shm.h>

int main(int argc, char **argv)
{
	key_t key = ftok(seed_argument(argc, argv, 1, "PATH"), 0);
	struct person *people;
	int shmid;

	if (key == -1)
		err(EXIT_FAILURE, "ftok");
	shmid = shmget(key, 4096, IPC_CREAT | 0600);
	if (shmid < 0)
		err(EXIT_FAILURE, "shmget");
	people = shmat(shmid, NULL, 0);
	if (people == (void *)-1)
		err(EXIT_FAILURE, "shmat");
	people_fill(people, PEOPLE);
	if (shmdt(people) < 0)
		err(EXIT_FAILURE, "shmdt");
	return EXIT_SUCCESS;
}
