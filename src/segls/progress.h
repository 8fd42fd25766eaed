/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* What takes over a second says so on a terminal, on stderr, until it is over. */
typedef struct Progress Progress;

/* what: of whom it is said. NULL: stderr is no terminal. */
Progress *progress_start(const char *what);
/* The line is gone again, and it is freed; nothing of NULL. */
void progress_end(Progress *progress);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Progress, progress_end)
