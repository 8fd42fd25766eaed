/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <errno.h>
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * The caller: whoever asks. A value that is read once, where the request comes in, and passed down.
 *
 * Whatever opens, makes, changes or removes something does so between
 * segfs_caller_enter() and segfs_caller_leave(): there the calling thread has the
 * caller's user, groups, capabilities and umask, and the kernel decides. segfs has no
 * permission rules of its own.
 */
typedef struct {
	uid_t uid;
	gid_t gid;
	mode_t umask;
	pid_t tid; /* the thread that asks; 0: not known here */

	/* What follows is there once segfs_caller_complete() has run. */
	pid_t pid;     /* of the process (thread group); 0: not known here */
	uint64_t caps; /* effective capabilities, bit n is capability n */
	guint n_groups;
	gid_t *groups;       /* supplementary groups; owned */
	bool groups_unknown; /* it may have others than those */

	const char *proc_root; /* where the rest is to be read; NULL: it is there */
} SegfsCaller;

/* The calling process itself, complete. Free with segfs_caller_clear(). Cannot fail. */
void segfs_caller_self(SegfsCaller *ret_caller);

/*
 * The rights that thread tid has at this moment, read from proc_root/<tid>/status
 * (proc(5)), for a request made as uid and gid. Supplementary groups and capabilities
 * that cannot be read are taken as none: a caller may get less than the kernel gives,
 * never more. So are those of a thread that acts for another, since they are not the request's: a
 * worker of io_uring, a kernel's thread (nfsd), who comes through overlayfs. Capabilities count
 * only in our own user namespace (user_namespaces(7)). Cannot fail.
 */
void segfs_caller_read(SegfsCaller *ret_caller, const char *proc_root, pid_t tid, uid_t uid,
		       gid_t gid, mode_t umask);

/*
 * The same of a thread that waits for the answer, so that its rights stay what they are: they are
 * read when they are needed first, which takes some 25 us, and mostly never. proc_root has to
 * outlive the caller.
 */
void segfs_caller_of_thread(SegfsCaller *ret_caller, const char *proc_root, pid_t tid, uid_t uid,
			    gid_t gid, mode_t umask);

/*
 * Reads what has not been read yet. Whoever looks at pid, caps or groups calls this before;
 * segfs_caller_enter() does. The caller is one thread's at a time.
 */
void segfs_caller_complete(const SegfsCaller *caller);

/* Has it that capability (capabilities(7))? Quicker than completing it, where it is a root. */
bool segfs_caller_has(const SegfsCaller *caller, int capability);

/*
 * Membership of a group can take rights away: of mode 0604 who is of the group has none. 0, or
 * -EACCES: the caller's groups are not known, and such a one of what fd (O_PATH will do) stands for
 * may keep the caller from a part of mask (R_OK, W_OK, X_OK; access(2)). -errno of fstat(2). To be
 * asked besides the kernel, which judges by the groups that are known; so also the next.
 */
int segfs_caller_admit(const SegfsCaller *caller, int fd, int mask);
/* The same of what has that mode, and belongs to neither the caller's user nor group. */
bool segfs_caller_may_be_barred(const SegfsCaller *caller, mode_t mode, int mask);

/*
 * The bits (R_OK, W_OK, X_OK) that a mode grants to its owner, else to one of its group, else to
 * one of whom only the caller's other groups could tell: then both the group's and the others' have
 * to have them. A capability may grant more. Cannot fail.
 */
int segfs_caller_granted(mode_t mode, bool is_owner, bool is_of_group);

/*
 * The caller with its user and group alone, complete: as if its groups and capabilities could not
 * be read, which they need not be. What is granted to it so is granted to the caller, but for
 * segfs_caller_admit(); what is not, may be. False: the caller is complete, and ret_bare is it. It
 * is not to be cleared, and lives no longer than the caller. Cannot fail.
 */
bool segfs_caller_bare(const SegfsCaller *caller, SegfsCaller *ret_bare);

/* A copy with groups of its own, complete. Free with segfs_caller_clear(). */
void segfs_caller_copy(const SegfsCaller *caller, SegfsCaller *ret_copy);

/* Frees its groups; one that is all 0 has none. Can be repeated. */
void segfs_caller_clear(SegfsCaller *caller);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(SegfsCaller, segfs_caller_clear)

/*
 * Makes the calling thread act as the caller, until segfs_caller_leave(). The pair does
 * not nest. A process that may not change its user serves only its own user: -EACCES for
 * any other; -EINVAL for nobody (-1); -ENOTRECOVERABLE: the thread is lost (thread.h).
 * Other errors are those of setresuid(2), setgroups(2) and capset(2).
 */
int segfs_caller_enter(const SegfsCaller *caller);

/* Back to what the process is. Keeps errno. Where that is refused the thread is lost (thread.h). */
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

/*
 * The attempt of who is named as: with the caller's user and group alone, which mostly do, and
 * where it is refused for these, as the caller with all that it has. Its value is a result or
 * -errno; what is refused has to have done nothing.
 */
#define SEGFS_BARE_FIRST(caller, as, attempt)                                                      \
	({                                                                                         \
		SegfsCaller segfs_bare_;                                                           \
		const bool segfs_is_bare_ = segfs_caller_bare(caller, &segfs_bare_);               \
		const SegfsCaller *as = &segfs_bare_;                                              \
		long segfs_r_ = (attempt);                                                         \
		if (segfs_is_bare_ && (segfs_r_ == -EPERM || segfs_r_ == -EACCES)) {               \
			as = (caller);                                                             \
			segfs_r_ = (attempt);                                                      \
		}                                                                                  \
		segfs_r_;                                                                          \
	})

/* SEGFS_AS() so, of a call from which no group takes rights away. */
#define SEGFS_AS_BARE(caller, call) SEGFS_BARE_FIRST(caller, segfs_who_, SEGFS_AS(segfs_who_, call))
