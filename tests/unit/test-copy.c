/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Copies into memory that can be taken away at any moment. */

#include "lib/memory/copy.h"

#include <glib.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "unit.h"

enum { SIZE = 1024 * 1024 };

typedef struct {
	int fd;
	char *bytes; /* SIZE of them, mapped */
	gint done;
} Mapping;

static void mapping_make(Mapping *ret_mapping)
{
	ret_mapping->done = 0;
	ret_mapping->fd = memfd_create("copy", MFD_CLOEXEC);
	g_assert_no_errno(ret_mapping->fd);
	g_assert_no_errno(ftruncate(ret_mapping->fd, SIZE));
	ret_mapping->bytes =
		mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, ret_mapping->fd, 0);
	g_assert_true(ret_mapping->bytes != MAP_FAILED);
}

static void mapping_clear(Mapping *mapping)
{
	munmap(mapping->bytes, SIZE);
	close(mapping->fd);
}

static bool prepare_and_copy(char *to, const void *bytes, size_t size, bool past_cache)
{
	return copy_prepare(to, size) && copy_to_prepared(to, bytes, size, past_cache);
}

/* The first test: what the program has said, it has said for good. */
static void nothing_is_copied_before_a_handler_is_there(void)
{
	g_autofree char *bytes = g_strnfill(SIZE, 'x');
	struct sigaction now;
	Mapping mapping;

	mapping_make(&mapping);
	g_assert_cmpint(pwrite(mapping.fd, bytes, SIZE, 0), ==, SIZE);
	g_assert_false(copy_prepare(mapping.bytes, SIZE));
	g_assert_no_errno(sigaction(SIGBUS, NULL, &now));
	g_assert_true(now.sa_handler == SIG_DFL);
	unit_handle_sigbus();
	g_assert_true(copy_prepare(mapping.bytes, SIZE));
	/* One that somebody has sent is not of a copy. */
	const siginfo_t sent = {.si_signo = SIGBUS, .si_code = SI_USER};
	segfs_memory_sigbus(&sent);
	mapping_clear(&mapping);
}

static void resident_memory_is_written_and_holes_are_left_alone(void)
{
	g_autofree char *bytes = g_malloc(SIZE);
	Mapping mapping;

	unit_handle_sigbus();
	mapping_make(&mapping);
	memset(bytes, 'x', SIZE);
	g_assert_false(copy_prepare(mapping.bytes, SIZE));
	g_assert_cmpint(pwrite(mapping.fd, bytes, SIZE, 0), ==, SIZE);
	memset(bytes, 'y', SIZE);
	g_assert_true(prepare_and_copy(mapping.bytes + 100, bytes, SIZE - 200, false));
	g_assert_cmpint(mapping.bytes[99], ==, 'x');
	g_assert_cmpint(mapping.bytes[100], ==, 'y');
	g_assert_cmpint(mapping.bytes[SIZE - 101], ==, 'y');
	g_assert_cmpint(mapping.bytes[SIZE - 100], ==, 'x');
	mapping_clear(&mapping);
}

static void every_byte_arrives_wherever_it_begins_and_ends(void)
{
	enum { MOST = 200, AROUND = 70 };
	char bytes[AROUND + MOST];
	Mapping mapping;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = 1 + i % 251;
	unit_handle_sigbus();
	mapping_make(&mapping);
	for (int past_cache = 0; past_cache < 2; past_cache++)
		for (size_t at = 0; at < AROUND; at++)
			for (size_t size = 0; size < MOST; size++) {
				memset(mapping.bytes, 'x', 2 * AROUND + MOST);
				g_assert_true(prepare_and_copy(mapping.bytes + at,
							       bytes + at * 3 % AROUND, size,
							       past_cache));
				g_assert_cmpmem(mapping.bytes + at, size, bytes + at * 3 % AROUND,
						size);
				g_assert_true(at == 0 || mapping.bytes[at - 1] == 'x');
				g_assert_true(mapping.bytes[at + size] == 'x');
			}
	mapping_clear(&mapping);
}

static gpointer take_away(gpointer data)
{
	Mapping *mapping = data;
	g_autofree char *bytes = g_malloc0(SIZE);

	while (!g_atomic_int_get(&mapping->done)) {
		if (pwrite(mapping->fd, bytes, SIZE, 0) != SIZE || ftruncate(mapping->fd, 0) < 0)
			g_error("the file cannot be changed");
	}
	return NULL;
}

/* Each copy that meets the end of the file is a SIGBUS; which ones do is up to the scheduler. */
static void memory_that_goes_in_the_middle_is_no_crash(void)
{
	enum { TRIES = 50000 };
	g_autofree char *bytes = g_malloc(SIZE);
	guint refused = 0;
	Mapping mapping;

	unit_handle_sigbus();
	mapping_make(&mapping);
	memset(bytes, 'x', SIZE);
	GThread *thread = g_thread_new("take away", take_away, &mapping);
	for (int i = 0; i < TRIES; i++)
		if (!prepare_and_copy(mapping.bytes, bytes, SIZE, i % 2))
			refused++;
	g_atomic_int_set(&mapping.done, 1);
	g_thread_join(thread);
	g_test_message("%u of %d copies were refused", refused, TRIES);
	g_assert_cmpuint(refused, >, 0);
	mapping_clear(&mapping);
}

int main(int argc, char **argv)
{
	unit_init(&argc, &argv);
	g_test_add_func("/copy/nothing-is-copied-before-a-handler-is-there",
			nothing_is_copied_before_a_handler_is_there);
	g_test_add_func("/copy/resident-memory-is-written-and-holes-are-left-alone",
			resident_memory_is_written_and_holes_are_left_alone);
	g_test_add_func("/copy/every-byte-arrives-wherever-it-begins-and-ends",
			every_byte_arrives_wherever_it_begins_and_ends);
	g_test_add_func("/copy/memory-that-goes-in-the-middle-is-no-crash",
			memory_that_goes_in_the_middle_is_no_crash);
	return g_test_run();
}
