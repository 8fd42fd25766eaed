/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <segfs/sysv.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Who holds shared memory: one walk through /proc, for all of it at once (proc(5): maps,
 * map_files, fd, fdinfo, mountinfo, ns). Nothing in it can block on a file system that
 * hangs: what a process has open is told apart by what /proc says of it, and only memory
 * and segfs's own mounts are looked at further, as the kernel remembers them.
 */

typedef enum {
	SEGFS_SYSV,
	SEGFS_POSIX, /* a file in a directory of POSIX objects */
	SEGFS_MEMFD, /* memfd_create(2) */
	SEGFS_ANON,  /* mmap(2) of MAP_SHARED | MAP_ANONYMOUS, or of /dev/zero */
} SegfsKind;

/* Which memory. */
typedef struct {
	SegfsKind kind;
	uint64_t space;  /* of SEGFS_SYSV the number of the IPC namespace, else st_dev */
	uint64_t number; /* of SEGFS_SYSV the shmid, else st_ino */
} SegfsId;

/* For hash tables of them. */
guint segfs_id_hash(gconstpointer id);
gboolean segfs_id_equal(gconstpointer a, gconstpointer b);

/* Lives as long as its scan. */
typedef struct {
	pid_t pid;
	pid_t thread;    /* one that lives, through which its namespaces are reached: pid, mostly */
	uid_t uid;       /* effective, as the owner of /proc/PID */
	uint64_t start;  /* clock ticks since boot; with pid it names a process for good */
	uint64_t ipc_ns; /* numbers of its namespaces; 0: not known to us */
	uint64_t mnt_ns;
	char command[16]; /* as in /proc/PID/comm; of holders */
} SegfsProcess;

typedef struct {
	const SegfsProcess *process;
	guint attached;      /* times, by shmat(2) or a mapping of a segment's memory */
	guint mapped;        /* mappings of anything else, through a segfs mount too */
	guint open;          /* descriptors */
	pid_t thread;        /* one of its, through which it is reached */
	int fd;              /* one of those, or -1 */
	uint64_t start, end; /* one of the mappings; 0, 0: none */

	/* What the mapping of a segment leads to, where we may see that (see segment/holder.c). */
	bool has_memory;
	uid_t memory_uid;
	gid_t memory_gid;
	uint64_t memory_size;
} SegfsHolder;

/* Memory that somebody holds. */
typedef struct {
	SegfsId id;
	char *name;      /* as /proc shows it, without " (deleted)" */
	bool deleted;    /* had lost that name; it may have others */
	GArray *holders; /* SegfsHolder */
} SegfsHeld;

/* A counted reference; never changes. */
typedef struct SegfsScan SegfsScan;
SegfsScan *segfs_scan_ref(SegfsScan *scan);
void segfs_scan_unref(SegfsScan *scan);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SegfsScan, segfs_scan_unref)

/* Safe to use from many threads. */
typedef struct SegfsScanner SegfsScanner;

/* proc_root NULL: /proc. Cannot fail. */
SegfsScanner *segfs_scanner_new(const char *proc_root);
void segfs_scanner_free(SegfsScanner *scanner);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SegfsScanner, segfs_scanner_free)

/*
 * Files on this device count as POSIX objects, besides those of each mount namespace's
 * /dev/shm: for a directory of POSIX objects that is somewhere else.
 */
void segfs_scanner_watch(SegfsScanner *scanner, dev_t device);

/* How old a scan may be; any other number is microseconds of g_get_monotonic_time(). */
#define SEGFS_SCAN_NEW                                                                             \
	0 /* begun after the call: those who call while one goes on share the next                 \
	   */
#define SEGFS_SCAN_RECENT 1 /* as old as four times what it took */

/*
 * A scan that began at since or later. Leaves out the calling process. Errors are those of
 * opendir(3) on proc_root.
 */
int segfs_scanner_scan(SegfsScanner *scanner, int64_t since, SegfsScan **ret_scan);

/* Processes that we were not allowed to look into. */
guint segfs_scan_unexamined(const SegfsScan *scan);

/* Segfs mounts of root, or ours, through which also those may hold memory. */
guint segfs_scan_mounts(const SegfsScan *scan);

/* Of memory, or NULL where no process that could be examined holds it. */
const SegfsHeld *segfs_scan_find(const SegfsScan *scan, const SegfsId *id);

/* What holds number through a segfs mount, see segfs_mount_ino(); or NULL. */
const SegfsHeld *segfs_scan_find_mounted(const SegfsScan *scan, uint64_t number);

/* All that is held, as an array of const SegfsHeld that the caller unrefs. */
GPtrArray *segfs_scan_held(const SegfsScan *scan);

/* Every process that there was, as SegfsProcess; those who hold nothing have no start. */
const GPtrArray *segfs_scan_processes(const SegfsScan *scan);

/*
 * The inode number by which a segfs mount shows memory: of POSIX objects on the device
 * plain, the mount's own directory, the one they have there.
 */
uint64_t segfs_mount_ino(const SegfsId *id, dev_t plain);

/* When it started, in seconds since 1970. */
int64_t segfs_process_started(const SegfsProcess *process);

/*
 * The process's command line, with blanks between its arguments, and its cgroup
 * (cgroups(7), the path of version 2); the caller's to free. Both are for a terminal: control
 * characters and what is no UTF-8 are written as in C, "\n" or "\033". NULL where it has none,
 * has ended, or cannot be asked.
 */
char *segfs_process_command_line(const char *proc_root, const SegfsProcess *process);
char *segfs_process_cgroup(const char *proc_root, const SegfsProcess *process);
