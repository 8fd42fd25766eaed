/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Threads that the kernel does not let back: segfs/thread.h. */

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/os/home.h"
#include "unit.h"

/* Refuses a system call to the calling thread for good: EPERM. */
static void refuse(int number)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = {G_N_ELEMENTS(code), code};

	g_assert_no_errno(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	g_assert_no_errno(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
}

static char *lost_from;
static guint n_lost;

static void on_lost(const char *from, int error)
{
	g_free(lost_from);
	lost_from = g_strdup(from);
	n_lost++;
	g_assert_cmpint(error, ==, EPERM);
}

/* All that asks the kernel for something. */
static void assert_every_call_fails(SegfsIpc *ipc, SegfsPosix *posix, SegfsScanner *scanner)
{
	g_autoptr(GArray) segments = NULL;
	g_autoptr(SegfsScan) scan = NULL;
	const SegfsProcess process = {.pid = getpid()};
	SegfsSysv segment;
	int fd;

	g_assert_cmpint(segfs_thread_comes_home(), ==, -ENOTRECOVERABLE);
	g_assert_cmpint(segfs_sysv_list(ipc, &segments), ==, -ENOTRECOVERABLE);
	g_assert_cmpint(segfs_sysv_stat(ipc, 0, &segment), ==, -ENOTRECOVERABLE);
	g_assert_cmpint(segfs_posix_open(posix, &fd), ==, -ENOTRECOVERABLE);
	g_assert_cmpint(segfs_object_open_at(AT_FDCWD, "."), ==, -1);
	g_assert_cmpint(errno, ==, ENOTRECOVERABLE);
	g_assert_cmpint(segfs_scanner_scan(scanner, segfs_since_now(), &scan), ==,
			-ENOTRECOVERABLE);
	g_assert_null(segfs_process_command_line("/proc", &process));
}

typedef struct {
	gint go;
	int result;
} Neighbour;

static gpointer enter_and_leave(gpointer data)
{
	Neighbour *neighbour = data;
	const SegfsCaller caller = {.uid = UNIT_UID, .gid = UNIT_GID};

	while (!g_atomic_int_get(&neighbour->go))
		g_usleep(1000);
	neighbour->result = segfs_caller_enter(&caller);
	if (neighbour->result == 0)
		segfs_caller_leave();
	return NULL;
}

static void a_thread_that_stays_the_caller_is_lost(void)
{
	if (!unit_as_new_process())
		return;
	const SegfsCaller caller = {.uid = UNIT_UID, .gid = UNIT_GID};
	g_autoptr(SegfsIpc) ipc = ipc_make(NULL, false);
	g_autoptr(SegfsPosix) posix = NULL;
	g_autoptr(SegfsScanner) scanner = segfs_scanner_new(NULL);
	Neighbour neighbour = {.result = -1};

	g_assert_cmpint(segfs_posix_new("/dev/shm", &posix), ==, 0);
	GThread *thread = g_thread_new("neighbour", enter_and_leave, &neighbour);
	segfs_thread_set_lost(on_lost);
	g_assert_cmpint(segfs_caller_enter(&caller), ==, 0);
	refuse(SYS_setresuid);
	segfs_caller_leave();
	g_assert_cmpstr(lost_from, ==, "its own user");
	g_assert_cmpint(segfs_caller_enter(&caller), ==, -ENOTRECOVERABLE);
	assert_every_call_fails(ipc, posix, scanner);
	g_assert_cmpuint(n_lost, ==, 1);
	/* Others have nothing to do with it. */
	g_atomic_int_set(&neighbour.go, 1);
	g_thread_join(thread);
	g_assert_cmpint(neighbour.result, ==, 0);
}

static void a_thread_that_stays_in_another_namespace_is_lost(void)
{
	if (!unit_as_new_process())
		return;
	const SegfsCaller caller = {.uid = UNIT_UID, .gid = UNIT_GID};
	g_autoptr(SegfsIpc) ipc = ipc_make(NULL, false);
	g_autoptr(SegfsPosix) posix = NULL;
	g_autoptr(SegfsScanner) scanner = segfs_scanner_new(NULL);

	g_assert_cmpint(segfs_posix_new("/dev/shm", &posix), ==, 0);
	segfs_thread_set_lost(on_lost);
	refuse(SYS_setns);
	home_is_left();
	assert_every_call_fails(ipc, posix, scanner);
	g_assert_cmpstr(lost_from, ==, "its own IPC namespace");
	g_assert_cmpint(segfs_caller_enter(&caller), ==, -ENOTRECOVERABLE);
	g_assert_cmpuint(n_lost, ==, 1);
}

int main(int argc, char **argv)
{
	unit_init(&argc, &argv);
	g_test_add_func("/lost/stays-the-caller", a_thread_that_stays_the_caller_is_lost);
	g_test_add_func("/lost/stays-in-a-namespace",
			a_thread_that_stays_in_another_namespace_is_lost);
	return g_test_run();
}
