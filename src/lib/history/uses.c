/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Nothing counts who has a semaphore set or queue, so all depends on who was told to have made or
 * used it. Each is kept until the end of the process was told, and with it that it has left no
 * descendant, who may go on; so may an ancestor that runs the same program, who is kept longer.
 * What is not known of one set stays unknown, whatever comes after.
 */

#include "lib/history/uses.h"

#include <string.h>

#include "lib/history/inside.h"
#include "lib/memory/ipc.h"
#include "lib/os/procfs.h"
#include "lib/resource/resource.h"

/* Users of one that live, or have left somebody; past it the rest is not known. */
#define USERS_MOST 256
#define USERS_FEW 16
#define RELATIVES_MOST 32

typedef struct {
	SegfsResourceKind kind;
	uint64_t ns;
	int id;
} SetKey;

/* Shared by all that it has used. */
typedef struct {
	guint refs;
	UsesPerson is;
	int64_t ended; /* microseconds since 1970; 0: not that it is known */
	bool is_alone; /* with ended: it has left nobody */
} Person;

typedef struct {
	SetKey key;
	uint64_t ns_id;    /* never given again; 0: not known */
	uint64_t made;     /* as the kernel tells the same from another of its id */
	uint64_t lost;     /* events before it was made */
	int64_t at;        /* when, microseconds since 1970 */
	GPtrArray *users;  /* Person */
	GArray *relatives; /* UsesPerson */
	guint n_ended;     /* who were, */
	int64_t ended;     /* the last of them */
	bool is_cut;       /* it has had too many */
} Set;

struct Uses {
	GHashTable *sets;    /* SetKey -> Set */
	GHashTable *persons; /* UsesPerson (pid, start) -> Person */
	uint64_t missed;     /* see uses_missed() */
};

static guint set_hash(gconstpointer data)
{
	const SetKey *key = data;

	return (guint)key->id * 31 + (guint)key->ns * 2 + key->kind;
}

static gboolean set_equal(gconstpointer a, gconstpointer b)
{
	const SetKey *x = a, *y = b;

	return x->kind == y->kind && x->ns == y->ns && x->id == y->id;
}

static guint person_hash(gconstpointer data)
{
	const UsesPerson *person = data;

	return (guint)person->pid * 31 + (guint)person->start;
}

static gboolean person_equal(gconstpointer a, gconstpointer b)
{
	const UsesPerson *x = a, *y = b;

	return x->pid == y->pid && x->start == y->start;
}

static void set_free(gpointer data)
{
	Set *set = data;

	g_ptr_array_unref(set->users);
	g_array_unref(set->relatives);
	g_free(set);
}

Uses *uses_new(void)
{
	Uses *uses = g_new0(Uses, 1);

	uses->sets = g_hash_table_new_full(set_hash, set_equal, NULL, set_free);
	uses->persons = g_hash_table_new(person_hash, person_equal);
	return uses;
}

static void release(Uses *uses, Person *person)
{
	if (--person->refs > 0)
		return;
	g_hash_table_remove(uses->persons, &person->is);
	g_free(person);
}

static void forget(Uses *uses, Set *set)
{
	for (guint i = 0; i < set->users->len; i++)
		release(uses, set->users->pdata[i]);
	g_hash_table_remove(uses->sets, &set->key);
}

void uses_free(Uses *uses)
{
	GHashTableIter iter;
	gpointer set;

	g_hash_table_iter_init(&iter, uses->sets);
	while (g_hash_table_iter_next(&iter, NULL, &set)) {
		for (guint i = 0; i < ((Set *)set)->users->len; i++)
			release(uses, ((Set *)set)->users->pdata[i]);
		g_hash_table_iter_remove(&iter);
	}
	g_hash_table_unref(uses->sets);
	g_hash_table_unref(uses->persons);
	g_free(uses);
}

void uses_past_clear(UsesPast *past)
{
	g_clear_pointer(&past->persons, g_array_unref);
}

static bool is_there(const GArray *persons, const UsesPerson *person)
{
	for (guint i = 0; i < persons->len; i++)
		if (person_equal(&g_array_index(persons, UsesPerson, i), person))
			return true;
	return false;
}

static void add_relatives(Set *set, const struct calls_kin *kin)
{
	set->is_cut = set->is_cut || kin->has_more;
	for (guint i = 0; i < CALLS_GENERATIONS; i++) {
		const bool is_seen = kin->ancestors[i].pid != CALLS_UNSEEN;
		const UsesPerson relative = {
			.pid = kin->ancestors[i].pid,
			.start = kin->ancestors[i].start / ENDS_TICK,
			.uid = -1,
			.is_relative = true,
		};
		if (relative.pid == 0 || is_there(set->relatives, &relative))
			continue;
		if (!is_seen || set->relatives->len == RELATIVES_MOST)
			set->is_cut = true;
		else
			g_array_append_val(set->relatives, relative);
	}
}

/* Of who has ended, and left nobody, nothing is kept. */
static void settle(Uses *uses, Set *set)
{
	for (guint i = set->users->len; i-- > 0;) {
		Person *person = set->users->pdata[i];
		if (!person->is_alone)
			continue;
		set->n_ended++;
		set->ended = MAX(set->ended, person->ended);
		g_ptr_array_remove_index_fast(set->users, i);
		release(uses, person);
	}
}

static void add_user(Uses *uses, Set *set, const struct calls_event *event)
{
	UsesPerson is = {
		.pid = event->pid,
		.start = event->start / ENDS_TICK,
		.uid = event->uid,
	};

	for (guint i = 0; i < set->users->len; i++)
		if (person_equal(&((Person *)set->users->pdata[i])->is, &is))
			return;
	/* 16, 32 and so on: who has ended does not stay long. */
	if (set->users->len >= USERS_FEW && (set->users->len & (set->users->len - 1)) == 0)
		settle(uses, set);
	/* Who is not seen from here may live for ever. */
	if (set->users->len == USERS_MOST || is.pid <= 0) {
		set->is_cut = true;
		return;
	}
	Person *person = g_hash_table_lookup(uses->persons, &is);
	if (!person) {
		memcpy(is.command, event->command, sizeof(is.command));
		is.command[sizeof(is.command) - 1] = '\0';
		person = g_new0(Person, 1);
		person->is = is;
		g_hash_table_insert(uses->persons, &person->is, person);
	}
	person->refs++;
	g_ptr_array_add(set->users, person);
}

void uses_missed(Uses *uses, uint64_t missed)
{
	uses->missed = missed;
}

static Set *add_set(Uses *uses, const SetKey *key, const struct calls_event *event, int64_t at)
{
	Set *set = g_new0(Set, 1);

	set->key = *key;
	set->ns_id = event->segment.ns_id;
	set->made = event->made;
	set->lost = event->lost + uses->missed;
	set->at = at;
	set->users = g_ptr_array_new();
	set->relatives = g_array_new(FALSE, FALSE, sizeof(UsesPerson));
	g_hash_table_insert(uses->sets, &set->key, set);
	return set;
}

void uses_take(Uses *uses, const struct calls_event *event, const struct calls_kin *kin, int64_t at)
{
	const SetKey key = {
		.kind = calls_is_of_queue(event->verb) ? SEGFS_MSG : SEGFS_SEM,
		.ns = event->segment.ns,
		.id = event->segment.shmid,
	};
	const bool is_new = event->verb == CALLS_SEM_CREATE || event->verb == CALLS_MSG_CREATE;
	Set *set = g_hash_table_lookup(uses->sets, &key);

	/* Its own end was told before, or nothing of it was. */
	if (set && (is_new || set->made != event->made)) {
		forget(uses, set);
		set = NULL;
	}
	/* The kernel's table has no more than that, and each here is in it. */
	if (is_new && g_hash_table_size(uses->sets) < CALLS_SETS_MOST)
		set = add_set(uses, &key, event, at);
	if (!set)
		return;
	if (event->verb == CALLS_SEM_GONE || event->verb == CALLS_MSG_GONE) {
		forget(uses, set);
		return;
	}
	add_user(uses, set, event);
	add_relatives(set, kin);
}

void uses_end(Uses *uses, pid_t pid, uint64_t start, int64_t ended, bool is_alone)
{
	const UsesPerson is = {.pid = pid, .start = start};
	Person *person = g_hash_table_lookup(uses->persons, &is);

	if (!person || person->ended)
		return;
	person->ended = ended;
	person->is.has_ended = true;
	person->is_alone = is_alone;
}

/* Was that made when this was told to be? ctime is in seconds, and later where it was changed. */
static bool is_of(const Set *set, uint64_t ns_id, const SegfsResource *resource)
{
	const int64_t made = set->at / G_USEC_PER_SEC;

	if (set->ns_id && ns_id)
		return set->ns_id == ns_id && resource->ctime >= made - 1;
	return ABS(resource->ctime - made) <= 1;
}

bool uses_find(Uses *uses, uint64_t ns, uint64_t ns_id, const SegfsResource *resource,
	       uint64_t lost, UsesPast *ret_past)
{
	const SetKey key = {resource->kind, ns, resource->id};
	Set *set = g_hash_table_lookup(uses->sets, &key);

	if (!set || set->lost != lost || !is_of(set, ns_id, resource))
		return false;
	settle(uses, set);
	if (set->is_cut)
		return false;
	*ret_past = (UsesPast){
		.n_ended = set->n_ended,
		.ended = set->ended,
		.persons = g_array_copy(set->relatives),
	};
	for (guint i = 0; i < set->users->len; i++)
		g_array_append_val(ret_past->persons, ((Person *)set->users->pdata[i])->is);
	return true;
}

/* Adds those who live to its users. False: of one it is not known whether it has left anybody. */
static bool add_living(const char *proc_root, const UsesPast *known, SegfsResourcePast *past,
		       SegfsResourceUse *use)
{
	bool is_known = true;

	for (guint i = 0; i < known->persons->len; i++) {
		const UsesPerson *person = &g_array_index(known->persons, UsesPerson, i);
		SegfsProcess process = {
			.pid = person->pid,
			.thread = person->pid,
			.start = person->start,
			.uid = person->uid,
		};
		ProcfsStat stat;
		const bool lives = procfs_stat(proc_root, person->pid, &stat) &&
				   stat.start == person->start && procfs_stat_lives(&stat);
		memcpy(process.command, lives ? stat.command : person->command,
		       sizeof(process.command));
		if (lives)
			procfs_user(proc_root, person->pid, &process.uid);
		if (lives && person->is_relative)
			past->relative = process;
		else if (lives)
			use_add(use, &(SegfsResourceUser){process, .lives = true, .is_told = true});
		else if (!person->is_relative)
			is_known = false;
	}
	return is_known;
}

static void judge(SegfsHistory *history, SegfsIpc *ipc, const SegfsResource *resource,
		  int64_t orphan_age, SegfsResourceUse *use)
{
	const uint64_t ns = segfs_ipc_inum(ipc);
	g_auto(UsesPast) known = {};

	g_mutex_lock(&history->lock);
	const bool is_told = uses_find(history->uses, ns, ipc->id, resource,
				       calls_probe_lost(history->calls), &known);
	g_mutex_unlock(&history->lock);
	if (!is_told)
		return;
	SegfsResourcePast past = {
		.n_ended = known.n_ended,
		.ended = known.ended / G_USEC_PER_SEC,
	};
	past.is_known = add_living(ipc->proc_root, &known, &past, use);
	segfs_resource_judge(resource, &past, g_get_real_time() / G_USEC_PER_SEC, orphan_age, use);
}

bool history_knows_resource(SegfsHistory *history, const SegfsIpc *ipc,
			    const SegfsResource *resource)
{
	g_auto(UsesPast) known = {};

	if (!history || !history->calls)
		return false;
	g_mutex_lock(&history->lock);
	const bool is_known = uses_find(history->uses, segfs_ipc_inum(ipc), ipc->id, resource,
					calls_probe_lost(history->calls), &known);
	g_mutex_unlock(&history->lock);
	return is_known;
}

/* What has been asked before may be told by now. */
void segfs_history_judge(SegfsHistory *history, SegfsIpc *ipc, const GArray *resources,
			 int64_t orphan_age, GArray *uses)
{
	if (!history || !history->calls || resources->len == 0 || !history_catch_up(history))
		return;
	for (guint i = 0; i < resources->len; i++)
		judge(history, ipc, &g_array_index(resources, SegfsResource, i), orphan_age,
		      &g_array_index(uses, SegfsResourceUse, i));
}
