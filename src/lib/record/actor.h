/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <segfs/history.h>

#include "lib/probe/ends.h"

/* Frees what is in it. */
void actor_clear(SegfsActor *actor);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(SegfsActor, actor_clear)

/* A copy, which the calling function clears. */
SegfsActor actor_copy(const SegfsActor *actor);

/* Bytes of what they point to. */
gsize actor_size(const SegfsActor *actor);
gsize past_size(const SegfsPast *past);

/* To be kept, floating; and back, to be cleared. */
#define ACTOR_TYPE "(ituaymaymay)"
GVariant *actor_save(const SegfsActor *actor);
void actor_restore(GVariant *saved, SegfsActor *ret_actor);
/* Of an array of "(iut)", for g_free(). */
SegfsKin *kin_restore(GVariant *saved, pid_t parent);

/* What ends.bpf.c says, for g_free(). */
SegfsKin *kin_new(const struct ends_kin *told, bool is_known);
/* Of its ancestors alone, which are doubtful. */
SegfsKin *kin_new_doubtful(const struct ends_kin *told);
SegfsKin *kin_copy(const SegfsKin *kin);
/* Both together: known only where both are. Either can be NULL: it has none. */
SegfsKin *kin_join(const SegfsKin *kin, const SegfsKin *other);
