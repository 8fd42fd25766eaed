/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Prints ten people from PATH's mapping, however long the file is. */
#include "seed.h"

int main(int argc, char **argv)
{
	int fd = seed_open(seed_argument(argc, argv, 1, "PATH"), O_CREAT | O_RDWR);
	struct person *people = seed_map(fd, sizeof(*people) * PEOPLE, MAP_SHARED, 0);

	for (int i = 0; i < PEOPLE; i++)
		printf("name: %.4s age %d;\n", people[i].name, people[i].age);
	munmap(people, sizeof(*people) * PEOPLE);
	return EXIT_SUCCESS;
}
