/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#define FUSE_USE_VERSION FUSE_MAKE_VERSION(3, 17)

#include <fuse_lowlevel.h>
#include <glib.h>

/*
 * The absolute path of the mountpoint given, the caller's to free, or NULL with error where
 * it cannot be one. The mount of a segfs whose daemon is dead is taken away first.
 */
char *mountpoint_prepare(const char *given, GError **error);

/* Whether one can mount here at all, and how to come to that. */
gboolean mountpoint_check_device(GError **error);

/* Gives the segfs that is mounted there flags of mount(2), as mount(8)'s -o remount does. */
gboolean mountpoint_remount(const char *given, unsigned long flags, GError **error);

/*
 * From here on the daemon is told to end (SIGTERM) when what it has mounted there is unmounted,
 * though programs may still use it, or another mount namespace have it: umount(8), -l.
 */
void mountpoint_watch(const char *mountpoint);

/*
 * Unmounts what the session has mounted there, if it still is. As root by the system call: libfuse
 * would have umount(8) do it, and a daemon of root's runs nothing, see confine.c.
 */
void mountpoint_leave(struct fuse_session *session, const char *mountpoint);
