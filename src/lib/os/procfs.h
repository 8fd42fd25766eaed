/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* A file of /proc below directory_fd, whole, instead of what text was. Or -errno. */
int procfs_read(int directory_fd, const char *name, GString *text);

/*
 * What follows "key:" in text of lines "Key: value", or "key" and blanks where a file has no
 * colons (limits): from its first character that is no blank, to the end of text. NULL: no line
 * begins so.
 */
const char *procfs_value(const char *text, const char *key);

/* The same as a number. False, too, where there is no digit. */
bool procfs_number(const char *text, const char *key, uint64_t *ret_number);

/*
 * open(2) of what a link of /proc/PID leads to. ENOENT, ESRCH: that, or the process, is gone, for
 * which the kernel says EACCES where it ends while the link is followed (proc_ns_get_link() in
 * fs/proc/namespaces.c, proc_fd_access_allowed() in fs/proc/base.c). So EACCES is of who lives.
 */
int procfs_open(const char *path, int flags);

/* The number that a link of /proc/PID/ns/ bears; 0, and errno, where it is not ours to know. */
uint64_t procfs_namespace(int directory_fd, const char *name);

/* That of the user namespace that owns the one which ns_fd is of (ioctl_ns(2)); 0, and errno. */
uint64_t procfs_namespace_owner(int ns_fd);

/* The number of a namespace that is given only once (NS_GET_ID, Linux 6.18); 0: not known. */
uint64_t procfs_namespace_id(int ns_fd);

/* A number of proc_root/sys, such as fs/protected_fifos. -ENOENT: this kernel has no such. */
int procfs_sysctl(const char *proc_root, const char *name, int *ret_number);

/* What /proc/PID/stat says. */
typedef struct {
	char command[16];
	char state;     /* a letter; Z: dead, and not yet waited for */
	pid_t parent;   /* 0: it has none, or none that is seen from here */
	pid_t session;  /* likewise */
	uint64_t start; /* clock ticks since boot */
	guint n_threads;
	unsigned int flags; /* PF_ of linux/sched.h */
} ProcfsStat;

/* False where there is no such process, or it cannot be asked. */
bool procfs_stat(const char *proc_root, pid_t pid, ProcfsStat *ret_stat);

/* Does the process that started then live? A thread of it will do. */
bool procfs_is_alive(const char *proc_root, pid_t pid, uint64_t start);

/* A start as seconds since 1970, and as microseconds. */
int64_t procfs_started(uint64_t ticks);
int64_t procfs_started_us(uint64_t ticks);

/*
 * Its effective user. A process that has changed its user itself has a /proc/PID of root's
 * (proc(5)). False where it cannot be asked.
 */
bool procfs_user(const char *proc_root, pid_t pid, uid_t *ret_uid);

/* One that is dead and not waited for is Z; so is one of which other threads live. */
bool procfs_stat_lives(const ProcfsStat *stat);

/*
 * One line of /proc/PID/mountinfo: proc_pid_mountinfo(5). The strings are in the text that it was
 * read from, with the blanks and backslashes that are \040 and the like there put back.
 */
typedef struct {
	unsigned int id;
	dev_t dev;
	const char *root;    /* what of the file system is mounted */
	const char *point;   /* where, from the root of the process */
	const char *type;    /* as "tmpfs" or "fuse.segfs" */
	const char *options; /* the super block's; "" where there are none */
} MountinfoLine;

/*
 * The next line of text that is one, which text is changed by; rest, at first the whole text, is
 * what follows. False: there is none.
 */
bool mountinfo_next(char **rest, MountinfoLine *ret_line);

/*
 * The mappings of a process, asked one by one (PROCMAP_QUERY, Linux 6.11; proc_pid_maps(5)): the
 * text of maps takes three to seven times as long, since it spells the paths of all libraries.
 */
typedef struct {
	uint64_t start, end, inode;
	dev_t dev;
} ProcMap;

/*
 * The first mapping of a file at or behind from, of an open /proc/PID/maps; shared: among those
 * with MAP_SHARED. 0; -ENOENT: there is no more; -ESRCH: the process has no memory (any more);
 * -ENOTTY: the kernel does not know the question.
 */
int procmap_next(int maps_fd, uint64_t from, bool shared, ProcMap *ret_map);

/*
 * The name of that mapping, as maps spells it but with newlines as they are: its length, 0 where
 * it has none or one that does not fit. The mapping is as it is by now. Errors as above.
 */
ssize_t procmap_name(int maps_fd, ProcMap *map, char *name, size_t size);

/* Whether /proc has the numbers of our pid namespace: else its threads are strangers. */
bool procfs_is_ours(void);

/*
 * Are the thread's requests another's? A kernel's thread (nfsd) and a worker of io_uring act with
 * credentials that its status does not show. True also where that cannot be known.
 */
bool procfs_acts_for_another(const char *proc_root, pid_t tid);

/* What a thread that waits for an answer asks of the kernel. */
typedef enum {
	CALL_UNKNOWN,
	CALL_LOOKS,    /* it looks at a name or changes it, and opens nothing */
	CALL_READLINK, /* the same; what the last link of a path says, without following it */
	CALL_STATS,    /* AT_EMPTY_PATH: it looks at a name, or at what is open already */
	CALL_OPENS,
	CALL_ON_OPEN, /* it is about what is open already, by its descriptor */
} ProcfsCall;

/*
 * The system call in which it is, from proc_root/<tid>/syscall (proc(5)); of one that opens a file
 * the flags of open(2), if ret_flags is not NULL. Unknown is also a call of a 32-bit program, and
 * openat2(2), whose flags are in memory that may be slow to read.
 */
ProcfsCall procfs_call(const char *proc_root, pid_t tid, int *ret_flags);
/* Do flags, of a call that opens, open a file which is there, and not its name or a directory
 * alone? */
bool procfs_opens_file(int flags);
/* Is it a thread that a signal is about to end, or that has ended? */
bool procfs_is_killed(const char *proc_root, pid_t tid);

/* Has the process of a pidfd ended? -1: it had when that was asked for. */
bool procfs_has_ended(int pidfd);
