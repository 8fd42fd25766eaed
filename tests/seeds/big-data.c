/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The same block on standard output, or with "sum" the sum of standard input, read as a stream. */
#include "big-data.h"
#include "seed.h"

int main(int argc, char **argv)
{
	const char *what = seed_argument(argc, argv, 1, "BYTES|sum");
	size_t length = 0, room = 0, got;
	unsigned char *data = NULL;

	if (strcmp(what, "sum")) {
		length = strtoul(what, NULL, 10);
		for (size_t i = 0; i < length; i++)
			putchar(big_data_byte(i));
		return fflush(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
	}
	do {
		if (length == room) {
			room = room ? room * 2 : 1 << 20;
			data = realloc(data, room);
			if (!data)
				err(EXIT_FAILURE, "realloc");
		}
		got = fread(data + length, 1, room - length, stdin);
		length += got;
	} while (got);
	printf("%zu bytes, sum %016llx\n", length, (unsigned long long)big_data_sum(data, length));
	free(data);
	return EXIT_SUCCESS;
}
