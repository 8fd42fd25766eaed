/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Makes PATH five people long and writes ten through the mapping: the page has room. */
#include "seed.h"

int main(int argc, char **argv)
{
	int fd = seed_open(seed_argument(argc, argv, 1, "PATH"), O_CREAT | O_RDWR | O_TRUNC);
	struct person *people;

	if (pwrite(fd, "", 1, sizeof(*people) * 5 - 1) != 1)
		err(EXIT_FAILURE, "pwrite");
	people = seed_map(fd, sizeof(*people) * PEOPLE, MAP_SHARED, 0);
	people_fill(people, PEOPLE);
	printf("initialize over\n");
	fflush(stdout);
	/* The other process reads meanwhile; the end of our input says that it has. */
	while (getchar() != EOF)
		;
	munmap(people, sizeof(*people) * PEOPLE);
	printf("umap ok\n");
	return EXIT_SUCCESS;
}
