/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The kernel grants a write lease (fcntl(2), F_SETLEASE) on an open file only where no other
 * descriptor and no mapping of it exists, whoever has them: so it is asked whether
 * somebody has it. Two of our threads that ask at one time would take each other for
 * somebody: from before the file is opened until the descriptor is closed, with the
 * lease, this lock is held. A process that opens the file meanwhile waits, or with
 * O_NONBLOCK gets EWOULDBLOCK.
 */
void lease_lock(void);
void lease_unlock(void);

/*
 * Gives the lock up while the lease lasts, for a call that can hang; lease_end() after its end.
 * Who looks meanwhile takes the file for somebody's.
 */
void lease_keep(void);
void lease_end(void);

/* Waits until no lease of ours is on any file, half a second at most. */
void lease_settle(void);

/*
 * Takes it; it ends with fd. Call with the lock held. 0; -EBUSY: somebody has the file; or
 * -errno where it cannot be asked (not the owner's, no such thing here).
 */
int lease_take(int fd);

/*
 * Opens what an O_PATH descriptor stands for and takes the lease; fd is to be closed before
 * the lock is given up. As lease_take(); -EBUSY also where somebody has a lease on it.
 */
int lease_open(int path_fd, int *ret_fd);
