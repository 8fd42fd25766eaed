/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <unistd.h>

#include "tree/node.h"

typedef struct {
	SegfsIpcOptions ipc;
	const char *shm_dir;   /* NULL: /dev/shm */
	int64_t orphan_age;    /* seconds */
	const SegfsKeep *keep; /* has to outlive the tree; NULL: what is known alone */
	const char *no_ns;     /* static: why there is no ns/; NULL: there is */
	bool for_others;       /* other users may use the mount */
	bool other_ipc;        /* our IPC namespace is not the one in which we were started */
	SegfsHistory *history; /* the tree takes it; NULL: there is none */
} TreeOptions;

/* namespaces.c, handed down to limits.c, which that calls: see there. */
typedef struct {
	int (*all)(IpcNs *ns, const SegfsCaller *caller, GPtrArray **ret_namespaces);
	bool (*may_enter)(const SegfsCaller *caller);
} Reach;

/* The whole of a mount. */
struct Tree {
	time_t started;
	Node *root;
	IpcNs *ns;     /* the mount's own */
	char *shm_dir; /* a name of posix/ that everybody may use; NULL: there is none */
	dev_t plain;   /* the device of posix/, see segfs_mount_ino() */
	SegfsScanner *scanner;
	struct Moments *moments; /* in which the texts are made that have all */
	int64_t orphan_age;      /* seconds */
	const char *no_ns;       /* see TreeOptions */
	bool for_others, other_ipc;
	const Reach *reach;         /* static */
	SegfsHistory *history;      /* NULL: there is none */
	gint n_ipcns;               /* how many IpcNs were made; gives each its index */
	const SegfsPosix *nameless; /* memory that is in no directory */
	GMutex lock;          /* protects what follows, and every node's key, refs and lookups */
	pid_t walker;         /* the process that has listed ns/ last, */
	gint64 walk_from;     /* and when, monotonic */
	GHashTable *nodes;    /* a set of Node, by ops and key */
	GHashTable *files;    /* a set of File, those that are open */
	GHashTable *listings; /* a set of Listing, likewise */
	GHashTable *known; /* a set of Node by number, those with lookups, also what is no longer in
			      nodes */
	GHashTable *held;  /* uid -> bytes, see tree_hold() */
	GHashTable *descriptors; /* uid -> number, see tree_take_descriptor() */
	guint most_descriptors;  /* of one user; 0: any number. Set before there are any */
	GMutex waits_lock;       /* protects what follows, and is held while they are woken */
	GPtrArray *waits;        /* who waits for events: see history/events.c; NULL: nobody may */
};

/* The listings of an IpcNs for which processes are examined. */
typedef enum {
	LIST_ORPHANS,
	LIST_UNLINKED,
	LIST_INFO,
	LIST_DIRECTORIES,
	LIST_INFO_DIRECTORIES,
	N_LISTS
} IpcNsList;

/* An IPC namespace and its directories of POSIX objects; each node is of one. Counted references.
 */
struct IpcNs {
	gatomicrefcount refs;
	Tree *tree;
	guint index;       /* 0: the mount's own */
	gint n_static;     /* nodes that node_new_static() made */
	SegfsScope *scope; /* which the next three are of */
	SegfsIpc *ipc;
	SegfsView *view;
	SegfsNamespace *other;  /* NULL: our own */
	GMutex lock;            /* protects what follows */
	uint64_t pages_pending; /* of what is kept for segments to be made, see pending.c */
	gint64 listed[N_LISTS]; /* when last, monotonic; protected by the tree's lock */
};

/* -ENOSYS: no SysV IPC; other errors are those of opening shm_dir. */
int tree_new(const TreeOptions *options, Tree **ret_tree);
/* Nothing more is asked of it: nobody waits any more, and history is kept for the next one. */
void tree_end(Tree *tree);
void tree_free(Tree *tree);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Tree, tree_free)

/* One that has no scope yet. */
IpcNs *ipcns_new(Tree *tree);
IpcNs *ipcns_ref(IpcNs *ns);
void ipcns_unref(IpcNs *ns);

/*
 * The memory that all open texts and listings of one user hold together: it is ours, which no limit
 * of the user's binds. false: it would be more than HELD_MOST, and there is some already; root may
 * have any.
 */
#define HELD_MOST ((gsize)64 * 1024 * 1024)
bool tree_hold(Tree *tree, uid_t uid, gsize size);
void tree_let_go(Tree *tree, uid_t uid, gsize size);

/*
 * Descriptors of ours that are open for one user: files, directories, owners of locks. false: that
 * user has all that one may have, so that there are some for others.
 */
bool tree_has_descriptor(Tree *tree, uid_t uid);
bool tree_take_descriptor(Tree *tree, uid_t uid);
void tree_give_descriptor(Tree *tree, uid_t uid);

/* Its ipc, view and other are those of scope, which it takes. */
void ipcns_take(IpcNs *ns, SegfsScope *scope);
/* namespaces.c: see SegfsScopeOptions; data is the IpcNs. */
SegfsOpened ipcns_opened(int shmid, gpointer ns);
/* The IpcNs of another IPC namespace, by its number. -ENOENT: no process lives in it. */
int ipcns_new_of(Tree *tree, uint64_t inum, IpcNs **ret_ns);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(IpcNs, ipcns_unref)

/*
 * The time from which on a scan must have begun to serve a listing of ns that caller asks for now:
 * see segfs_scanner_scan(). That time is now, with one exception. A process that walks through ns/
 * (find, ls -R) would make a scan for each listing of each namespace. So for the process that has
 * listed ns/ last, the scan may have begun since it did so, as long as that is less than a second
 * ago, and as long as nobody has asked for this very listing since the scan began.
 */
SegfsSince ipcns_list_since(IpcNs *ns, const SegfsCaller *caller, IpcNsList list);
/* It could be answered: one that a worker has to ask for again is the same listing. */
void ipcns_was_listed(IpcNs *ns, IpcNsList list);
void tree_walk_begins(Tree *tree, const SegfsCaller *caller);

/* The index of the directory of POSIX objects that is called posix, posix.2 and so on; where it is
 * not known, the processes are asked. -ENOENT: there is none. */
int ipcns_find_directory(IpcNs *ns, const char *name, guint *ret_index);
/* For node.c's tables; here because the tree owns them. Sets: half as large as with values. */
GHashTable *node_table_new(void);
GHashTable *node_known_new(void);
/* What is open (set: files or listings), so that tree_free() closes what a mount leaves open. */
void tree_set_open(Tree *tree, GHashTable *set, gpointer opened, bool is_open);

/*
 * The directories and files of the mount. A row of a static directory is a name and what makes
 * its node; adding to the mount is adding one file under tree/ and one row.
 */
typedef struct {
	const char *name;
	Node *(*make)(IpcNs *ns, const void *data); /* NULL: what it shows cannot be read */
	const void *data;
} DirectoryEntry;

/* of_posix: makes the entry for directory of POSIX objects index; NULL: there are no such entries.
 */
typedef Node *(*DirectoryOfPosix)(IpcNs *ns, guint index);
/* NULL: an entry could not be made. */
Node *directory_new(IpcNs *ns, const DirectoryEntry *entries, guint n_entries,
		    DirectoryOfPosix of_posix);

/* A file of text, made anew at each open; stat shows the length that it would have now. */
typedef void (*TextWrite)(IpcNs *ns, GString *text);
Node *text_new(IpcNs *ns, TextWrite write);

/*
 * The same for text that takes long to make, or differs by caller; stat shows size 0, and while it
 * is open that of the text.
 */
typedef struct TextOut TextOut;
typedef int (*TextAnswer)(IpcNs *ns, const SegfsCaller *caller, TextOut *out);
/* Appends text, which it empties; and what can be known only when the rest is there goes before it.
 */
void text_put(TextOut *out, GString *text);
void text_put_first(TextOut *out, GString *text);
Node *text_new_expensive(IpcNs *ns, TextAnswer answer);

/* A node that is opened by text_file_new() begins so. text.c has the fields, all zero at first. */
typedef struct {
	Node node;
	/* Protected by the tree's lock. */
	guint opens;
	GArray *now; /* what the first of them reads; NULL: there are none */
	off_t said;  /* the most that the kernel can take for the size */
	bool mixed;  /* the kernel may not cache what it reads */
} TextNode;

/* Has anybody such a node open? Then a lookup is to find another one, with the same key: see
 * text.c. */
bool text_node_is_open(Node *node);

/* st_size of such a node, for the kernel. */
off_t text_node_size(Node *node);
/* One open of node by caller, which reads text and takes it. -ENOMEM: caller has too much open. */
int text_file_new(TextNode *node, const SegfsCaller *caller, int flags, GString *text,
		  File **ret_file);

Node *sysv_directory_new(IpcNs *ns, const void *data);
Node *key_directory_new(IpcNs *ns, const void *data);
Node *posix_directory_new(IpcNs *ns, const void *data);
Node *sem_directory_new(IpcNs *ns, const void *data);
Node *msg_directory_new(IpcNs *ns, const void *data);
Node *orphans_directory_new(IpcNs *ns, const void *data);
Node *unlinked_directory_new(IpcNs *ns, const void *data);
Node *info_directory_new(IpcNs *ns, const void *data);
Node *namespaces_directory_new(IpcNs *ns, const void *data);

/* Is it in ns/? Then only callers that may enter other namespaces may use it. */
static inline bool ipcns_is_foreign(const IpcNs *ns)
{
	return ns->other;
}
bool caller_may_enter(const SegfsCaller *caller);

/*
 * ns itself and, for a caller that may enter them, all other IPC namespaces, as an array of IpcNs;
 * unref the array.
 */
int namespaces_all(IpcNs *ns, const SegfsCaller *caller, GPtrArray **ret_namespaces);
Node *limits_new(IpcNs *ns, const void *data);
/* How many directories of POSIX objects the last survey could not read, and which; NULL: none. */
char *limits_unread(IpcNs *ns);
Node *segments_json_new(IpcNs *ns, const void *data);
Node *metrics_new(IpcNs *ns, const void *data);
Node *readme_new(IpcNs *ns, const void *data);
/* history/events.c; data: NULL, or of events.1 any other. */
Node *events_new(IpcNs *ns, const void *data);
/* Who waits for events is woken from then on; after the second, which can come alone, nobody is. */
void events_begin_waits(Tree *tree);
void events_end_waits(Tree *tree);
Node *gone_directory_new(IpcNs *ns, const void *data);
/* Of events and gone/, which name processes of everybody. */
static inline bool caller_may_read_history(const SegfsCaller *caller)
{
	return caller->uid == 0 || caller->uid == geteuid();
}

/*
 * Inode numbers. A SysV segment's is made of the number of its IPC namespace and the shmid, a POSIX
 * object's is the one that it has in /dev/shm. Files and directories of the mount's own have
 * numbers between, with a kind in the upper eight bits, or numbers of the last
 * namespaces there could be, which the kernel never gives out. node_new_static() makes them of the
 * index of ns and a count.
 */
typedef enum {
	INO_INFO_SEGMENT = 0xa0,
	INO_INFO_NAME = 0xb0,
	INO_STATIC = 0xc0,
	INO_EVENTS = 0xd0,
	INO_GONE = 0xd1,
	INO_SEM = 0xd2,
	INO_MSG = 0xd3,
} InoKind;

/* One of that kind, of the lower 56 bits of number. */
static inline ino_t ino_of_kind(InoKind kind, uint64_t number)
{
	enum { SHIFT = 56 };

	return (ino_t)kind << SHIFT | (number & ((1ULL << SHIFT) - 1));
}

gpointer node_new_static(IpcNs *ns, const NodeOps *ops, size_t size);
ino_t node_static_ino(const Node *node);
/* A directory of ours as stat shows it. */
void node_static_directory_stat(const Node *node, mode_t mode, struct stat *ret_stat);
