/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "mount/error.h"

static G_DEFINE_QUARK(segfs, segfs)

	gboolean segfs_error(GError **error, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	g_autofree char *message = g_strdup_vprintf(format, arguments);
	va_end(arguments);
	g_set_error_literal(error, segfs_quark(), 1, message);
	return FALSE;
}
