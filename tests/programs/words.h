/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>

/* The words of commands that shmtool and holders are given. */

/* A number, with K, M, G or T after it, or names of constants joined by |; ends the program else.
 */
long long number(const char *word);

/* Undoes \xNN in place; the length, for what holds a NUL. */
size_t unescape(char *word);

const char *errno_name(int err);
