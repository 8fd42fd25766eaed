/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The directory is root's, or of whoever runs the daemon, and nobody else may write to it; no
 * symbolic link is followed in it. A file begins with a line that has the checksum of what follows,
 * so that one which is damaged, or something else, is not read.
 */

#include "lib/state/state.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/os/autofd.h"
#include "lib/os/fd.h"

#define MAGIC "segfs history 3 "
#define DIGEST_SIZE 64 /* SHA-256, in hexadecimal */
#define HEAD_SIZE (sizeof(MAGIC) - 1 + DIGEST_SIZE + 1)
#define SIZE_MOST (64 * 1024 * 1024)
/* For so long another process may still write what it leaves. */
#define TRIES 200
#define TRY_EVERY_US 10000

struct State {
	int directory_fd; /* of this boot */
	int lock_fd;
	char *name, *new_name;
	char *path; /* for messages */
};

/* -EPERM: others could put there what they like. */
static int open_own(int at_fd, const char *name, int *ret_fd)
{
	struct stat st;

	if (mkdirat(at_fd, name, 0700) < 0 && errno != EEXIST)
		return -errno;
	autofd fd = openat(at_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (st.st_uid != geteuid() || st.st_mode & 022)
		return -EPERM;
	*ret_fd = steal_fd(&fd);
	return 0;
}

/* Another boot's: what is in it is of no use any more. */
static void remove_boot(int at_fd, const char *name)
{
	DIR *directory =
		fd_directory(openat(at_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));

	for (struct dirent *entry; directory && (entry = readdir(directory));)
		unlinkat(dirfd(directory), entry->d_name, 0);
	if (directory)
		closedir(directory);
	unlinkat(at_fd, name, AT_REMOVEDIR);
}

static void remove_other_boots(int at_fd, const char *boot)
{
	DIR *directory = fd_open_directory(at_fd, ".");

	for (struct dirent *entry; directory && (entry = readdir(directory));)
		if (g_uuid_string_is_valid(entry->d_name) && strcmp(entry->d_name, boot) != 0)
			remove_boot(at_fd, entry->d_name);
	if (directory)
		closedir(directory);
}

static int lock(int fd)
{
	guint tries = 0;

	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EINTR && errno != EWOULDBLOCK)
			return -errno;
		if (++tries > TRIES)
			return -EBUSY;
		g_usleep(TRY_EVERY_US);
	}
	return 0;
}

static int open_boot(const char *directory, const char *boot, int *ret_fd)
{
	int at = -1;
	int r = open_own(AT_FDCWD, directory, &at);
	autofd fd = at;

	if (r < 0)
		return r;
	remove_other_boots(fd, boot);
	return open_own(fd, boot, ret_fd);
}

/* A name of one component that is no other text's. */
static char *file_name(const char *name)
{
	g_autofree char *escaped = g_uri_escape_string(name, NULL, FALSE);

	return strlen(escaped) < 200 && *escaped && *escaped != '.'
		       ? g_steal_pointer(&escaped)
		       : g_compute_checksum_for_string(G_CHECKSUM_SHA256, name, -1);
}

static const char *error_text(int r)
{
	return r == -EPERM   ? "it is not our own, or others may write to it"
	       : r == -EBUSY ? "another segfs keeps its own there"
			     : g_strerror(-r);
}

State *state_open(const char *directory, const char *name, char **ret_why_not)
{
	g_autofree char *boot = NULL;
	g_autoptr(State) state = g_new0(State, 1);

	state->directory_fd = state->lock_fd = -1;
	g_file_get_contents("/proc/sys/kernel/random/boot_id", &boot, NULL, NULL);
	int r = boot && g_uuid_string_is_valid(g_strchomp(boot)) ? 0 : -ENOSYS;
	if (r == 0)
		r = open_boot(directory, boot, &state->directory_fd);
	if (r == 0) {
		g_autofree char *lock_name = NULL;
		state->name = file_name(name);
		state->new_name = g_strconcat(state->name, ".new", NULL);
		state->path = g_build_filename(directory, boot, state->name, NULL);
		lock_name = g_strconcat(state->name, ".lock", NULL);
		state->lock_fd = openat(state->directory_fd, lock_name,
					O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
		r = state->lock_fd < 0 ? -errno : lock(state->lock_fd);
	}
	if (r == 0)
		return g_steal_pointer(&state);
	*ret_why_not = g_strdup_printf("%s: %s", directory, error_text(r));
	return NULL;
}

void state_free(State *state)
{
	if (state->directory_fd >= 0)
		close(state->directory_fd);
	if (state->lock_fd >= 0)
		close(state->lock_fd);
	g_free(state->name);
	g_free(state->new_name);
	g_free(state->path);
	g_free(state);
}

/* The whole file; -EPERM, -EFBIG: it is none of ours. */
static int read_all(int fd, GByteArray *bytes)
{
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || st.st_mode & 022)
		return -EPERM;
	if (st.st_size > SIZE_MOST)
		return -EFBIG;
	g_byte_array_set_size(bytes, st.st_size);
	for (gsize done = 0; done < bytes->len; done += n) {
		n = read(fd, bytes->data + done, bytes->len - done);
		if (n < 0 && errno == EINTR)
			n = 0;
		else if (n <= 0)
			return n < 0 ? -errno : -EIO;
	}
	return 0;
}

/* What follows the head, where it is what the head says. */
static GBytes *check(const GByteArray *bytes)
{
	if (bytes->len < HEAD_SIZE || memcmp(bytes->data, MAGIC, sizeof(MAGIC) - 1) != 0)
		return NULL;
	const guint8 *from = bytes->data + HEAD_SIZE;
	const gsize size = bytes->len - HEAD_SIZE;
	g_autofree char *digest = g_compute_checksum_for_data(G_CHECKSUM_SHA256, from, size);
	return memcmp(bytes->data + sizeof(MAGIC) - 1, digest, DIGEST_SIZE) == 0
		       ? g_bytes_new(from, size)
		       : NULL;
}

GBytes *state_read(State *state, char **ret_why_not)
{
	g_autoptr(GByteArray) bytes = g_byte_array_new();

	*ret_why_not = NULL;
	autofd fd = openat(state->directory_fd, state->name,
			   O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return NULL;
	const int r = fd < 0 ? -errno : read_all(fd, bytes);
	GBytes *found = r == 0 ? check(bytes) : NULL;
	if (!found)
		*ret_why_not = g_strdup_printf("%s: %s", state->path,
					       r == 0 ? "it is damaged, or something else"
						      : error_text(r));
	return found;
}

static int write_all(int fd, const void *data, gsize size)
{
	for (gsize done = 0; done < size;) {
		const ssize_t n = write(fd, (const char *)data + done, size - done);
		if (n < 0 && errno != EINTR)
			return -errno;
		done += MAX(n, 0);
	}
	return 0;
}

/* Nothing is synced: what a crash of the host loses is another boot's afterwards. */
int state_write(State *state, GBytes *bytes)
{
	gsize size;
	const void *data = g_bytes_get_data(bytes, &size);
	g_autofree char *digest = g_compute_checksum_for_data(G_CHECKSUM_SHA256, data, size);
	g_autofree char *head = g_strconcat(MAGIC, digest, "\n", NULL);

	unlinkat(state->directory_fd, state->new_name, 0);
	autofd fd = openat(state->directory_fd, state->new_name,
			   O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	int r = fd < 0 ? -errno : write_all(fd, head, HEAD_SIZE);
	if (r == 0)
		r = write_all(fd, data, size);
	if (r == 0 &&
	    renameat(state->directory_fd, state->new_name, state->directory_fd, state->name) < 0)
		r = -errno;
	if (r < 0)
		unlinkat(state->directory_fd, state->new_name, 0);
	return r;
}
