/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is remembered, for those who ask. */

#include <fcntl.h>
#include <inttypes.h>
#include <segfs/scan.h>

#include "lib/history/inside.h"
#include "lib/memory/ipc.h"
#include "lib/os/procfs.h"

void history_add_line(SegfsHistory *history, GString *line)
{
	log_add(history->log, line);
	history->seen++;
}

void history_tell(SegfsHistory *history)
{
	g_mutex_lock(&history->lock);
	const bool is_new = history->told != history->seen;
	history->told = history->seen;
	g_mutex_unlock(&history->lock);
	if (!is_new)
		return;
	g_mutex_lock(&history->change_lock);
	if (history->changed)
		history->changed(history->changed_data);
	g_mutex_unlock(&history->change_lock);
}

bool segfs_history_watches(SegfsHistory *history, dev_t dev)
{
	return (history->names && names_watches(history->names, dev)) ||
	       (history->others && names_watches(history->others, dev));
}

void history_lose(SegfsHistory *history, uint64_t n)
{
	GString *line = log_line(g_get_real_time(), "lost", "events");

	log_field_number(line, "at-least", n);
	g_mutex_lock(&history->lock);
	history->lost += n;
	history_add_line(history, line);
	g_mutex_unlock(&history->lock);
}

SegfsKin *history_kin_of(const SegfsHistory *history, const struct ends_process *process)
{
	return kin_new(&process->kin, process->start > history->since_boot);
}

void history_take_end(SegfsHistory *history, const struct ends_process *process,
		      const SegfsActor *actor, const SegfsKin *kin)
{
	const int64_t at = witness_time(process->at);

	table_end(history->table, actor->pid, actor->start, at, process->code, kin,
		  process->n_execs);
	uses_end(history->uses, actor->pid, actor->start, at, kin && kin->is_alone);
}

void history_await(SegfsHistory *history, const SegfsActor *actor)
{
	struct ends_process end;

	if (!actor->start || witness_await(history->witness, actor, &end))
		return;
	g_autofree SegfsKin *kin = history_kin_of(history, &end);
	g_mutex_lock(&history->lock);
	history_take_end(history, &end, actor, kin);
	g_mutex_unlock(&history->lock);
}

void history_on_change(SegfsHistory *history, HistoryChanged changed, gpointer data)
{
	g_mutex_lock(&history->change_lock);
	history->changed = changed;
	history->changed_data = data;
	g_mutex_unlock(&history->change_lock);
}

static void copy_past(const Piece *piece, SegfsPast *ret_past)
{
	*ret_past = piece->past;
	ret_past->creator = actor_copy(&piece->past.creator);
	ret_past->kin = kin_copy(piece->past.kin);
	segfs_stack_ref(ret_past->stack);
}

static bool may_be_of(const Piece *piece, const SegfsSysv *segment)
{
	return piece->size == segment->size && piece->cpid == segment->cpid &&
	       (segment->dest || piece->sysv_key == (uint32_t)segment->key);
}

/*
 * Number, key and size can be another segment's by now. Its namespace's own id rules that out, but
 * for a wrap of all ids; where this kernel has none, an unchanged ctime does.
 */
static bool is_of(const Piece *piece, uint64_t ns_id, const SegfsSysv *segment)
{
	if (!may_be_of(piece, segment) || (piece->again && ns_id && piece->again != ns_id))
		return false;
	/* It may have gone while nobody watched, and another have come that is like it. */
	if (piece->is_recalled)
		return piece->again == ns_id && piece->ctime == segment->ctime;
	return segment->ctime == piece->ctime ||
	       (piece->again && ns_id && segment->ctime > piece->ctime);
}

bool segfs_history_of_sysv(SegfsHistory *history, const SegfsIpc *ipc, const SegfsSysv *segment,
			   SegfsPast *ret_past)
{
	if (!history || segment->cpid <= 0)
		return false;
	const PieceKey key = {true, segfs_ipc_inum(ipc), segment->shmid};
	g_mutex_lock(&history->lock);
	const Piece *piece = table_find(history->table, &key);
	const bool known = piece && is_of(piece, ipc->id, segment);
	if (known)
		copy_past(piece, ret_past);
	g_mutex_unlock(&history->lock);
	return known;
}

bool segfs_history_of_object(SegfsHistory *history, const SegfsObject *object, SegfsPast *ret_past)
{
	NamesFile file;

	if (!history || !names_file_of(object, &file))
		return false;
	const PieceKey key = {false, file.dev, file.ino};
	g_mutex_lock(&history->lock);
	const Piece *piece = table_find(history->table, &key);
	const bool known = piece && piece->again == file.generation && !piece->is_recalled;
	if (known)
		copy_past(piece, ret_past);
	g_mutex_unlock(&history->lock);
	return known;
}

/* Had it run its last program before that second began? Else it may have been another. */
static bool has_run_since(const SegfsHistory *history, const struct ends_process *process,
			  int64_t used)
{
	struct ends_process before;

	return process->n_execs == 0 ||
	       (probe_changed(history->probe, process->pid, &before) &&
		before.start == process->start && before.n_execs == process->n_execs &&
		witness_latest_time(before.at) / 1000 < used * G_USEC_PER_SEC);
}

SegfsKin *segfs_history_kin_of(SegfsHistory *history, pid_t pid, int64_t used)
{
	struct ends_process process;

	if (!history || !history->probe || pid <= 0 || !probe_ended(history->probe, pid, &process))
		return NULL;
	/* Of all who have had the number: used is in whole seconds. */
	if (witness_time(process.start) / G_USEC_PER_SEC > used ||
	    witness_time(process.at) / G_USEC_PER_SEC < used ||
	    (process.before && witness_time(process.before) / G_USEC_PER_SEC >= used))
		return NULL;
	return kin_new(&process.kin, process.start > history->since_boot &&
					     has_run_since(history, &process, used));
}

void segfs_history_count(SegfsHistory *history, SegfsHistoryCounts *ret_counts)
{
	g_mutex_lock(&history->lock);
	*ret_counts = (SegfsHistoryCounts){
		.seen = history->seen,
		.lost = history->lost,
	};
	g_mutex_unlock(&history->lock);
}

static char *date_of(int64_t when)
{
	g_autoptr(GDateTime) time = g_date_time_new_from_unix_local(when / G_USEC_PER_SEC);
	char *date = time ? g_date_time_format(time, "%Y-%m-%d %H:%M:%S %z") : NULL;

	return date ? date : g_strdup("?");
}

static void write_since(const SegfsHistory *history, uint64_t lost, GString *text)
{
	g_autofree char *since = date_of(history->since), *from = date_of(history->gap_from);
	g_autofree char *to = date_of(history->gap_to);

	g_string_append_printf(text, ", since %s", since);
	if (history->n_gaps > 0)
		g_string_append_printf(text, " but not from %s to %s", from, to);
	if (history->n_gaps > 1)
		g_string_append_printf(text, " (the last of %" PRIu64 " gaps)", history->n_gaps);
	g_string_append_printf(text, ", %" PRIu64 " events lost", lost);
}

/* What function probes tell of, or why there are none. */
static void add_calls(const SegfsHistory *history, GString *text)
{
	static const char *const names[] = {
		[CALLS_CREATE] = "creations",
		[CALLS_ATTACH] = "attaches",
		[CALLS_INHERIT] = "forks",
		[CALLS_DETACH] = "detaches",
		[CALLS_REMOVE] = "removals",
		[CALLS_GONE] = "the end of memory",
		[CALLS_SEM_CREATE] = "semaphore sets",
		[CALLS_MSG_CREATE] = "message queues",
		[CALLS_MEMFD_CREATE] = "memfds",
		[CALLS_RESIZE] = "sizes",
		[CALLS_MEMFD_GONE] = "the end of memfds",
	};

	g_string_append_printf(text, "; %s",
			       !history->calls ? history->why_no_calls
			       : calls_probe_by_kprobes(history->calls)
				       ? "function probes (kprobes)"
				       : "function probes");
	if (history->calls && calls_probe_was_kept(history->calls))
		g_string_append(text, ", which ran on while no segfs did");
	const gsize all = text->len;
	for (guint i = 0; history->calls && i < G_N_ELEMENTS(names); i++)
		if (names[i] && !calls_probe_tells(history->calls, i))
			g_string_append_printf(text, "%s%s",
					       text->len == all ? ", but not of " : ", ", names[i]);
}

/* Of what it is told how it was made, and when, or why not. */
static void add_stacks(const SegfsHistory *history, GString *text)
{
	const bool objects = history->probe && probe_has_stacks(history->probe);
	const bool segments = history->calls && calls_probe_has_stacks(history->calls);

	if (segments && objects)
		g_string_append(text, "; stacks");
	else if (segments)
		g_string_append(text, "; stacks of segments");
	else if (objects)
		g_string_append(text, "; stacks, of segments from their creators' ends on");
	else
		g_string_append(text, "; no stacks: they take x86-64, and Linux 6.13 or fentry");
	if ((segments || objects) && !history->symbols)
		g_string_append_printf(text, " without names: %s", history->why_no_symbols);
}

char *segfs_history_text(SegfsHistory *history)
{
	SegfsHistoryCounts counts;
	GString *text = g_string_new(NULL);

	segfs_history_count(history, &counts);
	g_mutex_lock(&history->lock);
	const bool names = history->n_watched > 0;
	g_string_append(text, history->probe ? "the ends of tasks" : "");
	g_string_append(text, history->probe && names ? " and " : "");
	g_string_append(text, names ? "/dev/shm" : "");
	if (history->probe || names)
		write_since(history, counts.lost, text);
	if (!history->probe)
		g_string_append_printf(text, "%s%s", text->len ? "; " : "", history->why_no_probe);
	if (!names)
		g_string_append_printf(text, "%snothing of /dev/shm: %s", text->len ? "; " : "",
				       history->why_no_names ? history->why_no_names
							     : "not watched");
	if (history->why_not_kept)
		g_string_append_printf(text, "; not kept over a restart: %s",
				       history->why_not_kept);
	g_mutex_unlock(&history->lock);
	if (history->probe && !probe_knows_kin(history->probe))
		g_string_append(text, "; no lineages: too many processes have lost their parent");
	if (history->probe)
		add_calls(history, text);
	if (history->stacks)
		add_stacks(history, text);
	return g_string_free(text, FALSE);
}

char **history_name_stack(SegfsHistory *history, const SegfsCaller *caller, const SegfsPast *past)
{
	const bool lives = procfs_is_alive("/proc", past->creator.pid, past->creator.start);

	return symbols_of(history->symbols, caller, lives ? past->creator.pid : 0, past->stack);
}

bool history_tells_removals(const SegfsHistory *history)
{
	return history && history->calls && calls_probe_tells(history->calls, CALLS_REMOVE);
}

bool history_tells_uses(const SegfsHistory *history)
{
	return history && history->calls &&
	       (calls_probe_tells(history->calls, CALLS_SEM_CREATE) ||
		calls_probe_tells(history->calls, CALLS_MSG_CREATE));
}

int history_holds(const SegfsHistory *history)
{
	return history->probe ? probe_holds(history->probe) : -1;
}

Generation *history_generation(SegfsHistory *history, guint back)
{
	if (!history)
		return NULL;
	history_catch_up(history);
	g_mutex_lock(&history->lock);
	Generation *generation = log_generation(history->log, back);
	g_mutex_unlock(&history->lock);
	return generation;
}

gsize history_generation_size(SegfsHistory *history, const Generation *generation)
{
	g_mutex_lock(&history->lock);
	const gsize size = generation->text->len;
	g_mutex_unlock(&history->lock);
	return size;
}

int64_t history_generation_changed(SegfsHistory *history, const Generation *generation)
{
	g_mutex_lock(&history->lock);
	const int64_t changed = generation->changed;
	g_mutex_unlock(&history->lock);
	return changed;
}

bool history_generation_is_full(SegfsHistory *history, const Generation *generation)
{
	g_mutex_lock(&history->lock);
	g_autoptr(Generation) now = log_generation(history->log, 0);
	g_mutex_unlock(&history->lock);
	return generation != now;
}

GBytes *history_generation_read(SegfsHistory *history, const Generation *generation, gsize offset,
				gsize size)
{
	g_mutex_lock(&history->lock);
	const GString *text = generation->text;
	const gsize from = MIN(offset, text->len);
	GBytes *bytes = g_bytes_new(text->str + from, MIN(size, text->len - from));
	g_mutex_unlock(&history->lock);
	return bytes;
}

GPtrArray *history_gone(SegfsHistory *history)
{
	GPtrArray *copies = g_ptr_array_new_with_free_func(gone_free);

	g_mutex_lock(&history->lock);
	g_autoptr(GPtrArray) all = table_gone(history->table);
	for (guint i = 0; i < all->len; i++)
		g_ptr_array_add(copies, gone_copy(all->pdata[i]));
	g_mutex_unlock(&history->lock);
	return copies;
}

Gone *history_gone_one(SegfsHistory *history, uint64_t serial)
{
	g_mutex_lock(&history->lock);
	const Gone *gone = table_gone_one(history->table, serial);
	Gone *copy = gone ? gone_copy(gone) : NULL;
	g_mutex_unlock(&history->lock);
	return copy;
}

void history_is_gone(SegfsHistory *history, const Piece *piece)
{
	const int64_t now = g_get_real_time();
	g_autofree char *file = piece->key.is_sysv
					? g_strdup_printf("sysv/%" PRIu64, piece->key.number)
					: g_strdup_printf("posix/%s", piece->name);
	GString *line = log_line(now, "gone", file);

	if (piece->key.is_sysv) {
		log_field_number(line, "ns", piece->key.domain);
		log_field_number(line, "size", piece->size);
	} else {
		log_field_number(line, "inode", piece->key.number);
	}
	history_add_line(history, line);
	table_remove(history->table, piece, now, NULL, false);
}

/* asked: when these were, in microseconds since 1970; or they were later. */
static void compare(SegfsHistory *history, const SegfsIpc *ipc, const GArray *segments,
		    int64_t asked)
{
	g_autoptr(GHashTable) by_id = g_hash_table_new(NULL, NULL);

	/* Of what is not in the list any more it may have been told by whom, and why. */
	history_catch_up(history);
	for (guint i = 0; i < segments->len; i++) {
		const SegfsSysv *segment = &g_array_index(segments, SegfsSysv, i);
		g_hash_table_insert(by_id, GINT_TO_POINTER(segment->shmid), (gpointer)segment);
	}
	g_mutex_lock(&history->lock);
	g_autoptr(GPtrArray) known = table_pieces(history->table);
	for (guint i = 0; i < known->len; i++) {
		const Piece *piece = known->pdata[i];
		if (!piece->key.is_sysv || piece->key.domain != segfs_ipc_inum(ipc))
			continue;
		const SegfsSysv *segment =
			g_hash_table_lookup(by_id, GINT_TO_POINTER((int)piece->key.number));
		/* What was told of since the list was asked for may not be in it. */
		if ((piece->past.ended || piece->past.ended_unseen) && piece->past.ended < asked &&
		    !(segment && may_be_of(piece, segment)))
			history_is_gone(history, piece);
	}
	g_mutex_unlock(&history->lock);
	history_tell(history);
}

void history_look(SegfsHistory *history, SegfsIpc *ipc)
{
	g_autoptr(GArray) segments = NULL;
	const int64_t asked = g_get_real_time();

	if (segfs_sysv_list_brief(ipc, &segments) == 0)
		compare(history, ipc, segments, asked);
}

#define SAVED_TYPE "(txxxxttt" LOG_TYPE TABLE_TYPE ")"

/* Process numbers are those of a pid namespace. */
static uint64_t pid_namespace(void)
{
	return procfs_namespace(AT_FDCWD, "/proc/self/ns/pid");
}

GBytes *history_save(SegfsHistory *history)
{
	g_mutex_lock(&history->lock);
	g_autoptr(GVariant) saved = g_variant_ref_sink(g_variant_new(
		"(txxxxttt@" LOG_TYPE "@" TABLE_TYPE ")", pid_namespace(), history->since,
		g_get_real_time(), history->gap_from, history->gap_to, history->n_gaps,
		history->seen, history->lost, log_save(history->log), table_save(history->table)));
	g_mutex_unlock(&history->lock);
	return g_variant_get_data_as_bytes(saved);
}

/* Has the creator ended meanwhile? If not its end will be told. */
static void resume_piece(SegfsHistory *history, Piece *piece)
{
	SegfsPast *past = &piece->past;

	if (past->ended || past->ended_unseen || past->creator.pid <= 0 || !past->creator.start)
		return;
	history_await(history, &past->creator);
	if (!past->ended)
		past->ended_unseen =
			!procfs_is_alive("/proc", past->creator.pid, past->creator.start);
}

static void resume(SegfsHistory *history, int64_t saved)
{
	g_autoptr(GPtrArray) pieces = table_pieces(history->table);
	GString *line = log_line(history->gap_to, "gap", "events");

	log_field_time(line, "from", saved);
	history->gap_from = saved;
	history->n_gaps++;
	history_add_line(history, line);
	history->told = history->seen;
	for (guint i = 0; i < pieces->len; i++)
		resume_piece(history, pieces->pdata[i]);
}

bool history_restore(SegfsHistory *history, GBytes *bytes)
{
	g_autoptr(GVariant) saved = g_variant_ref_sink(
		g_variant_new_from_bytes(G_VARIANT_TYPE(SAVED_TYPE), bytes, FALSE));
	g_autoptr(GVariant) log = NULL, table = NULL;
	int64_t since, until, gap_from, gap_to; /* the last gap is that of now */
	uint64_t pids, n_gaps, seen, lost;

	if (!g_variant_is_normal_form(saved))
		return false;
	g_variant_get(saved, "(txxxxttt@" LOG_TYPE "@" TABLE_TYPE ")", &pids, &since, &until,
		      &gap_from, &gap_to, &n_gaps, &seen, &lost, &log, &table);
	if (pids != pid_namespace() || !log_restore(history->log, log))
		return false;
	table_restore(history->table, table);
	history->gap_to = history->since;
	history->since = since;
	history->n_gaps = n_gaps;
	history->seen = seen;
	history->lost = lost;
	resume(history, until);
	return true;
}
