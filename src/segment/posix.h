/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <segfs/posix.h>
#include <stdbool.h>

/*
 * Is it on a tmpfs? What the kernel knows of it itself tells, its file system is asked
 * nothing: another might not answer.
 */
bool posix_is_tmpfs(int fd);
