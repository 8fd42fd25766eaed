/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* segfs_view_remove_orphan(): what it removes, and above all what it does not. */

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/memory/ipc.h"
#include "lib/memory/posix.h"
#include "lib/os/autofd.h"
#include "lib/survey/survey.h"
#include "survey_world.h"

static const SegfsCaller stranger = {.uid = UNIT_UID + 1, .gid = UNIT_GID + 1};
static const SegfsCaller user = {.uid = UNIT_UID, .gid = UNIT_GID};

static int remove_as(Survey *survey, const SegfsCaller *caller, const SegfsItem *item)
{
	return segfs_view_remove_orphan(survey->view, caller, item);
}

static int remove_it(Survey *survey, const SegfsItem *item)
{
	g_auto(SegfsCaller) self = {};

	segfs_caller_self(&self);
	return remove_as(survey, &self, item);
}

static int look_and_remove(Survey *survey, int shmid)
{
	g_autoptr(SegfsItem) item = survey_sysv(survey, shmid);

	return remove_it(survey, item);
}

/* Of one of each kind that is orphaned; NULL where it cannot be said here. */
static SegfsItem *orphan_segment(Survey *survey, int *ret_shmid)
{
	if (!survey_need_certain(survey))
		return NULL;
	*ret_shmid = orphan_make();
	SegfsItem *item = survey_sysv(survey, *ret_shmid);
	assert_verdict(item, SEGFS_ORPHANED, "has ended");
	return item;
}

static SegfsItem *orphan_object(Survey *survey, const char *name)
{
	g_autofree G_GNUC_UNUSED char *path = object_make(survey, name);
	SegfsItem *item = survey_object(survey, name);

	assert_verdict(item, SEGFS_ORPHANED, "nobody holds it");
	return item;
}

static bool segment_exists(int shmid)
{
	struct shmid_ds ds;

	return shmctl(shmid, IPC_STAT, &ds) == 0;
}

static void an_orphaned_segment_is_removed(void)
{
	g_auto(Survey) survey = {};
	scoped_segment shmid = -1;
	survey_start(&survey, 0);
	g_autoptr(SegfsItem) item = orphan_segment(&survey, &shmid);
	if (!item)
		return;
	g_assert_cmpint(UNIT_WHILE(-EBUSY, remove_it(&survey, item)), ==, 0);
	g_assert_false(segment_exists(shmid));
	g_assert_cmpint(remove_it(&survey, item), ==, -ENOENT);
}

static void an_orphaned_object_is_removed(void)
{
	static const char *const names[] = {"x", "directory/below/x", "line\nbreak", "-", "%~"};

	for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
		g_auto(Survey) survey = {};
		survey_start(&survey, 0);
		g_autoptr(SegfsItem) item = orphan_object(&survey, names[i]);
		g_assert_cmpint(UNIT_WHILE(-EBUSY, remove_it(&survey, item)), ==, 0);
		g_assert_false(object_exists(&survey, names[i]));
		g_assert_cmpint(remove_it(&survey, item), ==, -ENOENT);
	}
}

static void one_name_of_two_is_removed(void)
{
	g_auto(Survey) survey = {};
	survey_start(&survey, 0);
	g_autofree char *path = object_make(&survey, "x");
	g_autofree char *second = object_path(&survey, "y");
	g_assert_no_errno(link(path, second));
	g_autoptr(SegfsItem) item = survey_object(&survey, "x");

	g_assert_cmpuint(item->nlink, ==, 2);
	g_assert_cmpint(UNIT_WHILE(-EBUSY, remove_it(&survey, item)), ==, 0);
	g_assert_false(object_exists(&survey, "x"));
	g_assert_true(object_exists(&survey, "y"));
}

static void what_is_no_orphan_is_busy(void)
{
	g_auto(Survey) survey = {};
	survey_start(&survey, 100000);
	scoped_segment shmid = orphan_make();
	g_autofree G_GNUC_UNUSED char *path = object_make(&survey, "x");
	g_autoptr(SegfsItem) segment = survey_sysv(&survey, shmid);
	g_autoptr(SegfsItem) object = survey_object(&survey, "x");

	g_assert_cmpint(remove_it(&survey, segment), ==, -EBUSY);
	g_assert_cmpint(remove_it(&survey, object), ==, -EBUSY);
	g_assert_true(segment_exists(shmid));
	g_assert_true(object_exists(&survey, "x"));
}

static void a_segment_that_is_held_since_is_busy(void)
{
	g_auto(Survey) survey = {};
	scoped_segment shmid = -1;
	g_auto(Hold) other = {};
	survey_start(&survey, 0);
	g_autoptr(SegfsItem) item = orphan_segment(&survey, &shmid);
	if (!item)
		return;
	hold_segment(&other, shmid);
	hold_attach(&other);
	g_assert_cmpint(remove_it(&survey, item), ==, -EBUSY);
	/* Used, and left again. */
	unit_next_second();
	hold_detach(&other);
	hold_stop(&other);
	g_assert_cmpint(remove_it(&survey, item), ==, -EBUSY);
	g_assert_true(segment_exists(shmid));
	/* Looked at again it is an orphan as it is now. */
	g_assert_cmpint(UNIT_WHILE(-EBUSY, look_and_remove(&survey, shmid)), ==, 0);
}

static void a_segment_that_was_changed_since_is_busy(void)
{
	g_auto(Survey) survey = {};
	scoped_segment shmid = -1;
	survey_start(&survey, 0);
	g_autoptr(SegfsItem) item = orphan_segment(&survey, &shmid);
	if (!item)
		return;
	unit_next_second();
	struct shmid_ds ds = segment_kernel(shmid);
	ds.shm_perm.mode = 0640;
	g_assert_no_errno(shmctl(shmid, IPC_SET, &ds));
	g_assert_cmpint(remove_it(&survey, item), ==, -EBUSY);
	g_assert_true(segment_exists(shmid));
}

static void an_object_that_is_held_since_is_busy(void)
{
	static const HoldTake takes[] = {take_file, take_file_mapped};

	for (guint i = 0; i < G_N_ELEMENTS(takes); i++) {
		g_auto(Survey) survey = {};
		g_auto(Hold) hold = {};
		survey_start(&survey, 0);
		g_autoptr(SegfsItem) item = orphan_object(&survey, "x");
		g_autofree char *path = object_path(&survey, "x");
		hold_start(&hold, takes[i], path);
		g_assert_cmpint(remove_it(&survey, item), ==, -EBUSY);
		g_assert_true(object_exists(&survey, "x"));
	}
}

static void an_object_that_was_used_since_is_busy(void)
{
	for (guint i = 0; i < 3; i++) {
		g_auto(Survey) survey = {};
		survey_start(&survey, 0);
		g_autoptr(SegfsItem) item = orphan_object(&survey, "x");
		g_autofree char *path = object_path(&survey, "x");
		g_autofree char *second = object_path(&survey, "y");
		unit_next_second();
		if (i == 0)
			g_assert_no_errno(truncate(path, 100));
		else if (i == 1)
			g_assert_no_errno(chmod(path, 0640));
		else
			g_assert_no_errno(link(path, second));
		g_assert_cmpint(remove_it(&survey, item), ==, -EBUSY);
		g_assert_true(object_exists(&survey, "x"));
	}
}

/* Where the second is still the same. */
static void an_object_that_was_used_at_once_is_busy(void)
{
	g_auto(Survey) survey = {};
	survey_start(&survey, 0);
	g_autoptr(SegfsItem) item = orphan_object(&survey, "x");
	g_autofree char *path = object_path(&survey, "x");
	const struct timespec slow[2] = {{.tv_nsec = UTIME_OMIT},
					 {item->mtime.tv_sec, item->mtime.tv_nsec + 1}};

	g_assert_no_errno(utimensat(AT_FDCWD, path, slow, 0));
	g_assert_cmpint(remove_it(&survey, item), ==, -EBUSY);
	g_assert_true(object_exists(&survey, "x"));
}

static void a_segment_that_was_replaced_is_gone(void)
{
	if (!unit_need_root())
		return;
	g_auto(Survey) survey = {};
	scoped_segment shmid = -1;
	survey_start(&survey, 0);
	g_autoptr(SegfsItem) item = orphan_segment(&survey, &shmid);
	if (!item)
		return;
	if (!segment_replace(&shmid, 6000, 0600)) {
		g_test_skip("ids cannot be chosen here");
		return;
	}
	g_assert_cmpint(remove_it(&survey, item), ==, -ENOENT);
	g_assert_true(segment_exists(shmid));
}

static void an_object_that_was_replaced_is_gone(void)
{
	/* By an orphan, by one that is held, by what is no file. */
	for (guint i = 0; i < 5; i++) {
		g_auto(Survey) survey = {};
		g_auto(Hold) hold = {};
		survey_start(&survey, 0);
		g_autoptr(SegfsItem) item = orphan_object(&survey, "x");
		g_autofree char *path = object_path(&survey, "x");
		g_autofree char *aside = object_path(&survey, "aside");
		g_assert_no_errno(rename(path, aside));
		if (i == 0)
			g_free(object_make(&survey, "x"));
		else if (i == 1)
			hold_start(&hold, take_file, path);
		else if (i == 2)
			g_assert_no_errno(mkdir(path, 0755));
		else if (i == 3)
			g_assert_no_errno(symlink("aside", path));
		const int r = remove_it(&survey, item);
		if (r != -ENOENT)
			g_test_message("row %u", i);
		g_assert_cmpint(r, ==, -ENOENT);
		g_assert_true(object_exists(&survey, "aside"));
		g_assert_cmpint(object_exists(&survey, "x"), ==, i < 4);
	}
}

static void a_directory_that_became_a_link_is_not_followed(void)
{
	g_auto(Survey) survey = {};
	survey_start(&survey, 0);
	g_autoptr(SegfsItem) item = orphan_object(&survey, "directory/x");
	g_autofree char *directory = object_path(&survey, "directory");
	g_autofree char *moved = object_path(&survey, "moved");

	g_assert_no_errno(rename(directory, moved));
	g_assert_no_errno(symlink("moved", directory));
	g_assert_cmpint(remove_it(&survey, item), <, 0);
	g_assert_true(object_exists(&survey, "moved/x"));
}

static void the_callers_rights_decide(void)
{
	if (!unit_need_root())
		return;
	g_auto(Survey) survey = {};
	scoped_segment shmid = -1;
	survey_start(&survey, 0);
	g_autoptr(SegfsItem) segment = orphan_segment(&survey, &shmid);
	g_autoptr(SegfsItem) object = orphan_object(&survey, "x");
	if (!segment)
		return;

	g_assert_cmpint(remove_as(&survey, &stranger, segment), ==, -EPERM);
	g_assert_cmpint(remove_as(&survey, &stranger, object), ==, -EACCES);
	/* As /dev/shm is: everybody may write to it, and remove what is theirs. */
	g_assert_no_errno(chmod(survey.shm, 01777));
	g_assert_cmpint(remove_as(&survey, &stranger, object), ==, -EPERM);
	g_assert_true(segment_exists(shmid));
	g_assert_true(object_exists(&survey, "x"));
	g_assert_cmpint(UNIT_WHILE(-EBUSY, remove_it(&survey, segment)), ==, 0);
	g_assert_cmpint(UNIT_WHILE(-EBUSY, remove_it(&survey, object)), ==, 0);
}

static void the_owner_may_remove_what_is_theirs(void)
{
	if (!unit_need_root())
		return;
	g_auto(Survey) survey = {};
	survey_start(&survey, 0);
	g_assert_no_errno(chmod(survey.shm, 01777));
	g_autofree char *path = object_make(&survey, "x");
	g_assert_no_errno(chown(path, UNIT_UID, UNIT_GID));
	scoped_segment shmid = orphan_make();
	struct shmid_ds ds = segment_kernel(shmid);
	ds.shm_perm.uid = UNIT_UID;
	g_assert_no_errno(shmctl(shmid, IPC_SET, &ds));
	g_autoptr(SegfsItem) object = survey_object(&survey, "x");
	g_autoptr(SegfsItem) segment = survey_sysv(&survey, shmid);

	g_assert_cmpint(UNIT_WHILE(-EBUSY, remove_as(&survey, &user, object)), ==, 0);
	g_assert_cmpint(UNIT_WHILE(-EBUSY, remove_as(&survey, &user, segment)), ==, 0);
}

static bool take_namespaces(Taken *taken, const void *path)
{
	if (unshare(CLONE_NEWIPC | CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("unit", "/dev/shm", "tmpfs", 0, "mode=1777,size=1m") < 0)
		return false;
	autofd fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	const int shmid = shmget(IPC_PRIVATE, 5000, IPC_CREAT | 0600);
	struct shmid_ds ds;
	struct stat st;
	if (fd < 0 || fchown(fd, UNIT_UID, UNIT_GID) < 0 || fstat(fd, &st) < 0 ||
	    shmctl(shmid, IPC_STAT, &ds) < 0)
		return false;
	ds.shm_perm.uid = UNIT_UID;
	*taken = (Taken){.id = id_of_stat(SEGFS_POSIX, &st), .fd = shmid};
	return shmctl(shmid, IPC_SET, &ds) == 0;
}

/* Its directory is reached through one of root's processes, which the owner may not look into. */
static void the_owner_may_remove_what_is_in_another_namespace(void)
{
	if (!unit_need_root())
		return;
	g_auto(Hold) hold = {};
	g_autoptr(SegfsScanner) scanner = segfs_scanner_new(NULL);
	g_autoptr(SegfsNamespace) ns = NULL;
	g_autoptr(SegfsIpc) ipc = NULL;
	g_autoptr(SegfsPosix) posix = NULL;
	g_autofree char *link = NULL;
	struct stat st;

	hold_start(&hold, take_namespaces, "/dev/shm/x");
	link = g_strdup_printf("/proc/%d/ns/ipc", hold.pid);
	g_assert_no_errno(stat(link, &st));
	g_assert_cmpint(segfs_namespace_new(scanner, st.st_ino, &ns), ==, 0);
	const SegfsIpcOptions ipc_options = {};
	g_assert_cmpint(ipc_new_of(&ipc_options, ns, &ipc), ==, 0);
	g_assert_cmpint(posix_new_of(ns, hold.taken.id.domain, &posix), ==, 0);
	const ViewOptions options = {.scanner = scanner, .ipc = ipc};
	g_autoptr(SegfsView) view = view_new(&options);
	view_add_posix(view, posix);
	g_autoptr(SegfsItem) object = NULL;
	g_assert_cmpint(segfs_view_object(view, 0, "x", segfs_since_now(), &object), ==, 0);
	g_assert_cmpuint(object->ns, ==, st.st_ino);
	g_assert_true(segfs_id_equal(&object->id, &hold.taken.id));
	assert_verdict(object, SEGFS_ORPHANED, "nobody holds it");
	g_assert_cmpint(segfs_view_remove_orphan(view, &stranger, object), ==, -EPERM);
	g_assert_cmpint(UNIT_WHILE(-EBUSY, segfs_view_remove_orphan(view, &user, object)), ==, 0);
	/* Its creator lives. */
	g_autoptr(SegfsItem) segment = NULL;
	g_assert_cmpint(segfs_view_sysv(view, hold.taken.fd, segfs_since_now(), &segment), ==, 0);
	assert_verdict(segment, SEGFS_IDLE, "its creator lives");
	g_assert_cmpint(segfs_view_remove_orphan(view, &user, segment), ==, -EBUSY);
}

int main(int argc, char **argv)
{
	unit_init(&argc, &argv);
#define TEST(path, function) g_test_add_func("/orphans/" path, function)
	TEST("removed/segment", an_orphaned_segment_is_removed);
	TEST("removed/object", an_orphaned_object_is_removed);
	TEST("removed/one-name-of-two", one_name_of_two_is_removed);
	TEST("busy/no-orphan", what_is_no_orphan_is_busy);
	TEST("busy/segment-held-since", a_segment_that_is_held_since_is_busy);
	TEST("busy/segment-changed-since", a_segment_that_was_changed_since_is_busy);
	TEST("busy/object-held-since", an_object_that_is_held_since_is_busy);
	TEST("busy/object-used-since", an_object_that_was_used_since_is_busy);
	TEST("busy/object-used-at-once", an_object_that_was_used_at_once_is_busy);
	TEST("gone/segment-replaced", a_segment_that_was_replaced_is_gone);
	TEST("gone/object-replaced", an_object_that_was_replaced_is_gone);
	TEST("gone/directory-became-a-link", a_directory_that_became_a_link_is_not_followed);
	TEST("rights/of-the-caller", the_callers_rights_decide);
	TEST("rights/of-the-owner", the_owner_may_remove_what_is_theirs);
	TEST("rights/in-another-namespace", the_owner_may_remove_what_is_in_another_namespace);
	return g_test_run();
}
