/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a daemon of root's may call once it is confined: in a process of its own, which stays so. */

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <segfs/segfs.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/msg.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mount/mount.h"
#include "unit.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED
#endif
#endif

static void *nothing(void *data)
{
	*(pid_t *)data = (pid_t)syscall(SYS_gettid);
	return NULL;
}

static bool has_threads(void)
{
	pthread_t thread;
	pid_t tid = 0;

	return pthread_create(&thread, NULL, nothing, &tid) == 0 &&
	       pthread_join(thread, NULL) == 0 && tid > 0;
}

static bool acts_as_others(void)
{
	const SegfsCaller caller = {.uid = 4001, .gid = 4001};

	return SEGFS_AS(&caller, geteuid()) == 4001 && geteuid() == 0;
}

#define CHECK(condition)                                                                           \
	if (!(condition)) {                                                                        \
		dprintf(result, "%d: %s\n", __LINE__, #condition);                                 \
		_exit(1);                                                                          \
	}

static bool is_refused(long r)
{
	return r < 0 && errno == ENOSYS;
}

/* stderr is what is read of it: the log. */
static void confined(int result)
{
	char *const none[] = {NULL};

	confine_rights();
	confine_calls(true, false);
	CHECK(has_threads());
	CHECK(acts_as_others());
	CHECK(!is_refused(socket(AF_UNIX, SOCK_DGRAM, 0)));
	CHECK(is_refused(execve("/bin/true", none, none)));
	CHECK(is_refused(ptrace(PTRACE_TRACEME)));
	CHECK(is_refused(socket(AF_INET, SOCK_STREAM, 0)));
	CHECK(is_refused(unshare(CLONE_NEWNS)));
	CHECK(is_refused(setns(-1, CLONE_NEWNS)));
	/* A message is looked at, and never taken. */
	CHECK(!is_refused(msgrcv(-1, NULL, 0, 0, MSG_COPY | IPC_NOWAIT)));
	CHECK(is_refused(msgrcv(-1, NULL, 0, 0, IPC_NOWAIT)));
	CHECK(is_refused(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0)));
	CHECK(is_refused(syscall(SYS_mount, "none", "/", "tmpfs", 0, NULL)));
	CHECK(has_threads());
	_exit(0);
}

static void what_a_daemon_does_not_call_is_refused_and_told(void)
{
	if (!unit_need_root())
		return;
#ifdef SANITIZED
	g_test_skip("no filter with sanitizers");
	return;
#endif
	g_autoptr(GString) told = g_string_new(NULL);
	int ends[2], status;
	char piece[512];
	ssize_t n;

	g_assert_no_errno(pipe(ends));
	const pid_t child = fork();
	g_assert_no_errno(child);
	if (child == 0) {
		close(ends[0]);
		dup2(ends[1], STDERR_FILENO);
		confined(ends[1]);
	}
	close(ends[1]);
	while ((n = read(ends[0], piece, sizeof(piece))) > 0)
		g_string_append_len(told, piece, n);
	close(ends[0]);
	g_assert_cmpint(waitpid(child, &status, 0), ==, child);
	g_test_message("%s", told->str);
	g_assert_cmpint(status, ==, 0);
	static const int refused[] = {SYS_execve, SYS_ptrace, SYS_socket, SYS_unshare,
				      SYS_setns,  SYS_msgrcv, SYS_clone,  SYS_mount};
	for (guint i = 0; i < G_N_ELEMENTS(refused); i++) {
		g_autofree char *line = g_strdup_printf("refused the system call %d\n", refused[i]);
		g_assert_nonnull(strstr(told->str, line));
	}
}

int main(int argc, char **argv)
{
	unit_init(&argc, &argv);
	g_test_add_func("/confine/calls", what_a_daemon_does_not_call_is_refused_and_told);
	return g_test_run();
}
