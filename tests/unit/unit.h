/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What the unit tests share: segments, processes and directories that go when they leave their
 * scope. A failed assertion aborts without leaving any scope: then what this process made
 * is removed on the way out, from the signal.
 */
#pragma once

#include <glib.h>
#include <linux/capability.h>
#include <segfs/segfs.h>
#include <stdbool.h>
#include <sys/shm.h>
#include <sys/types.h>
#include <unistd.h>

enum {
	UNIT_UID = 12345, /* a user with no rights; no passwd file is asked */
	UNIT_GID = 23456,
};

/*
 * g_test_init(), and before it: an IPC namespace of our own, where we may have one; and
 * with SEGFS_UNIT_USER=1 root becomes the plain user for the whole program.
 */
void unit_init(int *argc, char ***argv);

/* True for a root that may become somebody else; otherwise the test is skipped. */
bool unit_need_root(void);

/*
 * True in a process that is a plain user from its start: this one, or for root a new one
 * that runs this test again. Where it is false the test is done and its result is set.
 */
bool unit_as_user(void);

/* The same with a new process that stays root: what it changes of itself goes with it. */
bool unit_as_new_process(void);

/*
 * _exit(2), for a child: what it has run of the program is counted first, where that is counted
 * (tools/check --coverage).
 */
G_NORETURN void unit_exit(int status);

/* The program has a handler for SIGBUS, as copies into mapped memory want it. */
void unit_handle_sigbus(void);

/* Until the clock that the kernel stamps segments with shows another second. */
void unit_next_second(void);

/* The size of a page, which differs among machines and kernels. */
#define PAGE sysconf(_SC_PAGESIZE)

/* A segment that exists as long as its variable. */
#define scoped_segment __attribute__((cleanup(segment_remove))) int
int segment_make(size_t size, mode_t mode);
int segment_make_key(size_t size, mode_t mode, key_t *ret_key); /* under a key nobody has */
int segment_make_huge(size_t size);                             /* -1 where there are no pages */
int segment_adopt(int shmid);
void segment_remove(int *shmid);

/* Removes it, and makes another segment under the same id. False where we may not. */
bool segment_replace(int *shmid, size_t size, mode_t mode);

/* What the kernel says of it, with nothing masked. */
struct shmid_ds segment_kernel(int shmid);

/* That looking has left no trace in it. */
#define assert_untouched(before, after)                                                            \
	do {                                                                                       \
		const struct shmid_ds *b_ = (before), *a_ = (after);                               \
		g_assert_cmpuint(a_->shm_nattch, ==, b_->shm_nattch);                              \
		g_assert_cmpint(a_->shm_lpid, ==, b_->shm_lpid);                                   \
		g_assert_cmpint(a_->shm_atime, ==, b_->shm_atime);                                 \
		g_assert_cmpint(a_->shm_dtime, ==, b_->shm_dtime);                                 \
		g_assert_cmpint(a_->shm_ctime, ==, b_->shm_ctime);                                 \
	} while (0)

/* What is reported of the attaches of a segment. */
void assert_attaches(const SegfsSysv *segment, uint64_t nattch, pid_t lpid, int64_t atime,
		     int64_t dtime);

#define CAP(name) (1ULL << CAP_##name)

void assert_groups(const SegfsCaller *caller, guint n, const gid_t *groups);

/* A new directory with all that is put into it, as long as its variable. */
#define scoped_tree __attribute__((cleanup(tree_remove))) char *
char *tree_make(const char *parent); /* NULL: where temporary files go */
void tree_remove(char **tree);
void tree_write(const char *tree, const char *path, const char *text);
void tree_link(const char *tree, const char *path, const char *target);

/* The looking itself; both without error. */
SegfsIpc *ipc_make(const char *proc_root, bool no_attach);
SegfsSysv segment_stat(SegfsIpc *ipc, int shmid);

/*
 * The result of call, which nobody's use should refuse: it is called again while it is error, for
 * ten seconds. Whoever looks into a process when that ends, such as another mount of the host,
 * keeps what it had mapped for a moment.
 */
#define UNIT_WHILE(error, call)                                                                    \
	({                                                                                         \
		const gint64 unit_end = g_get_monotonic_time() + 10 * G_USEC_PER_SEC;              \
		int unit_r;                                                                        \
		while ((unit_r = (call)) == (error) && g_get_monotonic_time() < unit_end)          \
			g_usleep(10000);                                                           \
		unit_r;                                                                            \
	})
