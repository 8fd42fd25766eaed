/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Prints the students in PATH from its mapping; makes the file where it is missing. */
#include "seed.h"
#include "student.h"

int main(int argc, char **argv)
{
	int fd = seed_open(seed_argument(argc, argv, 1, "PATH"), O_CREAT | O_RDWR);
	size_t size = seed_size(fd);
	const struct student *students;

	printf("open ok!\n");
	fflush(stdout);
	students = seed_map(fd, size, MAP_SHARED, 0);
	for (size_t i = 0; i < size / sizeof(*students); i++) {
		printf("record %zu\n", i);
		printf("name=%.20s\n", students[i].name);
		printf("age=%d\n", students[i].age);
		printf("score=%f\n", students[i].score);
		printf("sex=%c\n", students[i].sex);
	}
	munmap((void *)students, size);
	return EXIT_SUCCESS;
}
