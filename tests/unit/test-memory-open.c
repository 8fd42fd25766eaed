/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Memory of a segment from its opening to its end: when it cannot be opened, when the id is given
 * again meanwhile, and what an attach of ours leaves. Each test runs in every way that it can.
 */

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "hold.h"
#include "lib/kernel/kernel.h"
#include "lib/memory/ipc.h"
#include "memory_way.h"

static void memory_outlives_the_id(gconstpointer way)
{
	g_auto(Us) us = {};
	if (!us_start(&us, way, false))
		return;
	scoped_segment shmid = segment_make(SIZE, 0600);
	g_autoptr(SegfsMemory) memory = memory_open(&us, shmid, true);
	g_auto(Seen) seen = seen_attach(shmid);

	g_assert_no_errno(shmctl(shmid, IPC_RMID, NULL));
	g_assert_cmpint(segfs_memory_write(memory, "still", 5, SIZE - 5), ==, 5);
	g_assert_cmpmem(seen.bytes + SIZE - 5, 5, "still", 5);
	g_assert_cmpint(segfs_memory_write(memory, "x", 1, SIZE), ==, -ENOSPC);
	seen_clear(&seen);
	g_assert_cmpint(segfs_memory_write(memory, "still", 5, 0), ==, 5);
	g_assert_cmpint(segfs_memory_punch(memory, 0, SIZE), ==, 0);
}

static void the_last_reference_lets_go(gconstpointer way)
{
	g_auto(Us) us = {};
	if (!us_start(&us, way, false))
		return;
	scoped_segment shmid = segment_make(SIZE, 0600);
	SegfsMemory *memory = memory_open(&us, shmid, true);
	const unsigned long held = GPOINTER_TO_INT(way) == ATTACHED;
	const int fd = segfs_memory_fd(memory);

	g_assert_cmpuint(segment_kernel(shmid).shm_nattch, ==, held);
	g_assert_true(segfs_memory_ref(memory) == memory);
	segfs_memory_unref(memory);
	g_assert_cmpuint(segment_kernel(shmid).shm_nattch, ==, held);
	g_assert_cmpint(segfs_memory_write(memory, "x", 1, 0), ==, 1);
	segfs_memory_unref(memory);
	g_assert_cmpuint(segment_kernel(shmid).shm_nattch, ==, 0);
	if (fd >= 0)
		g_assert_cmpint(fcntl(fd, F_GETFD), ==, -1);
}

static void open_of_a_gone_one_is_enoent(gconstpointer way)
{
	g_auto(Us) us = {};
	if (!us_start(&us, way, false))
		return;
	scoped_segment shmid = segment_make(SIZE, 0600);
	const SegfsSysv segment = segment_stat(us.ipc, shmid);
	SegfsMemory *memory = NULL;

	segment_remove(&shmid);
	shmid = -1;
	g_assert_cmpint(segfs_memory_open(us.ipc, &us.self, &segment, false, &memory), ==, -ENOENT);
	g_assert_null(memory);
}

static void same_is_one_and_the_same_memory(gconstpointer way)
{
	g_auto(Us) us = {};
	if (!us_start(&us, way, false))
		return;
	scoped_segment first = segment_make(SIZE, 0600);
	scoped_segment second = segment_make(SIZE, 0600);
	g_autoptr(SegfsMemory) a = memory_open(&us, first, false);
	g_autoptr(SegfsMemory) b = memory_open(&us, first, true);
	g_autoptr(SegfsMemory) c = memory_open(&us, second, false);

	/* Attached, it is not known. */
	g_assert_cmpint(segfs_memory_same(a, b), ==, GPOINTER_TO_INT(way) == BY_FD);
	g_assert_false(segfs_memory_same(a, c));
}

static void no_attach_without_a_holder_is_ebusy(gconstpointer way)
{
	g_auto(Us) us = {};
	if (!us_start(&us, way, true))
		return;
	scoped_segment shmid = segment_make(SIZE, 0600);
	const SegfsSysv segment = segment_stat(us.ipc, shmid);
	const struct shmid_ds before = segment_kernel(shmid);
	SegfsMemory *memory = NULL;

	g_assert_cmpint(segfs_memory_open(us.ipc, &us.self, &segment, false, &memory), ==, -EBUSY);
	g_assert_null(memory);
	const struct shmid_ds after = segment_kernel(shmid);
	assert_untouched(&before, &after);
}

static void no_attach_of_a_gone_one_is_enoent(gconstpointer way)
{
	g_auto(Us) us = {};
	if (!us_start(&us, way, true))
		return;
	scoped_segment shmid = segment_make(SIZE, 0600);
	const SegfsSysv segment = segment_stat(us.ipc, shmid);
	SegfsMemory *memory = NULL;

	segment_remove(&shmid);
	shmid = -1;
	const int r = segfs_memory_open(us.ipc, &us.self, &segment, false, &memory);
	g_assert_null(memory);
	g_assert_cmpint(r, <, 0);
	g_assert_true(r == -ENOENT);
}

/* Detaching would remove it under kernel.shm_rmid_forced. */
static void rmid_forced_without_a_holder_is_ebusy(gconstpointer way)
{
	g_auto(Us) us = {};
	if (!us_start(&us, way, false))
		return;
	scoped_tree tree = tree_make(NULL);
	scoped_segment shmid = segment_make(SIZE, 0600);
	const SegfsSysv segment = segment_stat(us.ipc, shmid);
	g_auto(Hold) other = {};
	SegfsMemory *memory = NULL;

	tree_link(tree, "sysvipc", "/proc/sysvipc");
	tree_link(tree, "self", "/proc/self");
	tree_write(tree, "sys/kernel/shm_rmid_forced", "1\n");
	segfs_ipc_free(us.ipc);
	us.ipc = ipc_make(tree, false);
	g_assert_cmpint(segfs_memory_open(us.ipc, &us.self, &segment, false, &memory), ==, -EBUSY);
	g_assert_null(memory);
	g_assert_cmpint(segment_kernel(shmid).shm_atime, ==, 0);
	/* With somebody else in it our detach is not the last. */
	hold_segment(&other, shmid);
	hold_attach(&other);
	memory = memory_open(&us, shmid, false);
	segfs_memory_unref(memory);
	g_assert_cmpuint(segment_kernel(shmid).shm_nattch, ==, 1);
}

static void holder_makes_no_attach_work_without_a_trace(void)
{
	g_auto(Us) us = {};
	if (!us_start(&us, GINT_TO_POINTER(BY_FD), true))
		return;
	scoped_segment shmid = segment_make(SIZE, 0600);
	g_auto(Hold) other = {};
	const size_t size = SIZE + 10;
	g_autofree char *bytes = g_malloc(size);

	hold_segment(&other, shmid);
	hold_attach(&other);
	hold_fill(&other, 'h');
	const struct shmid_ds before = segment_kernel(shmid);
	unit_next_second();
	for (int i = 0; i < 2; i++) {
		g_autoptr(SegfsMemory) memory = memory_open(&us, shmid, i);
		g_assert_cmpint(segfs_memory_fd(memory), >=, 0);
		g_assert_cmpint(pread(segfs_memory_fd(memory), bytes, size, 0), ==, SIZE);
		g_assert_true(all_are((unsigned char *)bytes, 'h', 4096));
		g_assert_cmpint(segfs_memory_write(memory, "w", 1, SIZE - 1), ==, 1);
	}
	const struct shmid_ds after = segment_kernel(shmid);
	assert_untouched(&before, &after);
	g_assert_cmpint(after.shm_lpid, ==, other.pid);
}

static void a_holder_that_only_reads_serves_writing_too(void)
{
	g_auto(Us) us = {};
	if (!us_start(&us, GINT_TO_POINTER(BY_FD), true))
		return;
	scoped_segment shmid = segment_make(SIZE, 0600);
	g_auto(Hold) other = {};

	hold_segment(&other, shmid);
	hold_attach_read_only(&other);
	g_autoptr(SegfsMemory) memory = memory_open(&us, shmid, true);
	g_assert_cmpint(segfs_memory_write(memory, "w", 1, 0), ==, 1);
	g_auto(Seen) seen = seen_attach(shmid);
	g_assert_cmpint(seen.bytes[0], ==, 'w');
}

/* Between the question and the answer the id became another segment's. */
static int open_replaced(const Us *us, size_t size, bool other_creator, SegfsMemory **ret_memory)
{
	scoped_segment shmid = segment_make(SIZE, 0600);
	SegfsSysv segment = segment_stat(us->ipc, shmid);

	if (!segment_replace(&shmid, size, 0600))
		return 1;
	if (other_creator)
		segment.cpid++;
	return segfs_memory_open(us->ipc, &us->self, &segment, false, ret_memory);
}

static void open_of_an_id_given_again_is_estale(void)
{
	g_auto(Us) us = {};
	if (!us_start(&us, GINT_TO_POINTER(BY_FD), false))
		return;
	SegfsMemory *memory = NULL;
	const int r = open_replaced(&us, SIZE, true, &memory);

	if (r == 1) {
		g_test_skip("no kernel.shm_next_id");
		return;
	}
	g_assert_cmpint(r, ==, -ESTALE);
	g_assert_null(memory);
}

static void open_of_an_id_given_again_with_another_size_is_estale(void)
{
	g_auto(Us) us = {};
	if (!us_start(&us, GINT_TO_POINTER(BY_FD), false))
		return;
	SegfsMemory *memory = NULL;
	const int r = open_replaced(&us, 2 * SIZE, false, &memory);

	if (r == 1) {
		g_test_skip("no kernel.shm_next_id");
		return;
	}
	g_assert_null(memory);
	g_assert_cmpint(r, <, 0);
	g_assert_true(r == -ESTALE);
}

/* Attached as a plain user, who cannot choose an id: the segment that is asked for differs. */
static void attach_of_an_id_given_again_is_estale_and_lets_go(void)
{
	g_auto(Us) us = {};
	if (!us_start(&us, GINT_TO_POINTER(ATTACHED), false))
		return;
	scoped_segment shmid = segment_make(SIZE, 0600);
	SegfsSysv old_size = segment_stat(us.ipc, shmid), old_creator = old_size;
	SegfsMemory *memory = NULL;

	old_size.size++;
	old_creator.cpid++;
	g_assert_cmpint(segfs_memory_open(us.ipc, &us.self, &old_size, false, &memory), ==,
			-ESTALE);
	g_assert_cmpint(segfs_memory_open(us.ipc, &us.self, &old_creator, false, &memory), ==,
			-ESTALE);
	g_assert_null(memory);
	g_assert_cmpuint(segment_kernel(shmid).shm_nattch, ==, 0);
	g_assert_cmpuint(segment_stat(us.ipc, shmid).nattch, ==, 0);
}

static void memory_of_an_id_given_again_is_not_the_same(void)
{
	g_auto(Us) us = {};
	if (!us_start(&us, GINT_TO_POINTER(BY_FD), false))
		return;
	scoped_segment shmid = segment_make(SIZE, 0600);
	g_autoptr(SegfsMemory) first = memory_open(&us, shmid, false);

	if (!segment_replace(&shmid, SIZE, 0600)) {
		g_test_skip("no kernel.shm_next_id");
		return;
	}
	g_autoptr(SegfsMemory) second = memory_open(&us, shmid, false);
	/* To the sysv calls they are the same, down to the creator. */
	g_assert_false(segfs_memory_same(first, second));
	g_assert_true(segfs_memory_same(second, second));
}

static void attach_without_the_right_is_eacces(void)
{
	g_auto(Us) us = {};
	if (!us_start(&us, GINT_TO_POINTER(ATTACHED), false))
		return;
	scoped_segment none = segment_make(SIZE, 0);
	scoped_segment readable = segment_make(SIZE, 0400);
	const SegfsSysv none_stat = segment_stat(us.ipc, none);
	const SegfsSysv readable_stat = segment_stat(us.ipc, readable);
	SegfsMemory *memory = NULL;

	g_assert_cmpint(segfs_memory_open(us.ipc, &us.self, &none_stat, false, &memory), ==,
			-EACCES);
	g_assert_cmpint(segfs_memory_open(us.ipc, &us.self, &readable_stat, true, &memory), ==,
			-EACCES);
	g_assert_null(memory);
	g_assert_cmpuint(segment_stat(us.ipc, readable).nattch, ==, 0);
	memory = memory_open(&us, readable, false);
	/* Not a fault of ours: an error. */
	g_assert_cmpint(segfs_memory_write(memory, "x", 1, 0), <, 0);
	g_assert_cmpint(segfs_memory_punch(memory, 0, SIZE), <, 0);
	g_assert_cmpint(segfs_memory_allocate(memory, 0, SIZE), <, 0);
	kernel_forget(KERNEL_POPULATE_WRITE);
	g_assert_cmpint(segfs_memory_allocate(memory, 0, SIZE), ==, -EACCES);
	segfs_memory_unref(memory);
}

static void attach_as_somebody_else_is_eacces(void)
{
	g_auto(Us) us = {};
	if (!us_start(&us, GINT_TO_POINTER(ATTACHED), false))
		return;
	scoped_segment shmid = segment_make(SIZE, 0666);
	const SegfsSysv segment = segment_stat(us.ipc, shmid);
	const SegfsCaller other = {.uid = geteuid() + 1, .gid = getegid()};
	SegfsMemory *memory = NULL;

	g_assert_cmpint(segfs_memory_open(us.ipc, &other, &segment, false, &memory), ==, -EACCES);
	g_assert_null(memory);
}

int main(int argc, char **argv)
{
	unit_init(&argc, &argv);
	BOTH("outlives-the-id", memory_outlives_the_id);
	BOTH("last-reference-lets-go", the_last_reference_lets_go);
	BOTH("of-a-gone-one-is-enoent", open_of_a_gone_one_is_enoent);
	BOTH("same-is-one-memory", same_is_one_and_the_same_memory);
	BOTH("no-attach-without-a-holder-is-ebusy", no_attach_without_a_holder_is_ebusy);
	BOTH("no-attach-of-a-gone-one-is-enoent", no_attach_of_a_gone_one_is_enoent);
	BOTH("rmid-forced-without-a-holder-is-ebusy", rmid_forced_without_a_holder_is_ebusy);
	TEST("fd/no-attach-with-a-holder-leaves-no-trace",
	     holder_makes_no_attach_work_without_a_trace);
	TEST("fd/holder-that-only-reads-serves-writing",
	     a_holder_that_only_reads_serves_writing_too);
	TEST("fd/of-an-id-given-again-is-estale", open_of_an_id_given_again_is_estale);
	TEST("fd/of-an-id-given-again-in-another-size-is-estale",
	     open_of_an_id_given_again_with_another_size_is_estale);
	TEST("fd/of-an-id-given-again-is-not-the-same",
	     memory_of_an_id_given_again_is_not_the_same);
	TEST("attached/of-an-id-given-again-is-estale",
	     attach_of_an_id_given_again_is_estale_and_lets_go);
	TEST("attached/without-the-right-is-eacces", attach_without_the_right_is_eacces);
	TEST("attached/as-somebody-else-is-eacces", attach_as_somebody_else_is_eacces);
	return g_test_run();
}
