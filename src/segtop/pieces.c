/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "segtop/pieces.h"

#include <string.h>

void piece_free(Piece *piece)
{
	g_free(piece->file);
	g_free(piece->container);
	g_free(piece->creator);
	g_free(piece);
}

const char *owner_name(uid_t uid)
{
	static GHashTable *names; /* of the one thread that shows them */
	char *name;

	if (!names)
		names = g_hash_table_new_full(NULL, NULL, NULL, g_free);
	name = g_hash_table_lookup(names, GUINT_TO_POINTER(uid));
	if (!name) {
		name = segfs_user_name(uid);
		if (!name)
			name = g_strdup_printf("%u", uid);
		g_hash_table_insert(names, GUINT_TO_POINTER(uid), name);
	}
	return name;
}

void pieces_init(Pieces *pieces)
{
	*pieces = (Pieces){
		.all = g_ptr_array_new_with_free_func((GDestroyNotify)piece_free),
		.by_file = g_hash_table_new(g_str_hash, g_str_equal),
		.shown = g_ptr_array_new(),
		.verdict = -1,
	};
}

void pieces_clear(Pieces *pieces)
{
	g_free(pieces->owner);
	g_free(pieces->container);
	g_free(pieces->text);
	g_ptr_array_unref(pieces->shown);
	g_hash_table_unref(pieces->by_file);
	g_ptr_array_unref(pieces->all);
}

static void take_growth(Piece *piece, const Piece *old)
{
	const double seconds = (piece->at - old->at) / 1e6;

	if (!piece->has_resident || !old->has_resident || seconds <= 0)
		return;
	piece->growth = ((double)piece->resident - (double)old->resident) / seconds;
	piece->has_growth = true;
}

/* What the last survey has said of it. */
static void take_judgement(Piece *piece, Piece *old)
{
	if (old->nattch != piece->nattch)
		return;
	piece->is_judged = old->is_judged;
	piece->verdict = old->verdict;
	piece->n_holders = old->n_holders;
	piece->container = g_steal_pointer(&old->container);
	piece->creator = g_steal_pointer(&old->creator);
}

void pieces_take(Pieces *pieces, GPtrArray *found, bool is_survey, gint64 at)
{
	g_autoptr(GPtrArray) old_pieces = pieces->all;
	g_autoptr(GHashTable) old_by_file = pieces->by_file;

	g_ptr_array_set_size(pieces->shown, 0);
	pieces->all = found;
	pieces->by_file = g_hash_table_new(g_str_hash, g_str_equal);
	for (guint i = 0; i < found->len; i++) {
		Piece *piece = found->pdata[i],
		      *old = g_hash_table_lookup(old_by_file, piece->file);
		piece->at = at;
		if (old) {
			take_growth(piece, old);
			if (!is_survey)
				take_judgement(piece, old);
		}
		g_hash_table_insert(pieces->by_file, piece->file, piece);
	}
	for (guint i = 0; !is_survey && i < old_pieces->len; i++) {
		Piece *old = old_pieces->pdata[i];
		if (!old->unlinked || g_hash_table_contains(pieces->by_file, old->file))
			continue;
		old_pieces->pdata[i] = g_new0(Piece, 1); /* of which the array frees nothing else */
		g_ptr_array_add(found, old);
		g_hash_table_insert(pieces->by_file, old->file, old);
	}
	pieces_arrange(pieces);
}

int64_t piece_age(const Piece *piece, int64_t now)
{
	return piece->used == 0 ? -1 : MAX(now - piece->used, 0);
}

static bool contains(const char *text, const char *part)
{
	return text && strstr(text, part);
}

bool piece_has_text(const Piece *piece, const char *text)
{
	return contains(piece->file, text) || contains(owner_name(piece->uid), text) ||
	       contains(piece->creator, text) || contains(piece->container, text) ||
	       (piece->is_judged && contains(segfs_verdict_name(piece->verdict), text));
}

static bool is_shown(const Pieces *pieces, const Piece *piece)
{
	if (pieces->verdict >= 0 && (!piece->is_judged || (int)piece->verdict != pieces->verdict))
		return false;
	if (pieces->owner && strcmp(owner_name(piece->uid), pieces->owner) != 0)
		return false;
	if (pieces->container && !contains(piece->container, pieces->container))
		return false;
	return !pieces->text || piece_has_text(piece, pieces->text);
}

static int down(double a, double b)
{
	return (a < b) - (a > b);
}

/* The greatest first, of age the oldest; what is not known last. */
static int compare(gconstpointer a, gconstpointer b, gpointer data)
{
	const Piece *x = *(const Piece *const *)a, *y = *(const Piece *const *)b;
	const Pieces *pieces = data;
	int result = 0;

	switch (pieces->sort) {
	case SORT_RESIDENT:
		result = down(x->has_resident ? (double)x->resident : -1,
			      y->has_resident ? (double)y->resident : -1);
		break;
	case SORT_GROWTH:
		result = down(x->growth, y->growth);
		break;
	case SORT_AGE:
		result = down(x->used ? (double)-x->used : -G_MAXDOUBLE,
			      y->used ? (double)-y->used : -G_MAXDOUBLE);
		break;
	case SORT_HOLDERS:
		result = down(x->n_holders, y->n_holders);
		break;
	case SORT_SIZE:
		result = down(x->size, y->size);
		break;
	case SORT_FILE:
		break;
	}
	if (result == 0)
		result = strcmp(x->file, y->file);
	return pieces->is_reversed ? -result : result;
}

void pieces_arrange(Pieces *pieces)
{
	g_ptr_array_set_size(pieces->shown, 0);
	for (guint i = 0; i < pieces->all->len; i++)
		if (is_shown(pieces, pieces->all->pdata[i]))
			g_ptr_array_add(pieces->shown, pieces->all->pdata[i]);
	g_ptr_array_sort_with_data(pieces->shown, compare, pieces);
}
