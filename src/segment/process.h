/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* A file of /proc below folder_fd, whole, instead of what text was. Or -errno. */
int process_read(int folder_fd, const char *name, GString *text);

/* The number that a link of /proc/PID/ns/ bears; 0, and errno, where it is not ours to know. */
uint64_t process_namespace(int folder_fd, const char *name);

/* That of the user namespace that owns the one which ns_fd is of (ioctl_ns(2)); 0, and errno. */
uint64_t process_namespace_owner(int ns_fd);

/* What /proc/PID/stat says. */
typedef struct {
	char command[16];
	char state;     /* a letter; Z: dead, and not yet waited for */
	uint64_t start; /* clock ticks since boot */
	guint n_threads;
} ProcessStat;

/* False where there is no such process, or it cannot be asked. */
bool process_stat(const char *proc_root, pid_t pid, ProcessStat *ret_stat);

/* Does the process that started then live? A thread of it will do. */
bool process_is_alive(const char *proc_root, pid_t pid, uint64_t start);

/* A start as seconds since 1970. */
int64_t process_started(uint64_t ticks);

/*
 * Is it a segfs mount, of root or ours? What such a one has open and attaches is for others,
 * who are seen themselves. folder_fd: of /proc/PID, or of a thread's.
 */
bool process_is_mount(int folder_fd, const char *command, uid_t uid);

/*
 * Can the process that had this number at that time, in seconds since 1970, still live?
 * ret_stat is set where it does and where that is known, else is all 0. What is learnt of
 * processes goes into known, a new table of process_table_new(), so that each is asked once.
 */
bool process_lives(const char *proc_root, GHashTable *known, pid_t pid, int64_t at,
		   ProcessStat *ret_stat, bool *ret_is_mount);
GHashTable *process_table_new(void);
