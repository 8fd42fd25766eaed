// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The least of a FUSE server, by the bare protocol (linux/fuse.h): one file, and from the
 * first read on no answer to anything.
 */
#include "holders.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

typedef struct {
	int fd;
	uint64_t ino;
	bool hangs;
} Server;

int mount_tmpfs(const char *directory)
{
	/* No mount made here may reach the processes outside. */
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -1;
	return mount("none", directory, "tmpfs", 0, NULL);
}

static void reply(const Server *server, uint64_t unique, int err, const void *data, size_t size)
{
	struct fuse_out_header header = {
		.len = (uint32_t)(sizeof(header) + size), .error = -err, .unique = unique};
	struct iovec parts[] = {{&header, sizeof(header)}, {(void *)data, size}};

	if (writev(server->fd, parts, size ? 2 : 1) < 0 && errno != ENOENT)
		fail("fuse reply");
}

static struct fuse_attr attributes(const Server *server, uint64_t node)
{
	const bool is_directory = node == FUSE_ROOT_ID;

	return (struct fuse_attr){
		.ino = is_directory ? 1 : server->ino,
		.mode = is_directory ? S_IFDIR | 0755 : S_IFREG | 0666,
		.nlink = 1,
		.size = 4096,
		.blksize = 4096,
	};
}

static void answer(Server *server, const struct fuse_in_header *in)
{
	const struct fuse_init_out init = {.major = FUSE_KERNEL_VERSION,
					   .minor = FUSE_KERNEL_MINOR_VERSION,
					   .max_write = 4096,
					   .max_background = 16,
					   .congestion_threshold = 12};
	const struct fuse_entry_out entry = {.nodeid = 2, .attr = attributes(server, 2)};
	const struct fuse_attr_out attr = {.attr = attributes(server, in->nodeid)};
	const struct fuse_open_out opened = {.fh = 1};

	switch (in->opcode) {
	case FUSE_INIT:
		reply(server, in->unique, 0, &init, sizeof(init));
		break;
	case FUSE_LOOKUP:
		if (strcmp((const char *)(in + 1), "x") == 0)
			reply(server, in->unique, 0, &entry, sizeof(entry));
		else
			reply(server, in->unique, ENOENT, NULL, 0);
		break;
	case FUSE_GETATTR:
		reply(server, in->unique, 0, &attr, sizeof(attr));
		break;
	case FUSE_OPEN:
	case FUSE_OPENDIR:
		reply(server, in->unique, 0, &opened, sizeof(opened));
		break;
	case FUSE_READ:
		server->hangs = true;
		printf("hangs\n");
		fflush(stdout);
		break;
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		break;
	case FUSE_RELEASE:
	case FUSE_RELEASEDIR:
	case FUSE_FLUSH:
	case FUSE_ACCESS:
		reply(server, in->unique, 0, NULL, 0);
		break;
	default:
		reply(server, in->unique, ENOSYS, NULL, 0);
	}
}

static void *serve(void *data)
{
	Server *server = data;
	static char buffer[128 * 1024] __attribute__((aligned(8)));

	for (;;) {
		const ssize_t n = read(server->fd, buffer, sizeof(buffer));
		if (n < 0 && errno != EINTR && errno != ENOENT && errno != EAGAIN)
			return NULL;
		if (n >= (ssize_t)sizeof(struct fuse_in_header) && !server->hangs)
			answer(server, (const struct fuse_in_header *)buffer);
	}
}

_Noreturn void hangfs(const char *directory, const char *type, uint64_t ino, bool apart)
{
	static Server server;
	pthread_t thread;
	char options[256], path[4096];

	server.ino = ino;
	if (apart && !become_root_apart())
		skip("no user namespaces here");
	server.fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (server.fd < 0)
		skip("no /dev/fuse");
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other",
		 server.fd);
	if (mount("segfs", directory, type, MS_NOSUID | MS_NODEV, options) < 0) {
		if (apart)
			skip("a user may not mount here");
		fail("mount");
	}
	/* The process that serves a file must not have it open: neither could end before the other.
	 */
	const pid_t holder = apart ? fork() : 0;
	if (holder > 0) {
		close(server.fd);
		snprintf(path, sizeof(path), "%s/x", directory);
		const int fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd < 0 || mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED)
			fail(path);
		ready();
		wait_for_end();
	}
	if (pthread_create(&thread, NULL, serve, &server))
		fail("thread");
	if (!apart)
		ready();
	wait_for_end();
}
