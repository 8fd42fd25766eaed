/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a thread that waits for our answer asks of the kernel: proc(5), /proc/TID/syscall. */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/os/procfs.h"

bool procfs_is_ours(void)
{
	static gsize once;
	static bool is_ours;

	if (g_once_init_enter(&once)) {
		char target[16] = "";
		is_ours = readlink("/proc/self", target, sizeof(target) - 1) > 0 &&
			  atoi(target) == getpid();
		g_once_init_leave(&once, 1);
	}
	return is_ours;
}

/*
 * A thread that has a list of robust futexes has set it itself, by a system call that those do not
 * make: it need not be asked for its flags.
 */
bool procfs_acts_for_another(const char *proc_root, pid_t tid)
{
	enum { PF_IO_WORKER = 0x00000010, PF_KTHREAD = 0x00200000 }; /* of linux/sched.h */
	void *robust = NULL;
	size_t size;
	ProcfsStat stat;

	if (syscall(SYS_get_robust_list, tid, &robust, &size) == 0 && robust)
		return false;
	return !procfs_stat(proc_root, tid, &stat) || stat.flags & (PF_IO_WORKER | PF_KTHREAD);
}

/*
 * Calls that take names and open nothing. The same numbers mean other calls in a 32-bit program,
 * none of which opens a file that is no regular one.
 */
static const int looking[] = {
#ifdef SYS_stat
	SYS_stat,      SYS_lstat,      SYS_access,    SYS_chmod,
	SYS_chown,     SYS_lchown,     SYS_unlink,    SYS_rename,
	SYS_link,      SYS_utime,      SYS_utimes,    SYS_futimesat,
#endif
	SYS_faccessat, SYS_faccessat2, SYS_fchmodat,  SYS_fchownat,
	SYS_unlinkat,  SYS_renameat,   SYS_renameat2, SYS_linkat,
	SYS_getxattr,  SYS_lgetxattr,  SYS_listxattr, SYS_llistxattr,
	SYS_setxattr,  SYS_lsetxattr,  SYS_statfs,    SYS_name_to_handle_at,
};

/* Calls on what is open already. */
static const int on_open[] = {
	SYS_fchmod, SYS_fchown,    SYS_ftruncate,  SYS_fallocate, SYS_fstatfs,
	SYS_fstat,  SYS_fgetxattr, SYS_flistxattr, SYS_fsetxattr, SYS_fremovexattr,
};

static bool is_one_of(int number, const int *numbers, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (numbers[i] == number)
			return true;
	return false;
}

static ProcfsCall call_of(int number, const unsigned long long *arguments, int *ret_flags)
{
	switch (number) {
#ifdef SYS_open
	case SYS_readlink:
		return CALL_READLINK;
	case SYS_open:
		*ret_flags = (int)arguments[1];
		return CALL_OPENS;
	case SYS_creat:
		*ret_flags = O_CREAT | O_WRONLY | O_TRUNC;
		return CALL_OPENS;
#endif
	case SYS_readlinkat:
		return CALL_READLINK;
	case SYS_openat:
	case SYS_open_by_handle_at:
		*ret_flags = (int)arguments[2];
		return CALL_OPENS;
	case SYS_execve:
	case SYS_execveat:
	case SYS_ioctl: /* the kernel opens a file anew for chattr(1) */
		*ret_flags = O_RDONLY;
		return CALL_OPENS;
	case SYS_newfstatat:
		return arguments[3] & AT_EMPTY_PATH ? CALL_STATS : CALL_LOOKS;
	case SYS_statx:
		return arguments[2] & AT_EMPTY_PATH ? CALL_STATS : CALL_LOOKS;
	case SYS_utimensat:
		return arguments[1] ? CALL_LOOKS : CALL_ON_OPEN; /* futimens(3) has no name */
	default:
		if (is_one_of(number, on_open, G_N_ELEMENTS(on_open)))
			return CALL_ON_OPEN;
		return is_one_of(number, looking, G_N_ELEMENTS(looking)) ? CALL_LOOKS
									 : CALL_UNKNOWN;
	}
}

bool procfs_opens_file(int flags)
{
	return !(flags & (O_PATH | O_DIRECTORY)) && !(flags & O_CREAT && flags & O_EXCL);
}

ProcfsCall procfs_call(const char *proc_root, pid_t tid, int *ret_flags)
{
	/* A thread that has just asked is a moment from waiting; on a busy machine a longer one,
	 * but no clock goes on while this process stands still. */
	enum { SHORT_TRIES = 50, MOST_TRIES = 100, SHORT_US = 100, PAUSE_US = 5000 };
	g_autofree char *name = g_strdup_printf("%s/%d/syscall", proc_root, tid);
	g_autoptr(GString) text = g_string_new(NULL);
	unsigned long long arguments[4];
	int number, flags;

	if (tid <= 0 || !procfs_is_ours() || procfs_acts_for_another(proc_root, tid))
		return CALL_UNKNOWN;
	for (guint tries = 0;; tries++) {
		if (procfs_read(AT_FDCWD, name, text) < 0)
			return CALL_UNKNOWN;
		if (!g_str_has_prefix(text->str, "running"))
			break;
		if (tries == MOST_TRIES)
			return CALL_UNKNOWN;
		g_usleep(tries < SHORT_TRIES ? SHORT_US : PAUSE_US);
	}
	if (sscanf(text->str, "%d %llx %llx %llx %llx", &number, &arguments[0], &arguments[1],
		   &arguments[2], &arguments[3]) != 5)
		return CALL_UNKNOWN;
	return call_of(number, arguments, ret_flags ? ret_flags : &flags);
}
