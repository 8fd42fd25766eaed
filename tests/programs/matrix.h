/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The permission matrix: what a caller may do through the mount is what the kernel lets the same
 * caller do directly. See matrix.c for how the parts work together.
 */
#pragma once

#include <stdbool.h>
#include <sys/ipc.h>
#include <sys/types.h>

/* Users and groups by number: the kernel asks no passwd file. */
enum {
	UID_OWNER = 41001,
	UID_CREATOR = 41002,
	UID_OTHER = 41003,
	UID_TAKER = 41099,
	GID_OWNER = 42001,
	GID_CREATOR = 42002,
	GID_OTHER = 42003,
	GID_FOREIGN = 42099,
};

enum {
	TYPE_SYSV = 1,
	TYPE_POSIX = 2,
	/* A SysV segment seen in key/: only there can one be created. */
	TYPE_KEY = 4,
	/* A POSIX object, too, which is a FIFO. */
	TYPE_FIFO = 8,
	/* A semaphore set, a message queue. */
	TYPE_SEM = 16,
	TYPE_MSG = 32,
};

#define SEGMENT_BYTES 4096
#define JOBS_MAX 48

/* One of two twins: `path` is how this side is reached, `real` where root looks at the result. */
struct target {
	char path[160], path2[168];
	char real[160], real2[168];
	int type;
	int shmid; /* or semid, or msqid; -1: none */
	key_t key;
	uid_t uid;
	gid_t gid;
	mode_t mode;
};

struct op;

struct job {
	const struct op *op;
	struct target mount, direct;
	uid_t new_uid; /* of chown; (uid_t)-1 keeps */
	gid_t new_gid;
	mode_t new_mode;
	/* The answers: 0 or an errno. `blind` is the other one that FUSE cannot tell apart. */
	int by_mount, by_direct, by_blind;
};

/* Shared by the runner, the workers and the supervisor, who sweeps what is still listed here. */
struct arena {
	int count;
	bool is_protected; /* by fs.protected_*, as distributions have them */
	struct job jobs[JOBS_MAX];
};

enum {
	/* The twins are fresh and are looked at afterwards. */
	OP_CHANGES = 1,
	/* Starts from nothing, so the mode does not matter: once per caller. */
	OP_MAKES = 2,
	/* Zeroes the bytes, and only where it is allowed. */
	OP_TRUNCATES = 4,
	/* Asked with the real user, as access() does. */
	OP_REAL = 8,
	/* access() or faccessat(AT_EACCESS). */
	OP_ACCESS = 16,
	/*
	 * By a worker of io_uring: groups and capabilities are not known of it, nor whether it
	 * opens with O_CREAT, which fs.protected_regular forbids.
	 */
	OP_URING = 32,
};

enum new_owner { KEEP, SELF_UID, SELF_GID, SELF_BOTH, GIVE_UID, GIVE_GID, SUPPLEMENTARY_GID };

struct op {
	const char *name;
	int types;
	int flags;
	int (*by_path)(const struct op *op, const struct job *job, const struct target *target);
	/* NULL for POSIX, whose direct call is the same one on /dev/shm. */
	int (*by_call)(const struct op *op, const struct job *job, const struct target *target);
	int arg;
	enum new_owner owner;
	mode_t mode;
};

extern const struct op matrix_ops[];
extern const int matrix_op_count;

struct caller {
	const char *name;
	uid_t ruid, euid;
	gid_t rgid, egid;
	int group_count;
	gid_t groups[4];
	/* Pad the groups in front with this many others. */
	int many_groups;
	/* Capabilities of a user that is not root; 0 for none. */
	unsigned long long caps;
	bool root_without_caps;
	/* setfsuid()/setfsgid() to the owner: files know that, SysV does not. */
	bool fsuid;
	/* Fewer modes: these are here for the caller's kind of rights. */
	bool brief;
};

extern const struct caller matrix_callers[];
extern const int matrix_caller_count;

/* Become the caller for good, with real groups, users and capabilities. Exits on failure. */
void caller_become(const struct caller *caller);
/* The change that access() makes to the credentials, for calls that have no such form; and back. */
void caller_enter_real(const struct caller *caller);
void caller_leave_real(const struct caller *caller);
/*
 * A FUSE_ACCESS request holds a user and a mask, not whether the capabilities count: for a user
 * who has some without being root, access() and AT_EACCESS look the same to any daemon.
 */
bool caller_is_blind(const struct caller *caller);

/* Whether the caller has rights besides those of its user and group. */
bool caller_has_more(const struct caller *caller);

/* Run the jobs of the arena as `caller`, who is the calling process. */
void jobs_run(struct arena *arena, const struct caller *caller);

/* MNT; whether both twins are used directly; how the names of our files begin. */
extern const char *mnt;
extern bool direct_only;
extern char prefix[64];

#define SHM_DIR "/dev/shm"

enum modes { MODES_BRIEF, MODES_RW, MODES_ALL };

struct kind {
	const char *name;
	int type;
	enum modes modes;
	/* SysV */
	bool keyed;
	uid_t creator;
	gid_t creator_group;
	/* POSIX: the subdirectory, NULL for the top */
	const char *directory;
	uid_t directory_uid;
	gid_t directory_gid;
	mode_t directory_mode;
};

/* Run by root. They exit on failure: the supervisor sweeps what is there by then. */
void make_directory(const struct kind *kind);
void make_target(const struct kind *kind, struct job *job, struct target *target, mode_t mode);
void remove_target(const struct target *target);

/* The difference between the twins after both answered the same, to be freed, or NULL. */
char *compare_segments(const struct job *job);
char *compare_files(const struct job *job);
const char *error_name(int error);

/* matrix-resources.c: semaphore sets and message queues by their own calls; as those return. */
int resource_make(int type, key_t key);
int resource_read(int type, int id);
int resource_remove(int type, int id);
int resource_set(int type, int id, uid_t uid, gid_t gid, mode_t mode);
int resource_perm(int type, int id, struct ipc_perm *ret_perm);
