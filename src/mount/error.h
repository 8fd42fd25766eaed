/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* Sets error to one line that says what is wrong and what to do about it. Returns FALSE. */
gboolean segfs_error(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);
