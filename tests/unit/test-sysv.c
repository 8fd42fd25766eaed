/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

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

static void dest_and_locked_are_told_from_the_permissions(void)
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

static const SegfsSysv *find(const GArray *segments, int shmid)
{
	for (guint i = 0; i < segments->len; i++)
		if (NTH(segments, i)->shmid == shmid)
			return NTH(segments, i);
	return NULL;
}

static void assert_is_the_kernels(const SegfsSysv *segment, int shmid)
{
	const struct shmid_ds ds = segment_kernel(shmid);

	g_assert_cmpint(segment->shmid, ==, shmid);
	g_assert_cmpint(segment->key, ==, ds.shm_perm.__key);
	g_assert_cmpuint(segment->size, ==, ds.shm_segsz);
	g_assert_cmpuint(segment->nattch, ==, ds.shm_nattch);
	g_assert_cmpint(segment->atime, ==, ds.shm_atime);
	g_assert_cmpint(segment->dtime, ==, ds.shm_dtime);
	g_assert_cmpint(segment->ctime, ==, ds.shm_ctime);
	g_assert_cmpuint(segment->uid, ==, ds.shm_perm.uid);
	g_assert_cmpuint(segment->gid, ==, ds.shm_perm.gid);
	g_assert_cmpuint(segment->cuid, ==, ds.shm_perm.cuid);
	g_assert_cmpuint(segment->cgid, ==, ds.shm_perm.cgid);
	g_assert_cmpint(segment->cpid, ==, ds.shm_cpid);
	g_assert_cmpint(segment->lpid, ==, ds.shm_lpid);
	g_assert_cmphex(segment->mode, ==, ds.shm_perm.mode & 0777);
}

static void stat_and_list_tell_what_the_kernel_does(void)
{
	g_autoptr(SegfsIpc) ipc = ipc_make(NULL, false);
	g_autoptr(GArray) segments = NULL;
	key_t key;
	scoped_segment shmid = segment_make_key(5000, 0642, &key);
	g_auto(Other) other = {};

	/* Numbers that are told apart: attached, detached and changed by another process. */
	other_start(&other, shmid);
	other_attach(&other);
	other_detach(&other);
	other_attach(&other);
	const SegfsSysv segment = segment_stat(ipc, shmid);
	assert_is_the_kernels(&segment, shmid);
	g_assert_cmpint(segment.key, ==, key);
	g_assert_cmpuint(segment.size, ==, 5000);
	g_assert_cmpuint(segment.nattch, ==, 1);
	g_assert_cmpint(segment.cpid, ==, getpid());
	g_assert_cmpint(segment.lpid, ==, other.pid);
	g_assert_cmphex(segment.mode, ==, 0642);
	g_assert_cmpint(segment.dtime, >, 0);
	g_assert_false(segment.has_resident);
	g_assert_false(segment.dest);

	g_assert_cmpint(segfs_sysv_list(ipc, &segments), ==, 0);
	const SegfsSysv *listed = find(segments, shmid);
	g_assert_nonnull(listed);
	assert_is_the_kernels(listed, shmid);
	g_assert_true(listed->has_resident);
	g_assert_true(segfs_sysv_same(listed, &segment));
}

static void stat_and_list_need_no_rights(void)
{
	if (!unit_as_user())
		return;
	g_autoptr(SegfsIpc) ipc = ipc_make(NULL, false);
	g_autoptr(GArray) segments = NULL;
	scoped_segment first = segment_make(4096, 0600);
	scoped_segment shmid = segment_make(8192, 0);
	struct shmid_ds ds;

	g_assert_cmpint(shmctl(shmid, IPC_STAT, &ds), ==, -1);
	g_assert_cmpint(errno, ==, EACCES);
	const SegfsSysv segment = segment_stat(ipc, shmid);
	g_assert_cmpint(segment.shmid, ==, shmid);
	g_assert_cmpuint(segment.size, ==, 8192);
	g_assert_cmphex(segment.mode, ==, 0);
	g_assert_cmpint(segment.cpid, ==, getpid());
	g_assert_cmpint(segfs_sysv_list(ipc, &segments), ==, 0);
	g_assert_nonnull(find(segments, shmid));
	g_assert_nonnull(find(segments, first));
}

static void stat_of_no_segment_is_enoent(void)
{
	g_autoptr(SegfsIpc) ipc = ipc_make(NULL, false);
	SegfsSysv segment = {.shmid = -7};
	scoped_segment removed = segment_make(4096, 0600);
	const int gone = removed;

	segment_remove(&removed);
	g_assert_cmpint(segfs_sysv_stat(ipc, gone, &segment), ==, -ENOENT);
	g_assert_cmpint(segfs_sysv_stat(ipc, -1, &segment), ==, -ENOENT);
	g_assert_cmpint(segfs_sysv_stat(ipc, G_MININT, &segment), ==, -ENOENT);
	g_assert_cmpint(segment.shmid, ==, -7);
}

/* The index of a removed id is another segment's: without rights it is asked by index. */
static void stat_of_another_id_at_the_same_index_is_enoent(void)
{
	if (!unit_as_user())
		return;
	g_autoptr(SegfsIpc) ipc = ipc_make(NULL, false);
	scoped_segment shmid = segment_make(4096, 0);
	SegfsSysv segment;

	g_assert_cmpint(segfs_sysv_stat(ipc, shmid ^ 1 << 15, &segment), ==, -ENOENT);
	g_assert_cmpint(segfs_sysv_stat(ipc, shmid, &segment), ==, 0);
}

static void marked_for_removal_it_has_no_key_and_lives_while_attached(void)
{
	g_autoptr(SegfsIpc) ipc = ipc_make(NULL, false);
	key_t key;
	scoped_segment shmid = segment_make_key(4096, 0600, &key);
	const SegfsSysv before = segment_stat(ipc, shmid);
	SegfsSysv after;
	int found = -7;
	g_auto(Other) other = {};

	other_start(&other, shmid);
	other_attach(&other);
	g_assert_no_errno(shmctl(shmid, IPC_RMID, NULL));
	const SegfsSysv dest = segment_stat(ipc, shmid);
	g_assert_true(dest.dest);
	g_assert_cmphex(dest.mode, ==, 0600);
	g_assert_cmpint(dest.key, ==, IPC_PRIVATE);
	g_assert_true(segfs_sysv_same(&before, &dest));
	g_assert_true(segfs_sysv_same(&dest, &before));
	g_assert_cmpint(segfs_sysv_by_key(ipc, key, &found), ==, -ENOENT);
	g_assert_cmpint(found, ==, -7);
	other_detach(&other);
	g_assert_cmpint(segfs_sysv_stat(ipc, shmid, &after), ==, -ENOENT);
}

static void by_key_needs_no_rights(void)
{
	if (!unit_as_user())
		return;
	g_autoptr(SegfsIpc) ipc = ipc_make(NULL, false);
	key_t key;
	scoped_segment shmid = segment_make_key(4096, 0, &key);
	int found = -7;

	g_assert_cmpint(segfs_sysv_by_key(ipc, key, &found), ==, 0);
	g_assert_cmpint(found, ==, shmid);
}

static void by_key_of_no_segment_is_enoent(void)
{
	g_autoptr(SegfsIpc) ipc = ipc_make(NULL, false);
	key_t key;
	scoped_segment removed = segment_make_key(4096, 0600, &key);
	int found = -7;

	segment_remove(&removed);
	removed = -1;
	g_assert_cmpint(segfs_sysv_by_key(ipc, key, &found), ==, -ENOENT);
	/* shmget(2) would make a segment of it. */
	g_assert_cmpint(segfs_sysv_by_key(ipc, IPC_PRIVATE, &found), ==, -ENOENT);
	g_assert_cmpint(found, ==, -7);
}

static void same_compares_what_never_changes(void)
{
	const SegfsSysv a = {
		.shmid = 7, .size = 4096, .cuid = 1, .cgid = 2, .cpid = 3, .key = 4, .uid = 5};
	SegfsSysv b = a;

	b.uid = b.gid = 9;
	b.mode = 0777;
	b.lpid = 77;
	b.nattch = b.atime = b.dtime = b.ctime = 99;
	b.locked = b.has_resident = true;
	g_assert_true(segfs_sysv_same(&a, &b));
#define DIFFERS(field)                                                                             \
	b = a;                                                                                     \
	b.field++;                                                                                 \
	g_assert_false(segfs_sysv_same(&a, &b));                                                   \
	g_assert_false(segfs_sysv_same(&b, &a))
	DIFFERS(shmid);
	DIFFERS(size);
	DIFFERS(cuid);
	DIFFERS(cgid);
	DIFFERS(cpid);
	DIFFERS(key);
}

static void an_id_that_is_given_again_is_not_the_same(void)
{
	if (!unit_need_root())
		return;
	g_autoptr(SegfsIpc) ipc = ipc_make(NULL, false);
	scoped_segment shmid = segment_make(4096, 0600);
	const SegfsSysv first = segment_stat(ipc, shmid);

	if (!segment_replace(&shmid, 8192, 0600)) {
		g_test_skip("no kernel.shm_next_id");
		return;
	}
	const SegfsSysv second = segment_stat(ipc, shmid);
	g_assert_cmpint(second.shmid, ==, first.shmid);
	g_assert_cmpuint(second.size, ==, 8192);
	g_assert_false(segfs_sysv_same(&first, &second));
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
	ipc->resident_until = G_MAXINT64;
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

static void creator_is_the_command_that_made_it(void)
{
	g_autoptr(SegfsIpc) ipc = ipc_make(NULL, false);
	scoped_segment shmid = segment_make(4096, 0600);
	const SegfsSysv segment = segment_stat(ipc, shmid);
	char before[16];

	g_assert_no_errno(prctl(PR_GET_NAME, before));
	g_assert_no_errno(prctl(PR_SET_NAME, "a) R (b 1 2"));
	g_autofree char *command = segfs_sysv_creator_shown(ipc, NULL, &segment);
	g_assert_no_errno(prctl(PR_SET_NAME, before));
	g_assert_cmpstr(command, ==, "a) R (b 1 2");
}

static void creator_that_has_ended_is_not_known(void)
{
	g_autoptr(SegfsIpc) ipc = ipc_make(NULL, false);
	scoped_segment shmid = segment_make(4096, 0600);
	SegfsSysv segment = segment_stat(ipc, shmid);
	Other other = {};

	other_start(&other, shmid);
	segment.cpid = other.pid;
	other_stop(&other);
	g_assert_null(segfs_sysv_creator_shown(ipc, NULL, &segment));
	segment.cpid = 0;
	g_assert_null(segfs_sysv_creator_shown(ipc, NULL, &segment));
}

/* The creator of a segment of 1000 s after boot, by a process started that much after boot. */
static char *creator_started(int64_t seconds, const char *command)
{
	scoped_tree tree = tree_make(NULL);
	struct timespec real, boot;

	clock_gettime(CLOCK_REALTIME, &real);
	clock_gettime(CLOCK_BOOTTIME, &boot);
	g_autofree char *stat = g_strdup_printf(
		"77 (%s) S 1 77 77 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 %" G_GINT64_FORMAT
		" 1000 200 18446744073709551615 1 1 0\n",
		command, seconds * sysconf(_SC_CLK_TCK));
	g_autofree char *comm = g_strdup_printf("%s\n", command);
	const SegfsSysv segment = {
		.shmid = 5, .cpid = 77, .ctime = real.tv_sec - boot.tv_sec + 1000};

	table_write(tree, HEADING);
	tree_write(tree, "77/stat", stat);
	tree_write(tree, "77/comm", comm);
	g_autoptr(SegfsIpc) ipc = ipc_make(tree, false);
	return segfs_sysv_creator_shown(ipc, NULL, &segment);
}

static void a_process_that_started_later_is_not_the_creator(void)
{
	g_autofree char *long_before = creator_started(5, "creator");
	g_autofree char *just_before = creator_started(999, "creator");
	g_autofree char *just_after = creator_started(1010, "creator");
	g_autofree char *long_after = creator_started(100000, "creator");

	g_assert_cmpstr(long_before, ==, "creator");
	g_assert_cmpstr(just_before, ==, "creator");
	g_assert_null(just_after);
	g_assert_null(long_after);
}

static void a_command_with_brackets_does_not_hide_the_start(void)
{
	g_autofree char *creator = creator_started(5, "x) S 1 1 (1 2");
	g_autofree char *slow = creator_started(100000, "x) S 1 1 (1 2");

	g_assert_cmpstr(creator, ==, "x) S 1 1 (1 2");
	g_assert_null(slow);
}

static void a_stat_that_is_cut_is_no_creator(void)
{
	scoped_tree tree = tree_make(NULL);
	const SegfsSysv segment = {.shmid = 5, .cpid = 77, .ctime = G_MAXINT32};

	table_write(tree, HEADING);
	tree_write(tree, "77/comm", "creator\n");
	g_autoptr(SegfsIpc) ipc = ipc_make(tree, false);
	g_assert_null(segfs_sysv_creator_shown(ipc, NULL, &segment));
	tree_write(tree, "77/stat", "77 (creator");
	g_assert_null(segfs_sysv_creator_shown(ipc, NULL, &segment));
	tree_write(tree, "77/stat", "77 (creator) S 1 77 77 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0");
	g_assert_null(segfs_sysv_creator_shown(ipc, NULL, &segment));
}

static uint64_t sysctl_number(const char *name)
{
	g_autofree char *path = g_build_filename("/proc/sys/kernel", name, NULL);
	g_autofree char *text = NULL;

	g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
	return strtoull(text, NULL, 10);
}

static void limits_are_those_of_the_kernel(void)
{
	g_autoptr(SegfsIpc) ipc = ipc_make(NULL, false);
	SegfsLimits limits;

	g_assert_cmpint(segfs_limits_read(ipc, &limits), ==, 0);
	g_assert_cmpuint(limits.shmmax, ==, sysctl_number("shmmax"));
	g_assert_cmpuint(limits.shmmni, ==, sysctl_number("shmmni"));
	g_assert_cmpuint(limits.shmall, ==, sysctl_number("shmall"));
	g_assert_cmpuint(limits.page_size, ==, sysconf(_SC_PAGESIZE));
}

static void limits_count_segments_and_whole_pages(void)
{
	g_autoptr(SegfsIpc) ipc = ipc_make(NULL, false);

	/* Where others make and remove segments too, some time nobody does in between. */
	for (int i = 0; i < 100; i++) {
		SegfsLimits before, with, after;
		g_assert_cmpint(segfs_limits_read(ipc, &before), ==, 0);
		scoped_segment shmid = segment_make(5 * before.page_size + 1, 0600);
		g_assert_cmpint(segfs_limits_read(ipc, &with), ==, 0);
		segment_remove(&shmid);
		shmid = -1;
		g_assert_cmpint(segfs_limits_read(ipc, &after), ==, 0);
		if (after.segments_used == before.segments_used &&
		    with.segments_used == before.segments_used + 1 &&
		    after.pages_used == before.pages_used &&
		    with.pages_used == before.pages_used + 6)
			return;
	}
	g_assert_not_reached();
}

int main(int argc, char **argv)
{
	unit_init(&argc, &argv);
#define TEST(path, function) g_test_add_func("/sysv/" path, function)
	TEST("table/every-field-is-read", every_field_of_a_line_is_read);
	TEST("table/keys-have-a-sign", keys_have_a_sign);
	TEST("table/sizes-and-users-use-all-bits", sizes_and_users_use_all_their_bits);
	TEST("table/dest-and-locked-are-told", dest_and_locked_are_told_from_the_permissions);
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
	TEST("stat/and-list-tell-what-the-kernel-does", stat_and_list_tell_what_the_kernel_does);
	TEST("stat/and-list-need-no-rights", stat_and_list_need_no_rights);
	TEST("stat/of-no-segment-is-enoent", stat_of_no_segment_is_enoent);
	TEST("stat/of-another-id-at-the-index-is-enoent",
	     stat_of_another_id_at_the_same_index_is_enoent);
	TEST("stat/marked-for-removal", marked_for_removal_it_has_no_key_and_lives_while_attached);
	TEST("by-key/needs-no-rights", by_key_needs_no_rights);
	TEST("by-key/of-no-segment-is-enoent", by_key_of_no_segment_is_enoent);
	TEST("same/compares-what-never-changes", same_compares_what_never_changes);
	TEST("same/not-for-an-id-given-again", an_id_that_is_given_again_is_not_the_same);
	TEST("resident/is-what-the-table-says", resident_is_what_the_table_says);
	TEST("resident/is-remembered-until-changed", resident_is_remembered_until_it_is_changed);
	TEST("resident/without-a-table-is-an-error", resident_without_a_table_is_an_error);
	TEST("creator/is-the-command-that-made-it", creator_is_the_command_that_made_it);
	TEST("creator/that-has-ended-is-not-known", creator_that_has_ended_is_not_known);
	TEST("creator/started-slow-is-another", a_process_that_started_later_is_not_the_creator);
	TEST("creator/brackets-do-not-hide-the-start",
	     a_command_with_brackets_does_not_hide_the_start);
	TEST("creator/cut-stat-is-none", a_stat_that_is_cut_is_no_creator);
	TEST("limits/are-those-of-the-kernel", limits_are_those_of_the_kernel);
	TEST("limits/count-segments-and-whole-pages", limits_count_segments_and_whole_pages);
	return g_test_run();
}
