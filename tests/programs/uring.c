/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "uring.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static int ring = -1;
static struct io_uring_params params;
static char *sq, *cq;
static struct io_uring_sqe *sqes;

static void *map(size_t size, off_t what)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, what);

	return at == MAP_FAILED ? NULL : at;
}

int uring_open(const char *path, int flags)
{
	unsigned int *tail = (unsigned int *)(sq + params.sq_off.tail);
	unsigned int *array = (unsigned int *)(sq + params.sq_off.array);
	unsigned int *head = (unsigned int *)(cq + params.cq_off.head);
	const struct io_uring_cqe *cqes = (struct io_uring_cqe *)(cq + params.cq_off.cqes);
	const unsigned int at = *tail & *(unsigned int *)(sq + params.sq_off.ring_mask);

	sqes[at] = (struct io_uring_sqe){
		.opcode = IORING_OP_OPENAT,
		.fd = AT_FDCWD,
		.addr = (unsigned long)path,
		.open_flags = flags,
		.len = 0600,
		.flags = IOSQE_ASYNC,
	};
	array[at] = at;
	__sync_fetch_and_add(tail, 1);
	while (syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0)
		if (errno != EINTR)
			return -errno;
	const int result = cqes[*head & *(unsigned int *)(cq + params.cq_off.ring_mask)].res;
	__sync_fetch_and_add(head, 1);
	return result;
}

int uring_start(void)
{
	ring = (int)syscall(SYS_io_uring_setup, 8, &params);
	if (ring < 0)
		return -errno;
	sq = map(params.sq_off.array + params.sq_entries * sizeof(unsigned int),
		 IORING_OFF_SQ_RING);
	cq = map(params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe),
		 IORING_OFF_CQ_RING);
	sqes = map(params.sq_entries * sizeof(*sqes), IORING_OFF_SQES);
	if (!sq || !cq || !sqes)
		return -ENOMEM;
	const int fd = uring_open("/dev/null", O_RDONLY);
	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}
