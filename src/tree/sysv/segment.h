/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "tree/tree.h"

/*
 * A SysV segment as a file: the node that sysv/ and key/ share. While it is open somewhere
 * it keeps the segment's memory, and what is reported of it once the id is gone.
 */
typedef struct Pending Pending;

/* Memory that a caller has opened ahead, see segment_pin(). */
typedef struct {
	pid_t tid; /* the calling thread, with whose rights it was opened */
	uid_t uid;
	gid_t gid;
	bool write;
	SegfsMemory *memory; /* a reference; NULL: it was refused, */
	int error;           /* with this */
} SegmentPin;

typedef struct {
	Node node;
	int shmid;       /* -1: it was pending and never made */
	bool was_opened; /* protected by lock */
	/* Monotonic, 0: never. Last listed in sysv/ or key/, by a name that the kernel may keep. */
	_Atomic gint64 listed_at;
	guint n_open;        /* files; protected by lock, as is what follows */
	GMutex lock;         /* not held while another node's is */
	SegfsMemory *memory; /* of its files; NULL: not open, or pending */
	SegfsSysv *last;     /* what it was when it was last seen, while open */
	Pending *pending;    /* not NULL: no segment yet, see pending.h */
	guint n_users;       /* of memory: files and pins */
	GArray *pins;        /* SegmentPin; NULL: none */
} SegmentNode;

typedef struct {
	File file;
	SegfsMemory *memory; /* NULL: it came with create, the node has it */
	bool counted;        /* in the node's n_open */
} SegmentFile;

/*
 * The node of a segment that stat has found. Where the node that lookups found so far is
 * open and stands for an earlier segment with this id, that one is detached.
 */
Node *segment_node(IpcNs *ns, const SegfsSysv *segment);

/* A new node with a pending segment, which it takes, and its first file. */
void segment_node_new_pending(IpcNs *ns, Pending *pending, int flags, Node **ret_node,
			      File **ret_file);

/* One more file of a pending segment. Call with the lock held. */
File *segment_file_new_pending(SegmentNode *node, int flags);

/* The pending segment of node, which goes, has been made: shmid, with this memory. Call with the
 * lock held. */
void segment_node_made(SegmentNode *node, const SegfsSysv *segment, SegfsMemory *memory);

/* As struct stat shows a segment (doc/contract.md). */
void segment_as_stat(const IpcNs *ns, const SegfsSysv *segment, struct stat *ret_stat);
ino_t segment_ino(const IpcNs *ns, const SegfsSysv *segment);

/* How the segment has been opened through this mount. */
SegfsOpened segment_opened(IpcNs *ns, int shmid);

/* What statfs(2) says in sysv/ and key/: blocks are pages of shmall, files are shmmni. */
int segment_statfs(Node *node, struct statvfs *ret_stat);

/* segment_xattr.c */
int segment_get_xattr(Node *node, const SegfsCaller *caller, const char *name, GBytes **ret_value);
int segment_list_xattr(Node *node, const SegfsCaller *caller, GBytes **ret_names);
int segment_set_xattr(Node *node, const SegfsCaller *caller, const char *name, const void *bytes,
		      size_t size, int flags);

/*
 * Has it huge pages? The kernel tells only who may open the memory, which is asked as caller and
 * may have to be attached. NULL: nothing is attached. False where that is not known.
 */
bool segment_is_huge(IpcNs *ns, const SegfsCaller *caller, const SegfsSysv *segment,
		     bool *ret_huge);

/*
 * What the node stands for at this moment. -ENOENT where it is gone; but where the node is
 * open, segment_now() tells what it last was, and segment_alive(), which is for those who
 * are about to change it by its id, answers -EIDRM. -EBUSY: it is pending.
 */
int segment_now(SegmentNode *node, SegfsSysv *ret_segment);
int segment_alive(SegmentNode *node, SegfsSysv *ret_segment);

/* segment_file.c */
/*
 * The caller's next open of the node succeeds, also where the segment is removed before: its memory
 * is opened now, with the rights that the caller has, until it is let go. Where the caller has
 * none, the open will be refused as it would be now. -ENOENT, -ESTALE: it is gone.
 */
int segment_pin(SegmentNode *node, const SegfsCaller *caller, const SegfsSysv *segment);
void segment_let_go(Node *node, pid_t tid);
int segment_open(Node *node, const SegfsCaller *caller, int flags, File **ret_file);
void segment_written(Node *node, off_t end, size_t size);
extern const FileOps segment_file_ops;

extern const NodeOps segment_ops;

/* directories.c: the segment that has the key which name spells, in hex after 0x or in decimal. */
int segment_find_by_key(IpcNs *ns, const char *name, SegfsSysv *ret_segment);
