/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/*
 * The absolute path of the mountpoint given, the caller's to free, or NULL with error where
 * it cannot be one. The mount of a segfs whose daemon is dead is taken away first.
 */
char *mountpoint_prepare(const char *given, GError **error);
