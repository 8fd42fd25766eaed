// SPDX-License-Identifier: LGPL-2.1-or-later
/* shmtool: files that are open. */
#include "shmtool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static int *many;
static size_t n_many;

static long long read_some(int fd, size_t len, long long offset)
{
	char *buffer = malloc(len + 1);
	ssize_t n = offset < 0 ? read(fd, buffer, len) : pread(fd, buffer, len, offset);

	if (n >= 0) {
		sprintf(out, "%zd:", n);
		say_bytes(buffer, (size_t)n);
	}
	int err = errno;
	free(buffer);
	errno = err;
	return n < 0 ? -1 : 0;
}

static long long write_fill(int fd, long long offset, size_t len, char byte)
{
	char *buffer = malloc(len + 1);

	memset(buffer, byte, len);
	ssize_t n = offset < 0 ? write(fd, buffer, len) : pwrite(fd, buffer, len, offset);
	int err = errno;
	free(buffer);
	errno = err;
	return n;
}

long long run_transfer(size_t n, char **w, const size_t *len)
{
	if (IS("open", 3)) {
		int fd = open(w[2], INT(3), n > 4 ? (mode_t)NUM(4) : 0);

		slot(w[1])->fd = fd;
		return fd < 0 ? -1 : 0;
	}
	if (IS("dup", 2))
		return (slot(w[1])->fd = dup(FD(2))) < 0 ? -1 : 0;
	if (IS("close", 1))
		return close(FD(1));
	if (IS("read", 2))
		return read_some(FD(1), SIZE(2), -1);
	if (IS("pread", 3))
		return read_some(FD(1), SIZE(3), NUM(2));
	if (IS("write", 2))
		return write(FD(1), w[2], len[2]);
	if (IS("pwrite", 3))
		return pwrite(FD(1), w[3], len[3], NUM(2));
	if (IS("pwritefill", 4))
		return write_fill(FD(1), NUM(2), SIZE(3), w[4][0]);
	if (IS("writefill", 3))
		return write_fill(FD(1), -1, SIZE(2), w[3][0]);
	if (IS("ftruncate", 2))
		return ftruncate(FD(1), NUM(2));
	if (IS("fallocate", 4))
		return fallocate(FD(1), INT(2), NUM(3), NUM(4));
	if (IS("lseek", 3))
		return lseek(FD(1), NUM(2), INT(3));
	if (IS("fsync", 1))
		return fsync(FD(1));
	return NOT_MINE;
}

static long long lock_range(int fd, int cmd, int type, long long start, long long len)
{
	struct flock lock = {
		.l_type = (short)type, .l_whence = SEEK_SET, .l_start = start, .l_len = len};

	if (fcntl(fd, cmd, &lock) < 0)
		return -1;
	if (cmd == F_GETLK || cmd == F_OFD_GETLK)
		sprintf(out, "%s",
			lock.l_type == F_UNLCK   ? "free"
			: lock.l_type == F_RDLCK ? "read"
						 : "write");
	return 0;
}

/* A % in the path becomes 0, 1, 2 … */
static long long open_many(const char *path, size_t count, int flags)
{
	const char *mark = strchr(path, '%');
	char name[4096];

	many = realloc(many, (n_many + count) * sizeof(many[0]));
	for (size_t i = 0; i < count; i++) {
		if (mark)
			snprintf(name, sizeof(name), "%.*s%zu%s", (int)(mark - path), path, i,
				 mark + 1);
		int fd = open(mark ? name : path, flags);

		if (fd < 0) {
			sprintf(out, "%zu %s", i, errno_name(errno));
			return 0;
		}
		many[n_many++] = fd;
	}
	sprintf(out, "%zu ok", count);
	return 0;
}

long long run_descriptor(size_t n, char **w, const size_t *len)
{
	struct stat st;
	char buffer[64];

	if (IS("fstat", 1) || IS("flook", 1)) {
		if (fstat(FD(1), &st) < 0)
			return -1;
		say_stat(&st, w[0][1] == 's');
		return 0;
	}
	if (IS("fchmod", 2))
		return fchmod(FD(1), (mode_t)NUM(2));
	if (IS("fchown", 3))
		return fchown(FD(1), (uid_t)NUM(2), (gid_t)NUM(3));
	if (IS("futimens", 2))
		return set_times(NULL, FD(1), NUM(2));
	if (IS("flock", 2))
		return flock(FD(1), INT(2));
	if (IS("fcntl", 5))
		return lock_range(FD(1), INT(2), INT(3), NUM(4), NUM(5));
	if (IS("linkfd", 2)) {
		sprintf(buffer, "/proc/self/fd/%d", FD(1));
		return linkat(AT_FDCWD, buffer, AT_FDCWD, w[2], AT_SYMLINK_FOLLOW);
	}
	if (IS("openmany", 3))
		return open_many(w[1], SIZE(2), INT(3));
	if (IS("closeone", 0))
		return n_many ? close(many[--n_many]) : 0;
	if (IS("closemany", 0)) {
		while (n_many)
			close(many[--n_many]);
		return 0;
	}
	return NOT_MINE;
}
