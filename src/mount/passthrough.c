/* SPDX-License-Identifier: LGPL-2.1-or-later */

#define FUSE_USE_VERSION FUSE_MAKE_VERSION(3, 17)

#include "mount/passthrough.h"

#include <errno.h>

typedef struct {
	int id;
	guint opens;
} Backing;

struct Passthrough {
	GMutex lock; /* protects what follows; held over the kernel's giving and taking of ids */
	GHashTable *backings; /* Node -> Backing */
	GArray *abandoned;    /* int, ids to give back */
};

Passthrough *passthrough_new(void)
{
	Passthrough *passthrough = g_new0(Passthrough, 1);

	g_mutex_init(&passthrough->lock);
	passthrough->backings = g_hash_table_new_full(NULL, NULL, NULL, g_free);
	passthrough->abandoned = g_array_new(FALSE, FALSE, sizeof(int));
	return passthrough;
}

void passthrough_free(Passthrough *passthrough)
{
	g_hash_table_unref(passthrough->backings);
	g_array_unref(passthrough->abandoned);
	g_mutex_clear(&passthrough->lock);
	g_free(passthrough);
}

/* Call with the lock held. */
static void give_back_abandoned(Passthrough *passthrough, fuse_req_t req)
{
	for (guint i = 0; i < passthrough->abandoned->len; i++)
		fuse_passthrough_close(req, g_array_index(passthrough->abandoned, int, i));
	g_array_set_size(passthrough->abandoned, 0);
}

/* Call with the lock held. True: that was the last open, and its id is to be given back. */
static bool one_less(Passthrough *passthrough, const Node *node, int *ret_id)
{
	Backing *backing = g_hash_table_lookup(passthrough->backings, node);

	if (!backing || --backing->opens > 0)
		return false;
	*ret_id = backing->id;
	g_hash_table_remove(passthrough->backings, node);
	return true;
}

int passthrough_open(Passthrough *passthrough, fuse_req_t req, const Node *node, int fd,
		     int *ret_id)
{
	int r = 0;

	g_mutex_lock(&passthrough->lock);
	give_back_abandoned(passthrough, req);
	Backing *backing = g_hash_table_lookup(passthrough->backings, node);
	if (!backing) {
		errno = 0;
		const int id = fuse_passthrough_open(req, fd);
		if (id > 0) {
			backing = g_new0(Backing, 1);
			backing->id = id;
			g_hash_table_insert(passthrough->backings, (gpointer)node, backing);
		} else {
			r = errno ? -errno : -EIO;
		}
	}
	if (backing) {
		backing->opens++;
		*ret_id = backing->id;
	}
	g_mutex_unlock(&passthrough->lock);
	return r;
}

void passthrough_release(Passthrough *passthrough, fuse_req_t req, const Node *node)
{
	int id;

	g_mutex_lock(&passthrough->lock);
	give_back_abandoned(passthrough, req);
	if (one_less(passthrough, node, &id))
		fuse_passthrough_close(req, id);
	g_mutex_unlock(&passthrough->lock);
}

void passthrough_abandon(Passthrough *passthrough, const Node *node)
{
	int id;

	g_mutex_lock(&passthrough->lock);
	if (one_less(passthrough, node, &id))
		g_array_append_val(passthrough->abandoned, id);
	g_mutex_unlock(&passthrough->lock);
}
