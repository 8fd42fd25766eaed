/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Function probes, where the kernel takes them: a ring that is full. */

#include <sched.h>
#include <string.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/history/inside.h"
#include "lib/probe/calls_probe.h"
#include "unit.h"

enum { RING = 4096, SEGMENTS = 500 };

/* NULL: there are none here, and the test is skipped. */
static CallsProbe *probe_with_small_ring(void)
{
	g_autofree char *why_not = NULL;

	calls_probe_limit(RING);
	CallsProbe *probe = calls_probe_new(false, NULL, &why_not);
	calls_probe_limit(0);
	if (!probe)
		g_test_skip(why_not);
	return probe;
}

/* A child makes and removes so many, in an IPC namespace of its own. Returns its pid. */
static pid_t make_segments(void)
{
	int status;
	const pid_t pid = fork();

	g_assert_no_errno(pid);
	if (pid == 0) {
		bool is_done = unshare(CLONE_NEWIPC) == 0;
		for (int i = 0; i < SEGMENTS && is_done; i++) {
			const int shmid = shmget(IPC_PRIVATE, 4096, 0600);
			is_done = shmid >= 0 && shmctl(shmid, IPC_RMID, NULL) == 0;
		}
		_exit(!is_done);
	}
	g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
	g_assert_cmpint(status, ==, 0);
	return pid;
}

typedef struct {
	pid_t pid;
	guint kept[CALLS_N];
	guint n_kept, n_others;
	uint64_t last_lost;
} Kept;

static void count(const struct calls_event *event, gpointer data)
{
	Kept *kept = data;

	if ((pid_t)event->pid != kept->pid) {
		kept->n_others++;
		return;
	}
	kept->kept[event->verb]++;
	kept->n_kept++;
	g_assert_cmpuint(event->lost, >=, kept->last_lost);
	kept->last_lost = event->lost;
}

static void kept_and_lost_add_up(void)
{
	g_autoptr(CallsProbe) probe = probe_with_small_ring();
	Kept kept = {};
	guint n_told = 0;

	if (!probe)
		return;
	const guint verbs[] = {CALLS_CREATE, CALLS_REMOVE, CALLS_GONE};
	for (guint i = 0; i < G_N_ELEMENTS(verbs); i++)
		n_told += calls_probe_tells(probe, verbs[i]) ? SEGMENTS : 0;
	g_assert_cmpuint(n_told, >, 0);
	calls_probe_read(probe, count, &kept);
	const uint64_t before = calls_probe_lost(probe);
	kept = (Kept){};
	/* Nobody reads meanwhile: who makes them does not wait for that. */
	kept.pid = make_segments();
	calls_probe_read(probe, count, &kept);
	const uint64_t lost = calls_probe_lost(probe) - before;
	g_assert_cmpuint(kept.n_kept, >, 0);
	g_assert_cmpuint(lost, >, 0);
	/* Others of this host may have lost some, too. */
	if (kept.n_others == 0)
		g_assert_cmpuint(kept.n_kept + lost, ==, n_told);
	else
		g_assert_cmpuint(kept.n_kept + lost, >=, n_told);
	/* With room again all is kept. */
	const int shmid = shmget(IPC_PRIVATE, 4096, 0600);
	g_assert_no_errno(shmid);
	g_assert_no_errno(shmctl(shmid, IPC_RMID, NULL));
	if (kept.n_others == 0)
		g_assert_cmpuint(calls_probe_lost(probe) - before, ==, lost);
}

static void a_loss_is_told(void)
{
	const SegfsHistoryOptions options = {};
	SegfsHistoryCounts counts;

	g_autoptr(CallsProbe) probe = probe_with_small_ring();
	if (!probe)
		return;
	calls_probe_limit(RING);
	g_autoptr(SegfsHistory) history = segfs_history_new(&options);
	calls_probe_limit(0);
	/* Its thread may keep up for a while. */
	do {
		make_segments();
		/* It waits for what was made to be told. */
		generation_unref(history_generation(history, 0));
		segfs_history_count(history, &counts);
	} while (counts.lost == 0);
	g_autoptr(Generation) now = history_generation(history, 0);
	g_autoptr(Generation) before = history_generation(history, 1);
	const gsize size = history_generation_size(history, now);
	g_autoptr(GBytes) bytes = history_generation_read(history, now, 0, size);
	g_autofree char *text = g_strndup(g_bytes_get_data(bytes, NULL), size);
	g_assert_true(before || strstr(text, " lost events at-least="));
	g_autofree char *said = segfs_history_text(history);
	g_assert_nonnull(strstr(said, " events lost"));
	g_assert_null(strstr(said, ", 0 events lost"));
}

/* What the kernel would tell of a memfd, as it is written down. */
static void a_memfd_is_called_as_in_unlinked(void)
{
	const SegfsHistoryOptions options = {};
	g_autoptr(SegfsHistory) history = segfs_history_new(&options);
	g_autofree struct calls_event *event =
		g_malloc0(sizeof(*event) + sizeof(struct calls_file) + ENDS_ARGUMENTS);
	struct calls_file *file = (void *)event->arguments;

	*event = (struct calls_event){.verb = CALLS_MEMFD_CREATE, .pid = 4711, .command = "maker"};
	*file = (struct calls_file){.ino = 42, .size = 4096, .is_memfd = 1, .name = "a b/c"};
	event->arguments_size = 8;
	memcpy(file->arguments, "maker\0-v", 8);
	files_take(history, event);
	event->verb = CALLS_MEMFD_GONE;
	event->arguments_size = 0;
	event->is_ending = 1;
	event->code = 11;
	files_take(history, event);
	g_autoptr(Generation) now = history_generation(history, 0);
	const gsize size = history_generation_size(history, now);
	g_autoptr(GBytes) bytes = history_generation_read(history, now, 0, size);
	g_autofree char *text = g_strndup(g_bytes_get_data(bytes, NULL), size);
	g_assert_nonnull(strstr(text,
				"Z create \"unlinked/memfd-a b%2Fc-42\" pid=4711 program=maker "
				"uid=0 command=\"maker -v\" inode=42 size=4096\n"));
	g_assert_nonnull(strstr(text, "Z gone \"unlinked/memfd-a b%2Fc-42\" pid=4711 program=maker "
				      "uid=0 end=\"signal 11 (SEGV)\" inode=42 size=4096\n"));
}

int main(int argc, char **argv)
{
	unit_init(&argc, &argv);
	g_test_add_func("/calls/full", kept_and_lost_add_up);
	g_test_add_func("/calls/told", a_loss_is_told);
	g_test_add_func("/calls/memfd", a_memfd_is_called_as_in_unlinked);
	return g_test_run();
}
