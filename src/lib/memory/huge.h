/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <segfs/sysv.h>

/*
 * Sets rss, pages and has_resident of segments (SegfsSysv) that are as the kernel's table has them:
 * where what its figure stands for cannot be known has_resident is false, and rss stays the figure.
 */
void huge_correct(SegfsIpc *ipc, GArray *segments);

/* What the segment's memory was seen to be of. */
void huge_remember(SegfsIpc *ipc, const SegfsSysv *segment, SegfsPages pages);
