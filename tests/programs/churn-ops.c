// SPDX-License-Identifier: LGPL-2.1-or-later
/* The work of a thread: one operation after the other, at random. */
#include "churn.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* clang-format off */
#define ALL(...) { __VA_ARGS__ }
#define USERS(...) { __VA_ARGS__ }
static const struct {
	int all[4], users[4];
} allowed[N_KINDS] = {
#define K(name, all, users) [name] = { all, users },
	KINDS(K)
#undef K
};
/* clang-format on */

uint64_t random_below(struct thread *self, uint64_t n)
{
	uint64_t x = self->random;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	self->random = x;
	return (x >> 11) % n;
}

bool chance(struct thread *self, int of_hundred)
{
	return random_below(self, 100) < (uint64_t)of_hundred;
}

void bad(const char *format, ...)
{
	va_list arguments;
	const int n = shared->n_bad++;

	if (n >= BAD_SHOWN)
		return;
	va_start(arguments, format);
	vsnprintf(shared->bad[n], BAD_LENGTH, format, arguments);
	va_end(arguments);
}

static bool listed(const int *errors, int error)
{
	for (int i = 0; i < 4; i++)
		if (errors[i] == error)
			return true;
	return false;
}

/* Not even root may open another's file with O_CREAT there: /dev/shm is sticky. */
static bool is_refused_to_all(enum kind kind, int error)
{
	return is_protected && error == EACCES &&
	       (kind == POSIX_CREATE || kind == DIRECT_POSIX_CREATE);
}

void outcome(struct thread *self, enum kind kind, int error)
{
	shared->counts[kind][error < ERRORS ? error : 0]++;
	if (error && !listed(allowed[kind].all, error) && !is_refused_to_all(kind, error) &&
	    (self->root || !listed(allowed[kind].users, error)))
		bad("%s by %s: %s", kind_names[kind], self->root ? "root" : "a user",
		    strerrorname_np(error));
}

off_t some_size(struct thread *self)
{
	static const off_t sizes[] = {4096, 5000, 12288, 65536, 300000};

	return sizes[random_below(self, 5)];
}

mode_t some_mode(struct thread *self)
{
	static const mode_t modes[] = {0600, 0666, 0666, 0660, 0644, 0666};

	return modes[random_below(self, 6)];
}

int some_flags(struct thread *self)
{
	static const int flags[] = {O_RDONLY, O_RDWR, O_RDWR, O_WRONLY, O_RDWR | O_TRUNC};

	return flags[random_below(self, 5)];
}

void id_seen(int shmid)
{
	shared->ids[shared->n_ids++ % IDS] = shmid;
}

struct open *free_open(struct thread *self)
{
	for (int i = 0; i < OPENS; i++)
		if (!self->opens[i].used)
			return &self->opens[i];
	struct open *open = &self->opens[random_below(self, OPENS)];
	open_close(self, open);
	return open;
}

static void list(struct thread *self)
{
	static const char *const directories[] = {"sysv", "key", "posix"};
	const char *directory = directories[random_below(self, 3)];
	path_buffer path;
	struct dirent *entry;
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", mnt, directory);
	DIR *dir = opendir(path);
	outcome(self, LISTING, dir ? 0 : errno);
	if (!dir)
		return;
	errno = 0;
	while ((entry = readdir(dir))) {
		const int r = fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW);
		outcome(self, LISTING_STAT, r < 0 ? errno : 0);
		errno = 0;
	}
	outcome(self, LISTING, errno);
	closedir(dir);
}

static void use(struct thread *self)
{
	struct open *opened = &self->opens[random_below(self, OPENS)];

	if (!opened->used)
		return;
	if (chance(self, 40))
		open_compare(self, opened);
	else if (opened->posix)
		use_object(self, opened);
	else
		use_segment(self, opened);
}

void churn(struct thread *self)
{
	struct open opens[OPENS];

	for (int i = 0; i < OPENS; i++)
		opens[i] = (struct open){.fd = -1, .direct = -1};
	self->opens = opens;
	while (!shared->stop) {
		const int dice = random_below(self, 100);
		if (dice < 8)
			make_by_size(self);
		else if (dice < 14)
			make_by_bytes(self);
		else if (dice < 20)
			make_directly(self);
		else if (dice < 40)
			open_segment(self);
		else if (dice < 52)
			open_object(self);
		else if (dice < 62)
			remove_segment(self);
		else if (dice < 66)
			change_by_name(self);
		else if (dice < 68)
			list(self);
		else if (dice < 70)
			create_object_directly(self);
		else if (dice < 73)
			rename_object(self);
		else if (dice < 76)
			unlink_object(self);
		else if (dice < 78)
			stat_object(self);
		else if (dice < 82 && opens[dice - 78 + 1].used)
			open_close(self, &opens[dice - 78 + 1]);
		else
			use(self);
	}
	for (int i = 0; i < OPENS; i++)
		if (opens[i].used)
			open_close(self, &opens[i]);
}
