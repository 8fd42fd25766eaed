/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/*
 * What a daemon leaves for the one that comes after it, for as long as the host runs: one file, in
 * a directory DIRECTORY/<boot id>/ that nobody else may change. Not safe to use from two threads at
 * once.
 */
typedef struct State State;

/*
 * The file of who has that name, any text; DIRECTORY is made where it is missing. Other boots' are
 * removed. Waits a moment for another process that has it, which may be about to end. NULL: why,
 * the caller's to free.
 */
State *state_open(const char *directory, const char *name, char **ret_why_not);
void state_free(State *state);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(State, state_free)

/*
 * What was written last. NULL: nothing was, or, where ret_why_not is set (the caller's to free), it
 * is not that.
 */
GBytes *state_read(State *state, char **ret_why_not);

/* All of it or nothing; -errno. */
int state_write(State *state, GBytes *bytes);
