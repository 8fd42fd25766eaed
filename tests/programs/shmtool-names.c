// SPDX-License-Identifier: LGPL-2.1-or-later
/* shmtool: files by their names. */
#include "shmtool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

void say_stat(const struct stat *st, bool times)
{
	sprintf(out, "mode=%o uid=%u gid=%u nlink=%lu size=%lld", st->st_mode, st->st_uid,
		st->st_gid, (unsigned long)st->st_nlink, (long long)st->st_size);
	if (times)
		sprintf(out + strlen(out), " blocks=%lld atime=%lld mtime=%lld ctime=%lld ino=%llu",
			(long long)st->st_blocks, (long long)st->st_atime, (long long)st->st_mtime,
			(long long)st->st_ctime, (unsigned long long)st->st_ino);
}

long long set_times(const char *path, int fd, long long when)
{
	struct timespec times[2] = {{.tv_sec = when}, {.tv_sec = when}};

	return path ? utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW) : futimens(fd, times);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static long long list_directory(const char *path)
{
	DIR *dir = opendir(path);
	char *found[4096];
	size_t n = 0;

	if (!dir)
		return -1;
	errno = 0;
	for (struct dirent *entry; n < 4096 && (entry = readdir(dir));)
		found[n++] = strdup(entry->d_name);
	int err = errno;
	closedir(dir);
	qsort(found, n, sizeof(found[0]), by_name);
	for (size_t i = 0; i < n; i++) {
		if (i)
			strcat(out, " ");
		say_bytes(found[i], strlen(found[i]));
		free(found[i]);
	}
	errno = err;
	return err ? -1 : 0;
}

static long long list_xattrs(const char *path)
{
	char list[65536];
	char *found[256];
	size_t n = 0;
	ssize_t len = llistxattr(path, list, sizeof(list));

	if (len < 0)
		return -1;
	for (char *p = list; p < list + len && n < 256; p += strlen(p) + 1)
		found[n++] = p;
	qsort(found, n, sizeof(found[0]), by_name);
	for (size_t i = 0; i < n; i++)
		sprintf(out + strlen(out), "%s%s", i ? " " : "", found[i]);
	return 0;
}

static long long bind_socket(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
	long long result = bind(fd, (struct sockaddr *)&address, sizeof(address));
	int err = errno;
	close(fd);
	errno = err;
	return result;
}

/* PREFIX0 PREFIX1 …; the answer is how many. */
static long long make_files(const char *prefix, size_t count)
{
	char path[4096];

	for (size_t i = 0; i < count; i++) {
		snprintf(path, sizeof(path), "%s%zu", prefix, i);
		int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);

		if (fd < 0)
			return -1;
		close(fd);
	}
	return (long long)count;
}

/* The kernel keeps the inode in its cache from here on; no descriptor and no attach says so. */
static long long watch(const char *path)
{
	static int fd = -1;

	if (fd < 0)
		fd = inotify_init1(IN_CLOEXEC);
	return inotify_add_watch(fd, path, IN_DELETE_SELF) < 0 ? -1 : 0;
}

long long run_name(size_t n, char **w, const size_t *len)
{
	struct stat st;
	char buffer[65536];

	if (IS("stat", 1) || IS("look", 1)) {
		if (lstat(w[1], &st) < 0)
			return -1;
		say_stat(&st, w[0][0] == 's');
		return 0;
	}
	if (IS("truncate", 2))
		return truncate(w[1], NUM(2));
	if (IS("mkdir", 2))
		return mkdir(w[1], (mode_t)NUM(2));
	if (IS("rmdir", 1))
		return rmdir(w[1]);
	if (IS("unlink", 1))
		return unlink(w[1]);
	if (IS("rename", 2))
		return renameat2(AT_FDCWD, w[1], AT_FDCWD, w[2], n > 3 ? (unsigned int)NUM(3) : 0);
	if (IS("link", 2))
		return link(w[1], w[2]);
	if (IS("symlink", 2))
		return symlink(w[1], w[2]);
	if (IS("readlink", 1)) {
		ssize_t got = readlink(w[1], buffer, sizeof(buffer));

		if (got < 0)
			return -1;
		say_bytes(buffer, (size_t)got);
		return 0;
	}
	if (IS("mknod", 2))
		return mknod(w[1], (mode_t)NUM(2), n > 3 ? (dev_t)NUM(3) : 0);
	if (IS("bind", 1))
		return bind_socket(w[1]);
	return NOT_MINE;
}

long long run_attribute(size_t n, char **w, const size_t *len)
{
	struct statfs fs;
	char buffer[65536];

	if (IS("chmod", 2))
		return chmod(w[1], (mode_t)NUM(2));
	if (IS("chown", 3))
		return lchown(w[1], (uid_t)NUM(2), (gid_t)NUM(3));
	if (IS("utimens", 2))
		return set_times(w[1], -1, NUM(2));
	if (IS("access", 2))
		return faccessat(AT_FDCWD, w[1], INT(2), AT_EACCESS);
	if (IS("setxattr", 3))
		return lsetxattr(w[1], w[2], w[3], len[3], n > 4 ? INT(4) : 0);
	if (IS("getxattr", 2)) {
		ssize_t got = lgetxattr(w[1], w[2], buffer, sizeof(buffer));

		if (got < 0)
			return -1;
		say_bytes(buffer, (size_t)got);
		return 0;
	}
	if (IS("removexattr", 2))
		return lremovexattr(w[1], w[2]);
	if (IS("listxattr", 1))
		return list_xattrs(w[1]);
	if (IS("readdir", 1))
		return list_directory(w[1]);
	if (IS("statfs", 1)) {
		if (statfs(w[1], &fs) < 0)
			return -1;
		sprintf(out, "bytes=%llu free=%llu files=%llu ffree=%llu namelen=%ld",
			(unsigned long long)fs.f_blocks * (unsigned long long)fs.f_bsize,
			(unsigned long long)fs.f_bfree * (unsigned long long)fs.f_bsize,
			(unsigned long long)fs.f_files, (unsigned long long)fs.f_ffree,
			(long)fs.f_namelen);
		return 0;
	}
	if (IS("chdir", 1))
		return chdir(w[1]);
	if (IS("watch", 1))
		return watch(w[1]);
	if (IS("mkfiles", 2))
		return make_files(w[1], SIZE(2));
	return NOT_MINE;
}
