/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <segfs/resource.h>

#include "lib/record/table.h"
#include "tree/tree.h"

/* What the directories of judged memory (orphans/, unlinked/, info/) have in common. */

/* A listing of items, which it takes; name() names one, and an entry's what is the item. */
Listing *item_listing_new(Node *directory, ListingLook look, char *(*name)(const SegfsItem *item),
			  GPtrArray *items);
/* The same in a listing that has others besides, and that has them until it is freed. */
void item_listing_add(Listing *listing, char *(*name)(const SegfsItem *item),
		      const GPtrArray *items);

/* What stat shows of an item that is no SysV segment, as it was when it was judged. */
void item_stat(const IpcNs *ns, const SegfsItem *item, struct stat *ret_stat);

/* The item that orphans/ calls name, whatever the verdict. -ENOENT: there is none. */
int item_find_orphan(IpcNs *ns, const char *name, SegfsItem **ret_item);
/* The item that unlinked/ calls name. since: see segfs_scanner_scan(). */
int item_find_unlinked(IpcNs *ns, const char *name, SegfsSince since, SegfsItem **ret_item);
char *item_unlinked_name(const SegfsItem *item);

/*
 * The extended attributes user.segfs.verdict and user.segfs.holders, which take a scan: is
 * name one of them? Then the value, as that caller may know it.
 */
bool item_has_xattr(const char *name);
GBytes *item_xattr(IpcNs *ns, const SegfsCaller *caller, const SegfsItem *item, const char *name);
/* Adds both names to names, as listxattr(2) has them. */
void item_list_xattr(GString *names);

/* namespace_info.c */
Node *namespace_info_new(IpcNs *ns, const void *data);

/* info_text.c: all that is known of item, as text. */
void info_write(IpcNs *ns, const SegfsCaller *caller, const SegfsItem *item, GString *text);
/* The same of what is gone. */
void info_write_gone(IpcNs *ns, const SegfsCaller *caller, const Gone *gone, GString *text);
/* The same of a semaphore set or message queue. -EACCES, -ENOENT: as segfs_sem_read(). */
/* The lines CreatorStack, where the caller may know them. */
void info_write_stack(IpcNs *ns, const SegfsCaller *caller, const SegfsPast *past, GString *text);

int info_write_resource(IpcNs *ns, const SegfsCaller *caller, const SegfsResource *resource,
			GString *text);

/* What a directory of info/ describes. index: which of those that the kind has more of. */
typedef struct {
	/* The names of its files, to be freed. */
	int (*names)(IpcNs *ns, guint index, const SegfsCaller *caller, GPtrArray **ret_names);
	/* Is there a file of this name? */
	int (*exists)(IpcNs *ns, guint index, const SegfsCaller *caller, const char *name);
	/* The item that it describes; NULL: it is none, and write() does. */
	int (*find)(IpcNs *ns, guint index, const SegfsCaller *caller, const char *name,
		    SegfsItem **ret_item);
	int (*write)(IpcNs *ns, guint index, const SegfsCaller *caller, const char *name,
		     GString *text);
} InfoKind;
