/* SPDX-License-Identifier: LGPL-2.1-or-later */

#define FUSE_USE_VERSION FUSE_MAKE_VERSION(3, 17)

#include "mount/receive.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <linux/fuse.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#define HUGE_PAGE (2UL * 1024 * 1024)

/* A thread gets its huge page with its first write of this size; most threads never do. */
#define LARGE (256 * 1024)

#define WRITE_HEAD (sizeof(struct fuse_in_header) + sizeof(struct fuse_write_in))

typedef struct {
	char *bytes;      /* of a huge page */
	const char *held; /* the address for which bytes stand, NULL: none */
	bool alone;       /* libfuse's buffer holds no pages any more, but for its first */
} Receiver;

static void receiver_free(gpointer data)
{
	Receiver *receiver = data;

	munmap(receiver->bytes, HUGE_PAGE);
	g_free(receiver);
}

static GPrivate own = G_PRIVATE_INIT(receiver_free);

/*
 * What is kept for another thread: a page changes hands, and nothing is copied, nor are new pages
 * mapped and cleared for each write. They are few, so bytes can be copied to memory of their own,
 * too.
 */
typedef struct {
	char *bytes;
	bool is_lent;
} Page;

#define WORTH_A_PAGE (32 * 1024)

static GMutex pages_lock; /* protects pages */
static Page pages[4];

/* Whether it is a huge page is up to the kernel; ordinary pages do, too. NULL: no memory. */
static char *page_new(void)
{
	char *mapped = mmap(NULL, 2 * HUGE_PAGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (mapped == MAP_FAILED)
		return NULL;
	const size_t before = -(uintptr_t)mapped % HUGE_PAGE;
	char *page = mapped + before;
	if (before)
		munmap(mapped, before);
	munmap(page + HUGE_PAGE, HUGE_PAGE - before);
	madvise(page, HUGE_PAGE, MADV_HUGEPAGE);
	return page;
}

static void receiver_make(void)
{
	char *page = page_new();

	if (!page)
		return;
	Receiver *receiver = g_new0(Receiver, 1);
	receiver->bytes = page;
	g_private_set(&own, receiver);
}

static __thread uint64_t unique;

uint64_t receive_unique(void)
{
	return unique;
}

static bool is_write(const void *request)
{
	return ((const struct fuse_in_header *)request)->opcode == FUSE_WRITE;
}

static ssize_t receive_bare(int fd, void *request, size_t size)
{
	Receiver *receiver = g_private_get(&own);

	if (!receiver || size - WRITE_HEAD > HUGE_PAGE) {
		const ssize_t n = read(fd, request, size);
		if (n > LARGE && is_write(request) && !receiver)
			receiver_make();
		return n;
	}
	const struct iovec parts[] = {{request, WRITE_HEAD}, {receiver->bytes, size - WRITE_HEAD}};
	char *rest = (char *)request + WRITE_HEAD;

	receiver->held = NULL;
	if (!receiver->alone) {
		const uintptr_t page = sysconf(_SC_PAGESIZE);
		char *const first = rest + -(uintptr_t)rest % page;
		madvise(first, (rest + size - WRITE_HEAD - first) / page * page, MADV_DONTNEED);
		receiver->alone = true;
	}
	const ssize_t n = readv(fd, parts, G_N_ELEMENTS(parts));
	if (n <= (ssize_t)WRITE_HEAD)
		return n;
	if (is_write(request))
		receiver->held = rest;
	else
		memcpy(rest, receiver->bytes, n - WRITE_HEAD);
	return n;
}

static ssize_t receive(int fd, void *request, size_t size, void *data)
{
	const ssize_t n = receive_bare(fd, request, size);

	if (n >= (ssize_t)sizeof(struct fuse_in_header))
		unique = ((const struct fuse_in_header *)request)->unique;
	return n;
}

const char *receive_bytes(const char *bytes)
{
	const Receiver *receiver = g_private_get(&own);

	return receiver && receiver->held == bytes ? receiver->bytes : bytes;
}

/* Call with the lock held. NULL: all are lent, or there is no memory for another. */
static Page *page_unused(void)
{
	for (guint i = 0; i < G_N_ELEMENTS(pages); i++) {
		Page *page = &pages[i];
		if (page->is_lent)
			continue;
		if (!page->bytes)
			page->bytes = page_new();
		return page->bytes ? page : NULL;
	}
	return NULL;
}

void *receive_keep(const void *bytes, size_t size)
{
	Receiver *receiver = g_private_get(&own);
	void *kept = NULL;

	if (size >= WORTH_A_PAGE && size <= HUGE_PAGE) {
		g_mutex_lock(&pages_lock);
		Page *page = page_unused();
		if (page) {
			page->is_lent = true;
			if (receiver && receiver->held && receiver->bytes == bytes) {
				receiver->held = NULL;
				receiver->bytes = page->bytes;
				page->bytes = (char *)bytes;
			}
			kept = page->bytes;
		}
		g_mutex_unlock(&pages_lock);
	}
	if (!kept)
		kept = g_malloc(size + 1); /* an empty value is not none */
	return kept == bytes ? kept : memcpy(kept, bytes, size);
}

void receive_free(void *kept)
{
	bool is_page = false;

	g_mutex_lock(&pages_lock);
	for (guint i = 0; i < G_N_ELEMENTS(pages) && !is_page; i++) {
		is_page = kept && pages[i].bytes == kept;
		if (is_page)
			pages[i].is_lent = false;
	}
	g_mutex_unlock(&pages_lock);
	if (!is_page)
		g_free(kept);
}

void receive_end(struct fuse_session *session, uint64_t request, int error)
{
	const struct fuse_out_header head = {
		.len = sizeof(head), .error = -error, .unique = request};

	/* ENOENT: it was answered just now. */
	while (write(fuse_session_fd(session), &head, sizeof(head)) < 0 && errno == EINTR)
		;
}

static ssize_t answer(int fd, struct iovec *parts, int n_parts, void *data)
{
	return writev(fd, parts, n_parts);
}

static ssize_t answer_spliced(int from, off_t *from_offset, int fd, off_t *offset, size_t size,
			      unsigned int flags, void *data)
{
	return splice(from, from_offset, fd, offset, size, flags);
}

int receive_start(struct fuse_session *session)
{
	static const struct fuse_custom_io io = {
		.writev = answer,
		.read = receive,
		.splice_send = answer_spliced,
	};

	return fuse_session_custom_io(session, &io, sizeof(io), fuse_session_fd(session));
}
