/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/record/actor.h"

/*
 * Lines of text, of which the last are kept: a generation that is full becomes the one before, and
 * what was that is forgotten. Not safe to use from two threads at once.
 */
typedef struct Log Log;

/* most: bytes of one generation. */
Log *log_new(gsize most);
void log_free(Log *log);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Log, log_free)

/* Begins a line, "TIME verb file", to which fields are added; when: microseconds since 1970. */
GString *log_line(int64_t when, const char *verb, const char *file);
void log_field(GString *line, const char *name, const char *value);
void log_field_number(GString *line, const char *name, uint64_t value);
/* when: as above. */
void log_field_time(GString *line, const char *name, int64_t when);
void log_field_actor(GString *line, const char *prefix, const SegfsActor *actor);

/* Takes the line. */
void log_add(Log *log, GString *line);

/* All of it, floating; and back, into one that is new. False: that is none. */
#define LOG_TYPE "(ta(ttxay))"
GVariant *log_save(const Log *log);
bool log_restore(Log *log, GVariant *saved);

/* Of the present generation. */
uint64_t log_number(const Log *log);

/*
 * One generation, for as long as somebody reads it. Text is only ever added to it.
 */
typedef struct {
	gatomicrefcount refs;
	uint64_t number; /* from 1 */
	GString *text;
	int64_t changed; /* when text was added last, or it began; microseconds since 1970 */
} Generation;

/* The present one (back 0) or the one before (back 1), with a reference; NULL: there is none. */
Generation *log_generation(Log *log, guint back);
void generation_unref(Generation *generation);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Generation, generation_unref)
