/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The files events and events.1: what has happened, a line each. A file only ever grows, so who
 * follows it (tail -f) reads on where it was; when it is full the name stands for a new file, and
 * the full one is called events.1. It is read through the daemon, since the kernel's cache would
 * not learn that it has grown.
 *
 * poll(2) says that there is something to read where the last read has not come to the end. Where
 * the reader stands (lseek(2)) the kernel does not tell.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "lib/history/history.h"
#include "tree/tree.h"

typedef struct {
	Node node;
	guint back;             /* of the entry in the directory: see log_generation() */
	Generation *generation; /* NULL: of the entry itself, which is empty */
} EventsNode;

typedef struct {
	File file;
	_Atomic gsize read_to; /* where the last read ended */
	Waiter *waiter;        /* NULL: nobody waits; protected by the tree's waits_lock */
} EventsFile;

static SegfsHistory *history_of(const Node *node)
{
	return node->ns->tree->history;
}

static int events_getattr(Node *base, bool brief, struct stat *ret_stat)
{
	const EventsNode *node = (EventsNode *)base;

	*ret_stat = (struct stat){
		.st_ino = node->generation ? ino_of_kind(INO_EVENTS, node->generation->number)
					   : node_static_ino(base),
		.st_mode = S_IFREG | 0400,
		.st_nlink = 1,
		.st_uid = geteuid(),
		.st_gid = getegid(),
	};
	/* tail -F looks for a new file once the old one's time stays as it is. */
	int64_t changed = base->ns->tree->started * G_USEC_PER_SEC;
	if (node->generation) {
		ret_stat->st_size = history_generation_size(history_of(base), node->generation);
		changed = history_generation_changed(history_of(base), node->generation);
	}
	ret_stat->st_mtim =
		(struct timespec){changed / G_USEC_PER_SEC, changed % G_USEC_PER_SEC * 1000};
	ret_stat->st_atim = ret_stat->st_ctim = ret_stat->st_mtim;
	return 0;
}

static int events_access(Node *node, const SegfsCaller *caller, int mask)
{
	return mask & (W_OK | X_OK) || !caller_may_read_history(caller) ? -EACCES : 0;
}

static int events_read(File *file, size_t size, off_t offset, FileSpan *ret_span)
{
	const EventsNode *node = (EventsNode *)file->node;

	*ret_span = (FileSpan){.fd = -1};
	if (!node->generation || offset < 0)
		return 0;
	ret_span->keep =
		history_generation_read(history_of(file->node), node->generation, offset, size);
	ret_span->bytes = g_bytes_get_data(ret_span->keep, &ret_span->size);
	((EventsFile *)file)->read_to = offset + ret_span->size;
	return 0;
}

static void stop_waiting(Tree *tree, EventsFile *file)
{
	Waiter *waiter = g_steal_pointer(&file->waiter);

	if (!waiter)
		return;
	g_ptr_array_remove_fast(tree->waits, file);
	waiter->free(waiter);
}

static void wait_for_change(Tree *tree, EventsFile *file, Waiter *waiter)
{
	g_mutex_lock(&tree->waits_lock);
	stop_waiting(tree, file);
	if (tree->waits) {
		g_ptr_array_add(tree->waits, file);
		file->waiter = g_steal_pointer(&waiter);
	}
	g_mutex_unlock(&tree->waits_lock);
	if (waiter)
		waiter->free(waiter);
}

static void wake_all(gpointer data)
{
	Tree *tree = data;

	g_mutex_lock(&tree->waits_lock);
	for (guint i = 0; tree->waits && i < tree->waits->len; i++) {
		EventsFile *file = tree->waits->pdata[i];
		Waiter *waiter = g_steal_pointer(&file->waiter);
		waiter->wake(waiter);
	}
	if (tree->waits)
		g_ptr_array_set_size(tree->waits, 0);
	g_mutex_unlock(&tree->waits_lock);
}

void events_begin_waits(Tree *tree)
{
	if (!tree->history)
		return;
	tree->waits = g_ptr_array_new();
	history_on_change(tree->history, wake_all, tree);
}

void events_end_waits(Tree *tree)
{
	if (tree->history)
		history_on_change(tree->history, NULL, NULL);
	g_mutex_lock(&tree->waits_lock);
	while (tree->waits && tree->waits->len > 0)
		stop_waiting(tree, tree->waits->pdata[0]);
	g_clear_pointer(&tree->waits, g_ptr_array_unref);
	g_mutex_unlock(&tree->waits_lock);
}

static int events_poll(File *base, Waiter *waiter)
{
	const EventsNode *node = (EventsNode *)base->node;
	EventsFile *file = (EventsFile *)base;
	SegfsHistory *history = history_of(base->node);
	int events = 0;

	/* First: what is added after the look wakes. */
	if (waiter)
		wait_for_change(base->node->ns->tree, file, waiter);
	if (!node->generation || history_generation_is_full(history, node->generation))
		events = POLLHUP;
	if (node->generation && history_generation_size(history, node->generation) > file->read_to)
		events |= POLLIN | POLLRDNORM;
	return events;
}

static void events_close(File *base)
{
	Tree *tree = base->node->ns->tree;

	g_mutex_lock(&tree->waits_lock);
	stop_waiting(tree, (EventsFile *)base);
	g_mutex_unlock(&tree->waits_lock);
}

static const FileOps events_file_ops = {
	.read = events_read,
	.poll = events_poll,
	.free = events_close,
};

static int events_open(Node *node, const SegfsCaller *caller, int flags, File **ret_file)
{
	if ((flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC || !caller_may_read_history(caller))
		return -EACCES;
	*ret_file = file_new(node, &events_file_ops, sizeof(EventsFile), flags);
	return 0;
}

static Node *events_find(Node *base);

static void events_init(Node *base, const void *data)
{
	Generation *generation = (Generation *)data;

	g_atomic_ref_count_inc(&generation->refs);
	((EventsNode *)base)->generation = generation;
}

static void events_free(Node *base)
{
	g_clear_pointer(&((EventsNode *)base)->generation, generation_unref);
}

static const NodeOps events_ops = {
	.size_changes = true,
	.find = events_find,
	.getattr = events_getattr,
	.access = events_access,
	.open = events_open,
	.free = events_free,
	.size = sizeof(EventsNode),
	.init = events_init,
};

/* The file that the entry's name stands for now. */
static Node *events_find(Node *base)
{
	g_autoptr(Generation) generation =
		history_generation(history_of(base), ((EventsNode *)base)->back);

	if (!generation)
		return node_ref(base);
	const NodeKey key = {.a = generation->number, .c = 1};
	return node_intern(base->ns, &events_ops, &key, generation);
}

Node *events_new(IpcNs *ns, const void *data)
{
	EventsNode *node = node_new_static(ns, &events_ops, sizeof(EventsNode));

	node->back = data ? 1 : 0;
	return &node->node;
}
