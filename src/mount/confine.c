/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What a root's daemon gives up, so that who takes it over finds less: capabilities that neither
 * it nor its callers need here, new privileges by execve(2), and system calls that it never makes.
 *
 * A capability is kept where the daemon needs it itself, or where a caller that has it could do
 * with it what it can do in /dev/shm or to a segment: what acts as the caller has no more than
 * this process may have. doc/SECURITY.md has the reasons, one by one.
 *
 * A call that is not in the list is answered ENOSYS, as by a kernel that lacks it, and is named in
 * the log: a library that tries something new goes on, and who extends the daemon sees what to add.
 * The answer comes from a handler of SIGSYS, which runs in the thread that has called.
 */

#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <ucontext.h>
#include <unistd.h>

#include "lib/kernel/kernel.h"
#include "mount/mount.h"

static const int kept[] = {
	CAP_CHOWN,      CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER,   CAP_FSETID,
	CAP_SETGID,     CAP_SETUID,       CAP_LINUX_IMMUTABLE, CAP_IPC_LOCK, CAP_IPC_OWNER,
	CAP_SYS_PTRACE, CAP_SYS_ADMIN,    CAP_SYS_RESOURCE,    CAP_MKNOD,    CAP_LEASE,
	CAP_SETFCAP,    CAP_MAC_ADMIN,
};

bool confine_allows(int capability)
{
	g_auto(SegfsCaller) self = {};
	g_autofree char *map = NULL;
	unsigned long inside, outside, length;

	segfs_caller_self(&self);
	return self.caps & 1ULL << capability && /* the first one's map is everybody */
	       g_file_get_contents("/proc/self/uid_map", &map, NULL, NULL) &&
	       sscanf(map, "%lu %lu %lu", &inside, &outside, &length) == 3 && !inside && !outside &&
	       length == UINT32_MAX;
}

void confine_rights(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {};
	uint64_t mask = 0;

	/* At the end of a plain user's mount fusermount3 has to become root. */
	if (geteuid() != 0 || syscall(SYS_capget, &header, data) < 0)
		return;
	for (guint i = 0; i < G_N_ELEMENTS(kept); i++)
		mask |= 1ULL << kept[i];
	/* Refused without CAP_SETPCAP; then the set is another's to bound. */
	for (int cap = 0; prctl(PR_CAPBSET_READ, cap) >= 0; cap++)
		if (!(mask & 1ULL << cap))
			prctl(PR_CAPBSET_DROP, cap);
	for (int i = 0; i < 2; i++) {
		const uint32_t half = (uint32_t)(mask >> 32 * i);
		data[i].effective &= half;
		data[i].permitted &= half;
		data[i].inheritable = 0;
	}
	if (syscall(SYS_capset, &header, data) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		g_warning("no rights could be given up: %s", g_strerror(errno));
}

/*
 * What strace(1) shows of the daemon in the tests of tests/mount, and what other versions of the C
 * library, of GLib and of libfuse make of the same. A test whose daemon was refused a call fails.
 */
static const char *const calls[] = {
	/* Files and their names. */
	"access chdir chmod chown close close_range dup dup2 dup3 faccessat faccessat2",
	"fallocate fchmod fchmodat fchown fchownat fcntl fdatasync fgetxattr flistxattr flock",
	"fremovexattr fsetxattr fstat fstatfs fsync ftruncate getdents64 getxattr ioctl",
	"lgetxattr linkat listxattr llistxattr lremovexattr lseek lsetxattr lstat",
	"memfd_create mkdirat mknodat name_to_handle_at newfstatat open open_by_handle_at",
	"openat openat2 pipe pipe2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read",
	"readlink readlinkat readv removexattr renameat renameat2 setxattr splice stat statfs",
	"statx symlinkat truncate umount2 unlinkat utimensat vmsplice write writev",
	/* Shared memory, semaphore sets, message queues. */
	"mremap msgctl msgget semctl semget shmat shmctl shmdt shmget",
	/* Who we are, and who we act as. */
	"capget capset get_robust_list getegid geteuid getgid getgroups getpid getppid",
	"getresgid getresuid getrlimit getrusage gettid getuid prctl prlimit64 setgroups",
	"setresgid setresuid setrlimit umask",
	/* Memory, threads, time and signals, as the C library and GLib use them. */
	"arch_prctl brk clock_getres clock_gettime clock_nanosleep exit exit_group futex",
	"futex_waitv getcpu getrandom gettimeofday kcmp kill madvise membarrier mincore mmap",
	"mprotect munmap nanosleep restart_syscall rseq rt_sigaction rt_sigpending",
	"rt_sigprocmask rt_sigreturn rt_sigsuspend rt_sigtimedwait sched_getaffinity",
	"sched_getattr sched_getparam sched_getscheduler sched_setattr sched_yield",
	"set_robust_list set_tid_address sigaltstack sysinfo tgkill time timer_create",
	"timer_delete timer_getoverrun timer_gettime timer_settime uname",
	/* Waiting for several things; the system log, and who knows users' names (nss(5)). */
	"connect epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_wait eventfd eventfd2",
	"getpeername getsockname getsockopt poll ppoll pselect6 recvfrom recvmsg select",
	"pidfd_open sendmmsg sendmsg sendto setsockopt shutdown socketpair timerfd_create",
	"fanotify_mark inotify_add_watch timerfd_gettime timerfd_settime",
};

/* Calls of which one way is needed: the argument, its bits, and what they have to be. */
static const struct {
	const char *name;
	struct scmp_arg_cmp is;
} narrow_calls[] = {
	{"bpf", {0, SCMP_CMP_EQ, 1, 0}},  /* BPF_MAP_LOOKUP_ELEM, and */
	{"bpf", {0, SCMP_CMP_EQ, 2, 0}},  /* BPF_MAP_UPDATE_ELEM, of the history's tables */
	{"bpf", {0, SCMP_CMP_EQ, 15, 0}}, /* BPF_OBJ_GET_INFO_BY_FD, of what they have missed */
	{"bpf", {0, SCMP_CMP_EQ, 33, 0}}, /* BPF_ITER_CREATE, of who holds nothing */
	{"clone", {0, SCMP_CMP_MASKED_EQ, CLONE_THREAD | CLONE_NEWUSER, CLONE_THREAD}},
	{"msgrcv", {4, SCMP_CMP_MASKED_EQ, MSG_COPY, MSG_COPY}}, /* it looks, and takes nothing */
	{"setns", {1, SCMP_CMP_EQ, CLONE_NEWIPC, 0}},
	{"socket", {0, SCMP_CMP_EQ, AF_UNIX, 0}}, /* the system log, and who knows users' names */
	{"unshare", {0, SCMP_CMP_EQ, CLONE_FS, 0}},
};

static int log_fd = -1; /* of the system log; -1: stderr */

/* In the handler of a signal: no memory, no locks. */
static void on_refused(int signal_number, siginfo_t *info, void *data)
{
	const int error = errno;
	char line[128];
	ucontext_t *context = data;
	const int n = snprintf(line, sizeof(line), "%ssegfs: refused the system call %d%s",
			       log_fd < 0 ? "" : "<28>", info->si_syscall, log_fd < 0 ? "\n" : "");

	const ssize_t told = write(log_fd < 0 ? STDERR_FILENO : log_fd, line, n);
	(void)told; /* if it is not, there is nobody to be told */
#if defined(__x86_64__)
	context->uc_mcontext.gregs[REG_RAX] = -ENOSYS;
#elif defined(__aarch64__)
	context->uc_mcontext.regs[0] = -ENOSYS;
#endif
	errno = error;
}

/* stderr leads nowhere once the daemon is in the background. */
static void log_to_system(void)
{
	const struct sockaddr_un log = {.sun_family = AF_UNIX, .sun_path = "/dev/log"};

	log_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (log_fd >= 0 && connect(log_fd, (const struct sockaddr *)&log, sizeof(log)) < 0) {
		close(log_fd);
		log_fd = -1;
	}
}

/* is: what one argument has to be, or NULL. */
static int allow(scmp_filter_ctx filter, const char *name, const struct scmp_arg_cmp *is)
{
	const int number = seccomp_syscall_resolve_name(name);

	/* Other architectures and older libraries do not know all of them. */
	if (number == __NR_SCMP_ERROR)
		return 0;
	return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, number, is ? 1 : 0, is);
}

static int load(uint32_t otherwise)
{
	scmp_filter_ctx filter = seccomp_init(otherwise);
	int r = filter ? seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1) : -ENOMEM;

	for (guint i = 0; r == 0 && i < G_N_ELEMENTS(calls); i++) {
		g_auto(GStrv) names = g_strsplit(calls[i], " ", -1);
		for (char **name = names; r == 0 && *name; name++)
			r = allow(filter, *name, NULL);
	}
	for (guint i = 0; r == 0 && i < G_N_ELEMENTS(narrow_calls); i++)
		r = allow(filter, narrow_calls[i].name, &narrow_calls[i].is);
	/* Into huge pages the daemon copies by a call that can fail, in its own memory alone; */
	const struct scmp_arg_cmp own = {0, SCMP_CMP_EQ, (scmp_datum_t)getpid(), 0};
	if (r == 0)
		r = allow(filter, "process_vm_writev", &own);
	/* and makes pages by another, before Linux 5.14. */
	if (r == 0)
		r = allow(filter, "process_vm_readv", &own);
	/* Older libraries do not know it. */
	if (r == 0)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, KERNEL_SYS_GETXATTRAT, 0);
	/* Its flags are in memory; told that there is none, the C library takes clone(2). */
	if (r == 0)
		r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	if (r == 0)
		r = seccomp_load(filter);
	if (filter)
		seccomp_release(filter);
	return r;
}

/* Sanitizers have a process of their own look at this one, and call what no daemon does. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED "it is built with sanitizers"
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED "it is built with sanitizers"
#endif
#endif
#ifndef SANITIZED
#define SANITIZED NULL
#endif

void confine_calls(bool wanted, bool in_background)
{
	const char *why_not = wanted ? SANITIZED : "-o no_seccomp";
	const struct sigaction refused = {
		.sa_sigaction = on_refused,
		.sa_flags = SA_SIGINFO,
	};
	int r = 0;

	/* Without CAP_SYS_ADMIN it takes what confine_rights() leaves to fusermount3. */
	if (geteuid() != 0)
		return;
	if (!why_not) {
		if (in_background)
			log_to_system();
		sigaction(SIGSYS, &refused, NULL);
#if defined(__x86_64__) || defined(__aarch64__)
		r = load(SCMP_ACT_TRAP);
#else
		r = load(SCMP_ACT_ERRNO(ENOSYS));
#endif
		why_not = r < 0 ? g_strerror(-r) : NULL;
	}
	if (why_not)
		g_warning("system calls are not filtered: %s", why_not);
}
