/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Acting as somebody else, on one thread.
 *
 * The C library's setresuid() and friends change all threads of a process; the system
 * calls behind them change only the calling one, and that is what is wanted here. The
 * real and the saved user stay root, so that the way back is open and that the caller
 * can neither signal nor trace the thread that works for it (kill(2), ptrace(2)).
 *
 * The capabilities are the caller's own: a root that has dropped them gets no more
 * through us than without us, and a user that holds CAP_IPC_OWNER gets no less.
 *
 * The umask belongs to the thread's file system attributes, which threads share until
 * they unshare(CLONE_FS); tmpfs ignores it under a default ACL, so it cannot be applied
 * beforehand.
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <segfs/caller.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/os/errand.h"
#include "lib/os/fd.h"
#include "lib/os/home.h"
#include "lib/os/procfs.h"

static struct {
	bool may_change; /* may we become somebody else? */
	uid_t uid;
	gid_t gid;
	int n_groups;
	gid_t *groups;
	uint64_t effective, permitted;
	uint64_t user_ns;
} self;

static __thread bool own_umask;
/* What is not ours between segfs_caller_enter() and segfs_caller_leave(). */
static __thread enum { NOTHING, CAPABILITIES, ALL } is_another;
static __thread mode_t umask_before;

static int caps_get(uint64_t *effective, uint64_t *permitted)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {};

	if (syscall(SYS_capget, &header, data) < 0)
		return -errno;
	*effective = (uint64_t)data[1].effective << 32 | data[0].effective;
	*permitted = (uint64_t)data[1].permitted << 32 | data[0].permitted;
	return 0;
}

static int caps_set(uint64_t effective, uint64_t permitted)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {
		{.effective = (uint32_t)effective, .permitted = (uint32_t)permitted},
		{.effective = effective >> 32, .permitted = permitted >> 32},
	};

	return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

static void self_read(void)
{
	static gsize once;
	const uint64_t needed = 1ULL << CAP_SETUID | 1ULL << CAP_SETGID;

	if (!g_once_init_enter(&once))
		return;
	self.uid = geteuid();
	self.gid = getegid();
	self.n_groups = getgroups(0, NULL);
	if (self.n_groups > 0) {
		self.groups = g_new(gid_t, self.n_groups);
		self.n_groups = getgroups(self.n_groups, self.groups);
	}
	self.n_groups = MAX(self.n_groups, 0);
	if (caps_get(&self.effective, &self.permitted) < 0)
		self.effective = self.permitted = 0;
	/* The root of a user namespace may have no right to change groups. */
	self.may_change = self.uid == 0 && (self.effective & needed) == needed &&
			  syscall(SYS_setgroups, (size_t)self.n_groups, self.groups) == 0;
	self.user_ns = procfs_namespace(AT_FDCWD, "/proc/self/ns/user");
	g_once_init_leave(&once, 1);
}

void segfs_caller_self(SegfsCaller *ret_caller)
{
	self_read();
	*ret_caller = (SegfsCaller){
		.uid = self.uid,
		.gid = self.gid,
		.tid = gettid(),
		.pid = getpid(),
		.umask = 0,
		.caps = self.effective,
		.n_groups = self.n_groups,
		.groups = g_memdup2(self.groups, self.n_groups * sizeof(gid_t)),
	};
}

void segfs_caller_clear(SegfsCaller *caller)
{
	g_clear_pointer(&caller->groups, g_free);
	caller->n_groups = 0;
}

static void parse_groups(SegfsCaller *caller, const char *field)
{
	g_autoptr(GArray) groups = g_array_new(FALSE, FALSE, sizeof(gid_t));

	for (;;) {
		while (*field == ' ' || *field == '\t')
			field++;
		if (!g_ascii_isdigit(*field))
			break;
		char *end;
		gid_t group = strtoul(field, &end, 10);
		g_array_append_val(groups, group);
		field = end;
	}
	caller->n_groups = groups->len;
	if (groups->len)
		caller->groups = (gid_t *)g_array_free(g_steal_pointer(&groups), FALSE);
}

static bool in_our_user_ns(const char *proc_root, pid_t tid)
{
	g_autofree char *path = g_strdup_printf("%s/%d/ns/user", proc_root, tid);

	return self.user_ns && procfs_namespace(AT_FDCWD, path) == self.user_ns;
}

/* The four ids of a status line: real, effective, saved, and that of the file system. */
static bool parse_ids(const char *status, const char *key, unsigned long ids[4])
{
	const char *field = procfs_value(status, key);

	return field && sscanf(field, "%lu %lu %lu %lu", &ids[0], &ids[1], &ids[2], &ids[3]) == 4;
}

typedef enum {
	OF_THREAD,  /* as the thread is now */
	OF_ACCESS,  /* access(2) and its like: with the thread's groups, as its real user */
	OF_ANOTHER, /* overlayfs: as the user who mounted it, whose groups are not shown */
} RequestOf;

static RequestOf request_of(const char *status, uid_t uid, gid_t gid)
{
	unsigned long uids[4], gids[4];

	if (!parse_ids(status, "Uid", uids) || !parse_ids(status, "Gid", gids))
		return OF_ANOTHER;
	if (uids[3] == uid && gids[3] == gid)
		return OF_THREAD;
	return uids[0] == uid && gids[0] == gid ? OF_ACCESS : OF_ANOTHER;
}

void segfs_caller_read(SegfsCaller *ret_caller, const char *proc_root, pid_t tid, uid_t uid,
		       gid_t gid, mode_t umask)
{
	g_autofree char *path = g_strdup_printf("%s/%d/status", proc_root, tid);
	g_autofree char *status = NULL;
	const char *field;

	self_read();
	*ret_caller = (SegfsCaller){
		.uid = uid, .gid = gid, .umask = umask, .tid = MAX(tid, 0), .groups_unknown = true};
	/* Under a /proc of other numbers it would be a stranger's rights that are read. */
	if (tid <= 0 || !procfs_is_ours() || !g_file_get_contents(path, &status, NULL, NULL))
		return;
	if ((field = procfs_value(status, "Tgid")))
		ret_caller->pid = atoi(field);
	const RequestOf of = request_of(status, uid, gid);
	if (of == OF_ANOTHER || procfs_acts_for_another(proc_root, tid))
		return;
	if ((field = procfs_value(status, "Groups"))) {
		parse_groups(ret_caller, field);
		ret_caller->groups_unknown = false;
	}
	/* For access(2) a root has what it is permitted, anybody else no capabilities. */
	if (of == OF_ACCESS && uid != 0)
		return;
	if ((field = procfs_value(status, of == OF_ACCESS ? "CapPrm" : "CapEff")))
		ret_caller->caps = g_ascii_strtoull(field, NULL, 16);
	if (ret_caller->caps && !in_our_user_ns(proc_root, tid))
		ret_caller->caps = 0;
}

void segfs_caller_of_thread(SegfsCaller *ret_caller, const char *proc_root, pid_t tid, uid_t uid,
			    gid_t gid, mode_t umask)
{
	*ret_caller = (SegfsCaller){
		.uid = uid,
		.gid = gid,
		.umask = umask,
		.tid = MAX(tid, 0),
		.proc_root = proc_root,
	};
}

void segfs_caller_complete(const SegfsCaller *caller)
{
	SegfsCaller *lazy = (SegfsCaller *)caller;

	if (caller->proc_root)
		segfs_caller_read(lazy, caller->proc_root, caller->tid, caller->uid, caller->gid,
				  caller->umask);
	/* Nobody waits any more: its number may be another thread's, and so may what was read. */
	if (errand_is_unwanted()) {
		segfs_caller_clear(lazy);
		lazy->caps = 0;
		lazy->groups_unknown = true;
	}
}

int segfs_caller_granted(mode_t mode, bool is_owner, bool is_of_group)
{
	return 07 & (is_owner ? mode >> 6 : is_of_group ? mode >> 3 : mode >> 3 & mode);
}

bool segfs_caller_may_be_barred(const SegfsCaller *caller, mode_t mode, int mask)
{
	segfs_caller_complete(caller);
	return caller->groups_unknown && mask & mode & ~(mode >> 3);
}

int segfs_caller_admit(const SegfsCaller *caller, int fd, int mask)
{
	struct stat st;

	segfs_caller_complete(caller);
	if (!caller->groups_unknown)
		return 0;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (caller->uid == st.st_uid || S_ISLNK(st.st_mode))
		return 0;
	/* An access list (acl(5)) can name any group. */
	FdPath path;
	fd_path(fd, path);
	if (fd_has_acl(path))
		return -EACCES;
	return caller->gid != st.st_gid && segfs_caller_may_be_barred(caller, st.st_mode, mask)
		       ? -EACCES
		       : 0;
}

/* Reads a root's thread; false also where that takes the long way. */
static bool root_has(const SegfsCaller *caller, int capability)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3,
						  .pid = caller->tid};
	struct __user_cap_data_struct data[2] = {};

	self_read();
	if (caller->tid <= 0 || !procfs_is_ours() || syscall(SYS_capget, &header, data) < 0)
		return false;
	const uint64_t caps = (uint64_t)data[1].effective << 32 | data[0].effective;
	return caps & 1ULL << capability && !errand_is_unwanted() &&
	       in_our_user_ns(caller->proc_root, caller->tid) &&
	       !procfs_acts_for_another(caller->proc_root, caller->tid);
}

bool segfs_caller_has(const SegfsCaller *caller, int capability)
{
	if (caller->proc_root && caller->uid == 0 && root_has(caller, capability))
		return true;
	segfs_caller_complete(caller);
	return caller->caps & 1ULL << capability;
}

bool segfs_caller_bare(const SegfsCaller *caller, SegfsCaller *ret_bare)
{
	*ret_bare = *caller;
	if (!caller->proc_root)
		return false;
	ret_bare->proc_root = NULL;
	ret_bare->groups_unknown = true;
	return true;
}

void segfs_caller_copy(const SegfsCaller *caller, SegfsCaller *ret_copy)
{
	segfs_caller_complete(caller);
	*ret_copy = *caller;
	ret_copy->groups = g_memdup2(caller->groups, caller->n_groups * sizeof(gid_t));
}

static int become(uid_t uid, gid_t gid, int n_groups, const gid_t *groups, uint64_t effective)
{
	if (syscall(SYS_setgroups, (size_t)n_groups, groups) < 0)
		return -errno;
	if (syscall(SYS_setresgid, -1, gid, -1) < 0)
		return -errno;
	if (syscall(SYS_setresuid, -1, uid, -1) < 0)
		return -errno;
	return caps_set(effective, self.permitted);
}

/* Nothing goes on as the wrong user: where this is refused, the thread is lost. */
static void restore(void)
{
	const bool all = is_another == ALL;
	int r = caps_set(all ? self.permitted : self.effective, self.permitted);

	if (r == 0 && all)
		r = become(self.uid, self.gid, self.n_groups, self.groups, self.effective);
	if (r < 0)
		home_lost("its own user", -r);
}

/* Nothing: a root's requests to a root's daemon, mostly. */
static int difference(const SegfsCaller *caller)
{
	if (caller->uid != self.uid || caller->gid != self.gid ||
	    caller->n_groups != (guint)self.n_groups ||
	    (self.n_groups > 0 &&
	     memcmp(caller->groups, self.groups, self.n_groups * sizeof(gid_t)) != 0))
		return ALL;
	return (caller->caps & self.permitted) == self.effective ? NOTHING : CAPABILITIES;
}

int segfs_caller_enter(const SegfsCaller *caller)
{
	int r = home_check();

	if (r < 0)
		return r;
	self_read();
	/* To the system calls below -1 means: stay what you are. */
	if (caller->uid == (uid_t)-1 || caller->gid == (gid_t)-1)
		return -EINVAL;
	if (!self.may_change && caller->uid != self.uid)
		return -EACCES;
	segfs_caller_complete(caller);
	if (!own_umask) {
		if (unshare(CLONE_FS) < 0)
			return -errno;
		own_umask = true;
	}
	is_another = self.may_change ? difference(caller) : NOTHING;
	if (is_another != NOTHING) {
		const uint64_t caps = caller->caps & self.permitted;
		r = is_another == CAPABILITIES ? caps_set(caps, self.permitted)
					       : become(caller->uid, caller->gid, caller->n_groups,
							caller->groups, caps);
		if (r < 0) {
			restore();
			return home_check() < 0 ? home_check() : r;
		}
	}
	umask_before = umask(caller->umask);
	return 0;
}

void segfs_caller_leave(void)
{
	const int error = errno;

	umask(umask_before);
	if (is_another != NOTHING)
		restore();
	errno = error;
}
