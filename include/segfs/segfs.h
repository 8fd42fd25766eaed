/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * libsegfs: what shared memory a Linux host has and what is in it.
 *
 * Functions return 0 or -errno and set what ret_ points to only on success. Sizes are
 * bytes, times are seconds since 1970 (0: never), ids of users are those of the calling
 * process's user namespace and ids of processes those of its pid namespace.
 */

#include <segfs/caller.h>
#include <segfs/container.h>
#include <segfs/evidence.h>
#include <segfs/history.h>
#include <segfs/ipc.h>
#include <segfs/keep.h>
#include <segfs/limits.h>
#include <segfs/memory.h>
#include <segfs/namespace.h>
#include <segfs/posix.h>
#include <segfs/report.h>
#include <segfs/resource.h>
#include <segfs/scan.h>
#include <segfs/scope.h>
#include <segfs/since.h>
#include <segfs/survey.h>
#include <segfs/sysv.h>
#include <segfs/thread.h>
#include <segfs/tmpfs.h>

/* What the running kernel can do; doc/kernels.md says what each thing is for. */

/*
 * Why nothing here works on this kernel, in one line, the caller's to free; NULL: it does. A kernel
 * before Linux 5.6 has no openat2(2), without which no name of others can be opened safely.
 */
char *segfs_kernel_refusal(void);

/*
 * What this kernel lacks of what segfs makes use of, with the release that each came with, such as
 * "PROCMAP_QUERY (6.11), NS_GET_ID (6.18)", the caller's to free; NULL: nothing. FUSE's own are not
 * among them: the mount is told of those when it begins.
 */
char *segfs_kernel_lacks(void);
