/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <glib/gstdio.h>
#include <grp.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/os/autofd.h"
#include "unit.h"

/* What the calling thread is now, asked of the kernel without the C library's doings. */
typedef struct {
	uid_t uid[3];
	gid_t gid[3];
	int n_groups;
	gid_t groups[64];
	uint64_t effective, permitted;
	mode_t umask;
} Rights;

static Rights rights_now(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {};
	Rights now = {};

	g_assert_no_errno(syscall(SYS_capget, &header, data));
	now.effective = (uint64_t)data[1].effective << 32 | data[0].effective;
	now.permitted = (uint64_t)data[1].permitted << 32 | data[0].permitted;
	g_assert_no_errno(syscall(SYS_getresuid, &now.uid[0], &now.uid[1], &now.uid[2]));
	g_assert_no_errno(syscall(SYS_getresgid, &now.gid[0], &now.gid[1], &now.gid[2]));
	now.n_groups = syscall(SYS_getgroups, G_N_ELEMENTS(now.groups), now.groups);
	g_assert_no_errno(now.n_groups);
	/* umask(2) tells it only by setting another, which threads that share it would see. */
	g_autofree char *status = NULL;
	g_assert_true(g_file_get_contents("/proc/thread-self/status", &status, NULL, NULL));
	const char *mask = strstr(status, "\nUmask:");
	g_assert_nonnull(mask);
	now.umask = strtoul(mask + strlen("\nUmask:"), NULL, 8);
	return now;
}

static void assert_same_rights(const Rights *a, const Rights *b)
{
	g_assert_cmpmem(a->uid, sizeof(a->uid), b->uid, sizeof(b->uid));
	g_assert_cmpmem(a->gid, sizeof(a->gid), b->gid, sizeof(b->gid));
	g_assert_cmpmem(a->groups, a->n_groups * sizeof(gid_t), b->groups,
			b->n_groups * sizeof(gid_t));
	g_assert_cmphex(a->effective, ==, b->effective);
	g_assert_cmphex(a->permitted, ==, b->permitted);
	g_assert_cmphex(a->umask, ==, b->umask);
}

static void read_of_ourselves_is_self(void)
{
	const Rights now = rights_now();
	g_auto(SegfsCaller) self = {}, seen = {};

	segfs_caller_self(&self);
	segfs_caller_read(&seen, "/proc", getpid(), geteuid(), getegid(), self.umask);
	g_assert_cmpuint(self.uid, ==, now.uid[1]);
	g_assert_cmpuint(self.gid, ==, now.gid[1]);
	g_assert_cmpint(self.pid, ==, getpid());
	g_assert_cmphex(self.caps, ==, now.effective);
	assert_groups(&self, now.n_groups, now.groups);
	g_assert_cmpint(seen.pid, ==, self.pid);
	g_assert_cmphex(seen.caps, ==, self.caps);
	assert_groups(&seen, self.n_groups, self.groups);
}

static gpointer read_thread(gpointer data)
{
	segfs_caller_read(data, "/proc", syscall(SYS_gettid), geteuid(), getegid(), 0);
	return NULL;
}

static void read_of_a_thread_names_its_process(void)
{
	g_auto(SegfsCaller) caller = {};

	g_thread_join(g_thread_new("read", read_thread, &caller));
	g_assert_cmpint(caller.pid, ==, getpid());
}

static void clear_can_be_repeated(void)
{
	g_auto(SegfsCaller) caller = {.n_groups = 1, .groups = g_new0(gid_t, 1)};

	segfs_caller_clear(&caller);
	g_assert_null(caller.groups);
	g_assert_cmpuint(caller.n_groups, ==, 0);
	segfs_caller_clear(&caller);
}

static void enter_as_ourselves_changes_the_umask_alone(void)
{
	const Rights before = rights_now();
	g_auto(SegfsCaller) self = {};

	segfs_caller_self(&self);
	self.umask = 0135;
	g_assert_cmpint(segfs_caller_enter(&self), ==, 0);
	const Rights inside = rights_now();
	segfs_caller_leave();
	const Rights after = rights_now();

	g_assert_cmphex(inside.umask, ==, 0135);
	Rights expected = before;
	expected.umask = 0135;
	assert_same_rights(&inside, &expected);
	assert_same_rights(&after, &before);
}

static void leave_keeps_errno(void)
{
	g_auto(SegfsCaller) self = {};

	segfs_caller_self(&self);
	g_assert_cmpint(segfs_caller_enter(&self), ==, 0);
	errno = ENOTTY;
	segfs_caller_leave();
	g_assert_cmpint(errno, ==, ENOTTY);
}

static void as_gives_the_value_or_the_error(void)
{
	g_auto(SegfsCaller) self = {};

	segfs_caller_self(&self);
	g_assert_cmpint(SEGFS_AS(&self, getpid()), ==, getpid());
	g_assert_cmpint(SEGFS_AS(&self, close(-1)), ==, -EBADF);
}

static void a_plain_user_serves_only_itself(void)
{
	if (!unit_as_user())
		return;
	const Rights before = rights_now();
	const SegfsCaller root = {.umask = 0};
	const SegfsCaller other = {.uid = geteuid() + 1, .gid = getegid()};

	g_assert_cmpint(segfs_caller_enter(&root), ==, -EACCES);
	g_assert_cmpint(segfs_caller_enter(&other), ==, -EACCES);
	g_assert_cmpint(SEGFS_AS(&other, getpid()), ==, -EACCES);
	const Rights after = rights_now();
	assert_same_rights(&after, &before);
}

/* Inside: its user, groups, capabilities and umask, while real and saved ids stay ours. */
static void assert_is(const SegfsCaller *caller, const Rights *inside, const Rights *outside)
{
	const uid_t uid[3] = {outside->uid[0], caller->uid, outside->uid[2]};
	const gid_t gid[3] = {outside->gid[0], caller->gid, outside->gid[2]};

	g_assert_cmpmem(inside->uid, sizeof(uid), uid, sizeof(uid));
	g_assert_cmpmem(inside->gid, sizeof(gid), gid, sizeof(gid));
	/* The kernel sorts them; so do the tests. */
	g_assert_cmpmem(inside->groups, inside->n_groups * sizeof(gid_t), caller->groups,
			caller->n_groups * sizeof(gid_t));
	g_assert_cmphex(inside->effective, ==, caller->caps & outside->permitted);
	g_assert_cmphex(inside->permitted, ==, outside->permitted);
	g_assert_cmphex(inside->umask, ==, caller->umask);
}

static void enter_becomes_the_caller_and_leave_goes_back(void)
{
	if (!unit_need_root())
		return;
	gid_t groups[] = {30001, 30002, 30003};
	const SegfsCaller callers[] = {
		{.uid = UNIT_UID, .gid = UNIT_GID, .umask = 0},
		{.uid = UNIT_UID, .gid = UNIT_GID, .umask = 077, .n_groups = 3, .groups = groups},
		{.uid = UNIT_UID, .gid = UNIT_GID, .caps = CAP(IPC_OWNER)},
		{.uid = UNIT_UID, .gid = UNIT_GID, .caps = ~0ULL},
		{.uid = 0, .gid = 0, .caps = 0},
		{.uid = 0, .gid = UNIT_GID, .caps = CAP(IPC_LOCK) | CAP(CHECKPOINT_RESTORE)},
		{.uid = (uid_t)-2, .gid = (gid_t)-2, .umask = 0777},
	};
	const Rights before = rights_now();

	for (guint i = 0; i < G_N_ELEMENTS(callers); i++) {
		g_assert_cmpint(segfs_caller_enter(&callers[i]), ==, 0);
		const Rights inside = rights_now();
		segfs_caller_leave();
		const Rights after = rights_now();
		assert_is(&callers[i], &inside, &before);
		assert_same_rights(&after, &before);
	}
}

/* setresuid(2) takes -1 as "leave it as it is": the thread would act as root. */
static void enter_as_nobody_known_is_refused(void)
{
	if (!unit_need_root())
		return;
	const SegfsCaller no_user = {.uid = (uid_t)-1, .gid = UNIT_GID};
	const SegfsCaller no_group = {.uid = UNIT_UID, .gid = (gid_t)-1};
	const Rights before = rights_now();
	int r[2];

	r[0] = segfs_caller_enter(&no_user);
	if (r[0] == 0)
		segfs_caller_leave();
	r[1] = segfs_caller_enter(&no_group);
	if (r[1] == 0)
		segfs_caller_leave();
	const Rights after = rights_now();
	assert_same_rights(&after, &before);
	g_assert_true(r[0] < 0 && r[1] < 0);
}

static void enter_that_fails_changes_nothing(void)
{
	if (!unit_need_root())
		return;
	enum { TOO_MANY = 65536 + 1 };
	g_autofree gid_t *groups = g_new0(gid_t, TOO_MANY);
	const SegfsCaller caller = {.uid = UNIT_UID,
				    .gid = UNIT_GID,
				    .umask = 0777,
				    .n_groups = TOO_MANY,
				    .groups = groups};
	const Rights before = rights_now();

	g_assert_cmpint(segfs_caller_enter(&caller), ==, -EINVAL);
	const Rights after = rights_now();
	assert_same_rights(&after, &before);
}

/* Only the first 1000 users and groups exist: the kernel has no others to change to. */
static void enter_user_namespace(void)
{
	const pid_t self = getpid();
	int ready[2], status;

	g_assert_no_errno(pipe2(ready, O_CLOEXEC));
	const pid_t pid = fork();
	g_assert_no_errno(pid);
	if (pid == 0) {
		static const char *const names[] = {"uid_map", "gid_map"};
		char byte;
		close(ready[1]);
		if (read(ready[0], &byte, 1) != 1)
			_exit(1);
		for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
			g_autofree char *path = g_strdup_printf("/proc/%d/%s", self, names[i]);
			autofd fd = open(path, O_WRONLY | O_CLOEXEC);
			if (fd < 0 || write(fd, "0 0 1000", 8) != 8)
				_exit(1);
		}
		_exit(0);
	}
	g_assert_no_errno(unshare(CLONE_NEWUSER));
	g_assert_cmpint(write(ready[1], "x", 1), ==, 1);
	g_assert_no_errno(waitpid(pid, &status, 0));
	g_assert_cmpint(status, ==, 0);
	close(ready[0]);
	close(ready[1]);
}

static void enter_that_fails_half_way_goes_back(void)
{
	if (!unit_as_new_process())
		return;
	enter_user_namespace();
	gid_t group = 7;
	const SegfsCaller no_group = {
		.uid = 5, .gid = 70000, .umask = 0777, .n_groups = 1, .groups = &group};
	const SegfsCaller no_user = {
		.uid = 70000, .gid = 5, .umask = 0777, .n_groups = 1, .groups = &group};
	const Rights before = rights_now();

	g_assert_cmpuint(before.uid[1], ==, 0);
	g_assert_cmpint(segfs_caller_enter(&no_group), ==, -EINVAL);
	const Rights between = rights_now();
	g_assert_cmpint(segfs_caller_enter(&no_user), ==, -EINVAL);
	const Rights after = rights_now();
	assert_same_rights(&between, &before);
	assert_same_rights(&after, &before);
}

static void leave_restores_supplementary_groups_of_our_own(void)
{
	static const gid_t ours[] = {40001, 40002};

	if (!unit_as_new_process())
		return;
	g_assert_no_errno(setgroups(G_N_ELEMENTS(ours), ours));
	gid_t theirs[] = {30001};
	const SegfsCaller caller = {
		.uid = UNIT_UID, .gid = UNIT_GID, .n_groups = 1, .groups = theirs};
	g_auto(SegfsCaller) self = {};

	segfs_caller_self(&self);
	assert_groups(&self, 2, ours);
	g_assert_cmpint(segfs_caller_enter(&caller), ==, 0);
	const Rights inside = rights_now();
	segfs_caller_leave();
	const Rights after = rights_now();
	g_assert_cmpmem(inside.groups, inside.n_groups * sizeof(gid_t), theirs, sizeof(theirs));
	g_assert_cmpmem(after.groups, after.n_groups * sizeof(gid_t), ours, sizeof(ours));
}

static long asked_as(const SegfsCaller *caller, int shmid)
{
	struct shmid_ds ds;

	return SEGFS_AS(caller, shmctl(shmid, IPC_STAT, &ds));
}

static void the_kernel_judges_by_the_callers_user_groups_and_caps(void)
{
	if (!unit_need_root())
		return;
	gid_t group = 30001;
	const SegfsCaller plain = {.uid = UNIT_UID, .gid = UNIT_GID};
	const SegfsCaller member = {
		.uid = UNIT_UID, .gid = UNIT_GID, .n_groups = 1, .groups = &group};
	const SegfsCaller capable = {.uid = UNIT_UID, .gid = UNIT_GID, .caps = CAP(IPC_OWNER)};
	const SegfsCaller bare_root = {};
	scoped_segment ours = segment_make(4096, 0600);
	scoped_segment theirs = segment_make(4096, 0600);
	scoped_segment groups = segment_make(4096, 0040);
	struct shmid_ds ds = segment_kernel(theirs);

	ds.shm_perm.uid = UNIT_UID;
	g_assert_no_errno(shmctl(theirs, IPC_SET, &ds));
	ds = segment_kernel(groups);
	ds.shm_perm.gid = group;
	g_assert_no_errno(shmctl(groups, IPC_SET, &ds));

	g_assert_cmpint(asked_as(&plain, ours), ==, -EACCES);
	g_assert_cmpint(asked_as(&plain, theirs), ==, 0);
	g_assert_cmpint(asked_as(&plain, groups), ==, -EACCES);
	g_assert_cmpint(asked_as(&member, groups), ==, 0);
	g_assert_cmpint(asked_as(&member, ours), ==, -EACCES);
	g_assert_cmpint(asked_as(&capable, ours), ==, 0);
	/* A root without capabilities owns what is root's (it made all three), no more. */
	g_assert_cmpint(asked_as(&bare_root, ours), ==, 0);
	g_assert_cmpint(asked_as(&bare_root, groups), ==, -EACCES);
}

static void files_are_made_as_the_caller_with_its_umask(void)
{
	if (!unit_need_root())
		return;
	scoped_tree tree = tree_make(NULL);
	g_autofree char *path = g_build_filename(tree, "made", NULL);
	const SegfsCaller caller = {.uid = UNIT_UID, .gid = UNIT_GID, .umask = 027};
	struct stat st;

	g_assert_cmpint(SEGFS_AS(&caller, mknod(path, S_IFREG | 0666, 0)), ==, -EACCES);
	g_assert_no_errno(chmod(tree, 0777));
	g_assert_cmpint(SEGFS_AS(&caller, mknod(path, S_IFREG | 0666, 0)), ==, 0);
	g_assert_no_errno(stat(path, &st));
	g_assert_cmpuint(st.st_uid, ==, UNIT_UID);
	g_assert_cmpuint(st.st_gid, ==, UNIT_GID);
	g_assert_cmphex(st.st_mode, ==, S_IFREG | 0640);
}

enum { N_THREADS = 8, N_ROUNDS = 200 };

typedef struct {
	int number;
	const char *directory;
	int *inside; /* how many threads act as somebody at this moment */
	int most;
} Actor;

/* Checks itself and the objects that it makes: no thread may be taken for another. */
static gpointer act(gpointer data)
{
	Actor *actor = data;
	gid_t groups[2] = {31000 + actor->number, 32000 + actor->number};
	const SegfsCaller caller = {
		.uid = 20000 + actor->number,
		.gid = 30000 + actor->number,
		.umask = actor->number,
		.caps = actor->number % 2 ? CAP(IPC_OWNER) : 0,
		.n_groups = 2,
		.groups = groups,
	};
	g_autofree char *name = g_strdup_printf("%d", actor->number);
	g_autofree char *path = g_build_filename(actor->directory, name, NULL);
	const Rights before = rights_now();

	for (int i = 0; i < N_ROUNDS; i++) {
		struct shmid_ds ds = {};
		struct stat st = {};
		g_assert_cmpint(segfs_caller_enter(&caller), ==, 0);
		const int with_us = g_atomic_int_add(actor->inside, 1) + 1;
		actor->most = MAX(actor->most, with_us);
		scoped_segment shmid = segment_make(4096, 0600);
		const int fd = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0777);
		const int error = errno;
		g_thread_yield();
		const Rights inside = rights_now();
		g_atomic_int_add(actor->inside, -1);
		segfs_caller_leave();
		const Rights after = rights_now();

		assert_is(&caller, &inside, &before);
		assert_same_rights(&after, &before);
		ds = segment_kernel(shmid);
		g_assert_cmpuint(ds.shm_perm.cuid, ==, caller.uid);
		g_assert_cmpuint(ds.shm_perm.cgid, ==, caller.gid);
		errno = error;
		g_assert_no_errno(fd);
		g_assert_no_errno(fstat(fd, &st));
		close(fd);
		g_assert_no_errno(g_unlink(path));
		g_assert_cmpuint(st.st_uid, ==, caller.uid);
		g_assert_cmpuint(st.st_gid, ==, caller.gid);
		g_assert_cmphex(st.st_mode & 0777, ==, 0777 & ~caller.umask);
	}
	return NULL;
}

static void threads_act_as_different_users_at_once(void)
{
	if (!unit_need_root())
		return;
	scoped_tree tree = tree_make(NULL);
	GThread *threads[N_THREADS];
	Actor actors[N_THREADS];
	int inside = 0, most = 0;
	const Rights before = rights_now();

	g_assert_no_errno(chmod(tree, 0777));
	for (int i = 0; i < N_THREADS; i++) {
		actors[i] = (Actor){.number = i, .directory = tree, .inside = &inside};
		threads[i] = g_thread_new("actor", act, &actors[i]);
	}
	/* Meanwhile this thread is who it was. */
	for (int i = 0; i < N_ROUNDS; i++) {
		const Rights now = rights_now();
		assert_same_rights(&now, &before);
		g_thread_yield();
	}
	for (int i = 0; i < N_THREADS; i++) {
		g_thread_join(threads[i]);
		most = MAX(most, actors[i].most);
	}
	const Rights after = rights_now();
	assert_same_rights(&after, &before);
	g_test_message("up to %d threads inside at once", most);
	g_assert_cmpint(most, >, 1);
}

int main(int argc, char **argv)
{
	unit_init(&argc, &argv);
#define TEST(path, function) g_test_add_func("/caller/" path, function)
	TEST("read/of-ourselves-is-self", read_of_ourselves_is_self);
	TEST("read/of-a-thread-names-its-process", read_of_a_thread_names_its_process);
	TEST("clear/can-be-repeated", clear_can_be_repeated);
	TEST("enter/as-ourselves-changes-the-umask-alone",
	     enter_as_ourselves_changes_the_umask_alone);
	TEST("enter/plain-user-serves-only-itself", a_plain_user_serves_only_itself);
	TEST("enter/becomes-the-caller-and-leave-goes-back",
	     enter_becomes_the_caller_and_leave_goes_back);
	TEST("enter/as-nobody-known-is-refused", enter_as_nobody_known_is_refused);
	TEST("enter/that-fails-changes-nothing", enter_that_fails_changes_nothing);
	TEST("enter/that-fails-half-way-goes-back", enter_that_fails_half_way_goes_back);
	TEST("enter/rights-are-the-callers", the_kernel_judges_by_the_callers_user_groups_and_caps);
	TEST("enter/files-are-the-callers", files_are_made_as_the_caller_with_its_umask);
	TEST("enter/threads-as-different-users-at-once", threads_act_as_different_users_at_once);
	TEST("leave/keeps-errno", leave_keeps_errno);
	TEST("leave/restores-groups-of-our-own", leave_restores_supplementary_groups_of_our_own);
	TEST("as/gives-the-value-or-the-error", as_gives_the_value_or_the_error);
	return g_test_run();
}
