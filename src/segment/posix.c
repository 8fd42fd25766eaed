/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <fcntl.h>
#include <segfs/posix.h>
#include <string.h>

#include "segment/autofd.h"

struct SegfsPosix {
	int fd;
	dev_t dev;
	bool has_handles;
};

typedef struct {
	struct file_handle header;
	guint8 bytes[sizeof(((SegfsObject *)NULL)->handle)];
} Handle;

int segfs_posix_new(const char *folder, SegfsPosix **ret_posix)
{
	g_autoptr(SegfsPosix) posix = g_new0(SegfsPosix, 1);
	SegfsObject object;
	struct stat st;
	int fd;

	posix->fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (posix->fd < 0)
		return -errno;
	if (fstat(posix->fd, &st) < 0)
		return -errno;
	posix->dev = st.st_dev;
	posix->has_handles = true;
	int r = segfs_object_read(posix, posix->fd, &object, &st);
	if (r < 0)
		return r;
	posix->has_handles = segfs_object_open(posix, &object, &fd) == 0;
	if (posix->has_handles)
		close(fd);
	*ret_posix = g_steal_pointer(&posix);
	return 0;
}

void segfs_posix_free(SegfsPosix *posix)
{
	if (posix->fd >= 0)
		close(posix->fd);
	g_free(posix);
}

int segfs_posix_fd(const SegfsPosix *posix)
{
	return posix->fd;
}

int segfs_object_read(const SegfsPosix *posix, int fd, SegfsObject *ret_object,
		      struct stat *ret_stat)
{
	Handle handle = {.header.handle_bytes = sizeof(handle.bytes)};
	int mount_id;

	if (fstat(fd, ret_stat) < 0)
		return -errno;
	*ret_object = (SegfsObject){.dev = ret_stat->st_dev, .ino = ret_stat->st_ino};
	/* Another file system mounted inside: its handles would need a descriptor of it. */
	if (!posix->has_handles || ret_stat->st_dev != posix->dev)
		return 0;
	if (name_to_handle_at(fd, "", &handle.header, &mount_id, AT_EMPTY_PATH) < 0)
		return 0;
	ret_object->handle_type = handle.header.handle_type;
	ret_object->handle_size = handle.header.handle_bytes;
	memcpy(ret_object->handle, handle.header.f_handle, handle.header.handle_bytes);
	return 0;
}

int segfs_object_open(const SegfsPosix *posix, const SegfsObject *object, int *ret_fd)
{
	Handle handle = {
		.header.handle_bytes = object->handle_size,
		.header.handle_type = object->handle_type,
	};

	if (object->handle_size == 0)
		return -EOPNOTSUPP;
	memcpy(handle.header.f_handle, object->handle, object->handle_size);
	const int fd = open_by_handle_at(posix->fd, &handle.header, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}
