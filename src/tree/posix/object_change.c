/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Names of /dev/shm that are linked, removed and renamed.
 *
 * Most who do so may by their user, their group or what everybody may, which the request says. So
 * it is done with these at first: to read the caller's other groups and capabilities takes longer
 * than all else. What that refuses is asked once more with all rights. A group can also take rights
 * away; where one could, segfs_caller_admit() refuses the first try.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/history/history.h"
#include "lib/os/errand.h"
#include "tree/posix/object.h"

/* A change of names that has no effect where it is refused. */
typedef struct {
	ObjectAt *from, *to; /* directories; from: of a link, what is linked */
	const char *name, *to_name;
	unsigned int flags;
	SegfsHistory *history; /* NULL: it is of a directory, or there is none */
	DeedVerb verb;
	dev_t dev; /* of the directories */
} NameChange;

typedef int (*ChangeNames)(const NameChange *change);

static int link_there(const NameChange *change)
{
	return linkat(AT_FDCWD, change->from->path, change->to->fd, change->to_name,
		      AT_SYMLINK_FOLLOW);
}

static int remove_there(const NameChange *change)
{
	return unlinkat(change->to->fd, change->to_name, (int)change->flags);
}

static int rename_there(const NameChange *change)
{
	return renameat2(change->from->fd, change->name, change->to->fd, change->to_name,
			 change->flags);
}

static long try_change(const SegfsCaller *caller, ChangeNames do_it, const NameChange *change,
		       int mask_from)
{
	int r = segfs_caller_admit(caller, change->to->fd, W_OK | X_OK);

	if (r == 0 && mask_from)
		r = segfs_caller_admit(caller, change->from->fd, mask_from);
	return r < 0 ? r : SEGFS_AS(caller, do_it(change));
}

static Deed *begin(const SegfsCaller *caller, const NameChange *change, const char *name)
{
	return history_begin(change->history, caller, change->verb, change->dev, name);
}

/* mask_from: what rights to from can matter. At first without a look at the caller's groups. */
static int change_names(const SegfsCaller *caller, ChangeNames do_it, const NameChange *change,
			int mask_from)
{
	Deed *deed = begin(caller, change, change->to_name), *other = NULL;

	if (change->verb == DEED_RENAME && change->flags & RENAME_EXCHANGE)
		other = begin(caller, change, change->name);
	const int r = (int)SEGFS_BARE_FIRST(caller, as, try_change(as, do_it, change, mask_from));
	history_end(change->history, deed, r);
	history_end(change->history, other, r);
	return r;
}

static dev_t dev_of(const Node *directory)
{
	return ((const ObjectNode *)directory)->object.dev;
}

int object_link(Node *base, const SegfsCaller *caller, const char *name, Node *target)
{
	g_auto(ObjectAt) at = OBJECT_NOWHERE, of = OBJECT_NOWHERE;

	if (target->ops != &object_ops)
		return -EXDEV;
	int r = object_reach_directory(base, &at);
	if (r == 0)
		r = object_reach(target, &of);
	if (r == 0)
		r = errand_await_lock(at.path);
	if (r == 0)
		r = errand_await_lock(of.path);
	/* fs.protected_hardlinks: who may not read and write it may not link it. */
	return r < 0 ? r
		     : change_names(caller, link_there,
				    &(NameChange){.from = &of,
						  .to = &at,
						  .to_name = name,
						  .history = base->ns->tree->history,
						  .verb = DEED_CREATE,
						  .dev = dev_of(base)},
				    R_OK | W_OK);
}

int object_remove(Node *base, const SegfsCaller *caller, const char *name, bool is_directory)
{
	g_auto(ObjectAt) at = OBJECT_NOWHERE;
	const unsigned int flags = is_directory ? AT_REMOVEDIR : 0;
	int r = object_reach_directory(base, &at);

	if (r == 0)
		r = object_await_name(&at, name);
	return r < 0 ? r
		     : change_names(caller, remove_there,
				    &(NameChange){.to = &at,
						  .to_name = name,
						  .flags = flags,
						  .history = is_directory ? NULL
									  : base->ns->tree->history,
						  .verb = DEED_REMOVE,
						  .dev = dev_of(base)},
				    0);
}

int object_rename(Node *base, const SegfsCaller *caller, const char *name, Node *to_base,
		  const char *to_name, unsigned int flags)
{
	g_auto(ObjectAt) at = OBJECT_NOWHERE, to = OBJECT_NOWHERE;
	int r = object_reach_directory(base, &at);

	if (r == 0)
		r = object_reach_directory(to_base, &to);
	if (r == 0)
		r = object_await_name(&at, name);
	if (r == 0)
		r = object_await_name(&to, to_name);
	return r < 0 ? r
		     : change_names(caller, rename_there,
				    &(NameChange){&at, &to, name, to_name, flags,
						  base->ns->tree->history, DEED_RENAME,
						  dev_of(to_base)},
				    W_OK | X_OK);
}
