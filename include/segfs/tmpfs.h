/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <segfs/scan.h>
#include <segfs/since.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* A tmpfs (tmpfs(5)) or devtmpfs that is mounted somewhere. */
typedef struct {
	dev_t dev;
	char *point;   /* where, as its mount namespace calls it; without control characters */
	pid_t pid;     /* of a process there; 0: it is mounted in our own mount namespace */
	uint64_t used; /* bytes, those that are swapped, too */
	bool has_used; /* false: it cannot be reached, or has no limit and so does not count */
} SegfsTmpfs;

/*
 * Those of our own mount namespace and, where everywhere says so, of all that the scanner's
 * processes live in and we may look into (proc_pid_mountinfo(5), statfs(2)), as an array of
 * SegfsTmpfs, each file system once, that the caller unrefs. No other file system is asked; one
 * that is in the way and hangs is given up. Errors are those of segfs_scanner_scan().
 */
int segfs_tmpfs_list(SegfsScanner *scanner, SegfsSince since, bool everywhere, GArray **ret_tmpfs);
