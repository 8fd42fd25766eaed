/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glib/gstdio.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/kernel/kernel.h"
#include "lib/os/autofd.h"

enum { MAX_MADE = 512 };

/* What has to go, by the process that made it: a child must not take it from its parent. */
static pid_t owner;
static int made[MAX_MADE]; /* shmid + 1; 0: free */
static char *trees[MAX_MADE];

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static void tree_delete(const char *tree)
{
	chmod(tree, 0700); /* a test may have taken it */
	nftw(tree, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* Not all of this is safe in any signal, but this one we raise ourselves, from an assertion. */
static void on_abort(int signal_number)
{
	if (getpid() == owner) {
		for (int i = 0; i < MAX_MADE; i++) {
			if (made[i])
				shmctl(made[i] - 1, IPC_RMID, NULL);
			if (trees[i])
				tree_delete(trees[i]);
		}
	}
	signal(signal_number, SIG_DFL);
	raise(signal_number);
}

static void become_user(void)
{
	/* What of the program has run is counted in files that the user could not write. */
	const char *coverage = g_getenv("SEGFS_UNIT_COVERAGE");
	if (coverage)
		g_setenv("GCOV_PREFIX", coverage, TRUE);
	g_assert_no_errno(setgroups(0, NULL));
	g_assert_no_errno(setresgid(UNIT_GID, UNIT_GID, UNIT_GID));
	g_assert_no_errno(setresuid(UNIT_UID, UNIT_UID, UNIT_UID));
	/* Lost with the user; without it /proc/self is root's, and LSan cannot look. */
	g_assert_no_errno(prctl(PR_SET_DUMPABLE, 1));
}

void unit_init(int *argc, char ***argv)
{
	owner = getpid();
	signal(SIGABRT, on_abort);
	if (geteuid() == 0) {
		/* Where it is refused the tests run among everybody's segments, as a user's do. */
		if (unshare(CLONE_NEWIPC) < 0)
			g_printerr("no IPC namespace of our own: %s\n", g_strerror(errno));
		if (!g_strcmp0(g_getenv("SEGFS_UNIT_USER"), "1"))
			become_user();
	}
	if (!g_strcmp0(g_getenv("SEGFS_UNIT_OLD_KERNEL"), "1"))
		for (KernelFeature i = KERNEL_OPENAT2 + 1; i < KERNEL_FEATURES; i++)
			kernel_forget(i);
	umask(022);
	g_test_init(argc, argv, NULL);
}

bool unit_need_root(void)
{
	if (geteuid() == 0)
		return true;
	g_test_skip("needs root");
	return false;
}

/* What follows mark in a line of TAP, to be freed. */
static char *tap_reason(const char *output, const char *mark)
{
	const char *found = strstr(output, mark);

	if (!found)
		return NULL;
	found += strlen(mark);
	return g_strndup(found, strcspn(found, "\n"));
}

/* Runs this very test in a new process and takes over its result. */
static void run_again(const char *variable)
{
	static const char *const argv[] = {"/proc/self/exe", "--tap", "-p", NULL, NULL};
	const char *command[G_N_ELEMENTS(argv)];
	g_auto(GStrv) environment = g_environ_setenv(g_get_environ(), variable, "1", TRUE);
	g_autofree char *output = NULL;
	g_autoptr(GError) error = NULL;
	int status;

	memcpy(command, argv, sizeof(argv));
	command[3] = g_test_get_path();
	g_spawn_sync(NULL, (char **)command, environment, G_SPAWN_DEFAULT, NULL, NULL, &output,
		     NULL, &status, &error);
	g_assert_no_error(error);
	g_autofree char *skipped = tap_reason(output, " # SKIP ");
	g_autofree char *todo = tap_reason(output, " # TODO ");
	if (skipped)
		g_test_skip(skipped);
	else if (todo)
		g_test_incomplete(todo);
	else if (!g_spawn_check_wait_status(status, &error) || !strstr(output, "\nok 1 "))
		g_error("%s: %s", g_test_get_path(), output);
}

bool unit_as_user(void)
{
	if (geteuid() != 0)
		return true;
	run_again("SEGFS_UNIT_USER");
	return false;
}

bool unit_as_new_process(void)
{
	if (!unit_need_root())
		return false;
	if (!g_strcmp0(g_getenv("SEGFS_UNIT_AGAIN"), "1"))
		return true;
	run_again("SEGFS_UNIT_AGAIN");
	return false;
}

#ifdef SEGFS_COVERAGE
void __gcov_dump(void); /* gcc's, of libgcov */
#endif

void unit_exit(int status)
{
#ifdef SEGFS_COVERAGE
	__gcov_dump();
#endif
	_exit(status);
}

static void on_bus_error(int number, siginfo_t *info, void *context)
{
	segfs_memory_sigbus(info);
	signal(SIGBUS, SIG_DFL);
}

void unit_handle_sigbus(void)
{
	const struct sigaction action = {
		.sa_sigaction = on_bus_error,
		.sa_flags = SA_SIGINFO | SA_NODEFER,
	};

	g_assert_no_errno(sigaction(SIGBUS, &action, NULL));
	segfs_memory_sigbus_is_handled();
}

static time_t stamp_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	return now.tv_sec;
}

void unit_next_second(void)
{
	const time_t then = stamp_now();

	while (stamp_now() == then)
		g_usleep(1000);
}

int segment_adopt(int shmid)
{
	for (int i = 0; i < MAX_MADE; i++) {
		if (g_atomic_int_compare_and_exchange(&made[i], 0, shmid + 1))
			break;
	}
	return shmid;
}

static int make(key_t key, size_t size, int flags)
{
	const int shmid = shmget(key, size, IPC_CREAT | IPC_EXCL | flags);

	return shmid < 0 ? shmid : segment_adopt(shmid);
}

int segment_make(size_t size, mode_t mode)
{
	const int shmid = make(IPC_PRIVATE, size, mode);

	g_assert_no_errno(shmid);
	return shmid;
}

int segment_make_key(size_t size, mode_t mode, key_t *ret_key)
{
	int shmid;

	do {
		*ret_key = g_random_int() | 1;
		shmid = make(*ret_key, size, mode);
	} while (shmid < 0 && errno == EEXIST);
	g_assert_no_errno(shmid);
	return shmid;
}

int segment_make_huge(size_t size)
{
	return make(IPC_PRIVATE, size, SHM_HUGETLB | 0600);
}

void segment_remove(int *shmid)
{
	if (*shmid < 0)
		return;
	for (int i = 0; i < MAX_MADE; i++) {
		if (g_atomic_int_compare_and_exchange(&made[i], *shmid + 1, 0))
			break;
	}
	shmctl(*shmid, IPC_RMID, NULL);
}

bool segment_replace(int *shmid, size_t size, mode_t mode)
{
	static const char next_id[] = "/proc/sys/kernel/shm_next_id";
	g_autofree char *before = NULL;
	g_autofree char *wanted = g_strdup_printf("%d", *shmid);
	const int old = *shmid;

	if (!g_file_get_contents(next_id, &before, NULL, NULL))
		return false;
	autofd fd = open(next_id, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	segment_remove(shmid);
	*shmid = -1;
	g_assert_no_errno(pwrite(fd, wanted, strlen(wanted), 0));
	const int made_shmid = make(IPC_PRIVATE, size, mode);
	g_assert_no_errno(made_shmid);
	/* The kernel has put it back to -1 itself, which cannot be written. */
	if (before[0] != '-')
		g_assert_no_errno(pwrite(fd, before, strlen(before), 0));
	*shmid = made_shmid;
	g_assert_cmpint(*shmid, ==, old);
	return true;
}

struct shmid_ds segment_kernel(int shmid)
{
	struct shmid_ds ds;

	g_assert_no_errno(shmctl(shmid, IPC_STAT, &ds));
	return ds;
}

void assert_attaches(const SegfsSysv *segment, uint64_t nattch, pid_t lpid, int64_t atime,
		     int64_t dtime)
{
	g_assert_cmpuint(segment->nattch, ==, nattch);
	g_assert_cmpint(segment->lpid, ==, lpid);
	g_assert_cmpint(segment->atime, ==, atime);
	g_assert_cmpint(segment->dtime, ==, dtime);
}

void assert_groups(const SegfsCaller *caller, guint n, const gid_t *groups)
{
	g_assert_cmpuint(caller->n_groups, ==, n);
	for (guint i = 0; i < n; i++)
		g_assert_cmpuint(caller->groups[i], ==, groups[i]);
}

char *tree_make(const char *parent)
{
	char *tree = g_build_filename(parent ? parent : g_get_tmp_dir(), "segfs-unit-XXXXXX", NULL);

	g_assert_nonnull(g_mkdtemp_full(tree, 0755));
	for (int i = 0; i < MAX_MADE; i++) {
		if (!trees[i]) {
			trees[i] = tree;
			break;
		}
	}
	return tree;
}

void tree_remove(char **tree)
{
	if (!*tree)
		return;
	for (int i = 0; i < MAX_MADE; i++) {
		if (trees[i] == *tree)
			trees[i] = NULL;
	}
	tree_delete(*tree);
	g_clear_pointer(tree, g_free);
}

static char *place_in(const char *tree, const char *path)
{
	g_autofree char *file = g_build_filename(tree, path, NULL);
	g_autofree char *directory = g_path_get_dirname(file);

	g_assert_no_errno(g_mkdir_with_parents(directory, 0755));
	return g_steal_pointer(&file);
}

void tree_write(const char *tree, const char *path, const char *text)
{
	g_autofree char *file = place_in(tree, path);
	g_autoptr(GError) error = NULL;

	g_file_set_contents(file, text, -1, &error);
	g_assert_no_error(error);
}

void tree_link(const char *tree, const char *path, const char *target)
{
	g_autofree char *file = place_in(tree, path);

	g_assert_no_errno(symlink(target, file));
}

SegfsIpc *ipc_make(const char *proc_root, bool no_attach)
{
	const SegfsIpcOptions options = {.proc_root = proc_root, .no_attach = no_attach};
	SegfsIpc *ipc = NULL;

	g_assert_cmpint(segfs_ipc_new(&options, &ipc), ==, 0);
	return ipc;
}

SegfsSysv segment_stat(SegfsIpc *ipc, int shmid)
{
	SegfsSysv segment;

	g_assert_cmpint(segfs_sysv_stat(ipc, shmid, &segment), ==, 0);
	return segment;
}
