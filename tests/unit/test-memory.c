/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The bytes of a segment, both ways: through a descriptor, which needs capabilities, and
 * attached, as a plain user has to. Each test runs in every way that it can.
 */

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/memory/copy.h"
#include "lib/memory/ipc.h"
#include "memory_way.h"

static void opened_it_is_the_memory_itself(gconstpointer way)
{
	g_auto(Us) us = {};
	if (!us_start(&us, way, false))
		return;
	scoped_segment shmid = segment_make(SIZE, 0600);
	g_autoptr(SegfsMemory) memory = memory_open(&us, shmid, true);
	g_auto(Seen) seen = seen_attach(shmid);
	char byte = 0;

	g_assert_cmpuint(segfs_memory_size(memory), ==, SIZE);
	g_assert_false(segfs_memory_is_huge(memory));
	seen.bytes[5000] = 'x';
	if (GPOINTER_TO_INT(way) == BY_FD) {
		g_assert_cmpint(segfs_memory_fd(memory), >=, 0);
		g_assert_null(segfs_memory_bytes(memory));
		g_assert_cmpint(pread(segfs_memory_fd(memory), &byte, 1, 5000), ==, 1);
	} else {
		g_assert_cmpint(segfs_memory_fd(memory), ==, -1);
		g_assert_nonnull(segfs_memory_bytes(memory));
		byte = ((const char *)segfs_memory_bytes(memory))[5000];
	}
	g_assert_cmpint(byte, ==, 'x');
	g_assert_cmpint(segfs_memory_write(memory, "yz", 2, 5000), ==, 2);
	g_assert_cmpmem(seen.bytes + 4999, 4, "\0yz", 4);
}

static void write_ends_at_the_size(gconstpointer way)
{
	const size_t sizes[] = {1, PAGE - 1, PAGE, PAGE + 1, SIZE, 3 * 65536};
	g_auto(Us) us = {};
	if (!us_start(&us, way, false))
		return;
	for (guint i = 0; i < G_N_ELEMENTS(sizes); i++) {
		const size_t size = sizes[i], whole = (size + PAGE - 1) / PAGE * PAGE;
		scoped_segment shmid = segment_make(size, 0600);
		g_autoptr(SegfsMemory) memory = memory_open(&us, shmid, true);
		g_auto(Seen) seen = seen_attach(shmid);
		g_autofree char *bytes = g_malloc(size + 10);
		struct stat st;

		memset(bytes, 'w', size + 10);
		/* Short where it crosses the end, whole where it reaches it. */
		g_assert_cmpint(segfs_memory_write(memory, bytes, size + 10, 0), ==, size);
		g_assert_cmpint(segfs_memory_write(memory, bytes, 10, size - 1), ==, 1);
		g_assert_cmpint(segfs_memory_write(memory, bytes, 1, size - 1), ==, 1);
		g_assert_cmpint(segfs_memory_write(memory, bytes, 1, size), ==, -ENOSPC);
		g_assert_cmpint(segfs_memory_write(memory, bytes, 1, whole), ==, -ENOSPC);
		g_assert_cmpint(segfs_memory_write(memory, bytes, 1, G_MAXOFFSET), ==, -ENOSPC);
		g_assert_cmpint(segfs_memory_write(memory, bytes, 0, size), ==, 0);
		g_assert_cmpint(segfs_memory_write(memory, bytes, 0, 0), ==, 0);
		g_assert_cmpint(segfs_memory_write(memory, bytes, 1, -1), ==, -EINVAL);
		/* Nothing past the end of the size, nor is there any more of the file. */
		g_assert_true(all_are(seen.bytes, 'w', size));
		g_assert_true(all_are(seen.bytes + size, 0, whole - size));
		if (segfs_memory_fd(memory) >= 0) {
			g_assert_no_errno(fstat(segfs_memory_fd(memory), &st));
			g_assert_cmpint(st.st_size, ==, size);
		}
	}
}

/* Large ones go another way where the pages are there already: all, none or some of them. */
static void large_writes_reach_every_byte(gconstpointer way)
{
	enum { LARGE = 300 * 1024 + 77, AT = 4000 };
	g_auto(Us) us = {};
	if (!us_start(&us, way, false))
		return;
	g_autofree char *bytes = g_malloc(LARGE);
	for (size_t i = 0; i < LARGE; i++)
		bytes[i] = 1 + i % 251;
	for (int there = 0; there < 3; there++) {
		scoped_segment shmid = segment_make(AT + LARGE + 10, 0600);
		g_autoptr(SegfsMemory) memory = memory_open(&us, shmid, true);
		g_auto(Seen) seen = seen_attach(shmid);
		if (there == 1)
			memset(seen.bytes, 'x', AT + LARGE + 10);
		if (there == 2)
			for (int i = 0; i < LARGE; i += 5 * PAGE)
				seen.bytes[i] = 0;
		for (int i = 0; i < 2; i++) {
			g_assert_cmpint(segfs_memory_write(memory, bytes, LARGE, AT), ==, LARGE);
			g_assert_cmpmem(seen.bytes + AT, LARGE, bytes, LARGE);
		}
		const unsigned char around = there == 1 ? 'x' : 0;
		g_assert_true(all_are(seen.bytes, around, AT));
		g_assert_true(all_are(seen.bytes + AT + LARGE, around, 10));
		/* Short at the end, whichever way. */
		g_assert_cmpint(segfs_memory_write(memory, bytes, LARGE, AT + 20), ==, LARGE - 10);
		g_assert_cmpmem(seen.bytes + AT + 20, LARGE - 10, bytes, LARGE - 10);
		g_assert_cmpuint(segment_kernel(shmid).shm_segsz, ==, AT + LARGE + 10);
	}
}

/* What is prepared can be gone, or be no longer what comes next: no byte is lost by it. */
static void what_is_prepared_is_written_as_any_other(gconstpointer way)
{
	enum { LARGE = 1024 * 1024, BEYOND_CACHE = 40 * LARGE + 77 };
	g_auto(Us) us = {};
	if (!us_start(&us, way, false))
		return;
	g_autofree char *bytes = g_strnfill(LARGE, 'b');
	scoped_segment shmid = segment_make(BEYOND_CACHE, 0600);
	g_autoptr(SegfsMemory) memory = memory_open(&us, shmid, true);
	g_auto(Seen) seen = seen_attach(shmid);

	segfs_memory_prepare(memory, 0, LARGE);
	segfs_memory_prepare(memory, -1, LARGE);
	segfs_memory_prepare(memory, G_MAXOFFSET, LARGE);
	memset(seen.bytes, 'a', 4 * LARGE);
	for (off_t at = 0; at < 6 * LARGE; at += LARGE) {
		g_assert_cmpint(segfs_memory_write(memory, bytes, LARGE, at), ==, LARGE);
		segfs_memory_prepare(memory, at + LARGE, LARGE);
		if (at == 2 * LARGE)
			g_assert_cmpint(segfs_memory_punch(memory, at + LARGE, PAGE), ==, 0);
	}
	g_assert_true(all_are(seen.bytes, 'b', 6 * LARGE));
	g_assert_cmpint(segfs_memory_write(memory, bytes, LARGE, BEYOND_CACHE - LARGE), ==, LARGE);
	segfs_memory_prepare(memory, BEYOND_CACHE, LARGE);
	g_assert_cmpint(segfs_memory_write(memory, bytes, LARGE, BEYOND_CACHE), ==, -ENOSPC);
	g_assert_cmpint(segfs_memory_write(memory, bytes, LARGE, BEYOND_CACHE - 2 * LARGE), ==,
			LARGE);
	segfs_memory_prepare(memory, BEYOND_CACHE - LARGE, LARGE);
	segfs_memory_prepare(memory, BEYOND_CACHE - LARGE, 2 * LARGE);
	g_assert_cmpint(segfs_memory_write(memory, bytes, LARGE, BEYOND_CACHE - LARGE + 7), ==,
			LARGE - 7);
	g_assert_true(all_are(seen.bytes + 6 * LARGE, 0, BEYOND_CACHE - 8 * LARGE));
	g_assert_true(all_are(seen.bytes + BEYOND_CACHE - 2 * LARGE, 'b', 2 * LARGE));
	g_assert_cmpuint(segment_kernel(shmid).shm_segsz, ==, BEYOND_CACHE);
}

static bool prepare_and_copy(char *to, const void *bytes, size_t size)
{
	return copy_prepare(to, size) && copy_to_prepared(to, bytes, size, false);
}

static void copy_writes_only_where_every_page_is_there(void)
{
	scoped_segment shmid = segment_make(1500 * PAGE, 0600);
	g_auto(Seen) seen = seen_attach(shmid);
	char *const to = (char *)seen.bytes;

	/* More pages than one look of it takes in; the last is not there. */
	g_assert_false(prepare_and_copy(to, "x", 1));
	memset(to, 'a', 1499 * PAGE);
	g_autofree char *bytes = g_strnfill(1500 * PAGE, 'b');
	g_assert_false(prepare_and_copy(to + 1, bytes, 1499 * PAGE));
	g_assert_true(all_are(seen.bytes, 'a', 1499 * PAGE));
	g_assert_true(prepare_and_copy(to + 1, bytes, 1499 * PAGE - 2));
	g_assert_cmpint(to[0], ==, 'a');
	g_assert_true(all_are(seen.bytes + 1, 'b', 1499 * PAGE - 2));
	g_assert_cmpint(to[1499 * PAGE - 1], ==, 'a');
	g_assert_true(prepare_and_copy(to + PAGE - 1, "cc", 2));
	g_assert_cmpmem(to + PAGE - 2, 4, "bccb", 4);
}

static void punch_makes_zero_and_frees_whole_pages(gconstpointer way)
{
	const struct {
		off_t offset, length;
		int pages_left; /* of the three */
	} punches[] = {
		{0, SIZE, 0},
		{0, SIZE * 10L, 0},
		{0, G_MAXOFFSET, 0},
		{0, PAGE, 2},
		{PAGE, PAGE, 2},
		{2 * PAGE, 1001, 2},
		{2 * PAGE, 25 * PAGE, 2},
		{100, PAGE, 3},
		{100, 2 * PAGE, 2},
		{1, 1, 3},
		{PAGE - 96, 200, 3},
		{2 * PAGE + 10, 20, 3},
		{2 * PAGE + 10, SIZE, 3},
		{2 * PAGE, 1000, 3},
		{PAGE - 1, 2, 3},
		{SIZE - 1, 1, 3},
		{SIZE, 10, 3},
		{SIZE + 10000, 10, 3},
		{0, 0, 3},
		{-1, 10, 3},
		{PAGE, SIZE, 1},
		{PAGE - 1, 2 * PAGE, 1},
		{PAGE - 1, SIZE - PAGE + 1, 1},
	};
	g_auto(Us) us = {};
	if (!us_start(&us, way, false))
		return;
	for (guint i = 0; i < G_N_ELEMENTS(punches); i++) {
		const off_t offset = punches[i].offset, length = punches[i].length;
		scoped_segment shmid = segment_make(SIZE, 0600);
		g_autoptr(SegfsMemory) memory = memory_open(&us, shmid, true);
		g_auto(Seen) seen = seen_attach(shmid);
		SegfsSysv segment = segment_stat(us.ipc, shmid);

		memset(seen.bytes, 'x', SIZE);
		g_assert_cmpint(segfs_memory_punch(memory, offset, length), ==, 0);
		segfs_sysv_resident_changed(us.ipc);
		g_assert_cmpint(segfs_sysv_resident(us.ipc, &segment), ==, 0);
		if (segment.rss + segment.swap != (uint64_t)punches[i].pages_left * PAGE)
			g_test_message("punch %u", i);
		g_assert_cmpuint(segment.rss + segment.swap, ==, punches[i].pages_left * PAGE);
		const off_t start = CLAMP(offset, 0, SIZE);
		const off_t end = offset < 0 || length > SIZE - start ? offset < 0 ? start : SIZE
								      : start + length;
		g_assert_true(all_are(seen.bytes, 'x', start));
		g_assert_true(all_are(seen.bytes + start, 0, end - start));
		g_assert_true(all_are(seen.bytes + end, 'x', SIZE - end));
	}
}

static void allocate_has_pages_and_keeps_the_bytes(gconstpointer way)
{
	g_auto(Us) us = {};
	if (!us_start(&us, way, false))
		return;
	scoped_segment shmid = segment_make(SIZE, 0600);
	g_autoptr(SegfsMemory) memory = memory_open(&us, shmid, true);
	g_auto(Seen) seen = seen_attach(shmid);
	SegfsSysv segment = segment_stat(us.ipc, shmid);
	struct stat st;

	seen.bytes[0] = 'x';
	g_assert_cmpint(segfs_memory_allocate(memory, 100, PAGE - 96), ==, 0);
	segfs_sysv_resident_changed(us.ipc);
	g_assert_cmpint(segfs_sysv_resident(us.ipc, &segment), ==, 0);
	g_assert_cmpuint(segment.rss + segment.swap, ==, 2 * PAGE);
	g_assert_cmpint(segfs_memory_allocate(memory, 0, SIZE), ==, 0);
	segfs_sysv_resident_changed(us.ipc);
	segment.has_resident = false;
	g_assert_cmpint(segfs_sysv_resident(us.ipc, &segment), ==, 0);
	g_assert_cmpuint(segment.rss + segment.swap, ==, 3 * PAGE);
	g_assert_cmpint(seen.bytes[0], ==, 'x');
	g_assert_true(all_are(seen.bytes + 1, 0, SIZE - 1));

	g_assert_cmpint(segfs_memory_allocate(memory, SIZE - 1, 1), ==, 0);
	g_assert_cmpint(segfs_memory_allocate(memory, SIZE - 1, 2), ==, -ENOSPC);
	g_assert_cmpint(segfs_memory_allocate(memory, 0, SIZE + 1), ==, -ENOSPC);
	g_assert_cmpint(segfs_memory_allocate(memory, SIZE, 1), ==, -ENOSPC);
	g_assert_cmpint(segfs_memory_allocate(memory, 1, G_MAXOFFSET), ==, -ENOSPC);
	if (segfs_memory_fd(memory) >= 0) {
		g_assert_no_errno(fstat(segfs_memory_fd(memory), &st));
		g_assert_cmpint(st.st_size, ==, SIZE);
	}
}

static bool nothing_in_swap(const Us *us, int shmid)
{
	SegfsSysv segment = segment_stat(us->ipc, shmid);

	segfs_sysv_resident_changed(us->ipc);
	g_assert_cmpint(segfs_sysv_resident(us->ipc, &segment), ==, 0);
	return segment.has_resident && segment.swap == 0;
}

static void seek_finds_data_and_true_holes(gconstpointer way)
{
	enum { PAGES = 20000, LAST = 17 };
	g_auto(Us) us = {};
	if (!us_start(&us, way, false))
		return;
	const off_t size = PAGES * PAGE + LAST;
	scoped_segment shmid = segment_make(size, 0600);
	g_autoptr(SegfsMemory) memory = memory_open(&us, shmid, true);
	g_auto(Seen) seen = seen_attach(shmid);

	g_assert_cmpint(segfs_memory_seek(memory, 0, SEEK_DATA), ==, -ENXIO);
	g_assert_cmpint(segfs_memory_seek(memory, 5, SEEK_HOLE), ==, 5);
	g_assert_cmpint(segfs_memory_seek(memory, size, SEEK_DATA), ==, -ENXIO);
	g_assert_cmpint(segfs_memory_seek(memory, size, SEEK_HOLE), ==, -ENXIO);
	g_assert_cmpint(segfs_memory_seek(memory, -1, SEEK_DATA), ==, -ENXIO);
	g_assert_cmpint(segfs_memory_seek(memory, -1, SEEK_HOLE), ==, -ENXIO);

	/* Two pages of data beyond what one look takes in, and the last that is not whole. */
	seen.bytes[18000 * PAGE + 5] = 1;
	seen.bytes[18001 * PAGE] = 1;
	seen.bytes[PAGES * PAGE] = 1;
	if (!nothing_in_swap(&us, shmid)) {
		g_test_skip("swapped out meanwhile");
		return;
	}
	g_assert_cmpint(segfs_memory_seek(memory, 0, SEEK_DATA), ==, 18000 * PAGE);
	g_assert_cmpint(segfs_memory_seek(memory, 18000 * PAGE + 7, SEEK_DATA), ==,
			18000 * PAGE + 7);
	g_assert_cmpint(segfs_memory_seek(memory, 18000 * PAGE, SEEK_HOLE), ==, 18002 * PAGE);
	g_assert_cmpint(segfs_memory_seek(memory, 18001 * PAGE + 9, SEEK_HOLE), ==, 18002 * PAGE);
	g_assert_cmpint(segfs_memory_seek(memory, 18002 * PAGE, SEEK_DATA), ==, PAGES * PAGE);
	g_assert_cmpint(segfs_memory_seek(memory, PAGES * PAGE + 3, SEEK_DATA), ==,
			PAGES * PAGE + 3);
	/* The end is a hole, and it is the size, not that of a page. */
	g_assert_cmpint(segfs_memory_seek(memory, PAGES * PAGE, SEEK_HOLE), ==, size);
	g_assert_cmpint(segfs_memory_seek(memory, size - 1, SEEK_HOLE), ==, size);

	g_assert_cmpint(segfs_memory_punch(memory, 18000 * PAGE, 2 * PAGE), ==, 0);
	g_assert_cmpint(segfs_memory_seek(memory, 0, SEEK_DATA), ==, PAGES * PAGE);
}

static void resident_is_known_with_a_descriptor_alone(gconstpointer way)
{
	g_auto(Us) us = {};
	if (!us_start(&us, way, false))
		return;
	scoped_segment shmid = segment_make(SIZE, 0600);
	g_autoptr(SegfsMemory) memory = memory_open(&us, shmid, true);
	uint64_t bytes = 77;

	if (GPOINTER_TO_INT(way) == ATTACHED) {
		g_assert_cmpint(segfs_memory_resident(memory, &bytes), ==, -ENODATA);
		g_assert_cmpuint(bytes, ==, 77);
		return;
	}
	g_assert_cmpint(segfs_memory_resident(memory, &bytes), ==, 0);
	g_assert_cmpuint(bytes, ==, 0);
	g_assert_cmpint(segfs_memory_write(memory, "x", 1, SIZE - 1), ==, 1);
	g_assert_cmpint(segfs_memory_resident(memory, &bytes), ==, 0);
	g_assert_cmpuint(bytes, ==, PAGE);
}

static void swapped_memory_is_all_data_when_attached(void)
{
	g_auto(Us) us = {};
	if (!us_start(&us, GINT_TO_POINTER(ATTACHED), false))
		return;
	scoped_tree tree = tree_make(NULL);
	scoped_segment shmid = segment_make(SIZE, 0600);
	g_autofree char *table = g_strdup_printf(
		"heading\n0 %d 600 %d 1 2 0 0 0 0 0 0 0 0 0 4096\n", shmid, (int)SIZE);

	tree_write(tree, "sysvipc/shm", table);
	segfs_ipc_free(us.ipc);
	us.ipc = ipc_make(tree, false);
	g_autoptr(SegfsMemory) memory = memory_open(&us, shmid, false);
	/* Not to be called a hole: what the pages hold is not known. */
	g_assert_cmpint(segfs_memory_seek(memory, 10, SEEK_DATA), ==, 10);
	g_assert_cmpint(segfs_memory_seek(memory, 10, SEEK_HOLE), ==, SIZE);
}

static void huge_pages_are_written_and_punched(void)
{
	enum { HUGE_PAGE = 2 * 1024 * 1024, HUGE_SIZE = HUGE_PAGE + 5000 };
	g_auto(Us) us = {};
	if (!us_start(&us, GINT_TO_POINTER(BY_FD), false))
		return;
	scoped_segment shmid = segment_make_huge(HUGE_SIZE);
	if (shmid < 0) {
		g_test_skip("no free huge pages");
		return;
	}
	g_autoptr(SegfsMemory) memory = memory_open(&us, shmid, true);
	g_auto(Seen) seen = seen_attach(shmid);
	uint64_t bytes;

	g_assert_true(segfs_memory_is_huge(memory));
	g_assert_cmpuint(segfs_memory_size(memory), ==, HUGE_SIZE);
	g_assert_cmpint(segfs_memory_write(memory, "hello", 5, HUGE_SIZE - 3), ==, 3);
	g_assert_cmpint(segfs_memory_write(memory, "hello", 5, HUGE_SIZE), ==, -ENOSPC);
	g_assert_cmpint(segfs_memory_write(memory, "hello", 5, 0), ==, 5);
	g_assert_cmpmem(seen.bytes + HUGE_SIZE - 3, 5, "hel\0", 5);
	g_assert_cmpmem(seen.bytes, 6, "hello", 6);
	g_assert_cmpint(segfs_memory_resident(memory, &bytes), ==, 0);
	g_assert_cmpuint(bytes, ==, 2 * HUGE_PAGE);
	g_assert_cmpint(segfs_memory_punch(memory, 0, HUGE_SIZE), ==, 0);
	g_assert_true(all_are(seen.bytes, 0, HUGE_SIZE));
	g_assert_cmpint(segfs_memory_same(memory, memory), ==, true);
}

int main(int argc, char **argv)
{
	unit_init(&argc, &argv);
	unit_handle_sigbus();
	BOTH("is-the-memory-itself", opened_it_is_the_memory_itself);
	BOTH("write-ends-at-the-size", write_ends_at_the_size);
	BOTH("large-writes-reach-every-byte", large_writes_reach_every_byte);
	BOTH("what-is-prepared-is-written", what_is_prepared_is_written_as_any_other);
	BOTH("punch-makes-zero-and-frees-whole-pages", punch_makes_zero_and_frees_whole_pages);
	BOTH("allocate-has-pages-and-keeps-the-bytes", allocate_has_pages_and_keeps_the_bytes);
	BOTH("seek-finds-data-and-true-holes", seek_finds_data_and_true_holes);
	BOTH("resident-with-a-descriptor-alone", resident_is_known_with_a_descriptor_alone);
	TEST("copy/only-where-every-page-is-there", copy_writes_only_where_every_page_is_there);
	TEST("fd/huge-pages-are-written-and-punched", huge_pages_are_written_and_punched);
	TEST("attached/swapped-is-all-data", swapped_memory_is_all_data_when_attached);
	return g_test_run();
}
