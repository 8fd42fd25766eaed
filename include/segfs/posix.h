/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <segfs/caller.h>
#include <segfs/namespace.h>
#include <stdbool.h>
#include <sys/stat.h>

/* The directory that holds the POSIX objects of a mount namespace (shm_overview(7)). */
typedef struct SegfsPosix SegfsPosix;

/*
 * By its name, such as /dev/shm. It is opened once: what is mounted over it later does not
 * change it. Free with segfs_posix_free(). Errors are those of open(2) on the directory.
 */
int segfs_posix_new(const char *directory, SegfsPosix **ret_posix);

/* Closes the directory. Cannot fail. */
void segfs_posix_free(SegfsPosix *posix);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SegfsPosix, segfs_posix_free)

/*
 * A descriptor of the directory to read, the caller's to close. -ENOENT: no process of its
 * namespace sees it any more; -ENOTRECOVERABLE: see thread.h; other errors are those of open(2).
 */
int segfs_posix_open(const SegfsPosix *posix, int *ret_fd);

/* st_dev (stat(2)) of its objects; what is mounted inside is on others. Cannot fail. */
dev_t segfs_posix_dev(const SegfsPosix *posix);

/*
 * What an object is, apart from its names. Where the file system and our rights allow
 * (tmpfs and CAP_DAC_READ_SEARCH) it can be opened again by its file handle, whatever
 * happened to its names, and without a descriptor held in the meantime: there can be more
 * objects than a process may have descriptors.
 */
typedef struct {
	dev_t dev;
	ino_t ino;
	int handle_type;
	guint8 handle_size; /* 0: cannot be opened again */
	guint8 handle[16];
} SegfsObject;

/*
 * An O_PATH descriptor of what has that name in a directory of objects, the caller's to close, or
 * -1 and errno, as of openat2(2): it can stand in SEGFS_AS(). EXDEV: a file system is mounted there
 * that is no tmpfs, and might not answer.
 */
int segfs_object_open_at(int directory_fd, const char *name);

/*
 * Which object an open descriptor stands for, O_PATH ones included, and its attributes. Errors are
 * those of fstat(2). See name_to_handle_at(2).
 */
int segfs_object_read(const SegfsPosix *posix, int fd, SegfsObject *ret_object,
		      struct stat *ret_stat);

/*
 * The same of what has that name in a directory of objects that directory_fd is open on, without
 * opening it; mount_id is the directory's, as of segfs_object_mount(). -EXDEV: something else is
 * mounted there, or it has no handle: open it. Other errors are those of name_to_handle_at(2) and
 * stat(2). Can wait for the directory.
 */
int segfs_object_read_at(const SegfsPosix *posix, int directory_fd, int mount_id, const char *name,
			 SegfsObject *ret_object, struct stat *ret_stat);

/* The mount that fd is on (name_to_handle_at(2)); -1: not known. Cannot fail. */
int segfs_object_mount(int fd);

/*
 * An O_PATH descriptor of the object, the caller's to close (open_by_handle_at(2)). -ESTALE: it is
 * gone. -ESHUTDOWN: its directory is. -EOPNOTSUPP: it has no handle. Does not ask for rights: those
 * are judged by what is done with the descriptor.
 */
int segfs_object_open(const SegfsPosix *posix, const SegfsObject *object, int *ret_fd);

/* An object that has a name. */
typedef struct {
	char *path; /* below the directory; owned by the array */
	struct stat stat;
} SegfsPosixFile;

/*
 * Every regular file in the directory and below, as an array of SegfsPosixFile that the caller
 * unrefs; what is mounted inside is left out. ret_unread: for each subdirectory that could not be
 * read, since we may not, it is over 64 deep or it does not answer, a name, that of the one at the
 * top in which it is; the caller's to unref. -ETIMEDOUT: the directory itself does not answer
 * within 2 s. -EINTR: nobody wants to know any more. Other errors are those of segfs_posix_open().
 */
int segfs_posix_list(const SegfsPosix *posix, GArray **ret_files, GPtrArray **ret_unread);

/*
 * An O_PATH descriptor of path below the directory, by no symbolic link and out of no mount, for
 * the calling function to close. It is opened as caller, who needs the right to search the
 * directories, or as ourselves (NULL). Errors are those of openat2(2) and segfs_caller_enter().
 */
int segfs_posix_open_path(const SegfsPosix *posix, const SegfsCaller *caller, const char *path,
			  int *ret_fd);

/*
 * Waits until no lease of ours is on any object: after an open that was refused with
 * EWOULDBLOCK, which may have been because of one (fcntl(2), F_SETLEASE). Cannot fail.
 */
void segfs_posix_settle(void);
