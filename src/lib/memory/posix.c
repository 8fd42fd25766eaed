/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <segfs/posix.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/memory/posix.h"
#include "lib/os/autofd.h"
#include "lib/os/errand.h"
#include "lib/os/fd.h"
#include "lib/os/home.h"
#include "lib/process/lease.h"
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

int segfs_object_mount(int fd)
{
	Handle handle = {.header.handle_bytes = sizeof(handle.bytes)};
	int mount_id;

	return name_to_handle_at(fd, "", &handle.header, &mount_id, AT_EMPTY_PATH) < 0 ? -1
										       : mount_id;
}

int segfs_object_read_at(const SegfsPosix *posix, int directory_fd, int mount_id, const char *name,
			 SegfsObject *ret_object, struct stat *ret_stat)
{
	enum { WORDS = 3 }; /* generation, and both halves of the number: shmem_encode_fh() */
	Handle handle = {.header.handle_bytes = sizeof(handle.bytes)};
	uint32_t words[WORDS];
	int on;

	if (!posix->has_handles || mount_id < 0)
		return -EXDEV;
	/* The kernel itself answers this; a file system that is mounted there need not. */
	if (name_to_handle_at(directory_fd, name, &handle.header, &on, 0) < 0)
		return errno == EOPNOTSUPP || errno == EOVERFLOW ? -EXDEV : -errno;
	if (on != mount_id || handle.header.handle_bytes != sizeof(words))
		return -EXDEV;
	if (fstatat(directory_fd, name, ret_stat, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) < 0)
		return -errno;
	/* Has something else got the name between the two? */
	memcpy(words, handle.header.f_handle, sizeof(words));
	if (ret_stat->st_dev != posix->dev ||
	    ((uint64_t)words[2] << 32 | words[1]) != ret_stat->st_ino)
		return -EXDEV;
	*ret_object = (SegfsObject){
		.dev = ret_stat->st_dev,
		.ino = ret_stat->st_ino,
		.handle_type = handle.header.handle_type,
		.handle_size = handle.header.handle_bytes,
	};
	memcpy(ret_object->handle, words, sizeof(words));
	return 0;
}

int segfs_object_open_at(int directory_fd, const char *name)
{
	enum { HOW = O_PATH | O_NOFOLLOW };
	int r = home_check();

	if (r < 0) {
		errno = -r;
		return -1;
	}
	/* A name that is there is in the cache. To look for others takes the directory's lock. */
	int fd = fd_open_resolved(directory_fd, name, HOW, RESOLVE_NO_XDEV | RESOLVE_CACHED);
	if (fd < 0 && errno == EAGAIN && errand_may_wait())
		fd = fd_open_resolved(directory_fd, name, HOW, RESOLVE_NO_XDEV);
	if (fd >= 0 || errno != EXDEV)
		return fd;
	if (!errand_may_wait()) {
		errno = EAGAIN;
		return -1;
	}
	fd = openat(directory_fd, name, HOW | O_CLOEXEC);
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
	/* Our own stays open: this is asked for nearly every request. */
	int r = posix->fd >= 0 ? home_check() : segfs_posix_open(posix, &directory);
	if (r < 0)
		return r == -ENOENT ? -ESHUTDOWN : r;
	const int fd = open_by_handle_at(posix->fd >= 0 ? posix->fd : directory, &handle.header,
					 O_PATH | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

static int open_beneath(int directory_fd, const SegfsCaller *caller, const char *path, bool waits)
{
	enum { HOW = O_PATH | O_NOFOLLOW };
	const uint64_t resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV |
				 (waits ? 0 : RESOLVE_CACHED);

	if (caller)
		return SEGFS_AS(caller, fd_open_resolved(directory_fd, path, HOW, resolve));
	const int fd = fd_open_resolved(directory_fd, path, HOW, resolve);
	return fd < 0 ? -errno : fd;
}

/*
 * Without a wait where the whole way is in the kernel's cache, as that to a name is that is there.
 * To look for others takes their directory's lock, which may be waited for in vain.
 */
int posix_open_path(int directory_fd, const SegfsCaller *caller, const char *path, int *ret_fd)
{
	enum { TRIES = 4 }; /* a rename anywhere makes it fail, too */
	int fd = caller ? segfs_caller_admit(caller, directory_fd, X_OK) : 0;

	/* Of directories on the way it is not asked. */
	if (fd == 0 && caller && caller->groups_unknown && strchr(path, '/'))
		fd = -EACCES;
	if (fd < 0)
		return fd;
	fd = -EAGAIN;
	for (int i = 0; i < TRIES && fd == -EAGAIN; i++)
		fd = open_beneath(directory_fd, caller, path, false);
	if (fd == -EAGAIN && errand_may_wait()) {
		errand_await_begin();
		fd = open_beneath(directory_fd, caller, path, true);
		if (!errand_await_end()) {
			autofd_close(&fd);
			return -EINTR;
		}
	}
	if (fd < 0)
		return fd;
	*ret_fd = fd;
	return 0;
}

int segfs_posix_open_path(const SegfsPosix *posix, const SegfsCaller *caller, const char *path,
			  int *ret_fd)
{
	autofd directory = -1;
	int r = segfs_posix_open(posix, &directory);

	return r < 0 ? r : posix_open_path(directory, caller, path, ret_fd);
}

void segfs_posix_settle(void)
{
	lease_settle();
}

int posix_open_object(int directory_fd, const char *path, const struct stat *st)
{
	struct stat now;
	autofd at = -1;

	if (posix_open_path(directory_fd, NULL, path, &at) < 0 || fstat(at, &now) < 0 ||
	    now.st_ino != st->st_ino || now.st_dev != st->st_dev || !S_ISREG(now.st_mode))
		return -1;
	return steal_fd(&at);
}

char *posix_path_below(const SegfsPosix *posix, int at)
{
	autofd directory_fd = -1;

	if (segfs_posix_open(posix, &directory_fd) < 0)
		return NULL;
	g_autofree char *below = fd_path_below(directory_fd, at);
	return below && *below ? g_strdup(below + 1) : NULL;
}
