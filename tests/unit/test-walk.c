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
	g_assert_true(walks_was_told(f->walks, THREAD));
	g_assert_false(walks_was_told(f->walks, OTHER));
	walks_found(f->walks, THREAD, f->second, false, NULL);
	g_assert_true(walks_has_found(f->walks, THREAD, f->second));
	g_assert_false(walks_tell(f->walks, THREAD, f->second));
	/* The next one is another call. */
	walks_over(f->walks, THREAD, f->second);
	g_assert_false(walks_was_told(f->walks, THREAD));
	g_assert_true(walks_tell(f->walks, THREAD, f->second));
	/* A node that was not looked up, nor told of, is of another call, too. */
	g_assert_true(walks_tell(f->walks, THREAD, f->first));
}

static void what_is_held_goes_and_the_call_is_still_told(Fixture *f, gconstpointer data)
{
	const gint64 end = g_get_monotonic_time() + 60 * G_USEC_PER_SEC;

	g_assert_true(walks_tell(f->walks, THREAD, f->first));
	walks_found(f->walks, THREAD, f->second, false, let_go);
	g_assert_cmpuint(n_let_go, ==, 0);
	while (n_let_go == 0 && g_get_monotonic_time() < end)
		g_usleep(50000);
	g_assert_cmpuint(n_let_go, ==, 1);
	/* So much later; and by names alone it is to be asked whether that is still there. */
	g_assert_true(walks_was_told(f->walks, THREAD));
	g_assert_false(walks_has_found(f->walks, THREAD, f->second));
	g_assert_false(walks_tell(f->walks, THREAD, f->second));
	walks_over(f->walks, THREAD, f->second);
	g_assert_cmpuint(n_let_go, ==, 1);
}

static void a_removal_lets_go_at_once(Fixture *f, gconstpointer data)
{
	g_assert_true(walks_tell(f->walks, THREAD, f->first));
	walks_found(f->walks, THREAD, f->second, false, let_go);
	walks_let_go(f->walks, THREAD);
	g_assert_cmpuint(n_let_go, ==, 1);
	/* A directory of the way is gone again. */
	g_assert_false(walks_tell(f->walks, THREAD, NULL));
	walks_found(f->walks, 0, f->first, false, let_go);
	walks_found(f->walks, 0, f->second, false, let_go);
	walks_let_go(f->walks, 0);
	g_assert_cmpuint(n_let_go, ==, 3);
	walks_found(f->walks, OTHER, f->first, false, NULL);
	walks_let_go(f->walks, OTHER);
	g_assert_false(walks_has_found(f->walks, OTHER, f->first));
}

static void it_is_told_or_counts_as_told(Fixture *f, gconstpointer data)
{
	walks_found(f->walks, THREAD, f->first, true, NULL);
	g_assert_true(walks_was_told(f->walks, THREAD));
	g_assert_false(walks_was_told(f->walks, OTHER));
	walks_found(f->walks, THREAD, f->second, false, let_go);
	g_assert_false(walks_tell(f->walks, THREAD, f->second));
	walks_over(f->walks, THREAD, f->second);
	g_assert_cmpuint(n_let_go, ==, 1);
	g_assert_false(walks_was_told(f->walks, THREAD));
}

static void a_removed_name_is_known_for_a_moment(Fixture *f, gconstpointer data)
{
	const gint64 end = g_get_monotonic_time() + 60 * G_USEC_PER_SEC;

	g_assert_false(walks_was_removed(f->walks, f->first, "5"));
	walks_removed(f->walks, f->first, "5");
	g_assert_true(walks_was_removed(f->walks, f->first, "5"));
	g_assert_false(walks_was_removed(f->walks, f->second, "5"));
	g_assert_false(walks_was_removed(f->walks, f->first, "6"));
	while (walks_was_removed(f->walks, f->first, "5") && g_get_monotonic_time() < end)
		g_usleep(50000);
	g_assert_false(walks_was_removed(f->walks, f->first, "5"));
}

static void of_many_removed_names_the_last_are_known(Fixture *f, gconstpointer data)
{
	for (int i = 0; i < 50000; i++) {
		g_autofree char *name = g_strdup_printf("%d", i);
		walks_removed(f->walks, f->first, name);
	}
	g_assert_true(walks_was_removed(f->walks, f->first, "49999"));
	g_assert_false(walks_was_removed(f->walks, f->first, "20000"));
}

int main(int argc, char **argv)
{
	unit_init(&argc, &argv);
	g_test_add("/walk/told", Fixture, NULL, set_up, a_call_is_told_once, tear_down);
	g_test_add("/walk/held", Fixture, NULL, set_up,
		   what_is_held_goes_and_the_call_is_still_told, tear_down);
	g_test_add("/walk/removal", Fixture, NULL, set_up, a_removal_lets_go_at_once, tear_down);
	g_test_add("/walk/again", Fixture, NULL, set_up, it_is_told_or_counts_as_told, tear_down);
	g_test_add("/walk/removed", Fixture, NULL, set_up, a_removed_name_is_known_for_a_moment,
		   tear_down);
	g_test_add("/walk/many", Fixture, NULL, set_up, of_many_removed_names_the_last_are_known,
		   tear_down);
	return g_test_run();
}
