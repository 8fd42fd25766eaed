/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lib/survey/survey.h"

/*
 * Does a process live that may want memory again which nobody has just now? A server lets go of
 * memory and takes it up again later, through other processes than the one that has made it.
 *
 * lineage.c: a process of the family of the creator or of the last user, where that family was
 * seen while it lived. likeness.c: where it was not, a process that has something like it.
 */

/* What a view remembers for it. */
typedef struct Relatives {
	GMutex lock;          /* protects what follows */
	GHashTable *lineages; /* shmid -> Lineage */
	guint lineages_most;  /* see sweep_table() */
	GHashTable *families; /* Person -> Family */
	guint families_most;
	SegfsScan *likeness_scan; /* from which likeness was made */
	GHashTable *likeness;     /* see likeness.c */
} Relatives;

Relatives *relatives_new(void);
void relatives_free(Relatives *relatives);

/*
 * The segment's creator, or its last user, is this process, which lives: from now on its family is
 * known. Those who held an object are seen likewise, by pid and start alone.
 */
void lineage_see_creator(Judge *judge, const SegfsSysv *segment, pid_t pid, uint64_t start);
void lineage_see_last_user(Judge *judge, const SegfsSysv *segment, pid_t pid, uint64_t start);
void lineage_see_holder(Judge *judge, const SegfsProcess *process);

typedef enum {
	LINEAGE_OF_CREATOR = 1,
	LINEAGE_OF_LAST_USER = 2,
	LINEAGE_KNOWN = LINEAGE_OF_CREATOR | LINEAGE_OF_LAST_USER,
} LineageKnown;

/*
 * Of which of the two the whole lineage is known; who has not used a segment has none to know.
 * known: of whom history knows it; scattered: of whom it knows that scans cannot have seen it all.
 */
LineageKnown lineage_known(Judge *judge, const SegfsSysv *segment, LineageKnown known,
			   LineageKnown scattered);

/* A living relative of one of them; of an object, of those who held it (SegfsProcess). */
bool lineage_find(Judge *judge, const SegfsSysv *segment, SegfsProcess *ret_relative,
		  SegfsKinship *ret_kinship);
bool lineage_find_of_holders(Judge *judge, const GArray *holders, SegfsProcess *ret_relative,
			     SegfsKinship *ret_kinship);

/* A living one of the kin of a process that has ended, as history knows it. NULL: there is none. */
bool lineage_find_kin(Judge *judge, const SegfsItem *item, const SegfsKin *kin,
		      SegfsProcess *ret_relative, SegfsKinship *ret_kinship);

/*
 * A process that is older than the item and holds something like it: of the item's owner, or (then
 * ret_of_creator is true) of its creator's user. born: microseconds since 1970, at the latest.
 */
bool likeness_find(Judge *judge, const SegfsItem *item, int64_t born, SegfsProcess *ret_process,
		   bool *ret_of_creator);
