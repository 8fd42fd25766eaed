/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <segfs/resource.h>

#include "tree/item.h"

/* A semaphore set or a message queue as a file of text: what sem/ and msg/ have. */
typedef struct {
	TextNode text;
	SegfsResource is; /* what it stands for, as it was when it was found */
} ResourceNode;

/* The node of one that was found just now. */
Node *resource_node(IpcNs *ns, const SegfsResource *resource);
ino_t resource_ino(const IpcNs *ns, const SegfsResource *resource);
void resource_stat(Node *node, const SegfsResource *resource, struct stat *ret_stat);

/* The one that a name of sem/ or msg/ leads to: an id, or a key in hex after 0x. */
int resource_find(IpcNs *ns, SegfsResourceKind kind, const char *name, SegfsResource *ret_resource);

/* Of each (SegfsResource) who uses it, as history has it, too: segfs_resource_uses(). */
int resource_uses(IpcNs *ns, const SegfsCaller *caller, const GArray *resources, GArray **ret_uses);

/* Those that are orphaned, SegfsResource. */
int resource_orphans(IpcNs *ns, GArray **ret_orphans);
/* What orphans/ calls one: sem-ID, msg-ID; and whether a name is so, whatever stands for ID. */
char *resource_orphan_name(const SegfsResource *resource);
bool resource_is_orphan_name(const char *name);
/* That which orphans/ calls so. -ENOENT: it is none. */
int resource_find_orphan(IpcNs *ns, const char *name, SegfsResource *ret_resource);

/* resource_text.c: what reading the node gives. */
int resource_write(IpcNs *ns, const SegfsCaller *caller, const SegfsResource *resource,
		   GString *text);

/* resource_xattr.c: the value of an attribute, -ENODATA; and the names of all, as listxattr(2). */
int resource_xattr(const SegfsResource *resource, const char *name, GBytes **ret_value);
GBytes *resource_xattr_names(SegfsResourceKind kind);

/* resource_info.c: info/sem/ and info/msg/, of which index is a SegfsResourceKind. */
extern const InfoKind resource_info;
