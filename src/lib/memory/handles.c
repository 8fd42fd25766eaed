/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A segment's memory lies on the kernel's own tmpfs, and so does every memfd: any memfd serves
 * open_by_handle_at(2) as the mount to open on.
 *
 * An id can be given again while the memory that it stood for lives on, and a handle would still
 * open the old memory. What tells the two segments apart is ctime, in whole seconds: so a handle
 * is kept with the segment as it was, and only once its ctime is so old that no later segment
 * can have the same. IPC_SET changes ctime, and the handle is learnt anew.
 */

#include "lib/memory/handles.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "lib/memory/shm.h"

/* tmpfs has handles of this size (shmem_encode_fh() in mm/shmem.c); others are not kept. */
#define HANDLE_SIZE 12

/* Seconds; the clock that stamps ctime may be read up to a tick late. */
#define OLD_ENOUGH 2

/* So many are kept before those of segments that are gone are looked for. */
#define HANDLES_KEPT 256

typedef struct {
	SegfsSysv segment;
	int type;
	unsigned char bytes[HANDLE_SIZE];
} Known;

bool handle_read(int fd, MemoryHandle *ret_handle)
{
	int mount_id;

	ret_handle->header.handle_bytes = sizeof(ret_handle->bytes);
	if (name_to_handle_at(fd, "", &ret_handle->header, &mount_id, AT_EMPTY_PATH) == 0)
		return true;
	ret_handle->header.handle_bytes = 0;
	return false;
}

/* A file on the kernel's own tmpfs, kept open for good; -1: it could not be made. */
static int tmpfs_fd(void)
{
	static GMutex lock; /* held while it is made */
	static int fd = -1;

	g_mutex_lock(&lock);
	if (fd < 0)
		fd = memfd_create("segfs", MFD_CLOEXEC);
	const int found = fd;
	g_mutex_unlock(&lock);
	return found;
}

static bool recall(SegfsIpc *ipc, const SegfsSysv *segment, MemoryHandle *ret_handle)
{
	g_mutex_lock(&ipc->handles_lock);
	const Known *known = g_hash_table_lookup(ipc->handles, &segment->shmid);
	const bool fits = known && segfs_sysv_same(&known->segment, segment) &&
			  known->segment.ctime == segment->ctime;
	if (fits) {
		ret_handle->header.handle_bytes = sizeof(known->bytes);
		ret_handle->header.handle_type = known->type;
		memcpy(ret_handle->bytes, known->bytes, sizeof(known->bytes));
	}
	g_mutex_unlock(&ipc->handles_lock);
	return fits;
}

int handle_open(SegfsIpc *ipc, const SegfsSysv *segment, MemoryHandle *ret_handle, int *ret_fd)
{
	/* open_by_handle_at(2) takes CAP_DAC_READ_SEARCH: where that is missing no handle serves.
	 */
	if (!ipc->has_map_files || !recall(ipc, segment, ret_handle))
		return -ENOENT;
	const int fd = open_by_handle_at(tmpfs_fd(), &ret_handle->header, O_RDWR | O_CLOEXEC);
	if (fd < 0 && errno != ESTALE && errno != EPERM)
		return -errno;
	if (fd < 0) {
		g_mutex_lock(&ipc->handles_lock);
		g_hash_table_remove(ipc->handles, &segment->shmid);
		g_mutex_unlock(&ipc->handles_lock);
		return -ENOENT;
	}
	*ret_fd = fd;
	return 0;
}

static gboolean is_gone(gpointer key, gpointer value, gpointer data)
{
	SegfsSysv now;

	return shm_stat(((const Known *)value)->segment.shmid, &now) < 0;
}

void handle_remember(SegfsIpc *ipc, const SegfsSysv *segment, const MemoryHandle *handle)
{
	if (handle->header.handle_bytes != HANDLE_SIZE || time(NULL) - segment->ctime < OLD_ENOUGH)
		return;
	Known *known = g_new0(Known, 1);
	known->segment = *segment;
	known->type = handle->header.handle_type;
	memcpy(known->bytes, handle->bytes, sizeof(known->bytes));
	g_mutex_lock(&ipc->handles_lock);
	if (g_hash_table_size(ipc->handles) >= ipc->handles_most) {
		g_hash_table_foreach_remove(ipc->handles, is_gone, NULL);
		ipc->handles_most = 2 * g_hash_table_size(ipc->handles) + HANDLES_KEPT;
	}
	g_hash_table_replace(ipc->handles, &known->segment.shmid, known);
	g_mutex_unlock(&ipc->handles_lock);
}
