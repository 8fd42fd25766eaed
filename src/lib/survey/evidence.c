/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Evidence in words, for one reader: a row for each rule, with the verdict that the rule
 * decides for and the function that words it. A new rule is a row here and a line in
 * segfs/evidence.h.
 *
 * The number that the kernel tells everybody of a segment (cpid, lpid) is everybody's to read.
 * The rest about a process is worded only where the kernel would let the reader see it.
 */

#include <inttypes.h>
#include <segfs/report.h>

#include "lib/os/escape.h"
#include "lib/survey/survey.h"

/* Names so many holders; a segment of a database has hundreds. */
#define NAMED_MOST 8

typedef struct {
	const char *proc_root;
	const SegfsCaller *caller; /* NULL: may read everything */
	const SegfsItem *item;
	const SegfsEvidence *evidence;
	GString *text;
} Words;

static void put_process(GString *text, const SegfsProcess *process)
{
	g_string_append_printf(text, "%d", process->pid);
	if (process->command[0]) {
		g_autofree char *escaped = escape_text(process->command, -1);
		g_string_append_printf(text, " (%s)", escaped);
	}
}

static bool is_visible(const Words *words, const SegfsWitness *witness)
{
	return witness->role == SEGFS_ROLE_HOLDER || witness->role == SEGFS_ROLE_HOLDS_ANOTHER
		       ? segfs_holder_is_visible(words->proc_root, words->caller, &witness->process)
		       : segfs_command_is_visible(words->proc_root, words->caller,
						  &witness->process);
}

/* Does the kernel tell everybody the number? */
static bool has_public_pid(const SegfsItem *item, const SegfsWitness *witness)
{
	const pid_t pid = witness->process.pid;

	return item->id.kind == SEGFS_SYSV && pid > 0 &&
	       ((witness->role == SEGFS_ROLE_CREATOR && pid == item->sysv.cpid) ||
		((witness->role == SEGFS_ROLE_LAST_USER || witness->role == SEGFS_ROLE_MOUNT) &&
		 pid == item->sysv.lpid));
}

/* A process of the evidence, after the words that lead to it, or nothing of both. */
static void put_witness(const Words *words, const char *before, guint index)
{
	const SegfsWitness *witness = &words->evidence->processes[index];

	if (is_visible(words, witness)) {
		g_string_append(words->text, before);
		put_process(words->text, &witness->process);
	} else if (has_public_pid(words->item, witness)) {
		g_string_append_printf(words->text, "%s%d", before, witness->process.pid);
	}
}

static void put_unexamined(const Words *words)
{
	const uint64_t n = words->evidence->count;

	g_string_append_printf(words->text, "%" PRIu64 " %s could not be examined", n,
			       n == 1 ? "process" : "processes");
}

static void put_nobody(const Words *words)
{
	g_string_append(words->text, words->evidence->may_be_mapped ? "nobody has it attached"
								    : "nobody holds it");
	if (words->evidence->has_age && words->evidence->rule != SEGFS_RULE_USED_LATELY)
		g_string_append_printf(words->text, "; unused for %" PRId64 " s",
				       words->evidence->age);
}

static void put_held(const Words *words)
{
	const SegfsItem *item = words->item;
	const bool is_segment = item->id.kind == SEGFS_SYSV;

	if (!is_segment || item->sysv.nattch == 0)
		g_string_append(words->text, "mapped or open");
	else if (item->sysv.nattch == 1)
		g_string_append(words->text, "attached once");
	else
		g_string_append_printf(words->text, "attached %" PRIu64 " times",
				       item->sysv.nattch);
	for (guint i = 0; i < MIN(item->holders->len, NAMED_MOST); i++) {
		g_string_append(words->text, i ? ", " : " by ");
		put_process(words->text, g_array_index(item->holders, SegfsHolder, i).process);
	}
	if (item->holders->len > NAMED_MOST)
		g_string_append_printf(words->text, " and %u more",
				       item->holders->len - NAMED_MOST);
	if (item->n_not_found > 0)
		g_string_append_printf(words->text,
				       "; %" PRIu64 " of the attaches %s by processes "
				       "that were not found",
				       item->n_not_found, item->n_not_found == 1 ? "is" : "are");
}

static void put_held_by_unseen(const Words *words)
{
	g_string_append(words->text, "mapped or open, but by no process that could be found");
}

static void put_open_here(const Words *words)
{
	g_string_append(words->text, "open through this mount, by no process that could be found");
}

static void put_in_a_mount(const Words *words)
{
	put_nobody(words);
	g_string_append(words->text, ", but it is mapped or open through a segfs mount");
}

static void put_mounted(const Words *words)
{
	g_string_append(words->text, "nobody has it mapped or open, but it is itself mounted");
}

static void put_kept(const Words *words)
{
	const SegfsEvidence *evidence = words->evidence;
	g_autofree char *glob = escape_text(evidence->kept, -1);

	put_nobody(words);
	if (evidence->kept_reason) {
		g_autofree char *reason = escape_text(evidence->kept_reason, -1);
		g_string_append_printf(words->text, "; kept: %s (%s)", reason, glob);
	} else {
		g_string_append_printf(words->text, "; kept: %s", glob);
	}
}

static void put_creator_lives(const Words *words)
{
	put_nobody(words);
	g_string_append(words->text, "; its creator lives");
	put_witness(words, ": ", 0);
}

static void put_last_user_lives(const Words *words)
{
	put_nobody(words);
	g_string_append(words->text, "; its last user lives");
	put_witness(words, ": ", 0);
}

static void put_holder_lives(const Words *words)
{
	put_nobody(words);
	g_string_append(words->text, "; a process that has held it lives");
	put_witness(words, ": ", 0);
}

static void put_relative_lives(const Words *words)
{
	static const char *const kinships[SEGFS_N_KINSHIPS] = {
		[SEGFS_CREATORS_PARENT] = "its creator's parent",
		[SEGFS_CREATORS_ANCESTOR] = "its creator's ancestor",
		[SEGFS_LAST_USERS_PARENT] = "its last user's parent",
		[SEGFS_LAST_USERS_ANCESTOR] = "its last user's ancestor",
		[SEGFS_HOLDERS_PARENT] = "a past holder's parent",
		[SEGFS_HOLDERS_ANCESTOR] = "a past holder's ancestor",
		[SEGFS_CREATORS_CHILD] = "its creator's child",
		[SEGFS_CREATORS_DESCENDANT] = "its creator's descendant",
	};

	put_nobody(words);
	g_string_append_printf(words->text, "; %s", kinships[words->evidence->kinship]);
	put_witness(words, " ", 0);
	g_string_append(words->text, " lives");
}

static void put_holds_another(const Words *words)
{
	const SegfsEvidence *evidence = words->evidence;

	put_nobody(words);
	g_string_append(words->text, "; ");
	if (is_visible(words, &evidence->processes[0]))
		put_process(words->text, &evidence->processes[0].process);
	else
		g_string_append(words->text, "a process");
	g_string_append_printf(words->text,
			       " of its %s, older than it, holds another; its %s is not known",
			       evidence->of_creators_user ? "creator's user" : "owner",
			       evidence->creator_is_known ? "last user" : "creator");
}

static void put_used_lately(const Words *words)
{
	put_nobody(words);
	g_string_append_printf(words->text,
			       "; used %" PRId64 " s ago, less than orphan_age (%" PRId64 " s)",
			       words->evidence->age, words->evidence->orphan_age);
}

static void put_unseen(const Words *words)
{
	put_nobody(words);
	g_string_append_printf(
		words->text, "; its %s is in a pid namespace that cannot be seen from here",
		words->evidence->rule == SEGFS_RULE_CREATOR_UNSEEN ? "creator" : "last user");
}

static void put_created_for(const Words *words)
{
	put_nobody(words);
	g_string_append(words->text, "; its creator");
	put_witness(words, " ", 0);
	g_string_append(words->text, " made it for somebody who is not known here");
}

static void put_not_examined(const Words *words)
{
	put_nobody(words);
	g_string_append(words->text, ", but ");
	put_unexamined(words);
	g_string_append(words->text, ", which may hold it through a segfs mount");
}

static void put_not_asked(const Words *words)
{
	put_unexamined(words);
	g_string_append(words->text, ", and the kernel could not be asked whether it is held");
}

static void put_ended(const Words *words)
{
	put_nobody(words);
	g_string_append(words->text, "; its creator");
	put_witness(words, " ", 0);
	switch (words->evidence->processes[1].role) {
	case SEGFS_ROLE_NONE:
		g_string_append(words->text, " has ended");
		break;
	case SEGFS_ROLE_MOUNT:
		g_string_append(words->text, " has ended, and a segfs mount attached it last");
		put_witness(words, ": ", 1);
		break;
	default:
		g_string_append(words->text, " and its last user");
		put_witness(words, " ", 1);
		g_string_append(words->text, " have ended");
		break;
	}
}

static const struct {
	SegfsVerdict verdict;
	void (*put)(const Words *words);
} rules[SEGFS_N_RULES] = {
	[SEGFS_RULE_HELD] = {SEGFS_IN_USE, put_held},
	[SEGFS_RULE_HELD_BY_UNSEEN] = {SEGFS_IN_USE, put_held_by_unseen},
	[SEGFS_RULE_OPEN_HERE] = {SEGFS_IN_USE, put_open_here},
	[SEGFS_RULE_MOUNTED] = {SEGFS_IN_USE, put_mounted},
	[SEGFS_RULE_IN_A_MOUNT] = {SEGFS_IN_USE, put_in_a_mount},
	[SEGFS_RULE_CREATOR_LIVES] = {SEGFS_IDLE, put_creator_lives},
	[SEGFS_RULE_LAST_USER_LIVES] = {SEGFS_IDLE, put_last_user_lives},
	[SEGFS_RULE_HOLDER_LIVES] = {SEGFS_IDLE, put_holder_lives},
	[SEGFS_RULE_KEPT] = {SEGFS_IDLE, put_kept},
	[SEGFS_RULE_RELATIVE_LIVES] = {SEGFS_IDLE, put_relative_lives},
	[SEGFS_RULE_HOLDS_ANOTHER] = {SEGFS_IDLE, put_holds_another},
	[SEGFS_RULE_USED_LATELY] = {SEGFS_IDLE, put_used_lately},
	[SEGFS_RULE_CREATOR_UNSEEN] = {SEGFS_UNKNOWN, put_unseen},
	[SEGFS_RULE_LAST_USER_UNSEEN] = {SEGFS_UNKNOWN, put_unseen},
	[SEGFS_RULE_CREATED_FOR] = {SEGFS_UNKNOWN, put_created_for},
	[SEGFS_RULE_NOT_EXAMINED] = {SEGFS_UNKNOWN, put_not_examined},
	[SEGFS_RULE_NOT_ASKED] = {SEGFS_UNKNOWN, put_not_asked},
	[SEGFS_RULE_UNUSED] = {SEGFS_ORPHANED, put_nobody},
	[SEGFS_RULE_ENDED] = {SEGFS_ORPHANED, put_ended},
};

void item_conclude(SegfsItem *item, SegfsRule rule)
{
	item->evidence.rule = rule;
	item->verdict = rules[rule].verdict;
}

char *segfs_item_evidence(const char *proc_root, const SegfsCaller *caller, const SegfsItem *item,
			  guint n_hidden)
{
	if (n_hidden > 0)
		return g_strdup_printf("held by %u %s, %u of which you may not look into",
				       item->holders->len,
				       item->holders->len == 1 ? "process" : "processes", n_hidden);
	const Words words = {proc_root, caller, item, &item->evidence, g_string_new(NULL)};

	rules[item->evidence.rule].put(&words);
	return g_string_free(words.text, FALSE);
}
