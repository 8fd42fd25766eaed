/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>

/*
 * Do modes, ids and capabilities alone decide about SysV IPC? Not where a security module of the
 * kernel has a say (SELinux, Smack: ipc_permission in include/linux/lsm_hook_defs.h), nor where
 * this process is in a user namespace, in which unmapped users share one number. Asked once; what
 * cannot be known is no.
 */
bool lsm_leaves_ipc_alone(void);
