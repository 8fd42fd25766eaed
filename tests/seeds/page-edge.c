/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Makes PATH a little shorter than two pages, maps three pages from page FIRST on and walks over
 * each edge: the first page that the file does not reach is a SIGBUS.
 */
#include "seed.h"

int main(int argc, char **argv)
{
	int first = atoi(seed_argument(argc, argv, 1, "FIRST PATH"));
	int fd = seed_open(seed_argument(argc, argv, 2, "FIRST PATH"), O_CREAT | O_RDWR | O_TRUNC);
	long page = sysconf(_SC_PAGESIZE);
	long per_page = page / sizeof(struct person);
	volatile struct person *people;

	/* What was printed has to survive the signal. */
	setvbuf(stdout, NULL, _IONBF, 0);
	printf("pagesize is %ld\n", page);
	if (pwrite(fd, "", 1, page * 2 - 100) != 1)
		err(EXIT_FAILURE, "pwrite");
	people = seed_map(fd, page * 3, MAP_SHARED, first * page);
	for (int i = 1; i < 10; i++) {
		people[per_page * i - 2].age = 100;
		printf("access page %d over\n", i);
		people[per_page * i - 1].age = 100;
		printf("access page %d edge over, now begin to access page %d\n", i, i + 1);
		people[per_page * i].age = 100;
		printf("access page %d over\n", i + 1);
	}
	return EXIT_SUCCESS;
}
