/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The churn: many threads and processes open, map, write, remove and make again a few segments
 * and objects at once, through the mount and directly. See churn.c for how the parts work together.
 */
#pragma once

#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	KEYS = 6,
	NAMES = 6,
	KEY_FIRST = 0x5e600001,
	KEY_SURVIVOR = 0x5e6fffff,
	SURVIVOR_SIZE = 65536,
	/* Threads, over all processes; each has a word of its own at the start of every segment. */
	SLOTS = 64,
	STAMPS_SIZE = SLOTS * 8,
	ERRORS = 140,
	IDS = 32,
	BAD_SHOWN = 24,
	BAD_LENGTH = 240,
	UID_FIRST = 41001,
};

/*
 * The operations, and the answers that the direct calls may give in the same race. A name that
 * another can take away at any moment is ENOENT (the id: EINVAL or EIDRM of shmat and shmctl), one
 * that another can make is EEXIST, and whoever is not root meets segments that are not for him.
 * Never ESTALE: it exists for the kernel to look a name up again, no direct call answers it. EIDRM,
 * "identifier removed", is what shmctl says of an id that has gone; it is right where a program
 * changes, through what it has open, a segment that is gone. Two need a word more:
 *   KEY_SIZE      EPERM where the segment was there already, and has another size
 *   SYSV_CHMOD    EIDRM by a name that a listing has told the kernel within the last second: the
 *                 daemon cannot know it from a descriptor
 */
/* clang-format off */
#define KINDS(K) \
	K(KEY_CREATE, ALL(0), USERS(EACCES)) \
	K(KEY_CREATE_EXCL, ALL(EEXIST), USERS(0)) \
	K(KEY_SIZE, ALL(EEXIST, EPERM), USERS(EACCES)) \
	K(KEY_WRITE, ALL(ENOSPC), USERS(0)) \
	K(KEY_CLOSE, ALL(EEXIST), USERS(0)) \
	K(KEY_CLOSE_EMPTY, ALL(EINVAL), USERS(0)) \
	K(SYSV_OPEN, ALL(ENOENT), USERS(EACCES)) \
	K(SYSV_OPEN_TRUNC, ALL(ENOENT), USERS(EACCES)) \
	K(KEY_OPEN, ALL(ENOENT), USERS(EACCES)) \
	K(KEY_OPEN_TRUNC, ALL(ENOENT), USERS(EACCES)) \
	K(SYSV_READ, ALL(0), USERS(0)) \
	K(SYSV_WRITE, ALL(0), USERS(0)) \
	K(SYSV_WRITE_PAST, ALL(ENOSPC), USERS(0)) \
	K(SYSV_MAP, ALL(0), USERS(0)) \
	K(SYSV_FSTAT, ALL(0), USERS(0)) \
	K(SYSV_SEEK, ALL(ENXIO), USERS(0)) \
	K(SYSV_PUNCH, ALL(0), USERS(0)) \
	K(SYSV_FCHMOD, ALL(EIDRM), USERS(EPERM)) \
	K(SYSV_CLOSE, ALL(0), USERS(0)) \
	K(SYSV_STAT, ALL(ENOENT), USERS(0)) \
	K(SYSV_TRUNCATE, ALL(ENOENT, EPERM), USERS(EACCES)) \
	K(SYSV_CHMOD, ALL(ENOENT, EIDRM), USERS(EPERM)) \
	K(SYSV_RM, ALL(ENOENT), USERS(EPERM)) \
	K(KEY_RM, ALL(ENOENT), USERS(EPERM)) \
	K(DIRECT_SHMGET, ALL(EEXIST, EINVAL), USERS(EACCES)) \
	K(DIRECT_SHMAT, ALL(EINVAL, EIDRM), USERS(EACCES)) \
	K(DIRECT_RMID, ALL(EINVAL, EIDRM), USERS(EPERM)) \
	K(LISTING, ALL(0), USERS(0)) \
	K(LISTING_STAT, ALL(ENOENT), USERS(0)) \
	K(POSIX_CREATE, ALL(0), USERS(EACCES)) \
	K(POSIX_CREATE_EXCL, ALL(EEXIST), USERS(0)) \
	K(POSIX_OPEN, ALL(ENOENT), USERS(EACCES)) \
	K(POSIX_OPEN_TRUNC, ALL(ENOENT), USERS(EACCES)) \
	K(POSIX_READ, ALL(0), USERS(0)) \
	K(POSIX_WRITE, ALL(0), USERS(0)) \
	K(POSIX_MAP, ALL(0), USERS(0)) \
	K(POSIX_FSTAT, ALL(0), USERS(0)) \
	K(POSIX_FTRUNCATE, ALL(0), USERS(0)) \
	K(POSIX_FCHMOD, ALL(0), USERS(EPERM)) \
	K(POSIX_CLOSE, ALL(0), USERS(0)) \
	K(POSIX_STAT, ALL(ENOENT), USERS(0)) \
	K(POSIX_RENAME, ALL(ENOENT), USERS(EPERM, EACCES)) \
	K(POSIX_UNLINK, ALL(ENOENT), USERS(EPERM, EACCES)) \
	K(DIRECT_POSIX_CREATE, ALL(0), USERS(EACCES)) \
	K(DIRECT_POSIX_OPEN, ALL(ENOENT), USERS(EACCES)) \
	K(DIRECT_POSIX_RENAME, ALL(ENOENT), USERS(EPERM, EACCES)) \
	K(DIRECT_POSIX_UNLINK, ALL(ENOENT), USERS(EPERM, EACCES))
/* clang-format on */

enum kind {
#define K(name, all, users) name,
	KINDS(K)
#undef K
		N_KINDS
};

/* The memory that all processes share. */
struct shared {
	atomic_bool stop;
	atomic_long counts[N_KINDS][ERRORS]; /* by errno */
	atomic_long compared, moved, signals, busses;
	atomic_uint_least64_t stamp;
	atomic_int ids[IDS]; /* seen lately */
	atomic_uint n_ids;
	atomic_int n_bad;
	char bad[BAD_SHOWN][BAD_LENGTH];
};

/* One thread. */
struct thread {
	int slot;
	uint64_t random;
	bool root;
	struct open *opens;
};

extern struct shared *shared;
extern const char *mnt;
extern bool can_map;      /* shared mappings of what is on the mount work */
extern bool can_pick_id;  /* shm_next_id can be written */
extern bool is_protected; /* fs.protected_regular is on (proc_sys_fs(5)) */
extern const char *const kind_names[N_KINDS];

/* churn-ops.c: does something at random, until it is told to stop. */
void churn(struct thread *self);

/* Counts the outcome, error 0 or an errno, and writes down an outcome that should not be. */
void outcome(struct thread *self, enum kind kind, int error);
void bad(const char *format, ...) __attribute__((format(printf, 1, 2)));
uint64_t random_below(struct thread *self, uint64_t n);
bool chance(struct thread *self, int of_hundred);
off_t some_size(struct thread *self);
mode_t some_mode(struct thread *self);
int some_flags(struct thread *self); /* of open(2) */
/* A place for one more; what was there may be closed. */
struct open *free_open(struct thread *self);
void id_seen(int shmid);

typedef char path_buffer[128];

/* churn-segment.c */
void make_by_size(struct thread *self);
void make_by_bytes(struct thread *self);
void make_directly(struct thread *self);
void open_segment(struct thread *self);
void remove_segment(struct thread *self);
void change_by_name(struct thread *self);
void use_segment(struct thread *self, struct open *opened);

/* churn-object.c */
void open_object(struct thread *self);
void create_object_directly(struct thread *self);
void rename_object(struct thread *self);
void unlink_object(struct thread *self);
void stat_object(struct thread *self);
void use_object(struct thread *self, struct open *opened);

/* churn-open.c: what a thread keeps open for a while, and whether its ways in are one memory. */
enum { OPENS = 5 };

struct open {
	bool used, posix, made; /* made: it came with O_CREAT in key/ */
	int fd;                 /* through the mount */
	int flags;
	off_t size;      /* of a segment; 0: not known */
	int shmid;       /* of attached */
	char *mapped;    /* of fd */
	char *attached;  /* shmat of the same segment, before fd was opened */
	bool may_store;  /* to attached */
	int direct;      /* of a POSIX object: the file itself, opened before fd; -1 */
	char *directly;  /* mapping of direct */
	const char *how; /* it was opened */
};

void open_map(struct thread *self, struct open *open);
void open_compare(struct thread *self, struct open *open);
void open_close(struct thread *self, struct open *open);
/* SIGBUS is right where somebody cuts a POSIX object, and nowhere else. */
void on_bus(int signal, siginfo_t *info, void *context);

/* churn-daemon.c: what the daemon holds. */
struct held {
	int descriptors; /* but /dev/fuse and pipes, of which each of its threads may have some */
	int pipes;
	int threads;
	int attaches;
	long rss_kib;
	long shm_blocks; /* in use in /dev/shm */
};

void daemon_look(pid_t pid, struct held *ret_held);
/* Lines "# " with the names of its descriptors. */
void daemon_explain(pid_t pid);
