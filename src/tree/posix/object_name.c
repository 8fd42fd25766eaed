/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Names that the kernel may keep for a moment.
 *
 * Whether a name is found depends on who looks for it, so the kernel asks for each name each time,
 * which for a directory of very many costs more than all else. Where everybody may search the
 * directory, by its mode and by its not having an ACL, it does not depend: what a listing has said
 * of a file there the kernel may take as true for LISTED_VALID.
 *
 * Meanwhile others can remove the name in /dev/shm, or rename something over it, or take the right
 * to search the directory away. So who opens or changes what has been listed, without having looked
 * it up, is asked back for: object_still_named(). What is not asked for is a stat, which may be as
 * old as the listing.
 *
 * Of a directory below the kernel keeps no name. Each way into it comes by here, and where not
 * everybody may search it any more it is another directory to the kernel from then on, in which
 * it knows no names: object_hides_kept().
 */

#include <errno.h>
#include <string.h>

#include "lib/os/autofd.h"
#include "tree/posix/object.h"

static bool is_kept(gint64 since)
{
	return since && g_get_monotonic_time() - since < LISTED_USED;
}

bool object_is_everybodys(const ObjectAt *directory)
{
	enum { SEARCH = 0111 };
	struct stat st;

	return fstat(directory->fd, &st) == 0 && (st.st_mode & SEARCH) == SEARCH &&
	       !object_has_acl(directory, ".");
}

bool object_keeps_names(Node *directory)
{
	g_auto(ObjectAt) at = OBJECT_NOWHERE;

	/* Who may enter another namespace is asked for each step. */
	if (ipcns_is_foreign(directory->ns) || object_reach(directory, &at) < 0 ||
	    !object_is_everybodys(&at))
		return false;
	((ObjectNode *)directory)->kept_at = g_get_monotonic_time();
	return true;
}

bool object_hides_kept(ObjectNode *directory)
{
	g_auto(ObjectAt) at = OBJECT_NOWHERE;

	return is_kept(directory->kept_at) &&
	       (object_reach(&directory->node, &at) < 0 || !object_is_everybodys(&at));
}

bool object_list_as(Node *base, Node *directory, const char *name, const struct stat *st)
{
	ObjectNode *node = (ObjectNode *)base;
	Node *before = NULL;

	/* What stands for itself no more once it has gone has to have a handle. */
	if (!S_ISREG(st->st_mode) || node->object.handle_size == 0)
		return false;
	g_mutex_lock(&node->lock);
	const bool is_same = node->listed_in == directory && !strcmp(node->listed_name, name);
	/* One name at a time; another that it has is looked up. */
	const bool may = is_same || !is_kept(node->listed_at);
	if (may && !is_same) {
		before = node->listed_in;
		node->listed_in = node_ref(directory);
		g_free(node->listed_name);
		node->listed_name = g_strdup(name);
	}
	if (may)
		node->listed_at = g_get_monotonic_time();
	g_mutex_unlock(&node->lock);
	if (before)
		node_unref(before);
	return may;
}

static int find_same(ObjectNode *node, Node *directory, const char *name)
{
	g_auto(ObjectAt) at = OBJECT_NOWHERE;
	struct stat st, directory_st;
	SegfsObject found;
	int r = object_reach_directory(directory, &at);

	if (r < 0)
		return r;
	if (!object_is_everybodys(&at))
		return -ESTALE;
	autofd fd = segfs_object_open_at(at.fd, name);
	if (fd < 0)
		return -errno;
	r = segfs_object_read(node->posix, fd, &found, &st);
	if (r == 0 && (found.dev != node->object.dev || found.ino != node->object.ino ||
		       found.handle_size != node->object.handle_size ||
		       memcmp(found.handle, node->object.handle, found.handle_size)))
		r = -ESTALE;
	/* As a lookup would: the directory may be sticky by now. */
	if (r == 0 && fstat(at.fd, &directory_st) == 0)
		object_guard(node, &directory_st, &st);
	return r;
}

int object_still_named(Node *base)
{
	ObjectNode *node = (ObjectNode *)base;

	if (!is_kept(node->listed_at))
		return 0;
	g_mutex_lock(&node->lock);
	g_autoptr(Node) directory = node->listed_in ? node_ref(node->listed_in) : NULL;
	g_autofree char *name = g_strdup(node->listed_name);
	g_mutex_unlock(&node->lock);
	int r = directory ? find_same(node, directory, name) : 0;
	return r == -ENOENT || r == -ESHUTDOWN ? -ESTALE : r;
}
