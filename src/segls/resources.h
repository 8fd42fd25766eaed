/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "segls/source.h"

/*
 * Appends the semaphore sets or message queues of all that was surveyed to text, as a table of its
 * own.
 */
gboolean resources_write(const Source *source, SegfsResourceKind kind, OutputFormat format,
			 bool headings, bool bytes, GString *text, GError **error);
