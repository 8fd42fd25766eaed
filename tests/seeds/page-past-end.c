/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Maps two pages of PATH, writes right behind its end, then at the second page. */
#include "seed.h"

int main(int argc, char **argv)
{
	int fd = seed_open(seed_argument(argc, argv, 1, "PATH"), O_RDWR);
	long page = sysconf(_SC_PAGESIZE);
	size_t size = seed_size(fd);
	volatile char *text;

	setvbuf(stdout, NULL, _IONBF, 0);
	printf("pagesize is %ld\n", page);
	printf("file size is %zu\n", size);
	text = seed_map(fd, page * 2, MAP_SHARED, 0);
	text[size] = '9';
	printf("wrote behind the end\n");
	text[page] = '9';
	printf("wrote to the second page\n");
	return EXIT_SUCCESS;
}
