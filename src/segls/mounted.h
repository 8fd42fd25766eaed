/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <segfs/segfs.h>

#include "segls/output.h"

/*
 * What the daemon of a mount remembers (segfs_history_new()), and segls, which has not been there,
 * does not. Mounts are asked that are root's or of the user who asks, with that user's rights.
 */
typedef struct Mounted Mounted;

/* Asks them, which then look at all processes beside whatever the caller does. */
Mounted *mounted_ask(void);
/* Waits for the answers, once. False: there is none. */
bool mounted_read(Mounted *mounted);
void mounted_free(Mounted *mounted);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Mounted, mounted_free)

/* Of one who has made something: what is not known is NULL. */
typedef struct {
	char *creator, *command;
	char *end; /* how, and when */
} MountedPast;

/* What is known of the item, mounted's; NULL: nothing. mounted can be NULL. */
const MountedPast *mounted_past(const Mounted *mounted, const SegfsItem *item);

/* Appends the files events.1 and events. */
gboolean mounted_events(GString *text, GError **error);

/* Appends a table of what gone/ has. */
gboolean mounted_gone(OutputFormat format, bool headings, GString *text, GError **error);
