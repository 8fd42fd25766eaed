/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Prints PATH from its mapping, and once more as soon as another process has changed it. */
#include "seed.h"

#include <sched.h>

int main(int argc, char **argv)
{
	int fd = seed_open(seed_argument(argc, argv, 1, "PATH"), O_RDWR);
	size_t size = seed_size(fd);
	const volatile char *watched;
	char *text = seed_map(fd, size, MAP_SHARED, 0);
	char before = text[20];

	printf("%.*s\n", (int)size, text);
	fflush(stdout);
	watched = text;
	while (watched[20] == before)
		sched_yield();
	printf("%.*s\n", (int)size, text);
	munmap(text, size);
	return EXIT_SUCCESS;
}
