/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Looking does not touch: what is reported of nattch, atime, dtime and lpid is what it would
 * be if we had never attached. Each test first makes sure that the kernel does show the
 * trace: else there would be nothing to mask.
 */

#include <unistd.h>

#include "hold.h"
#include "lib/memory/attach.h"
#include "lib/memory/ipc.h"

static int attach_fails(void *address, void *data)
{
	*(void **)data = address;
	return -ENOTTY;
}

static SegfsSysv listed(SegfsIpc *ipc, int shmid, int (*list)(SegfsIpc *, GArray **))
{
	g_autoptr(GArray) segments = NULL;

	g_assert_cmpint(list(ipc, &segments), ==, 0);
	for (guint i = 0; i < segments->len; i++)
		if (g_array_index(segments, SegfsSysv, i).shmid == shmid)
			return g_array_index(segments, SegfsSysv, i);
	g_assert_not_reached();
}

/* In stat and in both lists alike. */
static void assert_shows(SegfsIpc *ipc, int shmid, uint64_t nattch, pid_t lpid, int64_t atime,
			 int64_t dtime)
{
	const SegfsSysv by_stat = segment_stat(ipc, shmid);
	const SegfsSysv by_list = listed(ipc, shmid, segfs_sysv_list);
	const SegfsSysv by_brief = listed(ipc, shmid, segfs_sysv_list_brief);

	assert_attaches(&by_stat, nattch, lpid, atime, dtime);
	assert_attaches(&by_list, nattch, lpid, atime, dtime);
	assert_attaches(&by_brief, nattch, lpid, atime, dtime);
}

static void *hold(SegfsIpc *ipc, int shmid)
{
	void *address = NULL;

	g_assert_cmpint(ipc_attach(ipc, shmid, 0, true, NULL, NULL, &address), ==, 0);
	g_assert_nonnull(address);
	return address;
}

static void touch(SegfsIpc *ipc, int shmid)
{
	g_assert_cmpint(ipc_attach(ipc, shmid, SHM_RDONLY, false, NULL, NULL, NULL), ==, 0);
}

static void never_attached_shows_as_never_attached(void)
{
	g_autoptr(SegfsIpc) ipc = ipc_make(NULL, false);
	scoped_segment shmid = segment_make(4096, 0600);

	void *address = hold(ipc, shmid);
	const struct shmid_ds during = segment_kernel(shmid);
	g_assert_cmpuint(during.shm_nattch, ==, 1);
	g_assert_cmpint(during.shm_lpid, ==, getpid());
	g_assert_cmpint(during.shm_atime, >, 0);
	assert_shows(ipc, shmid, 0, 0, 0, 0);

	ipc_detach(ipc, shmid, address);
	const struct shmid_ds after = segment_kernel(shmid);
	g_assert_cmpuint(after.shm_nattch, ==, 0);
	g_assert_cmpint(after.shm_lpid, ==, getpid());
	g_assert_cmpint(after.shm_dtime, >, 0);
	assert_shows(ipc, shmid, 0, 0, 0, 0);
}

static void a_moments_attach_shows_nothing_after(void)
{
	g_autoptr(SegfsIpc) ipc = ipc_make(NULL, false);
	scoped_segment shmid = segment_make(4096, 0600);

	touch(ipc, shmid);
	g_assert_cmpint(segment_kernel(shmid).shm_atime, >, 0);
	g_assert_cmpint(segment_kernel(shmid).shm_dtime, >, 0);
	assert_shows(ipc, shmid, 0, 0, 0, 0);
	/* Again, in the same second and in another: still what was before the first. */
	touch(ipc, shmid);
	assert_shows(ipc, shmid, 0, 0, 0, 0);
	unit_next_second();
	touch(ipc, shmid);
	assert_shows(ipc, shmid, 0, 0, 0, 0);
}

static void what_others_did_before_us_shows(void)
{
	g_autoptr(SegfsIpc) ipc = ipc_make(NULL, false);
	scoped_segment shmid = segment_make(4096, 0600);
	g_auto(Hold) other = {};

	hold_segment(&other, shmid);
	hold_attach(&other);
	hold_detach(&other);
	hold_attach(&other);
	const struct shmid_ds before = segment_kernel(shmid);
	unit_next_second();
	void *address = hold(ipc, shmid);
	g_assert_cmpint(segment_kernel(shmid).shm_atime, >, before.shm_atime);
	assert_shows(ipc, shmid, 1, other.pid, before.shm_atime, before.shm_dtime);
	unit_next_second();
	ipc_detach(ipc, shmid, address);
	g_assert_cmpint(segment_kernel(shmid).shm_dtime, >, before.shm_dtime);
	assert_shows(ipc, shmid, 1, other.pid, before.shm_atime, before.shm_dtime);
	touch(ipc, shmid);
	assert_shows(ipc, shmid, 1, other.pid, before.shm_atime, before.shm_dtime);
}

static void what_others_do_after_us_shows(void)
{
	g_autoptr(SegfsIpc) ipc = ipc_make(NULL, false);
	scoped_segment shmid = segment_make(4096, 0600);
	g_auto(Hold) other = {};

	hold_segment(&other, shmid);
	void *address = hold(ipc, shmid);
	unit_next_second();
	hold_attach(&other);
	struct shmid_ds theirs = segment_kernel(shmid);
	g_assert_cmpuint(theirs.shm_nattch, ==, 2);
	assert_shows(ipc, shmid, 1, other.pid, theirs.shm_atime, 0);
	hold_detach(&other);
	theirs = segment_kernel(shmid);
	assert_shows(ipc, shmid, 0, other.pid, theirs.shm_atime, theirs.shm_dtime);

	/* Our detach covers theirs in the kernel; it is remembered. */
	unit_next_second();
	ipc_detach(ipc, shmid, address);
	g_assert_cmpint(segment_kernel(shmid).shm_lpid, ==, getpid());
	assert_shows(ipc, shmid, 0, other.pid, theirs.shm_atime, theirs.shm_dtime);
}

static void what_others_do_in_between_shows(void)
{
	g_autoptr(SegfsIpc) ipc = ipc_make(NULL, false);
	scoped_segment shmid = segment_make(4096, 0600);
	g_auto(Hold) other = {};

	hold_segment(&other, shmid);
	touch(ipc, shmid);
	unit_next_second();
	hold_attach(&other);
	const struct shmid_ds attached = segment_kernel(shmid);
	unit_next_second();
	touch(ipc, shmid);
	assert_shows(ipc, shmid, 1, other.pid, attached.shm_atime, 0);
	unit_next_second();
	hold_detach(&other);
	const struct shmid_ds detached = segment_kernel(shmid);
	assert_shows(ipc, shmid, 0, other.pid, attached.shm_atime, detached.shm_dtime);
	unit_next_second();
	touch(ipc, shmid);
	assert_shows(ipc, shmid, 0, other.pid, attached.shm_atime, detached.shm_dtime);
}

/* lpid and nattch are exact, even where the second is the same. */
static void others_in_the_same_second_show_in_lpid_and_nattch(void)
{
	g_autoptr(SegfsIpc) ipc = ipc_make(NULL, false);
	scoped_segment shmid = segment_make(4096, 0600);
	g_auto(Hold) other = {};

	hold_segment(&other, shmid);
	unit_next_second();
	touch(ipc, shmid);
	hold_attach(&other);
	g_assert_cmpint(segment_stat(ipc, shmid).lpid, ==, other.pid);
	g_assert_cmpuint(segment_stat(ipc, shmid).nattch, ==, 1);
}

static void each_attach_that_lasts_is_taken_off(void)
{
	enum { N = 5 };
	g_autoptr(SegfsIpc) ipc = ipc_make(NULL, false);
	scoped_segment shmid = segment_make(4096, 0600);
	g_auto(Hold) other = {};
	void *addresses[N];

	hold_segment(&other, shmid);
	hold_attach(&other);
	for (int i = 0; i < N; i++) {
		addresses[i] = hold(ipc, shmid);
		g_assert_cmpuint(segment_kernel(shmid).shm_nattch, ==, i + 2);
		g_assert_cmpuint(segment_stat(ipc, shmid).nattch, ==, 1);
	}
	for (int i = 0; i < N; i++) {
		ipc_detach(ipc, shmid, addresses[i]);
		g_assert_cmpuint(segment_kernel(shmid).shm_nattch, ==, N - i);
		g_assert_cmpuint(segment_stat(ipc, shmid).nattch, ==, 1);
		g_assert_cmpint(segment_stat(ipc, shmid).lpid, ==, other.pid);
	}
}

/* By the count a listing knows that it has to be made again. */
static void each_attach_and_detach_is_counted(void)
{
	g_autoptr(SegfsIpc) ipc = ipc_make(NULL, false);
	g_auto(SegfsCaller) self = {};
	/* A root is granted nothing by the mode, so that the kernel has to be asked by an attach.
	 */
	scoped_segment shmid = segment_make(4096, geteuid() == 0 ? 0 : 0600);
	const SegfsSysv segment = segment_stat(ipc, shmid);
	guint before = ipc->attaches;

	segfs_caller_self(&self);
	void *address = hold(ipc, shmid);
	g_assert_cmpuint(ipc->attaches, >, before);
	before = ipc->attaches;
	ipc_detach(ipc, shmid, address);
	g_assert_cmpuint(ipc->attaches, >, before);
	before = ipc->attaches;
	touch(ipc, shmid);
	g_assert_cmpuint(ipc->attaches, >, before);
	before = ipc->attaches;
	g_assert_cmpint(segfs_sysv_may_attach(ipc, &self, &segment, true), ==, 0);
	g_assert_cmpuint(ipc->attaches, >, before);
	before = ipc->attaches;
	segment_stat(ipc, shmid);
	listed(ipc, shmid, segfs_sysv_list);
	g_assert_cmpuint(ipc->attaches, ==, before);
}

static void other_segments_are_not_masked(void)
{
	g_autoptr(SegfsIpc) ipc = ipc_make(NULL, false);
	scoped_segment looked_at = segment_make(4096, 0600);
	scoped_segment left_alone = segment_make(4096, 0600);
	g_auto(Hold) other = {};

	hold_segment(&other, left_alone);
	touch(ipc, looked_at);
	hold_attach(&other);
	const struct shmid_ds ds = segment_kernel(left_alone);
	assert_shows(ipc, left_alone, 1, other.pid, ds.shm_atime, 0);
	assert_shows(ipc, looked_at, 0, 0, 0, 0);
}

static void marked_for_removal_under_us_it_goes_with_our_detach(void)
{
	g_autoptr(SegfsIpc) ipc = ipc_make(NULL, false);
	scoped_segment shmid = segment_make(4096, 0600);
	SegfsSysv segment;

	void *address = hold(ipc, shmid);
	g_assert_no_errno(shmctl(shmid, IPC_RMID, NULL));
	segment = segment_stat(ipc, shmid);
	g_assert_true(segment.dest);
	g_assert_cmpuint(segment.nattch, ==, 0);
	ipc_detach(ipc, shmid, address);
	g_assert_cmpint(segfs_sysv_stat(ipc, shmid, &segment), ==, -ENOENT);
}

static void attach_that_fails_leaves_nothing(void)
{
	g_autoptr(SegfsIpc) ipc = ipc_make(NULL, false);
	scoped_segment gone = segment_make(4096, 0600);
	scoped_segment shmid = segment_make(4096, 0600);
	void *address = NULL, *seen = NULL;
	const int removed = gone;

	segment_remove(&gone);
	gone = -1;
	g_assert_cmpint(ipc_attach(ipc, removed, 0, true, NULL, NULL, &address), ==, -ENOENT);
	g_assert_null(address);
	g_assert_null(g_hash_table_lookup(ipc->traces, &removed));

	/* What is done in between fails: it is not held after all. */
	g_assert_cmpint(ipc_attach(ipc, shmid, 0, true, attach_fails, &seen, &address), ==,
			-ENOTTY);
	g_assert_nonnull(seen);
	g_assert_null(address);
	g_assert_cmpuint(segment_kernel(shmid).shm_nattch, ==, 0);
	assert_shows(ipc, shmid, 0, 0, 0, 0);
}

static void attach_that_is_denied_is_eacces(void)
{
	if (!unit_as_user())
		return;
	g_autoptr(SegfsIpc) ipc = ipc_make(NULL, false);
	scoped_segment shmid = segment_make(4096, 0400);
	void *address = NULL;

	g_assert_cmpint(ipc_attach(ipc, shmid, 0, true, NULL, NULL, &address), ==, -EACCES);
	g_assert_null(address);
	assert_shows(ipc, shmid, 0, 0, 0, 0);
}

static void detach_of_memory_whose_id_is_gone_is_safe(void)
{
	g_autoptr(SegfsIpc) ipc = ipc_make(NULL, false);
	scoped_segment shmid = segment_make(4096, 0600);
	const int gone = shmid;

	/* The kernel keeps a dest segment's id as long as it is attached; here it does not. */
	void *address = hold(ipc, shmid);
	g_assert_no_errno(shmdt(address));
	segment_remove(&shmid);
	shmid = -1;
	ipc_detach(ipc, gone, address);
	g_assert_null(g_hash_table_lookup(ipc->traces, &gone));
}

/* One of ours with an attach, many whose segments are gone: those are not kept for ever. */
static void traces_of_gone_segments_are_forgotten(void)
{
	enum { GONE = 2000, MOST = 600 };
	g_autoptr(SegfsIpc) ipc = ipc_make(NULL, false);
	scoped_segment held = segment_make(4096, 0600);
	void *address = hold(ipc, held);
	for (int i = 0; i < GONE; i++) {
		scoped_segment shmid = segment_make(4096, 0600);
		touch(ipc, shmid);
		g_assert_cmpuint(g_hash_table_size(ipc->traces), <, MOST);
	}
	g_assert_nonnull(g_hash_table_lookup(ipc->traces, &held));
	assert_attaches(&(SegfsSysv[]){segment_stat(ipc, held)}[0], 0, 0, 0, 0);
	ipc_detach(ipc, held, address);
	assert_attaches(&(SegfsSysv[]){segment_stat(ipc, held)}[0], 0, 0, 0, 0);
}

static void memory_by_descriptor_leaves_a_trace_that_is_masked(void)
{
	if (!unit_need_root())
		return;
	g_autoptr(SegfsIpc) ipc = ipc_make(NULL, false);
	g_auto(SegfsCaller) self = {};
	scoped_segment shmid = segment_make(4096, 0600);
	const SegfsSysv segment = segment_stat(ipc, shmid);
	SegfsMemory *memory = NULL;

	segfs_caller_self(&self);
	g_assert_cmpint(segfs_memory_open(ipc, &self, &segment, true, &memory), ==, 0);
	g_assert_cmpint(segment_kernel(shmid).shm_atime, >, 0);
	assert_shows(ipc, shmid, 0, 0, 0, 0);
	segfs_memory_unref(memory);
	assert_shows(ipc, shmid, 0, 0, 0, 0);
}

static void memory_attached_leaves_a_trace_that_is_masked(void)
{
	if (!unit_as_user())
		return;
	g_autoptr(SegfsIpc) ipc = ipc_make(NULL, false);
	g_auto(SegfsCaller) self = {};
	scoped_segment shmid = segment_make(4096, 0600);
	const SegfsSysv segment = segment_stat(ipc, shmid);
	SegfsMemory *memory = NULL;

	segfs_caller_self(&self);
	g_assert_cmpint(segfs_memory_open(ipc, &self, &segment, true, &memory), ==, 0);
	g_assert_cmpuint(segment_kernel(shmid).shm_nattch, ==, 1);
	assert_shows(ipc, shmid, 0, 0, 0, 0);
	segfs_memory_unref(memory);
	g_assert_cmpuint(segment_kernel(shmid).shm_nattch, ==, 0);
	g_assert_cmpint(segment_kernel(shmid).shm_dtime, >, 0);
	assert_shows(ipc, shmid, 0, 0, 0, 0);
}

typedef struct {
	SegfsIpc *ipc;
	int shmid;
	int *done;
	gulong pause; /* between two looks, in microseconds */
	gint rounds;  /* atomic */
} Looker;

static gpointer look(gpointer data)
{
	Looker *looker = data;

	while (!g_atomic_int_get(looker->done)) {
		assert_shows(looker->ipc, looker->shmid, 0, 0, 0, 0);
		g_atomic_int_inc(&looker->rounds);
		if (looker->pause)
			g_usleep(looker->pause);
	}
	return NULL;
}

/* On a busy machine one may not have run at all yet. */
static bool have_all_looked(Looker *lookers, int n)
{
	for (int i = 0; i < n; i++)
		if (g_atomic_int_get(&lookers[i].rounds) == 0)
			return false;
	return true;
}

/* Never is a trace seen half made. */
static void threads_never_see_a_trace(void)
{
	enum { LOOKERS = 3, ROUNDS = 1000 };
	g_autoptr(SegfsIpc) ipc = ipc_make(NULL, false);
	g_auto(SegfsCaller) self = {};
	scoped_segment shmid = segment_make(4096, 0600);
	const SegfsSysv segment = segment_stat(ipc, shmid);
	GThread *threads[LOOKERS];
	Looker lookers[LOOKERS];
	int done = 0;

	segfs_caller_self(&self);
	for (int i = 0; i < LOOKERS; i++) {
		lookers[i] = (Looker){.ipc = ipc, .shmid = shmid, .done = &done, .pause = 20};
		threads[i] = g_thread_new("looker", look, &lookers[i]);
	}
	for (int i = 0; i < ROUNDS || !have_all_looked(lookers, LOOKERS); i++) {
		SegfsMemory *memory = NULL;
		void *address = hold(ipc, shmid);
		touch(ipc, shmid);
		ipc_detach(ipc, shmid, address);
		g_assert_cmpint(segfs_sysv_may_attach(ipc, &self, &segment, true), ==, 0);
		g_assert_cmpint(segfs_memory_open(ipc, &self, &segment, true, &memory), ==, 0);
		segfs_memory_unref(memory);
	}
	g_atomic_int_set(&done, 1);
	for (int i = 0; i < LOOKERS; i++)
		g_thread_join(threads[i]);
}

static gpointer touch_once(gpointer data)
{
	Looker *toucher = data;

	touch(toucher->ipc, toucher->shmid);
	g_atomic_int_set(toucher->done, 1);
	return NULL;
}

/* However many look, and however often: who has to attach gets their turn. */
static void looking_does_not_keep_an_attach_waiting(void)
{
	enum { LOOKERS = 4 };
	g_autoptr(SegfsIpc) ipc = ipc_make(NULL, false);
	scoped_segment shmid = segment_make(4096, 0600);
	GThread *threads[LOOKERS];
	Looker lookers[LOOKERS];
	int done = 0, touched = 0;
	Looker toucher = {.ipc = ipc, .shmid = shmid, .done = &touched};

	for (int i = 0; i < LOOKERS; i++) {
		lookers[i] = (Looker){.ipc = ipc, .shmid = shmid, .done = &done};
		threads[i] = g_thread_new("looker", look, &lookers[i]);
	}
	GThread *thread = g_thread_new("toucher", touch_once, &toucher);
	for (int i = 0; i < 3000 && !g_atomic_int_get(&touched); i++)
		g_usleep(1000);
	const bool in_time = g_atomic_int_get(&touched);
	g_atomic_int_set(&done, 1);
	for (int i = 0; i < LOOKERS; i++)
		g_thread_join(threads[i]);
	g_thread_join(thread);
	g_assert_true(in_time);
}

int main(int argc, char **argv)
{
	unit_init(&argc, &argv);
#define TEST(path, function) g_test_add_func("/trace/" path, function)
	TEST("never-attached-shows-so", never_attached_shows_as_never_attached);
	TEST("of-a-moment-shows-nothing", a_moments_attach_shows_nothing_after);
	TEST("others-before-us-show", what_others_did_before_us_shows);
	TEST("others-after-us-show", what_others_do_after_us_shows);
	TEST("others-in-between-show", what_others_do_in_between_shows);
	TEST("others-in-the-same-second-show-in-lpid-and-nattch",
	     others_in_the_same_second_show_in_lpid_and_nattch);
	TEST("each-attach-that-lasts-is-taken-off", each_attach_that_lasts_is_taken_off);
	TEST("each-attach-and-detach-is-counted", each_attach_and_detach_is_counted);
	TEST("other-segments-are-not-masked", other_segments_are_not_masked);
	TEST("removed-under-us-goes-with-our-detach",
	     marked_for_removal_under_us_it_goes_with_our_detach);
	TEST("attach/that-fails-leaves-nothing", attach_that_fails_leaves_nothing);
	TEST("attach/that-is-denied-is-eacces", attach_that_is_denied_is_eacces);
	TEST("detach/of-a-gone-id-is-safe", detach_of_memory_whose_id_is_gone_is_safe);
	TEST("of-gone-segments-are-forgotten", traces_of_gone_segments_are_forgotten);
	TEST("memory/by-descriptor-is-masked", memory_by_descriptor_leaves_a_trace_that_is_masked);
	TEST("memory/attached-is-masked", memory_attached_leaves_a_trace_that_is_masked);
	TEST("threads-never-see-one", threads_never_see_a_trace);
	TEST("looking-does-not-keep-an-attach-waiting", looking_does_not_keep_an_attach_waiting);
	return g_test_run();
}
