/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Will anybody still want it?
 *
 * Nothing is called orphaned that somebody could hold. Of attaches the kernel counts every
 * one, whoever has it. Of files it says by granting or refusing a lease whether anybody
 * has them open or mapped, also where /proc does not show who (a descriptor on its way
 * through a socket, a process that we may not look into). What remains are descriptors and
 * mappings of SysV segments that came from a segfs mount: those a scan finds, if it could
 * look into every process.
 */

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "lib/memory/creator.h"
#include "lib/memory/ipc.h"
#include "lib/os/escape.h"
#include "lib/os/procfs.h"
#include "lib/process/process.h"
#include "lib/survey/free.h"
#include "lib/survey/survey.h"

/* Names so many in the evidence; a segment of a database has hundreds of holders. */
#define NAMED_MOST 8

const char *segfs_verdict_name(SegfsVerdict verdict)
{
	static const char *const names[] = {
		[SEGFS_IN_USE] = "in use",
		[SEGFS_IDLE] = "idle",
		[SEGFS_ORPHANED] = "orphaned",
		[SEGFS_UNKNOWN] = "unknown",
	};

	return names[verdict];
}

static void conclude(SegfsItem *item, SegfsVerdict verdict, GString *evidence)
{
	item->verdict = verdict;
	item->evidence = g_string_free(evidence, FALSE);
}

static void append_process(GString *text, pid_t pid, const char *command)
{
	g_string_append_printf(text, "%d", pid);
	if (command[0]) {
		g_autofree char *escaped = escape_text(command, -1);
		g_string_append_printf(text, " (%s)", escaped);
	}
}

/*
 * One that is no holder, who may be none of the reader's business. The number that the kernel
 * tells of the segment (told) is everybody's, the rest is left out for others.
 */
static void append_witness(SegfsItem *item, GString *text, const char *before,
			   const SegfsProcess *witness, pid_t told)
{
	const gsize from = text->len;

	g_string_append(text, before);
	append_process(text, witness->pid, witness->command);
	g_autofree char *number = g_strdup_printf("%d", witness->pid);
	const gsize kept = witness->pid == told ? strlen(before) + strlen(number) : 0;
	item->witness = *witness;
	item->named_at = from + kept;
	item->named_length = text->len - item->named_at;
}

static void append_holders(GString *text, const GArray *holders)
{
	for (guint i = 0; i < MIN(holders->len, NAMED_MOST); i++) {
		const SegfsProcess *process = g_array_index(holders, SegfsHolder, i).process;
		g_string_append(text, i ? ", " : " by ");
		append_process(text, process->pid, process->command);
	}
	if (holders->len > NAMED_MOST)
		g_string_append_printf(text, " and %u more", holders->len - NAMED_MOST);
}

static void append_unexamined(GString *text, const SegfsScan *scan)
{
	const guint n = segfs_scan_unexamined(scan);

	g_string_append_printf(text, "%u %s could not be examined", n,
			       n == 1 ? "process" : "processes");
}

/* A mapping of a segment's name and number, but of the memory of another namespace's? */
static bool is_another(const SegfsHolder *holder, const SegfsSysv *segment)
{
	/* The memory of huge pages is a whole number of those. */
	return holder->has_memory &&
	       (holder->memory_uid != segment->cuid || holder->memory_gid != segment->cgid ||
		holder->memory_size < segment->size);
}

static void add_holders(SegfsItem *item, const SegfsHeld *held)
{
	for (guint i = 0; held && i < held->holders->len; i++) {
		const SegfsHolder *holder = &g_array_index(held->holders, SegfsHolder, i);
		SegfsHolder *same = NULL;

		if (item->id.kind == SEGFS_SYSV && is_another(holder, &item->sysv))
			continue;
		for (guint j = 0; j < item->holders->len && !same; j++) {
			SegfsHolder *other = &g_array_index(item->holders, SegfsHolder, j);
			if (other->process == holder->process)
				same = other;
		}
		if (same) {
			same->attached += holder->attached;
			same->mapped += holder->mapped;
			same->open += holder->open;
		} else {
			g_array_append_val(item->holders, *holder);
		}
	}
}

/* Those that have it themselves, and those that have it through a mount of ours. */
static void find_holders(const Judge *judge, SegfsItem *item)
{
	item->scan = segfs_scan_ref(judge->scan);
	add_holders(item, segfs_scan_find(judge->scan, &item->id));
	add_holders(item,
		    segfs_scan_find_mounted(
			    judge->scan, segfs_mount_ino(&item->id, judge->view->options.plain)));
}

/* Nobody holds it. Was it used lately? A time that has not come yet tells nothing. */
static bool is_young(const Judge *judge, int64_t used, GString *evidence)
{
	/* Nothing here is older than the boot, whatever a clock that was wrong has written. */
	const int64_t age = judge->now - MAX(used, procfs_started(0));

	if (age >= judge->view->options.orphan_age) {
		g_string_append_printf(evidence, "; unused for %" PRId64 " s", age);
		return false;
	}
	g_string_append_printf(evidence,
			       "; used %" PRId64 " s ago, less than orphan_age (%" PRId64 " s)",
			       MAX(age, 0), judge->view->options.orphan_age);
	return true;
}

static int64_t latest(const Judge *judge, int64_t a, int64_t b, int64_t c)
{
	return MAX(c, MAX(a <= judge->now ? a : 0, b <= judge->now ? b : 0));
}

static void judge_held_segment(SegfsItem *item, GString *evidence)
{
	uint64_t attached = 0;

	for (guint i = 0; i < item->holders->len; i++)
		attached += g_array_index(item->holders, SegfsHolder, i).attached;
	item->n_not_found = item->sysv.nattch - MIN(item->sysv.nattch, attached);
	if (item->sysv.nattch == 0)
		g_string_append(evidence, "mapped or open");
	else if (item->sysv.nattch == 1)
		g_string_append(evidence, "attached once");
	else
		g_string_append_printf(evidence, "attached %" PRIu64 " times", item->sysv.nattch);
	append_holders(evidence, item->holders);
	if (item->n_not_found > 0)
		g_string_append_printf(evidence,
				       "; %" PRIu64 " of the attaches %s by processes "
				       "that were not found",
				       item->n_not_found, item->n_not_found == 1 ? "is" : "are");
	conclude(item, SEGFS_IN_USE, evidence);
}

void judge_sysv(Judge *judge, SegfsItem *item)
{
	SegfsIpc *ipc = judge->view->options.ipc;
	const SegfsSysv *segment = &item->sysv;
	GString *evidence = g_string_new(NULL);
	bool is_mount;
	ProcfsStat user;
	Creator creator;

	find_holders(judge, item);
	const CreatorState state = creator_state(ipc, judge->processes, segment, &creator);
	item->creator_lives = state == CREATOR_LIVES;
	item->creator_unknown = state == CREATOR_UNKNOWN;
	if (creator.command[0])
		item->creator = g_strdup(creator.command);
	item->creator_process = creator_process(&creator);
	if (segment->nattch > 0 || item->holders->len > 0) {
		judge_held_segment(item, evidence);
		return;
	}
	const SegfsViewOptions *options = &judge->view->options;
	const SegfsOpened opened = options->opened ? options->opened(segment->shmid, options->data)
						   : SEGFS_NEVER_OPENED;
	if (opened == SEGFS_IS_OPEN) {
		g_string_append(evidence,
				"open through this mount, by no process that could be found");
		conclude(item, SEGFS_IN_USE, evidence);
		return;
	}
	/* Who cannot be examined may hold it through a segfs mount: the last question below. */
	const guint other_mounts = segfs_scan_mounts(judge->scan) - (options->opened ? 1 : 0);
	const bool uncertain = segfs_scan_unexamined(judge->scan) > 0 &&
			       (opened == SEGFS_WAS_OPENED || (gint)other_mounts > 0);
	g_string_append(evidence, uncertain ? "nobody has it attached" : "nobody holds it");
	if (item->creator_lives) {
		g_string_append(evidence, "; its creator lives");
		append_witness(item, evidence, ": ", &item->creator_process, segment->cpid);
		conclude(item, SEGFS_IDLE, evidence);
		return;
	}
	const int64_t attached = MAX(segment->atime, segment->dtime);
	if (segment->lpid != ipc->pid &&
	    process_lives(ipc->proc_root, judge->processes, segment->lpid, attached, &user,
			  &is_mount) &&
	    !is_mount) {
		SegfsProcess last = {.pid = segment->lpid, .uid = -1, .start = user.start};
		memcpy(last.command, user.command, sizeof(last.command));
		g_string_append(evidence, "; its last user lives");
		append_witness(item, evidence, ": ", &last, segment->lpid);
		conclude(item, SEGFS_IDLE, evidence);
		return;
	}
	if (is_young(judge, latest(judge, segment->atime, segment->dtime, segment->ctime),
		     evidence)) {
		conclude(item, SEGFS_IDLE, evidence);
		return;
	}
	if (segment->cpid <= 0 || (segment->lpid <= 0 && attached > 0)) {
		g_string_append_printf(
			evidence, "; its %s is in a pid namespace that cannot be seen from here",
			segment->cpid <= 0 ? "creator" : "last user");
		conclude(item, SEGFS_UNKNOWN, evidence);
		return;
	}
	if (item->creator_unknown) {
		g_string_append(evidence, "; its creator ");
		append_process(evidence, segment->cpid, creator.command);
		g_string_append(evidence, " made it for somebody who is not known here");
		conclude(item, SEGFS_UNKNOWN, evidence);
		return;
	}
	const int free = uncertain ? segment_is_free(ipc, segment) : 0;
	if (free == -EBUSY) {
		g_string_append(evidence, ", but it is mapped or open through a segfs mount");
		conclude(item, SEGFS_IN_USE, evidence);
		return;
	}
	if (free < 0) {
		g_string_append(evidence, ", but ");
		append_unexamined(evidence, judge->scan);
		g_string_append(evidence, ", which may hold it through a segfs mount");
		conclude(item, SEGFS_UNKNOWN, evidence);
		return;
	}
	g_string_append(evidence, "; its creator");
	append_witness(item, evidence, " ", &item->creator_process, segment->cpid);
	if (segment->lpid > 0 && segment->lpid != segment->cpid)
		g_string_append_printf(evidence, " and its last user %d have ended", segment->lpid);
	else
		g_string_append(evidence, " has ended");
	conclude(item, SEGFS_ORPHANED, evidence);
}

/* Its holders, so that they are known as long as they live. */
static void remember_holders(SegfsView *view, const SegfsItem *item)
{
	enum { MOST = 8 };

	g_mutex_lock(&view->lock);
	GArray *seen = g_hash_table_lookup(view->seen, &item->id);
	if (!seen) {
		seen = g_array_new(FALSE, FALSE, sizeof(SegfsProcess));
		g_hash_table_insert(view->seen, g_memdup2(&item->id, sizeof(item->id)), seen);
	}
	for (guint i = 0; i < item->holders->len; i++) {
		const SegfsProcess *process = g_array_index(item->holders, SegfsHolder, i).process;
		bool known = false;
		for (guint j = 0; j < seen->len && !known; j++) {
			const SegfsProcess *other = &g_array_index(seen, SegfsProcess, j);
			known = other->pid == process->pid && other->start == process->start;
		}
		if (!known && seen->len == MOST)
			g_array_remove_index(seen, 0);
		if (!known)
			g_array_append_val(seen, *process);
	}
	g_mutex_unlock(&view->lock);
}

/* One that has held it and lives. */
static bool remembered_lives(SegfsView *view, const SegfsItem *item, SegfsProcess *ret_process)
{
	const char *proc_root = segfs_ipc_proc_root(view->options.ipc);
	bool lives = false;

	g_mutex_lock(&view->lock);
	GArray *seen = g_hash_table_lookup(view->seen, &item->id);
	for (guint i = 0; seen && i < seen->len && !lives; i++) {
		*ret_process = g_array_index(seen, SegfsProcess, i);
		lives = procfs_is_alive(proc_root, ret_process->pid, ret_process->start);
	}
	g_mutex_unlock(&view->lock);
	return lives;
}

void judge_object(Judge *judge, SegfsItem *item, int at)
{
	GString *evidence = g_string_new(NULL);
	SegfsProcess seen;

	find_holders(judge, item);
	if (item->holders->len > 0) {
		g_string_append(evidence, "mapped or open");
		append_holders(evidence, item->holders);
		remember_holders(judge->view, item);
		conclude(item, SEGFS_IN_USE, evidence);
		return;
	}
	const int leased = segfs_object_is_free(at);
	if (leased == -EBUSY) {
		g_string_append(evidence, "mapped or open, but by no process that could be found");
		conclude(item, SEGFS_IN_USE, evidence);
		return;
	}
	/* That we may not ask is one thing, that we could not another. */
	const bool may_not =
		leased == -EACCES || leased == -EPERM || leased == -EINVAL || leased == -EOPNOTSUPP;
	if (leased < 0 && (!may_not || segfs_scan_unexamined(judge->scan) > 0)) {
		append_unexamined(evidence, judge->scan);
		g_string_append(evidence, ", and the kernel could not be asked whether it is held");
		conclude(item, SEGFS_UNKNOWN, evidence);
		return;
	}
	g_string_append(evidence, "nobody holds it");
	if (remembered_lives(judge->view, item, &seen)) {
		g_string_append(evidence, "; a process that has held it lives");
		append_witness(item, evidence, ": ", &seen, 0);
		item->witness_has_held = true;
		conclude(item, SEGFS_IDLE, evidence);
	} else if (is_young(judge,
			    latest(judge, item->atime.tv_sec, item->mtime.tv_sec,
				   item->ctime.tv_sec),
			    evidence)) {
		conclude(item, SEGFS_IDLE, evidence);
	} else {
		conclude(item, SEGFS_ORPHANED, evidence);
	}
}

void judge_unlinked(Judge *judge, SegfsItem *item)
{
	GString *evidence = g_string_new("mapped or open");

	find_holders(judge, item);
	append_holders(evidence, item->holders);
	conclude(item, SEGFS_IN_USE, evidence);
}
