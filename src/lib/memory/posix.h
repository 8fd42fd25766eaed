/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <segfs/posix.h>

/* O_PATH, the object that st is of, and nothing that may have its name by now. -1: gone. */
int posix_open_object(const SegfsPosix *posix, const char *path, const struct stat *st);
