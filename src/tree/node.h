/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <fcntl.h>
#include <glib.h>
#include <segfs/segfs.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

/*
 * What the mount is made of. A Node is a file or directory, a File is one open(2) of a node,
 * a Listing one opendir(3). Nodes and files have a table of verbs; a verb that is NULL is refused
 * with the errno that stands beside it. Verbs return 0 or -errno.
 *
 * Lifetime: nodes are counted references, and they are in the tree's table as long as
 * they have any. The kernel's own knowledge of a node (its lookup count) is one
 * reference. Two lookups of one thing give one node, but for what is written to: see node_intern()
 * and NodeOps.is_apart_to_write.
 */

typedef struct Tree Tree;
typedef struct IpcNs IpcNs; /* see tree.h */
typedef struct Node Node;
typedef struct NodeOps NodeOps;
typedef struct File File;
typedef struct FileOps FileOps;
typedef struct Listing Listing;
typedef struct Waiter Waiter;

/* What a node stands for; ops says of which kind. All zero: not in the table. */
typedef struct {
	uint64_t a, b, c;
} NodeKey;

/* What was last known of a node that may be gone by now. */
typedef struct {
	ino_t ino;
	off_t size;
	int64_t seconds[3]; /* of atime, mtime, ctime */
	uint32_t ns[3];
	mode_t mode; /* 0: nothing */
	uid_t uid;
	gid_t gid;
} NodeSeen;

struct Node {
	const NodeOps *ops;
	IpcNs *ns; /* a reference */
	NodeKey key;
	uint64_t number;  /* by which the kernel knows it, while it has lookups */
	uint64_t lookups; /* the kernel's; protected by the tree's lock, as refs and number are */
	guint refs;
	/* Also protected by the tree's lock: see NodeOps.is_apart_to_write. */
	guint n_written;        /* files by which the kernel can write to it */
	bool is_named_no_more;  /* what leads to it is to be looked up anew */
	Node *older;            /* of the same key; NULL: none, or it has no key */
	_Atomic gint64 emptied; /* monotonic time of the last open with O_TRUNC */
	_Atomic gint64 listed;  /* and of the last listing whose names the kernel may remember */
	NodeSeen seen;          /* protected by the tree's lock */
};

/* What setattr changes; a uid or gid of -1 stays, and is -1 where !has_owner. */
typedef struct {
	bool has_mode, has_owner, has_size, has_times;
	mode_t mode;
	uid_t uid;
	gid_t gid;
	uint64_t size;
	struct timespec times[2]; /* as for utimensat(2), UTIME_NOW and UTIME_OMIT included */
} NodeChange;

/* Kinds of verbs, of a node and of its files and listings. */
typedef enum {
	NODE_STAT = 1,    /* getattr, readlink, statfs */
	NODE_FIND = 2,    /* lookup, access, open */
	NODE_XATTR = 4,   /* get_xattr, list_xattr */
	NODE_LIST = 8,    /* list, entry, look */
	NODE_CHANGE = 16, /* setattr, set_xattr, ioctl, an open that truncates */
	NODE_READ = 32,   /* read */
	NODE_WRITE = 64,  /* write, allocate, seek */
	NODE_NAMES = 128, /* create, make, make_nameless, link, remove, rename */
	NODE_WAITS = 256, /* what waits, of whatever node it is asked */
} NodeVerb;

/* What takes a look at all processes. */
#define NODE_EXPENSIVE (NODE_FIND | NODE_LIST | NODE_CHANGE | NODE_NAMES)

struct NodeOps {
	/* brief: the caller does not need st_blocks, which can be expensive. */
	int (*getattr)(Node *node, bool brief, struct stat *ret_stat);
	int (*access)(Node *node, const SegfsCaller *caller, int mask); /* allowed */
	/* file: the open through which it comes, or NULL. */
	int (*setattr)(Node *node, const SegfsCaller *caller, File *file,
		       const NodeChange *change);                                       /* EPERM */
	int (*readlink)(Node *node, const SegfsCaller *caller, char **ret_target);      /* EINVAL */
	int (*open)(Node *node, const SegfsCaller *caller, int flags, File **ret_file); /* EACCES */
	int (*statfs)(Node *node, struct statvfs *ret_stat); /* all zero */
	/* A large write, of size bytes up to end, was answered: the next may follow. */
	void (*written)(Node *node, off_t end, size_t size); /* nothing */

	/* Extended attributes; set with bytes NULL removes. EOPNOTSUPP */
	int (*get_xattr)(Node *node, const SegfsCaller *caller, const char *name,
			 GBytes **ret_value);
	int (*list_xattr)(Node *node, const SegfsCaller *caller, GBytes **ret_names);
	int (*set_xattr)(Node *node, const SegfsCaller *caller, const char *name, const void *bytes,
			 size_t size, int flags);

	/*
	 * Somebody can have it open, or as a working directory, when it is gone: then the mount
	 * says what it was, with no links.
	 */
	bool outlasts;

	/*
	 * As long as the kernel has it open to write no name leads to it: a lookup finds another
	 * node that stands for the same. Who writes holds, in the kernel, the lock of the file that
	 * it knows by the node's number, for as long as a page of the bytes does not come, and
	 * chmod(2), unlink(2) and others want it; unlink(2) with the directory's lock held. So
	 * whoever goes by a name does not wait for who writes.
	 */
	bool is_apart_to_write;

	/*
	 * What chattr(1) and lsattr(1) ask, ioctl_iflags(2) and FS_IOC_FSGETXATTR: data is what
	 * the command says, in and out. ENOTTY
	 */
	int (*ioctl)(Node *node, const SegfsCaller *caller, unsigned int command, void *data);

	/*
	 * NodeVerbs that do wait, for a look at all processes or for what another user may keep
	 * waiting for ever (see Errand): only workers do them. The others wait for nothing, or
	 * fail where errand_may_wait() says no, and are then done by workers, too.
	 */
	unsigned int waits;
	/*
	 * Whether a name is found or listed depends on the caller's rights: so each lookup asks
	 * anew, and no answer is kept for another caller.
	 */
	bool looks_as_caller;
	/*
	 * But for this: as long as everybody may look, the kernel may keep what a listing has said.
	 * Asked for each answer of one. NULL: no
	 */
	bool (*keeps_names)(Node *directory);
	/*
	 * Where that says yes: node, of which st is, is listed as name there. True: until the
	 * kernel has forgotten that still_named() knows whether name leads to it.
	 */
	bool (*list_as)(Node *node, Node *directory, const char *name, const struct stat *st);
	/* Who asks has not looked it up. -ESTALE: what a listing has said of it is true no more. */
	int (*still_named)(Node *node); /* yes */
	/*
	 * Of a directory: the kernel may keep names of a listing for LISTED_NAMED. Of what is in
	 * it: as names may outlast what was said of it, who asks for its attributes is asked so,
	 * too.
	 */
	bool names_last;
	/* A walk to it asks for its size anew, even where its directory's names are fixed. */
	bool size_changes;
	bool names_are_fixed; /* for as long as the mount lives */
	/* Of an entry of a directory of fixed names: what a lookup of it finds, with a reference.
	 */
	Node *(*find)(Node *entry); /* itself */
	/* Of directories. ENOTDIR */
	int (*lookup)(Node *directory, const SegfsCaller *caller, const char *name,
		      Node **ret_node);
	/*
	 * The same once more, where what lookup() had found was gone before it could be opened, or
	 * may have been: what this finds the caller can open, if it has the rights to. NULL:
	 * lookup() does.
	 */
	int (*lookup_again)(Node *directory, const SegfsCaller *caller, const char *name,
			    Node **ret_node);
	/*
	 * What was found, by lookup_again(), or where that is NULL by lookup() and make(), is held:
	 * whatever becomes of its name the caller, whose thread it is, can ask and open it, until
	 * this, or its end. NULL: it may go at any moment.
	 */
	void (*let_go)(Node *found, pid_t tid);
	int (*list)(Node *directory, const SegfsCaller *caller, Listing **ret_listing);
	/* Changes to a directory. EPERM */
	int (*create)(Node *directory, const SegfsCaller *caller, const char *name, int flags,
		      mode_t mode, Node **ret_node, File **ret_file);
	int (*make)(Node *directory, const SegfsCaller *caller, const char *name, mode_t mode,
		    dev_t device, const char *target, Node **ret_node);
	int (*make_nameless)(Node *directory, const SegfsCaller *caller, int flags, mode_t mode,
			     Node **ret_node, File **ret_file); /* O_TMPFILE. EOPNOTSUPP */
	int (*link)(Node *directory, const SegfsCaller *caller, const char *name, Node *target);
	int (*remove)(Node *directory, const SegfsCaller *caller, const char *name,
		      bool is_directory);
	int (*rename)(Node *directory, const SegfsCaller *caller, const char *name,
		      Node *to_directory, const char *to_name, unsigned int flags);

	void (*free)(Node *node);

	/* For node_intern(). */
	size_t size;                                 /* bytes of a node, which begin with a Node */
	void (*init)(Node *node, const void *data);  /* sets what is not zero */
	bool (*is_of)(Node *node, const void *data); /* NULL: a key never comes again */
};

struct File {
	const FileOps *ops;
	gatomicrefcount refs; /* the kernel's is one, and each request's that is on its way */
	Node *node;
	int flags;        /* of open(2) */
	Node *written_by; /* see file_is_written_by(); NULL: not, or it is not apart */
	uid_t uid;        /* who has opened it, */
	bool is_counted;  /* and whether that user's count of descriptors has it */
	/* The daemon serves reads and writes, although the kernel could by memory_fd(). */
	bool through_us;
	bool has_no_flush; /* closing a descriptor of it needs no word to us: see FileOps.flush */
};

/* Where the bytes of a read are: in a descriptor, or in memory that lives while the file does. */
typedef struct {
	int fd; /* -1: bytes */
	off_t offset;
	const void *bytes;
	size_t size;
	GBytes *keep; /* what bytes are in, to be given back after them; NULL: they stay anyway */
} FileSpan;

struct FileOps {
	int (*read)(File *file, size_t size, off_t offset, FileSpan *ret_span); /* EBADF */
	/* caller: its ids alone. */
	ssize_t (*write)(File *file, const SegfsCaller *caller, const void *bytes, size_t size,
			 off_t offset); /* EBADF */
	/* One descriptor of it was closed, by the caller; there may be others. */
	int (*flush)(File *file, const SegfsCaller *caller);               /* nothing */
	int (*allocate)(File *file, int mode, off_t offset, off_t length); /* EOPNOTSUPP */
	off_t (*seek)(File *file, off_t offset, int whence);               /* EINVAL */
	/* The descriptor that the kernel may read, write and map without the daemon, or -1. */
	int (*memory_fd)(File *file); /* -1 */
	/*
	 * Bytes of it, where the node's size before the open need not have been it, 0 included. The
	 * kernel hears it before it hears of the open: see text.c.
	 */
	off_t (*length)(File *file); /* the node's size is it */
	/* May the kernel keep what it reads now, for all that have the node open? */
	bool (*may_be_cached)(File *file); /* yes */
	/* A descriptor for locks; of this open alone for flock(2), of owner for fcntl(2). */
	int (*flock)(File *file, int operation);                                  /* EOPNOTSUPP */
	int (*lock)(File *file, uint64_t owner, int command, struct flock *lock); /* EOPNOTSUPP */
	void (*unlock_all)(File *file, uint64_t owner);                           /* nothing */
	/*
	 * Which of the events of poll(2) it has. waiter: NULL, or woken once it may have others;
	 * it is taken. All that a read or a write needs, always
	 */
	int (*poll)(File *file, Waiter *waiter);
	void (*free)(File *file);
};

/* Who waits in poll(2) on a file. */
struct Waiter {
	void (*wake)(Waiter *waiter); /* it is to ask once more; frees it */
	void (*free)(Waiter *waiter); /* it waits no longer */
};

/* Seconds for which the kernel may keep what a listing said; everything else it asks anew. */
#define LISTED_VALID 1.0
/* The same for names alone, where these depend on nobody: see NodeOps.names_last. */
#define LISTED_NAMED 10.0
/* So long somebody may come by a name that a listing has said, however late the answer got there.
 */
#define LISTED_USED (20 * G_TIME_SPAN_SECOND)

/* One name of a listing, and what is known of it without a look. */
typedef struct {
	const char *name; /* the listing's, until the next one is asked for */
	ino_t ino;
	mode_t type;   /* S_IFMT bits; 0: not known */
	gpointer what; /* for look(); the listing's, or NULL */
} ListingEntry;

/* The entry's node, with a reference, and attributes. Any error: it is listed without. */
typedef int (*ListingLook)(const Listing *listing, const ListingEntry *entry, Node **ret_node,
			   struct stat *ret_stat);

/* See listing_next(); positions from LISTING_FIRST on are its own to give. */
typedef int (*ListingNext)(Listing *listing, off_t at, const ListingEntry **ret_entry,
			   off_t *ret_next);

/* What one opendir(3) has found, or reads as it is asked. What differs is look(), what it goes by,
 * and whether it reads. See listing.c. */
struct Listing {
	gatomicrefcount refs; /* as of a file */
	Node *directory;      /* a reference */
	GStringChunk *names;  /* of the entries, which are those of the moment of opendir(3) */
	GArray *entries;      /* ListingEntry */
	ListingLook look;
	ListingNext next; /* NULL: the entries are all there is */
	gint64 taken;     /* monotonic time of what look() says; 0: it asks anew each time */
	uid_t uid;        /* whose account it is on, */
	gsize held;       /* how much, */
	bool is_held;     /* and whether it is on one */
	GMutex lock;      /* held by who reads it; protects what follows */
	gpointer data;    /* what look() and next() need, freed by free_data */
	GDestroyNotify free_data;
};

/* A new node with one reference, of size bytes that begin with a Node; not yet in the table. */
gpointer node_new(IpcNs *ns, const NodeOps *ops, size_t size);

/*
 * The node that stands for key and is of data, with a reference for the caller: one in the
 * table, or a new one of ops->size bytes, which ops->init() makes of data. One in the table that
 * stands for something else by now (ops->is_of()) is detached. Call with no node's lock held.
 */
Node *node_intern(IpcNs *ns, const NodeOps *ops, const NodeKey *key, const void *data);

/*
 * The newest node that stands for key, with a reference for the caller, or NULL; all of them, the
 * newest first, which the array has references of. There are several where some are written to.
 */
Node *node_find(Tree *tree, const NodeOps *ops, const NodeKey *key);
GPtrArray *node_find_all(Tree *tree, const NodeOps *ops, const NodeKey *key);

/* Does the kernel have it open to write, or is it named no more? Only where it is apart then. */
bool node_is_written(Node *node);
/* May somebody come by a name that a listing has said of it? See LISTED_USED. */
bool node_is_listed(const Node *node);
/*
 * Is it one to be apart to write, to which a name leads that is not looked up: a listing has said
 * it lately, or somebody writes since it was looked up?
 */
bool node_is_not_apart(Node *node);
/* Lookups find another from now on. What a listing has said of it, the kernel may still go by. */
void node_name_no_more(Node *node);

/* From here on node stands for key, as others may that lookups have found before. */
void node_rekey(Node *node, const NodeKey *key);
/* Lookups of its key find the node no more, since it stands for something that is gone. */
void node_detach(Node *node);

Node *node_ref(Node *node);
void node_unref(Node *node);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Node, node_unref)

/*
 * The kernel has learnt of the node once; the kernel forgets it n times. In between the kernel
 * knows it by a number, which a user can ask for (name_to_handle_at(2)), and make up.
 */
uint64_t node_remember(Node *node);
void node_forget(Node *node, uint64_t n);
#define NODE_ROOT 1 /* the root's, always: FUSE_ROOT_ID */

/* The node that the kernel knows by it, NULL if none; without a reference, which the kernel has. */
Node *node_known(Tree *tree, uint64_t number);
/* A node of which nothing is left: every verb is -ESTALE. */
Node *node_gone(Tree *tree);

/* Does the kernel ask for no right to read that attribute (xattr_permission() in fs/xattr.c)? */
static inline bool node_shows_xattr(const char *name)
{
	return g_str_has_prefix(name, "security.") || g_str_has_prefix(name, "system.");
}

/* The mount has said of it what st says. */
void node_saw(Node *node, const struct stat *st);
/* What it has said last, with no links. False: nothing, or nothing that outlasts the node. */
bool node_last(Node *node, struct stat *ret_stat);

/* A new file, of size bytes that begin with a File; takes a reference of node. */
gpointer file_new(Node *node, const FileOps *ops, size_t size, int flags);
/* The kernel can write to it as long as it is open; it knows it by node, which need not be its own:
 * see orphans.c. */
void file_is_written_by(File *file, Node *node);
File *file_ref(File *file);
void file_unref(File *file);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(File, file_unref)

/* trim.c: what malloc(3) keeps of the freed goes back a moment later; between the two that count.
 */
void trim_start(void);
void trim_stop(void);
void trim_soon(void);

/* An empty listing, which takes data; free_data can be NULL. */
Listing *listing_new(Node *directory, ListingLook look, gpointer data, GDestroyNotify free_data);
void listing_add(Listing *listing, const char *name, ino_t ino, mode_t type, gpointer what);

/* It is complete, and uid's. -ENOMEM, -EUSERS: that user has too much open, or too many
 * descriptors. */
int listing_hold(Listing *listing, uid_t uid);

/*
 * The entry at a position, and the position behind it. Position 0 is the beginning, with "." and
 * ".."; the first other entry is at LISTING_FIRST; all others are those that were given. 1: there
 * is one; 0: none any more. Call with the listing's lock held; likewise listing_look().
 */
#define LISTING_FIRST 2
int listing_next(Listing *listing, off_t at, const ListingEntry **ret_entry, off_t *ret_next);
/* Its look(), and how long that may be taken as true; -ESTALE: no longer, or it is "." or "..". */
int listing_look(const Listing *listing, const ListingEntry *entry, Node **ret_node,
		 struct stat *ret_stat, double *ret_valid);
Listing *listing_ref(Listing *listing);
void listing_unref(Listing *listing);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Listing, listing_unref)

/* A listing of nodes. Adding one takes the reference. */
Listing *node_listing_new(Node *directory);
void node_listing_add(Listing *listing, const char *name, Node *node);
