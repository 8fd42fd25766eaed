// SPDX-License-Identifier: LGPL-2.1-or-later
#include "words.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

static const struct {
	const char *name;
	long long value;
} names[] = {
#define N(x)                                                                                       \
	{                                                                                          \
#x, x                                                                              \
	}
	N(O_RDONLY),
	N(O_WRONLY),
	N(O_RDWR),
	N(O_CREAT),
	N(O_EXCL),
	N(O_TRUNC),
	N(O_APPEND),
	N(O_NOFOLLOW),
	N(O_DIRECTORY),
	N(O_PATH),
	N(O_TMPFILE),
	N(O_DIRECT),
	N(O_NONBLOCK),
	N(IPC_CREAT),
	N(IPC_NOWAIT),
	N(IPC_EXCL),
	N(IPC_PRIVATE),
	N(SHM_HUGETLB),
	N(SHM_NORESERVE),
	N(SHM_RDONLY),
	N(SHM_EXEC),
	N(PROT_NONE),
	N(PROT_READ),
	N(PROT_WRITE),
	N(MAP_SHARED),
	N(MAP_PRIVATE),
	N(SEEK_SET),
	N(SEEK_CUR),
	N(SEEK_END),
	N(SEEK_DATA),
	N(SEEK_HOLE),
	N(LOCK_SH),
	N(LOCK_EX),
	N(LOCK_NB),
	N(LOCK_UN),
	N(F_RDLCK),
	N(F_WRLCK),
	N(F_UNLCK),
	N(F_SETLK),
	N(F_SETLKW),
	N(F_GETLK),
	N(F_OFD_SETLK),
	N(F_OFD_SETLKW),
	N(F_OFD_GETLK),
	N(FALLOC_FL_KEEP_SIZE),
	N(FALLOC_FL_PUNCH_HOLE),
	N(FALLOC_FL_ZERO_RANGE),
	N(FALLOC_FL_COLLAPSE_RANGE),
	N(RENAME_NOREPLACE),
	N(RENAME_EXCHANGE),
	N(RENAME_WHITEOUT),
	N(S_IFREG),
	N(S_IFIFO),
	N(S_IFSOCK),
	N(S_IFCHR),
	N(S_IFBLK),
	N(R_OK),
	N(W_OK),
	N(X_OK),
	N(F_OK),
	N(XATTR_CREATE),
	N(XATTR_REPLACE),
#undef N
};

const char *errno_name(int err)
{
	const char *name = strerrorname_np(err);

	return name ? name : "E?";
}

long long number(const char *word)
{
	long long total = 0;
	char *copy = strdup(word), *save = NULL;

	for (char *part = strtok_r(copy, "|", &save); part; part = strtok_r(NULL, "|", &save)) {
		size_t i;

		for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
			if (strcmp(names[i].name, part) == 0)
				break;
		if (i < sizeof(names) / sizeof(names[0])) {
			total |= names[i].value;
			continue;
		}

		char *end;
		long long value = (long long)strtoull(part[0] == '-' ? part + 1 : part, &end, 0);

		if (*end && strchr("KMGT", *end))
			value <<= 10 * (1 + (strchr("KMGT", *end++) - "KMGT"));
		if (*end || end == part) {
			fprintf(stderr, "not a number: %s\n", word);
			exit(2);
		}
		total |= part[0] == '-' ? -value : value;
	}
	free(copy);
	return total;
}

size_t unescape(char *word)
{
	char *to = word;

	for (char *from = word; *from;) {
		unsigned int byte;

		if (sscanf(from, "\\x%2x", &byte) == 1) {
			*to++ = (char)byte;
			from += 4;
		} else {
			*to++ = *from++;
		}
	}
	*to = '\0';
	return (size_t)(to - word);
}
