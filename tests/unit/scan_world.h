/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "hold.h"

/*
 * A /proc of our own making: its processes are 1, which holds nothing, and whoever is put
 * there. Devices that are no real ones are 00:e0 and up.
 */
#define NS_IPC 4026531839u
#define NS_MNT 4026531832u
#define RANGE "7f0000001000-7f0000003000"

typedef struct {
	char *proc;
	SegfsScanner *scanner;
	dev_t kernel;       /* the kernel's own tmpfs, a real one */
	char kernel_hex[8]; /* as maps shows it */
} World;

void world_start(World *ret_world);
void world_clear(World *world);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(World, world_clear)

/* A file of a process; text is as of printf(3). */
void world_write(const World *world, int pid, const char *name, const char *format, ...)
	G_GNUC_PRINTF(4, 5);
void world_link(const World *world, int pid, const char *name, const char *target);
void world_owner(const World *world, int pid, uid_t uid); /* needs root */

/* A process that has lines of maps, in the namespaces above, with the mounts of 1. */
void world_process(const World *world, int pid, const char *command, const char *maps);
/* A line of maps of the kernel's tmpfs, which is the process's only one. */
void world_maps(const World *world, int pid, uint64_t inode, const char *name);
/* A descriptor that leads there by a path, on the mount with this id. */
void world_fd(const World *world, int pid, int fd, const char *path, int mount, uint64_t inode);
void world_mounts(const World *world, int pid, uint64_t mnt_ns, const char *mountinfo);

/* The processes that hold it, as "4711 4712", or ""; the caller's to free. */
char *holders_of(const SegfsHeld *held);
void assert_held_by(const World *world, const SegfsId *id, const char *pids);
