/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Listings of /dev/shm and its subdirectories: names at once, attributes as they are asked for. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "lib/os/autofd.h"
#include "tree/posix/object.h"

/* What a listing looks with. */
typedef struct {
	int fd;        /* of the directory */
	bool may_look; /* the caller may see more than names */
} Opened;

static void opened_free(gpointer data)
{
	Opened *opened = data;

	autofd_close(&opened->fd);
	g_free(opened);
}

static int look(const Listing *listing, const ListingEntry *entry, Node **ret_node,
		struct stat *ret_stat)
{
	const Opened *opened = listing->data;

	if (!opened->may_look)
		return -EACCES;
	autofd fd = segfs_object_open_at(opened->fd, entry->name);
	if (fd < 0)
		return -errno;
	return object_node((ObjectNode *)listing->directory, opened->fd, NULL, entry->name, fd,
			   ret_node, ret_stat);
}

static int names_read(int fd, Listing *listing)
{
	const dev_t plain = listing->directory->ns->tree->plain;
	struct dirent *found;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	DIR *dir = fd_directory(fcntl(fd, F_DUPFD_CLOEXEC, 0));
	if (!dir)
		return -errno;
	errno = 0;
	while ((found = readdir(dir))) {
		const SegfsId id = {SEGFS_POSIX, st.st_dev, found->d_ino};
		if (strcmp(found->d_name, ".") != 0 && strcmp(found->d_name, "..") != 0)
			listing_add(listing, found->d_name, segfs_mount_ino(&id, plain),
				    DTTOIF(found->d_type), NULL);
	}
	const int error = errno;
	closedir(dir);
	return -error;
}

int object_list(Node *base, const SegfsCaller *caller, Listing **ret_listing)
{
	Opened *opened = g_new(Opened, 1);
	g_autoptr(Listing) listing = listing_new(base, look, opened, opened_free);
	FdPath path;

	opened->fd = -1;
	int r = object_reopen(base, caller, O_RDONLY | O_DIRECTORY, &opened->fd);
	if (r < 0)
		return r;
	fd_path(opened->fd, path);
	opened->may_look = SEGFS_AS(caller, faccessat(AT_FDCWD, path, X_OK, AT_EACCESS)) == 0;
	r = names_read(opened->fd, listing);
	if (r == 0)
		*ret_listing = g_steal_pointer(&listing);
	return r;
}
