/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a scan finds in a /proc that the test has made: maps, descriptors, processes. */

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "lib/process/scan.h"
#include "scan_world.h"

#define SHM "00:e0"
#define SHM_DEV makedev(0, 0xe0)
/* The mount with id 30 is /dev/shm. */
#define SHM_MOUNT "30 25 0:224 / /dev/shm rw,nosuid shared:4 - tmpfs tmpfs rw,size=1k\n"

static SegfsId kernel_id(const World *world, SegfsKind kind, uint64_t inode)
{
	return (SegfsId){kind, kind == SEGFS_SYSV ? NS_IPC : world->kernel, inode};
}

static SegfsId shm_id(uint64_t inode)
{
	return (SegfsId){SEGFS_POSIX, SHM_DEV, inode};
}

static guint n_held(const SegfsScan *scan)
{
	g_autoptr(GPtrArray) all = segfs_scan_held(scan);

	return all->len;
}

static void each_kind_is_told_by_its_name(void)
{
	static const struct {
		const char *name;
		SegfsKind kind;
		const char *shown;
	} rows[] = {
		{"/SYSV00001234 (deleted)", SEGFS_SYSV, "/SYSV00001234"},
		{"/SYSV00000000 (deleted)", SEGFS_SYSV, "/SYSV00000000"},
		{"/memfd:x (deleted)", SEGFS_MEMFD, "/memfd:x"},
		{"/memfd:/SYSV00000000 (deleted)", SEGFS_MEMFD, "/memfd:/SYSV00000000"},
		{"/memfd: (deleted)", SEGFS_MEMFD, "/memfd:"},
		{"/memfd:a (deleted) (deleted)", SEGFS_MEMFD, "/memfd:a (deleted)"},
		{"/memfd:two words (deleted)", SEGFS_MEMFD, "/memfd:two words"},
		{"/dev/zero (deleted)", SEGFS_ANON, "/dev/zero"},
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_auto(World) world = {};
		world_start(&world);
		world_maps(&world, 4711, 32769, rows[i].name);
		g_autoptr(SegfsScan) scan = scan_now(world.scanner);
		const SegfsId id = kernel_id(&world, rows[i].kind, 32769);
		const SegfsHeld *held = segfs_scan_find(scan, &id);
		g_assert_nonnull(held);
		g_assert_cmpuint(n_held(scan), ==, 1);
		g_assert_true(segfs_id_equal(&held->id, &id));
		g_assert_cmpstr(held->name, ==, rows[i].shown);
		g_assert_true(held->deleted);
		const SegfsHolder *holder = scan_holder(scan, &id, 4711);
		g_assert_cmpuint(holder->attached, ==, rows[i].kind == SEGFS_SYSV);
		g_assert_cmpuint(holder->mapped, ==, rows[i].kind != SEGFS_SYSV);
		g_assert_cmpuint(holder->open, ==, 0);
		g_assert_cmpint(holder->fd, ==, -1);
		g_assert_cmphex(holder->start, ==, 0x7f0000001000);
		g_assert_cmphex(holder->end, ==, 0x7f0000003000);
		g_assert_false(holder->has_memory);
	}
}

static void a_client_of_a_graphics_driver_counts_once(void)
{
	static const struct {
		int pid, fd;
		const char *link, *fdinfo;
		uint64_t bytes; /* so many with this one */
	} rows[] = {
		{4711, 3, "/dev/dri/renderD128",
		 "drm-driver:\ti915\ndrm-pdev:\t0000:00:02.0\ndrm-client-id:\t7\n"
		 "drm-total-system0:\t9 MiB\ndrm-resident-system0:\t2 "
		 "MiB\ndrm-resident-local0:\t99 MiB\n",
		 2 << 20},
		/* The same client, by a descriptor that was passed on. */
		{4712, 9, "/dev/dri/renderD128",
		 "drm-pdev:\t0000:00:02.0\ndrm-client-id:\t7\ndrm-resident-system0:\t2 MiB\n",
		 2 << 20},
		{4712, 10, "/dev/dri/card0",
		 "drm-pdev:\t0000:00:03.0\ndrm-client-id:\t7\ndrm-memory-memory:\t4 KiB\n",
		 (2 << 20) + 4096},
		/* A device on no bus. */
		{4712, 11, "/dev/dri/card1", "drm-client-id: 7\ndrm-resident-memory: 5\n",
		 (2 << 20) + 4096 + 5},
		{4712, 12, "/dev/dri/card1", "pos:\t0\ndrm-resident-memory: 5\n",
		 (2 << 20) + 4096 + 5},
		{4712, 13, "/tmp/dev/dri/card1", "drm-client-id: 8\ndrm-resident-memory: 5\n",
		 (2 << 20) + 4096 + 5},
	};
	g_auto(World) world = {};
	world_start(&world);
	world_process(&world, 4711, "game", RANGE " r-xp 00000000 fe:00 123 /usr/bin/game\n");
	world_process(&world, 4712, "compositor", RANGE " r-xp 00000000 fe:00 124 /usr/bin/x\n");

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autofree char *fd = g_strdup_printf("fd/%d", rows[i].fd);
		g_autofree char *info = g_strdup_printf("fdinfo/%d", rows[i].fd);
		world_link(&world, rows[i].pid, fd, rows[i].link);
		world_write(&world, rows[i].pid, info, "%s", rows[i].fdinfo);
		g_autoptr(SegfsScan) scan = scan_now(world.scanner);
		g_assert_cmpuint(segfs_scan_drm(scan), ==, rows[i].bytes);
		g_assert_cmpuint(n_held(scan), ==, 0);
	}
}

static void segment_zero_is_a_segment(void)
{
	g_auto(World) world = {};
	world_start(&world);
	const SegfsId zero = kernel_id(&world, SEGFS_SYSV, 0);

	assert_held_by(&world, &zero, "");
	world_maps(&world, 4711, 0, "/SYSV00000000 (deleted)");
	assert_held_by(&world, &zero, "4711");
}

static void mappings_of_other_things_are_none_of_ours(void)
{
	g_auto(World) world = {};
	world_start(&world);
	world_process(&world, 4711, "other",
		      "555555554000-555555555000 r-xp 00000000 fe:00 123 /usr/bin/program\n"
		      "555555555000-555555556000 rw-p 00000000 00:00 0 [heap]\n"
		      "7f0000001000-7f0000002000 rw-s 00000000 00:05 7 /dev/zero\n"
		      "7f0000002000-7f0000003000 rw-s 00000000 00:e1 7 /SYSV00000000 (deleted)\n"
		      "7f0000003000-7f0000004000 rw-s 00000000 00:e1 7 /memfd:x (deleted)\n"
		      "7f0000004000-7f0000005000 rw-s 00000000 " SHM " 7 /dev/shm/x\n"
		      "7ffff0000000-7ffff0001000 rw-p 00000000 00:00 0 \n");
	g_autoptr(SegfsScan) scan = scan_now(world.scanner);

	g_assert_cmpuint(n_held(scan), ==, 0);
	g_assert_cmpuint(segfs_scan_unexamined(scan), ==, 0);
}

static void mappings_are_counted_by_process(void)
{
	g_auto(World) world = {};
	world_start(&world);
	g_autofree char *maps = g_strdup_printf(
		"1000-2000 rw-s 00000000 %1$s 5 /SYSV00000000 (deleted)\n"
		"3000-4000 r--s 00000000 %1$s 6 /memfd:x (deleted)\n"
		"5000-6000 r--s 00001000 %1$s 5 /SYSV00000000 (deleted)\n"
		"ffffffffff600000-ffffffffff601000 --xp 00000000 %1$s 5 /SYSV00000000 (deleted)\n",
		world.kernel_hex);
	world_process(&world, 7, "seven", maps);
	world_process(&world, 8, "eight", maps);
	g_autoptr(SegfsScan) scan = scan_now(world.scanner);
	const SegfsId segment = kernel_id(&world, SEGFS_SYSV, 5);
	const SegfsId memfd = kernel_id(&world, SEGFS_MEMFD, 6);

	for (int pid = 7; pid <= 8; pid++) {
		g_assert_cmpuint(scan_holder(scan, &segment, pid)->attached, ==, 3);
		g_assert_cmpuint(scan_holder(scan, &segment, pid)->mapped, ==, 0);
		g_assert_cmpuint(scan_holder(scan, &memfd, pid)->mapped, ==, 1);
		g_assert_cmphex(scan_holder(scan, &memfd, pid)->start, ==, 0x3000);
	}
	g_assert_cmphex(scan_holder(scan, &segment, 7)->start, ==, 0xffffffffff600000);
	g_assert_cmpstr(scan_holder(scan, &segment, 7)->process->command, ==, "seven");
	g_assert_cmpuint(scan_holder(scan, &segment, 8)->process->start, ==, 1008);
}

/* One line of maps, of an object on the device 00:e0: the name that a scan gives it. */
static char *shown_as(const char *name, bool *ret_deleted)
{
	g_auto(World) world = {};
	world_start(&world);
	scanner_watch(world.scanner, SHM_DEV);
	g_autofree char *line = g_strconcat(RANGE " rw-s 00000000 " SHM " 9    ", name, "\n", NULL);
	world_process(&world, 4711, "holder", line);
	g_autoptr(SegfsScan) scan = scan_now(world.scanner);
	const SegfsId id = shm_id(9);
	const SegfsHeld *held = segfs_scan_find(scan, &id);

	g_assert_nonnull(held);
	*ret_deleted = held->deleted;
	return g_strdup(held->name);
}

static void names_are_as_files_have_them(void)
{
	static const struct {
		const char *name, *shown;
		bool deleted;
	} rows[] = {
		{"/dev/shm/x", "/dev/shm/x", false},
		{"/dev/shm/x (deleted)", "/dev/shm/x", true},
		{"/dev/shm/a b  c", "/dev/shm/a b  c", false},
		{"/dev/shm/a\\012b", "/dev/shm/a\nb", false},
		{"/dev/shm/\\012\\012 (deleted)", "/dev/shm/\n\n", true},
		{"/dev/shm/a\\012", "/dev/shm/a\n", false},
		{"/dev/shm/a\\01", "/dev/shm/a\\01", false},
		{"/dev/shm/a\\040b\\", "/dev/shm/a\\040b\\", false},
		{"/dev/shm/\xff\xc3(", "/dev/shm/\xff\xc3(", false},
		{"/dev/shm/x(deleted)", "/dev/shm/x(deleted)", false},
		{"(deleted)", "(deleted)", false},
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		bool deleted;
		g_autofree char *shown = shown_as(rows[i].name, &deleted);
		g_assert_cmpstr(shown, ==, rows[i].shown);
		g_assert_cmpint(deleted, ==, rows[i].deleted);
	}
}

static void a_line_can_be_long(void)
{
	/* Longer than each piece in which it is read, and so that one ends inside it. */
	for (gsize length = 32 * 1024 - 100; length < 200 * 1024; length += 33333) {
		bool deleted;
		g_autofree char *name = g_strnfill(length, 'n');
		name[0] = '/';
		g_autofree char *shown = shown_as(name, &deleted);
		g_assert_cmpstr(shown, ==, name);
	}
}

static void many_lines_are_all_read(void)
{
	enum { N = 20000 };
	g_auto(World) world = {};
	world_start(&world);
	g_autoptr(GString) maps = g_string_new(NULL);
	for (guint i = 0; i < N; i++)
		g_string_append_printf(maps, "%x-%x rw-s 00000000 %s %u /memfd:x (deleted)\n",
				       (i + 1) << 12, (i + 2) << 12, world.kernel_hex, i + 1);
	world_process(&world, 4711, "holder", maps->str);
	g_autoptr(SegfsScan) scan = scan_now(world.scanner);

	g_assert_cmpuint(n_held(scan), ==, N);
}

static void lines_that_are_cut_or_none_are_passed_over(void)
{
	static const char *const lines[] = {
		"",
		"\n",
		"\n\n\n",
		"-",
		":",
		"garbage",
		"garbage\n",
		RANGE,
		RANGE "\n",
		RANGE " rw-s 00000000\n",
		RANGE " rw-s 00000000 \n",
		RANGE " rw-s 00000000 " SHM,
		RANGE " rw-s 00000000 " SHM "\n",
		RANGE " rw-s 00000000 " SHM " 9 /dev/shm/x", /* the last line is cut */
		"7f0000001000 7f0000003000 rw-s 00000000 " SHM " 9 /dev/shm/x\n",
		"zzzz-zzzz rw-s 00000000 " SHM " 9 /dev/shm/x\n",
		RANGE " rw-s 00000000 00e0 9 /dev/shm/x\n",
		RANGE " rw-s 00000000 :e0 9\n",
		RANGE " rw-s 00000000 zz:zz 9 /dev/shm/x\n",
		"7f0000001000-7f0000003000-7f0000004000\n",
		"\xff\xfe\xfd\n",
	};

	for (guint i = 0; i < G_N_ELEMENTS(lines); i++) {
		g_auto(World) world = {};
		world_start(&world);
		scanner_watch(world.scanner, SHM_DEV);
		world_process(&world, 4711, "holder", lines[i]);
		const SegfsId nine = shm_id(9), ten = shm_id(10);
		if (!strstr(lines[i], " :e0 "))
			assert_held_by(&world, &nine, "");
		/* What comes behind is found, where it is a line of its own. */
		g_autofree char *more = g_strconcat(
			lines[i], "\n" RANGE " rw-s 00000000 " SHM " 10 /dev/shm/y\n", NULL);
		world_process(&world, 4711, "holder", more);
		assert_held_by(&world, &ten, "4711");
	}
}

/* A descriptor at path, on the mount 30, which is 00:e0 on /dev/shm. */
static char *found_by_fd(const char *path, const char *info)
{
	g_auto(World) world = {};
	world_start(&world);
	world_mounts(&world, 1, NS_MNT, SHM_MOUNT);
	world_process(&world, 4711, "holder", "1000-2000 rw-p 00000000 00:00 0\n");
	world_link(&world, 4711, "fd/9", path);
	world_write(&world, 4711, "fdinfo/9", "%s", info);
	g_autoptr(SegfsScan) scan = scan_now(world.scanner);
	const SegfsId id = shm_id(77);
	const SegfsHolder *holder = scan_holder(scan, &id, 4711);

	if (!holder) {
		g_assert_cmpuint(n_held(scan), ==, 0);
		return NULL;
	}
	g_assert_cmpuint(holder->open, ==, 1);
	g_assert_cmpuint(holder->mapped, ==, 0);
	g_assert_cmpint(holder->fd, ==, 9);
	g_assert_cmpuint(holder->end, ==, 0);
	return g_strdup(segfs_scan_find(scan, &id)->name);
}

#define INFO "pos:\t0\nflags:\t0100002\nmnt_id:\t30\nino:\t77\n"

static void descriptors_are_known_by_their_mount(void)
{
	static const struct {
		const char *path, *info, *shown;
	} rows[] = {
		{"/dev/shm/x", INFO, "/dev/shm/x"},
		{"/dev/shm/x (deleted)", INFO, "/dev/shm/x"},
		{"/elsewhere/x", INFO, "/elsewhere/x"},
		{"/dev/shm/x", INFO "lock:\t1: POSIX  ADVISORY  WRITE 7 00:e0:77 0 EOF\n",
		 "/dev/shm/x"},
		{"/", INFO, "/"},
		/* Called as the kernel calls memory, but of no such file. */
		{"/memfd:x (deleted)", INFO, NULL},
		{"/SYSV00000000 (deleted)", INFO, NULL},
		{"/dev/null", INFO, NULL},
		{"socket:[77]", INFO, NULL},
		{"anon_inode:[eventfd]", INFO, NULL},
		/* On another mount, on none, cut. */
		{"/dev/shm/x", "pos:\t0\nflags:\t0100002\nmnt_id:\t31\nino:\t77\n", NULL},
		{"/dev/shm/x", "pos:\t0\nflags:\t0100002\nmnt_id:\t30\n", NULL},
		{"/dev/shm/x", "mnt_id:", NULL},
		{"/dev/shm/x", "", NULL},
		{"/dev/shm/x", "garbage\n\n\xff", NULL},
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autofree char *shown = found_by_fd(rows[i].path, rows[i].info);
		if (g_strcmp0(shown, rows[i].shown))
			g_test_message("row %u", i);
		g_assert_cmpstr(shown, ==, rows[i].shown);
	}
}

/* Before Linux 5.14: the file itself is asked. */
static void one_without_its_number_is_looked_at(void)
{
	g_auto(World) world = {};
	world_start(&world);
	world_mounts(&world, 1, NS_MNT, SHM_MOUNT);
	world_process(&world, 4711, "holder", RANGE " r-xp 00000000 08:01 9 /usr/bin/x\n");
	world_write(&world, 4711, "file", "bytes");
	g_autofree char *path = g_strdup_printf("%s/4711/file", world.proc);
	struct stat st;
	g_assert_no_errno(stat(path, &st));
	world_fd(&world, 4711, 9, path, 30, 1);
	world_write(&world, 4711, "fdinfo/9", "pos:\t0\nflags:\t0100002\nmnt_id:\t30\n");
	g_autoptr(SegfsScan) scan = scan_now(world.scanner);
	const SegfsId id = shm_id(st.st_ino);

	g_assert_nonnull(scan_holder(scan, &id, 4711));
	g_assert_cmpuint(n_held(scan), ==, 1);
}

/* Only in maps is a newline written so: as a name it has four bytes of its own. */
static void the_name_of_a_descriptor_is_no_escape(void)
{
	g_autofree char *shown = found_by_fd("/dev/shm/a\\012b", INFO);

	g_assert_cmpstr(shown, ==, "/dev/shm/a\\012b");
}

static void descriptors_and_mappings_of_one_are_one_holder(void)
{
	g_auto(World) world = {};
	world_start(&world);
	world_mounts(&world, 1, NS_MNT, SHM_MOUNT);
	world_process(&world, 4711, "holder", RANGE " rw-s 00000000 " SHM " 77 /dev/shm/x\n");
	world_fd(&world, 4711, 5, "/dev/shm/x", 30, 77);
	world_fd(&world, 4711, 250, "/dev/shm/second", 30, 77);
	g_autoptr(SegfsScan) scan = scan_now(world.scanner);
	const SegfsId id = shm_id(77);
	const SegfsHolder *holder = scan_holder(scan, &id, 4711);

	g_assert_nonnull(holder);
	g_assert_cmpuint(holder->mapped, ==, 1);
	g_assert_cmpuint(holder->open, ==, 2);
	g_assert_true(holder->fd == 5 || holder->fd == 250);
	g_assert_cmpuint(n_held(scan), ==, 1);
}

int main(int argc, char **argv)
{
	unit_init(&argc, &argv);
#define TEST(path, function) g_test_add_func("/scan/" path, function)
	TEST("maps/kinds-by-name", each_kind_is_told_by_its_name);
	TEST("drm/once", a_client_of_a_graphics_driver_counts_once);
	TEST("maps/segment-zero", segment_zero_is_a_segment);
	TEST("maps/none-of-ours", mappings_of_other_things_are_none_of_ours);
	TEST("maps/counted-by-process", mappings_are_counted_by_process);
	TEST("maps/names-as-files-have-them", names_are_as_files_have_them);
	TEST("maps/long-lines", a_line_can_be_long);
	TEST("maps/many-lines", many_lines_are_all_read);
	TEST("maps/cut-or-none", lines_that_are_cut_or_none_are_passed_over);
	TEST("fd/known-by-mount", descriptors_are_known_by_their_mount);
	TEST("fd/without-its-number", one_without_its_number_is_looked_at);
	TEST("fd/name-is-no-escape", the_name_of_a_descriptor_is_no_escape);
	TEST("fd/one-holder-with-mappings", descriptors_and_mappings_of_one_are_one_holder);
	return g_test_run();
}
