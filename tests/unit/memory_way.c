/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "memory_way.h"

#include "lib/memory/ipc.h"

void us_clear(Us *us)
{
	segfs_caller_clear(&us->self);
	g_clear_pointer(&us->ipc, segfs_ipc_free);
}

bool us_start(Us *ret_us, gconstpointer way, bool no_attach)
{
	if (GPOINTER_TO_INT(way) == ATTACHED && !unit_as_user())
		return false;
	if (GPOINTER_TO_INT(way) == BY_FD && !unit_need_root())
		return false;
	ret_us->ipc = ipc_make(NULL, no_attach);
	segfs_caller_self(&ret_us->self);
	if (GPOINTER_TO_INT(way) == BY_FD && !ret_us->ipc->has_map_files) {
		g_test_skip("needs CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE");
		return false;
	}
	return true;
}

SegfsMemory *memory_open(const Us *us, int shmid, bool write)
{
	const SegfsSysv segment = segment_stat(us->ipc, shmid);
	SegfsMemory *memory = NULL;

	g_assert_cmpint(segfs_memory_open(us->ipc, &us->self, &segment, write, &memory), ==, 0);
	g_assert_nonnull(memory);
	return memory;
}

Seen seen_attach(int shmid)
{
	const Seen seen = {shmat(shmid, NULL, 0)};

	g_assert_true(seen.bytes != (void *)-1);
	return seen;
}

void seen_clear(Seen *seen)
{
	if (seen->bytes)
		g_assert_no_errno(shmdt(seen->bytes));
	seen->bytes = NULL;
}

bool all_are(const unsigned char *bytes, unsigned char byte, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (bytes[i] != byte)
			return false;
	return true;
}
