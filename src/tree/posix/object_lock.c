/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Locks on POSIX objects, taken in /dev/shm itself, so that those who lock there and those
 * who lock here meet.
 *
 * flock(2) belongs to an open file: every open has a descriptor of its own, which is just
 * right. fcntl(2) locks belong to a process, and all of ours would be one process's: each
 * owner that the kernel names gets a descriptor per object, and locks on it are open file
 * description locks, which conflict with everybody else's. An owner loses its locks when
 * it closes any descriptor of the object (flush), or with the last file it used (release).
 */

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "lib/os/autofd.h"
#include "tree/posix/object.h"

typedef struct {
	gatomicrefcount refs; /* a lock that waits holds one, without the node's lock */
	uint64_t owner;
	int fd;
	const ObjectFile *last_used;
} Owner;

static void owner_unref(gpointer data)
{
	Owner *owner = data;

	if (!g_atomic_ref_count_dec(&owner->refs))
		return;
	close(owner->fd);
	g_free(owner);
}

static int owner_get(ObjectFile *file, uint64_t id, Owner **ret_owner)
{
	ObjectNode *node = (ObjectNode *)file->file.node;
	FdPath path;
	int r = 0;

	g_mutex_lock(&node->lock);
	if (!node->owners)
		node->owners =
			g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, owner_unref);
	Owner *owner = g_hash_table_lookup(node->owners, &id);
	if (!owner) {
		fd_path(file->fd, path);
		/* Not to wait: not for a lease, with the lock held. */
		int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
		if (fd < 0)
			fd = open(path, (file->file.flags & O_ACCMODE) | O_NONBLOCK | O_CLOEXEC);
		if (fd < 0) {
			r = errno == EMFILE ? -ENOLCK : -errno;
			goto out;
		}
		owner = g_new(Owner, 1);
		*owner = (Owner){.owner = id, .fd = fd};
		g_atomic_ref_count_init(&owner->refs);
		g_hash_table_insert(node->owners, &owner->owner, owner);
	}
	owner->last_used = file;
	g_atomic_ref_count_inc(&owner->refs);
	*ret_owner = owner;
out:
	g_mutex_unlock(&node->lock);
	return r;
}

int object_flock(File *file, int operation)
{
	return flock(((ObjectFile *)file)->fd, operation) < 0 ? -errno : 0;
}

int object_lock(File *file, uint64_t id, int command, struct flock *lock)
{
	const int ofd_command = command == F_GETLK   ? F_OFD_GETLK
				: command == F_SETLK ? F_OFD_SETLK
						     : F_OFD_SETLKW;
	Owner *owner = NULL;
	int r = owner_get((ObjectFile *)file, id, &owner);

	if (r < 0)
		return r;
	lock->l_pid = 0;
	r = fcntl(owner->fd, ofd_command, lock) < 0 ? -errno : 0;
	owner_unref(owner);
	return r;
}

void object_unlock_all(File *file, uint64_t id)
{
	ObjectNode *node = (ObjectNode *)file->node;

	g_mutex_lock(&node->lock);
	if (node->owners)
		g_hash_table_remove(node->owners, &id);
	g_mutex_unlock(&node->lock);
}

static gboolean used_last(gpointer key, gpointer value, gpointer data)
{
	return ((const Owner *)value)->last_used == data;
}

void object_unlock_file(ObjectFile *file)
{
	ObjectNode *node = (ObjectNode *)file->file.node;

	g_mutex_lock(&node->lock);
	if (node->owners)
		g_hash_table_foreach_remove(node->owners, used_last, file);
	g_mutex_unlock(&node->lock);
}
