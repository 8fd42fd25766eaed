/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stdint.h>

/* Bars of the host's Shmem: what kind of memory it is, and which verdict it has. */

void bars_start_colors(void);

/* Four lines from line y on, of all pieces (Piece), shmem bytes of which they are a part. */
void bars_draw(int y, const GPtrArray *pieces, uint64_t shmem);
