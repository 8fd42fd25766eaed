/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Calls that take a name, and where the names come from. */

#include "calls.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

static const char *const directories[N_DIRECTORIES] = {
	"/m/key",     "/m/posix",    "/m/posix/d0",  "/m/sysv",       "/m/posix/d0/d1",
	"/m/orphans", "/m/unlinked", "/m/info/sysv", "/m/info/posix", "/m/info/unlinked",
	"/m/ns",      "/m/info",     "/m",           "/m/gone",       "/m/sem",
	"/m/msg",     "/s",          "/m/posix/d1",  "/m/info/gone",
};
enum { KEY, POSIX, POSIX_BELOW, SYSV };

static const char *const fixed[] = {
	"README", "segments.json", "metrics", "limits", "events", "info/namespace", "events.1",
};

static const char *const xattrs[] = {
	"user.segfs.locked",
	"user.segfs.verdict",
	"user.segfs.holders",
	"user.segfs.key",
	"user.segfs.hugetlb",
	"user.segfs.creator",
	"user.segfs.",
	"user.a",
	"user.b",
	"trusted.a",
	"system.posix_acl_access",
	"system.posix_acl_default",
	"security.capability",
	"x",
	"",
	"user.segfs.lockedlocked",
};

#define PICK(worker, of) (of)[below(worker, sizeof(of) / sizeof(*(of)))]

static void strange_name(Worker *worker, char *to, size_t size)
{
	const size_t length = 1 + below(worker, one_in(worker, 4) ? size - 1 : 12);

	for (size_t i = 0; i < length; i++) {
		const char c = (char)next(worker);
		to[i] = c == '/' || c == '\0' ? '%' : c;
	}
	to[length] = '\0';
}

static void some_name(Worker *worker, char *to, size_t size)
{
	const unsigned int n = below(worker, 12);

	switch (below(worker, 10)) {
	case 0:
		strange_name(worker, to, size);
		break;
	case 1:
		snprintf(to, size, "d%u", n % 3);
		break;
	case 2:
		snprintf(to, size, "sysv-%d", worker->ids[n % N_IDS]);
		break;
	case 3:
		snprintf(to, size, "posix-o%u", n);
		break;
	case 4:
		snprintf(to, size, "%d", worker->ids[n % N_IDS]);
		break;
	case 5:
		snprintf(to, size, "0x%x", n);
		break;
	case 6:
		snprintf(to, size, "0x%08x", one_in(worker, 4) ? (unsigned int)next(worker) : n);
		break;
	case 7:
		snprintf(to, size, "%s", PICK(worker, fixed));
		break;
	default:
		snprintf(to, size, "o%u", n);
	}
}

/* The first ones, where most can be done, more often. */
static int some_directory(Worker *worker)
{
	return (int)(one_in(worker, 3) ? below(worker, N_DIRECTORIES) : below(worker, 6));
}

/* One that fits the directory, mostly. */
static void fitting_name(Worker *worker, int directory, char *to, size_t size)
{
	const char *known = worker->trail->names[directory][below(worker, N_NAMES)];

	if (one_in(worker, 8))
		some_name(worker, to, size);
	else if (directory == KEY)
		snprintf(to, size, "0x%x", 1 + (unsigned int)below(worker, 12));
	else if (directory == POSIX || directory == POSIX_BELOW)
		snprintf(to, size, one_in(worker, 4) ? "d%d" : "o%d", (int)below(worker, 6));
	else if (*known)
		snprintf(to, size, "%.255s", known);
	else
		some_name(worker, to, size);
}

const char *some_path(Worker *worker)
{
	static char paths[2][PATH];
	static int turn;
	char *path = paths[turn ^= 1], name[300];

	if (one_in(worker, 12)) {
		snprintf(path, PATH, "/m/%s", PICK(worker, fixed));
		return path;
	}
	const int directory = some_directory(worker);
	if (one_in(worker, 16))
		return directories[directory];
	fitting_name(worker, directory, name, sizeof(name));
	snprintf(path, PATH, "%s/%s%s", directories[directory], name,
		 one_in(worker, 60) ? "/" : "");
	return path;
}

static mode_t some_mode(Worker *worker)
{
	return one_in(worker, 3) ? below(worker, 010000)
				 : (mode_t)ONE_OF(worker, 0600, 0644, 0666, 0777);
}

static void do_open(Worker *worker)
{
	static const int ways[] = {O_RDONLY, O_RDWR, O_WRONLY, O_RDWR};
	const char *path = some_path(worker);
	int flags = PICK(worker, ways);

	if (one_in(worker, 2))
		flags |= O_CREAT;
	if (one_in(worker, 4))
		flags |= (int)SOME_OF(worker, O_TRUNC, O_EXCL, O_APPEND, O_NONBLOCK, O_NOFOLLOW);
	if (one_in(worker, 12))
		flags |= (int)SOME_OF(worker, O_DIRECT, O_PATH, O_DIRECTORY, O_NOATIME, O_SYNC,
				      O_TMPFILE, O_ASYNC);
	const mode_t mode = some_mode(worker);
	note(worker, "open(%s, %#o, %#o)", path, flags, mode);
	keep_fd(worker, open(path, flags, mode));
}

/* What it shows is what paths are made of later. */
static void do_list(Worker *worker)
{
	const int directory = (int)below(worker, N_DIRECTORIES);
	const size_t size = (size_t)ONE_OF(worker, 24, 300, 4096, 32768, BUFFER);
	unsigned int turn = (unsigned int)below(worker, N_NAMES);

	note(worker, "getdents(%s, %zu)", directories[directory], size);
	const int fd = open(directories[directory], O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return;
	const long n = syscall(SYS_getdents64, fd, worker->buffer, size);
	for (long at = 0; at < n;) {
		const struct dirent64 *entry = (struct dirent64 *)(worker->buffer + at);
		if (entry->d_name[0] != '.')
			snprintf(worker->trail->names[directory][turn++ % N_NAMES], 256, "%s",
				 entry->d_name);
		at += entry->d_reclen;
	}
	if (one_in(worker, 3)) {
		lseek(fd, some_size(worker), SEEK_SET);
		syscall(SYS_getdents64, fd, worker->buffer, size);
	}
	if (one_in(worker, 4))
		keep_fd(worker, fd);
	else
		close(fd);
}

static void do_stat(Worker *worker)
{
	const char *path = some_path(worker);
	struct statx stat;
	struct statfs fs;
	char target[100];

	note(worker, "stat(%s)", path);
	statx(AT_FDCWD, path, one_in(worker, 2) ? AT_SYMLINK_NOFOLLOW : AT_STATX_FORCE_SYNC,
	      STATX_ALL, &stat);
	if (one_in(worker, 4))
		statfs(path, &fs);
	if (one_in(worker, 4) && readlink(path, target, sizeof(target)) < 0)
		return;
	if (one_in(worker, 4))
		syscall(SYS_faccessat2, AT_FDCWD, path, below(worker, 8), AT_EACCESS);
}

static void do_remove(Worker *worker)
{
	const char *path = some_path(worker);

	note(worker, "remove(%s)", path);
	if (one_in(worker, 3))
		rmdir(path);
	else
		unlink(path);
}

static void do_make(Worker *worker)
{
	const char *path = some_path(worker);
	const mode_t mode = some_mode(worker), type = ONE_OF(worker, S_IFIFO, S_IFREG, S_IFSOCK, 0);

	note(worker, "make(%s, %#o)", path, mode);
	if (one_in(worker, 3))
		mknod(path, type | mode, 0);
	else
		mkdir(path, mode | 0700);
}

static void do_two(Worker *worker)
{
	const char *a = some_path(worker), *b = some_path(worker);

	note(worker, "link or rename(%s, %s)", a, b);
	switch (below(worker, 4)) {
	case 0:
		if (link(a, b) < 0 && one_in(worker, 2))
			linkat(some_fd(worker), "", AT_FDCWD, b, AT_EMPTY_PATH);
		break;
	case 1:
		if (symlink(one_in(worker, 2) ? a : "o1", b) < 0)
			return;
		break;
	default:
		syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b,
			one_in(worker, 3) ? below(worker, 8) : 0);
	}
}

static void do_change(Worker *worker)
{
	const char *path = some_path(worker);
	const struct timespec times[2] = {{some_size(worker), one_in(worker, 2) ? UTIME_NOW : 5},
					  {1, one_in(worker, 2) ? UTIME_OMIT : 7}};
	const uid_t uid = (uid_t)ONE_OF(worker, -1, 0, 4001, 4002, 4003, 65534);

	note(worker, "change(%s)", path);
	switch (below(worker, 5)) {
	case 0:
		chmod(path, some_mode(worker) | 0600);
		break;
	case 1:
		if (lchown(path, uid, (gid_t)ONE_OF(worker, -1, 0, 4001, 4002)) < 0)
			return;
		break;
	case 2:
		utimensat(AT_FDCWD, path, one_in(worker, 4) ? NULL : times, AT_SYMLINK_NOFOLLOW);
		break;
	default:
		if (truncate(path, some_size(worker)) < 0)
			return;
	}
}

static void do_xattr(Worker *worker)
{
	const char *path = some_path(worker), *name = PICK(worker, xattrs);
	const size_t size = (size_t)ONE_OF(worker, 0, 1, 16, 300, 4096, BUFFER);

	note(worker, "xattr(%s, %s, %zu)", path, name, size);
	switch (below(worker, 4)) {
	case 0:
		lsetxattr(path, name, one_in(worker, 2) ? "1" : worker->buffer,
			  one_in(worker, 2) ? 1 : size, (int)below(worker, 3));
		break;
	case 1:
		lgetxattr(path, name, worker->buffer, size);
		break;
	case 2:
		llistxattr(path, worker->buffer, size);
		break;
	default:
		lremovexattr(path, name);
	}
}

static void do_chdir(Worker *worker)
{
	const char *path = directories[some_directory(worker)];

	note(worker, "chdir(%s)", path);
	if (chdir(one_in(worker, 3) ? "/m" : path) < 0)
		return;
	/* Relative names, and one that may be gone. */
	keep_fd(worker, open(one_in(worker, 2) ? "." : "..", O_RDONLY | O_DIRECTORY));
	if (!getcwd(worker->buffer, BUFFER))
		return;
	openat(AT_FDCWD, "nothing", O_RDONLY);
}

/* A number of ours that the kernel is to take for a node. */
static void do_handle(Worker *worker)
{
	struct {
		struct file_handle head;
		unsigned char bytes[MAX_HANDLE_SZ];
	} handle = {.head.handle_bytes = MAX_HANDLE_SZ};
	const char *path = some_path(worker);
	int mount_id;

	note(worker, "handle of %s", path);
	if (name_to_handle_at(AT_FDCWD, path, &handle.head, &mount_id, 0) < 0)
		return;
	if (one_in(worker, 2))
		handle.bytes[below(worker, MAX_HANDLE_SZ)] ^= (unsigned char)next(worker);
	const int mount = open("/m", O_RDONLY | O_DIRECTORY);
	keep_fd(worker, open_by_handle_at(mount, &handle.head, O_RDONLY | O_NONBLOCK));
	close(mount);
}

const Call calls_of_names[] = {
	{"open", do_open, 30},    {"list", do_list, 8},   {"stat", do_stat, 10},
	{"remove", do_remove, 5}, {"make", do_make, 5},   {"two", do_two, 8},
	{"change", do_change, 8}, {"xattr", do_xattr, 6}, {"chdir", do_chdir, 2},
	{"handle", do_handle, 1},
};
const size_t n_calls_of_names = sizeof(calls_of_names) / sizeof(*calls_of_names);
