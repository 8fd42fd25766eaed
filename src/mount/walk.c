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
 * Some kernels (7.2.13 is one) look again by themselves, too, where a name is removed while they
 * step on what it has led to: unlink_may_reveal() of fs/namei.c. Nor is that said, the daemon need
 * not have been asked before, and open(2), unlike others, does not look for a third time. But it is
 * a name that was removed a moment ago for which it is asked then. So an open(2) of what came after
 * under such a name counts as told.
 *
 * Some calls end with a name that is found, others with one that is not: then nothing is asked
 * that would end the record. So records go after a while by themselves, for which there is a
 * thread, which sleeps for good where there are none. The thread's own turns are what time is
 * counted in: where the machine, or this process, stands still, it does for who is to come back.
 */

#include "mount/walk.h"

/* In which the thread looks for what is old. */
#define TURN (G_TIME_SPAN_SECOND / 2)

/* Turns. What was found is held for so long; memory is not freed meanwhile. */
#define KEPT 4

/* Turns. Longer than a thread takes to come back on a busy machine. */
#define TOLD 40

/*
 * Turns, and at most twice as many: a name was removed a moment ago. What an open(2) finds under it
 * takes longer to look up; where a machine is so busy that the kernel's own second look comes later
 * than that, and what that finds is gone, too, the program gets ESTALE.
 */
#define REMOVED 4

/* Names; with more than so many the moment is shorter. */
#define MOST_REMOVED 8192

/* So many are kept that hold something, each perhaps a descriptor; with more the oldest goes. */
#define MOST 256

/* The same of those that hold nothing. */
#define MOST_TOLD 4096

typedef struct {
	pid_t thread;
	guint64 when;   /* the turn in which it was added */
	guint64 told;   /* the turn in which its call was told; 0: it was not */
	bool has_found; /* node; lately, and has asked for nothing since */
	/* A reference: what it has found, or was told of. NULL: a directory of the way, or what
	 * was not found again. */
	Node *node;
	Node *held; /* a reference to the same, where let_go is not NULL */
	WalkLetGo let_go;
} Walk;

struct Walks {
	GMutex lock;          /* protects what follows */
	GQueue *found, *told; /* Walk, the oldest first */
	GHashTable *of;       /* thread -> its GList in one of them; not those of thread 0 */
	/* Of hash_of() each name that was removed: since a turn, and in as many turns before it. */
	GHashTable *removed, *removed_before;
	guint64 removed_since;
	GCond added_or_ended; /* while not watching */
	bool watching;        /* the watcher looks again by itself */
	guint64 turn;         /* of the watcher, from 1 */
	bool ended;
	GThread *watcher;
};

/* Not with the lock held: what is let go can take its time. */
static void walk_free(Walk *walk)
{
	if (!walk)
		return;
	if (walk->let_go)
		walk->let_go(walk->held, walk->thread);
	if (walk->held)
		node_unref(walk->held);
	if (walk->node)
		node_unref(walk->node);
	g_free(walk);
}

/* Call with the lock held. */
static bool is_told(const Walks *walks, const Walk *walk)
{
	return walk->told && walks->turn - walk->told < TOLD;
}

/* A name that has that of a removed one by chance counts as removed, too. */
static gpointer hash_of(const Node *directory, const char *name)
{
	return GUINT_TO_POINTER(g_str_hash(name) ^ g_direct_hash(directory));
}

/* Call with the lock held. Those of before are forgotten, and the others are of before. */
static void age_removed(Walks *walks)
{
	GHashTable *old = walks->removed_before;

	walks->removed_before = walks->removed;
	walks->removed = old;
	g_hash_table_remove_all(old);
	walks->removed_since = walks->turn;
}

/* Call with the lock held. Is there what has to go as time passes? */
static bool has_to_watch(const Walks *walks)
{
	return walks->found->length || walks->told->length || g_hash_table_size(walks->removed) ||
	       g_hash_table_size(walks->removed_before);
}

/* Call with the lock held. */
static void start_to_watch(Walks *walks)
{
	if (!walks->watching) {
		walks->watching = true;
		g_cond_signal(&walks->added_or_ended);
	}
}

/* Call with the lock held. Those that have found, or those that were only told. */
static GQueue *queue_of(Walks *walks, const Walk *walk)
{
	return walk->has_found ? walks->found : walks->told;
}

/* Call with the lock held. */
static Walk *take(Walks *walks, GList *link)
{
	Walk *walk = link->data;

	if (walk->thread)
		g_hash_table_remove(walks->of, GINT_TO_POINTER(walk->thread));
	g_queue_delete_link(queue_of(walks, walk), link);
	return walk;
}

/* Call with the lock held. What the record holds, as a record; that its call was told stays. */
static Walk *take_held(Walks *walks, GList *link)
{
	Walk *walk = link->data;

	if (!is_told(walks, walk))
		return take(walks, link);
	Walk *held = g_new(Walk, 1);
	*held = (Walk){.thread = walk->thread, .held = walk->held, .let_go = walk->let_go};
	walk->held = NULL;
	walk->let_go = NULL;
	if (walk->has_found) {
		g_queue_unlink(walks->found, link);
		g_queue_push_tail_link(walks->told, link);
		walk->has_found = false;
	}
	return held;
}

/* Call with the lock held. NULL: nothing more is to go. */
static Walk *take_old(Walks *walks)
{
	GList *found = walks->found->head, *told = walks->told->head;

	if (found && (walks->ended || walks->found->length > MOST ||
		      walks->turn - ((Walk *)found->data)->when >= KEPT))
		return take_held(walks, found);
	if (told &&
	    (walks->ended || walks->told->length > MOST_TOLD || !is_told(walks, told->data)))
		return take(walks, told);
	return NULL;
}

static gpointer watch(gpointer data)
{
	Walks *walks = data;
	Walk *old;

	g_mutex_lock(&walks->lock);
	while (!walks->ended || walks->found->length || walks->told->length) {
		while ((old = take_old(walks))) {
			g_mutex_unlock(&walks->lock);
			walk_free(old);
			g_mutex_lock(&walks->lock);
		}
		if (walks->turn - walks->removed_since >= REMOVED)
			age_removed(walks);
		walks->watching = !walks->ended && has_to_watch(walks);
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
	walks->turn = 1;
	walks->found = g_queue_new();
	walks->told = g_queue_new();
	walks->of = g_hash_table_new(NULL, NULL);
	walks->removed = g_hash_table_new(NULL, NULL);
	walks->removed_before = g_hash_table_new(NULL, NULL);
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
	g_queue_free(walks->found);
	g_queue_free(walks->told);
	g_hash_table_unref(walks->of);
	g_hash_table_unref(walks->removed);
	g_hash_table_unref(walks->removed_before);
	g_cond_clear(&walks->added_or_ended);
	g_mutex_clear(&walks->lock);
	g_free(walks);
}

/* Call with the lock held. The thread's record, for thread 0 one of node or (NULL) any; or NULL. */
static GList *find(Walks *walks, pid_t thread, const Node *node)
{
	if (thread)
		return g_hash_table_lookup(walks->of, GINT_TO_POINTER(thread));
	for (GList *at = walks->found->tail; at; at = at->prev) {
		const Walk *walk = at->data;
		if (walk->thread == 0 && (!node || walk->node == node))
			return at;
	}
	return NULL;
}

/* Call with the lock held. */
static void add(Walks *walks, Walk *walk)
{
	GQueue *queue = queue_of(walks, walk);

	walk->when = walks->turn;
	g_queue_push_tail(queue, walk);
	if (walk->thread)
		g_hash_table_insert(walks->of, GINT_TO_POINTER(walk->thread), queue->tail);
	start_to_watch(walks);
}

void walks_found(Walks *walks, pid_t thread, Node *node, bool again, WalkLetGo let_go)
{
	Walk *walk = g_new(Walk, 1);

	*walk = (Walk){
		.thread = thread,
		.has_found = true,
		.node = node_ref(node),
		.held = let_go ? node_ref(node) : NULL,
		.let_go = let_go,
	};
	g_mutex_lock(&walks->lock);
	GList *link = thread ? find(walks, thread, NULL) : NULL;
	Walk *before = link ? take(walks, link) : NULL;
	/* A lookup is a part of the call that was told, not what it has come back for. */
	walk->told = before ? before->told : 0;
	if (again && !is_told(walks, walk))
		walk->told = walks->turn;
	add(walks, walk);
	Walk *old = take_old(walks);
	g_mutex_unlock(&walks->lock);
	walk_free(before);
	walk_free(old);
}

void walks_missed(Walks *walks, pid_t thread)
{
	Node *missed = NULL;

	g_mutex_lock(&walks->lock);
	GList *link = thread ? find(walks, thread, NULL) : NULL;
	Walk *walk = link ? link->data : NULL;
	if (walk && !walk->has_found)
		missed = g_steal_pointer(&walk->node);
	g_mutex_unlock(&walks->lock);
	if (missed)
		node_unref(missed);
}

bool walks_has_found(Walks *walks, pid_t thread, const Node *node)
{
	g_mutex_lock(&walks->lock);
	const GList *link = find(walks, thread, node);
	const Walk *walk = link ? link->data : NULL;
	const bool found = walk && walk->has_found && walk->node == node;
	g_mutex_unlock(&walks->lock);
	return found;
}

void walks_removed(Walks *walks, const Node *directory, const char *name)
{
	g_mutex_lock(&walks->lock);
	if (g_hash_table_size(walks->removed) >= MOST_REMOVED)
		age_removed(walks);
	g_hash_table_add(walks->removed, hash_of(directory, name));
	start_to_watch(walks);
	g_mutex_unlock(&walks->lock);
}

bool walks_was_removed(Walks *walks, const Node *directory, const char *name)
{
	gconstpointer hash = hash_of(directory, name);

	g_mutex_lock(&walks->lock);
	const bool was = g_hash_table_contains(walks->removed, hash) ||
			 g_hash_table_contains(walks->removed_before, hash);
	g_mutex_unlock(&walks->lock);
	return was;
}

bool walks_was_told(Walks *walks, pid_t thread)
{
	g_mutex_lock(&walks->lock);
	const GList *link = thread ? find(walks, thread, NULL) : NULL;
	const bool told = link && is_told(walks, link->data);
	g_mutex_unlock(&walks->lock);
	return told;
}

bool walks_was_told_of(Walks *walks, pid_t thread, const Node *node)
{
	g_mutex_lock(&walks->lock);
	const GList *link = thread ? find(walks, thread, NULL) : NULL;
	const Walk *walk = link ? link->data : NULL;
	const bool told = walk && is_told(walks, walk) && !walk->has_found && walk->node == node &&
			  walks->turn - walk->when < KEPT;
	g_mutex_unlock(&walks->lock);
	return told;
}

/*
 * Call with the lock held. A call that comes back has looked all its names up: what it asks of is
 * what it has found, or, if it has a descriptor's name, what it was told of. Else it is another
 * call, which goes by names that the kernel knows from a listing.
 */
static bool comes_back(const Walks *walks, const Walk *walk, const Node *node)
{
	return is_told(walks, walk) && (!node || walk->node == node);
}

bool walks_tell(Walks *walks, pid_t thread, const Node *node)
{
	Walk *walk = g_new(Walk, 1), *before = NULL;

	*walk = (Walk){.thread = thread, .node = node ? node_ref((Node *)node) : NULL};
	g_mutex_lock(&walks->lock);
	walk->told = walks->turn;
	GList *link = thread ? find(walks, thread, NULL) : NULL;
	const bool again = link && comes_back(walks, link->data, node);
	if (link && !again)
		before = take(walks, link);
	if (thread && !again)
		add(walks, g_steal_pointer(&walk));
	g_mutex_unlock(&walks->lock);
	walk_free(before);
	walk_free(walk);
	return !again;
}

void walks_let_go(Walks *walks, pid_t thread)
{
	if (!thread) {
		walks_over(walks, 0, NULL);
		return;
	}
	g_mutex_lock(&walks->lock);
	GList *link = find(walks, thread, NULL);
	Walk *held = link ? take_held(walks, link) : NULL;
	g_mutex_unlock(&walks->lock);
	walk_free(held);
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
