/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

void fd_path(int fd, FdPath ret_path)
{
	g_snprintf(ret_path, sizeof(FdPath), "/proc/self/fd/%d", fd);
}

bool fd_is_tmpfs(int fd)
{
	enum { TYPE = 1, SIZE = 12 }; /* shmem_encode_fh(), mm/shmem.c */
	union {
		struct file_handle handle;
		char bytes[sizeof(struct file_handle) + MAX_HANDLE_SZ];
	} u = {.handle.handle_bytes = MAX_HANDLE_SZ};
	int mount_id;

	return name_to_handle_at(fd, "", &u.handle, &mount_id, AT_EMPTY_PATH) == 0 &&
	       u.handle.handle_type == TYPE && u.handle.handle_bytes == SIZE;
}

int fd_access(int flags)
{
	const int accmode = flags & O_ACCMODE;

	return (accmode != O_WRONLY ? R_OK : 0) | (accmode != O_RDONLY ? W_OK : 0);
}

bool fd_has_acl(const FdPath path)
{
	return getxattr(path, "system.posix_acl_access", NULL, 0) >= 0 ||
	       (errno != ENODATA && errno != EOPNOTSUPP);
}

DIR *fd_directory(int fd)
{
	DIR *directory = fd < 0 ? NULL : fdopendir(fd);

	if (fd >= 0 && !directory) {
		const int error = errno;
		close(fd);
		errno = error;
	}
	return directory;
}

DIR *fd_open_directory(int at_fd, const char *name)
{
	return fd_directory(openat(at_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}
