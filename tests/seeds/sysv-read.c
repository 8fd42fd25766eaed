/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Prints the ten people of the SysV segment of PATH's ftok key, which is made if it is missing. */
#include "seed.h"

#include <sys/shm.h>

int main(int argc, char **argv)
{
	key_t key = ftok(seed_argument(argc, argv, 1, "PATH"), 0);
	const struct person *people;
	int shmid;

	if (key == -1)
		err(EXIT_FAILURE, "ftok");
	shmid = shmget(key, 4096, IPC_CREAT | 0600);
	if (shmid < 0)
		err(EXIT_FAILURE, "shmget");
	people = shmat(shmid, NULL, SHM_RDONLY);
	if (people == (void *)-1)
		err(EXIT_FAILURE, "shmat");
	for (int i = 0; i < PEOPLE; i++) {
		printf("name:%.4s\n", people[i].name);
		printf("age %d\n", people[i].age);
	}
	if (shmdt(people) < 0)
		err(EXIT_FAILURE, "shmdt");
	return EXIT_SUCCESS;
}
