/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/record/table.h"

#include <string.h>

#define TEXT_EACH 512
#define GONE_TEXT_EACH 2048

/* A process, for good. */
typedef struct {
	pid_t pid;
	uint64_t start;
} CreatorKey;

/* A piece in the table, its place in the order in which they came, and among its creator's. */
typedef struct {
	Piece piece;
	CreatorKey creator;
	GList link, of_creator;
	gsize text; /* bytes of what the piece points to */
} Entry;

struct Table {
	GHashTable *entries; /* PieceKey -> Entry */
	GHashTable
		*creators;   /* CreatorKey -> GQueue of of_creator: who ends has few of very many */
	GQueue order;        /* their links, the oldest first */
	GQueue gone;         /* Gone, the oldest first */
	GHashTable *gone_of; /* PieceKey -> GQueue of those of gone that had it, likewise */
	guint pieces_most, gone_most;
	gsize text, gone_text; /* bytes */
	uint64_t n_gone, n_forgotten;
};

static guint key_hash(gconstpointer data)
{
	const PieceKey *key = data;
	const uint64_t mixed =
		(key->number * 0x9e3779b97f4a7c15ULL) ^ (key->domain << 1) ^ key->is_sysv;

	return mixed ^ mixed >> 32;
}

static gboolean key_equal(gconstpointer a, gconstpointer b)
{
	const PieceKey *x = a, *y = b;

	return x->is_sysv == y->is_sysv && x->domain == y->domain && x->number == y->number;
}

static guint creator_hash(gconstpointer data)
{
	const CreatorKey *key = data;

	return g_int_hash(&key->pid) ^ g_int64_hash(&key->start);
}

static gboolean creator_equal(gconstpointer a, gconstpointer b)
{
	const CreatorKey *x = a, *y = b;

	return x->pid == y->pid && x->start == y->start;
}

static void piece_clear(Piece *piece)
{
	g_clear_pointer(&piece->name, g_free);
	segfs_past_clear(&piece->past);
}

static void entry_free(gpointer data)
{
	Entry *entry = data;

	piece_clear(&entry->piece);
	g_free(entry);
}

static gsize piece_size(const Piece *piece)
{
	return (piece->name ? strlen(piece->name) + 1 : 0) + past_size(&piece->past);
}

void gone_free(gpointer data)
{
	Gone *gone = data;

	piece_clear(&gone->piece);
	actor_clear(&gone->remover);
	g_free(gone);
}

Gone *gone_copy(const Gone *gone)
{
	Gone *copy = g_memdup2(gone, sizeof(*gone));

	copy->piece.name = g_strdup(gone->piece.name);
	copy->piece.past.creator = actor_copy(&gone->piece.past.creator);
	copy->piece.past.kin = NULL;
	segfs_stack_ref(copy->piece.past.stack);
	copy->remover = actor_copy(&gone->remover);
	return copy;
}

static void queue_free(gpointer queue)
{
	g_queue_free(queue);
}

Table *table_new(guint pieces_most, guint gone_most)
{
	Table *table = g_new0(Table, 1);

	table->entries = g_hash_table_new_full(key_hash, key_equal, NULL, entry_free);
	table->creators = g_hash_table_new_full(creator_hash, creator_equal, g_free, g_free);
	g_queue_init(&table->order);
	g_queue_init(&table->gone);
	table->gone_of = g_hash_table_new_full(key_hash, key_equal, g_free, queue_free);
	table->pieces_most = pieces_most;
	table->gone_most = gone_most;
	return table;
}

void table_free(Table *table)
{
	g_hash_table_unref(table->entries);
	g_hash_table_unref(table->creators);
	g_hash_table_unref(table->gone_of);
	g_queue_clear_full(&table->gone, gone_free);
	g_free(table);
}

Piece *table_find(Table *table, const PieceKey *key)
{
	Entry *entry = g_hash_table_lookup(table->entries, key);

	return entry ? &entry->piece : NULL;
}

Piece *table_find_same(Table *table, const Piece *piece)
{
	Piece *known = table_find(table, &piece->key);

	return known && known->again == piece->again ? known : NULL;
}

static void add_to_creator(Table *table, Entry *entry)
{
	const SegfsActor *creator = &entry->piece.past.creator;

	entry->of_creator.data = entry;
	entry->creator = (CreatorKey){creator->pid, creator->start};
	GQueue *pieces = g_hash_table_lookup(table->creators, &entry->creator);
	if (!pieces) {
		pieces = g_new0(GQueue, 1);
		g_hash_table_insert(table->creators,
				    g_memdup2(&entry->creator, sizeof(entry->creator)), pieces);
	}
	g_queue_push_tail_link(pieces, &entry->of_creator);
}

static void drop(Table *table, Entry *entry)
{
	GQueue *pieces = g_hash_table_lookup(table->creators, &entry->creator);

	g_queue_unlink(pieces, &entry->of_creator);
	if (pieces->length == 0)
		g_hash_table_remove(table->creators, &entry->creator);
	g_queue_unlink(&table->order, &entry->link);
	table->text -= entry->text;
	g_hash_table_remove(table->entries, &entry->piece.key);
}

/* Forgets the oldest, but for that one, where there are too many, or too much is known of them. */
static void make_room(Table *table, const Entry *but)
{
	const gsize most = (gsize)table->pieces_most * TEXT_EACH;

	while ((table->order.length > table->pieces_most || table->text > most) &&
	       table->order.head && table->order.head->data != but) {
		drop(table, table->order.head->data);
		table->n_forgotten++;
	}
}

static void count_text(Table *table, Entry *entry)
{
	table->text -= entry->text;
	entry->text = piece_size(&entry->piece);
	table->text += entry->text;
}

Piece *table_add(Table *table, const Piece *piece)
{
	Entry *before = g_hash_table_lookup(table->entries, &piece->key);

	if (before)
		drop(table, before);
	Entry *entry = g_new0(Entry, 1);
	entry->piece = *piece;
	entry->link.data = entry;
	g_queue_push_tail_link(&table->order, &entry->link);
	g_hash_table_insert(table->entries, &entry->piece.key, entry);
	add_to_creator(table, entry);
	count_text(table, entry);
	make_room(table, entry);
	return &entry->piece;
}

void table_rename(Table *table, Piece *piece, char *name)
{
	Entry *entry = g_hash_table_lookup(table->entries, &piece->key);

	g_free(piece->name);
	piece->name = name;
	count_text(table, entry);
	make_room(table, entry);
}

static void add_kin(Piece *piece, const SegfsKin *kin, uint32_t n_execs)
{
	SegfsKin *both = kin_join(piece->past.kin, kin);

	if (both && (!piece->key.is_sysv || piece->n_execs == ENDS_MANY) &&
	    (n_execs == ENDS_MANY || piece->n_execs != n_execs))
		both->is_known = false;
	g_free(piece->past.kin);
	piece->past.kin = both;
}

void table_end(Table *table, pid_t pid, uint64_t start, int64_t ended, int code,
	       const SegfsKin *kin, uint32_t n_execs)
{
	const CreatorKey creator = {pid, start};
	const GQueue *pieces = g_hash_table_lookup(table->creators, &creator);

	for (GList *at = pieces ? pieces->head : NULL; at; at = at->next) {
		Piece *piece = &((Entry *)at->data)->piece;
		SegfsPast *past = &piece->past;
		if (past->ended)
			continue;
		past->ended = ended;
		past->code = code;
		add_kin(piece, kin, n_execs);
		count_text(table, at->data);
	}
	make_room(table, NULL);
}

/* Is it the same memory? A number of a segment is given again within its namespace, too. */
static bool is_same(const Piece *piece, const Piece *known)
{
	return key_equal(&piece->key, &known->key) && piece->again == known->again &&
	       (!piece->key.is_sysv || (piece->size == known->size && piece->cpid == known->cpid &&
					piece->ctime <= known->ctime));
}

/* An object by its name before: both names were gone when the first was told of. Or a segment that
 * had lost its name. */
static Gone *find_gone(Table *table, const Piece *known)
{
	const GQueue *all = g_hash_table_lookup(table->gone_of, &known->key);

	for (GList *at = all ? all->tail : NULL; at; at = at->prev) {
		Gone *gone = at->data;
		if ((known->name || known->key.is_sysv) && is_same(&gone->piece, known))
			return gone;
	}
	return NULL;
}

static void push_gone(Table *table, Gone *gone)
{
	const PieceKey *key = &gone->piece.key;
	GQueue *all = g_hash_table_lookup(table->gone_of, key);

	if (!all) {
		all = g_queue_new();
		g_hash_table_insert(table->gone_of, g_memdup2(key, sizeof(*key)), all);
	}
	gone->serial = ++table->n_gone;
	g_queue_push_tail(all, gone);
	g_queue_push_tail(&table->gone, gone);
}

static void forget_gone(Table *table)
{
	Gone *gone = g_queue_pop_head(&table->gone);
	GQueue *all = g_hash_table_lookup(table->gone_of, &gone->piece.key);

	table->gone_text -= gone->text;
	g_queue_pop_head(all);
	if (all->length == 0)
		g_hash_table_remove(table->gone_of, &gone->piece.key);
	gone_free(gone);
}

static Gone *add_gone(Table *table, const Piece *known, const Piece *of)
{
	Gone *gone = g_new0(Gone, 1);

	gone->piece = of ? *of : *known;
	gone->piece.name = g_strdup(gone->piece.name);
	gone->piece.past.creator = actor_copy(&gone->piece.past.creator);
	gone->piece.past.kin = NULL;
	segfs_stack_ref(gone->piece.past.stack);
	push_gone(table, gone);
	return gone;
}

/* Likewise, the oldest go. */
static void count_gone(Table *table, Gone *gone)
{
	const gsize text = piece_size(&gone->piece) + actor_size(&gone->remover);
	const gsize most = (gsize)table->gone_most * GONE_TEXT_EACH;

	table->gone_text += text - gone->text;
	gone->text = text;
	while ((table->gone.length > table->gone_most || table->gone_text > most) &&
	       table->gone.head->data != gone)
		forget_gone(table);
}

Gone *table_remove(Table *table, const Piece *known, int64_t removed, const SegfsActor *remover,
		   bool lives_on)
{
	/* What is known may be the table's own, which goes. */
	g_autofree char *name = g_strdup(known->name);
	Entry *entry = g_hash_table_lookup(table->entries, &known->key);
	Gone *gone = find_gone(table, known);
	const bool was_gone = gone && known->key.is_sysv;

	if (entry && !is_same(&entry->piece, known))
		entry = NULL;
	if (!gone)
		gone = add_gone(table, known, entry ? &entry->piece : NULL);
	if (entry && !lives_on)
		drop(table, entry);
	/* The word of who has removed it can come after that of the memory's end. */
	if (was_gone && (gone->remover.pid > 0 || !remover || remover->pid <= 0))
		return gone;
	/* The last of its names is the one that was removed. */
	if (name) {
		g_free(gone->piece.name);
		gone->piece.name = g_steal_pointer(&name);
	}
	gone->removed = removed;
	gone->is_at_the_latest = !remover;
	actor_clear(&gone->remover);
	gone->remover = remover ? actor_copy(remover) : (SegfsActor){};
	count_gone(table, gone);
	return gone;
}

GPtrArray *table_gone(Table *table)
{
	GPtrArray *all = g_ptr_array_new();

	for (GList *at = table->gone.tail; at; at = at->prev)
		g_ptr_array_add(all, at->data);
	return all;
}

const Gone *table_gone_one(Table *table, uint64_t serial)
{
	const Gone *first = g_queue_peek_head(&table->gone);

	/* Serials have no gaps. */
	return first && serial >= first->serial
		       ? g_queue_peek_nth(&table->gone, serial - first->serial)
		       : NULL;
}

GPtrArray *table_pieces(Table *table)
{
	GPtrArray *all = g_ptr_array_new();

	for (GList *at = table->order.head; at; at = at->next)
		g_ptr_array_add(all, &((Entry *)at->data)->piece);
	return all;
}

void table_forget(Table *table, const PieceKey *key)
{
	Entry *entry = g_hash_table_lookup(table->entries, key);

	if (entry)
		drop(table, entry);
}

guint table_n_pieces(const Table *table)
{
	return g_hash_table_size(table->entries);
}

uint64_t table_n_forgotten(const Table *table)
{
	return table->n_forgotten;
}

static GVariant *save_piece(const Piece *piece)
{
	const SegfsPast *past = &piece->past;
	GVariantBuilder kin;

	g_variant_builder_init(&kin, G_VARIANT_TYPE("a(iut)"));
	for (guint i = 0; past->kin && i < past->kin->n; i++)
		g_variant_builder_add(&kin, "(iut)", past->kin->all[i].pid, past->kin->all[i].role,
				      past->kin->all[i].start);
	return g_variant_new("(bttm^ayttxuitx@" ACTOR_TYPE "ia(iut)xxib@" STACK_TYPE ")",
			     piece->key.is_sysv, piece->key.domain, piece->key.number, piece->name,
			     piece->again, piece->size, piece->ctime, piece->sysv_key, piece->cpid,
			     piece->ns, piece->born, actor_save(&past->creator),
			     past->kin ? past->kin->parent : 0, &kin, past->made, past->ended,
			     past->code, past->ended_unseen, stack_save(past->stack));
}

GVariant *table_save(const Table *table)
{
	GVariantBuilder pieces, gone;

	g_variant_builder_init(&pieces, G_VARIANT_TYPE("a" PIECE_TYPE));
	for (GList *at = table->order.head; at; at = at->next)
		g_variant_builder_add_value(&pieces, save_piece(&((Entry *)at->data)->piece));
	g_variant_builder_init(&gone, G_VARIANT_TYPE("a(" PIECE_TYPE "xb" ACTOR_TYPE ")"));
	for (GList *at = table->gone.head; at; at = at->next) {
		const Gone *one = at->data;
		g_variant_builder_add(&gone, "(@" PIECE_TYPE "xb@" ACTOR_TYPE ")",
				      save_piece(&one->piece), one->removed, one->is_at_the_latest,
				      actor_save(&one->remover));
	}
	return g_variant_new("(ta" PIECE_TYPE "a(" PIECE_TYPE "xb" ACTOR_TYPE "))", table->n_gone,
			     &pieces, &gone);
}

static void restore_piece(GVariant *saved, Piece *ret_piece)
{
	g_autoptr(GVariant) creator = NULL, kin = NULL, stack = NULL;
	const char *name;
	gboolean is_sysv, ended_unseen;
	pid_t parent;
	Piece piece = {.is_recalled = true, .n_execs = ENDS_MANY};

	g_variant_get(saved, "(bttm^&ayttxuitx@" ACTOR_TYPE "i@a(iut)xxib@" STACK_TYPE ")",
		      &is_sysv, &piece.key.domain, &piece.key.number, &name, &piece.again,
		      &piece.size, &piece.ctime, &piece.sysv_key, &piece.cpid, &piece.ns,
		      &piece.born, &creator, &parent, &kin, &piece.past.made, &piece.past.ended,
		      &piece.past.code, &ended_unseen, &stack);
	piece.key.is_sysv = is_sysv;
	/* An object has one. */
	piece.name = is_sysv ? NULL : g_strdup(name ? name : "?");
	actor_restore(creator, &piece.past.creator);
	piece.past.kin = kin_restore(kin, parent);
	piece.past.stack = stack_restore(stack);
	piece.past.ended_unseen = ended_unseen;
	*ret_piece = piece;
}

static void restore_gone(Table *table, GVariant *saved)
{
	g_autoptr(GVariant) piece = NULL, remover = NULL;
	gboolean is_at_the_latest;
	Gone *gone = g_new0(Gone, 1);

	g_variant_get(saved, "(@" PIECE_TYPE "xb@" ACTOR_TYPE ")", &piece, &gone->removed,
		      &is_at_the_latest, &remover);
	gone->is_at_the_latest = is_at_the_latest;
	restore_piece(piece, &gone->piece);
	actor_restore(remover, &gone->remover);
	push_gone(table, gone);
	count_gone(table, gone);
}

void table_restore(Table *table, GVariant *saved)
{
	g_autoptr(GVariant) pieces = NULL, gone = NULL;
	uint64_t n_gone;

	g_variant_get(saved, "(t@a" PIECE_TYPE "@a(" PIECE_TYPE "xb" ACTOR_TYPE "))", &n_gone,
		      &pieces, &gone);
	for (gsize i = 0; i < g_variant_n_children(pieces); i++) {
		g_autoptr(GVariant) one = g_variant_get_child_value(pieces, i);
		Piece piece;
		restore_piece(one, &piece);
		table_add(table, &piece);
	}
	/* Serials have no gaps. */
	const gsize n = MIN(g_variant_n_children(gone), table->gone_most);
	table->n_gone = MAX(n_gone, n) - n;
	for (gsize i = g_variant_n_children(gone) - n; i < g_variant_n_children(gone); i++) {
		g_autoptr(GVariant) one = g_variant_get_child_value(gone, i);
		restore_gone(table, one);
	}
}
