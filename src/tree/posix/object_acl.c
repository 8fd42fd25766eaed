/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * ls -l asks for the ACL of each file, a request that the kernel answers from no cache. Told that a
 * file has none (ENODATA), it asks for that of the next file; told that there are none to be had
 * (EOPNOTSUPP), it takes this for the whole file system and asks no more.
 *
 * So where that is true of all that the directory posix/ has, it is said: there is no subdirectory,
 * in which there could be more, and no file has an ACL. This is looked at once somebody has asked
 * for many, at most once for each listing, which takes as long itself. A program asks as before in
 * the next listing, so an ACL that is set meanwhile is shown then.
 *
 * To read a directory takes its lock, which another user can hold for ever: a thread does it that
 * is left behind where it does not go on, and until that comes back no other is sent there.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "lib/kernel/kernel.h"
#include "lib/os/autofd.h"
#include "lib/os/deadline.h"
#include "lib/os/errand.h"
#include "tree/posix/object.h"

/* So many are told the truth of one file alone. */
#define MANY 32
#define PATIENCE_MS 500

typedef struct {
	Node *directory; /* a reference */
	bool has_none;
} Look;

/* By a call of its own (Linux 6.13), or by a way that takes five times as long. */
static ssize_t acl_size(const ObjectAt *directory, const char *name)
{
	struct {
		uint64_t value;
		uint32_t size, flags;
	} none = {}; /* struct xattr_args of linux/xattr.h: its size alone is asked for */
	char path[sizeof(FdPath) + 1 + NAME_MAX];

	if (kernel_has(KERNEL_GETXATTRAT))
		return syscall(KERNEL_SYS_GETXATTRAT, directory->fd, name, AT_SYMLINK_NOFOLLOW,
			       OBJECT_ACL, &none, sizeof(none));
	g_snprintf(path, sizeof(path), "%s/%s", directory->path, name);
	return lgetxattr(path, OBJECT_ACL, NULL, 0);
}

bool object_has_acl(const ObjectAt *directory, const char *name)
{
	return acl_size(directory, name) >= 0 || (errno != ENODATA && errno != EOPNOTSUPP);
}

static bool has_none(const ObjectAt *directory, const struct dirent *entry)
{
	if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
		return true;
	/* It can have been removed just now. */
	return entry->d_type != DT_DIR && entry->d_type != DT_UNKNOWN &&
	       (!object_has_acl(directory, entry->d_name) || errno == ENOENT);
}

static void look_run(gpointer data)
{
	Look *look = data;
	g_auto(ObjectAt) at = OBJECT_NOWHERE;
	struct dirent *entry;

	DIR *directory =
		object_reach(look->directory, &at) < 0 ? NULL : fd_open_directory(at.fd, ".");
	if (!directory)
		return;
	errno = 0;
	while ((entry = readdir(directory)) && has_none(&at, entry))
		errno = 0;
	look->has_none = !entry && errno == 0;
	closedir(directory);
}

static void look_release(gpointer data)
{
	Look *look = data;

	((ObjectNode *)look->directory)->acl_looks = false;
	node_unref(look->directory);
	g_free(look);
}

static bool look_at_all(Node *directory)
{
	Look *look = g_new0(Look, 1);

	look->directory = node_ref(directory);
	DeadlineCall *call = deadline_call(look_run, look, look_release);
	const bool has_none = deadline_wait(call, PATIENCE_MS) && look->has_none;
	deadline_leave(call);
	return has_none;
}

static bool is_top(const ObjectNode *directory)
{
	autofd fd = -1;
	struct stat st;

	return segfs_posix_open(directory->posix, &fd) == 0 && fstat(fd, &st) == 0 &&
	       st.st_dev == directory->object.dev && st.st_ino == directory->object.ino;
}

void object_acl_listing(ObjectNode *directory)
{
	directory->acl_asked = 0;
	directory->acl_may_look = true;
}

bool object_acl_nowhere(ObjectNode *node)
{
	g_autoptr(Node) base = NULL;

	if (g_get_monotonic_time() - node->listed_at > LISTED_VALID * G_USEC_PER_SEC)
		return false;
	g_mutex_lock(&node->lock);
	base = node->listed_in ? node_ref(node->listed_in) : NULL;
	g_mutex_unlock(&node->lock);
	ObjectNode *directory = (ObjectNode *)base;
	if (!directory || ++directory->acl_asked <= MANY || !directory->acl_may_look ||
	    !is_top(directory) || !errand_may_wait())
		return false;
	/* One at a time. */
	if (!atomic_exchange(&directory->acl_may_look, false) ||
	    atomic_exchange(&directory->acl_looks, true))
		return false;
	return look_at_all(base);
}
