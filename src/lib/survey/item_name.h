/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A segment's own name only: no sign, no leading zeros; else -ENOENT. */
int item_parse_shmid(const char *name, int *ret_shmid);

/* "%2F" is "/", and so on for any byte; NULL: not a name that we give. Who asks makes the
 * name of it again, since it may have another. */
char *item_decode(const char *flat);
