/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <segfs/sysv.h>

/*
 * Nobody has a descriptor or a mapping of a segment that is not attached: 0 or -EBUSY;
 * other errors where the kernel cannot be asked. may_attach: it may be attached for a moment, which
 * is for who removes it, not for who looks.
 */
int segment_is_free(SegfsIpc *ipc, const SegfsSysv *segment, bool may_attach);
