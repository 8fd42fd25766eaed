/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <segfs/scan.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * Why a verdict is what it is, as data: the rule that decided, and what the rule saw. It is put
 * into words for one reader by segfs_item_evidence(), which alone knows what that one may read.
 */

/* Each rule decides for one verdict, which is named here in brackets. */
typedef enum {
	SEGFS_RULE_HELD,            /* (in use) the item's holders, or the kernel's count */
	SEGFS_RULE_HELD_BY_UNSEEN,  /* (in use) the kernel says so, and /proc does not show whom */
	SEGFS_RULE_OPEN_HERE,       /* (in use) this mount has it open for somebody */
	SEGFS_RULE_MOUNTED,         /* (in use) the object itself is mounted somewhere */
	SEGFS_RULE_IN_A_MOUNT,      /* (in use) the kernel says so; only a segfs mount can be it */
	SEGFS_RULE_CREATOR_LIVES,   /* (idle) process 0 */
	SEGFS_RULE_LAST_USER_LIVES, /* (idle) process 0 */
	SEGFS_RULE_HOLDER_LIVES,    /* (idle) process 0 has held it */
	SEGFS_RULE_KEPT,            /* (idle) kept, kept_reason: see keep.h */
	SEGFS_RULE_RELATIVE_LIVES,  /* (idle) process 0, which is kinship to it */
	SEGFS_RULE_HOLDS_ANOTHER, /* (idle) process 0, of its owner, is older than it, and holds one
				     like it; whose relatives live cannot be known: see unknown */
	SEGFS_RULE_USED_LATELY,   /* (idle) age, which is less than orphan_age */
	SEGFS_RULE_CREATOR_UNSEEN,   /* (unknown) it is in another pid namespace */
	SEGFS_RULE_LAST_USER_UNSEEN, /* (unknown) it is in another pid namespace */
	SEGFS_RULE_CREATED_FOR,      /* (unknown) process 0, a mount, created it for somebody */
	SEGFS_RULE_NOT_EXAMINED,     /* (unknown) count of processes, which may hold it */
	SEGFS_RULE_NOT_ASKED,        /* (unknown) nor can the kernel be asked; count of processes */
	SEGFS_RULE_UNUSED,           /* (orphaned) for age */
	SEGFS_RULE_ENDED, /* (orphaned) so have process 0, and process 1 where there is one */
	SEGFS_N_RULES
} SegfsRule;

/* What a process is to the memory: it decides who may read of the process. */
typedef enum {
	SEGFS_ROLE_NONE,      /* there is no process */
	SEGFS_ROLE_CREATOR,   /* read where its command is, see segfs_command_is_visible() */
	SEGFS_ROLE_LAST_USER, /* the same */
	SEGFS_ROLE_MOUNT,     /* lives: a segfs mount, which attached it last; the same */
	SEGFS_ROLE_HOLDER,    /* has held it; read where holders are: segfs_holder_is_visible() */
	SEGFS_ROLE_RELATIVE,  /* of those above; read where its command is */
	SEGFS_ROLE_HOLDS_ANOTHER, /* something like it; read where holders are */
} SegfsRole;

/* What a living process is to those who have used the memory and have ended. */
typedef enum {
	SEGFS_CREATORS_PARENT, /* this and the next three run the same program */
	SEGFS_CREATORS_ANCESTOR,
	SEGFS_LAST_USERS_PARENT,
	SEGFS_LAST_USERS_ANCESTOR,
	SEGFS_HOLDERS_PARENT, /* of a past holder of an object; likewise */
	SEGFS_HOLDERS_ANCESTOR,
	SEGFS_CREATORS_CHILD,
	SEGFS_CREATORS_DESCENDANT,
	SEGFS_N_KINSHIPS
} SegfsKinship;

typedef struct {
	SegfsRole role;
	SegfsProcess process; /* start is 0 where it has ended; command is empty: not known */
} SegfsWitness;

typedef struct {
	SegfsRule rule;
	bool may_be_mapped; /* that nobody has it attached is all that is known */
	bool has_age;
	int64_t age;        /* seconds since it was last used; valid where has_age */
	int64_t orphan_age; /* seconds; see SegfsScopeOptions */
	uint64_t count;
	const char *kept;        /* the glob; the scope's, which outlives it */
	const char *kept_reason; /* likewise; NULL: it was not said */
	SegfsKinship kinship;    /* of SEGFS_RULE_RELATIVE_LIVES */
	bool of_creators_user;   /* of SEGFS_RULE_HOLDS_ANOTHER: not of its owner's */
	bool creator_is_known;   /* likewise: the lineage that is not known is its last user's */
	SegfsWitness processes[2];
} SegfsEvidence;
