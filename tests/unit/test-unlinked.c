/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Memory that has no name, opening it through its holders; and what a survey lists. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/memory/ipc.h"
#include "lib/memory/posix.h"
#include "lib/os/autofd.h"
#include "lib/survey/survey.h"
#include "survey_world.h"

enum { SIZE = 5000 };
#define PAGES ((SIZE + PAGE - 1) / PAGE * PAGE) /* that it takes */

static const SegfsCaller stranger = {.uid = UNIT_UID + 1, .gid = UNIT_GID + 1};
static const SegfsCaller user = {.uid = UNIT_UID, .gid = UNIT_GID};

/* The same item in a survey of everything and in one of what has no name. */
static SegfsItem *unlinked_item(Survey *survey, const Hold *hold)
{
	g_autoptr(SegfsItem) all = survey_find(survey, &hold->taken.id);
	SegfsItem *item = survey_find_unlinked(survey, &hold->taken.id);
	g_autofree char *evidence = g_strdup_printf("mapped or open by %d (", hold->pid);

	g_assert_nonnull(all);
	g_assert_nonnull(item);
	g_assert_true(all->unlinked && item->unlinked);
	g_assert_cmpuint(all->size, ==, item->size);
	g_assert_cmpstr(all->name, ==, item->name);
	assert_verdict(item, SEGFS_IN_USE, evidence);
	g_assert_cmpuint(item->ns, ==, 0);
	g_assert_cmpuint(item->uid, ==, geteuid());
	g_assert_cmpuint(item->holders->len, ==, 1);
	return item;
}

static void memory_without_a_name_has_its_size(void)
{
	const struct {
		HoldTake take;
		const char *name;
		uint64_t size, seen_size; /* by a plain user, who sees mappings only */
	} rows[] = {
		{take_memfd, "my memfd", SIZE, SIZE},
		{take_memfd_mapped, "my memfd", SIZE, PAGES},
		{take_anon, NULL, PAGES, PAGES},
		{take_zero, NULL, PAGES, PAGES},
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_auto(Survey) survey = {};
		g_auto(Hold) hold = {};
		survey_start(&survey, 0);
		hold_start(&hold, rows[i].take, "my memfd");
		g_autoptr(SegfsItem) item = unlinked_item(&survey, &hold);
		g_assert_cmpstr(item->name, ==, rows[i].name);
		const bool sees = item->has_resident;
		g_assert_true(sees || geteuid() != 0);
		g_assert_cmpuint(item->size, ==, sees ? rows[i].size : rows[i].seen_size);
		hold_stop(&hold);
		g_assert_null(survey_find_unlinked(&survey, &hold.taken.id));
	}
}

static void a_removed_object_keeps_its_name(void)
{
	static const HoldTake takes[] = {take_file, take_file_mapped};

	for (guint i = 0; i < G_N_ELEMENTS(takes); i++) {
		g_auto(Survey) survey = {};
		g_auto(Hold) hold = {};
		survey_start(&survey, 0);
		g_autofree char *path = object_make(&survey, "directory/x");
		hold_start(&hold, takes[i], path);
		g_assert_null(survey_find_unlinked(&survey, &hold.taken.id));
		g_assert_no_errno(unlink(path));
		g_autoptr(SegfsItem) item = unlinked_item(&survey, &hold);
		g_assert_cmpstr(item->name, ==, "x");
		g_assert_true(item->posix == survey.posix);
		g_assert_cmpuint(item->nlink, ==, 0);
		if (item->has_resident)
			g_assert_cmpuint(item->size, ==, SIZE);
		hold_stop(&hold);
		g_assert_null(survey_find_unlinked(&survey, &hold.taken.id));
	}
}

static void an_object_that_has_another_name_is_not_unlinked(void)
{
	g_auto(Survey) survey = {};
	g_auto(Hold) hold = {};
	survey_start(&survey, 0);
	g_autofree char *path = object_make(&survey, "x");
	g_autofree char *second = object_path(&survey, "y");
	g_autofree char *odd = object_path(&survey, "z (deleted)");
	g_auto(Hold) other = {};

	hold_start(&hold, take_file, path);
	g_assert_no_errno(link(path, second));
	g_assert_no_errno(unlink(path));
	g_assert_null(survey_find_unlinked(&survey, &hold.taken.id));
	hold_start(&other, take_file, odd);
	g_assert_null(survey_find_unlinked(&survey, &other.taken.id));
	g_autoptr(SegfsItem) item = survey_find(&survey, &other.taken.id);
	g_assert_cmpstr(item->name, ==, "z (deleted)");
	g_assert_false(item->unlinked);
}

static void a_removed_segment_that_is_attached_is_unlinked(void)
{
	g_auto(Survey) survey = {};
	g_auto(Hold) other = {};
	survey_start(&survey, 0);
	scoped_segment shmid = segment_make(SIZE, 0600);
	const SegfsId id = id_of_segment(survey.ipc, shmid);

	hold_segment(&other, shmid);
	hold_attach(&other);
	g_assert_null(survey_find_unlinked(&survey, &id));
	g_assert_no_errno(shmctl(shmid, IPC_RMID, NULL));
	g_autoptr(SegfsItem) item = survey_find_unlinked(&survey, &id);
	g_assert_true(item->unlinked);
	g_assert_cmpuint(item->size, ==, SIZE);
	assert_verdict(item, SEGFS_IN_USE, "attached once");
	g_autofree char *path = segfs_item_path(item);
	g_autofree char *expected = g_strdup_printf("unlinked/sysv-%d", shmid);
	g_assert_cmpstr(path, ==, expected);
}

static void threads_without_the_first_hold_it_openly(void)
{
	g_auto(Survey) survey = {};
	g_auto(Hold) hold = {};
	survey_start(&survey, 0);

	hold_start(&hold, take_memfd, "threads");
	hold_step(&hold, take_first_threads_end, NULL);
	g_autoptr(SegfsItem) item = survey_find_unlinked(&survey, &hold.taken.id);
	g_assert_nonnull(item);
	g_assert_cmpuint(item->holders->len, ==, 1);
}

static void memory_of_other_namespaces_is_theirs(void)
{
	if (!unit_need_root())
		return;
	g_auto(Survey) survey = {};
	g_auto(Hold) hold = {};
	g_auto(Hold) foreign = {};
	survey_start(&survey, 0);
	hold_start(&hold, take_memfd, "inherited");
	/* A view of another namespace, in which only that one lives. */
	hold_segment(&foreign, 0);
	hold_leave_namespace(&foreign, SIZE);
	g_autoptr(SegfsNamespace) ns = NULL;
	g_autoptr(SegfsIpc) ipc = NULL;
	g_autofree char *link = g_strdup_printf("/proc/%d/ns/ipc", foreign.pid);
	struct stat st;
	g_assert_no_errno(stat(link, &st));
	g_assert_cmpint(segfs_namespace_new(survey.scanner, st.st_ino, &ns), ==, 0);
	const SegfsIpcOptions ipc_options = {};
	g_assert_cmpint(ipc_new_of(&ipc_options, ns, &ipc), ==, 0);

	const ViewOptions options = {.scanner = survey.scanner, .ipc = ipc};
	g_autoptr(SegfsView) theirs = view_new(&options);
	Survey looks = survey; /* with another view */
	looks.view = theirs;
	g_assert_null(survey_find_unlinked(&looks, &hold.taken.id));
	g_autoptr(SegfsItem) ours = survey_find_unlinked(&survey, &hold.taken.id);
	g_assert_nonnull(ours);
}

/* 0 and the size of what was opened, or the error. */
static int open_as(const SegfsItem *item, const SegfsCaller *caller, int flags, off_t *ret_size)
{
	int opened = -7;
	struct stat st;

	const int r = segfs_item_open_as(item, "/proc", caller, flags, &opened);
	if (r < 0) {
		g_assert_cmpint(opened, ==, -7);
		return r;
	}
	autofd fd = opened;
	g_assert_no_errno(fstat(fd, &st));
	g_assert_cmpuint(st.st_ino, ==, item->id.number);
	g_assert_cmpint(fcntl(fd, F_GETFL) & O_ACCMODE, ==, flags);
	g_assert_cmpint(fcntl(fd, F_GETFD) & FD_CLOEXEC, ==, FD_CLOEXEC);
	*ret_size = st.st_size;
	return 0;
}

static void it_opens_through_its_holder(void)
{
	static const HoldTake takes[] = {take_memfd, take_memfd_mapped, take_anon};

	for (guint i = 0; i < G_N_ELEMENTS(takes); i++) {
		g_auto(Survey) survey = {};
		g_auto(Hold) hold = {};
		g_auto(SegfsCaller) self = {};
		survey_start(&survey, 0);
		segfs_caller_self(&self);
		hold_start(&hold, takes[i], "x");
		g_autoptr(SegfsItem) item = survey_find_unlinked(&survey, &hold.taken.id);
		off_t size = 0;
		const int r = open_as(item, &self, O_RDWR, &size);
		/* What is mapped only is reached through map_files, which takes a capability. */
		if (geteuid() != 0 && i > 0) {
			g_assert_cmpint(r, ==, -EACCES);
			continue;
		}
		g_assert_cmpint(r, ==, 0);
		g_assert_cmpint(size, ==, i == 2 ? PAGES : SIZE);
		g_assert_cmpint(open_as(item, &self, O_RDONLY, &size), ==, 0);
		int path_fd = -1;
		g_assert_cmpint(segfs_item_open_path(item, "/proc", &path_fd), ==, 0);
		g_assert_cmpint(fcntl(path_fd, F_GETFL) & O_PATH, ==, O_PATH);
		close(path_fd);
		/* Nobody has it any more. */
		hold_stop(&hold);
		g_assert_cmpint(open_as(item, &self, O_RDWR, &size), ==, -ENOENT);
		g_assert_cmpint(segfs_item_open_path(item, "/proc", &path_fd), ==, -ENOENT);
	}
}

static void what_has_its_number_by_now_is_not_opened(void)
{
	g_auto(Survey) survey = {};
	g_auto(Hold) hold = {};
	g_auto(SegfsCaller) self = {};
	off_t size;
	survey_start(&survey, 0);
	segfs_caller_self(&self);

	hold_start(&hold, take_memfd, "x");
	g_autoptr(SegfsItem) item = survey_find_unlinked(&survey, &hold.taken.id);
	hold_step(&hold, take_less, NULL);
	const int before = hold.taken.fd;
	hold_step(&hold, take_memfd, "another");
	g_assert_cmpint(hold.taken.fd, ==, before);
	g_assert_cmpint(open_as(item, &self, O_RDWR, &size), ==, -ENOENT);
}

static bool take_as_user(Taken *taken, const void *mode)
{
	const int fd = memfd_create("user's", MFD_CLOEXEC);
	struct stat st;

	if (fd < 0 || ftruncate(fd, SIZE) < 0 || fchmod(fd, *(const mode_t *)mode) < 0 ||
	    fchown(fd, UNIT_UID, UNIT_GID) < 0 || fstat(fd, &st) < 0)
		return false;
	*taken = (Taken){.id = id_of_stat(SEGFS_MEMFD, &st), .fd = fd};
	return setresgid(UNIT_GID, UNIT_GID, UNIT_GID) == 0 &&
	       setresuid(UNIT_UID, UNIT_UID, UNIT_UID) == 0 && prctl(PR_SET_DUMPABLE, 1) == 0;
}

static void the_callers_rights_decide(void)
{
	static const mode_t modes[] = {0600, 0666, 0400, 0};

	if (!unit_need_root())
		return;
	for (guint i = 0; i < G_N_ELEMENTS(modes); i++) {
		g_auto(Survey) survey = {};
		g_auto(Hold) hold = {};
		g_auto(SegfsCaller) root = {};
		off_t size;
		survey_start(&survey, 0);
		segfs_caller_self(&root);
		hold_start(&hold, take_as_user, &modes[i]);
		g_autoptr(SegfsItem) item = survey_find_unlinked(&survey, &hold.taken.id);
		g_assert_cmpuint(item->uid, ==, UNIT_UID);
		g_assert_cmpint(open_as(item, &root, O_RDWR, &size), ==, 0);
		g_assert_cmpint(open_as(item, &user, O_RDONLY, &size), ==,
				modes[i] & 0400 ? 0 : -EACCES);
		g_assert_cmpint(open_as(item, &user, O_RDWR, &size), ==,
				modes[i] & 0200 ? 0 : -EACCES);
		/* Who may not look into the holder may not, whatever the mode says. */
		g_assert_cmpint(open_as(item, &stranger, O_RDONLY, &size), ==, -EACCES);
	}
}

static void all_is_listed_in_order(void)
{
	g_auto(Survey) survey = {};
	g_auto(Hold) hold = {};
	survey_start(&survey, 0);
	scoped_segment first = segment_make(SIZE, 0600);
	scoped_segment second = segment_make(SIZE, 0600);
	static const char *const names[] = {"b", "a/b", "a", "a-", "c/d/e"};
	for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
		if (strcmp(names[i], "a"))
			g_free(object_make(&survey, names[i]));
	}
	g_autofree char *link = object_path(&survey, "link");
	g_assert_no_errno(symlink("b", link));
	hold_start(&hold, take_memfd, "x");
	g_autoptr(GPtrArray) items = NULL;
	g_assert_cmpint(segfs_view_survey(survey.view, segfs_since_now(), &items), ==, 0);

	g_autoptr(GString) objects = g_string_new(NULL);
	guint segments = 0;
	int stage = 0;
	int64_t last = -1;
	for (guint i = 0; i < items->len; i++) {
		const SegfsItem *item = items->pdata[i];
		const int its = item->id.kind == SEGFS_SYSV ? 0 : item->unlinked ? 2 : 1;
		g_assert_cmpint(its, >=, stage);
		stage = its;
		if (its == 0) {
			g_assert_cmpint(item->id.number, >, last);
			last = item->id.number;
			segments += item->sysv.shmid == first || item->sysv.shmid == second;
		} else if (its == 1) {
			g_string_append_printf(objects, "%s ", item->name);
			g_assert_cmpuint(item->size, ==, SIZE);
			g_assert_cmphex(item->mode, ==, 0600);
		}
	}
	g_assert_cmpuint(segments, ==, 2);
	g_assert_cmpstr(objects->str, ==, "a- a/b b c/d/e ");
	g_assert_cmpint(stage, ==, 2);
}

static void what_is_no_file_of_the_directory_is_enoent(void)
{
	static const char *const paths[] = {
		"directory", "link", "link-to-directory/x", "missing", "x/y", "../x", "..", "/x",
		"",          "."};
	g_auto(Survey) survey = {};
	SegfsItem *item = NULL;
	survey_start(&survey, 0);
	g_free(object_make(&survey, "x"));
	g_free(object_make(&survey, "directory/x"));
	g_autofree char *link = object_path(&survey, "link");
	g_autofree char *directory = object_path(&survey, "link-to-directory");
	g_assert_no_errno(symlink("x", link));
	g_assert_no_errno(symlink("directory", directory));

	for (guint i = 0; i < G_N_ELEMENTS(paths); i++)
		g_assert_cmpint(
			segfs_view_object(survey.view, 0, paths[i], segfs_since_now(), &item), ==,
			-ENOENT);
	g_assert_cmpint(segfs_view_object(survey.view, 1, "x", segfs_since_now(), &item), ==,
			-ENOENT);
	g_assert_cmpint(segfs_view_sysv(survey.view, G_MAXINT, segfs_since_now(), &item), ==,
			-ENOENT);
	g_assert_cmpint(segfs_view_file(survey.view, 0, "x", -1, segfs_since_now(), &item), ==,
			-EBADF);
	g_assert_null(item);
}

static void two_directories_are_told_apart(void)
{
	g_auto(Survey) survey = {};
	survey_start(&survey, 0);
	scoped_tree other = tree_make("/dev/shm");
	g_autoptr(SegfsPosix) second = NULL;
	g_assert_cmpint(segfs_posix_new(other, &second), ==, 0);
	view_add_posix(survey.view, second);
	g_free(object_make(&survey, "x"));
	tree_write(other, "y", "");
	g_autoptr(SegfsItem) in_first = survey_object(&survey, "x");
	g_autoptr(SegfsItem) in_second = NULL;
	SegfsItem *none = NULL;
	g_assert_cmpint(segfs_view_object(survey.view, 1, "y", segfs_since_now(), &in_second), ==,
			0);
	g_assert_cmpint(segfs_view_object(survey.view, 0, "y", segfs_since_now(), &none), ==,
			-ENOENT);
	g_assert_cmpint(segfs_view_object(survey.view, 1, "x", segfs_since_now(), &none), ==,
			-ENOENT);
	g_autofree char *path = segfs_item_path(in_second);
	g_autofree char *name = segfs_item_orphan_name(in_second);

	g_assert_cmpuint(in_first->directory, ==, 0);
	g_assert_cmpuint(in_second->directory, ==, 1);
	g_assert_true(in_second->posix == second);
	g_assert_cmpstr(path, ==, "posix.2/y");
	g_assert_cmpstr(name, ==, "posix.2-y");
	g_autoptr(SegfsItem) found = survey_find(&survey, &in_second->id);
	g_assert_cmpuint(found->directory, ==, 1);
	/* It is removed from the directory that it is in. */
	g_auto(SegfsCaller) self = {};
	segfs_caller_self(&self);
	g_assert_cmpint(UNIT_WHILE(-EBUSY, segfs_view_remove_orphan(survey.view, &self, found)), ==,
			0);
	g_assert_true(object_exists(&survey, "x"));
	g_assert_null(survey_find(&survey, &in_second->id));
}

int main(int argc, char **argv)
{
	unit_init(&argc, &argv);
#define TEST(path, function) g_test_add_func("/unlinked/" path, function)
	TEST("nameless-has-its-size", memory_without_a_name_has_its_size);
	TEST("removed-object-keeps-its-name", a_removed_object_keeps_its_name);
	TEST("not-with-another-name", an_object_that_has_another_name_is_not_unlinked);
	TEST("removed-segment", a_removed_segment_that_is_attached_is_unlinked);
	TEST("threads-without-the-first", threads_without_the_first_hold_it_openly);
	TEST("of-other-namespaces", memory_of_other_namespaces_is_theirs);
	TEST("open/through-its-holder", it_opens_through_its_holder);
	TEST("open/number-of-another", what_has_its_number_by_now_is_not_opened);
	TEST("open/rights-of-the-caller", the_callers_rights_decide);
	TEST("list/in-order", all_is_listed_in_order);
	TEST("list/what-is-no-file", what_is_no_file_of_the_directory_is_enoent);
	TEST("list/two-directories", two_directories_are_told_apart);
	return g_test_run();
}
