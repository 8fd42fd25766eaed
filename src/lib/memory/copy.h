/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * Memory that goes away while it is copied is a SIGBUS, which only the program can handle.
 * copy_enable(): its handler calls copy_fault(), which does not return where the fault was in a
 * copy. Until it is called, no copy is made: copy_prepare() is false.
 */
void copy_enable(void);
bool copy_is_enabled(void);
void copy_fault(const siginfo_t *info);

/* Maps the pages of the range of mapped shared memory: true where every one is resident. */
bool copy_prepare(char *to, size_t size);

/*
 * Copies into mapped shared memory that is prepared, fast: false where the kernel could not
 * give a page. Then part of the range may have been written, and the caller writes it
 * another way. past_cache: the bytes need not be left in the processor's cache.
 */
bool copy_to_prepared(char *to, const void *bytes, size_t size, bool past_cache);
