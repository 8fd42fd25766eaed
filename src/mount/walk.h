/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "tree/node.h"

/* What the threads that call us have found by name, and which of them are to look once more. */
typedef struct Walks Walks;
/* Of NodeOps: what was found need no longer be kept. */
typedef void (*WalkLetGo)(Node *node, pid_t tid);

Walks *walks_new(void);
/* Lets go of all; before the tree ends. */
void walks_free(Walks *walks);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Walks, walks_free)

/*
 * thread, 0 where it has no number here, has found node, which is held where let_go is not NULL:
 * that is kept until what the thread asks for next has been done, but at most for two seconds, by
 * a clock that stands still where the machine does. again: its call counts as told.
 */
void walks_found(Walks *walks, pid_t thread, Node *node, bool again, WalkLetGo let_go);
/* It has looked for a name and found none: what it was told of it has not found again. */
void walks_missed(Walks *walks, pid_t thread);
/* Has it found node, and asked for nothing since? */
bool walks_has_found(Walks *walks, pid_t thread, const Node *node);

/*
 * Its call is told ESTALE, since node, NULL where it is a directory of the way, is gone. False: the
 * call was told already, and is not to be told again.
 */
bool walks_tell(Walks *walks, pid_t thread, const Node *node);
/*
 * Was it told, in the last 20 s, or counts as told: in this call or in one that has ended without
 * asking anything of what it had found?
 */
bool walks_was_told(Walks *walks, pid_t thread);

/* Was it told of node, which it has not found since, in the last two seconds? */
bool walks_was_told_of(Walks *walks, pid_t thread, const Node *node);

/*
 * What the thread has asked for is done, or is about to be by the name alone: nothing is kept. For
 * thread 0 nothing of node, or (NULL) of no such thread.
 */
void walks_over(Walks *walks, pid_t thread, const Node *node);
/* Nothing is held for the thread any more; that its call was told is known. */
void walks_let_go(Walks *walks, pid_t thread);

/* name in directory is removed. */
void walks_removed(Walks *walks, const Node *directory, const char *name);
/* Was it, in the last two seconds (of a few thousand names)? Perhaps also in the last four. */
bool walks_was_removed(Walks *walks, const Node *directory, const char *name);
