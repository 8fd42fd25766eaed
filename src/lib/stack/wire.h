/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdint.h>

#include "lib/probe/stack.h"

/*
 * What symbols.c asks segfs-symbols: one message, with descriptors. The first is where the answer
 * goes, the others are files that may have that build-id, regular ones, opened for reading. The
 * answer is a line for each offset: the name of the function, a tab, and the file and line of the
 * source, each of which may be empty. No line: that is not known of any.
 */
struct symbols_question {
	uint32_t n;
	unsigned char id[STACK_ID];
	uint64_t offsets[STACK_FRAMES]; /* in the file; see segfs/history.h */
};

#define SYMBOLS_FILES 4 /* descriptors, but for the first */
#define SYMBOLS_LINE 512
