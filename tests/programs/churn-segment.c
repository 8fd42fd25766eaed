// SPDX-License-Identifier: LGPL-2.1-or-later
/* The operations on SysV segments. */
#include "churn.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <unistd.h>

static key_t some_key(struct thread *self)
{
	return KEY_FIRST + random_below(self, KEYS);
}

/* -1: none. Asks the kernel, or takes one that may have gone long ago. */
static int some_id(struct thread *self)
{
	if (chance(self, 25))
		return shared->ids[random_below(self, IDS)];
	if (chance(self, 10))
		return shmget(KEY_SURVIVOR, 0, 0);
	const int shmid = shmget(some_key(self), 0, 0);
	if (shmid >= 0)
		id_seen(shmid);
	return shmid;
}

static void key_path(key_t key, path_buffer ret_path)
{
	snprintf(ret_path, sizeof(path_buffer), "%s/key/0x%08x", mnt, (unsigned int)key);
}

static void id_path(int shmid, path_buffer ret_path)
{
	snprintf(ret_path, sizeof(path_buffer), "%s/sysv/%d", mnt, shmid);
}

/* ---- segments that are made ---- */

static int create(struct thread *self, key_t key, int flags)
{
	path_buffer path;

	key_path(key, path);
	if (chance(self, 30))
		flags |= O_EXCL;
	if (chance(self, 20))
		flags |= O_TRUNC;
	const int fd = open(path, flags | O_CREAT | O_CLOEXEC, some_mode(self));
	outcome(self, flags & O_EXCL ? KEY_CREATE_EXCL : KEY_CREATE, fd < 0 ? errno : 0);
	return fd;
}

/*
 * Asks the daemon for the stat. The kernel may answer out of a listing for a second: then an id
 * that is given out again meanwhile has its predecessor's size, and what another has just opened
 * with O_TRUNC has none (fuse_setattr() with ATTR_OPEN, fs/fuse/dir.c).
 */
static int look(struct thread *self, int fd, uint32_t *ret_number, off_t *ret_size)
{
	struct statx st;
	const int r = statx(fd, "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &st);

	outcome(self, SYSV_FSTAT, r < 0 ? errno : 0);
	if (r < 0)
		return r;
	*ret_number = (uint32_t)st.stx_ino;
	*ret_size = st.stx_size;
	if (st.stx_ino >> 32 == UINT32_MAX && st.stx_size)
		bad("a pending segment has size %lld", (long long)st.stx_size);
	return 0;
}

/* As truncate -s does. */
void make_by_size(struct thread *self)
{
	const off_t wanted = some_size(self);
	off_t size;
	uint32_t number;
	const int fd = create(self, some_key(self), O_RDWR);

	if (fd < 0)
		return;
	const int r = ftruncate(fd, wanted);
	outcome(self, KEY_SIZE, r < 0 ? errno : 0);
	if (look(self, fd, &number, &size) < 0 || size == 0) {
		if (r == 0)
			bad("a segment was made, and has no size");
		const int closed = close(fd);
		outcome(self, KEY_CLOSE_EMPTY, closed < 0 ? errno : 0);
		return;
	}
	if (r == 0 && size != wanted)
		bad("made with %lld bytes, has %lld", (long long)wanted, (long long)size);
	struct open *open = free_open(self);
	*open = (struct open){.used = true,
			      .made = true,
			      .fd = fd,
			      .direct = -1,
			      .flags = O_RDWR,
			      .size = size,
			      .shmid = -1,
			      .how = "key/ made by ftruncate"};
	id_seen((int)number);
}

/* As cp does. */
void make_by_bytes(struct thread *self)
{
	const off_t size = some_size(self);
	static const char bytes[300000];
	ssize_t done = 0, n = 0;
	const int fd = create(self, some_key(self), O_WRONLY);

	if (fd < 0)
		return;
	if (chance(self, 10)) {
		/* There was one already, or there is none now. */
		const int closed = close(fd);
		outcome(self, KEY_CLOSE_EMPTY, closed < 0 ? errno : 0);
		return;
	}
	for (; done < size; done += n) {
		n = write(fd, bytes + done, size - done < 40000 ? size - done : 40000);
		outcome(self, KEY_WRITE, n < 0 ? errno : 0);
		if (n <= 0)
			break;
	}
	const int closed = close(fd);
	outcome(self, KEY_CLOSE, closed < 0 ? errno : 0);
}

static void pick_id(struct thread *self)
{
	char text[16];
	const int fd = can_pick_id && self->root
			       ? open("/proc/sys/kernel/shm_next_id", O_WRONLY | O_CLOEXEC)
			       : -1;

	if (fd < 0)
		return;
	const int shmid = shared->ids[random_below(self, IDS)];
	const int length = snprintf(text, sizeof(text), "%d", shmid);
	/* It is only a wish. */
	if (shmid >= 0 && write(fd, text, length) < 0)
		shared->moved++;
	close(fd);
}

void make_directly(struct thread *self)
{
	const int flags = IPC_CREAT | (chance(self, 50) ? IPC_EXCL : 0);

	/* An id that was somebody else's a moment ago. */
	if (chance(self, 50))
		pick_id(self);
	const int shmid = shmget(some_key(self), some_size(self), flags | some_mode(self));
	outcome(self, DIRECT_SHMGET, shmid < 0 ? errno : 0);
	if (shmid >= 0)
		id_seen(shmid);
}

/* ---- segments that are opened ---- */

/* The id of the segment with this memory, at which it is attached before it is opened. */
static int attach(struct thread *self, int shmid, struct open *open)
{
	open->may_store = true;
	char *address = shmat(shmid, NULL, 0);
	if (address == (void *)-1 && errno == EACCES) {
		open->may_store = false;
		address = shmat(shmid, NULL, SHM_RDONLY);
	}
	outcome(self, DIRECT_SHMAT, address == (void *)-1 ? errno : 0);
	if (address == (void *)-1)
		return -1;
	open->attached = address;
	open->shmid = shmid;
	return 0;
}

void open_segment(struct thread *self)
{
	const bool by_key = chance(self, 40);
	const key_t key = chance(self, 10) ? (key_t)KEY_SURVIVOR : some_key(self);
	const int shmid = by_key ? shmget(key, 0, 0) : some_id(self);
	struct open *opened = free_open(self);
	struct shmid_ds ds;
	path_buffer path;
	uint32_t number;

	*opened = (struct open){.fd = -1,
				.direct = -1,
				.shmid = -1,
				.flags = some_flags(self),
				.how = by_key ? "key/" : "sysv/"};
	if (shmid >= 0 && chance(self, 70))
		attach(self, shmid, opened);
	if (by_key)
		key_path(key, path);
	else
		id_path(shmid, path);
	opened->fd = open(path, opened->flags | O_CLOEXEC);
	outcome(self,
		by_key ? (opened->flags & O_TRUNC ? KEY_OPEN_TRUNC : KEY_OPEN)
		       : (opened->flags & O_TRUNC ? SYSV_OPEN_TRUNC : SYSV_OPEN),
		opened->fd < 0 ? errno : 0);
	if (opened->fd < 0 || look(self, opened->fd, &number, &opened->size) < 0) {
		open_close(self, opened);
		return;
	}
	opened->used = true;
	id_seen((int)number);
	if (opened->size == 0)
		bad("%s opened, and it has no size", opened->how);
	if (opened->attached && number != (uint32_t)opened->shmid) {
		/* Another segment has got the key meanwhile. */
		shmdt(opened->attached);
		opened->attached = NULL;
		shared->moved++;
		if (!by_key)
			bad("sysv/%d has number %u", opened->shmid, number);
	} else if (opened->attached && opened->may_store &&
		   shmctl(opened->shmid, IPC_STAT, &ds) == 0 &&
		   (off_t)ds.shm_segsz != opened->size) {
		bad("sysv/%d has size %lld, the segment %zu", opened->shmid,
		    (long long)opened->size, ds.shm_segsz);
	}
	if (chance(self, 70))
		open_map(self, opened);
	open_compare(self, opened);
}

/* ---- by name ---- */

void remove_segment(struct thread *self)
{
	const int shmid = some_id(self);
	path_buffer path;
	int r;

	if (shmid == shmget(KEY_SURVIVOR, 0, 0))
		return;
	switch (random_below(self, 3)) {
	case 0:
		id_path(shmid, path);
		r = unlink(path);
		outcome(self, SYSV_RM, r < 0 ? errno : 0);
		break;
	case 1:
		key_path(some_key(self), path);
		r = unlink(path);
		outcome(self, KEY_RM, r < 0 ? errno : 0);
		break;
	default:
		r = shmctl(shmid, IPC_RMID, NULL);
		outcome(self, DIRECT_RMID, r < 0 ? errno : 0);
	}
}

static void some_segment_path(struct thread *self, path_buffer ret_path)
{
	if (chance(self, 50))
		key_path(some_key(self), ret_path);
	else
		id_path(some_id(self), ret_path);
}

void change_by_name(struct thread *self)
{
	path_buffer path;
	struct statx st;
	int r;

	some_segment_path(self, path);
	switch (random_below(self, 4)) {
	case 0:
		r = chmod(path, some_mode(self));
		outcome(self, SYSV_CHMOD, r < 0 ? errno : 0);
		break;
	case 1:
		r = truncate(path, chance(self, 50) ? 0 : some_size(self));
		outcome(self, SYSV_TRUNCATE, r < 0 ? errno : 0);
		break;
	default:
		/* Not out of a listing: see look(). */
		r = statx(AT_FDCWD, path, AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &st);
		outcome(self, SYSV_STAT, r < 0 ? errno : 0);
		if (r == 0 && st.stx_size == 0)
			bad("%s has no size", path);
	}
}

/* ---- on what is open ---- */

/* The memory file behind the attach has the segment's size, whatever was written past it. */
static void check_size(struct thread *self, const struct open *opened)
{
	char path[96];
	struct stat st;
	struct shmid_ds ds;
	const unsigned long start = (unsigned long)opened->attached;

	if (!self->root || !opened->attached || shmctl(opened->shmid, IPC_STAT, &ds) < 0)
		return;
	snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", start,
		 start + (ds.shm_segsz + 4095) / 4096 * 4096);
	if (stat(path, &st) == 0 && st.st_size != (off_t)ds.shm_segsz)
		bad("the memory of %d has grown to %lld of %zu", opened->shmid,
		    (long long)st.st_size, ds.shm_segsz);
}

static void write_past(struct thread *self, const struct open *opened)
{
	const bool crossing = chance(self, 50);
	const ssize_t n = pwrite(opened->fd, "past end", 8, opened->size - (crossing ? 4 : 0));

	outcome(self, crossing ? SYSV_WRITE : SYSV_WRITE_PAST, n < 0 ? errno : 0);
	if (n >= 0 && n != (crossing ? 4 : -1))
		bad("%s: %zd bytes written past the end", opened->how, n);
	check_size(self, opened);
}

void use_segment(struct thread *self, struct open *opened)
{
	static const off_t page = 4096;
	const bool writes = (opened->flags & O_ACCMODE) != O_RDONLY;
	char bytes[8192] = {};
	uint32_t number;
	off_t size;
	ssize_t n;
	int r;

	switch (random_below(self, 8)) {
	case 0:
		if (look(self, opened->fd, &number, &size) == 0 && size != opened->size)
			bad("%s: its size was %lld, and is %lld", opened->how,
			    (long long)opened->size, (long long)size);
		break;
	case 1:
		if (writes)
			write_past(self, opened);
		break;
	case 2:
		if (!writes || opened->size <= page)
			break;
		n = pwrite(opened->fd, bytes,
			   opened->size - page < 8192 ? opened->size - page : 8192, page);
		outcome(self, SYSV_WRITE, n < 0 ? errno : 0);
		break;
	case 3:
		if ((opened->flags & O_ACCMODE) == O_WRONLY)
			break;
		n = pread(opened->fd, bytes, sizeof(bytes), random_below(self, 400000));
		outcome(self, SYSV_READ, n < 0 ? errno : 0);
		break;
	case 4:
		r = fchmod(opened->fd, some_mode(self));
		outcome(self, SYSV_FCHMOD, r < 0 ? errno : 0);
		break;
	case 5:
		r = lseek(opened->fd, random_below(self, opened->size + 1), SEEK_DATA) < 0 ? errno
											   : 0;
		outcome(self, SYSV_SEEK, r);
		break;
	case 6:
		if (!writes)
			break;
		r = fallocate(opened->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, page);
		outcome(self, SYSV_PUNCH, r < 0 ? errno : 0);
		break;
	default:
		open_map(self, opened);
	}
}
