/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "hold.h"
#include "tree/tree.h"

/*
 * A tree without a mount: over the IPC namespace of the test, a directory of POSIX objects of its
 * own, and the calling process as the caller. What is orphaned is so at once (orphan_age 0).
 */
typedef struct {
	char *shm;
	Tree *tree;
	SegfsCaller self;
} World;

void world_start(World *ret_world);
void world_start_with(World *ret_world, TreeOptions options); /* shm_dir is the world's */
void world_clear(World *world);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(World, world_clear)

/* Somebody else, whom only root may act for, and nobody who may do more than everybody. */
extern const SegfsCaller stranger;

/* A lookup of path, step by step as caller. Of what was found the last step's node is left. */
int world_lookup(World *world, const SegfsCaller *caller, const char *path, Node **ret_node);
/* The same as ourselves, and it is there. */
Node *world_node(World *world, const char *path);
G_GNUC_PRINTF(2, 3)
Node *world_node_of(World *world, const char *format, ...);
/* It is not there: -ENOENT. */
void assert_missing(World *world, const char *path);

struct stat node_stat(Node *node);
/* What setattr answers to a change of this alone. */
int node_truncate(Node *node, const SegfsCaller *caller, File *file, uint64_t size);
int node_chmod(Node *node, const SegfsCaller *caller, mode_t mode);
int node_chown(Node *node, const SegfsCaller *caller, uid_t uid, gid_t gid);

File *node_open(Node *node, const SegfsCaller *caller, int flags);
/* It is refused with this error, a negative number. */
void assert_open(Node *node, const SegfsCaller *caller, int flags, int error);
/* What a read answers, as text: as long as the answer is. */
char *file_bytes(File *file, size_t size, off_t offset);
ssize_t file_write(File *file, const SegfsCaller *caller, const char *text, off_t offset);
/* The whole of a file of text. */
char *node_text(Node *node, const SegfsCaller *caller);
char *world_text(World *world, const char *path);
/* What stands behind "Key:\t" in such a text; NULL: it has no such line. To be freed. */
char *text_value(const char *text, const char *key);

/*
 * The names of a directory, in order, in one string with a blank behind each. What a listing says
 * of each is held against what a lookup of it and its stat say, where both find it.
 */
char *world_list(World *world, const SegfsCaller *caller, const char *path);
/* Its first entry but "." and ".."; there is one. */
const ListingEntry *listing_first(Listing *listing);
void assert_listed(World *world, const char *path, const char *name, bool is_listed);

/* The value of an extended attribute as text; NULL and *ret_error where it is refused. */
char *node_xattr(Node *node, const SegfsCaller *caller, const char *name, int *ret_error);
void assert_xattr(Node *node, const SegfsCaller *caller, const char *name, const char *value);
/* Is name in what listxattr(2) would say? */
bool node_has_xattr(Node *node, const SegfsCaller *caller, const char *name);
