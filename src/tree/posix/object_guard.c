/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What the kernel does for a directory like /tmp, and does not do in a FUSE mount.
 *
 * In a sticky directory that others may write to it lets nobody follow another's symbolic link,
 * nor open another's file or FIFO with O_CREAT (proc_sys_fs(5): protected_symlinks,
 * protected_regular, protected_fifos). Of a mount like ours it does not know that a directory is
 * sticky: where it is not to judge permissions itself (default_permissions) it takes that bit
 * away. And a FIFO it opens without asking us at all. Here is what of that can be had:
 *
 * - A node that was found in such a directory stays guarded for as long as it is known, since a
 *   name elsewhere, or a directory that is changed, would else be a way around it.
 * - Before it follows a link, or reads it for readlink(2), the kernel asks what the link says, and
 *   before it opens a FIFO it looks its name up. What for is in /proc/TID/syscall: the thread
 *   waits for our answer in that very call. Where that is not known the answer is no.
 *
 * The rules are those of fs/namei.c, may_follow_link() and may_create_in_sticky(). They differ in
 * one thing: a link that is not the last of a path is not followed either.
 */

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "lib/os/procfs.h"
#include "tree/posix/object.h"

enum {
	GUARD_WORLD = 1, /* everybody may write to the directory */
	GUARD_GROUP = 2, /* its group may */
};

void object_guard(ObjectNode *node, const struct stat *directory, const struct stat *st)
{
	if (!S_ISREG(st->st_mode) && !S_ISLNK(st->st_mode) && !S_ISFIFO(st->st_mode))
		return;
	if (!(directory->st_mode & S_ISVTX) || directory->st_uid == st->st_uid)
		return;
	if (directory->st_mode & S_IWOTH)
		node->guards |= GUARD_WORLD;
	else if (directory->st_mode & S_IWGRP)
		node->guards |= GUARD_GROUP;
}

/* What is not known is taken for the strictest. */
static int level_of(const ObjectNode *node, const char *name)
{
	enum { STRICTEST = 2 };
	int level = STRICTEST;
	int r = procfs_sysctl(segfs_ipc_proc_root(node->node.ns->ipc), name, &level);

	return r == -ENOENT ? 0 : level;
}

static ProcfsCall call_of(const ObjectNode *node, const SegfsCaller *caller, int *ret_flags)
{
	return procfs_call(segfs_ipc_proc_root(node->node.ns->ipc), caller->tid, ret_flags);
}

int object_guard_follow(const ObjectNode *node, const SegfsCaller *caller, const struct stat *st)
{
	if (!(node->guards & GUARD_WORLD) || caller->uid == st->st_uid ||
	    level_of(node, "fs/protected_symlinks") == 0)
		return 0;
	return call_of(node, caller, NULL) == CALL_READLINK ? 0 : -EACCES;
}

static bool is_guarded(const ObjectNode *node, const SegfsCaller *caller, const struct stat *st)
{
	if (!node->guards || caller->uid == st->st_uid)
		return false;
	const int level = level_of(node, S_ISFIFO(st->st_mode) ? "fs/protected_fifos"
							       : "fs/protected_regular");
	return level > 1 || (level == 1 && node->guards & GUARD_WORLD);
}

int object_guard_open(const ObjectNode *node, const SegfsCaller *caller, const struct stat *st)
{
	int flags;

	if (!is_guarded(node, caller, st))
		return 0;
	/* FUSE_OPEN says everything but this. */
	return call_of(node, caller, &flags) == CALL_OPENS && !(flags & O_CREAT) ? 0 : -EACCES;
}

int object_guard_fifo(ObjectNode *node, const SegfsCaller *caller, const struct stat *st)
{
	int flags = 0;

	switch (call_of(node, caller, &flags)) {
	case CALL_LOOKS:
	case CALL_STATS:
	case CALL_READLINK:
		return 0;
	case CALL_UNKNOWN:
	case CALL_ON_OPEN:
		flags = O_RDWR | O_CREAT;
		break;
	case CALL_OPENS:
		/* It opens nothing, or fails for another reason. */
		if (!procfs_opens_file(flags))
			return 0;
		break;
	}
	if (flags & O_CREAT && is_guarded(node, caller, st))
		return -EACCES;
	const int wanted = fd_access(flags) | (flags & O_TRUNC ? W_OK : 0);
	g_auto(ObjectAt) at = OBJECT_NOWHERE;
	int r = object_reach(&node->node, &at);
	/* All at once: who may read by a capability and write by the mode may not do both. */
	return r < 0 ? r : object_may(caller, at.fd, wanted);
}
