/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A segment's memory by its file handle: it attaches nothing, and opens that memory or none. */

#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "hold.h"
#include "lib/memory/handles.h"
#include "lib/os/autofd.h"

enum { SIZE = 8192 };

/* A handle is kept once the segment has not changed for two seconds. */
static void wait_until_old(int shmid)
{
	while (time(NULL) - segment_kernel(shmid).shm_ctime < 2)
		unit_next_second();
}

/* Opens it for ourselves; 0 or -errno. */
static int open_memory(SegfsIpc *ipc, int shmid, SegfsMemory **ret_memory)
{
	g_auto(SegfsCaller) self = {};
	const SegfsSysv segment = segment_stat(ipc, shmid);

	segfs_caller_self(&self);
	return segfs_memory_open(ipc, &self, &segment, false, ret_memory);
}

static bool can_open(SegfsIpc *ipc, int shmid)
{
	g_autoptr(SegfsMemory) memory = NULL;

	return open_memory(ipc, shmid, &memory) == 0;
}

static bool has_handle(SegfsIpc *ipc, int shmid)
{
	const SegfsSysv segment = segment_stat(ipc, shmid);
	MemoryHandle handle;
	autofd fd = -1;

	const int r = handle_open(ipc, &segment, &handle, &fd);
	if (r < 0)
		g_assert_cmpint(r, ==, -ENOENT);
	return r == 0;
}

/* Opened once by way of the process that had it attached, which has detached it since. */
static int segment_with_handle(SegfsIpc *ipc)
{
	const int shmid = segment_make(SIZE, 0600);
	g_auto(Hold) other = {};

	hold_segment(&other, shmid);
	hold_attach(&other);
	hold_fill(&other, 'h');
	wait_until_old(shmid);
	g_assert_true(can_open(ipc, shmid));
	hold_detach(&other);
	return shmid;
}

static void what_was_opened_is_opened_again_without_attaching(void)
{
	g_autoptr(SegfsIpc) ipc = NULL;
	g_autoptr(SegfsMemory) memory = NULL;
	char byte;

	if (!unit_need_root())
		return;
	ipc = ipc_make(NULL, true); /* which attaches nothing, ever */
	scoped_segment shmid = segment_with_handle(ipc);
	const struct shmid_ds before = segment_kernel(shmid);
	g_assert_cmpuint(before.shm_nattch, ==, 0);
	g_assert_cmpint(open_memory(ipc, shmid, &memory), ==, 0);
	const struct shmid_ds after = segment_kernel(shmid);
	assert_untouched(&before, &after);
	g_assert_cmpint(pread(segfs_memory_fd(memory), &byte, 1, 100), ==, 1);
	g_assert_cmpint(byte, ==, 'h');
	/* A mount that has never seen it attached has no way but to attach it. */
	g_autoptr(SegfsIpc) another = ipc_make(NULL, true);
	g_assert_false(can_open(another, shmid));
}

static void a_young_segment_has_none(void)
{
	g_autoptr(SegfsIpc) ipc = NULL;

	if (!unit_need_root())
		return;
	ipc = ipc_make(NULL, false);
	unit_next_second();
	scoped_segment shmid = segment_make(SIZE, 0600);
	g_assert_true(can_open(ipc, shmid));
	g_assert_false(has_handle(ipc, shmid));
	wait_until_old(shmid);
	g_assert_true(can_open(ipc, shmid));
	g_assert_true(has_handle(ipc, shmid));
}

static void another_segment_of_that_id_has_none(void)
{
	g_autoptr(SegfsIpc) ipc = NULL;

	if (!unit_need_root())
		return;
	ipc = ipc_make(NULL, false);
	scoped_segment shmid = segment_with_handle(ipc);
	g_assert_true(has_handle(ipc, shmid));
	/* What keeps the old memory alive, so that its handle still opens it. */
	g_autoptr(SegfsMemory) old = NULL;
	g_assert_cmpint(open_memory(ipc, shmid, &old), ==, 0);
	if (!segment_replace(&shmid, SIZE, 0600)) {
		g_test_skip("ids cannot be chosen here");
		return;
	}
	g_assert_false(has_handle(ipc, shmid));
	g_autoptr(SegfsMemory) new = NULL;
	g_assert_cmpint(open_memory(ipc, shmid, &new), ==, 0);
	g_assert_false(segfs_memory_same(old, new));
}

static void a_changed_segment_is_learnt_anew(void)
{
	g_autoptr(SegfsIpc) ipc = NULL;
	struct shmid_ds ds;

	if (!unit_need_root())
		return;
	ipc = ipc_make(NULL, false);
	scoped_segment shmid = segment_with_handle(ipc);
	ds = segment_kernel(shmid);
	ds.shm_perm.mode = 0640;
	g_assert_no_errno(shmctl(shmid, IPC_SET, &ds));
	g_assert_false(has_handle(ipc, shmid));
	wait_until_old(shmid);
	g_assert_true(can_open(ipc, shmid));
	g_assert_true(has_handle(ipc, shmid));
}

static void a_plain_user_has_none(void)
{
	g_autoptr(SegfsIpc) ipc = NULL;

	if (!unit_as_user())
		return;
	ipc = ipc_make(NULL, false);
	scoped_segment shmid = segment_make(SIZE, 0600);
	wait_until_old(shmid);
	g_assert_true(can_open(ipc, shmid));
	g_assert_false(has_handle(ipc, shmid));
}

#define TEST(path, function) g_test_add_func("/handles/" path, function)

int main(int argc, char **argv)
{
	unit_init(&argc, &argv);
	TEST("again", what_was_opened_is_opened_again_without_attaching);
	TEST("young", a_young_segment_has_none);
	TEST("same-id", another_segment_of_that_id_has_none);
	TEST("changed", a_changed_segment_is_learnt_anew);
	TEST("user", a_plain_user_has_none);
	return g_test_run();
}
