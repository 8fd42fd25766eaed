/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What is made of the kernel's numbers and the marks of our own attaches, from fixtures: where
 * attaching is safe, and which numbers are put back. test-trace.c has the same on real segments.
 */

#include "lib/memory/attach.h"
#include "lib/memory/ipc.h"
#include "unit.h"

#define HEADING "key shmid ...\n"

static void attach_is_safe_unless_it_would_remove(void)
{
	static const struct {
		const char *forced;
		bool no_attach;
		uint64_t nattch;
		bool safe;
	} cases[] = {
		{"0\n", false, 0, true}, {"0\n", false, 1, true}, {"1\n", false, 0, false},
		{"1\n", false, 1, true}, {"0\n", true, 0, false}, {"0\n", true, 1, false},
		{NULL, false, 0, true},  {NULL, true, 5, false},
	};

	for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
		scoped_tree tree = tree_make(NULL);
		const SegfsSysv segment = {.nattch = cases[i].nattch};
		tree_write(tree, "sysvipc/shm", HEADING);
		if (cases[i].forced)
			tree_write(tree, "sys/kernel/shm_rmid_forced", cases[i].forced);
		g_autoptr(SegfsIpc) ipc = ipc_make(tree, cases[i].no_attach);
		g_assert_cmpint(ipc_attach_is_safe(ipc, &segment), ==, cases[i].safe);
	}
}

/* The two marks are compared with what the kernel shows now, field by field. */
static void mask_puts_back_only_what_is_still_ours(void)
{
	scoped_tree tree = tree_make(NULL);
	const pid_t us = getpid();
	int shmid = 5;
	Trace *trace = g_new(Trace, 1);
	static const int64_t before = 100, ours = 200, theirs = 300;

	tree_write(tree, "sysvipc/shm", HEADING);
	g_autoptr(SegfsIpc) ipc = ipc_make(tree, false);
	*trace = (Trace){.shmid = shmid,
			 .held = 2,
			 .atime_before = before,
			 .dtime_before = before + 1,
			 .lpid_before = 1,
			 .atime_left = ours,
			 .dtime_left = ours + 1};
	g_hash_table_insert(ipc->traces, &trace->shmid, trace);

	SegfsSysv segment = {
		.shmid = shmid, .nattch = 3, .atime = ours, .dtime = ours + 1, .lpid = us};
	ipc_mask(ipc, &segment);
	assert_attaches(&segment, 1, 1, before, before + 1);
	segment = (SegfsSysv){
		.shmid = shmid, .nattch = 3, .atime = theirs, .dtime = ours + 1, .lpid = us + 1};
	ipc_mask(ipc, &segment);
	assert_attaches(&segment, 1, us + 1, theirs, before + 1);
	segment = (SegfsSysv){
		.shmid = shmid, .nattch = 3, .atime = ours, .dtime = theirs, .lpid = us};
	ipc_mask(ipc, &segment);
	assert_attaches(&segment, 1, 1, before, theirs);
	/* Never below none. */
	segment = (SegfsSysv){.shmid = shmid, .nattch = 1};
	ipc_mask(ipc, &segment);
	g_assert_cmpuint(segment.nattch, ==, 0);
	segment = (SegfsSysv){
		.shmid = shmid + 1, .nattch = 3, .atime = ours, .dtime = ours, .lpid = us};
	ipc_mask(ipc, &segment);
	assert_attaches(&segment, 3, us, ours, ours);
}

int main(int argc, char **argv)
{
	unit_init(&argc, &argv);
#define TEST(path, function) g_test_add_func("/trace/" path, function)
	TEST("mask/puts-back-only-what-is-still-ours", mask_puts_back_only_what_is_still_ours);
	TEST("attach/is-safe-unless-it-would-remove", attach_is_safe_unless_it_would_remove);
	return g_test_run();
}
