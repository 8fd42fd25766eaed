/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>

#include "lib/stack/wire.h"

/*
 * The answer to the question, of which text has room for size bytes; returns how many it takes.
 * files: n of them, of which those that have another build-id are not looked into.
 */
size_t resolve(const struct symbols_question *question, const int *files, int n, char *text,
	       size_t size);
