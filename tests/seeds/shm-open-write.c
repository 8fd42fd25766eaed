/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A large block into the POSIX object NAME. */
#include "big-data.h"
#include "seed.h"

int main(int argc, char **argv)
{
	const char *name = seed_argument(argc, argv, 1, "NAME BYTES");
	size_t length = strtoul(seed_argument(argc, argv, 2, "NAME BYTES"), NULL, 10);
	int fd = shm_open(name, O_CREAT | O_RDWR, 0600);
	unsigned char *data;

	if (fd < 0)
		err(EXIT_FAILURE, "shm_open %s", name);
	if (ftruncate(fd, length) < 0)
		err(EXIT_FAILURE, "ftruncate");
	data = seed_map(fd, length, MAP_SHARED, 0);
	for (size_t i = 0; i < length; i++)
		data[i] = big_data_byte(i);
	printf("%zu bytes, sum %016llx\n", length, (unsigned long long)big_data_sum(data, length));
	munmap(data, length);
	return EXIT_SUCCESS;
}
