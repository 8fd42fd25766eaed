/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Says what the POSIX object NAME holds. */
#include "big-data.h"
#include "seed.h"

int main(int argc, char **argv)
{
	const char *name = seed_argument(argc, argv, 1, "NAME");
	int fd = shm_open(name, O_RDWR, 0);
	unsigned char *data;
	size_t length;

	if (fd < 0)
		err(EXIT_FAILURE, "shm_open %s", name);
	length = seed_size(fd);
	data = seed_map(fd, length, MAP_SHARED, 0);
	printf("%zu bytes, sum %016llx\n", length, (unsigned long long)big_data_sum(data, length));
	munmap(data, length);
	return EXIT_SUCCESS;
}
