/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Prints PATH from its mapping, changes one byte there and syncs; "private": in our copy only. */
#include "seed.h"

#include <stdbool.h>

int main(int argc, char **argv)
{
	static const char usage[] = "shared|private PATH";
	bool shared = strcmp(seed_argument(argc, argv, 1, usage), "private");
	int fd = seed_open(seed_argument(argc, argv, 2, usage), O_RDWR);
	size_t size = seed_size(fd);
	char *text = seed_map(fd, size, shared ? MAP_SHARED : MAP_PRIVATE, 0);

	if (shared)
		printf("%.*s", (int)size, text);
	text[20] = '9';
	if (shared && msync(text, size, MS_SYNC) < 0)
		err(EXIT_FAILURE, "msync");
	if (munmap(text, size) < 0)
		err(EXIT_FAILURE, "munmap");
	return EXIT_SUCCESS;
}
