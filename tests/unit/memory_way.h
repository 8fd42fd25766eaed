/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "unit.h"

/*
 * The two ways to a segment's memory: through a descriptor, which needs capabilities, and
 * attached, as a plain user has to.
 */
typedef enum { BY_FD, ATTACHED } Way;

/* Two whole pages and a third that is not. */
#define SIZE (2 * PAGE + 1001)

/* What it takes to open memory as ourselves. */
typedef struct {
	SegfsIpc *ipc;
	SegfsCaller self;
} Us;

/* False where this process cannot go this way (a Way); then the test is over. */
bool us_start(Us *ret_us, gconstpointer way, bool no_attach);
void us_clear(Us *us);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Us, us_clear)

SegfsMemory *memory_open(const Us *us, int shmid, bool write); /* without error */

/* Another attach of the segment, which sees what any program would. */
typedef struct {
	unsigned char *bytes;
} Seen;

Seen seen_attach(int shmid);
void seen_clear(Seen *seen);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Seen, seen_clear)

bool all_are(const unsigned char *bytes, unsigned char byte, size_t size);

/* A test of one way, and a test of each of the two. */
#define TEST(path, function) g_test_add_func("/memory/" path, function)
#define BOTH(path, function)                                                                       \
	g_test_add_data_func("/memory/fd/" path, GINT_TO_POINTER(BY_FD), function);                \
	g_test_add_data_func("/memory/attached/" path, GINT_TO_POINTER(ATTACHED), function)
