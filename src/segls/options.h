/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <segfs/segfs.h>
#include <stdbool.h>

#include "segls/output.h"
#include "segls/sums.h"

typedef struct {
	char *columns; /* as they were asked for; NULL: they were not */
	char *usual;   /* those of the environment, or the program's own */
	char *sort, *shm_dir, *by, *keep_file, **globs;
	SegfsKeep *keep;
	SumsBy sums; /* where by is there */
	OutputFormat format;
	double watch; /* seconds between two; 0: once */
	gboolean json, raw, export, shell, tree, orphans, orphan_age_unsafe, all_namespaces, bytes,
		noheadings, version, segments, semaphores, queues, everything, events, gone;
	int64_t orphan_age;
} Options;

void options_clear(Options *options);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Options, options_clear)

gboolean options_parse(int *argc, char ***argv, Options *options, GError **error);

/* Is the report of all that is known asked for, no table? */
bool options_want_report(const Options *options);

/* An error in words; returns FALSE. */
gboolean fail(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);
