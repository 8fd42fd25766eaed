/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * hang write OBJECT...     holds the inode lock of each, for as long as it lives
 * hang list DIRECTORY      holds the lock of a directory, likewise
 *
 * The bytes of each call are on a page of a file in a FUSE of its own, mounted in a user namespace
 * of its own, whose server answers all but reads. It prints "hanging" when the kernel has asked
 * for the page of each call, and so has taken the lock. "hang list" also has a name made in the
 * directory, behind which all others that need the lock wait then.
 *
 * To end it takes an end of that FUSE: /sys/fs/fuse/connections/N/abort, whose N it prints.
 */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fuse.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST 64
#define PAGE 4096
#define NODE_FILE 2

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "hang: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void write_file(const char *path, const char *format, ...)
{
	const int fd = open(path, O_WRONLY | O_CLOEXEC);
	va_list arguments;

	va_start(arguments, format);
	if (fd < 0 || vdprintf(fd, format, arguments) < 0)
		die(path);
	va_end(arguments);
	close(fd);
}

/* So that a plain user may mount. */
static void enter_user_namespace(void)
{
	const uid_t uid = getuid();
	const gid_t gid = getgid();

	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
		die("unshare");
	write_file("/proc/self/setgroups", "deny");
	write_file("/proc/self/uid_map", "0 %u 1", uid);
	write_file("/proc/self/gid_map", "0 %u 1", gid);
}

static struct fuse_attr attr_of(uint64_t node)
{
	return (struct fuse_attr){
		.ino = node,
		.size = node == NODE_FILE ? MOST * PAGE : 0,
		.mode = node == NODE_FILE ? S_IFREG | 0600 : S_IFDIR | 0700,
		.nlink = 1,
		.blksize = PAGE,
	};
}

static void answer(int fuse, uint64_t unique, int error, const void *data, size_t size)
{
	struct fuse_out_header head = {
		.len = sizeof(head) + size, .error = error, .unique = unique};
	const struct iovec parts[] = {{&head, sizeof(head)}, {(void *)data, size}};

	if (writev(fuse, parts, 2) < 0 && errno != ENOENT)
		die("writev");
}

static void answer_one(int fuse, const struct fuse_in_header *asked)
{
	const struct fuse_init_out init = {.major = FUSE_KERNEL_VERSION,
					   .minor = 31,
					   .max_write = PAGE,
					   .max_background = MOST};
	const struct fuse_attr_out attr = {.attr = attr_of(asked->nodeid), .attr_valid = 1000};
	const struct fuse_entry_out entry = {.nodeid = NODE_FILE, .attr = attr_of(NODE_FILE)};
	const struct fuse_open_out opened = {};

	switch (asked->opcode) {
	case FUSE_INIT:
		answer(fuse, asked->unique, 0, &init, sizeof(init));
		break;
	case FUSE_GETATTR:
		answer(fuse, asked->unique, 0, &attr, sizeof(attr));
		break;
	case FUSE_LOOKUP:
		answer(fuse, asked->unique, 0, &entry, sizeof(entry));
		break;
	case FUSE_OPEN:
		answer(fuse, asked->unique, 0, &opened, sizeof(opened));
		break;
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		break;
	default:
		answer(fuse, asked->unique, -ENOSYS, NULL, 0);
	}
}

/* Tells by a byte of each page that was asked for, and keeps who asks waiting. */
static _Noreturn void serve(int fuse, int tell)
{
	static char buffer[FUSE_MIN_READ_BUFFER + PAGE];

	for (;;) {
		const ssize_t n = read(fuse, buffer, sizeof(buffer));
		const struct fuse_in_header *asked = (const struct fuse_in_header *)buffer;
		if (n < 0 && errno != EINTR && errno != ENOENT)
			_exit(0);
		if (n < 0)
			continue;
		if (asked->opcode != FUSE_READ)
			answer_one(fuse, asked);
		else if (write(tell, "r", 1) < 0)
			_exit(1);
	}
}

/* The pages that do not come. */
static char *mount_pages(int tell)
{
	char directory[] = "/tmp/hang.XXXXXX", options[128], path[64];
	struct stat st;

	if (!mkdtemp(directory))
		die("mkdtemp");
	enter_user_namespace();
	const int fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (fuse < 0)
		die("/dev/fuse");
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", fuse);
	if (mount("hang", directory, "fuse", MS_NOSUID | MS_NODEV, options) < 0)
		die("mount");
	const pid_t server = fork();
	if (server == 0)
		serve(fuse, tell);
	if (stat(directory, &st) < 0)
		die(directory);
	printf("connection %u\n", minor(st.st_dev));
	fflush(stdout);
	snprintf(path, sizeof(path), "%s/pages", directory);
	const int fd = open(path, O_RDWR | O_CLOEXEC);
	char *pages = mmap(NULL, MOST * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd < 0 || pages == MAP_FAILED)
		die(path);
	/* The name in /tmp goes now; from outside it was an empty directory all the time. */
	if (umount2(directory, MNT_DETACH) < 0 || rmdir(directory) < 0)
		die(directory);
	return pages;
}

static void in_child(bool list, int fd, char *page)
{
	if (fork() != 0)
		return;
	const long n = list ? syscall(SYS_getdents64, fd, page, PAGE) : write(fd, page, 1);
	_exit(n < 0);
}

/* Waits for the directory's lock, and all who come after it wait, too. */
static void want_to_change(const char *directory)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/hang.%d", directory, getpid());
	if (fork() != 0)
		return;
	_exit(open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) < 0);
}

int main(int argc, char **argv)
{
	const bool list = argc > 1 && !strcmp(argv[1], "list");
	int fds[MOST], ends[2];
	char byte;

	if (argc < 3 || argc - 2 > MOST || (!list && strcmp(argv[1], "write") != 0)) {
		fprintf(stderr, "usage: hang write OBJECT... | hang list DIRECTORY\n");
		return 2;
	}
	for (int i = 0; i < argc - 2; i++) {
		fds[i] =
			open(argv[i + 2], list ? O_RDONLY | O_DIRECTORY : O_WRONLY | O_CREAT, 0666);
		if (fds[i] < 0)
			die(argv[i + 2]);
	}
	if (pipe2(ends, O_CLOEXEC) < 0)
		die("pipe2");
	char *pages = mount_pages(ends[1]);
	close(ends[1]);
	for (int i = 0; i < argc - 2; i++) {
		in_child(list, fds[i], pages + (size_t)i * PAGE);
		if (read(ends[0], &byte, 1) != 1)
			die("no page was asked for");
	}
	if (list)
		want_to_change(argv[2]);
	printf("hanging\n");
	fflush(stdout);
	while (wait(NULL) > 0 || errno == EINTR)
		;
	return 0;
}
