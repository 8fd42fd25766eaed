/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <glib/gstdio.h>
#include <string.h>

#include "lib/memory/ipc.h"
#include "unit.h"

#define HEADING                                                                                    \
	"       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid"   \
	"  cgid      atime      dtime      ctime                   rss                  swap\n"

/* As sysvipc_shm_proc_show() in ipc/shm.c prints it. */
#define LINE(key, shmid, mode, size, rest)                                                         \
	key " " shmid "  " mode " " size "   101   102      3  1001  1002  1003  1004 " rest "\n"
#define REST "1700000001 1700000002 1700000003                  8192                  4096"

static void table_write(const char *tree, const char *text)
{
	tree_write(tree, "sysvipc/shm", text);
}

/* The list of a table that holds text, or the error. */
static int table_list(const char *text, GArray **ret_segments)
{
	scoped_tree tree = tree_make(NULL);

	table_write(tree, text);
	g_autoptr(SegfsIpc) ipc = ipc_make(tree, false);
	return segfs_sysv_list(ipc, ret_segments);
}

static GArray *table_segments(const char *text)
{
	GArray *segments = NULL;

	g_assert_cmpint(table_list(text, &segments), ==, 0);
	g_assert_nonnull(segments);
	return segments;
}

#define NTH(segments, i) (&g_array_index((segments), SegfsSysv, (i)))

static void every_field_of_a_line_is_read(void)
{
	g_autoptr(GArray) segments = table_segments(
		HEADING LINE("      4660", "     32769", "640", "                 5000", REST));

	g_assert_cmpuint(segments->len, ==, 1);
	const SegfsSysv *segment = NTH(segments, 0);
	g_assert_cmpint(segment->key, ==, 4660);
	g_assert_cmpint(segment->shmid, ==, 32769);
	g_assert_cmphex(segment->mode, ==, 0640);
	g_assert_false(segment->dest);
	g_assert_false(segment->locked);
	g_assert_cmpuint(segment->size, ==, 5000);
	g_assert_cmpint(segment->cpid, ==, 101);
	g_assert_cmpint(segment->lpid, ==, 102);
	g_assert_cmpuint(segment->nattch, ==, 3);
	g_assert_cmpuint(segment->uid, ==, 1001);
	g_assert_cmpuint(segment->gid, ==, 1002);
	g_assert_cmpuint(segment->cuid, ==, 1003);
	g_assert_cmpuint(segment->cgid, ==, 1004);
	g_assert_cmpint(segment->atime, ==, 1700000001);
	g_assert_cmpint(segment->dtime, ==, 1700000002);
	g_assert_cmpint(segment->ctime, ==, 1700000003);
	g_assert_true(segment->has_resident);
	g_assert_cmpuint(segment->rss, ==, 8192);
	g_assert_cmpuint(segment->swap, ==, 4096);
}

static void keys_have_a_sign(void)
{
	g_autoptr(GArray) segments = table_segments(
		HEADING LINE("        -1", "         0", "600", "1", REST)
			LINE("-559038737", "         1", "600", "1", REST)
				LINE("-2147483648", "         2", "600", "1", REST)
					LINE("2147483647", "         3", "600", "1", REST));

	g_assert_cmphex((uint32_t)NTH(segments, 0)->key, ==, 0xffffffff);
	g_assert_cmphex((uint32_t)NTH(segments, 1)->key, ==, 0xdeadbeef);
	g_assert_cmphex((uint32_t)NTH(segments, 2)->key, ==, 0x80000000);
	g_assert_cmphex((uint32_t)NTH(segments, 3)->key, ==, 0x7fffffff);
	g_assert_cmpint(NTH(segments, 2)->shmid, ==, 2);
}

static void sizes_and_users_use_all_their_bits(void)
{
	g_autoptr(GArray) segments = table_segments(
		HEADING "0 2147483647 600 18446744073692774399 1 2 18446744073709551615 4294967294 "
			"4294967293 4294967292 4294967291 9999999999 0 0 18446744073692774400 "
			"9223372036854775808\n");
	const SegfsSysv *segment = NTH(segments, 0);

	g_assert_cmpint(segment->shmid, ==, 2147483647);
	g_assert_cmpuint(segment->size, ==, 18446744073692774399ULL);
	g_assert_cmpuint(segment->nattch, ==, G_MAXUINT64);
	g_assert_cmpuint(segment->uid, ==, 4294967294U);
	g_assert_cmpuint(segment->gid, ==, 4294967293U);
	g_assert_cmpuint(segment->cuid, ==, 4294967292U);
	g_assert_cmpuint(segment->cgid, ==, 4294967291U);
	g_assert_cmpint(segment->atime, ==, 9999999999);
	g_assert_cmpuint(segment->rss, ==, 18446744073692774400ULL);
	g_assert_cmpuint(segment->swap, ==, 9223372036854775808ULL);
}

static void dest_and_locked_are_not_permissions(void)
{
	g_autoptr(GArray) segments = table_segments(
		HEADING LINE("0", "0", "    0", "1", REST) LINE("0", "1", " 1600", "1", REST)
			LINE("0", "2", " 2644", "1", REST) LINE("0", "3", " 3777", "1", REST));
	static const struct {
		uint16_t mode;
		bool dest, locked;
	} expected[] = {
		{0, false, false}, {0600, true, false}, {0644, false, true}, {0777, true, true}};

	for (guint i = 0; i < G_N_ELEMENTS(expected); i++) {
		g_assert_cmphex(NTH(segments, i)->mode, ==, expected[i].mode);
		g_assert_cmpint(NTH(segments, i)->dest, ==, expected[i].dest);
		g_assert_cmpint(NTH(segments, i)->locked, ==, expected[i].locked);
	}
}

static void the_kernels_order_is_kept(void)
{
	g_autoptr(GArray) segments = table_segments(
		HEADING LINE("0", "65538", "600", "1", REST) LINE("0", "3", "600", "1", REST)
			LINE("0", "32772", "600", "1", REST));

	g_assert_cmpuint(segments->len, ==, 3);
	g_assert_cmpint(NTH(segments, 0)->shmid, ==, 65538);
	g_assert_cmpint(NTH(segments, 1)->shmid, ==, 3);
	g_assert_cmpint(NTH(segments, 2)->shmid, ==, 32772);
}

static void an_empty_table_is_an_empty_list(void)
{
	g_autoptr(GArray) heading_only = table_segments(HEADING);
	g_autoptr(GArray) nothing = table_segments("");

	g_assert_cmpuint(heading_only->len, ==, 0);
	g_assert_cmpuint(nothing->len, ==, 0);
}

static void a_table_of_many_pieces_is_read_whole(void)
{
	enum { N = 5000 };
	g_autoptr(GString) text = g_string_new(HEADING);

	/* Lines of differing lengths, so that a piece ends at any place of a line. */
	for (int i = 0; i < N; i++)
		g_string_append_printf(text, "%*d %d 600 %d 1 2 0 0 0 0 0 0 0 0 %d 0\n", i % 37, -i,
				       i, i + 1, i + 2);
	g_autoptr(GArray) segments = table_segments(text->str);
	g_assert_cmpuint(segments->len, ==, N);
	for (int i = 0; i < N; i++) {
		const SegfsSysv *segment = NTH(segments, i);
		g_assert_cmpint(segment->key, ==, -i);
		g_assert_cmpint(segment->shmid, ==, i);
		g_assert_cmpuint(segment->size, ==, i + 1);
		g_assert_cmpuint(segment->rss, ==, i + 2);
	}
}

static void assert_unreadable(const char *text)
{
	GArray *segments = NULL;

	g_assert_cmpint(table_list(text, &segments), ==, -EIO);
	g_assert_null(segments);
}

static void a_table_that_is_cut_is_an_error(void)
{
	static const char line[] = LINE("1", "2", "600", "4096", "1 2 3 4096 0");

	for (size_t length = 1; length < strlen(line); length++) {
		g_autofree char *cut = g_strdup_printf(HEADING "%s%.*s", line, (int)length, line);
		assert_unreadable(cut);
	}
	assert_unreadable("       key      shmid");
}

static void a_last_line_with_fields_missing_is_an_error(void)
{
	assert_unreadable(HEADING "1 2 600 4096 1 2 0 0 0 0 0 1 2 3 4096\n");
	assert_unreadable(HEADING "\n");
	assert_unreadable(HEADING "1 2 600 none 1 2 0 0 0 0 0 1 2 3 4096 0\n");
	assert_unreadable(HEADING "key shmid\n");
}

/* A field must not be taken from the line that follows. */
static void a_line_with_fields_missing_is_an_error_before_others_too(void)
{
	static const char text[] = HEADING "1 2 600 4096\n"
					   "5 6 600 4096 1 2 0 0 0 0 0 1 2 3 4096 0\n";
	g_autoptr(GArray) segments = NULL;
	const int r = table_list(text, &segments);

	g_assert_true(r == -EIO);
}

static void a_line_without_end_is_an_error(void)
{
	g_autoptr(GString) text = g_string_new(HEADING);

	for (int i = 0; i < 300000; i++)
		g_string_append_c(text, '1');
	assert_unreadable(text->str);
}

static void a_table_that_goes_away_is_an_error(void)
{
	scoped_tree tree = tree_make(NULL);
	g_autofree char *table = g_build_filename(tree, "sysvipc/shm", NULL);
	GArray *segments = NULL;

	table_write(tree, HEADING);
	g_autoptr(SegfsIpc) ipc = ipc_make(tree, false);
	g_assert_no_errno(g_unlink(table));
	g_assert_cmpint(segfs_sysv_list(ipc, &segments), ==, -ENOENT);
	g_assert_null(segments);
}

static void no_table_is_no_ipc(void)
{
	scoped_tree tree = tree_make(NULL);
	const SegfsIpcOptions options = {.proc_root = tree};
	SegfsIpc *ipc = NULL;

	g_assert_cmpint(segfs_ipc_new(&options, &ipc), ==, -ENOSYS);
	g_assert_null(ipc);
}

static void ipc_names_its_namespace_and_its_proc(void)
{
	scoped_tree tree = tree_make(NULL);
	g_autofree char *target = g_file_read_link("/proc/self/ns/ipc", NULL);
	g_autoptr(SegfsIpc) ours = ipc_make(NULL, false);
	uint64_t inum = 0;

	g_assert_nonnull(target);
	g_assert_true(g_str_has_prefix(target, "ipc:["));
	inum = strtoull(target + strlen("ipc:["), NULL, 10);
	g_assert_cmpuint(segfs_ipc_inum(ours), ==, inum);
	g_assert_cmpstr(segfs_ipc_proc_root(ours), ==, "/proc");

	table_write(tree, HEADING);
	g_autoptr(SegfsIpc) other = ipc_make(tree, false);
	g_assert_cmpstr(segfs_ipc_proc_root(other), ==, tree);
}

static void resident_is_what_the_table_says(void)
{
	g_autoptr(SegfsIpc) ipc = ipc_make(NULL, false);
	const long page = sysconf(_SC_PAGESIZE);
	scoped_segment shmid = segment_make(10 * page, 0600);
	SegfsSysv segment = segment_stat(ipc, shmid);

	g_assert_false(segment.has_resident);
	g_assert_cmpint(segfs_sysv_resident(ipc, &segment), ==, 0);
	g_assert_true(segment.has_resident);
	g_assert_cmpuint(segment.rss + segment.swap, ==, 0);

	char *at = shmat(shmid, NULL, 0);
	g_assert_true(at != (char *)-1);
	at[0] = at[5 * page] = 1;
	segfs_sysv_resident_changed(ipc);
	segment = segment_stat(ipc, shmid);
	g_assert_cmpint(segfs_sysv_resident(ipc, &segment), ==, 0);
	g_assert_cmpuint(segment.rss + segment.swap, ==, 2 * page);
	g_assert_no_errno(shmdt(at));
}

static void resident_is_remembered_until_it_is_changed(void)
{
	scoped_tree tree = tree_make(NULL);
	SegfsSysv first = {.shmid = 5}, again = {.shmid = 5}, changed = {.shmid = 5};
	SegfsSysv missing = {.shmid = 6};

	table_write(tree, HEADING LINE("0", "9", "600", "1", "0 0 0 90 91")
				  LINE("0", "5", "600", "1", "0 0 0 50 51"));
	g_autoptr(SegfsIpc) ipc = ipc_make(tree, false);
	g_assert_cmpint(segfs_sysv_resident(ipc, &first), ==, 0);
	g_assert_true(first.has_resident);
	g_assert_cmpuint(first.rss, ==, 50);
	g_assert_cmpuint(first.swap, ==, 51);
	g_assert_cmpint(segfs_sysv_resident(ipc, &missing), ==, 0);
	g_assert_false(missing.has_resident);

	table_write(tree, HEADING LINE("0", "5", "600", "1", "0 0 0 60 61"));
	ipc->resident_fresh = (Fresh){g_get_monotonic_time(), G_MAXINT32};
	g_assert_cmpint(segfs_sysv_resident(ipc, &again), ==, 0);
	g_assert_cmpuint(again.rss, ==, 50);
	segfs_sysv_resident_changed(ipc);
	g_assert_cmpint(segfs_sysv_resident(ipc, &changed), ==, 0);
	g_assert_cmpuint(changed.rss, ==, 60);
	/* What came with the list is not asked for again. */
	g_assert_cmpint(segfs_sysv_resident(ipc, &first), ==, 0);
	g_assert_cmpuint(first.rss, ==, 50);
}

static void resident_without_a_table_is_an_error(void)
{
	scoped_tree tree = tree_make(NULL);
	g_autofree char *table = g_build_filename(tree, "sysvipc/shm", NULL);
	SegfsSysv segment = {.shmid = 5};

	table_write(tree, HEADING);
	g_autoptr(SegfsIpc) ipc = ipc_make(tree, false);
	g_assert_no_errno(g_unlink(table));
	g_assert_cmpint(segfs_sysv_resident(ipc, &segment), ==, -ENOENT);
	g_assert_false(segment.has_resident);
}

int main(int argc, char **argv)
{
	unit_init(&argc, &argv);
#define TEST(path, function) g_test_add_func("/sysv/" path, function)
	TEST("table/every-field-is-read", every_field_of_a_line_is_read);
	TEST("table/keys-have-a-sign", keys_have_a_sign);
	TEST("table/sizes-and-users-use-all-bits", sizes_and_users_use_all_their_bits);
	TEST("table/dest-and-locked-are-bits", dest_and_locked_are_not_permissions);
	TEST("table/order-is-kept", the_kernels_order_is_kept);
	TEST("table/empty-is-an-empty-list", an_empty_table_is_an_empty_list);
	TEST("table/of-many-pieces-is-read-whole", a_table_of_many_pieces_is_read_whole);
	TEST("table/cut-is-an-error", a_table_that_is_cut_is_an_error);
	TEST("table/short-last-line-is-an-error", a_last_line_with_fields_missing_is_an_error);
	TEST("table/short-line-is-an-error",
	     a_line_with_fields_missing_is_an_error_before_others_too);
	TEST("table/endless-line-is-an-error", a_line_without_end_is_an_error);
	TEST("table/gone-is-an-error", a_table_that_goes_away_is_an_error);
	TEST("ipc/no-table-is-no-ipc", no_table_is_no_ipc);
	TEST("ipc/names-its-namespace-and-proc", ipc_names_its_namespace_and_its_proc);
	TEST("resident/is-what-the-table-says", resident_is_what_the_table_says);
	TEST("resident/is-remembered-until-changed", resident_is_remembered_until_it_is_changed);
	TEST("resident/without-a-table-is-an-error", resident_without_a_table_is_an_error);
	return g_test_run();
}
