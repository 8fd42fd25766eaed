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
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/memory/creator.h"
#include "lib/memory/ipc.h"
#include "lib/os/procfs.h"
#include "lib/process/process.h"
#include "lib/survey/free.h"
#include "lib/survey/relatives.h"
#include "lib/survey/survey.h"

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

/* A process that the rule names. */
static void name(SegfsItem *item, guint index, SegfsRole role, const SegfsProcess *process)
{
	item->evidence.processes[index] = (SegfsWitness){role, *process};
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
			item_add_holder(item, holder);
		}
	}
}

/* Processes that have it themselves, and processes that have it through a mount of ours. */
static void find_holders(const Judge *judge, SegfsItem *item)
{
	item->scan = segfs_scan_ref(judge->scan);
	add_holders(item, segfs_scan_find(judge->scan, &item->id));
	add_holders(item,
		    scan_find_mounted(judge->scan,
				      segfs_mount_ino(&item->id, judge->view->options.plain)));
}

/* Nobody holds it. Was it used lately? A time that has not come yet means nothing. */
static bool is_young(const Judge *judge, int64_t used, SegfsItem *item)
{
	SegfsEvidence *evidence = &item->evidence;
	/* Nothing here is older than the boot, whatever a clock that was wrong has written. */
	const int64_t age = judge->now - MAX(used, procfs_started(0));

	evidence->has_age = true;
	evidence->age = MAX(age, 0);
	evidence->orphan_age = judge->view->options.orphan_age;
	return age < evidence->orphan_age;
}

static int64_t latest(const Judge *judge, int64_t a, int64_t b, int64_t c)
{
	return MAX(c, MAX(a <= judge->now ? a : 0, b <= judge->now ? b : 0));
}

static void judge_held_segment(SegfsItem *item)
{
	uint64_t attached = 0;

	for (guint i = 0; i < item->holders->len; i++)
		attached += g_array_index(item->holders, SegfsHolder, i).attached;
	item->n_not_found = item->sysv.nattch - MIN(item->sysv.nattch, attached);
	item_conclude(item, SEGFS_RULE_HELD);
}

/* Sets all that the item has of its creator. */
static void find_creator(Judge *judge, SegfsItem *item)
{
	Creator creator;
	const CreatorState state =
		creator_state(judge->view->options.ipc, judge->processes, &item->sysv, &creator);

	item->creator_lives = state == CREATOR_LIVES;
	item->creator_unknown = state == CREATOR_UNKNOWN;
	SegfsPast past;
	if (segfs_history_of_sysv(judge->view->options.history, judge->view->options.ipc,
				  &item->sysv, &past))
		item->past = g_memdup2(&past, sizeof(past));
	if (creator.command[0])
		g_strlcpy(item->creator, creator.command, sizeof(item->creator));
	else if (item->past)
		g_strlcpy(item->creator, item->past->creator.command, sizeof(item->creator));
	judge->creator = creator_process(&creator);
	item->creator_pid = judge->creator.pid;
	item->creator_start = judge->creator.start;
	if (item->creator_lives)
		lineage_see_creator(judge, &item->sysv, item->creator_pid, item->creator_start);
}

/* When a process attached or detached it last; 0: never. */
static int64_t last_use(const SegfsSysv *segment)
{
	return MAX(segment->atime, segment->dtime);
}

/* The last user, where it lives; one that looks at it for others is none. */
static bool find_last_user(Judge *judge, const SegfsSysv *segment, ProcfsStat *ret_user)
{
	const SegfsIpc *ipc = judge->view->options.ipc;
	bool is_mount;

	if (segment->lpid == ipc->pid ||
	    !process_lives(ipc->proc_root, judge->processes, segment->lpid, last_use(segment),
			   ret_user, &is_mount) ||
	    is_mount)
		return false;
	lineage_see_last_user(judge, segment, segment->lpid, ret_user->start);
	return true;
}

/*
 * Only processes that cannot be examined, with a segfs mount between, could still hold it. What was
 * never attached no mount has opened: the first time that takes an attach.
 */
static bool may_be_mapped(const Judge *judge, const SegfsSysv *segment, SegfsOpened opened)
{
	const guint other_mounts = scan_mounts(judge->scan) - (judge->view->options.opened ? 1 : 0);

	return segfs_scan_unexamined(judge->scan) > 0 &&
	       (opened == SEGFS_WAS_OPENED || ((gint)other_mounts > 0 && segment->atime != 0));
}

/* Nobody has it attached: does a process live that may attach it again? */
static bool judge_by_the_living(const Judge *judge, SegfsItem *item, const ProcfsStat *user)
{
	if (item->creator_lives) {
		name(item, 0, SEGFS_ROLE_CREATOR, &judge->creator);
		item_conclude(item, SEGFS_RULE_CREATOR_LIVES);
		return true;
	}
	if (!user)
		return false;
	SegfsProcess last = {.pid = item->sysv.lpid, .uid = -1, .start = user->start};
	memcpy(last.command, user->command, sizeof(last.command));
	name(item, 0, SEGFS_ROLE_LAST_USER, &last);
	item_conclude(item, SEGFS_RULE_LAST_USER_LIVES);
	return true;
}

/* Nobody has it: is it kept all the same? */
static bool judge_by_keep(const Judge *judge, SegfsItem *item)
{
	const Kept *kept = keep_find(judge->view->options.keep, item);

	if (!kept)
		return false;
	item->evidence.kept = kept->glob;
	item->evidence.kept_reason = kept->reason;
	item_conclude(item, SEGFS_RULE_KEPT);
	return true;
}

static void conclude_relative(SegfsItem *item, SegfsRole role, const SegfsProcess *relative,
			      SegfsKinship kinship)
{
	name(item, 0, role, relative);
	item->evidence.kinship = kinship;
	item_conclude(item, SEGFS_RULE_RELATIVE_LIVES);
}

/* born: see likeness_find(). */
static bool judge_by_likeness(Judge *judge, SegfsItem *item, int64_t born, bool creator_is_known)
{
	SegfsProcess other;

	if (!likeness_find(judge, item, born, &other, &item->evidence.of_creators_user))
		return false;
	item->evidence.creator_is_known = creator_is_known;
	name(item, 0, SEGFS_ROLE_HOLDS_ANOTHER, &other);
	item_conclude(item, SEGFS_RULE_HOLDS_ANOTHER);
	return true;
}

static bool judge_by_kin(Judge *judge, SegfsItem *item, const SegfsKin *kin, bool of_creator)
{
	SegfsProcess relative;
	SegfsKinship kinship;

	if (!lineage_find_kin(judge, item, kin, &relative, &kinship))
		return false;
	if (!of_creator)
		kinship = kinship == SEGFS_CREATORS_PARENT ? SEGFS_LAST_USERS_PARENT
							   : SEGFS_LAST_USERS_ANCESTOR;
	/* Who has made an object, or whose child has, is not everybody's to know. */
	conclude_relative(item,
			  item->id.kind == SEGFS_SYSV ? SEGFS_ROLE_RELATIVE : SEGFS_ROLE_HOLDER,
			  &relative, kinship);
	return true;
}

/* Who may go on with what the creator has made, as history knows it, or NULL. */
static const SegfsKin *creators_kin(const SegfsItem *item)
{
	return item->past ? item->past->kin : NULL;
}

/* Are these all? */
static bool knows_creators_kin(const SegfsItem *item)
{
	const SegfsKin *kin = creators_kin(item);

	return kin && item->past->ended && kin->is_known;
}

/* Those who have used it have ended: does somebody live for whom they did? */
static bool judge_by_relatives(Judge *judge, SegfsItem *item)
{
	const SegfsSysv *segment = &item->sysv;
	SegfsProcess relative;
	SegfsKinship kinship;

	if (lineage_find(judge, segment, &relative, &kinship)) {
		conclude_relative(item, SEGFS_ROLE_RELATIVE, &relative, kinship);
		return true;
	}
	g_autofree SegfsKin *users =
		segment->lpid == segment->cpid
			? NULL
			: segfs_history_kin_of(judge->view->options.history, segment->lpid,
					       last_use(segment));
	if (judge_by_kin(judge, item, creators_kin(item), true) ||
	    judge_by_kin(judge, item, users, false))
		return true;
	const SegfsKin *creators = creators_kin(item);
	const LineageKnown known =
		lineage_known(judge, segment,
			      (knows_creators_kin(item) ? LINEAGE_OF_CREATOR : 0) |
				      (users && users->is_known ? LINEAGE_OF_LAST_USER : 0),
			      (creators && creators->is_scattered ? LINEAGE_OF_CREATOR : 0) |
				      (users && users->is_scattered ? LINEAGE_OF_LAST_USER : 0));
	/* The time of its last change is in whole seconds, and it is not older than that. */
	return known != LINEAGE_KNOWN &&
	       judge_by_likeness(judge, item, (segment->ctime + 1) * G_USEC_PER_SEC,
				 known & LINEAGE_OF_CREATOR);
}

/* Has a process used it that cannot be seen from here? Then nobody knows whether it lives. */
static bool judge_by_the_unseen(const Judge *judge, SegfsItem *item)
{
	const SegfsSysv *segment = &item->sysv;

	if (segment->cpid <= 0) {
		item_conclude(item, SEGFS_RULE_CREATOR_UNSEEN);
	} else if (segment->lpid <= 0 && last_use(segment) > 0) {
		item_conclude(item, SEGFS_RULE_LAST_USER_UNSEEN);
	} else if (item->creator_unknown) {
		SegfsProcess mount = judge->creator;
		mount.pid = segment->cpid;
		name(item, 0, SEGFS_ROLE_CREATOR, &mount);
		item_conclude(item, SEGFS_RULE_CREATED_FOR);
	} else {
		return false;
	}
	return true;
}

/* Does the last that attached it live, as a mount that did so to look, or for somebody? */
static bool mount_was_last(const Judge *judge, const SegfsSysv *segment)
{
	const SegfsIpc *ipc = judge->view->options.ipc;
	bool is_mount;
	ProcfsStat stat;

	return segment->lpid == ipc->pid ||
	       (process_lives(ipc->proc_root, judge->processes, segment->lpid, last_use(segment),
			      &stat, &is_mount) &&
		is_mount);
}

/* All whom the kernel names have ended: the last question is to the kernel itself. */
static void judge_by_the_kernel(Judge *judge, SegfsItem *item)
{
	const SegfsSysv *segment = &item->sysv;
	const int free = item->evidence.may_be_mapped
				 ? segment_is_free(judge->view->options.ipc, segment, false)
				 : 0;

	if (free == -EBUSY) {
		item_conclude(item, SEGFS_RULE_IN_A_MOUNT);
	} else if (free < 0) {
		item->evidence.count = segfs_scan_unexamined(judge->scan);
		item_conclude(item, SEGFS_RULE_NOT_EXAMINED);
	} else {
		const SegfsProcess last = {.pid = segment->lpid, .uid = -1};
		const SegfsRole role =
			mount_was_last(judge, segment) ? SEGFS_ROLE_MOUNT : SEGFS_ROLE_LAST_USER;
		name(item, 0, SEGFS_ROLE_CREATOR, &judge->creator);
		if (segment->lpid > 0 && segment->lpid != segment->cpid)
			name(item, 1, role, &last);
		item_conclude(item, SEGFS_RULE_ENDED);
	}
}

void judge_sysv(Judge *judge, SegfsItem *item)
{
	const ViewOptions *options = &judge->view->options;
	const SegfsSysv *segment = &item->sysv;
	ProcfsStat user;

	find_holders(judge, item);
	find_creator(judge, item);
	const bool user_lives = find_last_user(judge, segment, &user);
	if (segment->nattch > 0 || item->holders->len > 0) {
		judge_held_segment(item);
		return;
	}
	const SegfsOpened opened = options->opened ? options->opened(segment->shmid, options->data)
						   : SEGFS_NEVER_OPENED;
	if (opened == SEGFS_IS_OPEN) {
		item_conclude(item, SEGFS_RULE_OPEN_HERE);
		return;
	}
	item->evidence.may_be_mapped = may_be_mapped(judge, segment, opened);
	if (judge_by_the_living(judge, item, user_lives ? &user : NULL) ||
	    judge_by_keep(judge, item) || judge_by_relatives(judge, item))
		return;
	if (is_young(judge, latest(judge, segment->atime, segment->dtime, segment->ctime), item))
		item_conclude(item, SEGFS_RULE_USED_LATELY);
	else if (!judge_by_the_unseen(judge, item))
		judge_by_the_kernel(judge, item);
}

/* Remembers the item's holders, so that they are known as long as they live. */
static void remember_holders(Judge *judge, const SegfsItem *item)
{
	enum { MOST = 8 };
	SegfsView *view = judge->view;

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
	g_autoptr(GArray) all = g_array_copy(seen);
	g_mutex_unlock(&view->lock);
	for (guint i = 0; i < all->len; i++)
		lineage_see_holder(judge, &g_array_index(all, SegfsProcess, i));
}

/* Those who have held it, SegfsProcess; the calling function's to unref. */
static GArray *remembered(SegfsView *view, const SegfsItem *item)
{
	g_mutex_lock(&view->lock);
	GArray *seen = g_hash_table_lookup(view->seen, &item->id);
	GArray *all = seen ? g_array_copy(seen) : g_array_new(FALSE, FALSE, sizeof(SegfsProcess));
	g_mutex_unlock(&view->lock);
	return all;
}

/* When it was made, at the latest, in microseconds since 1970. */
static int64_t object_born(const SegfsItem *item, int at)
{
	struct statx stat;

	if (at >= 0 && statx(at, "", AT_EMPTY_PATH, STATX_BTIME, &stat) == 0 &&
	    stat.stx_mask & STATX_BTIME)
		return stat.stx_btime.tv_sec * G_USEC_PER_SEC + stat.stx_btime.tv_nsec / 1000;
	return item->ctime.tv_sec * G_USEC_PER_SEC + item->ctime.tv_nsec / 1000;
}

/* Nobody has it open or mapped: does a process live that may want it again? */
static bool judge_object_by_the_living(Judge *judge, SegfsItem *item, int at)
{
	const char *proc_root = segfs_ipc_proc_root(judge->view->options.ipc);
	g_autoptr(GArray) seen = remembered(judge->view, item);
	SegfsProcess relative;
	SegfsKinship kinship;

	for (guint i = 0; i < seen->len; i++) {
		const SegfsProcess *holder = &g_array_index(seen, SegfsProcess, i);
		if (!procfs_is_alive(proc_root, holder->pid, holder->start))
			continue;
		name(item, 0, SEGFS_ROLE_HOLDER, holder);
		item_conclude(item, SEGFS_RULE_HOLDER_LIVES);
		return true;
	}
	if (judge_by_keep(judge, item))
		return true;
	if (lineage_find_of_holders(judge, seen, &relative, &kinship)) {
		/* That its child has held it is not everybody's to know. */
		conclude_relative(item, SEGFS_ROLE_HOLDER, &relative, kinship);
		return true;
	}
	return judge_by_kin(judge, item, creators_kin(item), true) ||
	       (!knows_creators_kin(item) &&
		judge_by_likeness(judge, item, object_born(item, at), false));
}

/* Who has made it, and how that process has ended. */
static void find_past(const Judge *judge, SegfsItem *item, int at)
{
	SegfsHistory *history = judge->view->options.history;
	SegfsObject object;
	SegfsPast past;
	struct stat st;

	if (history && at >= 0 && segfs_object_read(item->posix, at, &object, &st) == 0 &&
	    segfs_history_of_object(history, &object, &past))
		item->past = g_memdup2(&past, sizeof(past));
}

void judge_object(Judge *judge, SegfsItem *item, int at)
{
	find_holders(judge, item);
	find_past(judge, item, at);
	if (item->holders->len > 0) {
		remember_holders(judge, item);
		item_conclude(item, SEGFS_RULE_HELD);
		return;
	}
	if (object_is_mounted(judge, item)) {
		item_conclude(item, SEGFS_RULE_MOUNTED);
		return;
	}
	const int leased = segfs_object_is_free(at);
	/* The kernel may refuse the question to us: that is another thing than a failure. */
	const bool may_not =
		leased == -EACCES || leased == -EPERM || leased == -EINVAL || leased == -EOPNOTSUPP;
	const guint unexamined = segfs_scan_unexamined(judge->scan);
	if (leased == -EBUSY) {
		item_conclude(item, SEGFS_RULE_HELD_BY_UNSEEN);
	} else if (leased < 0 && (!may_not || unexamined > 0)) {
		item->evidence.count = unexamined;
		item_conclude(item, SEGFS_RULE_NOT_ASKED);
	} else if (!judge_object_by_the_living(judge, item, at)) {
		const int64_t used =
			latest(judge, item->atime.tv_sec, item->mtime.tv_sec, item->ctime.tv_sec);
		item_conclude(item, is_young(judge, used, item) ? SEGFS_RULE_USED_LATELY
								: SEGFS_RULE_UNUSED);
	}
}

void judge_unlinked(Judge *judge, SegfsItem *item)
{
	find_holders(judge, item);
	item_conclude(item, SEGFS_RULE_HELD);
}
