/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * again MNT VERB COUNT SECONDS: does one thing through the mount COUNT times, or as often as that
 * many seconds allow, and prints how often it was. Each leaves things as they were.
 * again MNT list: prints the verbs.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#define OBJECT "posix/again"
#define OTHER "posix/again-other"
#define SIZE 4096

static int segment_fd = -1, object_fd = -1;
static char segment[64];
static char buffer[SIZE];

/* The descriptor is closed; -1 stays an error. */
static int closed(int fd)
{
	return fd < 0 ? -1 : close(fd);
}

static int by_open(void)
{
	return closed(open(OBJECT, O_RDWR));
}

static int by_open_segment(void)
{
	return closed(open(segment, O_RDWR));
}

static int by_open_text(void)
{
	return closed(open("README", O_RDONLY));
}

static int by_create(void)
{
	return closed(open(OTHER, O_RDWR | O_CREAT | O_EXCL, 0600)) < 0 ? -1 : unlink(OTHER);
}

static int by_create_segment(void)
{
	const int fd = open("key/0x0a9a1002", O_RDWR | O_CREAT | O_EXCL, 0600);

	if (fd < 0 || ftruncate(fd, SIZE) < 0 || close(fd) < 0)
		return -1;
	return unlink("key/0x0a9a1002");
}

static int by_tmpfile(void)
{
	return closed(open("posix", O_RDWR | O_TMPFILE, 0600));
}

static int by_chmod(void)
{
	return chmod(OBJECT, 0640);
}

static int by_chmod_segment(void)
{
	return chmod(segment, 0640);
}

static int by_chown(void)
{
	return chown(OBJECT, -1, getgid());
}

static int by_truncate(void)
{
	return truncate(OBJECT, SIZE);
}

static int by_utimens(void)
{
	return utimensat(AT_FDCWD, OBJECT, NULL, 0);
}

static int by_stat(void)
{
	struct stat st;

	return stat(OBJECT, &st);
}

static int by_stat_segment(void)
{
	struct stat st;

	return stat(segment, &st);
}

static int by_missing(void)
{
	return access("posix/again-none", F_OK) < 0 && errno == ENOENT ? 0 : -1;
}

static int by_access(void)
{
	return access(OBJECT, R_OK | W_OK);
}

static int by_statfs(void)
{
	struct statvfs st;

	return statvfs("posix", &st);
}

static int by_rename(void)
{
	return rename(OBJECT, OTHER) < 0 ? -1 : rename(OTHER, OBJECT);
}

static int by_link(void)
{
	return link(OBJECT, OTHER) < 0 ? -1 : unlink(OTHER);
}

static int by_symlink(void)
{
	if (symlink("again", OTHER) < 0 || readlink(OTHER, buffer, SIZE) < 0)
		return -1;
	return unlink(OTHER);
}

static int by_mkdir(void)
{
	return mkdir(OTHER, 0700) < 0 ? -1 : rmdir(OTHER);
}

static int by_fifo(void)
{
	return mkfifo(OTHER, 0600) < 0 ? -1 : unlink(OTHER);
}

static int by_listxattr(void)
{
	return listxattr(OBJECT, buffer, SIZE) < 0 ? -1 : 0;
}

static int by_getxattr(void)
{
	return getxattr(segment, "user.segfs.nattch", buffer, SIZE) < 0 ? -1 : 0;
}

static int by_setxattr(void)
{
	return setxattr(OBJECT, "user.again", "x", 1, 0) < 0 ? -1
							     : removexattr(OBJECT, "user.again");
}

static int by_verdict(void)
{
	return getxattr(OBJECT, "user.segfs.verdict", buffer, SIZE) < 0 ? -1 : 0;
}

static int by_flags(void)
{
	int flags;

	return ioctl(object_fd, FS_IOC_GETFLAGS, &flags);
}

static int by_flock(void)
{
	return flock(object_fd, LOCK_EX) < 0 ? -1 : flock(object_fd, LOCK_UN);
}

static int by_record_lock(void)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};

	if (fcntl(object_fd, F_SETLKW, &lock) < 0)
		return -1;
	lock.l_type = F_UNLCK;
	return fcntl(object_fd, F_SETLK, &lock);
}

/* By a process that ends with it. */
static int by_lock_left(void)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
	const int fd = open(OBJECT, O_RDWR);

	return fd < 0 || fcntl(fd, F_SETLK, &lock) < 0 ? -1 : close(fd);
}

static int map(const char *path)
{
	const int fd = open(path, O_RDWR);
	char *at = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (closed(fd) < 0)
		return -1;
	if (at == MAP_FAILED) /* only passthrough has it */
		return errno == ENODEV ? 0 : -1;
	at[0]++;
	return munmap(at, SIZE);
}

static int by_mmap(void)
{
	return map(OBJECT);
}

static int by_mmap_segment(void)
{
	return map(segment);
}

static int by_read(void)
{
	return pread(segment_fd, buffer, SIZE, 0) == SIZE ? 0 : -1;
}

static int by_write(void)
{
	return pwrite(segment_fd, buffer, SIZE, 0) == SIZE ? 0 : -1;
}

static int by_write_object(void)
{
	return pwrite(object_fd, buffer, SIZE, 0) == SIZE ? 0 : -1;
}

static int list(const char *path)
{
	DIR *directory = opendir(path);

	if (!directory)
		return -1;
	while (readdir(directory))
		;
	return closedir(directory);
}

static int by_list(void)
{
	return list("posix");
}

static int by_list_segments(void)
{
	return list("sysv");
}

static int by_list_orphans(void)
{
	return list("orphans");
}

static int by_text(void)
{
	const int fd = open("segments.json", O_RDONLY);

	while (fd >= 0 && read(fd, buffer, SIZE) > 0)
		;
	return closed(fd);
}

static const struct {
	const char *name;
	int (*run)(void);
} verbs[] = {
	{"open", by_open},
	{"open-segment", by_open_segment},
	{"open-text", by_open_text},
	{"create-unlink", by_create},
	{"create-unlink-segment", by_create_segment},
	{"tmpfile", by_tmpfile},
	{"chmod", by_chmod},
	{"chmod-segment", by_chmod_segment},
	{"chown", by_chown},
	{"truncate", by_truncate},
	{"utimens", by_utimens},
	{"stat", by_stat},
	{"stat-segment", by_stat_segment},
	{"missing", by_missing},
	{"access", by_access},
	{"statfs", by_statfs},
	{"rename", by_rename},
	{"link-unlink", by_link},
	{"symlink-readlink-unlink", by_symlink},
	{"mkdir-rmdir", by_mkdir},
	{"mkfifo-unlink", by_fifo},
	{"listxattr", by_listxattr},
	{"getxattr", by_getxattr},
	{"setxattr-removexattr", by_setxattr},
	{"verdict", by_verdict},
	{"getflags", by_flags},
	{"flock", by_flock},
	{"record-lock", by_record_lock},
	{"lock-close", by_lock_left},
	{"mmap", by_mmap},
	{"mmap-segment", by_mmap_segment},
	{"read", by_read},
	{"write-segment", by_write},
	{"write", by_write_object},
	{"list", by_list},
	{"list-segments", by_list_segments},
	{"list-orphans", by_list_orphans},
	{"segments.json", by_text},
};
enum { N_VERBS = sizeof(verbs) / sizeof(*verbs) };

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "again: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void repeat(const char *name, int (*run)(void), long most, double seconds)
{
	const double end = now() + seconds;
	long n = 0;

	while (n < most && (n % 64 || now() < end)) {
		if (run() < 0)
			die(name);
		n++;
	}
	printf("%ld\n", n);
}

int main(int argc, char **argv)
{
	if (argc != 3 && argc != 5) {
		fprintf(stderr, "usage: again MNT VERB COUNT SECONDS | again MNT list\n");
		return 2;
	}
	for (int i = 0; argc == 3 && i < N_VERBS; i++)
		puts(verbs[i].name);
	if (argc == 3)
		return 0;
	if (chdir(argv[1]) < 0)
		die(argv[1]);
	object_fd = open(OBJECT, O_RDWR | O_CREAT, 0600);
	if (object_fd < 0 || ftruncate(object_fd, SIZE) < 0)
		die(OBJECT);
	segment_fd = open("key/0x0a9a1001", O_RDWR | O_CREAT, 0600);
	if (segment_fd < 0 || (ftruncate(segment_fd, SIZE) < 0 && errno != EPERM))
		die("key/0x0a9a1001");
	strcpy(segment, "key/0x0a9a1001");
	for (int i = 0; i < N_VERBS; i++)
		if (!strcmp(verbs[i].name, argv[2])) {
			repeat(argv[2], verbs[i].run, atol(argv[3]), atof(argv[4]));
			return 0;
		}
	fprintf(stderr, "again: no verb %s\n", argv[2]);
	return 2;
}
