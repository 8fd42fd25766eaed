/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lib/os/fd.h"
#include "tree/tree.h"

/*
 * What /dev/shm holds: files, directories, symlinks and the rest, each a node.
 *
 * A node is opened again by its file handle. Where there are none (a plain user's mount, or
 * another file system mounted inside) it is found by its name in its parent. While it is held it is
 * reached by a descriptor: as long as it is open where a handle does not do, since its name may go;
 * for the short time from a lookup to what the lookup was for; by a listing; and where it is a
 * directory, as long as the kernel knows it, since it may be removed, and be somebody's
 * working directory.
 */
typedef struct {
	Node node;
	const SegfsPosix *posix; /* the directory in which it is; the ns keeps it */
	SegfsObject object;
	_Atomic guint guards; /* see object_guard.c */
	/* Monotonic, 0: never. Last listed as a name that the kernel may keep; as a directory, had
	 * such names. */
	_Atomic gint64 listed_at, kept_at;
	_Atomic guint
		acl_asked; /* as a directory, see object_acl.c: of files since it was listed, */
	_Atomic bool acl_may_look,
		acl_looks; /* nobody has looked at all since; somebody is at it */

	GMutex lock; /* protects what follows */
	Node *parent;
	char *name;        /* in parent; NULL: there is a handle, or it is the directory itself */
	Node *listed_in;   /* a reference; NULL: nowhere. See object_name.c */
	char *listed_name; /* there */
	guint n_open;      /* files */
	guint n_held;      /* see object_hold() */
	int held_fd;       /* O_PATH, while n_held; or -1 */
	_Atomic bool is_kept; /* a directory that is held as long as there is the node */
	GHashTable *owners;   /* of fcntl(2) locks, see object_lock.c */
} ObjectNode;

/* An object as system calls reach it: an O_PATH descriptor, and its name in /proc/self/fd. */
typedef struct {
	int fd;
	FdPath path;
} ObjectAt;

#define OBJECT_NOWHERE                                                                             \
	{                                                                                          \
		.fd = -1                                                                           \
	}
/* -ESTALE: it is not there any more. */
int object_reach(Node *node, ObjectAt *ret_at);
/* For what is done to a name in it: in a directory that has been removed there are none, -ENOENT.
 */
int object_reach_directory(Node *directory, ObjectAt *ret_at);
void object_leave(ObjectAt *at);
/*
 * errand_await_lock() of a directory, and then of what has that name there, if anything has: calls
 * that change a directory would wait for that with the directory's own held, and all others behind
 * them.
 */
int object_await_name(const ObjectAt *at, const char *name);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(ObjectAt, object_leave)

/* May the caller do that (R_OK, W_OK, X_OK) with what fd (O_PATH) stands for? -EACCES */
int object_may(const SegfsCaller *caller, int fd, int mask);

/* What the kernel adds to the flags of an open by execve(2): __FMODE_EXEC in linux/fs.h. */
#define O_EXECUTE 040

/* The flags of open(2) with which we open in /dev/shm what was asked for with flags. */
int object_open_flags(int flags);

/* Opens it anew, as the caller and with rights of its own. */
int object_reopen(Node *node, const SegfsCaller *caller, int flags, int *ret_fd);

/* object_guard.c: the node, of which st is, was found in a directory. */
void object_guard(ObjectNode *node, const struct stat *directory, const struct stat *st);
/* May the caller who asks for a link's target follow it? -EACCES */
int object_guard_follow(const ObjectNode *node, const SegfsCaller *caller, const struct stat *st);
/* May the caller open it the way that it does? -EACCES */
int object_guard_open(const ObjectNode *node, const SegfsCaller *caller, const struct stat *st);
/* The same of a FIFO, when its name is looked up. */
int object_guard_fifo(ObjectNode *node, const SegfsCaller *caller, const struct stat *st);

/* object_name.c: see NodeOps. */
bool object_keeps_names(Node *directory);
bool object_list_as(Node *node, Node *directory, const char *name, const struct stat *st);
int object_still_named(Node *node);
/* May everybody search the directory? */
bool object_is_everybodys(const ObjectAt *directory);
/* The kernel may keep names of the directory, of which it is not to show any more. */
bool object_hides_kept(ObjectNode *directory);

/* object_acl.c */
#define OBJECT_ACL "system.posix_acl_access"
void object_acl_listing(ObjectNode *directory);
/* Has what is there as name ("." is the directory) an ACL beside its mode? True, and errno, also
 * where that is not known. */
bool object_has_acl(const ObjectAt *directory, const char *name);
/*
 * node has no ACL: has nothing else in posix/ one either? False, too, where few have asked since it
 * was listed. Can wait.
 */
bool object_acl_nowhere(ObjectNode *node);

/* object_change.c: see NodeOps. */
int object_link(Node *directory, const SegfsCaller *caller, const char *name, Node *target);
int object_remove(Node *directory, const SegfsCaller *caller, const char *name, bool is_directory);
int object_rename(Node *directory, const SegfsCaller *caller, const char *name, Node *to_directory,
		  const char *to_name, unsigned int flags);

/* The attributes on the mount of an object that fstat(2) shows as st. */
void object_stat(const IpcNs *ns, const struct stat *st, struct stat *ret_stat);

/*
 * From here on the object stays what it is, whatever becomes of its names, until it is let go as
 * often. fd, which it takes, is a descriptor of it, O_PATH will do, or -1: there was none to be
 * had, and it is reached as if it were not held.
 */
void object_hold(ObjectNode *node, int fd);
void object_let_go(Node *node, pid_t tid);
/*
 * A directory, of which fd is, is held as long as there is the node, if it may be: when it is
 * removed whoever works in it goes on as in a tmpfs.
 */
void object_keep_directory(ObjectNode *node, int fd);

extern const NodeOps object_ops; /* posix.c */

/* What a node is made of, for node_intern(). */
typedef struct {
	const SegfsPosix *posix;
	SegfsObject object;
} ObjectMade;
void object_init(Node *node, const void *made);
void object_free(Node *node);

/* object_listing.c */
int object_list(Node *node, const SegfsCaller *caller, Listing **ret_listing);

/*
 * The node of what fd (O_PATH) stands for, found by the caller as name in parent; and its
 * attributes. parent_fd is a descriptor of the parent, or -1: a file in no directory. Only a FIFO's
 * node depends on the caller: -EAGAIN where that is NULL.
 */
int object_node(ObjectNode *parent, int parent_fd, const SegfsCaller *caller, const char *name,
		int fd, Node **ret_node, struct stat *ret_stat);

/* What has been found as name, and in what directory; NULL: in none. */
typedef struct {
	const char *name;
	SegfsObject object;
	struct stat stat;
	const struct stat *directory;
} ObjectFound;
/* The same of what is known already; fd is a FIFO's only. */
int object_node_of(ObjectNode *parent, const SegfsCaller *caller, const ObjectFound *found, int fd,
		   Node **ret_node, struct stat *ret_stat);

/* The node of a directory of POSIX objects. -ENOENT: it is gone, or NULL. */
int posix_node(IpcNs *ns, const SegfsPosix *posix, Node **ret_node);

/* The node of a path below that directory, found as the daemon and by no symbolic link. */
int posix_find(IpcNs *ns, const SegfsPosix *posix, const char *path, Node **ret_node);

/* A file of node that has been opened as fd, which it takes. */
File *object_file_new(ObjectNode *node, int fd, int flags);

typedef struct {
	File file;
	int fd;
	bool holds; /* its node */
} ObjectFile;

/* object_lock.c */
int object_flock(File *file, int operation);
int object_lock(File *file, uint64_t owner, int command, struct flock *lock);
void object_unlock_all(File *file, uint64_t owner);
void object_unlock_file(ObjectFile *file);
