/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Who may attach a segment, and making, changing and removing one as somebody. */

#include <errno.h>
#include <sys/resource.h>
#include <unistd.h>

#include "unit.h"

#ifndef SHM_LOCKED
#define SHM_LOCKED 02000
#endif

enum {
	UID_OWNER = 41001,
	UID_CREATOR = 41002,
	UID_OTHER = 41003,
	GID_OWNER = 42001,
	GID_CREATOR = 42002,
	GID_OTHER = 42003,
};

static gid_t in_owner_group[] = {GID_OWNER};

static const SegfsCaller callers[] = {
	{.uid = UID_OWNER, .gid = GID_OTHER},
	{.uid = UID_CREATOR, .gid = GID_OTHER},
	{.uid = UID_OTHER, .gid = GID_OWNER},
	{.uid = UID_OTHER, .gid = GID_CREATOR},
	{.uid = UID_OTHER, .gid = GID_OTHER, .n_groups = 1, .groups = in_owner_group},
	{.uid = UID_OTHER, .gid = GID_OTHER},
	{.uid = UID_OTHER, .gid = GID_OTHER, .caps = 1ULL << CAP_IPC_OWNER},
	{.uid = 0, .gid = 0},
	{.uid = 0, .gid = 0, .caps = 1ULL << CAP_IPC_OWNER},
};

static long attach_and_detach(int shmid, int flags)
{
	void *at = shmat(shmid, NULL, flags);

	if (at == (void *)-1)
		return -1;
	shmdt(at);
	return 0;
}

static void segment_give(int shmid, uid_t uid, gid_t gid, mode_t mode)
{
	struct shmid_ds ds = segment_kernel(shmid);

	ds.shm_perm.uid = uid;
	ds.shm_perm.gid = gid;
	ds.shm_perm.mode = mode;
	g_assert_no_errno(shmctl(shmid, IPC_SET, &ds));
}

/* One of 64: reading and writing of owner, group and others in any combination. */
static mode_t nth_mode(int n)
{
	return (n & 3) << 1 | (n >> 2 & 3) << 4 | (n >> 4 & 3) << 7;
}

/* Each question is put to the kernel as well: by an attach in earnest. */
static void compare_with_shmat(bool no_attach, bool with_key)
{
	if (!unit_need_root())
		return;
	static const SegfsCaller creator = {.uid = UID_CREATOR, .gid = GID_CREATOR};
	g_autoptr(SegfsIpc) ipc = ipc_make(NULL, no_attach);
	key_t key = IPC_PRIVATE;
	int allowed = 0, denied = 0;

	g_assert_cmpint(segfs_caller_enter(&creator), ==, 0);
	scoped_segment shmid =
		with_key ? segment_make_key(5000, 0600, &key) : segment_make(5000, 0600);
	segfs_caller_leave();
	for (int n = 0; n < 64; n++) {
		segment_give(shmid, UID_OWNER, GID_OWNER, nth_mode(n));
		const SegfsSysv segment = segment_stat(ipc, shmid);
		for (guint i = 0; i < G_N_ELEMENTS(callers); i++) {
			for (int write = 0; write < 2; write++) {
				const int flags = write ? 0 : SHM_RDONLY;
				const long expected =
					SEGFS_AS(&callers[i], attach_and_detach(shmid, flags));
				const struct shmid_ds before = segment_kernel(shmid);
				const int r =
					segfs_sysv_may_attach(ipc, &callers[i], &segment, write);
				const struct shmid_ds after = segment_kernel(shmid);

				assert_untouched(&before, &after);
				if (no_attach && write && !with_key) {
					/* Ids tell, or nothing does. */
					g_assert_cmpint(r, ==, r == 0 ? expected : -EBUSY);
					allowed += r == 0;
					continue;
				}
				if (r != expected)
					g_test_message("mode %03o caller %u write %d", nth_mode(n),
						       i, write);
				g_assert_cmpint(r, ==, expected);
				allowed += r == 0;
				denied += r == -EACCES;
			}
		}
	}
	g_assert_cmpint(allowed, >, 0);
	g_assert_cmpint(denied, >, 0);
}

static void may_attach_is_what_shmat_says(void)
{
	compare_with_shmat(false, false);
}

static void may_attach_without_attaching_is_what_shmat_says(void)
{
	compare_with_shmat(true, true);
}

static void may_attach_without_attaching_cannot_ask_to_write_a_private_one(void)
{
	compare_with_shmat(true, false);
}

static void may_attach_of_our_own_leaves_no_trace(void)
{
	g_autoptr(SegfsIpc) ipc = ipc_make(NULL, false);
	g_auto(SegfsCaller) self = {};
	scoped_segment shmid = segment_make(4096, 0600);
	const SegfsSysv segment = segment_stat(ipc, shmid);
	const struct shmid_ds before = segment_kernel(shmid);

	segfs_caller_self(&self);
	g_assert_cmpint(segfs_sysv_may_attach(ipc, &self, &segment, false), ==, 0);
	g_assert_cmpint(segfs_sysv_may_attach(ipc, &self, &segment, true), ==, 0);
	const struct shmid_ds after = segment_kernel(shmid);
	assert_untouched(&before, &after);
	g_assert_cmpint(after.shm_lpid, ==, 0);
	g_assert_cmpint(after.shm_atime, ==, 0);
}

static void may_attach_of_our_own_is_denied_by_its_mode(void)
{
	if (!unit_as_user())
		return;
	g_autoptr(SegfsIpc) ipc = ipc_make(NULL, false);
	g_auto(SegfsCaller) self = {};
	scoped_segment none = segment_make(4096, 0);
	scoped_segment readable = segment_make(4096, 0400);
	const SegfsSysv none_stat = segment_stat(ipc, none);
	const SegfsSysv readable_stat = segment_stat(ipc, readable);

	segfs_caller_self(&self);
	g_assert_cmpint(segfs_sysv_may_attach(ipc, &self, &none_stat, false), ==, -EACCES);
	g_assert_cmpint(segfs_sysv_may_attach(ipc, &self, &none_stat, true), ==, -EACCES);
	g_assert_cmpint(segfs_sysv_may_attach(ipc, &self, &readable_stat, false), ==, 0);
	g_assert_cmpint(segfs_sysv_may_attach(ipc, &self, &readable_stat, true), ==, -EACCES);
}

static void may_attach_of_a_gone_one_without_attaching_is_enoent(void)
{
	g_autoptr(SegfsIpc) ipc = ipc_make(NULL, true);
	g_auto(SegfsCaller) self = {};
	key_t key;
	scoped_segment shmid = segment_make_key(4096, 0600, &key);
	const SegfsSysv segment = segment_stat(ipc, shmid);

	segfs_caller_self(&self);
	segment_remove(&shmid);
	shmid = -1;
	g_assert_cmpint(segfs_sysv_may_attach(ipc, &self, &segment, false), ==, -ENOENT);
	g_assert_cmpint(segfs_sysv_may_attach(ipc, &self, &segment, true), ==, -ENOENT);
}

static void may_attach_of_a_gone_one_is_enoent(void)
{
	g_autoptr(SegfsIpc) ipc = ipc_make(NULL, false);
	g_auto(SegfsCaller) self = {};
	scoped_segment shmid = segment_make(4096, 0600);
	const SegfsSysv segment = segment_stat(ipc, shmid);

	segfs_caller_self(&self);
	segment_remove(&shmid);
	shmid = -1;
	const int r = segfs_sysv_may_attach(ipc, &self, &segment, false);
	/* shmat(2) says EINVAL both of a gone id and of the taken address. */
	g_assert_true(r == -ENOENT);
}

static void may_attach_by_key_is_not_of_its_successor(void)
{
	g_autoptr(SegfsIpc) ipc = ipc_make(NULL, true);
	g_auto(SegfsCaller) self = {};
	key_t key;
	scoped_segment first = segment_make_key(4096, 0600, &key);
	const SegfsSysv segment = segment_stat(ipc, first);

	segfs_caller_self(&self);
	segment_remove(&first);
	first = -1;
	scoped_segment second = segment_adopt(shmget(key, 4096, IPC_CREAT | IPC_EXCL | 0600));
	g_assert_cmpint(second, >=, 0);
	g_assert_cmpint(segfs_sysv_may_attach(ipc, &self, &segment, true), ==, -ENOENT);
}

static void may_attach_as_somebody_else_is_eacces_for_a_plain_user(void)
{
	if (!unit_as_user())
		return;
	g_autoptr(SegfsIpc) ipc = ipc_make(NULL, false);
	const SegfsCaller other = {.uid = geteuid() + 1, .gid = getegid()};
	scoped_segment shmid = segment_make(4096, 0666);
	const SegfsSysv segment = segment_stat(ipc, shmid);

	g_assert_cmpint(segfs_sysv_may_attach(ipc, &other, &segment, false), ==, -EACCES);
}

static key_t free_key(void)
{
	key_t key;
	int shmid = segment_make_key(1, 0600, &key);

	segment_remove(&shmid);
	return key;
}

static void create_makes_it_of_size_mode_and_key(void)
{
	g_autoptr(SegfsIpc) ipc = ipc_make(NULL, false);
	g_auto(SegfsCaller) self = {};
	const key_t key = free_key();
	scoped_segment shmid = -1;
	int again = -7;

	segfs_caller_self(&self);
	g_assert_cmpint(segfs_sysv_create(ipc, &self, key, 5001, 010640, &shmid), ==, 0);
	segment_adopt(shmid);
	const SegfsSysv segment = segment_stat(ipc, shmid);
	g_assert_cmpint(segment.key, ==, key);
	g_assert_cmpuint(segment.size, ==, 5001);
	g_assert_cmphex(segment.mode, ==, 0640);
	g_assert_cmpuint(segment.uid, ==, geteuid());
	g_assert_cmpuint(segment.gid, ==, getegid());
	g_assert_cmpint(segfs_sysv_create(ipc, &self, key, 5001, 0600, &again), ==, -EEXIST);
	g_assert_cmpint(segfs_sysv_create(ipc, &self, key, 4096, 0600, &again), ==, -EEXIST);
	g_assert_cmpint(again, ==, -7);
}

static void create_of_no_size_or_too_much_is_einval(void)
{
	g_autoptr(SegfsIpc) ipc = ipc_make(NULL, false);
	g_auto(SegfsCaller) self = {};
	const key_t key = free_key();
	int shmid = -7;

	segfs_caller_self(&self);
	g_assert_cmpint(segfs_sysv_create(ipc, &self, key, 0, 0600, &shmid), ==, -EINVAL);
	g_assert_cmpint(segfs_sysv_create(ipc, &self, key, G_MAXUINT64, 0600, &shmid), ==, -EINVAL);
	g_assert_cmpint(shmid, ==, -7);
	g_assert_cmpint(segfs_sysv_by_key(ipc, key, &shmid), ==, -ENOENT);
}

static void create_is_the_callers(void)
{
	if (!unit_need_root())
		return;
	g_autoptr(SegfsIpc) ipc = ipc_make(NULL, false);
	const SegfsCaller caller = {.uid = UNIT_UID, .gid = UNIT_GID, .umask = 0777};
	scoped_segment shmid = -1;

	g_assert_cmpint(segfs_sysv_create(ipc, &caller, free_key(), 1, 0666, &shmid), ==, 0);
	segment_adopt(shmid);
	const SegfsSysv segment = segment_stat(ipc, shmid);
	g_assert_cmpuint(segment.uid, ==, UNIT_UID);
	g_assert_cmpuint(segment.gid, ==, UNIT_GID);
	g_assert_cmpuint(segment.cuid, ==, UNIT_UID);
	g_assert_cmpuint(segment.cgid, ==, UNIT_GID);
	g_assert_cmphex(segment.mode, ==, 0666);
}

static void changes_of_a_gone_one_are_enoent(void)
{
	g_autoptr(SegfsIpc) ipc = ipc_make(NULL, false);
	g_auto(SegfsCaller) self = {};
	scoped_segment shmid = segment_make(4096, 0600);
	const int gone = shmid;

	segfs_caller_self(&self);
	g_assert_cmpint(segfs_sysv_remove(ipc, &self, shmid), ==, 0);
	g_assert_cmpint(shmctl(gone, IPC_RMID, NULL), ==, -1);
	g_assert_cmpint(segfs_sysv_remove(ipc, &self, gone), ==, -ENOENT);
	g_assert_cmpint(segfs_sysv_set(ipc, &self, gone, -1, -1, 0644), ==, -ENOENT);
	g_assert_cmpint(segfs_sysv_lock(ipc, &self, gone, true), ==, -ENOENT);
	g_assert_cmpint(segfs_sysv_lock(ipc, &self, gone, false), ==, -ENOENT);
	g_assert_cmpint(segfs_sysv_remove(ipc, &self, -1), ==, -ENOENT);
}

static void set_leaves_what_is_not_given(void)
{
	g_autoptr(SegfsIpc) ipc = ipc_make(NULL, false);
	g_auto(SegfsCaller) self = {};
	scoped_segment shmid = segment_make(4096, 0640);

	segfs_caller_self(&self);
	g_assert_cmpint(segfs_sysv_set(ipc, &self, shmid, -1, -1, 0100604), ==, 0);
	SegfsSysv segment = segment_stat(ipc, shmid);
	g_assert_cmphex(segment.mode, ==, 0604);
	g_assert_cmpuint(segment.uid, ==, geteuid());
	g_assert_cmpuint(segment.gid, ==, getegid());
	g_assert_cmpint(segfs_sysv_set(ipc, &self, shmid, -1, 41234, -1), ==, 0);
	segment = segment_stat(ipc, shmid);
	g_assert_cmphex(segment.mode, ==, 0604);
	g_assert_cmpuint(segment.uid, ==, geteuid());
	g_assert_cmpuint(segment.gid, ==, 41234);
	/* The creator stays who may change it. */
	g_assert_cmpint(segfs_sysv_set(ipc, &self, shmid, 41235, -1, -1), ==, 0);
	segment = segment_stat(ipc, shmid);
	g_assert_cmpuint(segment.uid, ==, 41235);
	g_assert_cmpuint(segment.gid, ==, 41234);
	g_assert_cmpuint(segment.cuid, ==, geteuid());
}

static void changes_are_the_owners_alone(void)
{
	if (!unit_need_root())
		return;
	g_autoptr(SegfsIpc) ipc = ipc_make(NULL, false);
	const SegfsCaller owner = {.uid = UNIT_UID, .gid = UNIT_GID};
	const SegfsCaller other = {.uid = UNIT_UID + 1, .gid = UNIT_GID};
	const SegfsCaller bare_root = {};
	const SegfsCaller *denied[] = {&other, &bare_root};
	scoped_segment shmid = -1;

	g_assert_cmpint(segfs_sysv_create(ipc, &owner, free_key(), 4096, 0666, &shmid), ==, 0);
	segment_adopt(shmid);
	const SegfsSysv before = segment_stat(ipc, shmid);
	for (guint i = 0; i < G_N_ELEMENTS(denied); i++) {
		g_assert_cmpint(segfs_sysv_remove(ipc, denied[i], shmid), ==, -EPERM);
		g_assert_cmpint(segfs_sysv_set(ipc, denied[i], shmid, -1, -1, 0), ==, -EPERM);
		g_assert_cmpint(segfs_sysv_set(ipc, denied[i], shmid, 0, 0, -1), ==, -EPERM);
		g_assert_cmpint(segfs_sysv_lock(ipc, denied[i], shmid, true), ==, -EPERM);
		g_assert_cmpint(segfs_sysv_lock(ipc, denied[i], shmid, false), ==, -EPERM);
	}
	const SegfsSysv after = segment_stat(ipc, shmid);
	g_assert_cmphex(after.mode, ==, before.mode);
	g_assert_cmpuint(after.uid, ==, before.uid);
	g_assert_false(after.locked);
	g_assert_false(after.dest);
	g_assert_cmpint(segfs_sysv_set(ipc, &owner, shmid, -1, -1, 0), ==, 0);
	g_assert_cmpint(segfs_sysv_remove(ipc, &owner, shmid), ==, 0);
}

static void change_with_no_rights_to_read_is_the_owners(void)
{
	if (!unit_as_user())
		return;
	g_autoptr(SegfsIpc) ipc = ipc_make(NULL, false);
	g_auto(SegfsCaller) self = {};
	scoped_segment shmid = segment_make(4096, 0);

	segfs_caller_self(&self);
	g_assert_cmpint(segfs_sysv_set(ipc, &self, shmid, -1, -1, 0600), ==, 0);
	g_assert_cmphex(segment_kernel(shmid).shm_perm.mode & 0777, ==, 0600);
	g_assert_cmpint(segfs_sysv_set(ipc, &self, shmid, -1, -1, 0), ==, 0);
	g_assert_cmpint(segfs_sysv_remove(ipc, &self, shmid), ==, 0);
}

static void lock_and_unlock_show_in_the_mode(void)
{
	g_autoptr(SegfsIpc) ipc = ipc_make(NULL, false);
	g_auto(SegfsCaller) self = {};
	scoped_segment shmid = segment_make(4096, 0600);

	segfs_caller_self(&self);
	const int r = segfs_sysv_lock(ipc, &self, shmid, true);
	if (r == -EPERM || r == -ENOMEM) {
		g_test_skip("RLIMIT_MEMLOCK");
		return;
	}
	g_assert_cmpint(r, ==, 0);
	g_assert_true(segment_stat(ipc, shmid).locked);
	g_assert_cmphex(segment_stat(ipc, shmid).mode, ==, 0600);
	g_assert_true(segment_kernel(shmid).shm_perm.mode & SHM_LOCKED);
	g_assert_cmpint(segfs_sysv_lock(ipc, &self, shmid, false), ==, 0);
	g_assert_false(segment_stat(ipc, shmid).locked);
}

static void lock_past_the_limit_is_refused(void)
{
	if (!unit_as_user())
		return;
	g_autoptr(SegfsIpc) ipc = ipc_make(NULL, false);
	g_auto(SegfsCaller) self = {};
	scoped_segment shmid = segment_make(1024 * 1024, 0600);
	struct rlimit before, limit;

	g_assert_no_errno(getrlimit(RLIMIT_MEMLOCK, &before));
	segfs_caller_self(&self);
	limit = (struct rlimit){0, before.rlim_max};
	g_assert_no_errno(setrlimit(RLIMIT_MEMLOCK, &limit));
	g_assert_cmpint(segfs_sysv_lock(ipc, &self, shmid, true), ==, -EPERM);
	limit.rlim_cur = 4096;
	if (before.rlim_max >= limit.rlim_cur) {
		g_assert_no_errno(setrlimit(RLIMIT_MEMLOCK, &limit));
		g_assert_cmpint(segfs_sysv_lock(ipc, &self, shmid, true), ==, -ENOMEM);
	}
	g_assert_no_errno(setrlimit(RLIMIT_MEMLOCK, &before));
	g_assert_false(segment_stat(ipc, shmid).locked);
}

static void a_plain_user_changes_nothing_for_others(void)
{
	if (!unit_as_user())
		return;
	g_autoptr(SegfsIpc) ipc = ipc_make(NULL, false);
	const SegfsCaller root = {};
	scoped_segment shmid = segment_make(4096, 0600);
	int made = -7;

	g_assert_cmpint(segfs_sysv_create(ipc, &root, free_key(), 1, 0600, &made), ==, -EACCES);
	g_assert_cmpint(made, ==, -7);
	g_assert_cmpint(segfs_sysv_set(ipc, &root, shmid, -1, -1, 0666), ==, -EACCES);
	g_assert_cmpint(segfs_sysv_lock(ipc, &root, shmid, true), <, 0);
	g_assert_cmpint(segfs_sysv_remove(ipc, &root, shmid), ==, -EACCES);
	g_assert_cmphex(segment_stat(ipc, shmid).mode, ==, 0600);
}

int main(int argc, char **argv)
{
	unit_init(&argc, &argv);
#define TEST(path, function) g_test_add_func("/rights/" path, function)
	TEST("attach/is-what-shmat-says", may_attach_is_what_shmat_says);
	TEST("attach/by-other-calls-is-what-shmat-says",
	     may_attach_without_attaching_is_what_shmat_says);
	TEST("attach/by-other-calls-cannot-ask-of-a-private-one",
	     may_attach_without_attaching_cannot_ask_to_write_a_private_one);
	TEST("attach/leaves-no-trace", may_attach_of_our_own_leaves_no_trace);
	TEST("attach/is-denied-by-the-mode", may_attach_of_our_own_is_denied_by_its_mode);
	TEST("attach/of-a-gone-one-is-enoent", may_attach_of_a_gone_one_is_enoent);
	TEST("attach/of-a-gone-one-by-other-calls-is-enoent",
	     may_attach_of_a_gone_one_without_attaching_is_enoent);
	TEST("attach/by-key-is-not-of-its-successor", may_attach_by_key_is_not_of_its_successor);
	TEST("attach/as-somebody-else-is-eacces",
	     may_attach_as_somebody_else_is_eacces_for_a_plain_user);
	TEST("create/of-size-mode-and-key", create_makes_it_of_size_mode_and_key);
	TEST("create/of-no-size-or-too-much-is-einval", create_of_no_size_or_too_much_is_einval);
	TEST("create/is-the-callers", create_is_the_callers);
	TEST("change/of-a-gone-one-is-enoent", changes_of_a_gone_one_are_enoent);
	TEST("change/set-leaves-what-is-not-given", set_leaves_what_is_not_given);
	TEST("change/is-the-owners-alone", changes_are_the_owners_alone);
	TEST("change/needs-no-right-to-read", change_with_no_rights_to_read_is_the_owners);
	TEST("change/lock-and-unlock-show", lock_and_unlock_show_in_the_mode);
	TEST("change/lock-past-the-limit-is-refused", lock_past_the_limit_is_refused);
	TEST("change/plain-user-changes-nothing-for-others",
	     a_plain_user_changes_nothing_for_others);
	return g_test_run();
}
