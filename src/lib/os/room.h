/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Memory that is ours to the kernel, though a caller fills it: pages that we are the first to touch
 * are charged to our memory cgroup, at whose limit the kernel kills us. See room.c.
 */

/* Bytes that are being taken; given back where that has ended, one way or the other. */
typedef uint64_t RoomTaken;

/*
 * Room for what is to be written to a memory file. -ENOSPC: the pages of the range that are missing
 * (fd -1: all are) would come too near to a limit.
 */
int room_take_range(int fd, off_t offset, uint64_t size, RoomTaken *ret_taken);

/* For a name, or an attribute of one: there is room for those when bytes have none any more. */
int room_take_name(uint64_t size, RoomTaken *ret_taken);
void room_leave(RoomTaken *taken);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(RoomTaken, room_leave)

/* Pages of the range of a memory file that hold nothing yet. */
uint64_t room_pages_missing(int fd, off_t offset, uint64_t size);

/*
 * What the memory cgroup of a process leaves it, by its own limits and those of the groups that
 * this one is in: cgroup v2 or v1, below root (/sys/fs/cgroup). -ENODATA: nothing limits it.
 * cgroup: the text of /proc/PID/cgroup.
 */
int room_of_cgroup(const char *cgroup, const char *root, uint64_t *ret_limit, uint64_t *ret_left);
