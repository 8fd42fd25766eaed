/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What segls says on a terminal while something takes long. */

#include <fcntl.h>
#include <glib.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "segls/progress.h"
#include "unit.h"

typedef struct {
	int terminal;  /* what is written to stderr is read here */
	int old_error; /* the test's own stderr */
} World;

static World world_new(void)
{
	World world = {.terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)};

	g_assert_cmpint(world.terminal, >=, 0);
	g_assert_no_errno(grantpt(world.terminal));
	g_assert_no_errno(unlockpt(world.terminal));
	const int side = open(ptsname(world.terminal), O_RDWR | O_NOCTTY | O_CLOEXEC);
	g_assert_cmpint(side, >=, 0);
	world.old_error = dup(STDERR_FILENO);
	g_assert_cmpint(dup2(side, STDERR_FILENO), ==, STDERR_FILENO);
	close(side);
	return world;
}

static void world_end(World *world)
{
	dup2(world->old_error, STDERR_FILENO);
	close(world->old_error);
	close(world->terminal);
}

/* Reads until text has been written. */
static void read_until(const World *world, const char *text, GString *all)
{
	while (!strstr(all->str, text)) {
		char some[256];
		const ssize_t n = read(world->terminal, some, sizeof(some));
		g_assert_cmpint(n, >, 0);
		g_string_append_len(all, some, n);
	}
}

static void what_takes_long_says_so_until_it_is_over(void)
{
	World world = world_new();
	g_autoptr(GString) all = g_string_new(NULL);
	const gint64 start = g_get_monotonic_time();
	Progress *progress = progress_start("test: a long look");

	g_assert_nonnull(progress);
	read_until(&world, "\rtest: a long look: 1 s", all);
	g_assert_cmpint(g_get_monotonic_time() - start, >=, G_TIME_SPAN_SECOND);
	read_until(&world, "\rtest: a long look: 2 s", all);
	progress_end(progress);
	/* Blanks over it, and the cursor where it was. */
	read_until(&world, "\r                      \r", all);
	world_end(&world);
}

static void what_is_short_says_nothing(void)
{
	World world = world_new();
	struct pollfd terminal = {.fd = world.terminal, .events = POLLIN};
	const gint64 start = g_get_monotonic_time();

	progress_end(progress_start("test: a short look"));
	/* On a machine so busy that this took a second it would be right to say so. */
	if (g_get_monotonic_time() - start < G_TIME_SPAN_SECOND / 2)
		g_assert_cmpint(poll(&terminal, 1, 0), ==, 0);
	world_end(&world);
}

static void no_terminal_is_written_to(void)
{
	const int old_error = dup(STDERR_FILENO), null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	g_assert_cmpint(dup2(null, STDERR_FILENO), ==, STDERR_FILENO);
	Progress *progress = progress_start("test");
	dup2(old_error, STDERR_FILENO);
	g_assert_null(progress);
	progress_end(progress);
	close(old_error);
	close(null);
}

int main(int argc, char **argv)
{
	unit_init(&argc, &argv);
	g_test_add_func("/progress/long", what_takes_long_says_so_until_it_is_over);
	g_test_add_func("/progress/short", what_is_short_says_nothing);
	g_test_add_func("/progress/no-terminal", no_terminal_is_written_to);
	return g_test_run();
}
