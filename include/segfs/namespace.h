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

/* scanner is the caller's and must outlive it. -ENOENT: no process lives in it. */
int segfs_namespace_new(SegfsScanner *scanner, uint64_t inum, SegfsNamespace **ret_ns);
SegfsNamespace *segfs_namespace_ref(SegfsNamespace *ns);
void segfs_namespace_unref(SegfsNamespace *ns);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SegfsNamespace, segfs_namespace_unref)

uint64_t segfs_namespace_inum(const SegfsNamespace *ns);

/*
 * A descriptor of /proc/PID/ns/ipc for setns(2), the caller's to close; as long as it is
 * open the namespace lives. -ENOENT: no process lives in it any more.
 */
int segfs_namespace_open(SegfsNamespace *ns, int *ret_fd);

/*
 * 0, or -ENOENT as above. A third of the cost of opening it: where the same process has
 * moved on to another namespace that has got the same number, the next open tells.
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
 * one file system count once. They keep their order, and new ones come behind.
 */
typedef struct {
	dev_t dev;
	uint64_t mnt_ns; /* of one of the processes that see it */
	pid_t pid;       /* that process, */
	pid_t thread;    /* and a thread of it that lives */
} SegfsNamespaceShm;

/*
 * An array of SegfsNamespaceShm that the caller unrefs. -ENOENT as above. since: see
 * segfs_scanner_scan().
 */
int segfs_namespace_shm(SegfsNamespace *ns, int64_t since, GArray **ret_shm);

/* A descriptor of the one on dev, the caller's to close. -ENOENT: no process sees it now. */
int segfs_namespace_open_shm(SegfsNamespace *ns, dev_t dev, int *ret_fd);

/*
 * A descriptor of one process's /dev/shm, the caller's to close. -ENOENT: it has none, or
 * only a link or a directory of another file system, which could be anything.
 */
int segfs_process_open_shm(const char *proc_root, pid_t pid, int *ret_fd);

/* The numbers (uint64_t) of all namespaces but our own, in order. The caller unrefs. */
int segfs_namespaces_list(SegfsScanner *scanner, GArray **ret_inums);

/* Its processes at this moment, as an array of SegfsProcess that the caller unrefs. */
int segfs_namespace_processes(SegfsNamespace *ns, GArray **ret_processes);

/*
 * The container that a cgroup path names: "docker 3f2a…", "podman …", "kubernetes pod … …",
 * "lxc NAME", "systemd-nspawn NAME"; the caller's to free. NULL: none that is known.
 */
char *segfs_container_of_cgroup(const char *cgroup);
