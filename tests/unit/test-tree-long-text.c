/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Files of text without a mount: what long ones are at any place, and what one user may hold. */

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>

#include "tree_world.h"
#include "unit.h"

/* Enough for several pieces. */
static void make_many(const World *world)
{
	for (guint i = 0; i < 1500; i++) {
		g_autofree char *path = g_strdup_printf("%s/object-%u", world->shm, i);
		g_assert_true(g_file_set_contents(path, "x", 1, NULL));
	}
}

static void a_long_text_is_the_same_at_any_place(void)
{
	g_auto(World) world = {};
	/* The other namespaces of the host can hold any number. */
	world_start_with(&world, (TreeOptions){.no_ns = "-"});
	make_many(&world);
	g_autoptr(Node) node = world_node(&world, "segments.json");
	g_autoptr(File) file = node_open(node, &world.self, O_RDONLY);
	g_autofree char *whole = file_bytes(file, 8 << 20, 0);
	const size_t length = strlen(whole);

	g_assert_cmpuint(length, >, 400 * 1024);
	g_assert_true(g_str_has_prefix(whole, "{\"version\":1,"));
	g_assert_true(g_str_has_suffix(whole, "\n]}\n"));
	for (guint i = 0; i < 1500; i += 100) {
		g_autofree char *name = g_strdup_printf("\"posix/object-%u\"", i);
		g_assert_nonnull(strstr(whole, name));
	}
	/* Across the borders of pieces, backwards, and at the end. */
	for (size_t at = length; at > 777; at -= 777) {
		g_autofree char *part = file_bytes(file, 1000, at - 777);
		g_assert_cmpuint(strlen(part), ==, MIN(1000, length - (at - 777)));
		g_assert_cmpint(strncmp(part, whole + at - 777, strlen(part)), ==, 0);
	}
	g_autofree char *nothing = file_bytes(file, 1000, length);
	g_assert_cmpstr(nothing, ==, "");
}

static void what_one_user_holds_is_bounded(void)
{
	const uid_t uid = 4321;
	const SegfsCaller user = {.uid = uid, .gid = uid};
	g_auto(World) world = {};
	world_start(&world);
	g_autoptr(Node) node = world_node(&world, "README");
	File *file = NULL;

	/* One there can always be, however long; then none. */
	g_assert_true(tree_hold(world.tree, uid, HELD_MOST + 1));
	g_assert_false(tree_hold(world.tree, uid, 1));
	g_assert_cmpint(node->ops->open(node, &user, O_RDONLY, &file), ==, -ENOMEM);
	g_assert_true(tree_hold(world.tree, uid + 1, 1));
	g_assert_true(tree_hold(world.tree, 0, HELD_MOST));
	g_assert_true(tree_hold(world.tree, 0, HELD_MOST));
	tree_let_go(world.tree, uid, HELD_MOST + 1);
	g_assert_cmpint(node->ops->open(node, &user, O_RDONLY, &file), ==, 0);
	file_unref(file);
	g_assert_true(tree_hold(world.tree, uid, HELD_MOST));
	g_assert_false(tree_hold(world.tree, uid, HELD_MOST));
}

int main(int argc, char **argv)
{
	unit_init(&argc, &argv);
	g_test_add_func("/tree-long-text/a-long-text-is-the-same-at-any-place",
			a_long_text_is_the_same_at_any_place);
	g_test_add_func("/tree-long-text/what-one-user-holds-is-bounded",
			what_one_user_holds_is_bounded);
	return g_test_run();
}
