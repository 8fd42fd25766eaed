/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * One thread waits for what the kernel tells (probe.c, calls_probe.c, names.c) and writes it down;
 * all else only reads that. An event names a process by its number, and the process may have ended,
 * or run another program, before the thread has got so far. So what /proc says of it counts only as
 * long as the event's pidfd says that it is the same, and otherwise the probe's table of those that
 * have ended lately. Where neither knows it, it is not guessed at.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/history/inside.h"
#include "lib/kernel/kernel.h"
#include "lib/os/autofd.h"
#include "lib/stack/stack.h"

#define LOG_MOST ((gsize)1024 * 1024)
#define PIECES_MOST 10000
#define GONE_MOST 1024
#define READS_MOST 64
/* Who makes and removes many is not to wake the thread for each: not through the mount (a deed
 * keeps its caller's number) nor beside it, where the kernel remembers who it was. Nothing is lost
 * by reading them so many milliseconds later. */
#define REST_MS 5

/* NULL: that is not known. */
static SegfsStack *stack_of_segment(SegfsHistory *history, const struct ends_event *event,
				    const struct ends_segment *segment)
{
	struct stack told;

	return probe_segment_stack(history->probe, segment, &event->process, &told)
		       ? stack_new(&told)
		       : NULL;
}

/* A segment that its creator has left, or still has when it runs another program. */
static void take_segment(SegfsHistory *history, const struct ends_event *event,
			 const struct ends_segment *segment, const SegfsActor *actor,
			 const SegfsKin *kin, int64_t at)
{
	const PieceKey key = {true, segment->ns, segment->shmid};
	const Piece *before = table_find(history->table, &key);
	Piece piece = {
		.key = key,
		.again = segment->ns_id,
		.size = segment->size,
		.sysv_key = segment->key,
		.ctime = segment->ctime,
		.cpid = actor->pid,
	};

	/* What the creator was called when it made it is known from before it ran another program.
	 */
	if (before && before->again == piece.again && before->size == piece.size &&
	    before->past.creator.pid == actor->pid && before->past.creator.start == actor->start) {
		piece.past = before->past;
		piece.past.creator = actor_copy(&before->past.creator);
		piece.past.kin = kin_join(before->past.kin, kin);
		segfs_stack_ref(piece.past.stack);
	} else {
		piece.past.creator = actor_copy(actor);
		piece.past.kin = kin_copy(kin);
	}
	if (!piece.past.stack)
		piece.past.stack = stack_of_segment(history, event, segment);
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
	history_add_line(history, line);
}

static void take_end(const struct ends_event *event, gpointer data)
{
	SegfsHistory *history = data;
	SegfsActor actor;

	/* Its segments are those of whom it made them for, and it says itself who that is. */
	if (event->process.is_daemon)
		return;
	const int64_t at = witness_time(event->process.at);
	g_autofree SegfsKin *kin = history_kin_of(history, &event->process);
	witness_actor_of(history->witness, &event->process, &actor);
	g_mutex_lock(&history->lock);
	for (guint i = 0; i < event->n; i++)
		take_segment(history, event, &event->segments[i], &actor, kin, at);
	if (event->process.has_ended && actor.pid > 0)
		history_take_end(history, &event->process, &actor, kin);
	g_mutex_unlock(&history->lock);
	actor_clear(&actor);
	if (event->more)
		history_lose(history, 1);
}

/* actor has done that to an object, which was called from before, if that is not NULL. */
static void tell_object(SegfsHistory *history, const char *verb, const Piece *piece,
			const char *from, const SegfsActor *actor, int64_t at)
{
	g_autofree char *file = g_strdup_printf("posix/%s", piece->name);
	GString *line = log_line(at, verb, file);

	if (from) {
		g_autofree char *before = g_strdup_printf("posix/%s", from);
		log_field(line, "from", before);
	}
	log_field_actor(line, "", actor);
	if (piece->ns)
		log_field_number(line, "ns", piece->ns);
	log_field_number(line, "inode", piece->key.number);
	history_add_line(history, line);
}

/* actor has done that to piece. has_name: it has one, after all that. */
static void take_change(SegfsHistory *history, guint verbs, const Piece *piece, const char *from,
			const SegfsActor *actor, bool has_name)
{
	const int64_t at = g_get_real_time();

	g_mutex_lock(&history->lock);
	Piece *known = table_find_same(history->table, piece);
	if (verbs & NAMES_CREATE) {
		tell_object(history, "create", piece, NULL, actor, at);
		/* One more name of it (link(2)) has no other creator. */
		if (!known) {
			Piece made = *piece;
			made.name = g_strdup(piece->name);
			made.past.creator = actor_copy(actor);
			made.past.kin = kin_copy(piece->past.kin);
			made.past.stack = segfs_stack_ref(piece->past.stack);
			made.past.made = at;
			known = table_add(history->table, &made);
		}
	}
	if (verbs & NAMES_RENAME) {
		tell_object(history, "rename", piece, from ? from : "?", actor, at);
		if (known)
			table_rename(history->table, known, g_strdup(piece->name));
	}
	if (verbs & NAMES_DELETE) {
		tell_object(history, "remove", piece, NULL, actor, at);
		/* What has another name is not gone. */
		if (!has_name)
			table_remove(history->table, piece, at, actor, false);
	}
	g_mutex_unlock(&history->lock);
}

/*
 * Who has caused the event; n_execs, kin and stack of the piece are set where it has made that.
 * False: another mount has done it for somebody whom only that one knows.
 */
static bool find_actor(SegfsHistory *history, const NamesEvent *event, Piece *piece,
		       SegfsActor *ret_actor)
{
	struct ends_made made;
	struct stack told;

	/* One more name of it (link(2)) can be another's, or of another program's. */
	if (event->verbs & NAMES_CREATE && history->probe &&
	    !table_find_same(history->table, piece) &&
	    probe_made(history->probe, event->file.dev, event->file.ino, &made) &&
	    made.pid == (uint32_t)event->pid) {
		piece->n_execs = made.n_execs;
		if (probe_stack(history->probe, &made, &told))
			piece->past.stack = stack_new(&told);
		return witness_read_maker(history->witness, &made, event->pidfd, ret_actor);
	}
	const int64_t when = event->verbs & NAMES_CREATE ? piece->born : 0;
	if (!witness_read(history->witness, event->pid, event->pidfd, when, ret_actor))
		return false;
	if (event->verbs & NAMES_CREATE)
		piece->n_execs = witness_execs(history->witness, ret_actor, when, &piece->past.kin);
	return true;
}

/* What we have done ourselves was for somebody. */
static void take_own(SegfsHistory *history, const NamesEvent *event, Piece *piece, bool has_name)
{
	static const struct {
		NamesVerb is;
		DeedVerb verb;
	} verbs[] = {
		{NAMES_CREATE, DEED_CREATE},
		{NAMES_RENAME, DEED_RENAME},
		{NAMES_DELETE, DEED_REMOVE},
	};

	piece->n_execs = ENDS_MANY;
	for (guint i = 0; i < G_N_ELEMENTS(verbs); i++) {
		g_auto(SegfsActor) actor = {};
		if (!(event->verbs & verbs[i].is))
			continue;
		deeds_actor(history, verbs[i].verb, event->file.dev, event->path, &actor);
		take_change(history, verbs[i].is, piece, event->from, &actor, has_name);
		if (verbs[i].is == NAMES_CREATE)
			history_await(history, &actor);
	}
}

/* Whether it has a name. Its memory is held for the look alone: the file can be removed by now. */
static bool look_at_file(SegfsHistory *history, const NamesEvent *event, Piece *piece)
{
	autofd fd = event->file_fd;
	nlink_t links;

	if (!names_look(fd, &piece->born, &links))
		return false;
	if (links == 0)
		freed_watch(history, fd, piece);
	return links > 0;
}

static void take_name(const NamesEvent *event, gpointer data)
{
	SegfsHistory *history = data;
	Piece piece = {
		.key = {false, event->file.dev, event->file.ino},
		.again = event->file.generation,
		.name = (char *)event->path,
		.ns = event->ns,
	};
	SegfsActor actor;

	const bool has_name = look_at_file(history, event, &piece);
	if (event->pid == getpid()) {
		take_own(history, event, &piece, has_name);
		return;
	}
	if (!find_actor(history, event, &piece, &actor)) {
		actor_clear(&actor);
		actor = (SegfsActor){};
		piece.n_execs = ENDS_MANY;
	}
	take_change(history, event->verbs, &piece, event->from, &actor, has_name);
	g_free(piece.past.kin);
	g_clear_pointer(&piece.past.stack, segfs_stack_unref);
	if (event->verbs & NAMES_CREATE)
		history_await(history, &actor);
	actor_clear(&actor);
}

/* Before it ends a process makes and attaches. */
static void read_probe(SegfsHistory *history)
{
	if (history->calls)
		segments_read(history);
	const uint64_t lost = probe_lost(history->probe);

	probe_read(history->probe, take_end, history);
	if (lost != history->probe_lost)
		history_lose(history, lost - history->probe_lost);
	history->probe_lost = lost;
}

static bool are_left(const Names *names)
{
	return names && poll(&(struct pollfd){names_fd(names), POLLIN, 0}, 1, 0) != 0;
}

/* A queue that grows costs whoever makes a name: the kernel looks through it for an event like the
 * new one. */
static void read_names(SegfsHistory *history, Names *names)
{
	guint lost = 0;

	for (guint i = 0; i < READS_MOST && (i == 0 || are_left(names)); i++)
		lost += names_read(names, take_name, history);
	if (!are_left(history->names) && !are_left(history->others)) {
		witness_round_ends(history->witness);
		deeds_rest(history);
	}
	if (lost)
		history_lose(history, lost);
}

/* What was done there before is told of first, where it is not too much. */
static void end_others(SegfsHistory *history)
{
	read_names(history, history->others);
	names_end(history->others);
}

/* What others had done before comes first. */
static void read_deeds(SegfsHistory *history)
{
	g_mutex_lock(&history->deeds_lock);
	const uint64_t round = history->round_wanted;
	g_mutex_unlock(&history->deeds_lock);
	if (history->names)
		read_names(history, history->names);
	if (history->others)
		end_others(history);
	if (history->freed_fd >= 0)
		freed_read(history);
	if (history->probe)
		read_probe(history);
	deeds_take(history);
	g_mutex_lock(&history->deeds_lock);
	history->round_done = round;
	g_cond_broadcast(&history->round_changed);
	g_mutex_unlock(&history->deeds_lock);
}

static gpointer wait_for_events(gpointer data)
{
	SegfsHistory *history = data;
	struct pollfd fds[] = {
		{.fd = history->wake_fd, .events = POLLIN},
		{.fd = history->probe ? probe_fd(history->probe) : -1, .events = POLLIN},
		{.fd = history->names ? names_fd(history->names) : -1, .events = POLLIN},
		{.fd = history->calls ? calls_probe_fd(history->calls) : -1, .events = POLLIN},
		{.fd = history->others ? names_fd(history->others) : -1, .events = POLLIN},
		{.fd = history->others ? names_ends_fd(history->others) : -1, .events = POLLIN},
		{.fd = history->freed_fd, .events = POLLIN},
	};
	/* Which of them are left alone for a while once there was something. */
	const bool has_made = history->probe && probe_has_made(history->probe);
	const bool may_rest[] = {true, false, has_made, true, has_made, false, true};
	int all[G_N_ELEMENTS(fds)];
	bool rests = false;
	eventfd_t n;

	for (guint i = 0; i < G_N_ELEMENTS(fds); i++)
		all[i] = fds[i].fd;
	while (poll(fds, G_N_ELEMENTS(fds), rests ? REST_MS : -1) >= 0 || errno == EINTR) {
		/* In this order: what has woken it is there to be seen then. */
		if (fds[0].revents)
			eventfd_read(history->wake_fd, &n);
		if (history->ends)
			break;
		if (fds[3].revents)
			segments_read(history);
		if (fds[2].revents)
			read_names(history, history->names);
		if (fds[4].revents)
			read_names(history, history->others);
		if (fds[5].revents)
			end_others(history);
		if (fds[6].revents)
			freed_read(history);
		if (fds[1].revents)
			read_probe(history);
		if (fds[0].revents)
			read_deeds(history);
		rests = false;
		for (guint i = 0; i < G_N_ELEMENTS(fds); i++) {
			const bool rest = may_rest[i] && fds[i].revents;
			fds[i].fd = rest ? -1 : all[i];
			fds[i].revents = 0;
			rests = rests || rest;
		}
		history_tell(history);
		history_keep_full(history);
	}
	/* What has come meanwhile. */
	read_deeds(history);
	return NULL;
}

SegfsHistory *segfs_history_new(const SegfsHistoryOptions *options)
{
	SegfsHistory *history = g_new0(SegfsHistory, 1);

	g_mutex_init(&history->lock);
	g_mutex_init(&history->change_lock);
	g_mutex_init(&history->deeds_lock);
	g_cond_init(&history->deeds_changed);
	g_cond_init(&history->round_changed);
	g_queue_init(&history->deeds);
	history->log = log_new(LOG_MOST);
	history->table = table_new(PIECES_MOST, GONE_MOST);
	history->uses = uses_new();
	history->since = g_get_real_time();
	history->stacks = options->stacks;
	history->probe = probe_new(options->stacks, &history->why_no_probe);
	/* These need no less, and an end tells which events are a process's last. */
	if (history->probe)
		history->calls =
			calls_probe_new(options->stacks, options->directory ? options->name : NULL,
					&history->why_no_calls);
	const int r = names_new(&history->names);
	if (r < 0)
		history->why_no_names =
			g_strdup(kernel_has(KERNEL_FANOTIFY_TARGET) ? g_strerror(-r)
								    : "that takes Linux 5.17");
	else if (names_new(&history->others) < 0)
		history->others = NULL;
	if (options->stacks && options->symbols)
		history->symbols = symbols_new(options->symbols, &history->why_no_symbols);
	else
		history->why_no_symbols = g_strdup("segfs was built without libdw");
	history->witness = witness_new(options->proc_root ? options->proc_root : "/proc",
				       history->probe, options->no_arguments);
	history->since_boot = witness_now();
	if (options->directory)
		history_recall(history, options->directory, options->name);
	history->n_kept = log_number(history->log);
	freed_begin(history);
	history->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (history->wake_fd >= 0)
		history->thread = g_thread_new("history", wait_for_events, history);
	return history;
}

void segfs_history_end(SegfsHistory *history)
{
	if (!history->thread)
		return;
	history->ends = true;
	history_wake(history);
	g_thread_join(g_steal_pointer(&history->thread));
	history_keep(history);
	if (history->calls)
		calls_probe_forget(history->calls);
}

void segfs_history_free(SegfsHistory *history)
{
	segfs_history_end(history);
	g_clear_pointer(&history->state, state_free);
	g_free(history->why_not_kept);
	if (history->wake_fd >= 0)
		close(history->wake_fd);
	freed_end(history);
	witness_free(history->witness);
	g_clear_pointer(&history->probe, probe_free);
	g_clear_pointer(&history->calls, calls_probe_free);
	g_clear_pointer(&history->names, names_free);
	g_clear_pointer(&history->others, names_free);
	log_free(history->log);
	table_free(history->table);
	uses_free(history->uses);
	g_mutex_clear(&history->lock);
	g_mutex_clear(&history->change_lock);
	deeds_clear(history);
	g_mutex_clear(&history->deeds_lock);
	g_cond_clear(&history->deeds_changed);
	g_cond_clear(&history->round_changed);
	g_clear_pointer(&history->symbols, symbols_free);
	g_free(history->why_no_symbols);
	g_free(history->why_no_probe);
	g_free(history->why_no_calls);
	g_free(history->why_no_names);
	g_free(history);
}

int segfs_history_watch(SegfsHistory *history, const SegfsPosix *posix)
{
	if (!history->names)
		return -EPERM;
	const int r = names_watch(history->names, posix);
	if (r == 0)
		kept_check_objects(history, segfs_posix_dev(posix));
	if (r == 0 && history->calls)
		calls_probe_watch(history->calls, segfs_posix_dev(posix), true);
	g_mutex_lock(&history->lock);
	/* Until now nobody has told of its names. */
	if (r == 0 && history->n_watched++ == 0 && history->n_gaps > 0)
		history->gap_to = g_get_real_time();
	if (r < 0 && !history->why_no_names)
		history->why_no_names =
			g_strdup(r == -EXDEV ? "it is no tmpfs of its own" : g_strerror(-r));
	g_mutex_unlock(&history->lock);
	return r;
}

void segfs_history_watch_of(SegfsHistory *history, uint64_t ns, pid_t pid, dev_t dev)
{
	if (!history->others || names_watch_of(history->others, pid, dev, ns) < 0)
		return;
	kept_check_objects(history, dev);
	if (history->calls)
		calls_probe_watch(history->calls, dev, true);
	/* Those that are not seen any more go. */
	history_wake(history);
}
