/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sys/types.h>

/* An id's own name only (of a segment, a semaphore set, a queue): no sign, no leading zeros; else
 * -ENOENT. */
int item_parse_id(const char *name, int *ret_id);
/* 0x1234, 0X1234 and 4660 are one key; -EINVAL: it is none. */
int item_parse_key(const char *name, key_t *ret_key);

/* "%2F" is "/", and so on for any byte; NULL: not a name that we give. Who asks makes the
 * name of it again, since it may have another. */
char *item_decode(const char *flat);
