/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which processes a scan looks into, those that ask for one together, and what they say. */

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/process/scan.h"
#include "scan_world.h"

#define MEMFD "/memfd:x (deleted)"

static SegfsId memfd(const World *world, uint64_t inode)
{
	return (SegfsId){SEGFS_MEMFD, world->kernel, inode};
}

static void assert_held(const World *world, uint64_t inode, const char *pids)
{
	const SegfsId id = memfd(world, inode);

	assert_held_by(world, &id, pids);
}

static guint unexamined(const World *world)
{
	g_autoptr(SegfsScan) scan = scan_now(world->scanner);

	return segfs_scan_unexamined(scan);
}

static void remove_in(const World *world, const char *path)
{
	g_autofree char *file = g_build_filename(world->proc, path, NULL);

	g_assert_no_errno(g_remove(file));
}

static void chmod_in(const World *world, const char *path, mode_t mode)
{
	g_autofree char *file = g_build_filename(world->proc, path, NULL);

	g_assert_no_errno(chmod(file, mode));
}

static void who_asks_is_left_out(void)
{
	g_auto(World) world = {};
	world_start(&world);
	world_maps(&world, 4711, 5, MEMFD);
	world_maps(&world, 471, 6, MEMFD);
	tree_link(world.proc, "self", "4711");
	assert_held(&world, 5, "");
	assert_held(&world, 6, "471");
	g_autoptr(SegfsScan) scan = scan_now(world.scanner);
	g_assert_cmpuint(segfs_scan_processes(scan)->len, ==, 2); /* 1 and 471 */
}

static void what_is_not_a_process_is_passed_over(void)
{
	g_auto(World) world = {};
	world_start(&world);
	g_autofree char *maps =
		g_strdup_printf(RANGE " rw-s 00000000 %s 5 /memfd:x (deleted)\n", world.kernel_hex);
	tree_write(world.proc, "thread-self/maps", maps);
	tree_write(world.proc, "bus/maps", maps);
	tree_write(world.proc, "-5/maps", maps);
	tree_link(world.proc, "4713", "4714");
	assert_held(&world, 5, "");
	g_assert_cmpuint(unexamined(&world), ==, 0);
}

static void where_there_is_no_first_process_some_are_hidden(void)
{
	g_auto(World) world = {};
	world_start(&world);
	g_assert_cmpuint(unexamined(&world), ==, 0);
	g_autofree char *one = g_build_filename(world.proc, "1", NULL);
	g_autofree char *two = g_build_filename(world.proc, "2", NULL);
	g_assert_no_errno(g_rename(one, two));
	g_assert_cmpuint(unexamined(&world), ==, 1);
	g_autoptr(SegfsScan) scan = scan_now(world.scanner);
	g_autofree char *which = segfs_unexamined_text(world.proc, NULL, scan);
	g_assert_cmpstr(which, ==, "those that /proc hides");
	/* Its first process is who asks. */
	tree_link(world.proc, "self", "1");
	g_assert_cmpuint(unexamined(&world), ==, 0);
}

static void no_proc_is_the_error_of_opendir(void)
{
	g_auto(World) world = {};
	SegfsScan *scan = NULL;
	world_start(&world);
	g_autofree char *missing = g_build_filename(world.proc, "missing", NULL);
	g_autofree char *file = g_build_filename(world.proc, "1/stat", NULL);
	g_autoptr(SegfsScanner) nowhere = segfs_scanner_new(missing);
	g_autoptr(SegfsScanner) no_directory = segfs_scanner_new(file);

	g_assert_cmpint(segfs_scanner_scan(nowhere, segfs_since_now(), &scan), ==, -ENOENT);
	g_assert_cmpint(segfs_scanner_scan(nowhere, segfs_since_recent(), &scan), ==, -ENOENT);
	g_assert_cmpint(segfs_scanner_scan(no_directory, segfs_since_now(), &scan), ==, -ENOTDIR);
	g_assert_null(scan);
	/* It is asked anew each time. */
	tree_write(world.proc, "missing/1/maps", "");
	g_assert_cmpint(segfs_scanner_scan(nowhere, segfs_since_recent(), &scan), ==, 0);
	segfs_scan_unref(scan);
}

static void who_has_ended_or_is_ending_holds_nothing(void)
{
	g_auto(World) world = {};
	world_start(&world);
	world_maps(&world, 10, 5, MEMFD);
	world_maps(&world, 11, 5, MEMFD);
	/* What is left of 10 at any moment between the calls that look at it. */
	remove_in(&world, "10/maps");
	assert_held(&world, 5, "11");
	remove_in(&world, "10/ns/ipc");
	remove_in(&world, "10/stat");
	assert_held(&world, 5, "11");
	remove_in(&world, "10/ns/mnt");
	remove_in(&world, "10/mountinfo");
	assert_held(&world, 5, "11");
	world_write(&world, 10, "maps", "%s", "");
	assert_held(&world, 5, "11");
	/* Descriptors without their fdinfo, and the other way round. */
	world_link(&world, 11, "fd/5", "/dev/shm/x");
	world_write(&world, 11, "fdinfo/6", "mnt_id:\t30\nino:\t7\n");
	assert_held(&world, 5, "11");
	g_assert_cmpuint(unexamined(&world), ==, 0);
}

static void one_without_a_stat_holds_what_it_holds(void)
{
	static const char *const stats[] = {"", "10", "10 (x", "10 (x) S", "garbage )(\n"};

	for (guint i = 0; i < G_N_ELEMENTS(stats); i++) {
		g_auto(World) world = {};
		world_start(&world);
		world_maps(&world, 10, 5, MEMFD);
		world_write(&world, 10, "stat", "%s", stats[i]);
		assert_held(&world, 5, "10");
	}
}

static void names_of_commands_hold_anything(void)
{
	static const char *const commands[] = {"a b", ")", "(", "a) S 1 (b", "123456789012345",
					       "\n"};

	for (guint i = 0; i < G_N_ELEMENTS(commands); i++) {
		g_auto(World) world = {};
		world_start(&world);
		world_process(&world, 10, commands[i], "");
		g_autofree char *line = g_strdup_printf(
			RANGE " rw-s 00000000 %s 5 /memfd:x (deleted)\n", world.kernel_hex);
		world_process(&world, 10, commands[i], line);
		g_autoptr(SegfsScan) scan = scan_now(world.scanner);
		const SegfsId id = memfd(&world, 5);
		const SegfsProcess *process = scan_holder(scan, &id, 10)->process;
		g_assert_cmpstr(process->command, ==, commands[i]);
		g_assert_cmpuint(process->start, ==, 1010);
		g_assert_cmpuint(process->ipc_ns, ==, NS_IPC);
		g_assert_cmpuint(process->mnt_ns, ==, NS_MNT);
		g_assert_cmpuint(process->uid, ==, geteuid());
	}
}

static void namespaces_that_may_not_be_known_are_zero(void)
{
	g_auto(World) world = {};
	world_start(&world);
	world_maps(&world, 10, 5, "/SYSV00000000 (deleted)");
	remove_in(&world, "10/ns/ipc");
	remove_in(&world, "10/ns/mnt");
	const SegfsId nowhere = {SEGFS_SYSV, 0, 5}, somewhere = {SEGFS_SYSV, NS_IPC, 5};
	assert_held_by(&world, &nowhere, "10");
	assert_held_by(&world, &somewhere, "");
	world_link(&world, 10, "ns/ipc", "garbage");
	assert_held_by(&world, &nowhere, "10");
}

/* What 10 has besides its name, where it is one. */
static void be_mount(const World *world)
{
	world_link(world, 10, "exe", "/usr/bin/segfs");
	world_link(world, 10, "fd/0", "/dev/null");
	world_link(world, 10, "fd/3", "/dev/fuse");
}

static void what_a_mount_holds_others_hold(void)
{
	g_auto(World) world = {};
	world_start(&world);
	world_maps(&world, 10, 5, MEMFD);
	world_write(&world, 10, "stat", "10 (segfs) S 1 1 1 0 -1 0 1 1 1 1 1 1 1 1 20 0 1 0 7 1\n");
	be_mount(&world);
	assert_held(&world, 5, "");
	world_write(&world, 10, "stat",
		    "10 (segfs2) S 1 1 1 0 -1 0 1 1 1 1 1 1 1 1 20 0 1 0 7 1\n");
	assert_held(&world, 5, "10");
}

/* Of another version, in another place, with another /dev. */
static void a_mount_is_known_wherever_it_is(void)
{
	static const char *const programs[] = {"/usr/bin/segfs", "/opt/segfs-2.0/bin/segfs-2.0",
					       "/usr/bin/segfs (deleted)", "/segfs"};

	for (guint i = 0; i < G_N_ELEMENTS(programs); i++) {
		g_auto(World) world = {};
		world_start(&world);
		world_maps(&world, 10, 5, MEMFD);
		world_write(&world, 10, "stat",
			    "10 (segfs) S 1 1 1 0 -1 0 1 1 1 1 1 1 1 1 20 0 1 0 7 1\n");
		world_link(&world, 10, "exe", programs[i]);
		world_link(&world, 10, "fd/3", i % 2 ? "/fuse" : "/dev/fuse");
		assert_held(&world, 5, "");
	}
}

/* A set-user-id program started under that name, which a user leaves what descriptors they like. */
static void a_roots_program_of_that_name_is_none(void)
{
	g_auto(World) world = {};
	world_start(&world);
	world_maps(&world, 10, 5, MEMFD);
	world_write(&world, 10, "stat", "10 (segfs) S 1 1 1 0 -1 0 1 1 1 1 1 1 1 1 20 0 1 0 7 1\n");
	assert_held(&world, 5, "10");
	be_mount(&world);
	assert_held(&world, 5, "");
	world_link(&world, 10, "exe", "/usr/bin/su");
	assert_held(&world, 5, "10");
	world_link(&world, 10, "exe", "/home/segfs/su");
	assert_held(&world, 5, "10");
	be_mount(&world);
	world_link(&world, 10, "fd/3", "/dev/null");
	assert_held(&world, 5, "10");
}

/* Anybody can take that name: it must not hide what they hold. */
static void who_is_called_like_a_mount_is_none(void)
{
	if (!unit_need_root())
		return;
	g_auto(World) world = {};
	world_start(&world);
	world_maps(&world, 10, 5, MEMFD);
	world_write(&world, 10, "stat", "10 (segfs) S 1 1 1 0 -1 0 1 1 1 1 1 1 1 1 20 0 1 0 7 1\n");
	be_mount(&world);
	world_owner(&world, 10, UNIT_UID);
	assert_held(&world, 5, "10");
}

static void threads_outlive_the_first(void)
{
	g_auto(World) world = {};
	world_start(&world);
	g_autofree char *line =
		g_strdup_printf(RANGE " rw-s 00000000 %s 5 /memfd:x (deleted)\n", world.kernel_hex);
	world_process(&world, 10, "threads", "");
	remove_in(&world, "10/ns/ipc");
	remove_in(&world, "10/ns/mnt");
	world_write(&world, 10, "task/10/maps", "%s", "");
	world_write(&world, 10, "task/11/maps", "%s", line);
	world_write(&world, 10, "task/12/maps", "%s", line);
	world_link(&world, 10, "task/11/ns/ipc", "ipc:[4026531839]");
	world_link(&world, 10, "task/12/ns/ipc", "ipc:[4026531839]");
	g_autoptr(SegfsScan) scan = scan_now(world.scanner);
	const SegfsId id = memfd(&world, 5);
	const SegfsHolder *holder = scan_holder(scan, &id, 10);

	g_assert_nonnull(holder);
	/* One process, whose threads have the same mappings. */
	g_assert_cmpuint(holder->mapped, ==, 1);
	g_assert_cmpuint(holder->process->ipc_ns, ==, NS_IPC);
}

static void who_may_not_be_looked_into_is_counted(void)
{
	static const char *const closed[] = {"10/maps", "10/fd", "10"};

	if (!unit_as_user())
		return;
	for (guint i = 0; i < G_N_ELEMENTS(closed); i++) {
		g_auto(World) world = {};
		world_start(&world);
		world_maps(&world, 10, 5, MEMFD);
		world_maps(&world, 11, 5, MEMFD);
		world_fd(&world, 10, 3, "/nowhere", 3, 3);
		chmod_in(&world, closed[i], 0);
		g_autoptr(SegfsScan) scan = scan_now(world.scanner);
		const SegfsId id = memfd(&world, 5);
		chmod_in(&world, closed[i], 0700); /* so that it can be removed, whatever comes */
		g_assert_cmpuint(segfs_scan_unexamined(scan), ==, 1);
		g_assert_nonnull(scan_holder(scan, &id, 11));
	}
}

/* A scan that stops at the process 99 until it is told to go on. */
static int stop_at(const char *fifo)
{
	int fd;

	/* Nobody reads it before the scan is there. */
	while ((fd = open(fifo, O_WRONLY | O_NONBLOCK | O_CLOEXEC)) < 0) {
		g_assert_cmpint(errno, ==, ENXIO);
		g_usleep(1000);
	}
	/* The next one will not stop. */
	g_assert_no_errno(unlink(fifo));
	return fd;
}

static char *fifo_make(const World *world)
{
	char *fifo = g_build_filename(world->proc, "99/fdinfo/3", NULL);

	world_process(world, 99, "stop", "1000-2000 rw-p 00000000 00:00 0\n");
	world_fd(world, 99, 3, "/dev/shm/x", 30, 7);
	g_assert_no_errno(unlink(fifo));
	g_assert_no_errno(mkfifo(fifo, 0600));
	return fifo;
}

typedef struct {
	const World *world;
	pid_t tid;
	SegfsScan *scan;
} Asker;

static gpointer ask(gpointer data)
{
	Asker *asker = data;

	g_atomic_int_set(&asker->tid, gettid());
	asker->scan = scan_now(asker->world->scanner);
	return NULL;
}

/* Until the thread waits for something. */
static void await_asking(Asker *asker)
{
	for (bool waits = false; !waits; g_usleep(1000)) {
		g_autofree char *stat =
			g_strdup_printf("/proc/self/task/%d/stat", g_atomic_int_get(&asker->tid));
		g_autofree char *text = NULL;
		waits = g_atomic_int_get(&asker->tid) &&
			g_file_get_contents(stat, &text, NULL, NULL) && strstr(text, ") S ");
	}
}

static void those_who_ask_together_share_a_scan_that_began_later(void)
{
	enum { N = 16 };
	g_auto(World) world = {};
	world_start(&world);
	g_autofree char *fifo = fifo_make(&world);
	Asker first = {.world = &world}, askers[N];
	GThread *threads[N];
	GThread *thread = g_thread_new("first", ask, &first);
	const int stopped = stop_at(fifo);

	/* Made while a scan goes on, whose list of processes is made already. */
	world_maps(&world, 100, 5, MEMFD);
	for (guint i = 0; i < N; i++) {
		askers[i] = (Asker){.world = &world};
		threads[i] = g_thread_new("asker", ask, &askers[i]);
	}
	for (guint i = 0; i < N; i++)
		await_asking(&askers[i]);
	close(stopped);
	g_thread_join(thread);
	const SegfsId id = memfd(&world, 5);
	g_assert_null(segfs_scan_find(first.scan, &id));
	for (guint i = 0; i < N; i++) {
		g_thread_join(threads[i]);
		g_assert_true(askers[i].scan == askers[0].scan);
		g_assert_nonnull(segfs_scan_find(askers[i].scan, &id));
	}
	for (guint i = 0; i < N; i++)
		segfs_scan_unref(askers[i].scan);
	segfs_scan_unref(first.scan);
}

static void a_recent_one_is_taken_for_as_long_as_it_was_made(void)
{
	enum { TOOK = 300 * 1000 }; /* microseconds, at least */
	g_auto(World) world = {};
	world_start(&world);
	g_autofree char *fifo = fifo_make(&world);
	Asker first = {.world = &world};
	GThread *thread = g_thread_new("first", ask, &first);
	const int stopped = stop_at(fifo);
	g_usleep(TOOK);
	close(stopped);
	g_thread_join(thread);
	const gint64 ended = g_get_monotonic_time();
	g_autoptr(SegfsScan) again = NULL;
	g_assert_cmpint(segfs_scanner_scan(world.scanner, segfs_since_recent(), &again), ==, 0);
	/* On a machine that stood still meanwhile this would prove nothing. */
	if (g_get_monotonic_time() < ended + 4 * TOOK - 100 * 1000)
		g_assert_true(again == first.scan);
	/* One who wants it new gets it new; that one took no time, and is soon too old. */
	g_autoptr(SegfsScan) new = scan_now(world.scanner);
	g_assert_true(new != first.scan);
	bool is_newer = false;
	for (gint64 until = ended + 60 * G_USEC_PER_SEC;
	     !is_newer && g_get_monotonic_time() < until; g_usleep(10 * 1000)) {
		g_autoptr(SegfsScan) newer = NULL;
		g_assert_cmpint(segfs_scanner_scan(world.scanner, segfs_since_recent(), &newer), ==,
				0);
		is_newer = newer != new;
	}
	g_assert_true(is_newer);
	segfs_scan_unref(first.scan);
}

static void the_processes_alone_are_another_scan(void)
{
	g_auto(World) world = {};
	world_start(&world);
	g_autoptr(SegfsScan) whole = scan_now(world.scanner);
	g_autoptr(SegfsScan) processes = NULL;
	world_maps(&world, 100, 5, MEMFD);
	g_assert_cmpint(scanner_processes(world.scanner, segfs_since_recent(), &processes), ==, 0);

	g_assert_cmpuint(segfs_scan_processes(whole)->len, ==, 1);
	g_assert_cmpuint(segfs_scan_processes(processes)->len, ==, 2);
	g_autoptr(GPtrArray) all = segfs_scan_held(processes);
	g_assert_cmpuint(all->len, ==, 0);
	g_assert_cmpstr(scanner_proc_root(world.scanner), ==, world.proc);
}

int main(int argc, char **argv)
{
	unit_init(&argc, &argv);
#define TEST(path, function) g_test_add_func("/scan-processes/" path, function)
	TEST("who-asks-is-left-out", who_asks_is_left_out);
	TEST("what-is-no-process", what_is_not_a_process_is_passed_over);
	TEST("no-first-process", where_there_is_no_first_process_some_are_hidden);
	TEST("no-proc", no_proc_is_the_error_of_opendir);
	TEST("ended-or-ending", who_has_ended_or_is_ending_holds_nothing);
	TEST("without-a-stat", one_without_a_stat_holds_what_it_holds);
	TEST("commands-hold-anything", names_of_commands_hold_anything);
	TEST("namespaces-not-known", namespaces_that_may_not_be_known_are_zero);
	TEST("what-a-mount-holds", what_a_mount_holds_others_hold);
	TEST("mount-wherever", a_mount_is_known_wherever_it_is);
	TEST("mount-name-of-a-program", a_roots_program_of_that_name_is_none);
	TEST("called-like-a-mount", who_is_called_like_a_mount_is_none);
	TEST("threads-outlive-the-first", threads_outlive_the_first);
	TEST("not-to-be-looked-into", who_may_not_be_looked_into_is_counted);
	TEST("together/began-slow", those_who_ask_together_share_a_scan_that_began_later);
	TEST("together/recent", a_recent_one_is_taken_for_as_long_as_it_was_made);
	TEST("processes-alone", the_processes_alone_are_another_scan);
	return g_test_run();
}
