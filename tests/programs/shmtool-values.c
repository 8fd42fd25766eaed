// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shmtool.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

static Slot slots[128];
char *out;

void say_bytes(const char *data, size_t len)
{
	size_t used = strlen(out);

	for (size_t i = 0; i < len && used < OUT_SIZE - 32;) {
		size_t run = 1;
		unsigned char c = (unsigned char)data[i];

		while (i + run < len && data[i + run] == data[i])
			run++;
		size_t times = run > 4 ? 1 : run;
		for (size_t t = 0; t < times && used < OUT_SIZE - 32; t++)
			used += (size_t)sprintf(out + used,
						isgraph(c) && c != '\\' ? "%c" : "\\x%02x", c);
		if (run > 4)
			used += (size_t)sprintf(out + used, "{%zu}", run);
		i += run;
	}
}

Slot *slot(const char *word)
{
	if (!isalpha((unsigned char)word[0]) || word[1]) {
		fprintf(stderr, "shmtool: not a slot: %s\n", word);
		exit(2);
	}
	return &slots[(unsigned char)word[0]];
}

void slots_clear(void)
{
	for (size_t s = 0; s < sizeof(slots) / sizeof(slots[0]); s++)
		slots[s].fd = -1;
}
