/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <segfs/history.h>

/*
 * Names of functions, by a process of its own (segfs-symbols), since files of programs are
 * anybody's: whoever takes that process over has no rights and no files but those that he has made
 * himself.
 */
typedef struct Symbols Symbols;

/* Starts it; before there are threads, and a filter of system calls. NULL: why not, to be freed. */
Symbols *symbols_new(const char *program, char **ret_why_not);
/* Ends it. */
void symbols_free(Symbols *symbols);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Symbols, symbols_free)

/*
 * For each frame " function (source.c:12)", for a terminal, or "" where that is not known: an array
 * for g_strfreev(). Files are opened as the caller; pid: of the process, if it lives, else 0. It
 * takes some seconds where a file does not answer; who may not wait (errand_may_wait()) gets
 * nothing.
 */
char **symbols_of(Symbols *symbols, const SegfsCaller *caller, pid_t pid, const SegfsStack *stack);
