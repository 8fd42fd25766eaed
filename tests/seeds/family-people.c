/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Parent and child share people by an anonymous mapping, or by that of PATH. */
#include "seed.h"

#include <sys/wait.h>

int main(int argc, char **argv)
{
	int fd = argc > 1 ? seed_open(argv[1], O_RDWR) : -1;
	struct person *people = seed_map(fd, sizeof(*people) * PEOPLE,
					 MAP_SHARED | (fd < 0 ? MAP_ANONYMOUS : 0), 0);
	int written[2];
	char byte = 0;
	pid_t child;

	if (pipe(written) < 0)
		err(EXIT_FAILURE, "pipe");
	child = fork();
	if (child < 0)
		err(EXIT_FAILURE, "fork");
	if (child == 0) {
		if (read(written[0], &byte, 1) != 1)
			err(EXIT_FAILURE, "read");
		for (int i = 0; i < 5; i++)
			printf("child read: the %d people's age is %d\n", i + 1, people[i].age);
		people[0].age = 100;
		munmap(people, sizeof(*people) * PEOPLE);
		exit(EXIT_SUCCESS);
	}
	people_fill(people, 5);
	if (write(written[1], &byte, 1) != 1)
		err(EXIT_FAILURE, "write");
	waitpid(child, NULL, 0);
	printf("parent read: the first people's age is %d\n", people[0].age);
	printf("umap\n");
	munmap(people, sizeof(*people) * PEOPLE);
	printf("umap ok\n");
	return EXIT_SUCCESS;
}
