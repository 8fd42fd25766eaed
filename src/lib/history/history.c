/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * One thread waits for what the kernel tells (probe.c, names.c) and writes it down; all else only
 * reads that. An event names a process by its number, and the process may have ended, or run
 * another program, before the thread has got so far. So what /proc says of it counts only as long
 * as the event's pidfd says that it is the same, and otherwise the probe's table of those that have
 * ended lately. Where neither knows it, it is not guessed at.
 */

#include "lib/history/history.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/history/names.h"
#include "lib/history/probe.h"
#include "lib/history/witness.h"
#include "lib/memory/ipc.h"
#include "lib/os/autofd.h"

#define LOG_MOST ((gsize)1024 * 1024)
#define PIECES_MOST 10000
#define GONE_MOST 1024

struct SegfsHistory {
	Probe *probe; /* NULL: why_no_probe */
	char *why_no_probe;
	Names *names; /* NULL: why_no_names */
	char *why_no_names;
	Witness *witness; /* the thread's own */
	int stop_fd;
	GThread *thread; /* NULL: there is nothing to wait for */
	int64_t since;   /* microseconds since 1970 */

	GMutex lock; /* protects what follows */
	Log *log;
	Table *table;
	guint n_watched; /* directories of POSIX objects */
	uint64_t seen, lost;
};

static void add_line(SegfsHistory *history, GString *line)
{
	log_add(history->log, line);
	history->seen++;
}

/* A segment that its creator has left, or still has when it runs another program. */
static void take_segment(SegfsHistory *history, const struct ends_event *event,
			 const struct ends_segment *segment, const SegfsActor *actor, int64_t at)
{
	const PieceKey key = {true, segment->ns, segment->shmid};
	const Piece *before = table_find(history->table, &key);
	Piece piece = {
		.key = key,
		.again = segment->ns_id,
		.size = segment->size,
		.sysv_key = segment->key,
		.ctime = segment->ctime,
	};

	/* What the creator was called when it made it is known from before it ran another program.
	 */
	if (before && before->again == piece.again && before->size == piece.size &&
	    before->past.creator.pid == actor->pid && before->past.creator.start == actor->start)
		piece.past.creator = actor_copy(&before->past.creator);
	else
		piece.past.creator = actor_copy(actor);
	if (event->process.has_ended) {
		piece.past.ended = at;
		piece.past.code = event->process.code;
	}
	table_add(history->table, &piece);
	if (!event->process.has_ended)
		return;
	g_autofree char *file = g_strdup_printf("sysv/%d", segment->shmid);
	g_autofree char *end = segfs_end_text(event->process.code);
	GString *line = log_line(at, "left", file);
	log_field_actor(line, "", actor);
	log_field(line, "end", end);
	log_field_number(line, "ns", segment->ns);
	log_field_number(line, "size", segment->size);
	if (segment->key)
		g_string_append_printf(line, " key=0x%08x", segment->key);
	add_line(history, line);
}

static void take_end(const struct ends_event *event, gpointer data)
{
	SegfsHistory *history = data;
	SegfsActor actor;

	/* Its segments are those of whom it made them for, and it says itself who that is. */
	if (event->process.is_daemon)
		return;
	const int64_t at = witness_time(event->process.at);
	witness_actor_of(history->witness, &event->process, &actor);
	g_mutex_lock(&history->lock);
	for (guint i = 0; i < event->n; i++)
		take_segment(history, event, &event->segments[i], &actor, at);
	if (event->more)
		history->lost++;
	if (event->process.has_ended && actor.pid > 0)
		table_end(history->table, actor.pid, actor.start, at, event->process.code);
	g_mutex_unlock(&history->lock);
	actor_clear(&actor);
}

static void name_created(SegfsHistory *history, const Piece *piece, int64_t at)
{
	g_autofree char *file = g_strdup_printf("posix/%s", piece->name);
	GString *line = log_line(at, "create", file);

	log_field_actor(line, "", &piece->past.creator);
	log_field_number(line, "inode", piece->key.number);
	add_line(history, line);
}

static void name_removed(SegfsHistory *history, const Piece *piece, const SegfsActor *actor,
			 bool is_last, int64_t at)
{
	g_autofree char *file = g_strdup_printf("posix/%s", piece->name);
	GString *line = log_line(at, "remove", file);

	log_field_actor(line, "", actor);
	log_field_number(line, "inode", piece->key.number);
	add_line(history, line);
	/* What has another name is not gone. */
	if (is_last)
		table_remove(history->table, piece, at, actor);
}

static void name_changed(SegfsHistory *history, const Piece *piece, const char *from,
			 const SegfsActor *actor, int64_t at)
{
	g_autofree char *file = g_strdup_printf("posix/%s", piece->name);
	g_autofree char *before = g_strdup_printf("posix/%s", from);
	Piece *known = table_find(history->table, &piece->key);
	GString *line = log_line(at, "rename", file);

	log_field(line, "from", before);
	log_field_actor(line, "", actor);
	log_field_number(line, "inode", piece->key.number);
	add_line(history, line);
	if (known && known->again == piece->again) {
		g_free(known->name);
		known->name = g_strdup(piece->name);
	}
}

/* actor has done that to piece. has_name: it has one, after all that. */
static void take_change(SegfsHistory *history, guint verbs, const Piece *piece, const char *from,
			const SegfsActor *actor, bool has_name)
{
	const int64_t at = g_get_real_time();

	g_mutex_lock(&history->lock);
	if (verbs & NAMES_CREATE) {
		const Piece *known = table_find(history->table, &piece->key);
		Piece made = *piece;
		made.past.creator = *actor;
		made.past.made = at;
		name_created(history, &made, at);
		/* One more name of it (link(2)) has no other creator. */
		if (!known || known->again != piece->again) {
			made.name = g_strdup(piece->name);
			made.past.creator = actor_copy(actor);
			table_add(history->table, &made);
		}
	}
	if (verbs & NAMES_RENAME)
		name_changed(history, piece, from ? from : "?", actor, at);
	if (verbs & NAMES_DELETE)
		name_removed(history, piece, actor, !has_name, at);
	g_mutex_unlock(&history->lock);
}

static void take_name(const NamesEvent *event, gpointer data)
{
	SegfsHistory *history = data;
	const Piece piece = {
		.key = {false, event->file.dev, event->file.ino},
		.again = event->file.generation,
		.name = (char *)event->path,
	};
	SegfsActor actor;
	struct stat st;
	struct statx born = {};

	if (event->pid == getpid())
		return;
	const bool there = event->file_fd >= 0 && fstat(event->file_fd, &st) == 0;
	if (!there || !(event->verbs & NAMES_CREATE) ||
	    statx(event->file_fd, "", AT_EMPTY_PATH, STATX_BTIME, &born) < 0 ||
	    !(born.stx_mask & STATX_BTIME))
		born = (struct statx){};
	const int64_t when = born.stx_btime.tv_sec * 1000000000LL + born.stx_btime.tv_nsec;
	/* Another mount has done it for somebody whom only that one knows. */
	if (!witness_read(history->witness, event->pid, event->pidfd, when, &actor)) {
		actor_clear(&actor);
		actor = (SegfsActor){};
	}
	take_change(history, event->verbs, &piece, event->from, &actor, there && st.st_nlink > 0);
	struct ends_process end;
	if (event->verbs & NAMES_CREATE && actor.start &&
	    !witness_await(history->witness, &actor, &end)) {
		g_mutex_lock(&history->lock);
		table_end(history->table, actor.pid, actor.start, witness_time(end.at), end.code);
		g_mutex_unlock(&history->lock);
	}
	actor_clear(&actor);
}

static gpointer wait_for_events(gpointer data)
{
	SegfsHistory *history = data;
	struct pollfd fds[] = {
		{.fd = history->stop_fd, .events = POLLIN},
		{.fd = history->probe ? probe_fd(history->probe) : -1, .events = POLLIN},
		{.fd = history->names ? names_fd(history->names) : -1, .events = POLLIN},
	};

	while (poll(fds, G_N_ELEMENTS(fds), -1) >= 0 || errno == EINTR) {
		if (fds[0].revents)
			break;
		if (fds[2].revents) {
			const guint lost = names_read(history->names, take_name, history);
			witness_round_ends(history->witness);
			g_mutex_lock(&history->lock);
			history->lost += lost;
			g_mutex_unlock(&history->lock);
		}
		if (fds[1].revents)
			probe_read(history->probe, take_end, history);
	}
	return NULL;
}

SegfsHistory *segfs_history_new(const SegfsHistoryOptions *options)
{
	SegfsHistory *history = g_new0(SegfsHistory, 1);

	g_mutex_init(&history->lock);
	history->log = log_new(LOG_MOST);
	history->table = table_new(PIECES_MOST, GONE_MOST);
	history->since = g_get_real_time();
	history->probe = probe_new(&history->why_no_probe);
	const int r = names_new(&history->names);
	if (r < 0)
		history->why_no_names = g_strdup(g_strerror(-r));
	history->witness = witness_new(options->proc_root ? options->proc_root : "/proc",
				       history->probe, options->no_arguments);
	history->stop_fd = eventfd(0, EFD_CLOEXEC);
	if ((history->probe || history->names) && history->stop_fd >= 0)
		history->thread = g_thread_new("history", wait_for_events, history);
	return history;
}

void segfs_history_free(SegfsHistory *history)
{
	const uint64_t one = 1;

	if (history->thread) {
		while (write(history->stop_fd, &one, sizeof(one)) < 0 && errno == EINTR)
			;
		g_thread_join(history->thread);
	}
	if (history->stop_fd >= 0)
		close(history->stop_fd);
	witness_free(history->witness);
	g_clear_pointer(&history->probe, probe_free);
	g_clear_pointer(&history->names, names_free);
	log_free(history->log);
	table_free(history->table);
	g_mutex_clear(&history->lock);
	g_free(history->why_no_probe);
	g_free(history->why_no_names);
	g_free(history);
}

static void copy_past(const Piece *piece, SegfsPast *ret_past)
{
	*ret_past = piece->past;
	ret_past->creator = actor_copy(&piece->past.creator);
}

/*
 * Number, key and size can be another segment's by now. Its namespace's own id rules that out, but
 * for a wrap of all ids; where this kernel has none, an unchanged ctime does.
 */
static bool is_of(const Piece *piece, uint64_t ns_id, const SegfsSysv *segment)
{
	if (piece->size != segment->size || piece->past.creator.pid != segment->cpid ||
	    (!segment->dest && piece->sysv_key != (uint32_t)segment->key) ||
	    (piece->again && ns_id && piece->again != ns_id))
		return false;
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
	const bool known = piece && piece->again == file.generation;
	if (known)
		copy_past(piece, ret_past);
	g_mutex_unlock(&history->lock);
	return known;
}

int segfs_history_watch(SegfsHistory *history, const SegfsPosix *posix)
{
	if (!history->names)
		return -EPERM;
	const int r = names_watch(history->names, posix);
	g_mutex_lock(&history->lock);
	if (r == 0)
		history->n_watched++;
	else if (!history->why_no_names)
		history->why_no_names =
			g_strdup(r == -EXDEV ? "it is no tmpfs of its own" : g_strerror(-r));
	g_mutex_unlock(&history->lock);
	return r;
}

void segfs_history_count(SegfsHistory *history, SegfsHistoryCounts *ret_counts)
{
	g_mutex_lock(&history->lock);
	*ret_counts = (SegfsHistoryCounts){
		.seen = history->seen,
		.lost = history->lost + (history->probe ? probe_lost(history->probe) : 0),
	};
	g_mutex_unlock(&history->lock);
}

char *segfs_history_text(SegfsHistory *history)
{
	g_autoptr(GDateTime) since =
		g_date_time_new_from_unix_local(history->since / G_USEC_PER_SEC);
	g_autofree char *date = since ? g_date_time_format(since, "%Y-%m-%d %H:%M:%S %z") : NULL;
	SegfsHistoryCounts counts;
	GString *text = g_string_new(NULL);

	segfs_history_count(history, &counts);
	g_mutex_lock(&history->lock);
	const bool names = history->n_watched > 0;
	g_string_append(text, history->probe ? "the ends of tasks" : "");
	g_string_append(text, history->probe && names ? " and " : "");
	g_string_append(text, names ? "/dev/shm" : "");
	if (history->probe || names)
		g_string_append_printf(text, ", since %s, %" PRIu64 " events lost",
				       date ? date : "?", counts.lost);
	if (!history->probe)
		g_string_append_printf(text, "%s%s", text->len ? "; " : "", history->why_no_probe);
	if (!names)
		g_string_append_printf(text, "%snothing of /dev/shm: %s", text->len ? "; " : "",
				       history->why_no_names ? history->why_no_names
							     : "not watched");
	g_mutex_unlock(&history->lock);
	return g_string_free(text, FALSE);
}

Generation *history_generation(SegfsHistory *history, guint back)
{
	if (!history)
		return NULL;
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

static void gone_copy_free(gpointer data)
{
	Gone *gone = data;

	g_free(gone->piece.name);
	segfs_past_clear(&gone->piece.past);
	actor_clear(&gone->remover);
	g_free(gone);
}

GPtrArray *history_gone(SegfsHistory *history)
{
	GPtrArray *copies = g_ptr_array_new_with_free_func(gone_copy_free);

	g_mutex_lock(&history->lock);
	g_autoptr(GPtrArray) all = table_gone(history->table);
	for (guint i = 0; i < all->len; i++) {
		const Gone *gone = all->pdata[i];
		Gone *copy = g_memdup2(gone, sizeof(*gone));
		copy->piece.name = g_strdup(gone->piece.name);
		copy->piece.past.creator = actor_copy(&gone->piece.past.creator);
		copy->remover = actor_copy(&gone->remover);
		g_ptr_array_add(copies, copy);
	}
	g_mutex_unlock(&history->lock);
	return copies;
}
