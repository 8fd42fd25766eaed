/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* open(2) by a worker thread of io_uring(7), without liburing. */
#pragma once

/* Has its worker made by the rights of now. 0 or -errno. */
int uring_start(void);

/* A descriptor or -errno. */
int uring_open(const char *path, int flags);
