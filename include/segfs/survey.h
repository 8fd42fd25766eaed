/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <segfs/evidence.h>
#include <segfs/history.h>
#include <segfs/posix.h>
#include <segfs/scan.h>
#include <sys/stat.h>
#include <time.h>

/*
 * All shared memory of one IPC namespace and its directory of POSIX objects, each with who
 * holds it and a verdict on whether anybody will still want it.
 */

typedef enum {
	SEGFS_IN_USE,   /* somebody holds it */
	SEGFS_IDLE,     /* nobody does, but a process that knows it lives, or it was used lately */
	SEGFS_ORPHANED, /* nobody does, and nobody is left who did */
	SEGFS_UNKNOWN,  /* not everything could be examined that would have to be */
} SegfsVerdict;

/* "in use", "idle", "orphaned", "unknown". Static. */
const char *segfs_verdict_name(SegfsVerdict verdict);

/* There are many at one time: what is as large stands together, so that there are no gaps. */
typedef struct {
	SegfsId id;
	uint64_t ns;             /* number of the view's IPC namespace; 0: that of this process */
	const SegfsPosix *posix; /* of an object the directory that it is or was in; the view's */
	char *name;     /* path below the directory of POSIX objects, or what the memfd is called;
			   NULL for those that have none */
	SegfsSysv sysv; /* of SEGFS_SYSV */
	uint64_t size;  /* bytes */
	uint64_t resident;                   /* bytes; valid where has_resident */
	struct timespec atime, mtime, ctime; /* since 1970; as stat(2) on a mount shows them */

	SegfsScan *scan;        /* what holders' processes belong to; a reference */
	GArray *holders;        /* SegfsHolder */
	uint64_t n_not_found;   /* attaches of processes that are not among the holders */
	SegfsEvidence evidence; /* of the verdict; in words: segfs_item_evidence() */
	uint64_t creator_start; /* see segfs_item_creator() */
	SegfsPast *past;        /* what history knows of it; NULL: nothing */
	char creator[16];       /* command of a SysV segment's creator; empty: not known */

	guint nlink;     /* of other than SEGFS_SYSV: names it has */
	guint directory; /* which of the view's posix is, from 0 */
	uid_t uid;
	gid_t gid;
	mode_t mode; /* permission bits, set-id and sticky ones too */
	pid_t creator_pid;
	SegfsPages pages : 8; /* of which resident counts them */
	SegfsVerdict verdict : 8;
	bool unlinked; /* has no name in sysv/ or posix/ any more */
	bool has_resident;
	bool creator_lives;
	bool creator_unknown; /* whether it lives: it cannot be seen, or another mount knows it */
} SegfsItem;

/* Frees it, and gives up its scan. Cannot fail. */
void segfs_item_free(SegfsItem *item);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SegfsItem, segfs_item_free)

/* Who has created a segment; start is 0 where it has ended. Its command is not told. Cannot fail.
 */
SegfsProcess segfs_item_creator(const SegfsItem *item);

/* "sysv", "posix", "memfd", "anon". Static. */
const char *segfs_kind_name(SegfsKind kind);

/*
 * Its file below a mount, such as sysv/5, posix/a/b, unlinked/memfd-x-1234, ns/4026532188/sysv/5.
 * In a name of unlinked/ or orphans/ "/" is "%2F", "%" is "%25" and each byte of a control
 * character likewise; one that would be too long for a file is cut, and in orphans/ "~" and the
 * inode number stand for the rest. The caller's to free.
 */
char *segfs_item_path(const SegfsItem *item);

/* Its name in orphans/: sysv-5, posix-a%2Fb. The caller's to free. */
char *segfs_item_orphan_name(const SegfsItem *item);

/* "posix", "posix.2" and so on, by index from 0; the caller's to free. */
char *segfs_posix_directory_name(guint index);

typedef enum {
	SEGFS_NEVER_OPENED,
	SEGFS_WAS_OPENED, /* a process that we may not examine may still have it mapped */
	SEGFS_IS_OPEN,
} SegfsOpened;

/*
 * What is in one IPC namespace and its directories of POSIX objects, judged: of a SegfsScope
 * (scope.h), and freed with that. It remembers what it has seen: the commands of creators, and the
 * processes that last held a POSIX object. Safe to use from many threads.
 */
typedef struct SegfsView SegfsView;

/*
 * Finds the directories of POSIX objects that processes of another namespace see now; each of the
 * functions below that takes a since does so first. -ENOENT: no process lives in it. In our own
 * there is nothing to find.
 */
int segfs_view_refresh(SegfsView *view, SegfsSince since);

/* The directory of that number from 0, the view's; NULL: there are not so many. Cannot fail. */
const SegfsPosix *segfs_view_posix(SegfsView *view, guint index);

/* Its number. False: it has lost its place to another. */
bool segfs_view_posix_index(SegfsView *view, const SegfsPosix *posix, guint *ret_index);

/* Did a process of its namespace see that directory at the last refresh? */
bool segfs_view_posix_is_seen(SegfsView *view, guint index);

/*
 * Everything, as SegfsItem: segments by shmid, then objects by name, then what has no name.
 * The calling function unrefs the array. Errors are those of segfs_scanner_scan(),
 * segfs_sysv_list() and segfs_posix_list().
 */
int segfs_view_survey(SegfsView *view, SegfsSince since, GPtrArray **ret_items);

/*
 * How many subdirectories of POSIX objects the last survey could not read: we may not, or they are
 * too deep (64). What is in them is missing there.
 */
guint segfs_view_unread(SegfsView *view);
/* Their names: posix, posix/a; of one further below the one at the top in which it is. The caller
 * unrefs. */
GPtrArray *segfs_view_unread_names(SegfsView *view);

/*
 * One segment, without its resident bytes, the caller's to free. -ENOENT: there is none with this
 * id; other errors as above.
 */
int segfs_view_sysv(SegfsView *view, int shmid, SegfsSince since, SegfsItem **ret_item);

/* The resident bytes of a segment's item, in it. Errors are those of segfs_sysv_resident(). */
int segfs_view_read_resident(SegfsView *view, SegfsItem *item);

/*
 * One POSIX object, by its path below that directory, the caller's to free. -ENOENT: there is none,
 * or it is no file. Other errors are those of openat2(2) and segfs_scanner_scan().
 * Symbolic links are not followed, nor is what is mounted inside.
 */
int segfs_view_object(SegfsView *view, guint directory, const char *path, SegfsSince since,
		      SegfsItem **ret_item);

/* The same by an O_PATH descriptor, which stays open; path, the item's name, can be NULL. */
int segfs_view_file(SegfsView *view, guint directory, const char *path, int path_fd,
		    SegfsSince since, SegfsItem **ret_item);

/*
 * Does anybody hold the object that an O_PATH descriptor stands for? 0: nobody; -EBUSY: yes; other
 * errors, those of open(2) and fcntl(2), F_SETLEASE: the kernel does not tell us. No scan is made.
 */
int segfs_object_is_free(int path_fd);

/* What has no name, or has it no more: all of it, as segfs_view_survey() has it. */
int segfs_view_unlinked(SegfsView *view, SegfsSince since, GPtrArray **ret_items);

/*
 * Removes an orphaned item as the caller, if it still is what it was at this moment.
 * -EBUSY: somebody holds it, or has used it since; -ENOENT: it is gone, or something else
 * has its name; other errors are those of shmctl(2) and unlink(2). Asks the kernel, which
 * knows more than /proc shows: the count of attaches, and whether a lease on the memory's
 * file (fcntl(2), F_SETLEASE) would be granted, which is so only where nobody else has it
 * open or mapped.
 */
int segfs_view_remove_orphan(SegfsView *view, const SegfsCaller *caller, const SegfsItem *item);

/*
 * An O_PATH descriptor of memory that has no name, got through one of its holders; the
 * caller's to close. -ENOENT: no holder has it any more. -EACCES: we may not.
 */
int segfs_item_open_path(const SegfsItem *item, const char *proc_root, int *ret_fd);

/*
 * The same, opened with flags as the caller, whose rights to look into the holder and
 * rights on the memory decide.
 */
int segfs_item_open_as(const SegfsItem *item, const char *proc_root, const SegfsCaller *caller,
		       int flags, int *ret_fd);
