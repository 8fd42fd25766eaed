/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The way of a call that takes a name: the kernel looks the name up, and then asks something of
 * the node that was found. In between others can remove the name, or rename something over it.
 * In a tmpfs what was found is there nevertheless, since the kernel holds it; here it is the daemon
 * that has to hold it. So what a thread has found is kept until the thread asks for something else.
 *
 * Where the name leads to nothing that can be kept, the call can be told ESTALE, once: the kernel
 * then looks all its names up again and comes back, as the same thread. What it is told then goes
 * to the program. The kernel does not say that it comes for the second time; the thread's record
 * says it. A call that was given a descriptor does not come back: ESTALE would reach the program.
 *
 * Some calls end with a name that is found, others with one that is not: then nothing is asked
 * that would end the record. So records go after a while by themselves, for which there is a
 * thread, which sleeps for good where there are none. The thread's own turns are what time is
 * counted in: where the machine, or this process, stands still, it does for who is to come back.
 */

#include "mount/walk.h"

#define TURN (G_TIME_SPAN_SECOND / 2)

/* Turns. Longer than a thread takes to come back; memory is not freed so long. */
#define KEPT 4

/* So long it is known that a thread was told: on a busy machine it takes longer. */
#define TOLD 40

/* So many are kept, each perhaps a descriptor; with more the oldest goes. */
#define MOST 256

typedef struct {
	pid_t thread;
	guint64 when; /* the turn */
	bool told;
	const Node *told_of; /* only compared; NULL: a directory of the way */
	Node *node;          /* a reference; NULL: it was only told */
	WalkLetGo let_go;
} Walk;

struct Walks {
	GMutex lock;          /* protects what follows */
	GQueue *by_time;      /* Walk, the oldest first */
	GHashTable *of;       /* thread -> its GList in by_time; not those of thread 0 */
	GCond added_or_ended; /* while not watching */
	bool watching;        /* the watcher looks again by itself */
	guint64 turn;
	bool ended;
	GThread *watcher;
};

/* Not with the lock held: what is let go can take its time. */
static void walk_free(Walk *walk)
{
	if (!walk)
		return;
	if (walk->let_go)
		walk->let_go(walk->node, walk->thread);
	if (walk->node)
		node_unref(walk->node);
	g_free(walk);
}

/* Call with the lock held. */
static Walk *take(Walks *walks, GList *link)
{
	Walk *walk = link->data;

	if (walk->thread)
		g_hash_table_remove(walks->of, GINT_TO_POINTER(walk->thread));
	g_queue_delete_link(walks->by_time, link);
	return walk;
}

/* Call with the lock held. That it was told stays; what it holds is the caller's, as a record. */
static Walk *take_held(Walk *walk)
{
	Walk *held = g_memdup2(walk, sizeof(*walk));

	walk->told_of = walk->node;
	walk->node = NULL;
	walk->let_go = NULL;
	return held;
}

/* Call with the lock held. NULL: nothing more is to go. */
static Walk *take_old(Walks *walks)
{
	GList *at = walks->by_time->head;

	if (at && (walks->by_time->length > MOST || walks->ended))
		return take(walks, at);
	for (; at; at = at->next) {
		Walk *walk = at->data;
		const guint64 age = walks->turn - walk->when;
		if (age < KEPT)
			break;
		if (!walk->told || age >= TOLD)
			return take(walks, at);
		if (walk->node)
			return take_held(walk);
	}
	return NULL;
}

static gpointer watch(gpointer data)
{
	Walks *walks = data;
	Walk *old;

	g_mutex_lock(&walks->lock);
	while (!walks->ended || walks->by_time->length) {
		while ((old = take_old(walks))) {
			g_mutex_unlock(&walks->lock);
			walk_free(old);
			g_mutex_lock(&walks->lock);
		}
		walks->watching = walks->by_time->length > 0;
		if (walks->watching)
			walks->turn += !g_cond_wait_until(&walks->added_or_ended, &walks->lock,
							  g_get_monotonic_time() + TURN);
		else if (!walks->ended)
			g_cond_wait(&walks->added_or_ended, &walks->lock);
	}
	g_mutex_unlock(&walks->lock);
	return NULL;
}

Walks *walks_new(void)
{
	Walks *walks = g_new0(Walks, 1);

	g_mutex_init(&walks->lock);
	g_cond_init(&walks->added_or_ended);
	walks->by_time = g_queue_new();
	walks->of = g_hash_table_new(NULL, NULL);
	walks->watcher = g_thread_new("walks", watch, walks);
	return walks;
}

void walks_free(Walks *walks)
{
	g_mutex_lock(&walks->lock);
	walks->ended = true;
	g_cond_signal(&walks->added_or_ended);
	g_mutex_unlock(&walks->lock);
	g_thread_join(walks->watcher);
	g_queue_free(walks->by_time);
	g_hash_table_unref(walks->of);
	g_cond_clear(&walks->added_or_ended);
	g_mutex_clear(&walks->lock);
	g_free(walks);
}

/* Call with the lock held. The thread's record, for thread 0 one of node or (NULL) any; or NULL. */
static GList *find(Walks *walks, pid_t thread, const Node *node)
{
	if (thread)
		return g_hash_table_lookup(walks->of, GINT_TO_POINTER(thread));
	for (GList *at = walks->by_time->tail; at; at = at->prev) {
		const Walk *walk = at->data;
		if (walk->thread == 0 && (!node || walk->node == node))
			return at;
	}
	return NULL;
}

/* Call with the lock held. */
static void add(Walks *walks, Walk *walk)
{
	walk->when = walks->turn;
	g_queue_push_tail(walks->by_time, walk);
	if (walk->thread)
		g_hash_table_insert(walks->of, GINT_TO_POINTER(walk->thread), walks->by_time->tail);
	if (!walks->watching) {
		walks->watching = true;
		g_cond_signal(&walks->added_or_ended);
	}
}

void walks_found(Walks *walks, pid_t thread, Node *node, WalkLetGo let_go)
{
	Walk *walk = g_new(Walk, 1);

	*walk = (Walk){.thread = thread, .node = node_ref(node), .let_go = let_go};
	g_mutex_lock(&walks->lock);
	GList *link = thread ? find(walks, thread, NULL) : NULL;
	Walk *before = link ? take(walks, link) : NULL;
	/* A lookup is a part of the call that was told, not what it has come back for. */
	walk->told = before && before->told;
	add(walks, walk);
	Walk *old = take_old(walks);
	g_mutex_unlock(&walks->lock);
	walk_free(before);
	walk_free(old);
}

void walks_missed(Walks *walks, pid_t thread)
{
	g_mutex_lock(&walks->lock);
	GList *link = thread ? find(walks, thread, NULL) : NULL;
	if (link)
		((Walk *)link->data)->told_of = NULL;
	g_mutex_unlock(&walks->lock);
}

bool walks_has_found(Walks *walks, pid_t thread, const Node *node)
{
	g_mutex_lock(&walks->lock);
	const GList *link = find(walks, thread, node);
	const bool found = link && ((Walk *)link->data)->node == node;
	g_mutex_unlock(&walks->lock);
	return found;
}

bool walks_was_told(Walks *walks, pid_t thread)
{
	g_mutex_lock(&walks->lock);
	const GList *link = thread ? find(walks, thread, NULL) : NULL;
	const bool told = link && ((Walk *)link->data)->told;
	g_mutex_unlock(&walks->lock);
	return told;
}

bool walks_was_told_of(Walks *walks, pid_t thread, const Node *node)
{
	g_mutex_lock(&walks->lock);
	const GList *link = thread ? find(walks, thread, NULL) : NULL;
	const Walk *walk = link ? link->data : NULL;
	const bool told = walk && walk->told && walk->told_of == node;
	g_mutex_unlock(&walks->lock);
	return told;
}

/*
 * Call with the lock held. A call that comes back has looked all its names up: what it asks of is
 * what it has found, or, if it has a descriptor's name, what it was told of. Else it is another
 * call, which goes by names that the kernel knows from a listing.
 */
static bool comes_back(const Walk *walk, const Node *node)
{
	return walk->told && (!node || walk->node == node || walk->told_of == node);
}

bool walks_tell(Walks *walks, pid_t thread, const Node *node)
{
	Walk *walk = g_new(Walk, 1), *before = NULL;

	*walk = (Walk){.thread = thread, .told = true, .told_of = node};
	g_mutex_lock(&walks->lock);
	GList *link = thread ? find(walks, thread, NULL) : NULL;
	const bool again = link && comes_back(link->data, node);
	if (link && !again)
		before = take(walks, link);
	if (thread && !again)
		add(walks, g_steal_pointer(&walk));
	g_mutex_unlock(&walks->lock);
	walk_free(before);
	g_free(walk);
	return !again;
}

void walks_over(Walks *walks, pid_t thread, const Node *node)
{
	Walk *walk;

	do {
		g_mutex_lock(&walks->lock);
		GList *link = find(walks, thread, node);
		walk = link ? take(walks, link) : NULL;
		g_mutex_unlock(&walks->lock);
		walk_free(walk);
	} while (walk && !thread && !node);
}
