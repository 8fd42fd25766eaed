/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The files of /proc as text, and tables that are swept. */

#include "lib/os/procfs.h"
#include "lib/os/sweep.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "unit.h"

static void a_value_is_of_the_line_that_begins_so(void)
{
	static const char text[] = "Name:\tTgid: 7\nTgid:\t4711\nShmem:     120 kB\nGroups:\t\n"
				   "Max locked memory         8388608              unlimited\n"
				   "inotify wd:1 ino:9\nino:\t5\nempty\nlast:";
	static const struct {
		const char *key;
		bool has_number;
		uint64_t number;
	} numbers[] = {
		{"Tgid", true, 4711}, {"Shmem", true, 120}, {"Max locked memory", true, 8388608},
		{"ino", true, 5},     {"Shm", false, 0},    {"Groups", false, 0},
		{"empty", false, 0},  {"last", false, 0},   {"wd", false, 0},
		{"", false, 0},
	};

	for (guint i = 0; i < G_N_ELEMENTS(numbers); i++) {
		uint64_t number = 0;
		g_assert_cmpint(procfs_number(text, numbers[i].key, &number), ==,
				numbers[i].has_number);
		g_assert_cmpuint(number, ==, numbers[i].number);
	}
	g_assert_true(g_str_has_prefix(procfs_value(text, "Name"), "Tgid: 7\n"));
	g_assert_true(g_str_has_prefix(procfs_value(text, "Groups"), "\n"));
	g_assert_cmpstr(procfs_value(text, "last"), ==, "");
	g_assert_null(procfs_value(text, "empty"));
	g_assert_null(procfs_value("Tgi", "Tgid"));
	g_assert_null(procfs_value("Tgid", "Tgid"));
	g_assert_null(procfs_value("", "Tgid"));
}

static void lines_of_mountinfo_are_read_with_their_escapes(void)
{
	static const char lines[] =
		"36 35 0:31 / /dev/shm rw,nosuid shared:5 master:1 - tmpfs tmpfs rw,size=1k\n"
		"no line of a mount\n"
		"\n"
		"37 35 98:4660 /a\\040b /mnt/\\134x\\011y\\012z rw - fuse.segfs a b "
		"rw,user_id=0,group_id=0\n"
		"38 35 0:33 /\\999 /half\\04 rw - ext4 none ro\n"
		"39 35 0:34 / /nothing rw - proc\n"
		"40 35 zero / /x rw - tmpfs tmpfs rw";
	const MountinfoLine expected[] = {
		{36, makedev(0, 31), "/", "/dev/shm", "tmpfs", "rw,size=1k"},
		{37, makedev(98, 4660), "/a b", "/mnt/\\x\ty\nz", "fuse.segfs",
		 "rw,user_id=0,group_id=0"},
		{38, makedev(0, 33), "/\\999", "/half\\04", "ext4", "ro"},
		{39, makedev(0, 34), "/", "/nothing", "proc", ""},
	};
	g_autofree char *text = g_strdup(lines);
	char *rest = text;
	MountinfoLine line;

	for (guint i = 0; i < G_N_ELEMENTS(expected); i++) {
		g_assert_true(mountinfo_next(&rest, &line));
		g_assert_cmpuint(line.id, ==, expected[i].id);
		g_assert_cmpuint(line.dev, ==, expected[i].dev);
		g_assert_cmpstr(line.root, ==, expected[i].root);
		g_assert_cmpstr(line.point, ==, expected[i].point);
		g_assert_cmpstr(line.type, ==, expected[i].type);
		g_assert_cmpstr(line.options, ==, expected[i].options);
	}
	g_assert_false(mountinfo_next(&rest, &line));
	g_assert_false(mountinfo_next(&rest, &line));
}

static guint n_looks;

static gboolean is_even(gpointer key, gpointer value, gpointer data)
{
	n_looks++;
	return GPOINTER_TO_UINT(key) % 2 == 0;
}

static void a_table_of_stale_entries_stays_small_at_little_cost(void)
{
	enum { KEPT = 16, MOST = 100000 };
	g_autoptr(GHashTable) table = g_hash_table_new(NULL, NULL);
	guint most = 0, live = 0;

	/* One in a hundred stays. */
	for (guint i = 0; i < MOST; i++) {
		const guint key = i % 100 ? 2 * i : 2 * i + 1;
		live += key % 2;
		sweep_table(table, &most, KEPT, is_even, NULL);
		g_hash_table_add(table, GUINT_TO_POINTER(key));
		g_assert_cmpuint(g_hash_table_size(table), <=, 2 * live + KEPT);
	}
	g_assert_cmpuint(n_looks, <=, 2 * MOST);
	g_assert_cmpuint(live, ==, MOST / 100);
}

/* The kernel forgets each child by itself, so that it can do so within an open(2). */
static void a_process_that_ends_is_not_found(void)
{
	enum { CHILDREN = 2000 };

	signal(SIGCHLD, SIG_IGN);
	for (guint i = 0; i < CHILDREN; i++) {
		const pid_t pid = fork();
		if (pid == 0)
			_exit(0);
		g_assert_cmpint(pid, >, 0);
		g_autofree char *path = g_strdup_printf("/proc/%d/ns/ipc", pid);
		int fd;
		while ((fd = procfs_open(path, O_RDONLY | O_CLOEXEC)) >= 0)
			close(fd);
		g_assert_true(errno == ENOENT || errno == ESRCH);
	}
	signal(SIGCHLD, SIG_DFL);
}

int main(int argc, char **argv)
{
	unit_init(&argc, &argv);
	g_test_add_func("/procfs/values", a_value_is_of_the_line_that_begins_so);
	g_test_add_func("/procfs/mountinfo", lines_of_mountinfo_are_read_with_their_escapes);
	g_test_add_func("/procfs/ended", a_process_that_ends_is_not_found);
	g_test_add_func("/procfs/sweep", a_table_of_stale_entries_stays_small_at_little_cost);
	return g_test_run();
}
