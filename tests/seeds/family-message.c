/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Parent and child leave each other a message in an anonymous mapping, or in that of PATH. */
#include "seed.h"

#include <sys/wait.h>

#define MESSAGE_MAX 100

int main(int argc, char **argv)
{
	int fd = argc > 1 ? seed_open(argv[1], O_RDWR) : -1;
	char *message = seed_map(fd, MESSAGE_MAX, MAP_SHARED | (fd < 0 ? MAP_ANONYMOUS : 0), 0);
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
		printf("child got a message: %s\n", message);
		strcpy(message, "hi, dad, this is son");
		munmap(message, MESSAGE_MAX);
		exit(EXIT_SUCCESS);
	}
	strcpy(message, "hi, this is father");
	if (write(written[1], &byte, 1) != 1)
		err(EXIT_FAILURE, "write");
	waitpid(child, NULL, 0);
	printf("parent got a message: %s\n", message);
	munmap(message, MESSAGE_MAX);
	return EXIT_SUCCESS;
}
