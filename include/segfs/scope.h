/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <segfs/history.h>
#include <segfs/keep.h>
#include <segfs/namespace.h>
#include <segfs/survey.h>

/*
 * What one survey covers: an IPC namespace (ipc_namespaces(7)), the directories of POSIX objects
 * (shm_overview(7)) of the processes in it, and the scanner that finds who holds what is in both.
 * It puts these together in the order in which they need each other, and frees them in the other.
 * Safe to use from many threads.
 */
typedef struct SegfsScope SegfsScope;

typedef struct {
	SegfsIpcOptions ipc;
	const char *shm_dir;   /* of the process's own namespace; NULL: /dev/shm */
	int64_t orphan_age;    /* seconds that memory has not been used before it is orphaned */
	const SegfsKeep *keep; /* has to outlive the scope; NULL: what is known alone */
	SegfsHistory *history; /* NULL: there is none; it has to outlive the scope */
	/*
	 * Where the calling process is a mount: what it has done with a segment for others, which
	 * scans leave out. NULL: it is none. data: any; both have to outlive the scope.
	 */
	SegfsOpened (*opened)(int shmid, gpointer data);
	gpointer data;
} SegfsScopeOptions;

/*
 * That of the calling process itself. Free with segfs_scope_free(). -ENOSYS: the kernel has no SysV
 * IPC, or no /proc to show it (proc_sysvipc(5)); other errors are those of open(2) on shm_dir.
 */
int segfs_scope_new(const SegfsScopeOptions *options, SegfsScope **ret_scope);

/*
 * That of another IPC namespace, by its number as in /proc/PID/ns/ipc: it is looked at through the
 * scanner of own, the calling process's, and each call enters it and leaves it again (setns(2),
 * CAP_SYS_ADMIN). opened and data as above. -ENOENT: no process lives in it, or it is our own.
 */
int segfs_scope_new_of(SegfsScope *own, uint64_t inum, SegfsOpened (*opened)(int, gpointer),
		       gpointer data, SegfsScope **ret_scope);

/*
 * Frees it, after everything that came from it: its memory (memory.h), items and reports. One of
 * another namespace keeps what it needs of own, which may go first. Cannot fail.
 */
void segfs_scope_free(SegfsScope *scope);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SegfsScope, segfs_scope_free)

/* Its IPC namespace. The scope's own, as what the next functions return; they cannot fail. */
SegfsIpc *segfs_scope_ipc(const SegfsScope *scope);

/* What is in it, judged. */
SegfsView *segfs_scope_view(const SegfsScope *scope);

/* The one scanner of all scopes that were made of one. */
SegfsScanner *segfs_scope_scanner(const SegfsScope *scope);

/* The namespace, where it is another than the calling process's; else NULL. */
SegfsNamespace *segfs_scope_namespace(const SegfsScope *scope);

/* The directory of POSIX objects of the calling process, shm_dir above. */
const SegfsPosix *segfs_scope_posix(const SegfsScope *scope);

/*
 * The kernel's own tmpfs, where memory is that never had a name (memfd_create(2), shared
 * anonymous mappings): it has no directory, and is only for segfs_object_read() and
 * segfs_object_open().
 */
const SegfsPosix *segfs_scope_nameless(const SegfsScope *scope);
