/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A segment's own name only: no sign, no leading zeros; else -ENOENT. */
int item_parse_shmid(const char *name, int *ret_shmid);

/* "%2F" is "/", "%25" is "%"; NULL: not a name that we give. */
char *item_decode(const char *flat);
