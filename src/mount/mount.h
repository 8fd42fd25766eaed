/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#define FUSE_USE_VERSION FUSE_MAKE_VERSION(3, 17)

#include <fuse_lowlevel.h>

#include "mount/passthrough.h"
#include "mount/walk.h"
#include "mount/workers.h"
#include "tree/tree.h"

/* Seconds for which the kernel may keep what does not change; see LISTED_VALID, too. */
#define FIXED_VALID 86400.0

/*
 * The largest read that the kernel may ask for. The bytes go from the memory file to the kernel
 * through a pipe, without a copy; a read that does not fit in the pipe (1 MiB, with its
 * header, see pipe(7), pipe-max-size) would go through a buffer.
 */
#define READ_MAX (512 * 1024)

typedef struct {
	Tree *tree;
	struct fuse_session *session;
	const char *proc_root;
	Passthrough *passthrough; /* NULL: all reads and writes come through the daemon */
	bool want_passthrough;
	/* Says, once, that the kernel has agreed on how it talks to us. */
	void (*started)(const char *way, void *data);
	void *started_data;
	Walks *walks;
	Node *gone; /* whatever is asked of it is ESTALE */
	Workers *workers;
} Mount;

extern const struct fuse_lowlevel_ops mount_ops;

/* The handlers share these. Each handler answers its request exactly once. */
static inline Mount *mount_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

/* A number that the kernel has not been given, or has forgotten, is of a node that is gone. */
static inline Node *node_of(fuse_req_t req, fuse_ino_t ino)
{
	Node *node = node_known(mount_of(req)->tree, ino);

	return node ? node : mount_of(req)->gone;
}

/* A file's handle is its address; the lowest bit says that this open has a passthrough id. */
#define HANDLE_PASSED 1UL

static inline File *file_of(const struct fuse_file_info *fi)
{
	return fi ? (File *)(uintptr_t)(fi->fh & ~HANDLE_PASSED) : NULL;
}

/* The caller: the thread that asks. Its groups and capabilities are read when they are needed. */
void caller_of(fuse_req_t req, SegfsCaller *ret_caller);
/*
 * The same for a request that comes to node by its name. -EACCES: node is in a namespace that the
 * caller may not enter. A directory that is open already, or a working directory inherited from
 * root, is no way around: the kernel, too, would ask at each step.
 */
int caller_at(fuse_req_t req, Node *node, SegfsCaller *ret_caller);
/* The same of one that comes by a name which may be true no more. */
int caller_come(fuse_req_t req, const Node *node, SegfsCaller *ret_caller);
/* -ESTALE: it comes by a name that a listing has told the kernel, and that is true no more. */
int name_at(fuse_req_t req, Node *node);
/* The same where attributes are asked for, which who has it open may do. */
int name_at_stat(fuse_req_t req, Node *node);

/*
 * Answers it by run, which is what verb stands for: at once, or by a worker where it may wait. run
 * can be called twice, when it has failed for the first time without having changed anything.
 */
void answer(fuse_req_t req, NodeVerb verb, WorkerRun run, const Asked *asked);

/*
 * r is 0 or -errno of something done to node. ENOENT, which the kernel would hand on, becomes
 * ESTALE where the node was found by a name: upon that the kernel looks the name up again. It does
 * so once in a system call: where what it has found then is gone, too, the program gets the ENOENT.
 */
void reply_result(fuse_req_t req, const Node *node, int r);
/* The same of what is only asked of a name's node. */
void reply_path_result(fuse_req_t req, const Node *node, int r);
/* The same of something done to a name, or to an open file. */
void reply_name_result(fuse_req_t req, int r);

/* What the thread asks for is done: what it has found need not be kept. */
void walk_over(fuse_req_t req, const Node *node);
/* The thread is about to do something to a name: nothing of what it has found is held. */
void walk_let_go(fuse_req_t req);

/* See walks_tell(). */
bool walk_tell(fuse_req_t req, const Node *node);
/*
 * Has the caller, who has looked for name in directory, come for the second time: told to, as what
 * it had found was gone, or perhaps by the kernel itself, which does so without a word for an
 * open(2) of a name that is being removed? -EAGAIN: only who may wait can tell; see Errand.
 */
int walk_again(fuse_req_t req, const Node *directory, const char *name, bool *ret_again);

/* Attributes and number of node for the kernel; node counts that the kernel knows it once more. */
int entry_of(fuse_req_t req, Node *node, struct fuse_entry_param *ret_entry);

/*
 * found, whose reference it takes, is what a name in directory stands for; again: see
 * walk_again(); let_go: it is held, see NodeOps.
 */
void reply_entry(fuse_req_t req, int r, const Node *directory, Node *found, bool again,
		 WalkLetGo let_go);
void reply_attr(fuse_req_t req, Node *node, int r);
/* size 0: only how long it is. */
void reply_bytes(fuse_req_t req, const Node *node, int r, GBytes *bytes, size_t size);

/* ops_file.c */
void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
	       struct fuse_file_info *fi);
void op_tmpfile(fuse_req_t req, fuse_ino_t parent, mode_t mode, struct fuse_file_info *fi);
void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi);
void op_write(fuse_req_t req, fuse_ino_t ino, const char *bytes, size_t size, off_t offset,
	      struct fuse_file_info *fi);
void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
		  struct fuse_file_info *fi);
void op_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned int command, void *address,
	      struct fuse_file_info *fi, unsigned int flags, const void *in, size_t in_size,
	      size_t out_size);
void op_poll(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
	     struct fuse_pollhandle *handle);
void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence, struct fuse_file_info *fi);

/* ops_directory.c */
void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		struct fuse_file_info *fi);
void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		    struct fuse_file_info *fi);
void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);

/* confine.c: as root, before there are threads and before the caller is anybody's */
void confine_rights(void);
/* Has the daemon this capability, and over the whole host: in the first user namespace? */
bool confine_allows(int capability);
/* The same once it is mounted; then system calls that the daemon does not make are refused. */
void confine_calls(bool wanted, bool in_background);

/* ops_lock.c */
void lock_init(void);
/* Does any thread of the daemon wait for a file lock? */
bool lock_is_waiting(void);
void op_flock(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, int operation);
void op_getlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct flock *lock);
void op_setlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct flock *lock,
	      int sleep);
