/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How fresh answers are, and how often all processes are looked at for them. */

#include <fcntl.h>
#include <sched.h>

#include "lib/memory/ipc.h"
#include "lib/memory/posix.h"
#include "lib/os/procfs.h"
#include "lib/process/fresh.h"
#include "lib/process/scan.h"
#include "lib/survey/survey.h"
#include "survey_world.h"

static void an_answer_is_fresh_by_when_its_look_began(void)
{
	const gint64 now = g_get_monotonic_time();
	Fresh fresh = {};

	g_assert_false(fresh_enough(&fresh, segfs_since_recent()));
	g_assert_false(fresh_enough(&fresh, segfs_since(0)));
	fresh_got(&fresh, now);
	g_assert_true(fresh_enough(&fresh, segfs_since(now)));
	g_assert_true(fresh_enough(&fresh, segfs_since(now - 1)));
	g_assert_false(fresh_enough(&fresh, segfs_since(now + 1)));
	/* Four times what it took: a minute, then a second. */
	const gint64 minute = 60 * G_USEC_PER_SEC;
	fresh = (Fresh){g_get_monotonic_time() - 2 * minute, minute};
	g_assert_true(fresh_enough(&fresh, segfs_since_recent()));
	fresh = (Fresh){g_get_monotonic_time() - 2 * minute, G_USEC_PER_SEC};
	g_assert_false(fresh_enough(&fresh, segfs_since_recent()));
}

static void a_whole_scan_answers_for_the_processes(void)
{
	g_autoptr(SegfsScanner) scanner = segfs_scanner_new(NULL);
	g_autoptr(SegfsScan) whole = NULL, same = NULL, processes = NULL, later = NULL;
	const SegfsSince since = segfs_since_now();

	g_assert_cmpint(segfs_scanner_scan(scanner, since, &whole), ==, 0);
	g_assert_cmpint(scanner_processes(scanner, since, &same), ==, 0);
	g_assert_true(same == whole);
	g_assert_cmpuint(scanner_n_walks(scanner), ==, 1);
	/* A newer one was asked for; and it does not answer for what is held. */
	const SegfsSince from = segfs_since(g_get_monotonic_time() + 1);
	while (g_get_monotonic_time() <= from.from)
		;
	g_assert_cmpint(scanner_processes(scanner, from, &processes), ==, 0);
	g_assert_true(processes != whole);
	g_assert_cmpuint(scanner_n_walks(scanner), ==, 2);
	g_assert_cmpint(segfs_scanner_scan(scanner, from, &later), ==, 0);
	g_assert_true(later != processes);
	g_assert_cmpuint(scanner_n_walks(scanner), ==, 3);
}

static bool take_namespace(Taken *taken, const void *unused)
{
	if (unshare(CLONE_NEWIPC) < 0)
		return false;
	const int shmid = shmget(IPC_PRIVATE, 5000, IPC_CREAT | 0600);
	taken->id.number = shmid;
	return shmid >= 0;
}

static void one_look_does_for_a_segment_of_another_namespace(void)
{
	if (!unit_need_root())
		return;
	g_autoptr(SegfsScanner) scanner = segfs_scanner_new(NULL);
	g_autoptr(SegfsNamespace) ns = NULL;
	g_autoptr(SegfsIpc) ipc = NULL;
	g_autoptr(SegfsItem) item = NULL;
	g_auto(Hold) hold = {};

	hold_start(&hold, take_namespace, NULL);
	g_autofree char *link = g_strdup_printf("/proc/%d/ns/ipc", hold.pid);
	const uint64_t inum = procfs_namespace(AT_FDCWD, link);
	g_assert_cmpint(segfs_namespace_new(scanner, inum, &ns), ==, 0);
	g_assert_cmpint(ipc_new_of(&(SegfsIpcOptions){}, ns, &ipc), ==, 0);
	g_autoptr(SegfsView) view = view_new(&(ViewOptions){.scanner = scanner, .ipc = ipc});
	const guint64 before = scanner_n_walks(scanner);

	g_assert_cmpint(before, ==, 1);
	g_assert_cmpint(segfs_view_sysv(view, hold.taken.id.number, segfs_since_now(), &item), ==,
			0);
	g_assert_cmpuint(item->ns, ==, inum);
	g_assert_cmpuint(scanner_n_walks(scanner), ==, before + 1);
}

/* Who asks together. */
typedef struct {
	Moments *moments;
	Survey *survey;
	guint number;
	Moment *moment;
	Surveyed *all;
	bool has_own;
} Asker;

static guint n_owners; /* that were let go */

static void owner_is_let_go(gpointer owner)
{
	g_atomic_int_inc(&n_owners);
}

static gpointer ask(gpointer pointer)
{
	Asker *asker = pointer;
	g_autofree char *name = g_strdup_printf("asked-%u", asker->number);
	g_autofree char *path = object_make(asker->survey, name);

	asker->moment = moment_join(asker->moments);
	g_assert_cmpint(moment_survey(asker->moment, asker->survey->view, asker, &asker->all), ==,
			0);
	for (guint i = 0; i < asker->all->items->len; i++) {
		const SegfsItem *item = asker->all->items->pdata[i];
		asker->has_own |= item->id.kind == SEGFS_POSIX && !g_strcmp0(item->name, name);
	}
	g_assert_no_errno(unlink(path));
	return NULL;
}

static void those_of_one_moment_share_a_survey(void)
{
	enum { ASKERS = 4, ROUNDS = 1000 };
	g_auto(Survey) survey = {};
	guint n_shared = 0, n_asked = 0;

	survey_start(&survey, 3600);
	Moments *moments = moments_new(owner_is_let_go);
	/* One that took long, so that the next ones wait for each other. */
	Moment *first = moment_join(moments);
	g_usleep(G_USEC_PER_SEC / 5);
	moment_leave(first);
	for (guint round = 0; round < ROUNDS && n_shared == 0; round++) {
		Asker askers[ASKERS] = {};
		GThread *threads[ASKERS];
		for (guint i = 0; i < ASKERS; i++, n_asked++) {
			askers[i] =
				(Asker){.moments = moments, .survey = &survey, .number = n_asked};
			threads[i] = g_thread_new("asker", ask, &askers[i]);
		}
		for (guint i = 0; i < ASKERS; i++)
			g_thread_join(threads[i]);
		for (guint i = 0; i < ASKERS; i++) {
			/* What was there when it was asked is in the answer. */
			g_assert_true(askers[i].has_own);
			for (guint j = 0; j < i; j++) {
				const bool together = askers[i].moment == askers[j].moment;
				g_assert_true(together == (askers[i].all == askers[j].all));
				n_shared += together;
			}
		}
		for (guint i = 0; i < ASKERS; i++) {
			surveyed_unref(askers[i].all);
			moment_leave(askers[i].moment);
		}
	}
	g_assert_cmpuint(n_shared, >, 0);
	g_assert_cmpuint(n_owners, ==, n_asked);
	moments_free(moments);
}

int main(int argc, char **argv)
{
	unit_init(&argc, &argv);
	g_test_add_func("/since/fresh", an_answer_is_fresh_by_when_its_look_began);
	g_test_add_func("/since/whole-for-processes", a_whole_scan_answers_for_the_processes);
	g_test_add_func("/since/one-look-for-a-segment",
			one_look_does_for_a_segment_of_another_namespace);
	g_test_add_func("/since/moment", those_of_one_moment_share_a_survey);
	return g_test_run();
}
