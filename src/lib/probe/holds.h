/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <linux/types.h>

/* What holds.bpf.c tells, and holds.c reads. */

#define HOLDS_DEVICES 5

/* Where a process, or a thread that has descriptors of its own, has files mapped and open. */
struct holds_process {
	__u32 pid;        /* of the process, in the pid namespace of the reader */
	__u32 is_unknown; /* it may have others than these */
	__u32 n;
	__u32 devices[HOLDS_DEVICES]; /* as the kernel has them: of a tmpfs, hugetlbfs or FUSE */
};
