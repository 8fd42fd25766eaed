/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Threads that act as somebody else, or in another IPC namespace, and come back. The kernel can
 * refuse the way back. Then the thread is lost: it may have another user's rights, or ask about
 * another namespace's segments, and nothing may go on so. Every function of libsegfs that asks
 * the kernel for something that depends on who or where the thread is fails on it from then on,
 * with -ENOTRECOVERABLE. Other threads go on.
 */

/*
 * What the program does about a lost thread; called once for each, on that thread, so that it can
 * log and end the process, or only take note. from: what the thread could not come back to, as
 * "its own user"; error: errno of the system call that was refused.
 */
typedef void (*SegfsThreadLost)(const char *from, int error);

/*
 * Sets it for the whole process, before any thread can be lost. NULL, as at first: nothing is done.
 * Cannot fail.
 */
void segfs_thread_set_lost(SegfsThreadLost lost);

/*
 * To be called first by whatever a thread of a GThreadPool is to do: GLib makes such threads
 * when work comes in, and a thread is born in the IPC namespace (ipc_namespaces(7)) in which
 * its creator is just then, which can be another than the process's own. 0; -ENOTRECOVERABLE: the
 * thread is lost, see above. See setns(2).
 */
int segfs_thread_comes_home(void);
