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
 *
 * Of such a lock the kernel says neither whose it is nor that two wait for each other, since
 * what holds it is no process. Both are found out here: the kernel tells which lock is in the
 * way, and in fdinfo which locks a descriptor has. Who waits is known: each wait passes here.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#include "lib/os/autofd.h"
#include "lib/os/procfs.h"
#include "tree/posix/object.h"

typedef struct {
	gatomicrefcount refs; /* a lock that waits holds one, without the node's lock */
	uint64_t owner;
	pid_t pid; /* of the process, as it asked last */
	Tree *tree;
	uid_t uid; /* on whose count the descriptor is */
	int fd;
	bool has_locked; /* it may have locks */
	const ObjectFile *last_used;
} Owner;

/* A call that waits, or is about to: it lives on the stack of its thread. */
typedef struct {
	ObjectNode *node;
	Owner *owner;
	struct flock wanted;
} Wait;

static GMutex waits_lock; /* protects what follows; taken before a node's */
static GQueue waits = G_QUEUE_INIT;

/* As many steps as the kernel takes, MAX_DEADLK_ITERATIONS in fs/locks.c. */
#define MOST_STEPS 10

static void owner_unref(gpointer data)
{
	Owner *owner = data;

	if (!g_atomic_ref_count_dec(&owner->refs))
		return;
	close(owner->fd);
	tree_give_descriptor(owner->tree, owner->uid);
	g_free(owner);
}

static int owner_get(ObjectFile *file, uint64_t id, pid_t pid, Owner **ret_owner)
{
	ObjectNode *node = (ObjectNode *)file->file.node;
	Tree *tree = node->node.ns->tree;
	FdPath path;
	int r = 0;

	g_mutex_lock(&node->lock);
	if (!node->owners)
		node->owners =
			g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, owner_unref);
	Owner *owner = g_hash_table_lookup(node->owners, &id);
	if (!owner) {
		if (!tree_take_descriptor(tree, file->file.uid)) {
			r = -ENOLCK;
			goto out;
		}
		fd_path(file->fd, path);
		/* Not to wait: not for a lease, with the lock held. */
		int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
		if (fd < 0)
			fd = open(path, (file->file.flags & O_ACCMODE) | O_NONBLOCK | O_CLOEXEC);
		if (fd < 0) {
			r = errno == EMFILE ? -ENOLCK : -errno;
			tree_give_descriptor(tree, file->file.uid);
			goto out;
		}
		owner = g_new(Owner, 1);
		*owner = (Owner){.owner = id, .tree = tree, .uid = file->file.uid, .fd = fd};
		g_atomic_ref_count_init(&owner->refs);
		g_hash_table_insert(node->owners, &owner->owner, owner);
	}
	/* The kernel says whose it is where it takes a lock, and only there. */
	if (pid)
		owner->pid = pid;
	owner->has_locked |= pid != 0;
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

/* Is lock, which is as F_OFD_GETLK has told of it, owner's? proc_pid_fdinfo(5) */
static bool has_lock(const Owner *owner, const struct flock *lock)
{
	g_autoptr(GString) info = g_string_new(NULL);
	char path[64], type[8], end[24];
	long long from;

	if (!owner->has_locked)
		return false;
	g_snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", owner->fd);
	if (procfs_read(AT_FDCWD, path, info) < 0)
		return false;
	g_auto(GStrv) lines = g_strsplit(info->str, "\n", -1);
	for (char **line = lines; *line; line++) {
		if (sscanf(*line, "lock: %*d: OFDLCK %*s %7s %*d %*s %lld %23s", type, &from,
			   end) != 3)
			continue;
		const off_t length =
			strcmp(end, "EOF") ? g_ascii_strtoll(end, NULL, 10) - from + 1 : 0;
		if ((*type == 'W') == (lock->l_type == F_WRLCK) && from == lock->l_start &&
		    length == lock->l_len)
			return true;
	}
	return false;
}

/* The process whose lock that is, 0 if none of this mount's. */
static pid_t holder_of(ObjectNode *node, const struct flock *lock)
{
	GHashTableIter iter;
	gpointer owner;
	pid_t pid = 0;

	g_mutex_lock(&node->lock);
	if (node->owners) {
		g_hash_table_iter_init(&iter, node->owners);
		while (pid == 0 && g_hash_table_iter_next(&iter, NULL, &owner))
			if (has_lock(owner, lock))
				pid = ((Owner *)owner)->pid;
	}
	g_mutex_unlock(&node->lock);
	return pid;
}

/* A wait of somebody who holds what wait is for. Call with waits_lock held. */
static const Wait *wait_behind(const Wait *wait)
{
	struct flock found = wait->wanted;
	const Wait *behind = NULL;

	if (fcntl(wait->owner->fd, F_OFD_GETLK, &found) < 0 || found.l_type == F_UNLCK ||
	    found.l_pid != -1)
		return NULL;
	g_mutex_lock(&wait->node->lock);
	for (GList *at = waits.head; at && !behind; at = at->next) {
		const Wait *other = at->data;
		const Owner *holder = wait->node->owners ? g_hash_table_lookup(wait->node->owners,
									       &other->owner->owner)
							 : NULL;
		if (holder && has_lock(holder, &found))
			behind = other;
	}
	g_mutex_unlock(&wait->node->lock);
	return behind;
}

/* -EDEADLK: who has the lock waits, over others or not, for one of owner's. */
static int wait_begin(Wait *wait)
{
	int r = 0;

	g_mutex_lock(&waits_lock);
	g_queue_push_head(&waits, wait);
	const Wait *at = waits.length > 1 ? wait_behind(wait) : NULL;
	for (int steps = 1; at && steps < MOST_STEPS; steps++) {
		if (at->owner->owner == wait->owner->owner) {
			g_queue_remove(&waits, wait);
			r = -EDEADLK;
			break;
		}
		at = wait_behind(at);
	}
	g_mutex_unlock(&waits_lock);
	return r;
}

static void wait_end(Wait *wait)
{
	g_mutex_lock(&waits_lock);
	g_queue_remove(&waits, wait);
	g_mutex_unlock(&waits_lock);
}

static int lock_waiting(ObjectFile *file, Owner *owner, const struct flock *lock)
{
	Wait wait = {(ObjectNode *)file->file.node, owner, *lock};
	struct flock wanted = *lock;
	int r = wait_begin(&wait);

	if (r < 0)
		return r;
	r = fcntl(owner->fd, F_OFD_SETLKW, &wanted) < 0 ? -errno : 0;
	wait_end(&wait);
	return r;
}

int object_lock(File *base, uint64_t id, int command, struct flock *lock)
{
	ObjectFile *file = (ObjectFile *)base;
	Owner *owner = NULL;
	int r = owner_get(file, id, lock->l_pid, &owner);

	if (r < 0)
		return r;
	lock->l_pid = 0;
	if (command == F_SETLKW) {
		r = lock_waiting(file, owner, lock);
	} else {
		const int of_file = command == F_GETLK ? F_OFD_GETLK : F_OFD_SETLK;
		r = fcntl(owner->fd, of_file, lock) < 0 ? -errno : 0;
	}
	/* Of a lock that a process has in /dev/shm the kernel has told the process. */
	if (r == 0 && command == F_GETLK && lock->l_type != F_UNLCK && lock->l_pid == -1)
		lock->l_pid = holder_of((ObjectNode *)base->node, lock);
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
