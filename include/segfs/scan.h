/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <segfs/since.h>
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
	uint64_t domain; /* in which number is given: of SEGFS_SYSV the number of the IPC
			    namespace, else st_dev */
	uint64_t number; /* of SEGFS_SYSV the shmid, else st_ino */
} SegfsId;

/* A hash of a SegfsId, for g_hash_table_new(). */
guint segfs_id_hash(gconstpointer id);

/* Are they of one memory? For g_hash_table_new(). */
gboolean segfs_id_equal(gconstpointer a, gconstpointer b);

/* Lives as long as its scan. */
typedef struct {
	pid_t pid;
	pid_t parent;    /* 0: it has none, or that is not known */
	pid_t thread;    /* one that lives, through which its namespaces are reached: pid, mostly */
	uid_t uid;       /* effective, as the owner of /proc/PID */
	uint64_t start;  /* clock ticks since boot; with pid it names a process for good */
	uint64_t ipc_ns; /* numbers of its namespaces; 0: not known to us */
	uint64_t mnt_ns;
	char command[16]; /* as in /proc/PID/comm */
} SegfsProcess;

typedef struct {
	const SegfsProcess *process;
	guint attached;      /* times, by shmat(2) or a mapping of a segment's memory */
	guint mapped;        /* mappings of anything else, through a segfs mount too */
	guint open;          /* descriptors */
	pid_t thread;        /* one of its, through which it is reached */
	int fd;              /* one of those, or -1 */
	uint64_t start, end; /* one of the mappings; 0, 0: none */
	bool is_huge;        /* it is of huge pages; see SegfsPages of sysv.h */

	/* What the mapping of a segment leads to, where we may see that (see memory/holder.c). */
	bool has_memory;
	uid_t memory_uid;
	gid_t memory_gid;
	uint64_t memory_size;
	uint64_t memory_resident; /* bytes; of small pages those that are swapped, too */
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

/* One more reference to it, which is returned. Cannot fail. */
SegfsScan *segfs_scan_ref(SegfsScan *scan);

/* Gives up a reference. Cannot fail. */
void segfs_scan_unref(SegfsScan *scan);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SegfsScan, segfs_scan_unref)

/* Safe to use from many threads. */
typedef struct SegfsScanner SegfsScanner;

/* One of proc_root; NULL: /proc. Free with segfs_scanner_free(). Cannot fail. */
SegfsScanner *segfs_scanner_new(const char *proc_root);

/* Frees it; scans of it stay. No call of another thread may be in it. Cannot fail. */
void segfs_scanner_free(SegfsScanner *scanner);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SegfsScanner, segfs_scanner_free)

/*
 * A scan that is as fresh as since says; those who ask while one is made share the next. Leaves out
 * the calling process. Errors are those of opendir(3) on proc_root; -ETIMEDOUT: it hangs, at one
 * process after the other.
 */
int segfs_scanner_scan(SegfsScanner *scanner, SegfsSince since, SegfsScan **ret_scan);

/* How many processes it could not look into (ptrace(2), PTRACE_MODE_READ_FSCREDS). Cannot fail. */
guint segfs_scan_unexamined(const SegfsScan *scan);

typedef struct {
	SegfsProcess process; /* pid 0: some that /proc hides (proc(5), hidepid) */
	int error;            /* -errno; 0: not known */
} SegfsUnexamined;

/* One of them, the scan's, index from 0. Cannot fail. */
const SegfsUnexamined *segfs_scan_unexamined_of(const SegfsScan *scan, guint index);

/*
 * What holds the memory, the scan's, or NULL where no process that could be examined holds it.
 */
const SegfsHeld *segfs_scan_find(const SegfsScan *scan, const SegfsId *id);

/* All that is held, as an array of const SegfsHeld, the scan's; the caller unrefs the array. */
GPtrArray *segfs_scan_held(const SegfsScan *scan);

/*
 * Resident bytes of Shmem that clients of graphics drivers have, as fdinfo of their descriptors
 * tells (drm-resident-*, or drm-memory-*: Documentation/gpu/drm-usage-stats.rst). What two clients
 * share counts twice, so it is the most that it can be. Cannot fail; 0: none, or drivers that do
 * not tell.
 */
uint64_t segfs_scan_drm(const SegfsScan *scan);

/* Every process that there was, as SegfsProcess, the scan's; start 0: it has ended meanwhile. */
const GPtrArray *segfs_scan_processes(const SegfsScan *scan);

/*
 * The inode number (st_ino) under which a segfs mount shows memory. POSIX objects on the device
 * plain, which is that of the mount's own directory of them, have there the number that they have
 * in that directory; objects on other devices have one that is made of device and inode number.
 * Cannot fail.
 */
uint64_t segfs_mount_ino(const SegfsId *id, dev_t plain);

/* When it started, in seconds since 1970; a clock that was set since is not known. Cannot fail. */
int64_t segfs_process_started(const SegfsProcess *process);

/*
 * The process's command line (proc_pid_cmdline(5)), with blanks between its arguments, the caller's
 * to free. It is for a terminal: control characters and what is no UTF-8 are written as in C, "\n"
 * or "\033". NULL where it has none, has ended, or cannot be asked within a second.
 */
char *segfs_process_command_line(const char *proc_root, const SegfsProcess *process);

/*
 * The number that it has in its own pid namespace (NSpid of proc_pid_status(5)), by which a
 * container's own log names it. 0: it has no other than ours, or it cannot be asked.
 */
pid_t segfs_process_inner_pid(const char *proc_root, const SegfsProcess *process);

/* Its cgroup (cgroups(7)), the path of version 2 where there is one; likewise. */
char *segfs_process_cgroup(const char *proc_root, const SegfsProcess *process);
