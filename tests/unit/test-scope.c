/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Scopes: an IPC namespace, its directories of POSIX objects, and what looks at them. */

#include <errno.h>
#include <fcntl.h>
#include <sched.h>

#include "hold.h"
#include "lib/os/procfs.h"

static void a_scope_has_all_that_a_survey_needs(void)
{
	scoped_tree shm = tree_make("/dev/shm");
	const SegfsScopeOptions options = {.shm_dir = shm};
	g_autoptr(SegfsScope) scope = NULL;
	g_autoptr(GPtrArray) items = NULL;
	scoped_segment shmid = segment_make(5000, 0600);
	bool has_segment = false, has_object = false;

	tree_write(shm, "object", "text");
	g_assert_cmpint(segfs_scope_new(&options, &scope), ==, 0);
	g_assert_null(segfs_scope_namespace(scope));
	g_assert_true(segfs_view_posix(segfs_scope_view(scope), 0) == segfs_scope_posix(scope));
	g_assert_cmpint(segfs_view_survey(segfs_scope_view(scope), segfs_since_now(), &items), ==,
			0);
	for (guint i = 0; i < items->len; i++) {
		const SegfsItem *item = items->pdata[i];
		has_segment |= item->id.kind == SEGFS_SYSV && item->sysv.shmid == shmid;
		has_object |= item->id.kind == SEGFS_POSIX && !g_strcmp0(item->name, "object");
	}
	g_assert_true(has_segment && has_object);
}

static void what_cannot_be_had_is_an_error_and_leaves_nothing(void)
{
	scoped_tree empty = tree_make(NULL);
	const SegfsScopeOptions no_directory = {.shm_dir = "/nowhere/at/all"};
	const SegfsScopeOptions no_proc = {.ipc.proc_root = empty};
	SegfsScope *scope = NULL;

	g_assert_cmpint(segfs_scope_new(&no_directory, &scope), ==, -ENOENT);
	g_assert_cmpint(segfs_scope_new(&no_proc, &scope), ==, -ENOSYS);
	g_assert_null(scope);
}

static bool take_namespace(Taken *taken, const void *unused)
{
	if (unshare(CLONE_NEWIPC) < 0)
		return false;
	taken->id.number = shmget(IPC_PRIVATE, 5000, IPC_CREAT | 0600);
	return (int)taken->id.number >= 0;
}

static void that_of_another_namespace_outlives_the_first(void)
{
	if (!unit_need_root())
		return;
	g_autoptr(SegfsScope) own = NULL, other = NULL;
	g_autoptr(SegfsItem) item = NULL;
	SegfsScope *none = NULL;
	g_auto(Hold) hold = {};

	hold_start(&hold, take_namespace, NULL);
	g_autofree char *link = g_strdup_printf("/proc/%d/ns/ipc", hold.pid);
	const uint64_t inum = procfs_namespace(AT_FDCWD, link);
	g_assert_cmpint(segfs_scope_new(&(SegfsScopeOptions){}, &own), ==, 0);
	const uint64_t own_inum = segfs_ipc_inum(segfs_scope_ipc(own));
	g_assert_cmpint(segfs_scope_new_of(own, own_inum, NULL, NULL, &none), ==, -ENOENT);
	g_assert_cmpint(segfs_scope_new_of(own, 1, NULL, NULL, &none), ==, -ENOENT);
	g_assert_null(none);
	g_assert_cmpint(segfs_scope_new_of(own, inum, NULL, NULL, &other), ==, 0);
	g_assert_true(segfs_scope_scanner(other) == segfs_scope_scanner(own));
	g_assert_nonnull(segfs_scope_namespace(other));
	g_clear_pointer(&own, segfs_scope_free);
	g_assert_cmpint(segfs_view_sysv(segfs_scope_view(other), hold.taken.id.number,
					segfs_since_now(), &item),
			==, 0);
	g_assert_cmpuint(item->ns, ==, inum);
}

int main(int argc, char **argv)
{
	unit_init(&argc, &argv);
	g_test_add_func("/scope/all-that-a-survey-needs", a_scope_has_all_that_a_survey_needs);
	g_test_add_func("/scope/errors", what_cannot_be_had_is_an_error_and_leaves_nothing);
	g_test_add_func("/scope/of-another-namespace",
			that_of_another_namespace_outlives_the_first);
	return g_test_run();
}
