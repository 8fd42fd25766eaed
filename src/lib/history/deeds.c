/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What this process does for others, who wait for it.
 *
 * The kernel tells of a change in a tmpfs that we have made it, not for whom, and in its order with
 * all others' changes; so each is announced here before it is made, and the event finds it by what
 * is done to which name. Where two callers have done the same to the same name it is not known
 * which event is whose, and nobody is named. What no event comes of (segments, a tmpfs that is not
 * watched) is written down once it is done.
 *
 * Who the caller is the thread of history.c reads, so that the caller does not wait for that: until
 * then a pidfd keeps its number from being another's.
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/history/history.h"
#include "lib/history/inside.h"
#include "lib/memory/creator.h"
#include "lib/os/deadline.h"
#include "lib/os/procfs.h"

/* Past so many, each with a descriptor, the next are lost. */
#define DEEDS_MOST 1024
/* What is done is marked so at once, but for a thread that has to wait for a processor. */
#define PATIENCE_US 20000

typedef enum {
	DEED_RUNS,
	DEED_DONE,  /* an event tells, or has told, of it */
	DEED_ALONE, /* no event will */
} DeedState;

struct Deed {
	GList link; /* in SegfsHistory.deeds */
	DeedState state;
	DeedVerb verb;
	bool is_told;      /* while it runs: the event was here */
	bool is_ambiguous; /* it may be another's */
	bool was_waited;   /* no event waited any more, and it was done */
	dev_t dev;         /* of an object, and its name or path; or NULL: a segment */
	char *name;
	SegfsSysv segment;
	uint64_t ns, ns_id; /* of a segment */
	SegfsActor creator; /* likewise, as far as it is remembered */
	WitnessCaller who;
	int pidfd; /* -1: there is none */
};

static void deed_free(Deed *deed)
{
	if (deed->pidfd >= 0)
		close(deed->pidfd);
	g_free(deed->name);
	g_free(deed);
}

void deeds_clear(SegfsHistory *history)
{
	while (history->deeds.head) {
		Deed *deed = history->deeds.head->data;
		g_queue_unlink(&history->deeds, &deed->link);
		deed_free(deed);
	}
}

WitnessCaller history_who(const SegfsHistory *history, const SegfsCaller *caller)
{
	WitnessCaller who = {.uid = caller->uid};
	ProcfsStat stat;

	if (!history)
		return who;
	segfs_caller_complete(caller);
	if (caller->pid > 0 && procfs_stat("/proc", caller->pid, &stat)) {
		who.pid = caller->pid;
		who.start = stat.start;
	}
	who.at = witness_now();
	return who;
}

/* A caller that waits, so that its number is nobody else's. */
static void take_caller(Deed *deed, const SegfsCaller *caller)
{
	deed->who = (WitnessCaller){.pid = caller->tid, .uid = caller->uid, .at = witness_now()};
	if (caller->tid <= 0)
		return;
	deed->pidfd = syscall(SYS_pidfd_open, caller->tid, 0);
	if (deed->pidfd >= 0)
		return;
	/* It is one thread of several, or this kernel has no such call. */
	segfs_caller_complete(caller);
	deed->who.pid = caller->pid;
	if (caller->pid > 0)
		deed->pidfd = syscall(SYS_pidfd_open, caller->pid, 0);
}

static Deed *deed_new(DeedVerb verb)
{
	Deed *deed = g_new0(Deed, 1);

	deed->link.data = deed;
	deed->verb = verb;
	deed->pidfd = -1;
	return deed;
}

/* NULL: there are too many. */
static Deed *push(SegfsHistory *history, Deed *deed)
{
	g_mutex_lock(&history->deeds_lock);
	const bool has_room = history->deeds.length < DEEDS_MOST;
	if (has_room)
		g_queue_push_tail_link(&history->deeds, &deed->link);
	else
		history->deeds_lost++;
	g_mutex_unlock(&history->deeds_lock);
	if (has_room)
		return deed;
	deed_free(deed);
	return NULL;
}

Deed *history_begin(SegfsHistory *history, const SegfsCaller *caller, DeedVerb verb, dev_t dev,
		    const char *name)
{
	if (!history)
		return NULL;
	Deed *deed = deed_new(verb);
	deed->dev = dev;
	deed->name = g_strdup(name);
	take_caller(deed, caller);
	return push(history, deed);
}

void history_end(SegfsHistory *history, Deed *deed, int r)
{
	if (!deed)
		return;
	const bool is_watched = segfs_history_watches(history, deed->dev);
	g_mutex_lock(&history->deeds_lock);
	const bool is_over = r < 0 || deed->is_told;
	const bool is_alone = !is_over && !is_watched;
	deed->state = is_alone ? DEED_ALONE : DEED_DONE;
	if (is_over)
		g_queue_unlink(&history->deeds, &deed->link);
	g_cond_signal(&history->deeds_changed);
	g_mutex_unlock(&history->deeds_lock);
	if (is_over)
		deed_free(deed);
	if (is_alone)
		history_wake(history);
}

static void add_segment(SegfsHistory *history, Deed *deed, const SegfsIpc *ipc,
			const SegfsSysv *segment)
{
	deed->segment = *segment;
	deed->ns = segfs_ipc_inum(ipc);
	deed->ns_id = ipc->id;
	deed->state = DEED_ALONE;
	if (push(history, deed))
		history_wake(history);
}

void history_did(SegfsHistory *history, const SegfsCaller *caller, DeedVerb verb, SegfsIpc *ipc,
		 const SegfsSysv *segment)
{
	if (!history)
		return;
	Deed *deed = deed_new(verb);
	Creator creator;
	take_caller(deed, caller);
	if (creator_recall(ipc, segment, &creator)) {
		deed->creator.pid = creator.pid;
		memcpy(deed->creator.command, creator.command, sizeof(creator.command));
	} else if (segment->cpid != ipc->pid) {
		deed->creator.pid = segment->cpid;
	}
	add_segment(history, deed, ipc, segment);
}

void history_made(SegfsHistory *history, const WitnessCaller *who, const SegfsIpc *ipc,
		  const SegfsSysv *segment)
{
	if (!history)
		return;
	Deed *deed = deed_new(DEED_CREATE);
	deed->who = *who;
	add_segment(history, deed, ipc, segment);
}

static bool is_candidate(const Deed *deed, DeedVerb verb, dev_t dev, const char *base)
{
	if (deed->verb != verb || !deed->name || deed->dev != dev || deed->is_told ||
	    deed->state == DEED_ALONE)
		return false;
	const char *slash = strrchr(deed->name, '/');
	return !strcmp(slash ? slash + 1 : deed->name, base);
}

typedef struct {
	Deed *first; /* that is done, else that runs; NULL: there is none */
	bool differ; /* there are some of several callers */
	bool run;    /* some run */
} Candidates;

static Candidates find_candidates(SegfsHistory *history, DeedVerb verb, dev_t dev, const char *base)
{
	Candidates found = {};

	for (GList *at = history->deeds.head; at; at = at->next) {
		Deed *deed = at->data;
		if (!is_candidate(deed, verb, dev, base))
			continue;
		found.run |= deed->state == DEED_RUNS;
		found.differ |= deed->is_ambiguous ||
				(found.first && found.first->who.pid != deed->who.pid);
		if (!found.first || (found.first->state == DEED_RUNS && deed->state != DEED_RUNS))
			found.first = deed;
	}
	return found;
}

static void mark_ambiguous(SegfsHistory *history, DeedVerb verb, dev_t dev, const char *base)
{
	for (GList *at = history->deeds.head; at; at = at->next)
		if (is_candidate(at->data, verb, dev, base))
			((Deed *)at->data)->is_ambiguous = true;
}

/* Whose name it is by now is another question: a path's last component. */
bool deeds_actor(SegfsHistory *history, DeedVerb verb, dev_t dev, const char *path,
		 SegfsActor *ret_actor)
{
	const char *slash = strrchr(path, '/');
	const char *base = slash ? slash + 1 : path;
	Candidates found;
	WitnessCaller who = {};
	DeadlineSteps steps = {};
	bool waits = true;
	int pidfd = -1;

	g_mutex_lock(&history->deeds_lock);
	found = find_candidates(history, verb, dev, base);
	/* Looked at after the last step as well: a deed that is over by then may be no more. */
	while (waits && found.differ && found.run) {
		waits = deadline_step(&history->deeds_changed, &history->deeds_lock, PATIENCE_US,
				      &steps);
		found = find_candidates(history, verb, dev, base);
	}
	if (found.differ)
		mark_ambiguous(history, verb, dev, base);
	if (found.first) {
		if (!found.differ) {
			who = found.first->who;
			pidfd = found.first->pidfd < 0
					? -1
					: fcntl(found.first->pidfd, F_DUPFD_CLOEXEC, 3);
		}
		if (found.first->state == DEED_RUNS) {
			found.first->is_told = true;
		} else {
			g_queue_unlink(&history->deeds, &found.first->link);
			deed_free(found.first);
		}
	}
	g_mutex_unlock(&history->deeds_lock);
	if (!found.first)
		return false;
	witness_read_caller(history->witness, &who, pidfd, ret_actor);
	if (pidfd >= 0)
		close(pidfd);
	return true;
}

static const char *const verbs[] = {
	[DEED_CREATE] = "create",
	[DEED_REMOVE] = "remove",
	[DEED_RENAME] = "rename",
	[DEED_CHMOD] = "chmod",
};

static void tell(SegfsHistory *history, const Deed *deed, const SegfsActor *actor)
{
	const SegfsSysv *segment = &deed->segment;
	g_autofree char *file = deed->name ? g_strdup_printf("posix/%s", deed->name)
					   : g_strdup_printf("sysv/%d", segment->shmid);
	GString *line = log_line(witness_time(deed->who.at), verbs[deed->verb], file);

	log_field_actor(line, "", actor);
	if (!deed->name) {
		if (deed->verb == DEED_CHMOD)
			g_string_append_printf(line, " mode=%04o owner=%u group=%u", segment->mode,
					       segment->uid, segment->gid);
		log_field_number(line, "ns", deed->ns);
		log_field_number(line, "size", segment->size);
		if (segment->key)
			g_string_append_printf(line, " key=0x%08x", (unsigned int)segment->key);
	}
	history_add_line(history, line);
}

/* What the table has of the segment, or would have. */
static Piece piece_of(const Deed *deed)
{
	const SegfsSysv *segment = &deed->segment;

	return (Piece){
		.key = {true, deed->ns, segment->shmid},
		.again = deed->ns_id,
		.size = segment->size,
		.ctime = segment->ctime,
		.sysv_key = segment->key,
		.cpid = segment->cpid,
		/* Its family is that of whom the kernel has not seen to make it. */
		.n_execs = ENDS_MANY,
	};
}

static void take_alone(SegfsHistory *history, const Deed *deed)
{
	SegfsActor actor;
	Piece piece = piece_of(deed);
	const int64_t at = witness_time(deed->who.at);

	witness_read_caller(history->witness, &deed->who, deed->pidfd, &actor);
	g_mutex_lock(&history->lock);
	tell(history, deed, &actor);
	if (!deed->name && deed->verb == DEED_CREATE) {
		piece.past.creator = actor_copy(&actor);
		piece.past.made = at;
		table_add(history->table, &piece);
	} else if (!deed->name && deed->verb == DEED_REMOVE) {
		piece.past.creator = deed->creator;
		table_remove(history->table, &piece, at, &actor, deed->segment.nattch > 0);
	}
	g_mutex_unlock(&history->lock);
	if (!deed->name && deed->verb == DEED_CREATE)
		history_await(history, &actor);
	actor_clear(&actor);
}

void deeds_take(SegfsHistory *history)
{
	GQueue alone = G_QUEUE_INIT;

	g_mutex_lock(&history->deeds_lock);
	const uint64_t lost = history->deeds_lost;
	history->deeds_lost = 0;
	for (GList *at = history->deeds.head, *next; at; at = next) {
		next = at->next;
		if (((Deed *)at->data)->state != DEED_ALONE)
			continue;
		g_queue_unlink(&history->deeds, at);
		g_queue_push_tail_link(&alone, at);
	}
	g_mutex_unlock(&history->deeds_lock);
	while (alone.head) {
		Deed *deed = g_queue_pop_head_link(&alone)->data;
		take_alone(history, deed);
		deed_free(deed);
	}
	if (lost)
		history_lose(history, lost);
}

void deeds_rest(SegfsHistory *history)
{
	g_mutex_lock(&history->deeds_lock);
	for (GList *at = history->deeds.head, *next; at; at = next) {
		Deed *deed = at->data;
		next = at->next;
		if (deed->state != DEED_DONE)
			continue;
		if (deed->was_waited) {
			g_queue_unlink(&history->deeds, at);
			deed_free(deed);
		} else {
			deed->was_waited = true;
		}
	}
	g_mutex_unlock(&history->deeds_lock);
}
