/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <json-glib/json-glib.h>
#include <segfs/caller.h>
#include <segfs/history.h>

#include "lib/record/table.h"

/* Members of the object that builder is in: who has made it; past: NULL: not known, or not to
 * whoever reads it. */
void put_creator(JsonBuilder *builder, const SegfsPast *past);

/* And how, where the caller may know that; past: NULL: not known. */
void put_stack(JsonBuilder *builder, const char *proc_root, const SegfsCaller *caller,
	       const SegfsPast *past);

/* Likewise of what is gone: what it was, who made it and who removed it, as far as caller may know
 * that. own: the number of the IPC namespace whose objects have none in history; users: see
 * put_owner(). */
void put_gone(JsonBuilder *builder, const char *proc_root, const SegfsCaller *caller, uint64_t own,
	      GHashTable *users, const Gone *gone);
