/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Takes a write lease on an open file, which the kernel grants only where no other
 * descriptor and no mapping of it exists, whoever has them: 0, and the lease ends with
 * fd; -EBUSY; or -errno where it cannot be asked (not the owner's, no such thing here).
 * A process that opens the file meanwhile waits for the descriptor to be closed.
 */
int lease_take(int fd);
