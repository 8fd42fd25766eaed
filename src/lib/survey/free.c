/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Does anybody hold it? The kernel is asked, which knows more than /proc shows. */

#include "lib/survey/free.h"

#include <errno.h>
#include <segfs/memory.h>
#include <segfs/survey.h>
#include <unistd.h>

#include "lib/memory/ipc.h"
#include "lib/process/lease.h"

int segment_is_free(SegfsIpc *ipc, const SegfsSysv *segment, bool may_attach)
{
	g_autoptr(SegfsMemory) memory = NULL;
	g_auto(SegfsCaller) self = {};

	/* An attach would be no descriptor, of which alone the kernel can be asked. */
	if (!ipc->has_map_files)
		return -ENODATA;
	segfs_caller_self(&self);
	lease_lock();
	int r = may_attach ? segfs_memory_open(ipc, &self, segment, false, &memory)
			   : segfs_memory_look(ipc, segment, &memory);
	if (r == -EBUSY)
		r = -ENODATA; /* it may not be attached */
	else if (r == 0)
		r = segfs_memory_fd(memory) < 0 ? -ENODATA : lease_take(segfs_memory_fd(memory));
	g_clear_pointer(&memory, segfs_memory_unref);
	lease_unlock();
	return r;
}

int segfs_object_is_free(int path_fd)
{
	int fd;

	lease_lock();
	int r = lease_open(path_fd, &fd);
	if (r == 0)
		close(fd);
	lease_unlock();
	return r;
}
