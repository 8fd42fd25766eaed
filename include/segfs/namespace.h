/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <segfs/scan.h>

/*
 * Another IPC namespace (ipc_namespaces(7)) in which processes live. It is known by its
 * number, and reached through one of its processes each time: nothing is held of it in
 * between, so that it and its memory go when its last process ends. Counted references;
 * safe to use from many threads.
 */
typedef struct SegfsNamespace SegfsNamespace;

/*
 * By its number, as in /proc/PID/ns/ipc. The scanner must outlive it. Free with
 * segfs_namespace_unref(). -ENOENT: no process lives in it; other errors are those of
 * segfs_scanner_scan().
 */
int segfs_namespace_new(SegfsScanner *scanner, uint64_t inum, SegfsNamespace **ret_ns);
/* Gives up a reference. Cannot fail. */
void segfs_namespace_unref(SegfsNamespace *ns);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SegfsNamespace, segfs_namespace_unref)

/*
 * Does a process live in it? 0, or -ENOENT as above. Takes a third of the time of entering it, by
 * looking at the number (namespaces(7)) of the process through which it was reached last; where
 * that process has moved on to another namespace, which has been given the same number, the next
 * call that enters it notices and fails with -ENOENT.
 */
int segfs_namespace_lives(SegfsNamespace *ns);

/*
 * The number of the user namespace that owns it, in which rights on its memory are judged
 * (NS_GET_USERNS of ioctl_ns(2)); its processes can be in others. -ENOENT as above. -EPERM: that is
 * neither ours nor one below ours.
 */
int segfs_namespace_owner(SegfsNamespace *ns, uint64_t *ret_user_ns);

/*
 * The /dev/shm of its processes, which can be in several mount namespaces; those that show
 * one file system count once. They keep their order, and new
 * ones come last.
 */
typedef struct {
	dev_t dev;
	uint64_t mnt_ns; /* of one of the processes that see it */
	pid_t pid;       /* that process, */
	pid_t thread;    /* and a thread of it that lives */
} SegfsNamespaceShm;

/*
 * Those directories, as an array of SegfsNamespaceShm that the caller unrefs. -ENOENT as above.
 * See proc_pid_mountinfo(5).
 */
int segfs_namespace_shm(SegfsNamespace *ns, SegfsSince since, GArray **ret_shm);

/*
 * A descriptor of one process's /dev/shm, the caller's to close. -ENOENT: it has none, or
 * only a link or a directory of another file system, which could be anything.
 */
int segfs_process_open_shm(const char *proc_root, pid_t pid, int *ret_fd);

/*
 * Why the /dev/shm of a process is none of those: what is mounted there, and where the daemon sees
 * it, in words without control characters (proc_pid_mountinfo(5)). The caller's to free. NULL: it
 * is one of those, or cannot be asked.
 */
char *segfs_process_shm_missed(const char *proc_root, pid_t pid);

/*
 * The numbers (uint64_t) of all IPC namespaces with a process in them but our own, in order, as an
 * array that the caller unrefs. Errors are those of segfs_scanner_scan(), and of stat(2) on
 * /proc/self/ns/ipc.
 */
int segfs_namespaces_list(SegfsScanner *scanner, GArray **ret_inums);

/*
 * Its processes, of a scan as fresh as since says, as an array of SegfsProcess that the caller
 * unrefs; it can be empty. Errors are those of segfs_scanner_scan().
 */
int segfs_namespace_processes(SegfsNamespace *ns, SegfsSince since, GArray **ret_processes);
