// SPDX-License-Identifier: LGPL-2.1-or-later
/* The operations on POSIX objects. */
#include "churn.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static void name_path(struct thread *self, bool direct, path_buffer ret_path)
{
	const int name = random_below(self, NAMES);

	if (direct)
		snprintf(ret_path, sizeof(path_buffer), "/dev/shm/churn-%d", name);
	else
		snprintf(ret_path, sizeof(path_buffer), "%s/posix/churn-%d", mnt, name);
}

void open_object(struct thread *self)
{
	struct open *opened = free_open(self);
	path_buffer path, direct_path;
	struct stat st, direct_st;
	enum kind kind;

	*opened = (struct open){.fd = -1,
				.direct = -1,
				.shmid = -1,
				.posix = true,
				.how = "posix/",
				.flags = some_flags(self)};
	name_path(self, false, path);
	snprintf(direct_path, sizeof(direct_path), "/dev/shm/%s", strrchr(path, '/') + 1);
	if (chance(self, 60)) {
		opened->may_store = true;
		opened->direct = open(direct_path, O_RDWR | O_CLOEXEC);
		outcome(self, DIRECT_POSIX_OPEN, opened->direct < 0 ? errno : 0);
	}
	if (chance(self, 50)) {
		const int excl = chance(self, 30) ? O_EXCL : 0;
		kind = excl ? POSIX_CREATE_EXCL : POSIX_CREATE;
		opened->fd =
			open(path, opened->flags | O_CREAT | excl | O_CLOEXEC, some_mode(self));
	} else {
		kind = opened->flags & O_TRUNC ? POSIX_OPEN_TRUNC : POSIX_OPEN;
		opened->fd = open(path, opened->flags | O_CLOEXEC);
	}
	outcome(self, kind, opened->fd < 0 ? errno : 0);
	if (opened->fd < 0) {
		open_close(self, opened);
		return;
	}
	opened->used = true;
	const int r = fstat(opened->fd, &st);
	outcome(self, POSIX_FSTAT, r < 0 ? errno : 0);
	if (opened->direct >= 0 &&
	    (fstat(opened->direct, &direct_st) < 0 || r < 0 || direct_st.st_ino != st.st_ino)) {
		close(opened->direct);
		opened->direct = -1;
		shared->moved++;
	}
	if (opened->direct >= 0) {
		opened->directly =
			mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, opened->direct, 0);
		if (opened->directly == MAP_FAILED)
			opened->directly = NULL;
	}
	if (chance(self, 70))
		open_map(self, opened);
	open_compare(self, opened);
}

void create_object_directly(struct thread *self)
{
	path_buffer path;

	name_path(self, true, path);
	const int fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, some_mode(self));
	outcome(self, DIRECT_POSIX_CREATE, fd < 0 ? errno : 0);
	if (fd < 0)
		return;
	if (ftruncate(fd, some_size(self)) < 0)
		bad("ftruncate in /dev/shm: %s", strerrorname_np(errno));
	close(fd);
}

void rename_object(struct thread *self)
{
	const bool direct = chance(self, 30);
	path_buffer path, to;

	name_path(self, direct, path);
	name_path(self, direct, to);
	const int r = rename(path, to);
	outcome(self, direct ? DIRECT_POSIX_RENAME : POSIX_RENAME, r < 0 ? errno : 0);
}

void unlink_object(struct thread *self)
{
	const bool direct = chance(self, 30);
	path_buffer path;

	name_path(self, direct, path);
	const int r = unlink(path);
	outcome(self, direct ? DIRECT_POSIX_UNLINK : POSIX_UNLINK, r < 0 ? errno : 0);
}

void stat_object(struct thread *self)
{
	path_buffer path;
	struct stat st;

	name_path(self, false, path);
	const int r = stat(path, &st);
	outcome(self, POSIX_STAT, r < 0 ? errno : 0);
}

void use_object(struct thread *self, struct open *opened)
{
	const bool writes = (opened->flags & O_ACCMODE) != O_RDONLY;
	char bytes[8192] = {};
	struct stat st;
	ssize_t n;
	int r;

	switch (random_below(self, 5)) {
	case 0:
		r = fstat(opened->fd, &st);
		outcome(self, POSIX_FSTAT, r < 0 ? errno : 0);
		break;
	case 1:
		if (!writes)
			break;
		r = ftruncate(opened->fd, chance(self, 10) ? 0 : some_size(self));
		outcome(self, POSIX_FTRUNCATE, r < 0 ? errno : 0);
		break;
	case 2:
		if (!writes)
			break;
		n = pwrite(opened->fd, bytes, sizeof(bytes), 4096 + random_below(self, 100000));
		outcome(self, POSIX_WRITE, n < 0 ? errno : 0);
		break;
	case 3:
		r = fchmod(opened->fd, some_mode(self));
		outcome(self, POSIX_FCHMOD, r < 0 ? errno : 0);
		break;
	default:
		open_map(self, opened);
	}
}
