/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <errno.h>
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Who asks. A value that is read once, where the request comes in, and passed down.
 *
 * Whatever opens, makes, changes or removes something does so between
 * segfs_caller_enter() and segfs_caller_leave(): there the calling thread has the
 * caller's user, groups, capabilities and umask, and the kernel decides. segfs has no
 * permission rules of its own.
 */
typedef struct {
	uid_t uid;
	gid_t gid;
	pid_t pid; /* of the process (thread group); 0: not known here */
	mode_t umask;
	uint64_t caps; /* effective capabilities, bit n is capability n */
	guint n_groups;
	gid_t *groups; /* supplementary groups; owned */
} SegfsCaller;

/* The calling process itself. Free with segfs_caller_clear(). */
void segfs_caller_self(SegfsCaller *ret_caller);

/*
 * The rights that thread tid has at this moment, read from proc_root/<tid>/status
 * (proc(5)), for a request made as uid and gid. Supplementary groups and capabilities
 * that cannot be read are taken as none: a caller may get less than the kernel gives,
 * never more. Capabilities count only in our own user namespace (user_namespaces(7)).
 * Cannot fail.
 */
void segfs_caller_read(SegfsCaller *ret_caller, const char *proc_root, pid_t tid, uid_t uid,
		       gid_t gid, mode_t umask);

/*
 * A caller with user 0 that may do everything, without its groups: quicker. False: it may not,
 * or it has to be asked the long way.
 */
bool segfs_caller_read_root(SegfsCaller *ret_caller, const char *proc_root, pid_t tid, gid_t gid,
			    mode_t umask);

void segfs_caller_clear(SegfsCaller *caller);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(SegfsCaller, segfs_caller_clear)

/*
 * Makes the calling thread act as the caller, until segfs_caller_leave(). The pair does
 * not nest. A process that may not change its user serves only its own user: -EACCES for
 * any other; -EINVAL for nobody (-1). Other errors are those of setresuid(2), setgroups(2) and
 * capset(2).
 */
int segfs_caller_enter(const SegfsCaller *caller);

/* Back to what the process is. Keeps errno. Ends the process if that is refused. */
void segfs_caller_leave(void);

/* One system call as the caller: its value, or -errno. */
#define SEGFS_AS(caller, call)                                                                     \
	({                                                                                         \
		long segfs_as_ = segfs_caller_enter(caller);                                       \
		if (segfs_as_ == 0) {                                                              \
			segfs_as_ = (call);                                                        \
			if (segfs_as_ < 0)                                                         \
				segfs_as_ = -errno;                                                \
			segfs_caller_leave();                                                      \
		}                                                                                  \
		segfs_as_;                                                                         \
	})
