/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <segfs/sysv.h>

/*
 * A descriptor of segment's memory file out of a process that has it attached, which
 * leaves no trace in the segment: of its last user or creator, then of any process.
 * -ENOENT: none was found, or none may be looked into. -EMFILE, -ENFILE, -ENOMEM: not known, we
 * could not look.
 */
int holder_open_memory(SegfsIpc *ipc, const SegfsSysv *segment, int *ret_fd);

/*
 * The same out of one process. With address not NULL, only what is mapped there. The
 * process's IPC namespace is not compared then: it is ourselves.
 */
int holder_open_mapping(const char *proc_root, const char *pid, const SegfsSysv *segment,
			const void *address, int *ret_fd);
