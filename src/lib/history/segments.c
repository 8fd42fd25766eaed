/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What function probes tell of segments: who makes, attaches, detaches and removes them, and when
 * the memory goes; of semaphore sets and queues who makes and uses them. It is told as it happens,
 * so of the process as it was then.
 */

#include "lib/history/inside.h"
#include "lib/os/procfs.h"
#include "lib/stack/stack.h"

static const char *const verbs[] = {
	[CALLS_CREATE] = "create", [CALLS_ATTACH] = "attach", [CALLS_INHERIT] = "attach",
	[CALLS_DETACH] = "detach", [CALLS_REMOVE] = "remove", [CALLS_GONE] = "gone",
};

static void tell(SegfsHistory *history, const struct calls_event *event, const SegfsActor *actor)
{
	const struct ends_segment *segment = &event->segment;
	g_autofree char *file = g_strdup_printf("sysv/%d", segment->shmid);
	GString *line = log_line(witness_time(event->at), verbs[event->verb], file);

	log_field_actor(line, "", actor);
	if (event->verb == CALLS_INHERIT)
		log_field(line, "by", "fork");
	if (event->is_kernel)
		log_field(line, "by", "end of namespace");
	if (event->is_ending && actor->pid > 0) {
		g_autofree char *end = segfs_end_text(event->code);
		log_field(line, "end", end);
	}
	log_field_number(line, "ns", segment->ns);
	if (segment->size)
		log_field_number(line, "size", segment->size);
	if (segment->key)
		g_string_append_printf(line, " key=0x%08x", segment->key);
	history_add_line(history, line);
}

static Piece piece_of(const struct calls_event *event)
{
	const struct ends_segment *segment = &event->segment;

	return (Piece){
		.key = {true, segment->ns, segment->shmid},
		.again = segment->ns_id,
		.size = segment->size,
		.sysv_key = segment->key,
		.ctime = segment->ctime,
		.cpid = event->cpid,
	};
}

static void take_detach(SegfsHistory *history, const struct calls_event *event,
			const SegfsActor *actor)
{
	const PieceKey key = {true, event->segment.ns, event->segment.shmid};
	Piece *known = table_find(history->table, &key);

	if (!known || known->again != event->segment.ns_id)
		return;
	known->past.holder = *actor;
	known->past.holder.command_line = known->past.holder.cgroup = NULL;
	known->past.detached = witness_time(event->at);
	known->past.holder_code = event->is_ending ? event->code : -1;
}

/* Who has let go of it last has not removed it. */
static void take_gone(SegfsHistory *history, const struct calls_event *event, const Piece *piece)
{
	const SegfsActor nobody = {};
	const Piece *known = table_find(history->table, &piece->key);
	SegfsPast last = {};

	if (known && known->again == piece->again) {
		last.holder = known->past.holder;
		last.detached = known->past.detached;
		last.holder_code = known->past.holder_code;
	}
	Gone *gone = table_remove(history->table, piece, witness_time(event->at), &nobody, false);

	gone->with_namespace = event->is_kernel;
	/* Mostly it has gone from its name before. */
	if (last.holder.pid > 0) {
		gone->piece.past.holder = last.holder;
		gone->piece.past.detached = last.detached;
		gone->piece.past.holder_code = last.holder_code;
	}
}

/* Of a semaphore set or queue. */
static void take_use(SegfsHistory *history, const struct calls_event *event)
{
	g_auto(SegfsActor) actor = {};

	g_mutex_lock(&history->lock);
	/* See calls_probe.c: it is there. */
	uses_take(history->uses, event, (const void *)event->arguments, witness_time(event->at));
	g_mutex_unlock(&history->lock);
	if (event->verb == CALLS_SEM_GONE || event->verb == CALLS_MSG_GONE)
		return;
	witness_actor_of_call(history->witness, event, NULL, &actor);
	history_await(history, &actor);
}

static void take_call(const struct calls_event *event, gpointer data)
{
	SegfsHistory *history = data;
	const int64_t at = witness_time(event->at);
	/* From before this daemon, while none read it. */
	const bool is_old = calls_probe_was_kept(history->calls) && event->at < history->since_boot;
	g_auto(SegfsActor) actor = {};

	if (event->verb >= CALLS_FILES) {
		files_take(history, event);
		return;
	}
	/* Who has used one and ended meanwhile is not known. */
	if (event->verb >= CALLS_SEGMENTS) {
		if (!is_old)
			take_use(history, event);
		return;
	}
	if (!event->is_kernel && !event->is_ours)
		witness_actor_of_call(history->witness, event, event->arguments, &actor);
	Piece piece = piece_of(event);
	g_mutex_lock(&history->lock);
	tell(history, event, &actor);
	switch (event->verb) {
	case CALLS_CREATE:
		piece.past.creator = actor_copy(&actor);
		piece.past.made = at;
		piece.past.ended_unseen = is_old && actor.pid > 0 && actor.start &&
					  !procfs_is_alive("/proc", actor.pid, actor.start);
		if (event->has_stack)
			piece.past.stack = stack_new(calls_stack(event));
		table_add(history->table, &piece);
		break;
	case CALLS_DETACH:
		take_detach(history, event, &actor);
		break;
	case CALLS_REMOVE:
		table_remove(history->table, &piece, at, &actor, event->n_attaches > 0);
		break;
	case CALLS_GONE:
		take_gone(history, event, &piece);
		break;
	}
	g_mutex_unlock(&history->lock);
}

void segments_read(SegfsHistory *history)
{
	const uint64_t missed = calls_probe_missed(history->calls);

	/* What comes now was not there when it was looked at last: so many were missed before it.
	 */
	g_mutex_lock(&history->lock);
	uses_missed(history->uses, history->calls_missed);
	g_mutex_unlock(&history->lock);
	history->calls_missed = missed;
	calls_probe_read(history->calls, take_call, history);
	const uint64_t lost = calls_probe_take_lost(history->calls);
	if (lost > 0)
		history_lose(history, lost);
}
