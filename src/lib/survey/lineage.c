/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Whose child was the creator, and whose parent? The kernel forgets that with the process: so each
 * scan that passes while it lives is asked, and what it shows is kept as long as the segment is
 * there. Of its ancestors those count that run the same program: a server's other parts, but not
 * the shell or the init that has started it. Of its descendants all do.
 *
 * A family is complete only from the scans that have seen it, where none of it had lost a parent.
 * Else a segment's lineage is unknown, which is not the same as having no relatives.
 */

#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "lib/memory/ipc.h"
#include "lib/memory/shm.h"
#include "lib/os/procfs.h"
#include "lib/os/sweep.h"
#include "lib/process/process.h"
#include "lib/process/scan.h"
#include "lib/survey/relatives.h"

#define LINEAGES_KEPT 256
/* A program that has more has what it has in use, mostly; past that its lineage is not known. */
#define DESCENDANTS_MOST 1024
#define GENERATIONS_MOST 64

typedef struct {
	pid_t pid; /* 0: nobody */
	uint64_t start;
} Person;

typedef struct {
	Person person;
	pid_t parent;        /* as it was seen first */
	pid_t asked_parent;  /* that of which it was asked last what it runs */
	guint64 scan;        /* number of the scan that was asked last */
	GArray *ancestors;   /* SegfsProcess, of the same program */
	GArray *descendants; /* SegfsProcess */
	bool is_seen;        /* while it lived */
	bool is_cut;         /* there may be more of it */
} Family;

typedef struct {
	SegfsSysv segment;
	Person creator, last_user;
} Lineage;

static guint person_hash(gconstpointer pointer)
{
	const Person *person = pointer;

	return (guint)person->pid * 31 + (guint)(person->start ^ person->start >> 32);
}

static gboolean person_equal(gconstpointer a, gconstpointer b)
{
	const Person *x = a, *y = b;

	return x->pid == y->pid && x->start == y->start;
}

static void family_free(gpointer pointer)
{
	Family *family = pointer;

	g_array_unref(family->ancestors);
	g_array_unref(family->descendants);
	g_free(family);
}

Relatives *relatives_new(void)
{
	Relatives *relatives = g_new0(Relatives, 1);

	g_mutex_init(&relatives->lock);
	relatives->lineages = g_hash_table_new_full(g_int_hash, g_int_equal, NULL, g_free);
	relatives->families = g_hash_table_new_full(person_hash, person_equal, NULL, family_free);
	return relatives;
}

void relatives_free(Relatives *relatives)
{
	g_hash_table_unref(relatives->lineages);
	g_hash_table_unref(relatives->families);
	g_clear_pointer(&relatives->likeness, g_hash_table_unref);
	g_clear_pointer(&relatives->likeness_scan, segfs_scan_unref);
	g_mutex_clear(&relatives->lock);
	g_free(relatives);
}

/* The judge's processes by number, and those by the number of their parent. */
static void know_processes(Judge *judge)
{
	if (judge->by_pid)
		return;
	const GPtrArray *all = segfs_scan_processes(judge->scan);
	judge->by_pid = g_hash_table_new(NULL, NULL);
	judge->children =
		g_hash_table_new_full(NULL, NULL, NULL, (GDestroyNotify)g_ptr_array_unref);
	for (guint i = 0; i < all->len; i++) {
		SegfsProcess *process = all->pdata[i];
		if (!process->start)
			continue;
		g_hash_table_insert(judge->by_pid, GINT_TO_POINTER(process->pid), process);
		GPtrArray *siblings =
			g_hash_table_lookup(judge->children, GINT_TO_POINTER(process->parent));
		if (!siblings) {
			siblings = g_ptr_array_new();
			g_hash_table_insert(judge->children, GINT_TO_POINTER(process->parent),
					    siblings);
		}
		g_ptr_array_add(siblings, process);
	}
}

static const SegfsProcess *find_process(const Judge *judge, pid_t pid)
{
	return g_hash_table_lookup(judge->by_pid, GINT_TO_POINTER(pid));
}

/* As it was seen: not another that has its number by now. */
static const SegfsProcess *find_person(const Judge *judge, const Person *person)
{
	const SegfsProcess *process = find_process(judge, person->pid);

	return process && process->start == person->start ? process : NULL;
}

/* What it runs, without " (deleted)": a program that was replaced is the same to its children. */
static bool read_program(const Judge *judge, pid_t pid, char ret_link[PATH_MAX])
{
	g_autofree char *path =
		g_strdup_printf("%s/%d/exe", segfs_ipc_proc_root(judge->view->options.ipc), pid);
	const ssize_t n = readlink(path, ret_link, PATH_MAX - 1);

	if (n <= 0)
		return false;
	ret_link[n] = '\0';
	if (g_str_has_suffix(ret_link, " (deleted)"))
		ret_link[n - strlen(" (deleted)")] = '\0';
	return true;
}

/* A program may call itself what it likes, and may not be ours to look into. */
static bool is_same_program(const Judge *judge, const SegfsProcess *a, const SegfsProcess *b)
{
	char x[PATH_MAX], y[PATH_MAX];

	if (!strcmp(a->command, b->command))
		return true;
	return read_program(judge, a->pid, x) && read_program(judge, b->pid, y) && !strcmp(x, y);
}

static bool has(const GArray *processes, const SegfsProcess *process)
{
	for (guint i = 0; i < processes->len; i++) {
		const SegfsProcess *other = &g_array_index(processes, SegfsProcess, i);
		if (other->pid == process->pid && other->start == process->start)
			return true;
	}
	return false;
}

static void learn_ancestors(const Judge *judge, Family *family, const SegfsProcess *process)
{
	const SegfsProcess *ancestor = find_process(judge, process->parent);

	if (family->asked_parent == process->parent)
		return;
	family->asked_parent = process->parent;
	if (!family->parent)
		family->parent = process->parent;
	for (int i = 0; ancestor && i < GENERATIONS_MOST; i++) {
		if (!has(family->ancestors, ancestor) && is_same_program(judge, process, ancestor))
			g_array_append_val(family->ancestors, *ancestor);
		ancestor = find_process(judge, ancestor->parent);
	}
}

/* Adds the children of each that is there, theirs too, and drops those that have ended since. */
static void learn_descendants(const Judge *judge, Family *family)
{
	GArray *all = family->descendants;
	g_autoptr(GHashTable) known = g_hash_table_new(NULL, NULL);
	const SegfsProcess *self = find_person(judge, &family->person);

	for (guint i = all->len; i-- > 0;) {
		const SegfsProcess *one = &g_array_index(all, SegfsProcess, i);
		if (!find_person(judge, &(Person){one->pid, one->start}))
			g_array_remove_index_fast(all, i);
	}
	for (guint i = 0; i < all->len; i++)
		g_hash_table_add(known, GINT_TO_POINTER(g_array_index(all, SegfsProcess, i).pid));
	for (guint i = self ? 0 : 1; i <= all->len; i++) {
		const pid_t pid =
			i == 0 ? family->person.pid : g_array_index(all, SegfsProcess, i - 1).pid;
		const GPtrArray *children =
			g_hash_table_lookup(judge->children, GINT_TO_POINTER(pid));
		for (guint j = 0; children && j < children->len; j++) {
			const SegfsProcess *child = children->pdata[j];
			if (!g_hash_table_add(known, GINT_TO_POINTER(child->pid)))
				continue;
			if (all->len == DESCENDANTS_MOST) {
				family->is_cut = true;
				return;
			}
			g_array_append_val(all, *child);
		}
	}
}

/* From the judge's scan, once. Call with the lock held. */
static void learn(Judge *judge, Family *family)
{
	know_processes(judge);
	if (family->scan == judge->scan->number)
		return;
	family->scan = judge->scan->number;
	const SegfsProcess *process = find_person(judge, &family->person);
	if (process)
		learn_ancestors(judge, family, process);
	learn_descendants(judge, family);
}

static gboolean is_of_nobody(gpointer key, gpointer value, gpointer data)
{
	return !g_hash_table_contains(data, key);
}

/* Families of processes that no memory is known of any more go. Call with the lock held. */
static void sweep_families(SegfsView *view)
{
	g_autoptr(GHashTable) wanted =
		g_hash_table_new_full(person_hash, person_equal, g_free, NULL);
	GHashTableIter iter;
	gpointer value;

	if (g_hash_table_size(view->relatives->families) < view->relatives->families_most)
		return;
	g_hash_table_iter_init(&iter, view->relatives->lineages);
	while (g_hash_table_iter_next(&iter, NULL, &value)) {
		const Lineage *lineage = value;
		g_hash_table_add(wanted, g_memdup2(&lineage->creator, sizeof(Person)));
		g_hash_table_add(wanted, g_memdup2(&lineage->last_user, sizeof(Person)));
	}
	g_mutex_lock(&view->lock);
	g_hash_table_iter_init(&iter, view->seen);
	while (g_hash_table_iter_next(&iter, NULL, &value)) {
		const GArray *holders = value;
		for (guint i = 0; i < holders->len; i++) {
			const SegfsProcess *holder = &g_array_index(holders, SegfsProcess, i);
			g_hash_table_add(wanted, g_memdup2(&(Person){holder->pid, holder->start},
							   sizeof(Person)));
		}
	}
	g_mutex_unlock(&view->lock);
	sweep_table(view->relatives->families, &view->relatives->families_most, LINEAGES_KEPT,
		    is_of_nobody, wanted);
}

/* Call with the lock held. */
static Family *see(Judge *judge, const Person *person)
{
	Relatives *relatives = judge->view->relatives;
	Family *family = g_hash_table_lookup(relatives->families, person);

	if (!family) {
		sweep_families(judge->view);
		family = g_new0(Family, 1);
		family->person = *person;
		family->ancestors = g_array_new(FALSE, FALSE, sizeof(SegfsProcess));
		family->descendants = g_array_new(FALSE, FALSE, sizeof(SegfsProcess));
		g_hash_table_insert(relatives->families, &family->person, family);
	}
	learn(judge, family);
	return family;
}

static gboolean is_gone(gpointer key, gpointer value, gpointer data)
{
	const Lineage *lineage = value;
	SegfsSysv now;

	return shm_stat(lineage->segment.shmid, &now) < 0;
}

/* Of that very segment, or NULL. Call with the lock held. */
static Lineage *recall(Judge *judge, const SegfsSysv *segment)
{
	Lineage *lineage = g_hash_table_lookup(judge->view->relatives->lineages, &segment->shmid);

	return lineage && segfs_sysv_same(&lineage->segment, segment) ? lineage : NULL;
}

static void remember(Judge *judge, const SegfsSysv *segment, const Person *person, bool is_creator)
{
	Relatives *relatives = judge->view->relatives;
	int r;
	IPC_SCOPE(judge->view->options.ipc, r);

	if (r < 0 || person->start == 0)
		return;
	g_mutex_lock(&relatives->lock);
	Lineage *lineage = recall(judge, segment);
	if (!lineage) {
		sweep_table(relatives->lineages, &relatives->lineages_most, LINEAGES_KEPT, is_gone,
			    NULL);
		lineage = g_new0(Lineage, 1);
		lineage->segment = *segment;
		g_hash_table_replace(relatives->lineages, &lineage->segment.shmid, lineage);
	}
	*(is_creator ? &lineage->creator : &lineage->last_user) = *person;
	Family *family = see(judge, person);
	if (!family->is_seen && find_person(judge, person)) {
		family->is_seen = true;
		family->is_cut |= process_may_be_adopted(
			segfs_ipc_proc_root(judge->view->options.ipc), person->pid, person->start);
	}
	g_mutex_unlock(&relatives->lock);
}

void lineage_see_creator(Judge *judge, const SegfsSysv *segment, pid_t pid, uint64_t start)
{
	remember(judge, segment, &(Person){pid, start}, true);
}

void lineage_see_last_user(Judge *judge, const SegfsSysv *segment, pid_t pid, uint64_t start)
{
	remember(judge, segment, &(Person){pid, start}, false);
}

void lineage_see_holder(Judge *judge, const SegfsProcess *process)
{
	Relatives *relatives = judge->view->relatives;

	g_mutex_lock(&relatives->lock);
	see(judge, &(Person){process->pid, process->start});
	g_mutex_unlock(&relatives->lock);
}

/* Call with the lock held. */
static Family *family_of(Judge *judge, const Person *person)
{
	Family *family = g_hash_table_lookup(judge->view->relatives->families, person);

	if (family)
		learn(judge, family);
	return family;
}

/* Call with the lock held. */
static bool is_known(Judge *judge, const Person *person)
{
	const Family *family = family_of(judge, person);

	return family && family->is_seen && !family->is_cut;
}

LineageKnown lineage_known(Judge *judge, const SegfsSysv *segment, LineageKnown known,
			   LineageKnown scattered)
{
	Relatives *relatives = judge->view->relatives;

	g_mutex_lock(&relatives->lock);
	const Lineage *lineage = recall(judge, segment);
	if (lineage && is_known(judge, &lineage->creator))
		known |= LINEAGE_OF_CREATOR & ~scattered;
	if (segment->lpid == 0 && segment->atime == 0 && segment->dtime == 0)
		known |= LINEAGE_OF_LAST_USER;
	else if (segment->lpid == segment->cpid)
		known |= known & LINEAGE_OF_CREATOR ? LINEAGE_OF_LAST_USER : 0;
	else if (lineage && lineage->last_user.pid == segment->lpid &&
		 is_known(judge, &lineage->last_user))
		known |= LINEAGE_OF_LAST_USER & ~scattered;
	g_mutex_unlock(&relatives->lock);
	return known;
}

/* A living one of them, in the namespace that is judged. */
static const SegfsProcess *find_living(Judge *judge, const GArray *processes, bool of_any_ns)
{
	const SegfsIpc *ipc = judge->view->options.ipc;

	for (guint i = 0; i < processes->len; i++) {
		const SegfsProcess *process = &g_array_index(processes, SegfsProcess, i);
		const SegfsProcess *now =
			find_person(judge, &(Person){process->pid, process->start});
		const uint64_t ns = now ? now->ipc_ns : process->ipc_ns;
		if ((of_any_ns || ns == 0 || ns == ipc->inum) &&
		    procfs_is_alive(ipc->proc_root, process->pid, process->start))
			return process;
	}
	return NULL;
}

/* near: what the parent, or a child, is called; the rest is called near + 1. */
static bool find_among(Judge *judge, const Family *family, bool is_ancestors, bool of_any_ns,
		       SegfsKinship near, SegfsProcess *ret_relative, SegfsKinship *ret_kinship)
{
	const SegfsProcess *found = find_living(
		judge, is_ancestors ? family->ancestors : family->descendants, of_any_ns);

	if (!found)
		return false;
	const bool is_near =
		is_ancestors ? found->pid == family->parent : found->parent == family->person.pid;
	*ret_relative = *found;
	*ret_kinship = is_near ? near : near + 1;
	return true;
}

bool lineage_find(Judge *judge, const SegfsSysv *segment, SegfsProcess *ret_relative,
		  SegfsKinship *ret_kinship)
{
	Relatives *relatives = judge->view->relatives;
	bool found = false;

	g_mutex_lock(&relatives->lock);
	const Lineage *lineage = recall(judge, segment);
	const Family *creators = lineage ? family_of(judge, &lineage->creator) : NULL;
	const Family *users = lineage && lineage->last_user.pid == segment->lpid
				      ? family_of(judge, &lineage->last_user)
				      : NULL;
	if (creators)
		found = find_among(judge, creators, true, false, SEGFS_CREATORS_PARENT,
				   ret_relative, ret_kinship);
	if (!found && users)
		found = find_among(judge, users, true, false, SEGFS_LAST_USERS_PARENT, ret_relative,
				   ret_kinship);
	if (!found && creators)
		found = find_among(judge, creators, false, false, SEGFS_CREATORS_CHILD,
				   ret_relative, ret_kinship);
	g_mutex_unlock(&relatives->lock);
	return found;
}

static bool holds_object(Judge *judge, pid_t pid)
{
	if (!judge->holding) {
		g_autoptr(GPtrArray) all = segfs_scan_held(judge->scan);
		judge->holding = g_hash_table_new(NULL, NULL);
		for (guint i = 0; i < all->len; i++) {
			const SegfsHeld *held = all->pdata[i];
			const GArray *holders = held->holders;
			for (guint j = 0; held->id.kind == SEGFS_POSIX && j < holders->len; j++) {
				const SegfsHolder *holder = &g_array_index(holders, SegfsHolder, j);
				g_hash_table_add(judge->holding,
						 GINT_TO_POINTER(holder->process->pid));
			}
		}
	}
	return g_hash_table_contains(judge->holding, GINT_TO_POINTER(pid));
}

bool lineage_find_kin(Judge *judge, const SegfsItem *item, const SegfsKin *kin,
		      SegfsProcess *ret_relative, SegfsKinship *ret_kinship)
{
	g_autoptr(GArray) one = g_array_new(FALSE, FALSE, sizeof(SegfsProcess));

	know_processes(judge);
	for (guint i = 0; kin && i < kin->n; i++) {
		const SegfsKinsman *kinsman = &kin->all[i];
		const SegfsProcess *now =
			find_person(judge, &(Person){kinsman->pid, kinsman->start});
		const SegfsProcess bare = {.pid = kinsman->pid, .uid = -1, .start = kinsman->start};
		g_array_set_size(one, 0);
		g_array_append_val(one, *(now ? now : &bare));
		if (!find_living(judge, one, item->id.kind != SEGFS_SYSV) ||
		    (kinsman->role == SEGFS_KIN_DOUBTFUL && !holds_object(judge, kinsman->pid)))
			continue;
		*ret_relative = g_array_index(one, SegfsProcess, 0);
		*ret_kinship = kinsman->role == SEGFS_KIN_CHILD ? SEGFS_CREATORS_CHILD
			       : kinsman->pid == kin->parent    ? SEGFS_CREATORS_PARENT
								: SEGFS_CREATORS_ANCESTOR;
		return true;
	}
	return false;
}

bool lineage_find_of_holders(Judge *judge, const GArray *holders, SegfsProcess *ret_relative,
			     SegfsKinship *ret_kinship)
{
	Relatives *relatives = judge->view->relatives;
	bool found = false;

	g_mutex_lock(&relatives->lock);
	for (guint i = 0; i < holders->len && !found; i++) {
		const SegfsProcess *holder = &g_array_index(holders, SegfsProcess, i);
		const Family *family = family_of(judge, &(Person){holder->pid, holder->start});
		found = family && find_among(judge, family, true, true, SEGFS_HOLDERS_PARENT,
					     ret_relative, ret_kinship);
	}
	g_mutex_unlock(&relatives->lock);
	return found;
}
