/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What follows from who is known to have used a semaphore set or queue; without the kernel's word.
 */

#include <segfs/report.h>
#include <string.h>
#include <unistd.h>

#include "lib/history/uses.h"
#include "lib/resource/resource.h"
#include "unit.h"

enum { NS = 77, ID = 5, MADE = 1000, NOW = 5000, AGE = 60, NS_ID = 9 };

static const SegfsResource set = {.kind = SEGFS_SEM, .id = ID, .ctime = MADE, .sems = 1};

static struct calls_kin nobody;

static void tell_of(Uses *uses, __u32 verb, pid_t pid, pid_t ancestor)
{
	const struct calls_event event = {
		.verb = verb,
		.pid = pid,
		.start = (uint64_t)pid * 10 * ENDS_TICK,
		.made = 1,
		.segment = {.shmid = ID, .ns = NS, .ns_id = NS_ID},
	};
	const struct calls_kin kin = {
		.ancestors = {{.pid = ancestor, .start = (uint64_t)ancestor * 10 * ENDS_TICK}},
	};

	uses_take(uses, &event, &kin, MADE * G_USEC_PER_SEC);
}

static void tell_at(Uses *uses, __u32 verb, pid_t pid, uint64_t made, int64_t at, uint64_t lost)
{
	struct calls_event event = {
		.verb = verb,
		.pid = pid,
		.start = (uint64_t)pid * 10 * ENDS_TICK,
		.made = made,
		.lost = lost,
		.segment = {.shmid = ID, .ns = NS, .ns_id = NS_ID},
		.command = "server",
	};

	uses_take(uses, &event, &nobody, at * G_USEC_PER_SEC);
}

static void tell(Uses *uses, __u32 verb, pid_t pid)
{
	tell_at(uses, verb, pid, 1, MADE, 0);
}

static void end(Uses *uses, pid_t pid, bool is_alone)
{
	uses_end(uses, pid, pid * 10, (int64_t)(MADE + pid) * G_USEC_PER_SEC, is_alone);
}

static bool find(Uses *uses, const SegfsResource *resource, uint64_t lost, UsesPast *ret_past)
{
	return uses_find(uses, NS, NS_ID, resource, lost, ret_past);
}

static const UsesPerson *person(const UsesPast *past, guint i)
{
	g_assert_cmpuint(past->persons->len, >, i);
	return &g_array_index(past->persons, UsesPerson, i);
}

static void all_who_use_it_are_known_until_they_end(void)
{
	g_autoptr(Uses) uses = uses_new();
	g_auto(UsesPast) both = {}, one = {}, none = {};

	tell(uses, CALLS_SEM_CREATE, 20);
	tell(uses, CALLS_SEM_OPERATE, 30);
	tell(uses, CALLS_SEM_OPERATE, 30);
	g_assert_true(find(uses, &set, 0, &both));
	g_assert_cmpuint(both.persons->len, ==, 2);
	g_assert_cmpint(person(&both, 0)->pid, ==, 20);
	g_assert_cmpuint(person(&both, 1)->start, ==, 300);
	g_assert_cmpstr(person(&both, 1)->command, ==, "server");
	g_assert_cmpuint(both.n_ended, ==, 0);
	end(uses, 30, true);
	g_assert_true(find(uses, &set, 0, &one));
	g_assert_cmpuint(one.persons->len, ==, 1);
	g_assert_cmpuint(one.n_ended, ==, 1);
	end(uses, 20, true);
	g_assert_true(find(uses, &set, 0, &none));
	g_assert_cmpuint(none.persons->len, ==, 0);
	g_assert_cmpuint(none.n_ended, ==, 2);
	g_assert_cmpint(none.ended, ==, (int64_t)(MADE + 30) * G_USEC_PER_SEC);
}

static void who_has_left_somebody_is_not_done_with_it(void)
{
	g_autoptr(Uses) uses = uses_new();
	g_auto(UsesPast) past = {}, more = {};

	tell(uses, CALLS_SEM_CREATE, 20);
	tell_of(uses, CALLS_SEM_GET, 30, 15);
	/* Its children are not followed. */
	end(uses, 20, false);
	end(uses, 30, true);
	g_assert_true(find(uses, &set, 0, &past));
	g_assert_cmpuint(past.persons->len, ==, 2);
	g_assert_true(person(&past, 0)->is_relative);
	g_assert_cmpint(person(&past, 0)->pid, ==, 15);
	g_assert_true(person(&past, 1)->has_ended);
	g_assert_cmpint(person(&past, 1)->pid, ==, 20);
	/* One that comes later may have the same relative. */
	tell_of(uses, CALLS_SEM_OPERATE, 40, 15);
	end(uses, 40, true);
	g_assert_true(find(uses, &set, 0, &more));
	g_assert_cmpuint(more.persons->len, ==, 2);
	g_assert_cmpuint(more.n_ended, ==, 2);
}

static void what_was_missed_is_lost(void)
{
	g_autoptr(Uses) uses = uses_new();
	g_auto(UsesPast) past = {};

	/* Two were missed, and three lost, before it was made; and then one more. */
	uses_missed(uses, 2);
	tell_at(uses, CALLS_SEM_CREATE, 20, 1, MADE, 3);
	g_assert_false(find(uses, &set, 6, &past));
	g_assert_true(find(uses, &set, 5, &past));
}

static void what_was_not_seen_is_not_known(void)
{
	g_autoptr(Uses) uses = uses_new();
	SegfsResource other = set;
	UsesPast past = {};
	const struct calls_event one_more = {
		.verb = CALLS_SEM_OPERATE,
		.pid = 30,
		.made = 1,
		.segment = {.shmid = ID, .ns = NS, .ns_id = NS_ID},
	};

	/* It was made before. */
	tell(uses, CALLS_SEM_OPERATE, 30);
	g_assert_false(find(uses, &set, 0, &past));
	tell_at(uses, CALLS_SEM_CREATE, 20, 1, MADE, 3);
	/* Something was lost since. */
	g_assert_false(find(uses, &set, 4, &past));
	g_assert_true(find(uses, &set, 3, &past));
	uses_past_clear(&past);
	other.id = ID + 1;
	g_assert_false(find(uses, &other, 3, &past));
	other = set;
	other.kind = SEGFS_MSG;
	g_assert_false(find(uses, &other, 3, &past));
	/* Another namespace had that number. */
	g_assert_false(uses_find(uses, NS, NS_ID + 1, &set, 3, &past));
	/* One that is older, and of the same id. */
	other = set;
	other.ctime = MADE - 2;
	g_assert_false(find(uses, &other, 3, &past));
	/* It was changed, which without the namespace's own number is no proof. */
	other.ctime = MADE + 100;
	g_assert_false(uses_find(uses, NS, 0, &other, 3, &past));
	g_assert_true(find(uses, &other, 3, &past));
	uses_past_clear(&past);
	/* Who has more ancestors of the same program than were told. */
	struct calls_kin many = {.has_more = true};
	tell_at(uses, CALLS_SEM_CREATE, 20, 1, MADE, 3);
	uses_take(uses, &one_more, &many, 0);
	g_assert_false(find(uses, &set, 3, &past));
	/* One that is not seen from here, */
	many = (struct calls_kin){.ancestors = {{.pid = CALLS_UNSEEN}}};
	tell_at(uses, CALLS_SEM_CREATE, 20, 1, MADE, 3);
	uses_take(uses, &one_more, &many, 0);
	g_assert_false(find(uses, &set, 3, &past));
	/* and a process that is not. */
	tell_at(uses, CALLS_SEM_CREATE, 20, 1, MADE, 3);
	tell(uses, CALLS_SEM_OPERATE, 0);
	g_assert_false(find(uses, &set, 3, &past));
	/* Gone, and made again. */
	tell(uses, CALLS_SEM_GONE, 20);
	g_assert_false(find(uses, &set, 3, &past));
	tell_at(uses, CALLS_SEM_CREATE, 40, 2, MADE, 3);
	g_assert_true(find(uses, &set, 3, &past));
	uses_past_clear(&past);
	/* A word of the one before. */
	tell_at(uses, CALLS_SEM_OPERATE, 50, 1, MADE, 3);
	g_assert_false(find(uses, &set, 3, &past));
}

static void very_many_may_use_it_one_after_the_other(void)
{
	enum { MANY = 5000 };
	g_autoptr(Uses) uses = uses_new();
	g_auto(UsesPast) past = {};
	UsesPast cut;

	tell(uses, CALLS_SEM_CREATE, 1);
	for (pid_t pid = 2; pid < MANY; pid++) {
		tell_of(uses, CALLS_SEM_OPERATE, pid, 1);
		end(uses, pid, true);
	}
	g_assert_true(find(uses, &set, 0, &past));
	g_assert_cmpuint(past.n_ended, ==, MANY - 2);
	g_assert_cmpuint(past.persons->len, ==, 2);
	/* Too many at once are not known. */
	for (pid_t pid = MANY; pid < 2 * MANY; pid++)
		tell(uses, CALLS_SEM_OPERATE, pid);
	g_assert_false(find(uses, &set, 0, &cut));
}

static SegfsResourceUse unknown(void)
{
	return (SegfsResourceUse){
		.verdict = SEGFS_UNKNOWN,
		.has_users = true,
		.users = g_array_new(FALSE, FALSE, sizeof(SegfsResourceUser)),
	};
}

/* The verdict, with its evidence, which is to be freed. */
static SegfsVerdict judge(SegfsResourceUse use, SegfsResource resource, SegfsResourcePast past,
			  int64_t now, char **ret_evidence)
{
	segfs_resource_judge(&resource, &past, now, AGE, &use);
	*ret_evidence = segfs_resource_evidence("/proc", NULL, &use);
	g_array_unref(use.users);
	return use.verdict;
}

static void an_orphan_is_what_nobody_is_left_for(void)
{
	const SegfsResourcePast past = {.is_known = true, .n_ended = 3, .ended = NOW - AGE};
	SegfsResource resource = set;
	g_autofree char *old = NULL, *young = NULL, *kin = NULL, *none = NULL, *used = NULL;

	g_assert_cmpint(judge(unknown(), set, past, NOW, &old), ==, SEGFS_ORPHANED);
	g_assert_nonnull(strstr(old, "; all 3 who are known to have made or used it have ended; "
				     "used 60 s ago"));
	g_assert_null(strstr(old, "not known"));
	g_assert_cmpint(judge(unknown(), set, past, NOW - 1, &young), ==, SEGFS_IDLE);
	g_assert_nonnull(strstr(young, "used 59 s ago, less than orphan_age (60 s)"));
	resource.otime = NOW - 1;
	g_assert_cmpint(judge(unknown(), resource, past, NOW, &used), ==, SEGFS_IDLE);
	SegfsResourcePast with = past;
	with.relative = (SegfsProcess){.pid = 15, .uid = -1};
	g_assert_cmpint(judge(unknown(), set, with, NOW, &kin), ==, SEGFS_IDLE);
	g_assert_nonnull(strstr(kin, ", but one comes from 15, which runs the same program"));
	SegfsResourcePast without = past;
	without.is_known = false;
	g_assert_cmpint(judge(unknown(), set, without, NOW, &none), ==, SEGFS_UNKNOWN);
	g_assert_nonnull(strstr(none, "; who has used it before, and may again, is not known"));
}

static void who_waits_or_lives_uses_it(void)
{
	const SegfsResourcePast past = {.is_known = true, .n_ended = 3, .ended = NOW - AGE};
	SegfsResourceUse use = unknown();
	g_autofree char *waited = NULL, *unasked = NULL, *told = NULL;

	use.waiting = 1;
	use.verdict = SEGFS_IN_USE;
	g_assert_cmpint(judge(use, set, past, NOW, &waited), ==, SEGFS_IN_USE);
	/* Whose the last operations are could not be asked. */
	use = unknown();
	use.has_users = false;
	g_assert_cmpint(judge(use, set, past, NOW, &unasked), ==, SEGFS_UNKNOWN);
	use = unknown();
	use_add(&use, &(SegfsResourceUser){.process = {.pid = getpid(), .command = "me"},
					   .lives = true,
					   .is_told = true});
	g_assert_cmpint(judge(use, set, past, NOW, &told), ==, SEGFS_IN_USE);
	g_assert_nonnull(strstr(told, "; used also by "));
}

int main(int argc, char **argv)
{
	unit_init(&argc, &argv);
	g_test_add_func("/uses/ends", all_who_use_it_are_known_until_they_end);
	g_test_add_func("/uses/kin", who_has_left_somebody_is_not_done_with_it);
	g_test_add_func("/uses/unseen", what_was_not_seen_is_not_known);
	g_test_add_func("/uses/missed", what_was_missed_is_lost);
	g_test_add_func("/uses/many", very_many_may_use_it_one_after_the_other);
	g_test_add_func("/uses/orphan", an_orphan_is_what_nobody_is_left_for);
	g_test_add_func("/uses/in-use", who_waits_or_lives_uses_it);
	return g_test_run();
}
