/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Anybody may write to a bpffs that was mounted so, and what is pinned there is told what happens
 * on the host. So the directory is our own, nobody else may look into it, and no name of it is
 * looked up but below its descriptor. A lock on it says that a process lives which has it.
 */

#include "lib/pin/pin.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "lib/os/autofd.h"
#include "lib/os/fd.h"

#ifdef SEGFS_HISTORY

#include <bpf/bpf.h>

#define BPFFS "/sys/fs/bpf"
#define BPFFS_MAGIC 0xcafe4a11
#define NAME_DIGITS 16

struct Pins {
	int top_fd, fd; /* bpffs, and the directory */
	char *name;     /* of the directory */
	char *build;
};

static bool is_bpffs(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 && (unsigned long)fs.f_type == BPFFS_MAGIC;
}

/* -EPERM: others could look into it, or put there what they like. */
static int open_own(int top_fd, const char *name, int *ret_fd)
{
	struct stat st;

	if (mkdirat(top_fd, name, 0700) < 0 && errno != EEXIST)
		return -errno;
	autofd fd = openat(top_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ELOOP || errno == ENOTDIR ? -EPERM : -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!is_bpffs(fd) || st.st_uid != geteuid() || st.st_mode & 077)
		return -EPERM;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	*ret_fd = steal_fd(&fd);
	return 0;
}

/* Ours are "BUILD_OBJECT". NULL: all are; else one that is not, the caller's to free. */
static char *remove_ours(const Pins *pins, const char *but)
{
	DIR *directory = fd_open_directory(pins->fd, ".");
	char *foreign = NULL;

	for (struct dirent *entry; directory && (entry = readdir(directory));) {
		const char *name = entry->d_name, *line = strchr(name, '_');
		if (*name == '.')
			continue;
		if (!line || line - name != NAME_DIGITS ||
		    strspn(name, "0123456789abcdef") != NAME_DIGITS) {
			g_free(foreign);
			foreign = g_strdup(name);
		} else if (!but || strncmp(name, but, NAME_DIGITS) != 0) {
			unlinkat(pins->fd, name, 0);
		}
	}
	if (directory)
		closedir(directory);
	return foreign;
}

static char *hash(const char *text)
{
	char *sum = g_compute_checksum_for_string(G_CHECKSUM_SHA256, text, -1);

	sum[NAME_DIGITS] = '\0';
	return sum;
}

static const char *error_text(int r)
{
	return r == -EPERM   ? "it is not our own, or others may look into it"
	       : r == -EBUSY ? "another segfs that lives has it"
			     : g_strerror(-r);
}

Pins *pins_open(const char *name, const char *build, char **ret_why_not)
{
	g_autoptr(Pins) pins = g_new0(Pins, 1);
	g_autofree char *sum = hash(name);

	*ret_why_not = NULL;
	pins->name = g_strconcat("segfs-", sum, NULL);
	pins->build = hash(build);
	pins->fd = -1;
	pins->top_fd = open(BPFFS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (pins->top_fd < 0 || !is_bpffs(pins->top_fd))
		return NULL;
	const int r = open_own(pins->top_fd, pins->name, &pins->fd);
	if (r == -EROFS || r == -EACCES)
		return NULL;
	g_autofree char *foreign = r == 0 ? remove_ours(pins, pins->build) : NULL;
	if (r == 0 && !foreign)
		return g_steal_pointer(&pins);
	*ret_why_not = foreign ? g_strdup_printf(BPFFS "/%s: %s in it is none of ours", pins->name,
						 foreign)
			       : g_strdup_printf(BPFFS "/%s: %s", pins->name, error_text(r));
	return NULL;
}

void pins_free(Pins *pins)
{
	if (pins->top_fd >= 0)
		close(pins->top_fd);
	if (pins->fd >= 0)
		close(pins->fd);
	g_free(pins->name);
	g_free(pins->build);
	g_free(pins);
}

/* bpf(2) takes a path alone; this one begins at our descriptor. */
static char *path_of(const Pins *pins, const char *object)
{
	return g_strdup_printf("/proc/self/fd/%d/%s_%s", pins->fd, pins->build, object);
}

int pins_put(Pins *pins, const char *object, int fd)
{
	g_autofree char *path = path_of(pins, object);

	return bpf_obj_pin(fd, path) < 0 ? -errno : 0;
}

int pins_get(Pins *pins, const char *object)
{
	g_autofree char *path = path_of(pins, object);
	const int fd = bpf_obj_get(path);

	return fd < 0 ? -errno : fd;
}

void pins_clear(Pins *pins)
{
	g_free(remove_ours(pins, NULL));
}

void pins_remove(Pins *pins)
{
	pins_clear(pins);
	unlinkat(pins->top_fd, pins->name, AT_REMOVEDIR);
}

#else

Pins *pins_open(const char *name, const char *build, char **ret_why_not)
{
	*ret_why_not = NULL;
	return NULL;
}

/* Of pins, and there are none. */
void pins_free(Pins *pins)
{
}

int pins_put(Pins *pins, const char *object, int fd)
{
	return -ENOSYS;
}

int pins_get(Pins *pins, const char *object)
{
	return -ENOSYS;
}

void pins_clear(Pins *pins)
{
}

void pins_remove(Pins *pins)
{
}

#endif
