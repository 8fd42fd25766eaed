/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

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

struct SegfsScan {
	gatomicrefcount refs;
	guint64 number;       /* no other has it */
	GPtrArray *processes; /* SegfsProcess */
	GHashTable *held;     /* SegfsId -> SegfsHeld */
	GHashTable *mounted;  /* the same, by the inode number on a segfs mount */
	guint unexamined;
	guint n_mounts; /* of segfs */
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
	int error;          /* ours, that ends the walk */
} ScanRun;

/* scan_mounts.c: the kernel's own devices, and the mounts that process's namespace sees. */
void scan_run_add_device(ScanRun *walk, dev_t dev, DeviceKind kind);
void scan_run_add_kernel_devices(ScanRun *walk);
bool scan_run_add_mounts(ScanRun *walk, int process_fd);
const Device *scan_run_device(const ScanRun *walk, dev_t dev);

/*
 * scan.c: what an error with one process means. That we have no descriptors or no memory
 * ends the walk, since then nothing is known of the rest; of a process that has ended
 * there is nothing to know. False: of any other it is not known what it holds.
 */
bool scan_run_tolerates(ScanRun *walk, int error);

/* scan_process.c: what it holds goes into the scan. False where we do not know it. */
bool scan_run_process(ScanRun *walk, int process_fd, SegfsProcess *process);

/*
 * The processes alone, with their namespaces; the rest of the scan is empty. For the rest
 * like segfs_scanner_scan().
 */
int scanner_processes(SegfsScanner *scanner, int64_t since, SegfsScan **ret_scan);
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
