/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "lib/kernel/kernel.h"

void fd_path(int fd, FdPath ret_path)
{
	g_snprintf(ret_path, sizeof(FdPath), "/proc/self/fd/%d", fd);
}

static ssize_t read_link(int fd, char *target, size_t size)
{
	FdPath link;

	fd_path(fd, link);
	return readlink(link, target, size);
}

char *fd_path_below(int root_fd, int fd)
{
	char root[PATH_MAX], path[PATH_MAX];
	const ssize_t n = read_link(fd, path, sizeof(path) - 1);
	ssize_t n_root = read_link(root_fd, root, sizeof(root));

	if (n_root == 1)
		n_root = 0; /* "/" */
	if (n < n_root || n_root < 0 || memcmp(path, root, n_root) != 0)
		return NULL;
	path[n] = '\0';
	return path[n_root] == '\0' || path[n_root] == '/' ? g_strdup(path + n_root) : NULL;
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

int fd_open_resolved(int at_fd, const char *path, int flags, uint64_t resolve)
{
	const struct open_how how = {.flags = flags | O_CLOEXEC, .resolve = resolve};

	if (resolve & RESOLVE_CACHED && !kernel_has(KERNEL_RESOLVE_CACHED)) {
		errno = EAGAIN;
		return -1;
	}
	return (int)syscall(SYS_openat2, at_fd, path, &how, sizeof(how));
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
