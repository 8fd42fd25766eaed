/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Errands: what may not wait is postponed, and what waits in vain is given up before it has done
 * anything. */

#include <errno.h>
#include <unistd.h>

#include "lib/os/errand.h"
#include "unit.h"

static void none_may_wait_and_is_wanted(void)
{
	g_assert_true(errand_may_wait());
	g_assert_false(errand_postpone());
	g_assert_false(errand_is_unwanted());
	errand_await_begin();
	g_assert_true(errand_await_end());
	g_assert_cmpint(errand_await_lock("/dev/null"), ==, 0);
}

static void what_may_not_wait_is_postponed(void)
{
	Errand errand = {.must_not_wait = true};

	errand_begin(&errand);
	g_assert_false(errand_postpone());
	g_assert_false(errand_may_wait());
	g_assert_true(errand_postpone());
	errand_end();
	g_assert_true(errand.is_postponed);
	g_assert_true(errand_may_wait());
}

static void a_wait_is_claimed_while_it_lasts(void)
{
	guint turn = 7, since = 0;
	Errand errand = {.turn = &turn};

	errand_begin(&errand);
	g_assert_false(errand_awaits(&errand, NULL));
	g_assert_false(errand_claim(&errand));
	errand_await_begin();
	turn = 9;
	g_assert_true(errand_awaits(&errand, &since));
	g_assert_cmpuint(since, ==, 7);
	g_assert_true(errand_await_end());
	g_assert_false(errand_awaits(&errand, NULL));
	g_assert_false(errand_claim(&errand));

	errand_await_begin();
	g_assert_true(errand_claim(&errand));
	g_assert_false(errand_claim(&errand));
	g_assert_false(errand_awaits(&errand, NULL));
	g_assert_false(errand_await_end());
	/* It does nothing any more, however many waits follow. */
	errand_await_begin();
	g_assert_false(errand_awaits(&errand, NULL));
	g_assert_false(errand_await_end());
	g_assert_cmpint(errand_await_lock("/dev/null"), ==, -EINTR);
	errand_end();
}

static void what_nobody_wants_has_waited_in_vain(void)
{
	const gint unwanted = 1;
	Errand errand = {.unwanted = &unwanted};

	errand_begin(&errand);
	g_assert_true(errand_is_unwanted());
	g_assert_cmpint(errand_await_lock("/dev/null"), ==, -EINTR);
	errand_end();
	g_assert_false(errand_is_unwanted());
}

int main(int argc, char **argv)
{
	unit_init(&argc, &argv);
	g_test_add_func("/errand/none", none_may_wait_and_is_wanted);
	g_test_add_func("/errand/postponed", what_may_not_wait_is_postponed);
	g_test_add_func("/errand/claimed", a_wait_is_claimed_while_it_lasts);
	g_test_add_func("/errand/unwanted", what_nobody_wants_has_waited_in_vain);
	return g_test_run();
}
