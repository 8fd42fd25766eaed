/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <segfs/scan.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/os/procfs.h"

/*
 * Is it a segfs mount, of root or ours? What such a one has open and attaches is for others,
 * who are seen themselves. directory_fd: of /proc/PID, or of a thread's.
 */
bool process_is_mount(int directory_fd, const char *command, uid_t uid);

/*
 * Can the process that had this number at that time, in seconds since 1970, still live?
 * ret_stat is set where it does and where that is known, else is all 0. What is learnt of
 * processes goes into known, a new table of process_table_new(), so that each is asked once.
 */
bool process_lives(const char *proc_root, GHashTable *known, pid_t pid, int64_t at,
		   ProcfsStat *ret_stat, bool *ret_is_mount);
GHashTable *process_table_new(void);

/*
 * A file of /proc/PID of that very process, the caller's to free; NULL: it has ended, or cannot be
 * asked within a second.
 */
char *process_ask(const char *proc_root, const SegfsProcess *process, const char *name,
		  gsize *ret_size);

/*
 * May it, or one that it comes from, be another's child than its parent's now? Whose parent ends
 * gets the init of its pid namespace instead, or a subreaper (PR_SET_CHILD_SUBREAPER of prctl(2)),
 * and the kernel does not say so. But a child is born into its parent's session (credentials(7)).
 * One that leads a session is taken to be its parent's own: services are init's, and lead one. True
 * also where that cannot be asked.
 */
bool process_may_be_adopted(const char *proc_root, pid_t pid, uint64_t start);

/* Arguments with a NUL after each as segfs_process_command_line() has them, the caller's to free;
 * NULL: there are none. */
char *process_line_of(const char *arguments, gsize size);
