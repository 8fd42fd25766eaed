/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a scan finds in real processes, which hold real memory. */

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/os/autofd.h"
#include "lib/process/scan.h"
#include "scan_world.h"

static void assert_counts(SegfsScanner *scanner, const SegfsId *id, pid_t pid, guint attached,
			  guint mapped, guint open)
{
	g_autoptr(SegfsScan) scan = scan_now(scanner);
	const SegfsHolder *holder = scan_holder(scan, id, pid);

	if (attached + mapped + open == 0) {
		g_assert_null(holder);
		return;
	}
	g_assert_nonnull(holder);
	g_assert_cmpuint(holder->attached, ==, attached);
	g_assert_cmpuint(holder->mapped, ==, mapped);
	g_assert_cmpuint(holder->open, ==, open);
	g_assert_cmpint(holder->fd >= 0, ==, open > 0);
	g_assert_cmpint(holder->end > holder->start, ==, attached + mapped > 0);
	/* Memory shows only where there is some of a segment. */
	if (attached == 0)
		g_assert_false(holder->has_memory);
}

static bool take_attached(Taken *taken, const void *shmid)
{
	*taken = (Taken){.id = {SEGFS_SYSV, 0, *(const int *)shmid}, .fd = -1};
	taken->at = shmat(*(const int *)shmid, NULL, 0);
	return taken->at != (char *)-1;
}

static void each_attach_is_counted(void)
{
	g_autoptr(SegfsScanner) scanner = segfs_scanner_new(NULL);
	g_autoptr(SegfsIpc) ipc = ipc_make(NULL, false);
	scoped_segment shmid = segment_make(5000, 0600);
	const SegfsId id = id_of_segment(ipc, shmid);
	g_auto(Hold) hold = {}, second = {};

	hold_start(&hold, take_attached, &shmid);
	assert_counts(scanner, &id, hold.pid, 1, 0, 0);
	hold_step(&hold, take_again, NULL);
	hold_step(&hold, take_again, NULL);
	hold_start(&second, take_attached, &shmid);
	assert_counts(scanner, &id, hold.pid, 3, 0, 0);
	assert_counts(scanner, &id, second.pid, 1, 0, 0);
	g_assert_cmpuint(segment_kernel(shmid).shm_nattch, ==, 4);
	hold_step(&hold, take_less, NULL);
	assert_counts(scanner, &id, hold.pid, 2, 0, 0);
	hold_stop(&hold);
	assert_counts(scanner, &id, hold.pid, 0, 0, 0);
	assert_counts(scanner, &id, second.pid, 1, 0, 0);
}

static void segment_zero_is_found(void)
{
	if (!unit_as_new_process())
		return;
	g_autoptr(SegfsScanner) scanner = segfs_scanner_new(NULL);
	g_autoptr(SegfsIpc) ipc = ipc_make(NULL, false);
	scoped_segment shmid = segment_make(5000, 0600);
	const SegfsId id = id_of_segment(ipc, shmid);
	g_auto(Hold) hold = {};

	if (shmid != 0) {
		g_test_skip("no IPC namespace of our own");
		return;
	}
	hold_start(&hold, take_attached, &shmid);
	assert_counts(scanner, &id, hold.pid, 1, 0, 0);
}

static bool take_fork(Taken *taken, const void *unused)
{
	const pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	taken->fd = pid;
	return pid > 0;
}

static bool take_childs_end(Taken *taken, const void *unused)
{
	return kill(taken->fd, SIGKILL) == 0 && waitpid(taken->fd, NULL, 0) == taken->fd;
}

static void children_hold_what_they_inherit(void)
{
	g_autoptr(SegfsScanner) scanner = segfs_scanner_new(NULL);
	g_autoptr(SegfsIpc) ipc = ipc_make(NULL, false);
	scoped_segment shmid = segment_make(5000, 0600);
	const SegfsId id = id_of_segment(ipc, shmid);
	g_auto(Hold) hold = {};

	hold_start(&hold, take_attached, &shmid);
	hold_step(&hold, take_again, NULL);
	hold_step(&hold, take_fork, NULL);
	assert_counts(scanner, &id, hold.pid, 2, 0, 0);
	assert_counts(scanner, &id, hold.taken.fd, 2, 0, 0);
	hold_step(&hold, take_childs_end, NULL);
	assert_counts(scanner, &id, hold.taken.fd, 0, 0, 0);
	assert_counts(scanner, &id, hold.pid, 2, 0, 0);
}

static void the_memory_of_a_segment_shows_its_owner_and_size(void)
{
	if (!unit_need_root())
		return;
	g_autoptr(SegfsScanner) scanner = segfs_scanner_new(NULL);
	g_autoptr(SegfsIpc) ipc = ipc_make(NULL, false);
	scoped_segment shmid = segment_make(5000, 0600);
	const SegfsId id = id_of_segment(ipc, shmid);
	g_auto(Hold) hold = {};

	hold_start(&hold, take_attached, &shmid);
	g_autoptr(SegfsScan) scan = scan_now(scanner);
	const SegfsHolder *holder = scan_holder(scan, &id, hold.pid);
	g_assert_true(holder->has_memory);
	g_assert_cmpuint(holder->memory_uid, ==, geteuid());
	g_assert_cmpuint(holder->memory_gid, ==, getegid());
	g_assert_cmpuint(holder->memory_size, ==, 5000);
}

static void the_same_id_in_another_namespace_is_another(void)
{
	if (!unit_need_root())
		return;
	g_autoptr(SegfsScanner) scanner = segfs_scanner_new(NULL);
	g_autoptr(SegfsIpc) ipc = ipc_make(NULL, false);
	scoped_segment shmid = segment_make(5000, 0600);
	SegfsId id = id_of_segment(ipc, shmid);
	g_auto(Hold) foreign = {};

	hold_segment(&foreign, shmid);
	hold_leave_namespace(&foreign, 5000);
	hold_attach(&foreign);
	g_autoptr(SegfsScan) scan = scan_now(scanner);
	g_assert_null(scan_holder(scan, &id, foreign.pid));
	const GPtrArray *all = segfs_scan_processes(scan);
	for (guint i = 0; i < all->len; i++) {
		const SegfsProcess *process = all->pdata[i];
		if (process->pid == foreign.pid)
			id.domain = process->ipc_ns;
	}
	g_assert_cmpuint(scan_holder(scan, &id, foreign.pid)->attached, ==, 1);
}

static void memory_without_a_name_is_found(void)
{
	static const struct {
		HoldTake take;
		guint mapped, open;
		const char *name;
	} rows[] = {
		{take_memfd, 0, 1, "/memfd:unit memfd"},
		{take_memfd_mapped, 1, 0, "/memfd:unit memfd"},
		{take_anon, 1, 0, "/dev/zero"},
		{take_zero, 1, 0, "/dev/zero"},
	};
	g_autoptr(SegfsScanner) scanner = segfs_scanner_new(NULL);

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_auto(Hold) hold = {};
		hold_start(&hold, rows[i].take, "unit memfd");
		const SegfsId id = hold.taken.id;
		assert_counts(scanner, &id, hold.pid, 0, rows[i].mapped, rows[i].open);
		g_autoptr(SegfsScan) scan = scan_now(scanner);
		g_assert_cmpstr(segfs_scan_find(scan, &id)->name, ==, rows[i].name);
		g_assert_true(segfs_scan_find(scan, &id)->deleted);
		g_assert_cmphex(scan_holder(scan, &id, hold.pid)->start, ==,
				(uintptr_t)hold.taken.at);
		hold_step(&hold, take_again, NULL);
		assert_counts(scanner, &id, hold.pid, 0, 2 * rows[i].mapped, 2 * rows[i].open);
		hold_step(&hold, take_less, NULL);
		assert_counts(scanner, &id, hold.pid, 0, rows[i].mapped, rows[i].open);
		hold_stop(&hold);
		assert_counts(scanner, &id, hold.pid, 0, 0, 0);
	}
}

static void objects_are_found_also_without_their_name(void)
{
	static const struct {
		HoldTake take;
		guint mapped, open;
	} rows[] = {{take_file, 0, 1}, {take_file_mapped, 1, 0}};
	static const char *const names[] = {"x", "a b", "line\nbreak", "x (deleted)", "\xff"};
	g_autoptr(SegfsScanner) scanner = segfs_scanner_new(NULL);
	scoped_tree shm = tree_make("/dev/shm");

	for (guint i = 0; i < G_N_ELEMENTS(rows) * G_N_ELEMENTS(names); i++) {
		g_autofree char *path = g_build_filename(shm, names[i / 2], NULL);
		g_auto(Hold) hold = {};
		hold_start(&hold, rows[i % 2].take, path);
		const SegfsId id = hold.taken.id;
		assert_counts(scanner, &id, hold.pid, 0, rows[i % 2].mapped, rows[i % 2].open);
		g_assert_no_errno(unlink(path));
		g_autoptr(SegfsScan) scan = scan_now(scanner);
		g_assert_cmpuint(scan_holder(scan, &id, hold.pid)->open, ==, rows[i % 2].open);
		g_assert_cmpstr(segfs_scan_find(scan, &id)->name, ==, path);
		g_assert_true(segfs_scan_find(scan, &id)->deleted);
	}
}

/* Maps a file whose name is longer than any path may be; directories and file are gone then. */
static bool take_deep(Taken *taken, const void *shm)
{
	enum { DEPTH = 25, LENGTH = 200 };
	g_autofree char *name = g_strnfill(LENGTH, 'd');

	if (chdir(shm) < 0)
		return false;
	for (guint i = 0; i < DEPTH; i++)
		if (mkdir(name, 0700) < 0 || chdir(name) < 0)
			return false;
	bool taken_it = take_file_mapped(taken, "x") && unlink("x") == 0;
	for (guint i = 0; i < DEPTH; i++)
		taken_it = chdir("..") == 0 && rmdir(name) == 0 && taken_it;
	return taken_it;
}

/* Nor is anything counted twice, where it is asked for in another way instead. */
static void a_long_name_hides_nothing(void)
{
	g_autoptr(SegfsScanner) scanner = segfs_scanner_new(NULL);
	scoped_tree shm = tree_make("/dev/shm");
	g_auto(Hold) hold = {};

	/* New mappings go below those that are there: both come before and after it. */
	hold_start(&hold, take_anon, NULL);
	const SegfsId first = hold.taken.id;
	hold_step(&hold, take_deep, shm);
	const SegfsId deep = hold.taken.id;
	hold_step(&hold, take_anon, NULL);
	const SegfsId last = hold.taken.id;
	g_autoptr(SegfsScan) scan = scan_now(scanner);
	const SegfsId *const all[] = {&first, &deep, &last};
	for (guint i = 0; i < G_N_ELEMENTS(all); i++) {
		g_assert_nonnull(scan_holder(scan, all[i], hold.pid));
		g_assert_cmpuint(scan_holder(scan, all[i], hold.pid)->mapped, ==, 1);
	}
}

static void a_directory_elsewhere_is_found_once_it_is_watched(void)
{
	g_autoptr(SegfsScanner) scanner = segfs_scanner_new(NULL);
	scoped_tree directory = tree_make(NULL);
	g_autofree char *path = g_build_filename(directory, "x", NULL);
	g_auto(Hold) open = {}, mapped = {};
	struct stat st;

	g_assert_no_errno(stat(directory, &st));
	hold_start(&open, take_file, path);
	hold_start(&mapped, take_file_mapped, path);
	const SegfsId id = open.taken.id;
	g_autoptr(SegfsScan) before = scan_now(scanner);
	struct stat shm;
	g_assert_no_errno(stat("/dev/shm", &shm));
	if (shm.st_dev != st.st_dev)
		g_assert_null(segfs_scan_find(before, &id));
	scanner_watch(scanner, st.st_dev);
	assert_counts(scanner, &id, open.pid, 0, 0, 1);
	assert_counts(scanner, &id, mapped.pid, 0, 1, 0);
}

static void threads_hold_what_the_first_left(void)
{
	g_autoptr(SegfsScanner) scanner = segfs_scanner_new(NULL);
	g_auto(Hold) open = {}, mapped = {};

	hold_start(&open, take_memfd, "open");
	hold_step(&open, take_first_threads_end, NULL);
	hold_start(&mapped, take_anon, NULL);
	hold_step(&mapped, take_first_threads_end, NULL);
	assert_counts(scanner, &open.taken.id, open.pid, 0, 0, 1);
	assert_counts(scanner, &mapped.taken.id, mapped.pid, 0, 1, 0);
	hold_step(&mapped, take_less, NULL);
	assert_counts(scanner, &mapped.taken.id, mapped.pid, 0, 0, 0);
}

static void we_ourselves_are_left_out(void)
{
	g_autoptr(SegfsScanner) scanner = segfs_scanner_new(NULL);
	autofd fd = memfd_create("ours", MFD_CLOEXEC);
	struct stat st;

	g_assert_no_errno(fstat(fd, &st));
	const SegfsId id = id_of_stat(SEGFS_MEMFD, &st);
	g_autoptr(SegfsScan) scan = scan_now(scanner);
	g_assert_null(segfs_scan_find(scan, &id));
}

static void a_holder_is_known_for_good(void)
{
	g_autoptr(SegfsScanner) scanner = segfs_scanner_new(NULL);
	g_auto(Hold) hold = {};
	struct stat ipc, mnt;

	hold_start(&hold, take_memfd, "unit");
	g_autoptr(SegfsScan) scan = scan_now(scanner);
	const SegfsProcess *process = scan_holder(scan, &hold.taken.id, hold.pid)->process;
	g_assert_no_errno(stat("/proc/self/ns/ipc", &ipc));
	g_assert_no_errno(stat("/proc/self/ns/mnt", &mnt));
	g_assert_cmpuint(process->ipc_ns, ==, ipc.st_ino);
	g_assert_cmpuint(process->mnt_ns, ==, mnt.st_ino);
	g_assert_cmpuint(process->uid, ==, geteuid());
	g_assert_true(g_str_has_prefix(process->command, "unit-scan-real"));
	g_assert_cmpint(segfs_process_started(process), <=, time(NULL) + 1);
	g_assert_cmpint(segfs_process_started(process), >, time(NULL) - 100);
	g_autofree char *line = segfs_process_command_line("/proc", process);
	g_assert_nonnull(strstr(line, "unit-scan-real"));
	hold_stop(&hold);
	g_assert_null(segfs_process_command_line("/proc", process));
	g_assert_null(segfs_process_cgroup("/proc", process));
}

/* A plain user may not look into root's processes, the first of all. */
static void processes_of_others_are_unexamined(void)
{
	if (!unit_as_user())
		return;
	g_autoptr(SegfsScanner) scanner = segfs_scanner_new(NULL);
	g_autoptr(SegfsScan) scan = scan_now(scanner);

	g_assert_cmpuint(segfs_scan_unexamined(scan), >, 0);
}

/* proc(5), hidepid: 1 shows their numbers only, 2 not even these. */
static void hidden_processes_are_unexamined(void)
{
	static const char *const options[] = {"hidepid=0", "hidepid=1", "hidepid=2", "hidepid=4"};

	if (!unit_as_new_process())
		return;
	scoped_tree proc = tree_make(NULL);
	g_assert_no_errno(unshare(CLONE_NEWNS));
	g_assert_no_errno(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	for (guint i = 0; i < G_N_ELEMENTS(options); i++) {
		if (mount("proc", proc, "proc", 0, options[i]) < 0) {
			g_test_skip("/proc cannot be mounted here");
			break;
		}
		const pid_t pid = fork();
		if (pid == 0) {
			if (setgroups(0, NULL) < 0 || setresgid(UNIT_GID, UNIT_GID, UNIT_GID) < 0 ||
			    setresuid(UNIT_UID, UNIT_UID, UNIT_UID) < 0)
				_exit(2);
			g_autoptr(SegfsScanner) scanner = segfs_scanner_new(proc);
			g_autoptr(SegfsScan) scan = scan_now(scanner);
			_exit(segfs_scan_unexamined(scan) > 0 ? 0 : 1);
		}
		int status;
		g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
		g_assert_no_errno(umount2(proc, MNT_DETACH));
		if (status != 0)
			g_test_message("%s", options[i]);
		g_assert_cmpint(status, ==, 0);
	}
}

static GMutex steps; /* protects the process that makes memory */

typedef struct {
	SegfsScanner *scanner;
	Hold *hold;
} Job;

static gpointer make_and_scan(gpointer data)
{
	Job *job = data;

	for (guint i = 0; i < 20; i++) {
		g_mutex_lock(&steps);
		hold_step(job->hold, i % 2 ? take_memfd : take_anon, "round");
		const SegfsId id = job->hold->taken.id;
		g_mutex_unlock(&steps);
		g_autoptr(SegfsScan) scan = scan_now(job->scanner);
		g_assert_nonnull(scan_holder(scan, &id, job->hold->pid));
	}
	return NULL;
}

static void what_was_made_before_is_in_every_scan_of_many(void)
{
	GThread *threads[8];
	g_autoptr(SegfsScanner) scanner = segfs_scanner_new(NULL);
	g_auto(Hold) hold = {};
	Job job = {scanner, &hold};

	hold_start(&hold, take_anon, NULL);
	for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
		threads[i] = g_thread_new("scan", make_and_scan, &job);
	for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
		g_thread_join(threads[i]);
}

static bool take_busy_family(Taken *taken, const void *unused)
{
	const pid_t pid = fork();

	taken->fd = pid;
	if (pid != 0)
		return pid > 0;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		const pid_t child = fork();
		if (child == 0)
			_exit(0);
		if (child < 0 || waitpid(child, NULL, 0) < 0)
			_exit(1);
	}
}

static void those_who_come_and_go_do_no_harm(void)
{
	g_autoptr(SegfsScanner) scanner = segfs_scanner_new(NULL);
	g_auto(Hold) hold = {}, busy = {};

	hold_start(&hold, take_anon, NULL);
	hold_start(&busy, take_busy_family, NULL);
	for (guint i = 0; i < 50; i++) {
		g_autoptr(SegfsScan) scan = scan_now(scanner);
		g_assert_nonnull(scan_holder(scan, &hold.taken.id, hold.pid));
	}
	hold_step(&busy, take_childs_end, NULL);
}

int main(int argc, char **argv)
{
	unit_init(&argc, &argv);
#define TEST(path, function) g_test_add_func("/scan-real/" path, function)
	TEST("segment/each-attach-is-counted", each_attach_is_counted);
	TEST("segment/zero", segment_zero_is_found);
	TEST("segment/inherited", children_hold_what_they_inherit);
	TEST("segment/owner-and-size", the_memory_of_a_segment_shows_its_owner_and_size);
	TEST("segment/same-id-in-another-namespace", the_same_id_in_another_namespace_is_another);
	TEST("memory-without-a-name", memory_without_a_name_is_found);
	TEST("objects-without-their-name", objects_are_found_also_without_their_name);
	TEST("long-names", a_long_name_hides_nothing);
	TEST("a-directory-elsewhere", a_directory_elsewhere_is_found_once_it_is_watched);
	TEST("threads-without-the-first", threads_hold_what_the_first_left);
	TEST("we-ourselves", we_ourselves_are_left_out);
	TEST("known-for-good", a_holder_is_known_for_good);
	TEST("unexamined/of-others", processes_of_others_are_unexamined);
	TEST("unexamined/hidden", hidden_processes_are_unexamined);
	TEST("together/what-was-made-before", what_was_made_before_is_in_every_scan_of_many);
	TEST("come-and-go", those_who_come_and_go_do_no_harm);
	return g_test_run();
}
