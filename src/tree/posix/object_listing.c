/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Listings of /dev/shm and its subdirectories: names at once, attributes as they are asked for. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "lib/os/autofd.h"
#include "tree/posix/object.h"

typedef struct {
	char *name; /* in names */
	ino_t ino;
	mode_t type;
} ObjectEntry;

typedef struct {
	Listing listing;
	GStringChunk *names;
	GArray *entries; /* ObjectEntry */
	int fd;          /* of the directory */
	bool may_look;   /* the caller may see more than names */
} ObjectListing;

static void listing_entry(Listing *base, guint index, ListingEntry *ret_entry)
{
	const ObjectEntry *entry =
		&g_array_index(((ObjectListing *)base)->entries, ObjectEntry, index);

	g_strlcpy(ret_entry->name, entry->name, sizeof(ret_entry->name));
	ret_entry->ino = entry->ino;
	ret_entry->type = entry->type;
}

static int listing_look(Listing *base, guint index, Node **ret_node, struct stat *ret_stat)
{
	ObjectListing *listing = (ObjectListing *)base;
	const ObjectEntry *entry = &g_array_index(listing->entries, ObjectEntry, index);

	if (!listing->may_look)
		return -EACCES;
	autofd fd = segfs_object_open_at(listing->fd, entry->name);
	if (fd < 0)
		return -errno;
	return object_node((ObjectNode *)base->directory, NULL, entry->name, fd, ret_node,
			   ret_stat);
}

static void listing_close(Listing *base)
{
	ObjectListing *listing = (ObjectListing *)base;

	g_string_chunk_free(listing->names);
	g_array_unref(listing->entries);
	if (listing->fd >= 0)
		close(listing->fd);
}

static const ListingOps listing_ops = {
	.entry = listing_entry,
	.look = listing_look,
	.free = listing_close,
};

static int names_read(ObjectListing *listing)
{
	DIR *dir = fdopendir(fcntl(listing->fd, F_DUPFD_CLOEXEC, 0));
	struct dirent *found;

	if (!dir)
		return -errno;
	errno = 0;
	while ((found = readdir(dir))) {
		if (!strcmp(found->d_name, ".") || !strcmp(found->d_name, ".."))
			continue;
		ObjectEntry entry = {
			.name = g_string_chunk_insert(listing->names, found->d_name),
			.ino = found->d_ino,
			.type = DTTOIF(found->d_type),
		};
		g_array_append_val(listing->entries, entry);
	}
	const int error = errno;
	closedir(dir);
	return -error;
}

int object_list(Node *base, const SegfsCaller *caller, Listing **ret_listing)
{
	g_autoptr(Listing) made = listing_new(base, &listing_ops, sizeof(ObjectListing));
	ObjectListing *listing = (ObjectListing *)made;
	FdPath path;

	listing->names = g_string_chunk_new(4096);
	listing->entries = g_array_new(FALSE, FALSE, sizeof(ObjectEntry));
	listing->fd = -1;
	int r = object_reopen(base, caller, O_RDONLY | O_DIRECTORY, &listing->fd);
	if (r < 0)
		return r;
	fd_path(listing->fd, path);
	listing->may_look = SEGFS_AS(caller, faccessat(AT_FDCWD, path, X_OK, AT_EACCESS)) == 0;
	r = names_read(listing);
	if (r < 0)
		return r;
	listing->listing.n_entries = listing->entries->len;
	*ret_listing = g_steal_pointer(&made);
	return 0;
}
