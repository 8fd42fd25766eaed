/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Evidence in words: each rule's, for a reader who may see everything and for one who may not. */

#include <string.h>

#include "lib/survey/survey.h"
#include "unit.h"

enum { CREATOR = 4711, LAST_USER = 4712, OTHER = 4713 };

typedef struct {
	SegfsRule rule;
	SegfsVerdict verdict;
	SegfsEvidence saw;
	SegfsWitness witness;
	const char *words;       /* for a reader who may see everything */
	const char *words_blind; /* for one who may see no process; NULL: the same */
} Case;

/* Of a segment whose creator and last user were those above. */
static SegfsItem *item_of(const Case *row)
{
	SegfsItem *item = item_new();

	item->id = (SegfsId){.kind = SEGFS_SYSV, .number = 5};
	item->sysv = (SegfsSysv){.shmid = 5, .cpid = CREATOR, .lpid = LAST_USER};
	item->evidence = row->saw;
	item->evidence.processes[0] = row->witness;
	item_conclude(item, row->rule);
	return item;
}

#define WITNESS(role_, pid_, command_)                                                             \
	{                                                                                          \
		.role = (role_), .process = {                                                      \
			.pid = (pid_),                                                             \
			.uid = 54321,                                                              \
			.start = 1,                                                                \
			.command = command_                                                        \
		}                                                                                  \
	}
#define MINE WITNESS(SEGFS_ROLE_CREATOR, CREATOR, "mine")
#define MADE_FOR_OTHER WITNESS(SEGFS_ROLE_CREATOR, OTHER, "mine")
#define LATE WITNESS(SEGFS_ROLE_LAST_USER, LAST_USER, "late")
#define HELD WITNESS(SEGFS_ROLE_HOLDER, OTHER, "held\n")
#define IDLE_FOR_9                                                                                 \
	{                                                                                          \
		.has_age = true, .age = 9, .orphan_age = 5                                         \
	}
#define MAPPED_PERHAPS                                                                             \
	{                                                                                          \
		.may_be_mapped = true, .has_age = true, .age = 9                                   \
	}
#define UNEXAMINED                                                                                 \
	{                                                                                          \
		.may_be_mapped = true, .has_age = true, .age = 9, .count = 2                       \
	}

static const Case cases[] = {
	{SEGFS_RULE_HELD, SEGFS_IN_USE, {}, {}, "mapped or open", NULL},
	{SEGFS_RULE_HELD_BY_UNSEEN,
	 SEGFS_IN_USE,
	 {},
	 {},
	 "mapped or open, but by no process that could be found",
	 NULL},
	{SEGFS_RULE_OPEN_HERE,
	 SEGFS_IN_USE,
	 {},
	 {},
	 "open through this mount, by no process that could be found",
	 NULL},
	{SEGFS_RULE_IN_A_MOUNT,
	 SEGFS_IN_USE,
	 MAPPED_PERHAPS,
	 {},
	 "nobody has it attached; unused for 9 s, but it is mapped or open through a segfs "
	 "mount",
	 NULL},
	{SEGFS_RULE_CREATOR_LIVES,
	 SEGFS_IDLE,
	 {},
	 MINE,
	 "nobody holds it; its creator lives: 4711 (mine)",
	 "nobody holds it; its creator lives: 4711"},
	/* Its number is not the one that the kernel tells: a mount made it for OTHER. */
	{SEGFS_RULE_CREATOR_LIVES,
	 SEGFS_IDLE,
	 {},
	 MADE_FOR_OTHER,
	 "nobody holds it; its creator lives: 4713 (mine)",
	 "nobody holds it; its creator lives"},
	{SEGFS_RULE_LAST_USER_LIVES,
	 SEGFS_IDLE,
	 {.may_be_mapped = true},
	 LATE,
	 "nobody has it attached; its last user lives: 4712 (late)",
	 "nobody has it attached; its last user lives: 4712"},
	{SEGFS_RULE_HOLDER_LIVES,
	 SEGFS_IDLE,
	 {},
	 HELD,
	 "nobody holds it; a process that has held it lives: 4713 (held\\n)",
	 "nobody holds it; a process that has held it lives"},
	{SEGFS_RULE_MOUNTED,
	 SEGFS_IN_USE,
	 {},
	 {},
	 "nobody has it mapped or open, but it is itself mounted",
	 NULL},
	{SEGFS_RULE_KEPT,
	 SEGFS_IDLE,
	 {.kept = "posix/lock*", .kept_reason = "an engine's\n"},
	 {},
	 "nobody holds it; kept: an engine's\\n (posix/lock*)",
	 NULL},
	{SEGFS_RULE_KEPT, SEGFS_IDLE, {.kept = "lock*"}, {}, "nobody holds it; kept: lock*", NULL},
	{SEGFS_RULE_RELATIVE_LIVES,
	 SEGFS_IDLE,
	 {.kinship = SEGFS_CREATORS_PARENT},
	 WITNESS(SEGFS_ROLE_RELATIVE, OTHER, "server"),
	 "nobody holds it; its creator's parent 4713 (server) lives",
	 "nobody holds it; its creator's parent lives"},
	{SEGFS_RULE_RELATIVE_LIVES,
	 SEGFS_IDLE,
	 {.kinship = SEGFS_CREATORS_DESCENDANT},
	 WITNESS(SEGFS_ROLE_RELATIVE, OTHER, "server"),
	 "nobody holds it; its creator's descendant 4713 (server) lives",
	 "nobody holds it; its creator's descendant lives"},
	{SEGFS_RULE_HOLDS_ANOTHER,
	 SEGFS_IDLE,
	 {},
	 WITNESS(SEGFS_ROLE_HOLDS_ANOTHER, OTHER, "server"),
	 "nobody holds it; 4713 (server) of its owner, older than it, holds another; its creator "
	 "is "
	 "not known",
	 "nobody holds it; a process of its owner, older than it, holds another; its creator is "
	 "not "
	 "known"},
	{SEGFS_RULE_HOLDS_ANOTHER,
	 SEGFS_IDLE,
	 {.of_creators_user = true, .creator_is_known = true},
	 WITNESS(SEGFS_ROLE_HOLDS_ANOTHER, OTHER, "server"),
	 "nobody holds it; 4713 (server) of its creator's user, older than it, holds another; its "
	 "last user is not known",
	 "nobody holds it; a process of its creator's user, older than it, holds another; its last "
	 "user is not known"},
	{SEGFS_RULE_USED_LATELY,
	 SEGFS_IDLE,
	 {.has_age = true, .age = 3, .orphan_age = 5},
	 {},
	 "nobody holds it; used 3 s ago, less than orphan_age (5 s)",
	 NULL},
	{SEGFS_RULE_CREATOR_UNSEEN,
	 SEGFS_UNKNOWN,
	 IDLE_FOR_9,
	 {},
	 "nobody holds it; unused for 9 s; its creator is in a pid namespace that cannot "
	 "be "
	 "seen from here",
	 NULL},
	{SEGFS_RULE_LAST_USER_UNSEEN,
	 SEGFS_UNKNOWN,
	 IDLE_FOR_9,
	 {},
	 "nobody holds it; unused for 9 s; its last user is in a pid namespace that cannot "
	 "be seen from here",
	 NULL},
	{SEGFS_RULE_CREATED_FOR, SEGFS_UNKNOWN, IDLE_FOR_9, MINE,
	 "nobody holds it; unused for 9 s; its creator 4711 (mine) made it for somebody "
	 "who "
	 "is not known here",
	 "nobody holds it; unused for 9 s; its creator 4711 made it for somebody who is "
	 "not "
	 "known here"},
	{SEGFS_RULE_NOT_EXAMINED,
	 SEGFS_UNKNOWN,
	 UNEXAMINED,
	 {},
	 "nobody has it attached; unused for 9 s, but 2 processes could not be examined, "
	 "which may hold it through a segfs mount",
	 NULL},
	{SEGFS_RULE_NOT_ASKED,
	 SEGFS_UNKNOWN,
	 {.count = 1},
	 {},
	 "1 process could not be examined, and the kernel could not be asked whether it is "
	 "held",
	 NULL},
	{SEGFS_RULE_UNUSED,
	 SEGFS_ORPHANED,
	 IDLE_FOR_9,
	 {},
	 "nobody holds it; unused for 9 s",
	 NULL},
	{SEGFS_RULE_ENDED, SEGFS_ORPHANED, IDLE_FOR_9, MINE,
	 "nobody holds it; unused for 9 s; its creator 4711 (mine) has ended",
	 "nobody holds it; unused for 9 s; its creator 4711 has ended"},
};

static void every_rule_has_its_verdict_and_its_words(void)
{
	g_auto(SegfsCaller) blind = {};
	scoped_tree nothing = tree_make(NULL); /* a /proc in which no process is to be seen */
	bool seen[SEGFS_N_RULES] = {};

	segfs_caller_self(&blind);
	blind.caps = 0;
	for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
		const Case *row = &cases[i];
		g_autoptr(SegfsItem) item = item_of(row);
		g_autofree char *words = segfs_item_evidence(nothing, NULL, item, 0);
		g_autofree char *others = segfs_item_evidence(nothing, &blind, item, 0);
		g_assert_cmpstr(words, ==, row->words);
		g_assert_cmpstr(others, ==, row->words_blind ? row->words_blind : row->words);
		g_assert_cmpint(item->verdict, ==, row->verdict);
		seen[row->rule] = true;
	}
	for (guint rule = 0; rule < SEGFS_N_RULES; rule++)
		g_assert_true(seen[rule]);
}

static void two_processes_can_have_ended(void)
{
	const Case row = {
		.rule = SEGFS_RULE_ENDED,
		.witness = MINE,
	};
	g_autoptr(SegfsItem) item = item_of(&row);

	item->evidence.processes[1] = (SegfsWitness)WITNESS(SEGFS_ROLE_LAST_USER, LAST_USER, "");
	g_autofree char *words = segfs_item_evidence("/proc", NULL, item, 0);
	g_assert_cmpstr(words, ==,
			"nobody holds it; its creator 4711 (mine) and its last user 4712 have "
			"ended");
}

static void of_hidden_holders_there_are_only_numbers(void)
{
	const Case row = {.rule = SEGFS_RULE_HELD};
	const SegfsWitness hidden = WITNESS(SEGFS_ROLE_HOLDER, OTHER, "secret");
	const SegfsHolder holder = {.process = &hidden.process, .attached = 1};
	g_autoptr(SegfsItem) item = item_of(&row);

	item->sysv.nattch = 1;
	item_add_holder(item, &holder);
	g_autofree char *words = segfs_item_evidence("/proc", NULL, item, 0);
	g_autofree char *hides = segfs_item_evidence("/proc", NULL, item, 1);
	g_assert_cmpstr(words, ==, "attached once by 4713 (secret)");
	g_assert_cmpstr(hides, ==, "held by 1 process, 1 of which you may not look into");
}

int main(int argc, char **argv)
{
	unit_init(&argc, &argv);
	g_test_add_func("/evidence/every-rule", every_rule_has_its_verdict_and_its_words);
	g_test_add_func("/evidence/two-have-ended", two_processes_can_have_ended);
	g_test_add_func("/evidence/hidden-holders", of_hidden_holders_there_are_only_numbers);
	return g_test_run();
}
