/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The files README and limits at the top of the mount. */

#include <inttypes.h>
#include <sys/statvfs.h>

#include "tree/tree.h"

static void readme_write(Space *space, GString *text)
{
	g_string_append(
		text,
		"The shared memory of this host, as files (segfs).\n"
		"\n"
		"sysv/ID       a SysV segment by its id, its bytes; rm removes it (IPC_RMID)\n"
		"key/0x1234    the same by its key; truncate -s, cp and tar -x make one here\n"
		"posix/NAME    a POSIX object, what /dev/shm holds\n"
		"limits        how many there can be, and how many there are\n"
		"\n"
		"links = attaches + 1, so `find sysv -links 1` finds the unattached; size is the\n"
		"segment's, blocks are what is resident; access is what shmat(2) would allow you.\n"
		"Never grows by writing: `cp image sysv/ID` restores, `cat sysv/ID` saves.\n");
}

Node *readme_new(Space *space, const void *data)
{
	return text_new(space, readme_write);
}

static void limits_write(Space *space, GString *text)
{
	SegfsLimits limits;
	struct statvfs shm;

	if (segfs_limits_read(space->ipc, &limits) == 0) {
		g_string_append_printf(text, "shmmax: %" PRIu64 " bytes in one segment\n",
				       limits.shmmax);
		g_string_append_printf(text, "shmmni: %" PRIu64 " segments, %" PRIu64 " used\n",
				       limits.shmmni, limits.segments_used);
		g_string_append_printf(text,
				       "shmall: %" PRIu64 " pages of %" PRIu64
				       " bytes in all segments, %" PRIu64 " used\n",
				       limits.shmall, limits.page_size, limits.pages_used);
	}
	if (fstatvfs(segfs_posix_fd(space->posix), &shm) == 0) {
		g_string_append_printf(text, "posix: %" PRIu64 " bytes, %" PRIu64 " used\n",
				       (uint64_t)shm.f_blocks * shm.f_frsize,
				       (uint64_t)(shm.f_blocks - shm.f_bfree) * shm.f_frsize);
		g_string_append_printf(
			text, "posix-objects: %" PRIu64 " inodes, %" PRIu64 " used\n",
			(uint64_t)shm.f_files, (uint64_t)(shm.f_files - shm.f_ffree));
	}
}

Node *limits_new(Space *space, const void *data)
{
	return text_new(space, limits_write);
}
