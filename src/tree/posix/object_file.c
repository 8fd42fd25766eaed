/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One open of a POSIX object: a descriptor that was opened as the caller. */

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "lib/os/errand.h"
#include "lib/os/room.h"
#include "tree/posix/object.h"

static int await(int fd)
{
	FdPath path;

	fd_path(fd, path);
	return errand_await_lock(path);
}

static int object_read(File *file, size_t size, off_t offset, FileSpan *ret_span)
{
	*ret_span = (FileSpan){.fd = ((ObjectFile *)file)->fd, .offset = offset, .size = size};
	return 0;
}

static ssize_t object_write(File *file, const SegfsCaller *caller, const void *bytes, size_t size,
			    off_t offset)
{
	const int fd = ((ObjectFile *)file)->fd;
	g_auto(RoomTaken) taken = 0;
	struct stat st;

	int r = await(fd);
	if (r == 0)
		r = room_take_range(fd, offset, size, &taken);
	if (r < 0)
		return r;
	/* A write takes the set-user-id bit away, but not if it is by root, as we are. */
	if (caller->uid != 0 && fstat(fd, &st) == 0 && st.st_mode & (S_ISUID | S_ISGID))
		return SEGFS_AS(caller, pwrite(fd, bytes, size, offset));
	const ssize_t n = pwrite(fd, bytes, size, offset);
	return n < 0 ? -errno : n;
}

static int object_allocate(File *file, int mode, off_t offset, off_t length)
{
	const int fd = ((ObjectFile *)file)->fd;
	g_auto(RoomTaken) taken = 0;

	int r = await(fd);
	if (r == 0 && !(mode & FALLOC_FL_PUNCH_HOLE))
		r = room_take_range(fd, offset, length, &taken);
	return r < 0 ? r : fallocate(fd, mode, offset, length) < 0 ? -errno : 0;
}

static off_t object_seek(File *file, off_t offset, int whence)
{
	const int fd = ((ObjectFile *)file)->fd;
	int r = await(fd);
	const off_t found = r < 0 ? r : lseek(fd, offset, whence);

	return r == 0 && found < 0 ? -errno : found;
}

static int object_memory_fd(File *file)
{
	return ((ObjectFile *)file)->fd;
}

static void object_file_free(File *file)
{
	ObjectNode *node = (ObjectNode *)file->node;
	ObjectFile *object_file = (ObjectFile *)file;

	object_unlock_file(object_file);
	g_mutex_lock(&node->lock);
	node->n_open--;
	g_mutex_unlock(&node->lock);
	if (object_file->holds)
		object_let_go(file->node, 0);
	close(object_file->fd);
}

static const FileOps object_file_ops = {
	.read = object_read,
	.write = object_write,
	.allocate = object_allocate,
	.seek = object_seek,
	.memory_fd = object_memory_fd,
	.flock = object_flock,
	.lock = object_lock,
	.unlock_all = object_unlock_all,
	.free = object_file_free,
};

File *object_file_new(ObjectNode *node, int fd, int flags)
{
	ObjectFile *file = file_new(&node->node, &object_file_ops, sizeof(ObjectFile), flags);
	FdPath path;
	struct stat st;

	file->fd = fd;
	/* Before a native write the kernel would ask to take the bits away, as if by chmod(2). */
	file->file.through_us = fstat(fd, &st) == 0 && st.st_mode & (S_ISUID | S_ISGID);
	g_mutex_lock(&node->lock);
	node->n_open++;
	g_mutex_unlock(&node->lock);
	file->holds = node->object.handle_size == 0 || node->node.ns->other;
	if (file->holds) {
		fd_path(fd, path);
		object_hold(node, open(path, O_PATH | O_CLOEXEC));
	}
	return &file->file;
}
