/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Verdicts on real segments and objects. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/os/autofd.h"
#include "lib/process/lease.h"
#include "survey_world.h"

enum { LONG = 100000 }; /* seconds */

static void assert_sysv(Survey *survey, int shmid, SegfsVerdict verdict, const char *evidence)
{
	g_autoptr(SegfsItem) item = survey_sysv(survey, shmid);

	assert_verdict(item, verdict, evidence);
}

static void assert_object(Survey *survey, const char *path, SegfsVerdict verdict,
			  const char *evidence)
{
	g_autoptr(SegfsItem) item = survey_object(survey, path);

	assert_verdict(item, verdict, evidence);
}

static void a_segment_that_is_attached_is_in_use(void)
{
	g_auto(Survey) survey = {};
	survey_start(&survey, 0);
	scoped_segment shmid = orphan_make();
	g_auto(Hold) other = {};

	hold_segment(&other, shmid);
	hold_attach(&other);
	g_autofree char *once = g_strdup_printf("attached once by %d (unit-survey)", other.pid);
	assert_sysv(&survey, shmid, SEGFS_IN_USE, once);
	g_autoptr(SegfsItem) item = survey_sysv(&survey, shmid);
	g_assert_cmpuint(item->holders->len, ==, 1);
	g_assert_cmpuint(item->n_not_found, ==, 0);
	hold_detach(&other);
}

/* Scans leave us out: that we hold it the kernel's count tells. */
static void attaches_of_who_is_not_found_count(void)
{
	g_auto(Survey) survey = {};
	survey_start(&survey, 0);
	scoped_segment shmid = orphan_make();
	void *at = shmat(shmid, NULL, 0);

	g_assert_true(at != (void *)-1);
	assert_sysv(&survey, shmid, SEGFS_IN_USE,
		    "attached once; 1 of the attaches is by processes that were not found");
	g_assert_no_errno(shmdt(at));
}

static void a_segment_is_idle_while_its_creator_lives(void)
{
	g_auto(Survey) survey = {};
	survey_start(&survey, 0);
	scoped_segment shmid = segment_make(5000, 0600);
	g_autofree char *evidence =
		g_strdup_printf("; its creator lives: %d (unit-survey)", getpid());
	if (!survey_need_certain(&survey))
		return;
	assert_sysv(&survey, shmid, SEGFS_IDLE, evidence);
	g_autoptr(SegfsItem) item = survey_sysv(&survey, shmid);
	g_assert_true(item->creator_lives);
	g_assert_cmpstr(item->creator, ==, "unit-survey");
	g_assert_cmpuint(item->holders->len, ==, 0);
}

static void a_segment_is_idle_while_its_last_user_lives(void)
{
	g_auto(Survey) survey = {};
	survey_start(&survey, 0);
	scoped_segment shmid = orphan_make();
	g_auto(Hold) other = {};

	hold_segment(&other, shmid);
	hold_attach(&other);
	hold_detach(&other);
	g_autofree char *evidence =
		g_strdup_printf("; its last user lives: %d (unit-survey)", other.pid);
	assert_sysv(&survey, shmid, SEGFS_IDLE, evidence);
	if (!survey_need_certain(&survey))
		return;
	hold_stop(&other);
	assert_sysv(&survey, shmid, SEGFS_ORPHANED, "have ended");
}

static void an_orphan_says_why(void)
{
	g_auto(Survey) survey = {};
	survey_start(&survey, 0);
	if (!survey_need_certain(&survey))
		return;
	scoped_segment shmid = orphan_make();
	const SegfsSysv before = segment_stat(survey.ipc, shmid);
	g_autofree char *evidence = g_strdup_printf(" s; its creator %d has ended", before.cpid);

	assert_sysv(&survey, shmid, SEGFS_ORPHANED, "; unused for ");
	assert_sysv(&survey, shmid, SEGFS_ORPHANED, evidence);
	/* Nothing was attached to find out. */
	const SegfsSysv after = segment_stat(survey.ipc, shmid);
	g_assert_cmpmem(&before, sizeof(before), &after, sizeof(after));
}

static void what_was_used_lately_is_no_orphan(void)
{
	g_auto(Survey) survey = {};
	survey_start(&survey, LONG);
	scoped_segment shmid = orphan_make();
	g_autofree char *path = object_make(&survey, "x");

	assert_sysv(&survey, shmid, SEGFS_IDLE, " s ago, less than orphan_age (100000 s)");
	assert_object(&survey, "x", SEGFS_IDLE, " s ago, less than orphan_age (100000 s)");
	/* Not even its name may be new: nobody can give a file another time of change. */
	const struct timespec old[] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
	g_assert_no_errno(utimensat(AT_FDCWD, path, old, 0));
	assert_object(&survey, "x", SEGFS_IDLE, "less than orphan_age");
}

/* Was that said of a segment and of x before they were two seconds old? A busy machine may be late.
 */
static bool are_idle_in_time(Survey *survey, int shmid)
{
	g_autoptr(SegfsItem) segment = survey_sysv(survey, shmid);
	g_autoptr(SegfsItem) object = survey_object(survey, "x");

	if (time(NULL) - segment_kernel(shmid).shm_ctime >= 2)
		return false;
	assert_verdict(segment, SEGFS_IDLE, "less than orphan_age (2 s)");
	assert_verdict(object, SEGFS_IDLE, "less than orphan_age (2 s)");
	return true;
}

static void the_age_is_counted_from_the_last_use(void)
{
	g_auto(Survey) survey = {};
	survey_start(&survey, 2);
	if (!survey_need_certain(&survey))
		return;
	for (bool in_time = false; !in_time;) {
		scoped_segment shmid = orphan_make();
		g_autofree char *path = object_make(&survey, "x");

		in_time = are_idle_in_time(&survey, shmid);
		for (guint i = 0; in_time && i < 3; i++)
			unit_next_second();
		if (in_time) {
			assert_sysv(&survey, shmid, SEGFS_ORPHANED, "unused for ");
			assert_object(&survey, "x", SEGFS_ORPHANED, "unused for ");
		}
		g_assert_no_errno(unlink(path));
	}
}

/* Times of a file that are yet to come are what somebody has set. */
static void a_time_to_come_keeps_nothing_alive(void)
{
	g_auto(Survey) survey = {};
	survey_start(&survey, 0);
	g_autofree char *path = object_make(&survey, "x");
	const struct timespec future[] = {{.tv_sec = time(NULL) + LONG},
					  {.tv_sec = time(NULL) + LONG}};

	g_assert_no_errno(utimensat(AT_FDCWD, path, future, 0));
	assert_object(&survey, "x", SEGFS_ORPHANED, "nobody holds it; unused for ");
}

static void creators_are_remembered_after_their_death(void)
{
	g_auto(Survey) survey = {};
	g_auto(Hold) creator = {};
	survey_start(&survey, 0);
	if (!survey_need_certain(&survey))
		return;

	hold_start(&creator, take_segment, NULL);
	scoped_segment shmid = segment_adopt(creator.taken.id.number);
	assert_sysv(&survey, shmid, SEGFS_IN_USE, "attached once");
	const pid_t pid = creator.pid;
	hold_stop(&creator);
	g_autofree char *evidence = g_strdup_printf("its creator %d (unit-survey) has ended", pid);
	assert_sysv(&survey, shmid, SEGFS_ORPHANED, evidence);
	g_autoptr(SegfsItem) item = survey_sysv(&survey, shmid);
	g_assert_cmpstr(item->creator, ==, "unit-survey");
	g_assert_false(item->creator_lives);
	/* What nobody has seen alive nobody can tell. */
	scoped_segment other = orphan_make();
	g_autoptr(SegfsItem) unknown = survey_sysv(&survey, other);
	g_assert_cmpstr(unknown->creator, ==, "");
}

static void directories_that_are_too_deep_are_counted(void)
{
	g_auto(Survey) survey = {};
	g_autoptr(GPtrArray) items = NULL, more = NULL;
	survey_start(&survey, 0);
	g_autoptr(GString) path = g_string_new(survey.shm);

	for (guint i = 0; i < 64; i++) {
		g_string_append(path, "/d");
		g_assert_no_errno(mkdir(path->str, 0700));
	}
	g_assert_cmpint(segfs_view_survey(survey.view, segfs_since_now(), &items), ==, 0);
	g_assert_cmpuint(segfs_view_unread(survey.view), ==, 0);
	g_string_append(path, "/d");
	g_assert_no_errno(mkdir(path->str, 0700));
	g_assert_cmpint(segfs_view_survey(survey.view, segfs_since_now(), &more), ==, 0);
	g_assert_cmpuint(segfs_view_unread(survey.view), ==, 1);
}

/* Who asks a mount from a pid namespace that it does not see has no number. */
static void a_maker_that_cannot_be_seen_has_not_ended(void)
{
	g_auto(Survey) survey = {};
	g_auto(SegfsCaller) caller = {};
	int shmid;
	survey_start(&survey, 0);
	if (!survey_need_certain(&survey))
		return;
	segfs_caller_self(&caller);
	caller.pid = 0;
	g_assert_cmpint(
		segfs_sysv_create(survey.ipc, &caller, g_random_int() | 1, 5000, 0600, &shmid), ==,
		0);
	scoped_segment made = segment_adopt(shmid);
	assert_sysv(&survey, made, SEGFS_UNKNOWN, "made it for somebody who is not known here");
	g_autoptr(SegfsItem) item = survey_sysv(&survey, made);
	g_assert_true(item->creator_unknown);
	g_assert_false(item->creator_lives);
}

static SegfsOpened is_open(int shmid, gpointer data)
{
	return shmid == *(int *)data ? SEGFS_IS_OPEN : SEGFS_NEVER_OPENED;
}

static void what_the_mount_has_open_is_in_use(void)
{
	g_auto(Survey) survey = {};
	survey_start(&survey, 0);
	scoped_segment shmid = orphan_make();

	survey.options.opened = is_open;
	survey.options.data = &shmid;
	survey_renew(&survey);
	assert_sysv(&survey, shmid, SEGFS_IN_USE, "open through this mount");
}

static void an_object_that_is_held_is_in_use(void)
{
	static const HoldTake takes[] = {take_file, take_file_mapped};

	for (guint i = 0; i < G_N_ELEMENTS(takes); i++) {
		g_auto(Survey) survey = {};
		g_auto(Hold) hold = {};
		survey_start(&survey, 0);
		g_autofree char *path = object_make(&survey, "x");
		hold_start(&hold, takes[i], path);
		g_autofree char *evidence =
			g_strdup_printf("mapped or open by %d (unit-survey)", hold.pid);
		assert_object(&survey, "x", SEGFS_IN_USE, evidence);
	}
}

static void who_held_an_object_is_remembered_while_alive(void)
{
	g_auto(Survey) survey = {};
	g_auto(Hold) hold = {};
	survey_start(&survey, 0);
	g_autofree char *path = object_make(&survey, "x");

	hold_start(&hold, take_file, path);
	assert_object(&survey, "x", SEGFS_IN_USE, "mapped or open by");
	hold_step(&hold, take_less, NULL);
	g_autofree char *evidence = g_strdup_printf(
		"nobody holds it; a process that has held it lives: %d (unit-survey)", hold.pid);
	assert_object(&survey, "x", SEGFS_IDLE, evidence);
	hold_stop(&hold);
	assert_object(&survey, "x", SEGFS_ORPHANED, "nobody holds it");
}

static void a_process_lives_while_one_of_its_threads_does(void)
{
	g_auto(Survey) survey = {};
	g_auto(Hold) hold = {};
	survey_start(&survey, 0);
	g_autofree char *path = object_make(&survey, "x");

	hold_start(&hold, take_file, path);
	hold_step(&hold, take_first_threads_end, NULL);
	assert_object(&survey, "x", SEGFS_IN_USE, "mapped or open by");
	hold_step(&hold, take_less, NULL);
	assert_object(&survey, "x", SEGFS_IDLE, "a process that has held it lives");
}

static void who_held_one_object_did_not_hold_another(void)
{
	g_auto(Survey) survey = {};
	g_auto(Hold) hold = {};
	survey_start(&survey, 0);
	g_autofree char *path = object_make(&survey, "x");
	g_autofree G_GNUC_UNUSED char *other = object_make(&survey, "y");

	hold_start(&hold, take_file, path);
	assert_object(&survey, "x", SEGFS_IN_USE, "mapped or open by");
	assert_object(&survey, "y", SEGFS_ORPHANED, "nobody holds it");
	/* A new view has not seen anything. */
	hold_step(&hold, take_less, NULL);
	survey_renew(&survey);
	assert_object(&survey, "x", SEGFS_ORPHANED, "nobody holds it");
}

/* A descriptor in a socket is nobody's in /proc; the kernel grants no lease. */
static void a_descriptor_in_flight_holds(void)
{
	g_auto(Survey) survey = {};
	survey_start(&survey, 0);
	g_autofree char *path = object_make(&survey, "x");
	int sockets[2];
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr header;
	} control = {};
	char byte = 'x';
	struct iovec data = {&byte, 1};
	const struct msghdr message = {.msg_iov = &data,
				       .msg_iovlen = 1,
				       .msg_control = control.bytes,
				       .msg_controllen = sizeof(control.bytes)};

	g_assert_no_errno(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets));
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	control.header = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)),
					  .cmsg_level = SOL_SOCKET,
					  .cmsg_type = SCM_RIGHTS};
	memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	g_assert_no_errno(sendmsg(sockets[0], &message, 0));
	close(fd);
	assert_object(&survey, "x", SEGFS_IN_USE,
		      "mapped or open, but by no process that could be found");
	close(sockets[0]);
	close(sockets[1]);
	assert_object(&survey, "x", SEGFS_ORPHANED, "nobody holds it");
}

static void a_lease_is_granted_to_the_only_one(void)
{
	g_auto(Survey) survey = {};
	survey_start(&survey, 0);
	g_autofree char *path = object_make(&survey, "x");
	autofd by_path = open(path, O_PATH | O_CLOEXEC);

	g_assert_cmpint(segfs_object_is_free(by_path), ==, 0);
	autofd first = open(path, O_RDONLY | O_CLOEXEC);
	g_assert_cmpint(lease_take(first), ==, 0);
	close(first);
	first = open(path, O_RDONLY | O_CLOEXEC);
	autofd G_GNUC_UNUSED second = open(path, O_RDONLY | O_CLOEXEC);
	g_assert_cmpint(lease_take(first), ==, -EBUSY);
	g_assert_cmpint(segfs_object_is_free(by_path), ==, -EBUSY);
	g_assert_cmpint(lease_take(-1), ==, -EBADF);
	g_assert_cmpint(lease_take(by_path), ==, -EBADF);
	g_assert_cmpint(segfs_object_is_free(-1), ==, -EBADF);
}

static void what_may_not_be_asked_is_unknown(void)
{
	if (!unit_as_user())
		return;
	g_auto(Survey) survey = {};
	survey_start(&survey, 0);
	g_autofree char *path = object_make(&survey, "x");

	/* Ours, but not to be opened: others' processes may have it open since before. */
	g_assert_no_errno(chmod(path, 0));
	assert_object(&survey, "x", SEGFS_UNKNOWN, " could not be examined");
}

typedef struct {
	Survey *survey;
	guint wrong;
} Surveyor;

static gpointer survey_often(gpointer data)
{
	Surveyor *surveyor = data;

	for (guint i = 0; i < 200; i++) {
		SegfsItem *item = NULL;
		g_assert_cmpint(segfs_view_object(surveyor->survey->view, 0, "x",
						  segfs_since_recent(), &item),
				==, 0);
		surveyor->wrong += item->verdict != SEGFS_ORPHANED;
		segfs_item_free(item);
	}
	return NULL;
}

static void those_who_look_together_are_no_holders(void)
{
	GThread *threads[4];
	g_auto(Survey) survey = {};
	survey_start(&survey, 0);
	g_autofree G_GNUC_UNUSED char *path = object_make(&survey, "x");
	Surveyor surveyors[G_N_ELEMENTS(threads)] = {};
	guint wrong = 0;

	for (guint i = 0; i < G_N_ELEMENTS(threads); i++) {
		surveyors[i].survey = &survey;
		threads[i] = g_thread_new("survey", survey_often, &surveyors[i]);
	}
	for (guint i = 0; i < G_N_ELEMENTS(threads); i++) {
		g_thread_join(threads[i]);
		wrong += surveyors[i].wrong;
	}
	g_assert_cmpuint(wrong, ==, 0);
}

int main(int argc, char **argv)
{
	unit_init(&argc, &argv);
#define TEST(path, function) g_test_add_func("/survey/" path, function)
	TEST("segment/attached", a_segment_that_is_attached_is_in_use);
	TEST("segment/attached-by-one-not-found", attaches_of_who_is_not_found_count);
	TEST("segment/creator-lives", a_segment_is_idle_while_its_creator_lives);
	TEST("segment/last-user-lives", a_segment_is_idle_while_its_last_user_lives);
	TEST("segment/orphaned", an_orphan_says_why);
	TEST("segment/creators-are-remembered", creators_are_remembered_after_their_death);
	TEST("object/too-deep", directories_that_are_too_deep_are_counted);
	TEST("segment/creator-not-seen", a_maker_that_cannot_be_seen_has_not_ended);
	TEST("segment/open-through-the-mount", what_the_mount_has_open_is_in_use);
	TEST("age/used-lately", what_was_used_lately_is_no_orphan);
	TEST("age/from-the-last-use", the_age_is_counted_from_the_last_use);
	TEST("age/a-time-to-come", a_time_to_come_keeps_nothing_alive);
	TEST("object/held", an_object_that_is_held_is_in_use);
	TEST("object/holders-are-remembered", who_held_an_object_is_remembered_while_alive);
	TEST("object/while-a-thread-lives", a_process_lives_while_one_of_its_threads_does);
	TEST("object/not-another", who_held_one_object_did_not_hold_another);
	TEST("lease/in-flight", a_descriptor_in_flight_holds);
	TEST("lease/to-the-only-one", a_lease_is_granted_to_the_only_one);
	TEST("lease/not-to-be-asked", what_may_not_be_asked_is_unknown);
	TEST("lease/those-who-look-together", those_who_look_together_are_no_holders);
	return g_test_run();
}
