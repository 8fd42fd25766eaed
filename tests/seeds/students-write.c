/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Three students into PATH, through its mapping; PATH may be there in that very size already. */
#include "seed.h"
#include "student.h"

int main(int argc, char **argv)
{
	static const struct student students[] = {
		{"Zhang San", 20, 88.5, 'M'},
		{"Li Si", 19, 92.25, 'F'},
		{"Wang Wu", 21, 75, 'M'},
	};
	int fd = seed_open(seed_argument(argc, argv, 1, "PATH"), O_CREAT | O_RDWR);
	void *memory;

	if (ftruncate(fd, sizeof(students)) < 0)
		err(EXIT_FAILURE, "ftruncate");
	memory = seed_map(fd, sizeof(students), MAP_SHARED, 0);
	memcpy(memory, students, sizeof(students));
	munmap(memory, sizeof(students));
	return EXIT_SUCCESS;
}
