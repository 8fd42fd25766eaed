/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <segfs/segfs.h>

#include "segls/options.h"

/* What there is, surveyed once or again and again. What it remembers of creators and past holders
 * makes verdicts better. */
typedef struct {
	GPtrArray *scopes; /* SegfsScope: our own, then others' */
	GPtrArray *of;     /* GPtrArray of SegfsItem: what each of those has */
	SegfsScan *scan;   /* of the first */
} Source;

void source_clear(Source *source);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Source, source_clear)

gboolean source_open(const Options *options, Source *source, GError **error);

/* A survey of now takes the place of the last one. */
gboolean source_survey(const Options *options, Source *source, GError **error);

/* All items, each once, though namespaces may share a /dev/shm; they stay the source's. The caller
 * unrefs the array. */
GPtrArray *source_items(const Source *source);
