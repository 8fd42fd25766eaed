/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <segfs/posix.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "lib/memory/posix.h"
#include "lib/os/autofd.h"
#include "lib/os/fd.h"
#include "lib/os/home.h"
#include "lib/os/lease.h"
#include "lib/process/scan.h"

struct SegfsPosix {
	int fd;             /* -1: it is opened each time */
	SegfsNamespace *ns; /* NULL: the kernel's own tmpfs, where fd is -1 */
	dev_t dev;
	bool has_handles;
};

typedef struct {
	struct file_handle header;
	guint8 bytes[sizeof(((SegfsObject *)NULL)->handle)];
} Handle;

/* Takes posix. What can be learnt of the directory now stays so. */
static int posix_init(SegfsPosix *made, SegfsPosix **ret_posix)
{
	g_autoptr(SegfsPosix) posix = made;
	autofd fd = -1;
	SegfsObject object;
	struct stat st;
	int again;

	int r = segfs_posix_open(posix, &fd);
	if (r < 0)
		return r;
	if (fstat(fd, &st) < 0)
		return -errno;
	posix->dev = st.st_dev;
	posix->has_handles = true;
	r = segfs_object_read(posix, fd, &object, &st);
	if (r < 0)
		return r;
	posix->has_handles = segfs_object_open(posix, &object, &again) == 0;
	if (posix->has_handles)
		close(again);
	*ret_posix = g_steal_pointer(&posix);
	return 0;
}

static SegfsPosix *posix_alloc(void)
{
	SegfsPosix *posix = g_new0(SegfsPosix, 1);

	posix->fd = -1;
	return posix;
}

int segfs_posix_new(const char *directory, SegfsPosix **ret_posix)
{
	g_autoptr(SegfsPosix) posix = posix_alloc();

	posix->fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (posix->fd < 0)
		return -errno;
	return posix_init(g_steal_pointer(&posix), ret_posix);
}

int posix_new_of(SegfsNamespace *ns, dev_t dev, SegfsPosix **ret_posix)
{
	SegfsPosix *posix = posix_alloc();

	posix->ns = namespace_ref(ns);
	posix->dev = dev;
	return posix_init(posix, ret_posix);
}

int posix_new_nameless(SegfsPosix **ret_posix)
{
	return posix_init(posix_alloc(), ret_posix);
}

void segfs_posix_free(SegfsPosix *posix)
{
	if (posix->fd >= 0)
		close(posix->fd);
	g_clear_pointer(&posix->ns, segfs_namespace_unref);
	g_free(posix);
}

int segfs_posix_open(const SegfsPosix *posix, int *ret_fd)
{
	int r = home_check();

	if (r < 0)
		return r;
	if (posix->fd < 0 && posix->ns)
		return namespace_open_shm(posix->ns, posix->dev, ret_fd);
	/* Any file on the kernel's tmpfs does. Kept, others would take it for memory of ours. */
	const int fd = posix->fd < 0 ? memfd_create("segfs", MFD_CLOEXEC)
				     : fcntl(posix->fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

dev_t segfs_posix_dev(const SegfsPosix *posix)
{
	return posix->dev;
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

int segfs_object_open_at(int directory_fd, const char *name)
{
	const struct open_how how = {
		.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_NO_XDEV,
	};
	int r = home_check();

	if (r < 0) {
		errno = -r;
		return -1;
	}
	long fd = syscall(SYS_openat2, directory_fd, name, &how, sizeof(how));
	if (fd >= 0 || errno != EXDEV)
		return fd;
	fd = openat(directory_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0 && !fd_is_tmpfs(fd)) {
		close(fd);
		errno = EXDEV;
		return -1;
	}
	return fd;
}

int segfs_object_open(const SegfsPosix *posix, const SegfsObject *object, int *ret_fd)
{
	Handle handle = {
		.header.handle_bytes = object->handle_size,
		.header.handle_type = object->handle_type,
	};

	if (object->handle_size == 0)
		return -EOPNOTSUPP;
	if (object->dev != posix->dev)
		return -ESTALE;
	memcpy(handle.header.f_handle, object->handle, object->handle_size);
	autofd directory = -1;
	int r = segfs_posix_open(posix, &directory);
	if (r < 0)
		return r == -ENOENT ? -ESHUTDOWN : r;
	const int fd = open_by_handle_at(directory, &handle.header, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

static void file_clear(gpointer pointer)
{
	g_free(((SegfsPosixFile *)pointer)->path);
}

static struct timespec time_of(const struct statx_timestamp *from)
{
	return (struct timespec){from->tv_sec, from->tv_nsec};
}

static void stat_of(const struct statx *from, struct stat *ret_stat)
{
	*ret_stat = (struct stat){
		.st_dev = makedev(from->stx_dev_major, from->stx_dev_minor),
		.st_ino = from->stx_ino,
		.st_mode = from->stx_mode,
		.st_nlink = from->stx_nlink,
		.st_uid = from->stx_uid,
		.st_gid = from->stx_gid,
		.st_size = from->stx_size,
		.st_blksize = from->stx_blksize,
		.st_blocks = from->stx_blocks,
		.st_atim = time_of(&from->stx_atime),
		.st_mtim = time_of(&from->stx_mtime),
		.st_ctim = time_of(&from->stx_ctime),
	};
}

/* Levels of subdirectories: each takes a descriptor while it is read. */
#define DEEPEST 64

/* Lists one directory, which it closes; prefix ends in "/" or is empty. */
static void list_directory(const SegfsPosix *posix, int directory_fd, const char *prefix,
			   guint depth, GArray *files, guint *unread)
{
	const struct open_how how = {
		.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS,
	};
	struct dirent *entry;
	DIR *directory = NULL;

	if (depth > DEEPEST)
		close(directory_fd);
	else
		directory = fd_directory(directory_fd);
	if (!directory) {
		(*unread)++;
		return;
	}
	while ((entry = readdir(directory))) {
		SegfsPosixFile file = {};
		struct statx found;
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		if (entry->d_type != DT_REG && entry->d_type != DT_DIR &&
		    entry->d_type != DT_UNKNOWN)
			continue;
		/*
		 * A file that has gone in the meantime is left out. A file system that is mounted
		 * here is asked nothing: it may hang.
		 */
		if (statx(dirfd(directory), entry->d_name,
			  AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC,
			  STATX_BASIC_STATS, &found) < 0)
			continue;
		stat_of(&found, &file.stat);
		if (file.stat.st_dev != posix->dev)
			continue;
		if (S_ISREG(file.stat.st_mode)) {
			file.path = g_strconcat(prefix, entry->d_name, NULL);
			g_array_append_val(files, file);
		} else if (S_ISDIR(file.stat.st_mode)) {
			const int fd = syscall(SYS_openat2, dirfd(directory), entry->d_name, &how,
					       sizeof(how));
			g_autofree char *below = g_strconcat(prefix, entry->d_name, "/", NULL);
			if (fd >= 0)
				list_directory(posix, fd, below, depth + 1, files, unread);
			else if (errno != ENOENT && errno != EXDEV)
				(*unread)++;
		}
	}
	closedir(directory);
}

int segfs_posix_list(const SegfsPosix *posix, GArray **ret_files, guint *ret_unread)
{
	autofd directory = -1;
	int r = segfs_posix_open(posix, &directory);

	if (r < 0)
		return r;
	/* Not the one that was duplicated: its position is everybody's. */
	const int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	GArray *files = g_array_new(FALSE, FALSE, sizeof(SegfsPosixFile));
	g_array_set_clear_func(files, file_clear);
	*ret_unread = 0;
	list_directory(posix, fd, "", 0, files, ret_unread);
	*ret_files = files;
	return 0;
}

int segfs_posix_open_path(const SegfsPosix *posix, const SegfsCaller *caller, const char *path,
			  int *ret_fd)
{
	const struct open_how how = {
		.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV,
	};
	autofd directory = -1;
	int r = segfs_posix_open(posix, &directory);

	if (r < 0)
		return r;
	long fd;
	if (caller)
		fd = SEGFS_AS(caller, syscall(SYS_openat2, directory, path, &how, sizeof(how)));
	else if ((fd = syscall(SYS_openat2, directory, path, &how, sizeof(how))) < 0)
		fd = -errno;
	if (fd < 0)
		return fd;
	*ret_fd = fd;
	return 0;
}

void segfs_posix_settle(void)
{
	lease_lock();
	lease_unlock();
}

int posix_open_object(const SegfsPosix *posix, const char *path, const struct stat *st)
{
	struct stat now;
	autofd at = -1;

	if (segfs_posix_open_path(posix, NULL, path, &at) < 0 || fstat(at, &now) < 0 ||
	    now.st_ino != st->st_ino || now.st_dev != st->st_dev || !S_ISREG(now.st_mode))
		return -1;
	return steal_fd(&at);
}
