/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the threads that call have found, and which were told to come back: src/mount/walk.c. */

#include "mount/walk.h"

#include "tree_world.h"
#include "unit.h"

enum { THREAD = 4711, OTHER = 4712 };

static _Atomic guint n_let_go;

static void let_go(Node *node, pid_t tid)
{
	g_assert_nonnull(node);
	g_assert_true(tid == THREAD || tid == 0);
	n_let_go++;
}

/* Two nodes that a call may find, and the records; what is held is let go of with them. */
typedef struct {
	World world;
	Node *first, *second;
	Walks *walks;
} Fixture;

static bool is_again(const Fixture *f, pid_t thread, const char *name, const Node *node)
{
	return walks_comes_again(f->walks, thread, f->first, name, node);
}

/* By a look for a name that it has not found before. */
static bool is_told(const Fixture *f, pid_t thread)
{
	return is_again(f, thread, "4", f->first);
}

static void find(const Fixture *f, pid_t thread, const char *name, Node *node, WalkLetGo goes)
{
	walks_found(f->walks, thread, f->first, name, node, goes);
}

static void set_up(Fixture *f, gconstpointer data)
{
	world_start(&f->world);
	f->first = world_node(&f->world, "sysv");
	f->second = world_node(&f->world, "key");
	f->walks = walks_new();
	n_let_go = 0;
}

static void tear_down(Fixture *f, gconstpointer data)
{
	walks_free(f->walks);
	node_unref(f->first);
	node_unref(f->second);
	world_clear(&f->world);
}

static void a_call_is_told_once(Fixture *f, gconstpointer data)
{
	g_assert_true(walks_tell(f->walks, THREAD, f->first));
	g_assert_true(is_told(f, THREAD));
	g_assert_false(is_told(f, OTHER));
	find(f, THREAD, "5", f->second, NULL);
	g_assert_true(walks_has_found(f->walks, THREAD, f->second));
	g_assert_false(walks_tell(f->walks, THREAD, f->second));
	/* The next one is another call. */
	walks_over(f->walks, THREAD, f->second);
	g_assert_false(is_told(f, THREAD));
	g_assert_true(walks_tell(f->walks, THREAD, f->second));
	/* A node that was not looked up, nor told of, is of another call, too. */
	g_assert_true(walks_tell(f->walks, THREAD, f->first));
}

static void what_is_held_goes_and_the_call_is_still_told(Fixture *f, gconstpointer data)
{
	const gint64 end = g_get_monotonic_time() + 60 * G_USEC_PER_SEC;

	g_assert_true(walks_tell(f->walks, THREAD, f->first));
	find(f, THREAD, "5", f->second, let_go);
	g_assert_cmpuint(n_let_go, ==, 0);
	while (n_let_go == 0 && g_get_monotonic_time() < end)
		g_usleep(50000);
	g_assert_cmpuint(n_let_go, ==, 1);
	/* So much later; and by names alone it is to be asked whether that is still there. */
	g_assert_true(is_told(f, THREAD));
	g_assert_false(walks_has_found(f->walks, THREAD, f->second));
	g_assert_false(walks_tell(f->walks, THREAD, f->second));
	walks_over(f->walks, THREAD, f->second);
	g_assert_cmpuint(n_let_go, ==, 1);
}

static void a_removal_lets_go_at_once(Fixture *f, gconstpointer data)
{
	g_assert_true(walks_tell(f->walks, THREAD, f->first));
	find(f, THREAD, "5", f->second, let_go);
	walks_let_go(f->walks, THREAD);
	g_assert_cmpuint(n_let_go, ==, 1);
	/* A directory of the way is gone again. */
	g_assert_false(walks_tell(f->walks, THREAD, NULL));
	find(f, 0, "5", f->first, let_go);
	find(f, 0, "5", f->second, let_go);
	walks_let_go(f->walks, 0);
	g_assert_cmpuint(n_let_go, ==, 3);
	find(f, OTHER, "5", f->first, NULL);
	walks_let_go(f->walks, OTHER);
	g_assert_false(walks_has_found(f->walks, OTHER, f->first));
}

/* Two directories and a file, or what stands for them. */
static void who_comes_again_counts_as_told(Fixture *f, gconstpointer data)
{
	find(f, THREAD, "key", f->first, NULL);
	g_assert_false(is_told(f, THREAD));
	find(f, THREAD, "5", f->second, NULL);
	g_assert_false(is_again(f, OTHER, "key", f->first));
	g_assert_false(walks_comes_again(f->walks, THREAD, f->second, "key", f->first));
	/* The second name is none that a call begins with. */
	g_assert_false(is_again(f, THREAD, "5", f->first));
	g_assert_true(is_again(f, THREAD, "key", f->first));
	find(f, THREAD, "key", f->first, NULL);
	g_assert_true(is_told(f, THREAD));
	find(f, THREAD, "5", f->second, let_go);
	g_assert_false(walks_tell(f->walks, THREAD, f->second));
	walks_over(f->walks, THREAD, f->second);
	g_assert_cmpuint(n_let_go, ==, 1);
	g_assert_false(is_told(f, THREAD));
}

static void the_same_twice_is_no_second_way(Fixture *f, gconstpointer data)
{
	find(f, THREAD, "5", f->second, NULL);
	g_assert_false(is_again(f, THREAD, "5", f->second));
	find(f, THREAD, "5", f->second, NULL);
	g_assert_true(walks_tell(f->walks, THREAD, f->second));
	walks_over(f->walks, THREAD, f->second);
	/* As where another has the name by now. */
	find(f, THREAD, "5", f->second, NULL);
	g_assert_true(is_again(f, THREAD, "5", f->first));
	walks_over(f->walks, THREAD, f->second);
	/* What was made, nobody has looked up. */
	find(f, THREAD, NULL, f->second, NULL);
	g_assert_false(is_again(f, THREAD, "5", f->first));
}

int main(int argc, char **argv)
{
	unit_init(&argc, &argv);
	g_test_add("/walk/told", Fixture, NULL, set_up, a_call_is_told_once, tear_down);
	g_test_add("/walk/held", Fixture, NULL, set_up,
		   what_is_held_goes_and_the_call_is_still_told, tear_down);
	g_test_add("/walk/removal", Fixture, NULL, set_up, a_removal_lets_go_at_once, tear_down);
	g_test_add("/walk/again", Fixture, NULL, set_up, who_comes_again_counts_as_told, tear_down);
	g_test_add("/walk/twice", Fixture, NULL, set_up, the_same_twice_is_no_second_way,
		   tear_down);
	return g_test_run();
}
