/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * segfs-symbols: which functions are where in a file, for the daemon (lib/stack/symbols.c), which
 * starts it and asks on its stdin.
 *
 * Files of programs are anybody's, and a library that reads them may be made to do what their maker
 * wants. So this process gives up all rights when it begins, and each question is answered by a
 * child of its own, which can open nothing, may use so much memory and time, and ends.
 */

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "symbols/resolve.h"

#define NOBODY 65534
#define MEMORY_MOST ((rlim_t)1 << 29)
#define SECONDS_MOST 5 /* of a processor's; of the clock's 10 */
#define CHILDREN_MOST 16

/* Where memory is short the kernel is to end these first, whatever the daemon's own score is. */
static void go_first(void)
{
	const int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	/* Without it all else holds. */
	if (fd < 0 || write(fd, "1000", 4) != 4)
		fprintf(stderr, "segfs-symbols: oom_score_adj: %s\n", strerror(errno));
	if (fd >= 0)
		close(fd);
}

static int give_up_rights(void)
{
	const struct rlimit none = {0, 0}, files = {64, 64};

	if (geteuid() == 0 && (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
			       setresuid(NOBODY, NOBODY, NOBODY) < 0))
		return -errno;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0 ||
	    setrlimit(RLIMIT_CORE, &none) < 0 || setrlimit(RLIMIT_FSIZE, &none) < 0 ||
	    setrlimit(RLIMIT_NOFILE, &files) < 0)
		return -errno;
	return chdir("/") < 0 ? -errno : 0;
}

/* What a child may do: look at what it has been given, and answer. */
static int confine(void)
{
	static const int calls[] = {
		SCMP_SYS(read),          SCMP_SYS(pread64),      SCMP_SYS(lseek),
		SCMP_SYS(fstat),         SCMP_SYS(newfstatat),   SCMP_SYS(write),
		SCMP_SYS(close),         SCMP_SYS(mmap),         SCMP_SYS(munmap),
		SCMP_SYS(mremap),        SCMP_SYS(mprotect),     SCMP_SYS(madvise),
		SCMP_SYS(brk),           SCMP_SYS(futex),        SCMP_SYS(getrandom),
		SCMP_SYS(exit_group),    SCMP_SYS(rt_sigreturn), SCMP_SYS(restart_syscall),
		SCMP_SYS(clock_gettime),
	};
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int r = filter ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < sizeof(calls) / sizeof(*calls); i++)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0);
	if (r == 0)
		r = seccomp_load(filter);
	if (filter)
		seccomp_release(filter);
	return r;
}

/* Sanitizers map far more than they use. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED
#endif
#endif

static void limit(void)
{
	const struct rlimit seconds = {SECONDS_MOST, SECONDS_MOST};

	setrlimit(RLIMIT_CPU, &seconds);
	alarm(2 * SECONDS_MOST);
#ifndef SANITIZED
	const struct rlimit memory = {MEMORY_MOST, MEMORY_MOST};
	setrlimit(RLIMIT_AS, &memory);
#endif
}

/* fds: where the answer goes, and the files; n: files. */
static void answer(const struct symbols_question *question, const int *fds, int n)
{
	char text[STACK_FRAMES * SYMBOLS_LINE];
	size_t size = 0;

	limit();
	if (confine() < 0)
		return;
	if (question->n <= STACK_FRAMES)
		size = resolve(question, fds + 1, n, text, sizeof(text));
	for (size_t at = 0; at < size;) {
		const ssize_t written = write(fds[0], text + at, size - at);
		if (written <= 0)
			return;
		at += written;
	}
}

/* Returns the number of descriptors, the caller's to close; -1: nobody asks any more. */
static int receive(struct symbols_question *question, int *fds)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE((1 + SYMBOLS_FILES) * sizeof(int))];
	} control;
	struct iovec part = {question, sizeof(*question)};
	struct msghdr message = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t size;

	while ((size = recvmsg(STDIN_FILENO, &message, MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR)
		;
	if (size <= 0)
		return -1;
	const struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	if (!header || header->cmsg_type != SCM_RIGHTS)
		return 0;
	const int n = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	memcpy(fds, CMSG_DATA(header), n * sizeof(int));
	if (size != sizeof(*question))
		question->n = 0;
	return n;
}

/* Who asks for more than so many at once is not answered: the descriptor is closed. */
static void serve(void)
{
	struct symbols_question question;
	int fds[1 + SYMBOLS_FILES], n, n_children = 0;

	while ((n = receive(&question, fds)) >= 0) {
		while (n_children > 0 && waitpid(-1, NULL, WNOHANG) > 0)
			n_children--;
		const pid_t pid = n >= 2 && n_children < CHILDREN_MOST ? fork() : -1;
		if (pid == 0) {
			close(STDIN_FILENO);
			answer(&question, fds, n - 1);
			_exit(0);
		}
		n_children += pid > 0;
		for (int i = 0; i < n; i++)
			close(fds[i]);
	}
}

int main(void)
{
	int type;
	socklen_t size = sizeof(type);

	if (getsockopt(STDIN_FILENO, SOL_SOCKET, SO_TYPE, &type, &size) < 0 ||
	    type != SOCK_SEQPACKET) {
		fprintf(stderr, "segfs-symbols: segfs starts this itself (-o history=stacks)\n");
		return 1;
	}
	close_range(STDERR_FILENO + 1, ~0U, 0);
	/* At the end of a session it ends with the daemon, which is told then. */
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_DFL);
	go_first();
	const int r = give_up_rights();
	if (r < 0) {
		fprintf(stderr, "segfs-symbols: rights cannot be given up: %s\n", strerror(-r));
		return 1;
	}
	/* It runs, and has no rights any more. */
	if (send(STDIN_FILENO, "", 1, MSG_NOSIGNAL) == 1)
		serve();
	return 0;
}
