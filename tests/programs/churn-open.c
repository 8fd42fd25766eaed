// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The things that a thread keeps open for a while: a segment or a POSIX object, through the mount,
 * and where it could be had also directly, by an attach or a descriptor that was there first. While
 * that is held neither the id nor the inode number can be given out again: so, whatever others do,
 * the open through the mount has to be the same memory. It is if what this thread stores by one way
 * shows by all the others. Each value is stored once in the whole run, and each thread has a word
 * of its own for it: a value that is neither the thread's last nor zero was read from another
 * segment. Zero is what others make of it who truncate or write a whole file; then it is
 * stored again.
 */
#include "churn.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <unistd.h>

/* Of a mapping: all that is stored lies in the first page. */
#define MAPPED_SIZE 4096
#define TRIES 2000

static __thread sigjmp_buf bus_return;
static __thread volatile sig_atomic_t bus_expected;

void on_bus(int signal, siginfo_t *info, void *context)
{
	if (bus_expected)
		siglongjmp(bus_return, 1);
	static const char text[] = "# SIGBUS where nothing can have been cut\n";
	if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
		_exit(98);
	_exit(99);
}

static bool load(const struct open *open, const char *from, uint64_t *ret_value)
{
	if (open->posix && sigsetjmp(bus_return, 0)) {
		bus_expected = 0;
		shared->busses++;
		return false;
	}
	bus_expected = open->posix;
	*ret_value = *(volatile const uint64_t *)from;
	bus_expected = 0;
	return true;
}

static bool store(const struct open *open, char *to, uint64_t value)
{
	if (open->posix && sigsetjmp(bus_return, 0)) {
		bus_expected = 0;
		shared->busses++;
		return false;
	}
	bus_expected = open->posix;
	*(volatile uint64_t *)to = value;
	bus_expected = 0;
	return true;
}

static bool may_read(const struct open *open)
{
	return (open->flags & O_ACCMODE) != O_WRONLY;
}

static bool may_write(const struct open *open)
{
	return (open->flags & O_ACCMODE) != O_RDONLY;
}

void open_map(struct thread *self, struct open *open)
{
	const int prot = PROT_READ | (may_write(open) ? PROT_WRITE : 0);

	if (!may_read(open) || open->mapped)
		return;
	char *mapped = mmap(NULL, MAPPED_SIZE, prot, MAP_SHARED, open->fd, 0);
	/* There is no memory to map before there is a segment: its first descriptor has none. */
	if (mapped == MAP_FAILED && errno == ENODEV && (!can_map || open->made))
		return;
	outcome(self, open->posix ? POSIX_MAP : SYSV_MAP, mapped == MAP_FAILED ? errno : 0);
	if (mapped != MAP_FAILED)
		open->mapped = mapped;
}

enum way { BY_MAPPING, BY_FILE, BY_ATTACH, BY_DIRECT_FILE, BY_DIRECT_MAPPING, WAYS };

static const char *const way_names[WAYS] = {
	"the mapping through the mount", "the descriptor through the mount", "the attach",
	"the descriptor in /dev/shm",    "the mapping in /dev/shm",
};

static bool way_exists(const struct open *open, enum way way, bool to_write)
{
	switch (way) {
	case BY_MAPPING:
		return open->mapped && (!to_write || may_write(open));
	case BY_FILE:
		return to_write ? may_write(open) : may_read(open);
	case BY_ATTACH:
		return open->attached && (!to_write || open->may_store);
	case BY_DIRECT_FILE:
		return open->direct >= 0 && (!to_write || open->may_store);
	case BY_DIRECT_MAPPING:
		return open->directly && (!to_write || open->may_store);
	default:
		return false;
	}
}

/* False: it is cut so short at the moment that there is no such word. */
static bool get(struct thread *self, struct open *open, enum way way, uint64_t *ret_value)
{
	const off_t at = self->slot * 8;
	ssize_t n;

	switch (way) {
	case BY_MAPPING:
		return load(open, open->mapped + at, ret_value);
	case BY_ATTACH:
		return load(open, open->attached + at, ret_value);
	case BY_DIRECT_MAPPING:
		return load(open, open->directly + at, ret_value);
	case BY_FILE:
		n = pread(open->fd, ret_value, 8, at);
		outcome(self, open->posix ? POSIX_READ : SYSV_READ, n < 0 ? errno : 0);
		if (n >= 0 && n != 8 && !open->posix && open->size)
			bad("%s: pread of 8 bytes at %lld: %zd", open->how, (long long)at, n);
		return n == 8;
	default:
		return pread(open->direct, ret_value, 8, at) == 8;
	}
}

static bool put(struct thread *self, struct open *open, enum way way, uint64_t value)
{
	const off_t at = self->slot * 8;
	ssize_t n;

	switch (way) {
	case BY_MAPPING:
		return store(open, open->mapped + at, value);
	case BY_ATTACH:
		return store(open, open->attached + at, value);
	case BY_DIRECT_MAPPING:
		return store(open, open->directly + at, value);
	case BY_FILE:
		n = pwrite(open->fd, &value, 8, at);
		outcome(self, open->posix ? POSIX_WRITE : SYSV_WRITE, n < 0 ? errno : 0);
		if (n >= 0 && n != 8)
			bad("%s: pwrite of 8 bytes at %lld: %zd", open->how, (long long)at, n);
		return n == 8;
	default:
		return pwrite(open->direct, &value, 8, at) == 8;
	}
}

void open_compare(struct thread *self, struct open *open)
{
	enum way from = random_below(self, WAYS);

	for (int i = 0; i < WAYS && !way_exists(open, from, true); i++)
		from = (from + 1) % WAYS;
	if (!way_exists(open, from, true))
		return;
	for (enum way to = 0; to < WAYS; to++) {
		uint64_t seen = 0;
		int tries = 0;

		if (to == from || !way_exists(open, to, false))
			continue;
		for (;; tries++) {
			const uint64_t value = ++shared->stamp;
			const bool there =
				put(self, open, from, value) && get(self, open, to, &seen);
			if (there && seen == value)
				break;
			if (there && seen != 0) {
				bad("%s, shmid %d: %#lx stored by %s, %#lx read by %s", open->how,
				    open->shmid, value, way_names[from], seen, way_names[to]);
				return;
			}
			/* As long as it is again and again cut to nothing there is no telling. */
			if (tries >= TRIES && !there)
				break;
			if (!there && may_write(open))
				outcome(self, POSIX_FTRUNCATE,
					ftruncate(open->fd, MAPPED_SIZE) < 0 ? errno : 0);
			else if (tries >= TRIES) {
				bad("%s, shmid %d: never there by %s: what was stored by %s",
				    open->how, open->shmid, way_names[to], way_names[from]);
				return;
			}
		}
		shared->compared++;
	}
}

void open_close(struct thread *self, struct open *open)
{
	if (open->mapped)
		munmap(open->mapped, MAPPED_SIZE);
	if (open->directly)
		munmap(open->directly, MAPPED_SIZE);
	if (open->attached)
		shmdt(open->attached);
	if (open->direct >= 0)
		close(open->direct);
	if (open->fd >= 0 && !open->made) {
		const int r = close(open->fd);
		outcome(self, open->posix ? POSIX_CLOSE : SYSV_CLOSE, r < 0 ? errno : 0);
	} else if (open->fd >= 0) {
		const int r = close(open->fd);
		outcome(self, KEY_CLOSE, r < 0 ? errno : 0);
	}
	*open = (struct open){.fd = -1, .direct = -1};
}
