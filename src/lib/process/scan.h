/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <segfs/namespace.h>
#include <segfs/scan.h>

/*
 * The inside of a scan. scan.c goes through the processes twice: first for the mount
 * namespaces they live in, whose mounts (scan_mounts.c) say which devices hold shared
 * memory, then for what each has mapped and open (scan_process.c).
 */

typedef enum {
	DEVICE_KERNEL, /* the kernel's own tmpfs: SysV segments, memfds, anonymous memory */
	DEVICE_HUGE,   /* its own hugetlbfs: the same of huge pages */
	DEVICE_SHM,    /* a directory of POSIX objects */
	DEVICE_SEGFS,  /* a segfs mount, of root or ours */
} DeviceKind;

typedef struct {
	dev_t dev;
	DeviceKind kind;
} Device;

/* A file of a directory of POSIX objects, or a directory in it, that is mounted by itself. */
typedef struct {
	dev_t dev;
	char *root; /* from the root of the file system */
} ScanBound;

struct SegfsScan {
	gatomicrefcount refs;
	guint64 number;          /* no other has it */
	GPtrArray *processes;    /* SegfsProcess */
	GHashTable *held;        /* SegfsId -> SegfsHeld */
	GHashTable *mounted;     /* the same, by the inode number on a segfs mount */
	GPtrArray *bound;        /* ScanBound */
	GArray *unexamined;      /* SegfsUnexamined */
	guint n_mounts;          /* of segfs */
	GHashTable *drm_clients; /* a set of "DEVICE CLIENT" */
	uint64_t drm_bytes;      /* theirs, resident in Shmem */
};

/* A scan while it is made. */
typedef struct {
	const char *proc_root;
	int proc_fd;
	SegfsScan *scan;
	GArray *devices;    /* Device */
	GHashTable *mounts; /* mount id -> dev_t */
	pid_t thread;       /* through which the process is looked at */
	pid_t judged;       /* the last of which was asked whether it is a segfs mount */
	bool is_mount;      /* and whether it is */
	GString *text;      /* what was read last */
	int error;          /* ours, that ends it */
	int refused;        /* the last that was not tolerated */
	bool missed;        /* what the process has open is not known to the last one */
} ScanRun;

/* scan_mounts.c: the kernel's own devices, and the mounts that process's namespace sees. */
void scan_run_add_device(ScanRun *run, dev_t dev, DeviceKind kind);
void scan_run_add_kernel_devices(ScanRun *run);
bool scan_run_add_mounts(ScanRun *run, int process_fd);
/* When all are there: of which devices mounts are known whose roots lie inside is known only then.
 */
void scan_run_sort_bound(ScanRun *run);
void scan_bound_free(gpointer bound);
const Device *scan_run_device(const ScanRun *run, dev_t dev);

/*
 * scan.c: what an error with one process means. That we have no descriptors or no memory
 * ends the run, since then nothing is known of the rest; of a process that has ended
 * there is nothing to know. False: of any other it is not known what it holds.
 */
bool scan_run_tolerates(ScanRun *run, int error);

/* scan.c: one more process that could not be examined; error: why, or 0 for the last refusal. */
void scan_run_unexamined(ScanRun *run, pid_t pid, int error);

/* scan_drm.c: where link is a graphics device's, what its client has. */
void scan_run_drm(ScanRun *run, int process_fd, const char *directory, const char *fd,
		  const char *link);

/* scan_process.c: what it holds goes into the scan. False where we do not know it. */
bool scan_run_process(ScanRun *run, int process_fd, SegfsProcess *process);

/*
 * The processes and their namespaces alone; the rest of the scan may be empty. A whole scan that is
 * fresh enough answers for it. For the rest like segfs_scanner_scan().
 */
int scanner_processes(SegfsScanner *scanner, SegfsSince since, SegfsScan **ret_scan);
/* How often it has gone through all processes. */
guint64 scanner_n_walks(SegfsScanner *scanner);
const char *scanner_proc_root(const SegfsScanner *scanner);

/*
 * scan_mounts.c: the device that a process has on its /dev/shm; false where it has none, or
 * one that is no directory of POSIX objects but some other of the host's.
 */
bool process_shm(const char *proc_root, pid_t pid, dev_t *ret_dev);

/* scan.c: an empty one. */
SegfsScan *scan_new(void);

/* scan.c: one more mapping or descriptor of memory. */
SegfsHolder *scan_add(SegfsScan *scan, GHashTable *table, const SegfsId *id, const char *name,
		      size_t name_length, const SegfsProcess *process);

/*
 * Files on this device count as POSIX objects, besides those of each mount namespace's
 * /dev/shm: for a directory of POSIX objects that is somewhere else.
 */
void scanner_watch(SegfsScanner *scanner, dev_t device);

/*
 * Who need not be looked at: a set of pids (to be unreferenced) of processes that have nothing of
 * these devices (dev_t) mapped or open, and no graphics device; NULL where it is known of none. It
 * is called by a thread that others do not wait for, and may be still when the scanner is gone.
 */
typedef GHashTable *(*ScannerWithout)(int iterator, const GArray *devices);
/* Before the first scan. iterator: what without is given, -1: there is none. */
void scanner_spare(SegfsScanner *scanner, ScannerWithout without, int iterator);

/* Segfs mounts of root, or ours, through which also processes that were not examined may hold it.
 */
guint scan_mounts(const SegfsScan *scan);

/* What holds number through a segfs mount, see segfs_mount_ino(); or NULL. */
const SegfsHeld *scan_find_mounted(const SegfsScan *scan, uint64_t number);

/* namespace.c. */
SegfsNamespace *namespace_ref(SegfsNamespace *ns);
uint64_t namespace_inum(const SegfsNamespace *ns);

/*
 * A descriptor of /proc/PID/ns/ipc for setns(2), the calling function's to close; as long as it is
 * open the namespace lives. -ENOENT: no process lives in it any more.
 */
int namespace_open(SegfsNamespace *ns, int *ret_fd);

/* Of the /dev/shm on dev, likewise. -ENOENT: no process sees it now. */
int namespace_open_shm(SegfsNamespace *ns, dev_t dev, int *ret_fd);
