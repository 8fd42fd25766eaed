/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "hold.h"
#include "lib/memory/ipc.h"

#define HEADING "key shmid ...\n"
#define NTH(segments, i) (&g_array_index((segments), SegfsSysv, (i)))

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
	g_auto(Hold) other = {};

	/* Numbers that are told apart: attached, detached and changed by another process. */
	hold_segment(&other, shmid);
	hold_attach(&other);
	hold_detach(&other);
	hold_attach(&other);
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
	g_auto(Hold) other = {};

	hold_segment(&other, shmid);
	hold_attach(&other);
	g_assert_no_errno(shmctl(shmid, IPC_RMID, NULL));
	const SegfsSysv dest = segment_stat(ipc, shmid);
	g_assert_true(dest.dest);
	g_assert_cmphex(dest.mode, ==, 0600);
	g_assert_cmpint(dest.key, ==, IPC_PRIVATE);
	g_assert_true(segfs_sysv_same(&before, &dest));
	g_assert_true(segfs_sysv_same(&dest, &before));
	g_assert_cmpint(segfs_sysv_by_key(ipc, key, &found), ==, -ENOENT);
	g_assert_cmpint(found, ==, -7);
	hold_detach(&other);
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
	Hold other = {};

	hold_segment(&other, shmid);
	segment.cpid = other.pid;
	hold_stop(&other);
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

	tree_write(tree, "sysvipc/shm", HEADING);
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

	tree_write(tree, "sysvipc/shm", HEADING);
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
