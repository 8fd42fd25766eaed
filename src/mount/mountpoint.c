/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "mount/mountpoint.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/os/errand.h"
#include "lib/os/procfs.h"
#include "mount/options.h"

#define MOUNTINFO "/proc/self/mountinfo"

/* A mount that is gone has its end by itself for so long, where nothing in it is in use. */
#define OWN_END (300 * G_TIME_SPAN_MILLISECOND)
/* Where mounts come and go all the time they are looked at so often. */
#define LOOK_EVERY (200 * G_TIME_SPAN_MILLISECOND)
#define WATCH_STACK (128 * 1024)

typedef enum { NO_SEGFS, SEGFS_AT, SEGFS_ABOVE } WhichSegfs;

/* Is the topmost mount at path, or else the one that path is in, a segfs? Its device then, else 0.
 */
static WhichSegfs which_segfs(const char *path, dev_t *ret_dev)
{
	g_autofree char *mountinfo = NULL;
	MountinfoLine mount;
	WhichSegfs which = NO_SEGFS;
	size_t longest = 0;

	*ret_dev = 0;
	if (!g_file_get_contents(MOUNTINFO, &mountinfo, NULL, NULL))
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
		*ret_dev = which == NO_SEGFS ? 0 : mount.dev;
	}
	return which;
}

/* 0: there is none. */
static dev_t segfs_at(const char *path)
{
	dev_t dev;

	return which_segfs(path, &dev) == SEGFS_AT ? dev : 0;
}

/* Wherever: it can have been moved, or bound to another place. */
static bool is_mounted(dev_t dev)
{
	g_autofree char *mountinfo = NULL;
	MountinfoLine mount;

	if (!g_file_get_contents(MOUNTINFO, &mountinfo, NULL, NULL))
		return true;
	for (char *rest = mountinfo; mountinfo_next(&rest, &mount);)
		if (mount.dev == dev)
			return true;
	return false;
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

	if (!path || segfs_at(path) == 0 || umount2(path, MNT_DETACH) == 0)
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
	dev_t dev;

	switch (which_segfs(path, &dev)) {
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

gboolean mountpoint_check_device(GError **error)
{
	if (access("/dev/fuse", F_OK) < 0)
		return segfs_error(error,
				   "no /dev/fuse: load the module (modprobe fuse), or give the "
				   "container the device");
	const int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return segfs_error(error, "/dev/fuse: %s; %s", g_strerror(errno),
				   errno == EACCES
					   ? "who mounts must be allowed to read and write it: "
					     "its mode is usually 0666, and root can give it that"
					   : "load the module (modprobe fuse), or give the "
					     "container the device");
	close(fd);
	if (geteuid() == 0)
		return TRUE;
	g_autofree char *helper = g_find_program_in_path("fusermount3");
	return helper ? TRUE
		      : segfs_error(error, "no fusermount3, by which those who are not root mount: "
					   "install the package fuse3");
}

gboolean mountpoint_remount(const char *given, unsigned long flags, GError **error)
{
	g_autofree char *path = realpath(given, NULL);

	if (!path)
		return segfs_error(error, "%s: %s", given, g_strerror(errno));
	if (segfs_at(path) == 0)
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

static GMutex leaving_lock; /* protects is_leaving, and is held over the signal */
static bool is_leaving;     /* the daemon ends already, soon without a handler for signals */

/* Sleeps until the mount is gone. */
static gpointer watch(gpointer data)
{
	const dev_t dev = (dev_t)(uintptr_t)data;
	/* To be told of changes, which wait for nobody: proc_pid_mountinfo(5). */
	struct pollfd table = {.fd = open(MOUNTINFO, O_RDONLY | O_CLOEXEC), .events = POLLPRI};

	while (table.fd >= 0 && is_mounted(dev) && (poll(&table, 1, -1) >= 0 || errno == EINTR))
		g_usleep(LOOK_EVERY);
	if (table.fd < 0)
		return NULL;
	close(table.fd);
	g_usleep(OWN_END);
	/* Who has it open, or a copy of it in another mount namespace, keeps it alive. */
	g_mutex_lock(&leaving_lock);
	if (!is_leaving)
		kill(getpid(), SIGTERM);
	g_mutex_unlock(&leaving_lock);
	return NULL;
}

static dev_t own; /* the mount's; 0: not known */

void mountpoint_watch(const char *mountpoint)
{
	own = segfs_at(mountpoint);
	int r = own ? thread_start(watch, (gpointer)(uintptr_t)own, WATCH_STACK) : 0;

	if (r < 0)
		g_warning("%s: umount -l will not end the daemon: %s", mountpoint, g_strerror(-r));
}

void mountpoint_leave(struct fuse_session *session, const char *mountpoint)
{
	struct pollfd device = {.fd = fuse_session_fd(session)};
	/* Where somebody else has unmounted it, another mount may be there by now. */
	const bool is_gone = (poll(&device, 1, 0) == 1 && device.revents & POLLERR) ||
			     (own && segfs_at(mountpoint) != own);

	g_mutex_lock(&leaving_lock);
	is_leaving = true;
	g_mutex_unlock(&leaving_lock);
	if (geteuid() != 0 && !is_gone) {
		fuse_session_unmount(session);
		return;
	}
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
