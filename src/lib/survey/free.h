/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <segfs/sysv.h>

/*
 * Nobody has a descriptor or a mapping of a segment that is not attached: 0 or -EBUSY;
 * other errors where the kernel cannot be asked. It is attached for a moment.
 */
int segment_is_free(SegfsIpc *ipc, const SegfsSysv *segment);
