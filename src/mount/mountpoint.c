/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "mount/mountpoint.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/os/procfs.h"
#include "mount/options.h"

typedef enum { NO_SEGFS, SEGFS_AT, SEGFS_ABOVE } WhichSegfs;

/* Is the topmost mount at path, or else the one that path is in, a segfs? */
static WhichSegfs which_segfs(const char *path)
{
	g_autofree char *mountinfo = NULL;
	MountinfoLine mount;
	WhichSegfs which = NO_SEGFS;
	size_t longest = 0;

	if (!g_file_get_contents("/proc/self/mountinfo", &mountinfo, NULL, NULL))
		return NO_SEGFS;
	/* A later line is mounted over an earlier one. */
	for (char *rest = mountinfo; mountinfo_next(&rest, &mount);) {
		const size_t length = strlen(mount.point);
		const bool is_above = length == 1 || (g_str_has_prefix(path, mount.point) &&
						      (path[length] == '/' || !path[length]));
		if (!is_above || length < longest)
			continue;
		longest = length;
		which = strcmp(mount.type, "fuse.segfs") != 0 ? NO_SEGFS
			: path[length] && length > 1          ? SEGFS_ABOVE
							      : SEGFS_AT;
	}
	return which;
}

/* realpath(3) of a dead mount fails; that of the directory that it is in does not. */
static char *path_of_dead(const char *given)
{
	g_autofree char *clean = g_canonicalize_filename(given, NULL);
	g_autofree char *directory = g_path_get_dirname(clean), *name = g_path_get_basename(clean);
	char *real = realpath(directory, NULL);
	char *path = real ? g_build_filename(real, name, NULL) : NULL;

	free(real);
	return path;
}

static void take_away_dead(const char *given)
{
	g_autofree char *path = path_of_dead(given);

	if (!path || which_segfs(path) != SEGFS_AT || umount2(path, MNT_DETACH) == 0)
		return;
	char *argv[] = {"fusermount3", "-u", "-z", path, NULL};
	g_spawn_sync(NULL, argv, NULL,
		     G_SPAWN_SEARCH_PATH | G_SPAWN_STDOUT_TO_DEV_NULL | G_SPAWN_STDERR_TO_DEV_NULL,
		     NULL, NULL, NULL, NULL, NULL, NULL);
}

static gboolean is_empty(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	gboolean empty = TRUE;

	if (!dir)
		return TRUE; /* what mount(2) will say of it is not known here */
	while ((entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			empty = FALSE;
	closedir(dir);
	return empty;
}

/* May a mount be made at path? */
static gboolean is_place(const char *path, GError **error)
{
	switch (which_segfs(path)) {
	case SEGFS_AT:
		return segfs_error(
			error, "%s: a segfs is mounted there already; to end it: fusermount3 -u %s",
			path, path);
	case SEGFS_ABOVE:
		return segfs_error(error,
				   "%s: that is inside a segfs, which would have to answer for "
				   "the one mounted in it; give a directory elsewhere",
				   path);
	case NO_SEGFS:
		break;
	}
	return is_empty(path) ||
	       segfs_error(error,
			   "%s: not empty, and a mount would hide what is in it; give an empty "
			   "directory",
			   path);
}

char *mountpoint_prepare(const char *given, GError **error)
{
	struct stat st;

	if (stat(given, &st) < 0 && errno == ENOTCONN)
		take_away_dead(given);
	if (stat(given, &st) < 0) {
		if (errno == ENOENT)
			segfs_error(error, "%s: no such directory; make it: mkdir -p %s", given,
				    given);
		else if (errno == ENOTCONN)
			segfs_error(error, "%s: a dead mount is there; take it away: umount -l %s",
				    given, given);
		else
			segfs_error(error, "%s: %s; give a directory that you may mount on", given,
				    g_strerror(errno));
		return NULL;
	}
	if (!S_ISDIR(st.st_mode)) {
		segfs_error(error, "%s: not a directory; give an empty directory", given);
		return NULL;
	}
	g_autofree char *path = realpath(given, NULL);
	if (!path) {
		segfs_error(error, "%s: %s", given, g_strerror(errno));
		return NULL;
	}
	return is_place(path, error) ? g_strdup(path) : NULL;
}

gboolean mountpoint_remount(const char *given, unsigned long flags, GError **error)
{
	g_autofree char *path = realpath(given, NULL);

	if (!path)
		return segfs_error(error, "%s: %s", given, g_strerror(errno));
	if (which_segfs(path) != SEGFS_AT)
		return segfs_error(error,
				   "%s: no segfs is mounted there, so it cannot be "
				   "remounted; mount it: segfs %s",
				   given, given);
	/* Files that others put there are not to be trusted, as at the first mount. */
	if (mount(NULL, path, NULL, MS_REMOUNT | MS_NOSUID | MS_NODEV | flags, NULL) < 0)
		return segfs_error(error, "%s: cannot be remounted: %s%s", given, g_strerror(errno),
				   errno == EPERM ? "; only root can" : "");
	return TRUE;
}

void mountpoint_leave(struct fuse_session *session, const char *mountpoint)
{
	struct pollfd device = {.fd = fuse_session_fd(session)};

	if (geteuid() != 0) {
		fuse_session_unmount(session);
		return;
	}
	/* Where somebody else has unmounted it, another mount may be there by now. */
	const bool is_gone = poll(&device, 1, 0) == 1 && device.revents & POLLERR;
	/* With the device closed nothing can be asked of a daemon that does not answer any more. */
	int ends[2];
	bool is_closed = pipe2(ends, O_CLOEXEC) == 0;
	if (is_closed) {
		close(ends[0]);
		is_closed = dup2(ends[1], device.fd) >= 0;
		close(ends[1]);
	}
	if (!is_closed)
		g_warning("%s: cannot close the device: %s", mountpoint, g_strerror(errno));
	if (!is_gone && umount2(mountpoint, MNT_DETACH) < 0)
		g_warning("%s: cannot unmount: %s", mountpoint, g_strerror(errno));
	/* A pipe that nobody reads looks to libfuse like a mount that is gone: it only frees. */
	if (is_closed)
		fuse_session_unmount(session);
}
