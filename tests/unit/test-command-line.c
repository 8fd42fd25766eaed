/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What processes say of themselves: their command line, and their cgroup. */

#include <string.h>

#include "scan_world.h"

/* Of the process 10; size: of the file, which holds NULs. */
static char *line_of(const char *bytes, gsize size)
{
	g_auto(World) world = {};
	const SegfsProcess process = {.pid = 10, .start = 1010};
	g_autoptr(GError) error = NULL;

	world_start(&world);
	world_process(&world, 10, "any", "");
	g_autofree char *path = g_build_filename(world.proc, "10/cmdline", NULL);
	g_file_set_contents(path, bytes, size, &error);
	g_assert_no_error(error);
	return segfs_process_command_line(world.proc, &process);
}

#define LINE(bytes) line_of(bytes, sizeof(bytes) - 1)

static void assert_line(char *line, const char *expected)
{
	g_assert_cmpstr(line, ==, expected);
	g_free(line);
}

static void arguments_are_on_one_line(void)
{
	assert_line(LINE("program\0"), "program");
	assert_line(LINE("program\0-a\0b c\0"), "program -a b c");
	assert_line(LINE("a\0\0b\0"), "a  b");
	/* As setproctitle(3) leaves it. */
	assert_line(LINE("server: idle"), "server: idle");
	assert_line(LINE("server: idle\0\0\0\0\0\0"), "server: idle");
	assert_line(LINE(""), NULL);
	assert_line(LINE("\0"), NULL);
	assert_line(LINE("\0\0\0"), NULL);
	assert_line(LINE("\0a\0"), " a");
	assert_line(LINE(" \0"), " ");
}

static void control_characters_do_not_get_through(void)
{
	assert_line(LINE("a\nVerdict: x\0"), "a\\nVerdict: x");
	assert_line(LINE("\r\t\x01\x1b[2J\x7f\0"), "\\r\\t\\001\\033[2J\\177");
	/* A terminal takes U+009B for ESC [, and so may it the byte. */
	assert_line(LINE("\xc2\x9b"
			 "2J\x9b"
			 "2J\0"),
		    "\\302\\2332J\\2332J");
	/* Python takes U+2028 for the end of a line; U+202E turns what follows. */
	assert_line(LINE("a\xe2\x80\xa8"
			 "b\xe2\x80\xae"
			 "c\xe2\x80\xaa\0"),
		    "a\\342\\200\\250b\\342\\200\\256c\\342\\200\\252");
	assert_line(LINE("\xc2\x80\xc2\x9f\xc2\xa0\0"), "\\302\\200\\302\\237\xc2\xa0");
	for (guint byte = 1; byte < 256; byte++) {
		const char text[] = {'a', (char)byte, 'b', '\0'};
		g_autofree char *line = line_of(text, sizeof(text));
		if (byte < 32 || byte >= 127)
			g_assert_cmpint(line[1], ==, '\\');
		else
			g_assert_cmpstr(line, ==, text);
	}
}

static void what_is_text_stays_readable(void)
{
	assert_line(LINE("\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80\0"),
		    "\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80");
	assert_line(LINE("\xc3\xa4\xff\xc3\0"), "\xc3\xa4\\377\\303");
	assert_line(LINE("a\\x2d\"b\"\0"), "a\\x2d\"b\"");
}

static void a_line_can_be_long(void)
{
	g_autofree char *bytes = g_strnfill(2 * 1024 * 1024, 'x');

	assert_line(line_of(bytes, strlen(bytes) + 1), bytes);
}

static char *cgroup_of(const char *text)
{
	g_auto(World) world = {};
	const SegfsProcess process = {.pid = 10, .start = 1010};

	world_start(&world);
	world_process(&world, 10, "any", "");
	world_write(&world, 10, "cgroup", "%s", text);
	return segfs_process_cgroup(world.proc, &process);
}

static void the_cgroup_is_that_of_version_two(void)
{
	assert_line(cgroup_of("0::/user.slice/x.scope\n"), "/user.slice/x.scope");
	assert_line(cgroup_of("0::/\n"), "/");
	assert_line(cgroup_of("0::/a:b\n"), "/a:b");
	/* Both, and what the processes of a container share is in version 1. */
	assert_line(cgroup_of("12:pids:/docker/1\n1:name=systemd:/docker/1\n0::/\n"), "/docker/1");
	assert_line(cgroup_of("12:pids:/\n1:name=systemd:/a\n"), "/a");
	assert_line(cgroup_of("0::/rv\x1b[31m\xc2\x9bX\xc3\xa4\n"),
		    "/rv\\033[31m\\302\\233X\xc3\xa4");
	assert_line(cgroup_of(""), NULL);
	assert_line(cgroup_of("\n"), NULL);
	assert_line(cgroup_of("garbage\n0\n0:\n"), NULL);
}

/* Where both are in use systemd's tree is in version 1, and version 2 has the same. */
static void version_two_goes_before_version_one(void)
{
	assert_line(cgroup_of("2:cpu:/one\n0::/two\n"), "/two");
}

static void a_process_has_a_number_in_its_own_namespace(void)
{
	g_auto(World) world = {};
	const SegfsProcess process = {.pid = 10, .start = 1010};

	world_start(&world);
	world_process(&world, 10, "any", "");
	g_assert_cmpint(segfs_process_inner_pid(world.proc, &process), ==, 0);
	world_write(&world, 10, "status", "Name:\tany\nNSpid:\t10\nNSpgid:\t10\t2\n");
	g_assert_cmpint(segfs_process_inner_pid(world.proc, &process), ==, 0);
	world_write(&world, 10, "status", "Name:\tany\nNSpid:\t10\t4\t1\nNSpgid:\t10\t2\n");
	g_assert_cmpint(segfs_process_inner_pid(world.proc, &process), ==, 1);
}

static void who_has_the_number_now_is_not_asked(void)
{
	g_auto(World) world = {};
	const SegfsProcess before = {.pid = 10, .start = 1009};
	const SegfsProcess unknown = {.pid = 10};
	const SegfsProcess gone = {.pid = 11, .start = 1011};

	world_start(&world);
	world_process(&world, 10, "any", "");
	world_write(&world, 10, "cmdline", "program");
	world_write(&world, 10, "cgroup", "0::/a\n");
	const SegfsProcess *const others[] = {&before, &unknown, &gone};
	for (guint i = 0; i < G_N_ELEMENTS(others); i++) {
		g_assert_null(segfs_process_command_line(world.proc, others[i]));
		g_assert_null(segfs_process_cgroup(world.proc, others[i]));
	}
}

int main(int argc, char **argv)
{
	unit_init(&argc, &argv);
#define TEST(path, function) g_test_add_func("/command-line/" path, function)
	TEST("on-one-line", arguments_are_on_one_line);
	TEST("control-characters", control_characters_do_not_get_through);
	TEST("text", what_is_text_stays_readable);
	TEST("long", a_line_can_be_long);
	TEST("cgroup/version-two", the_cgroup_is_that_of_version_two);
	TEST("cgroup/two-before-one", version_two_goes_before_version_one);
	TEST("number-of-another", who_has_the_number_now_is_not_asked);
	TEST("inner-pid", a_process_has_a_number_in_its_own_namespace);
	return g_test_run();
}
