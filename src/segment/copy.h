/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/*
 * Copies into mapped shared memory, fast: true where every page of the range is resident
 * and was written; false where some are not, or the kernel could not give one. Then part
 * of the range may have been written, and the caller writes it another way.
 */
bool copy_to_resident(char *to, const void *bytes, size_t size);
