/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a memory cgroup leaves, from the files of both versions. */

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/os/autofd.h"
#include "lib/os/room.h"
#include "unit.h"

#define MIB (1024ULL * 1024)

static char *root;

static void put(const char *name, const char *text)
{
	g_autofree char *path = g_build_filename(root, name, NULL);
	g_autofree char *directory = g_path_get_dirname(path);

	g_assert_cmpint(g_mkdir_with_parents(directory, 0755), ==, 0);
	g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

static void remove_all(const char *path)
{
	GDir *directory = g_dir_open(path, 0, NULL);
	const char *name;

	while (directory && (name = g_dir_read_name(directory))) {
		g_autofree char *below = g_build_filename(path, name, NULL);
		remove_all(below);
	}
	g_clear_pointer(&directory, g_dir_close);
	g_remove(path);
}

static void begin(void)
{
	root = g_dir_make_tmp("segfs-room.XXXXXX", NULL);
	g_assert_nonnull(root);
}

static void end(void)
{
	remove_all(root);
	g_clear_pointer(&root, g_free);
}

static void test_v2(void)
{
	uint64_t limit = 0, left = 0;

	begin();
	put("cgroup.controllers", "cpu memory\n");
	put("a/memory.max", "134217728\n");
	put("a/memory.current", "120586240\n"); /* 13 MiB below 128 */
	put("a/memory.stat", "anon 5\nfile 900000\ninactive_file 1048576\nactive_file 2097152\n"
			     "slab_reclaimable 4096\n");
	put("a/b/memory.max", "max\n");
	put("a/b/memory.current", "1000\n");
	g_assert_cmpint(room_of_cgroup("0::/a/b\n", root, &limit, &left), ==, 0);
	g_assert_cmpuint(limit, ==, 128 * MIB);
	g_assert_cmpuint(left, ==, 13 * MIB + 3 * MIB + 4096);
	/* What throttles counts as what kills. */
	put("a/b/memory.high", "1048576\n");
	g_assert_cmpint(room_of_cgroup("0::/a/b\n", root, &limit, &left), ==, 0);
	g_assert_cmpuint(limit, ==, MIB);
	g_assert_cmpuint(left, ==, MIB - 1000);
	/* A path that is not there: that of another cgroup namespace. */
	g_assert_cmpint(room_of_cgroup("0::/x/y\n", root, &limit, &left), ==, -ENODATA);
	put("memory.max", "2097152\n");
	put("memory.current", "4194304\n");
	g_assert_cmpint(room_of_cgroup("0::/x/y\n", root, &limit, &left), ==, 0);
	g_assert_cmpuint(left, ==, 0);
	g_assert_cmpint(room_of_cgroup("0::/../../..\n", root, &limit, &left), ==, 0);
	end();
}

static void test_v1(void)
{
	uint64_t limit = 0, left = 0;

	begin();
	put("memory/memory.limit_in_bytes", "9223372036854771712\n");
	put("memory/memory.usage_in_bytes", "1\n");
	put("memory/a/memory.limit_in_bytes", "100663296\n");
	put("memory/a/memory.usage_in_bytes", "99614720\n");
	put("memory/a/memory.stat", "inactive_file 7\ntotal_inactive_file 4096\n");
	g_assert_cmpint(
		room_of_cgroup("5:cpu:/\n4:hugetlb,memory:/a\n0::/b\n", root, &limit, &left), ==,
		0);
	g_assert_cmpuint(limit, ==, 96 * MIB);
	g_assert_cmpuint(left, ==, MIB + 4096);
	g_assert_cmpint(room_of_cgroup("4:memory:/\n", root, &limit, &left), ==, -ENODATA);
	end();
}

static void test_strange(void)
{
	static const char *const texts[] = {
		"",        "\n",      ":", ":::", "0::", "0::/\n\n", "4:memory", "4:memory:a:b\n",
		"0::////", "0::/a\0b"};
	uint64_t limit, left;

	begin();
	for (guint i = 0; i < G_N_ELEMENTS(texts); i++)
		g_assert_cmpint(room_of_cgroup(texts[i], root, &limit, &left), ==, -ENODATA);
	put("memory/memory.limit_in_bytes", "no number");
	g_assert_cmpint(room_of_cgroup("4:memory:/\n", root, &limit, &left), ==, -ENODATA);
	end();
}

static void test_missing(void)
{
	const long page = sysconf(_SC_PAGESIZE);
	autofd fd = memfd_create("room", MFD_CLOEXEC);

	g_assert_cmpint(fd, >=, 0);
	g_assert_cmpuint(room_pages_missing(fd, 0, 10 * page), ==, 10);
	g_assert_cmpint(pwrite(fd, "x", 1, 3 * page + 5), ==, 1);
	g_assert_cmpuint(room_pages_missing(fd, 0, 10 * page), ==, 9);
	g_assert_cmpuint(room_pages_missing(fd, 3 * page, page), ==, 0);
	g_assert_cmpuint(room_pages_missing(fd, 3 * page + 10, page), ==, 1);
	g_assert_cmpuint(room_pages_missing(fd, 5, 1), ==, 1);
	g_assert_cmpuint(room_pages_missing(fd, 5, 0), <=, 1);
}

int main(int argc, char **argv)
{
	unit_init(&argc, &argv);
	g_test_add_func("/room/v2", test_v2);
	g_test_add_func("/room/v1", test_v1);
	g_test_add_func("/room/strange", test_strange);
	g_test_add_func("/room/missing", test_missing);
	return g_test_run();
}
