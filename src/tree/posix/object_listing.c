/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Listings of /dev/shm and its subdirectories, read as they are asked for. A position is the one
 * that the kernel gives, and there the directory's own descriptor is set only where somebody goes
 * back or ahead: before Linux 6.6 a position is a number of names, and who removes what was listed
 * and goes on there would miss some.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "lib/os/autofd.h"
#include "tree/posix/object.h"

/* What one call of getdents64(2) may answer, while a directory is being read. */
#define BUFFER 4096

/* What a listing reads and looks with. */
typedef struct {
	Node *held;    /* the directory, as long as it is listed: fstat(2) asks for it; or NULL */
	int fd;        /* of it */
	dev_t dev;     /* its file system, */
	int mount_id;  /* and that's mount, see segfs_object_mount() */
	bool may_look; /* the caller may see more than names */

	/* What follows the listing's lock protects. */
	char *buffer;           /* NULL: it is not being read */
	long filled, at, last;  /* up to there; the next entry in it, and the one before */
	off_t position, before; /* of those two */
	struct stat stat;       /* of the directory, as it was at stat_at: monotonic */
	gint64 stat_at;
	ListingEntry entry;
} Opened;

static void opened_free(gpointer data)
{
	Opened *opened = data;

	if (opened->held)
		object_let_go(opened->held, 0);
	autofd_close(&opened->fd);
	g_free(opened->buffer);
	g_free(opened);
}

/* Goes there; mostly it is there already, or was just before. */
static int go_to(Opened *opened, off_t at)
{
	if (opened->buffer && at == opened->position)
		return 0;
	if (opened->buffer && at == opened->before && opened->last < opened->at) {
		opened->at = opened->last;
		return 0;
	}
	if (lseek(opened->fd, at, SEEK_SET) < 0)
		return -errno;
	opened->at = opened->last = opened->filled = 0;
	return 0;
}

/* One entry, "." and ".." included; see listing_next(). */
static int read_one(Opened *opened, off_t at, const struct dirent64 **ret_found)
{
	int r = go_to(opened, at);

	if (r < 0)
		return r;
	if (!opened->buffer)
		opened->buffer = g_malloc(BUFFER);
	if (opened->at == opened->filled) {
		const ssize_t n = getdents64(opened->fd, opened->buffer, BUFFER);
		opened->at = opened->last = opened->filled = 0;
		if (n <= 0) {
			r = n < 0 ? -errno : 0;
			g_clear_pointer(&opened->buffer, g_free);
			return r;
		}
		opened->filled = n;
	}
	const struct dirent64 *found = (const struct dirent64 *)(opened->buffer + opened->at);
	opened->before = at;
	opened->last = opened->at;
	opened->at += found->d_reclen;
	opened->position = found->d_off;
	*ret_found = found;
	return 1;
}

static int next(Listing *listing, off_t at, const ListingEntry **ret_entry, off_t *ret_next)
{
	Opened *opened = listing->data;
	const struct dirent64 *found = NULL;
	int r;

	while ((r = read_one(opened, at, &found)) > 0) {
		*ret_next = at = found->d_off;
		if (!strcmp(found->d_name, ".") || !strcmp(found->d_name, ".."))
			continue;
		const SegfsId id = {SEGFS_POSIX, opened->dev, found->d_ino};
		opened->entry = (ListingEntry){
			.name = found->d_name,
			.ino = segfs_mount_ino(&id, listing->directory->ns->tree->plain),
			.type = DTTOIF(found->d_type),
		};
		*ret_entry = &opened->entry;
		return 1;
	}
	return r;
}

/* Of now, for one answer's entries at least. */
static const struct stat *directory_stat(Opened *opened)
{
	enum { NOW = 10 * G_TIME_SPAN_MILLISECOND };
	const gint64 now = g_get_monotonic_time();

	if (opened->stat_at && now - opened->stat_at < NOW)
		return &opened->stat;
	opened->stat_at = fstat(opened->fd, &opened->stat) < 0 ? 0 : now;
	return opened->stat_at ? &opened->stat : NULL;
}

static int look(const Listing *listing, const ListingEntry *entry, Node **ret_node,
		struct stat *ret_stat)
{
	ObjectNode *directory = (ObjectNode *)listing->directory;
	ObjectFound found = {.name = entry->name};
	Opened *opened = listing->data;

	if (!opened->may_look)
		return -EACCES;
	const struct stat *st = directory_stat(opened);
	int r = st ? segfs_object_read_at(directory->posix, opened->fd, opened->mount_id,
					  entry->name, &found.object, &found.stat)
		   : -EXDEV;
	found.directory = st;
	if (r != -EXDEV)
		return r < 0 ? r : object_node_of(directory, NULL, &found, -1, ret_node, ret_stat);
	autofd fd = segfs_object_open_at(opened->fd, entry->name);
	if (fd < 0)
		return -errno;
	return object_node(directory, opened->fd, NULL, entry->name, fd, ret_node, ret_stat);
}

int object_list(Node *base, const SegfsCaller *caller, Listing **ret_listing)
{
	Opened *opened = g_new0(Opened, 1);
	g_autoptr(Listing) listing = listing_new(base, look, opened, opened_free);
	ObjectNode *node = (ObjectNode *)base;
	struct stat st;

	*opened = (Opened){.fd = -1};
	int r = object_reopen(base, caller, O_RDONLY | O_DIRECTORY, &opened->fd);
	/* One that was removed is empty, for those whose working directory it is. */
	if (r == -ESTALE && node->object.handle_size && !ipcns_is_foreign(base->ns)) {
		*ret_listing = g_steal_pointer(&listing);
		return 0;
	}
	if (r < 0)
		return r;
	if (fstat(opened->fd, &st) < 0)
		return -errno;
	opened->dev = st.st_dev;
	opened->mount_id = segfs_object_mount(opened->fd);
	opened->held = base;
	object_hold(node, fcntl(opened->fd, F_DUPFD_CLOEXEC, 0));
	opened->may_look = object_may(caller, opened->fd, X_OK) == 0;
	object_acl_listing(node);
	listing->next = next;
	listing->held += BUFFER;
	*ret_listing = g_steal_pointer(&listing);
	return 0;
}
