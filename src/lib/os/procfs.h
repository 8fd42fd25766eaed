/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* A file of /proc below directory_fd, whole, instead of what text was. Or -errno. */
int procfs_read(int directory_fd, const char *name, GString *text);

/* The number that a link of /proc/PID/ns/ bears; 0, and errno, where it is not ours to know. */
uint64_t procfs_namespace(int directory_fd, const char *name);

/* That of the user namespace that owns the one which ns_fd is of (ioctl_ns(2)); 0, and errno. */
uint64_t procfs_namespace_owner(int ns_fd);

/* What /proc/PID/stat says. */
typedef struct {
	char command[16];
	char state;     /* a letter; Z: dead, and not yet waited for */
	uint64_t start; /* clock ticks since boot */
	guint n_threads;
	unsigned int flags; /* PF_ of linux/sched.h */
} ProcfsStat;

/* False where there is no such process, or it cannot be asked. */
bool procfs_stat(const char *proc_root, pid_t pid, ProcfsStat *ret_stat);

/* Does the process that started then live? A thread of it will do. */
bool procfs_is_alive(const char *proc_root, pid_t pid, uint64_t start);

/* A start as seconds since 1970. */
int64_t procfs_started(uint64_t ticks);

/* One that is dead and not waited for is Z; so is one of which other threads live. */
bool procfs_stat_lives(const ProcfsStat *stat);
