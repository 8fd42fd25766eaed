/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The twins: making them, removing them, and comparing what is left of them. */
#include "matrix.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FIRST_KEY 0x5e900001

/* The state of a target after the operation. */
struct state {
	int error;
	uid_t uid, cuid;
	gid_t gid, cgid;
	mode_t mode;
	off_t size;
	nlink_t links;
	/* SysV: whether the mark in the first byte is still there */
	bool marked;
};

const char *mnt;
bool direct_only;
char prefix[64];

void remove_target(const struct target *target)
{
	int shmid = target->shmid;

	if (target->type & (TYPE_SEM | TYPE_MSG)) {
		resource_remove(target->type, shmid);
		return;
	}
	if (shmid < 0 && target->key)
		shmid = shmget(target->key, 0, 0);
	if (shmid >= 0)
		shmctl(shmid, IPC_RMID, NULL);
	if (target->real[0]) {
		unlink(target->real);
		unlink(target->real2);
	}
}

/* A segment with a creator of its own: made as that user, then given to the owner. */
static void make_segment(const struct kind *kind, struct target *target, bool mark)
{
	static key_t key = FIRST_KEY;
	struct shmid_ds ds = {.shm_perm.uid = target->uid,
			      .shm_perm.gid = target->gid,
			      .shm_perm.mode = target->mode};
	const bool is_resource = kind->type & (TYPE_SEM | TYPE_MSG);
	char *memory;

	target->key = kind->keyed ? key++ : IPC_PRIVATE;
	if (syscall(SYS_setresgid, -1, kind->creator_group, -1) < 0 ||
	    syscall(SYS_setresuid, -1, kind->creator, -1) < 0)
		err(EXIT_FAILURE, "becoming the creator");
	target->shmid = is_resource
				? resource_make(kind->type, target->key)
				: shmget(target->key, SEGMENT_BYTES, IPC_CREAT | IPC_EXCL | 0600);
	if (target->shmid < 0)
		err(EXIT_FAILURE, "%s", kind->name);
	if (syscall(SYS_setresuid, -1, 0, -1) < 0 || syscall(SYS_setresgid, -1, 0, -1) < 0)
		err(EXIT_FAILURE, "becoming root again");
	if (mark) {
		memory = shmat(target->shmid, NULL, 0);
		if (memory == (void *)-1)
			err(EXIT_FAILURE, "shmat");
		memory[0] = 'x';
		shmdt(memory);
	}
	if ((is_resource ? resource_set(kind->type, target->shmid, target->uid, target->gid,
					target->mode)
			 : shmctl(target->shmid, IPC_SET, &ds)) < 0)
		err(EXIT_FAILURE, "IPC_SET");
}

static void make_file(const struct target *target)
{
	int fd = open(target->real, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);

	/* The mode last: a change of owner clears the set-user bits. */
	if (fd < 0 || write(fd, "x", 1) != 1 || fchown(fd, target->uid, target->gid) < 0 ||
	    fchmod(fd, target->mode) < 0)
		err(EXIT_FAILURE, "%s", target->real);
	close(fd);
}

static void name_target(const struct kind *kind, struct target *target, bool through_mount)
{
	static unsigned serial;
	const char *slash = kind->directory ? "/" : "";
	const char *directory = kind->directory ? kind->directory : "";

	if (kind->type == TYPE_SYSV && through_mount)
		snprintf(target->path, sizeof(target->path), "%s/sysv/%d", mnt, target->shmid);
	if (kind->type == TYPE_KEY && through_mount)
		snprintf(target->path, sizeof(target->path), "%s/key/0x%08x", mnt,
			 (unsigned)target->key);
	if (kind->type & (TYPE_SEM | TYPE_MSG) && through_mount)
		snprintf(target->path, sizeof(target->path),
			 kind->keyed ? "%s/%s/0x%08x" : "%s/%s/%d", mnt,
			 kind->type == TYPE_SEM ? "sem" : "msg",
			 kind->keyed ? (unsigned)target->key : (unsigned)target->shmid);
	if (!(kind->type & (TYPE_POSIX | TYPE_FIFO)))
		return;
	snprintf(target->real, sizeof(target->real), SHM_DIR "/%s%s%s%s%u", prefix, directory,
		 slash, kind->directory ? "" : "-", serial++);
	snprintf(target->real2, sizeof(target->real2), "%s-new", target->real);
	if (through_mount)
		snprintf(target->path, sizeof(target->path), "%s/posix%s", mnt,
			 target->real + strlen(SHM_DIR));
	else
		strcpy(target->path, target->real);
	snprintf(target->path2, sizeof(target->path2), "%s-new", target->path);
}

static void make_fifo(const struct target *target)
{
	if (mkfifo(target->real, 0600) < 0 || chown(target->real, target->uid, target->gid) < 0 ||
	    chmod(target->real, target->mode) < 0)
		err(EXIT_FAILURE, "%s", target->real);
}

void make_target(const struct kind *kind, struct job *job, struct target *target, mode_t mode)
{
	static key_t key = FIRST_KEY + 0x1000000;
	bool through_mount = target == &job->mount && !direct_only;

	*target = (struct target){
		.type = kind->type, .shmid = -1, .uid = UID_OWNER, .gid = GID_OWNER, .mode = mode};
	if (job->op->flags & OP_MAKES)
		target->key = kind->type == TYPE_KEY ? key++ : 0;
	else if (!(kind->type & (TYPE_POSIX | TYPE_FIFO)))
		make_segment(kind, target, job->op->flags & OP_TRUNCATES);
	name_target(kind, target, through_mount);
	if (kind->type == TYPE_POSIX && !(job->op->flags & OP_MAKES))
		make_file(target);
	if (kind->type == TYPE_FIFO)
		make_fifo(target);
}

void make_directory(const struct kind *kind)
{
	char path[128];

	snprintf(path, sizeof(path), SHM_DIR "/%s%s", prefix, kind->directory);
	if (mkdir(path, 0700) < 0 || chown(path, kind->directory_uid, kind->directory_gid) < 0 ||
	    chmod(path, kind->directory_mode) < 0)
		err(EXIT_FAILURE, "%s", path);
}

static struct state state_of_resource(const struct target *target)
{
	struct ipc_perm perm;

	if (resource_perm(target->type, target->shmid, &perm) < 0)
		return (struct state){.error = ENOENT};
	return (struct state){.uid = perm.uid,
			      .gid = perm.gid,
			      .cuid = perm.cuid,
			      .cgid = perm.cgid,
			      .mode = perm.mode};
}

static struct state state_of_segment(const struct target *target, bool mark)
{
	if (target->type & (TYPE_SEM | TYPE_MSG))
		return state_of_resource(target);
	int shmid = target->shmid < 0 ? shmget(target->key, 0, 0) : target->shmid;
	struct state state = {0};
	struct shmid_ds ds;
	char *memory;

	if (shmid < 0 || shmctl(shmid, IPC_STAT, &ds) < 0) {
		state.error = ENOENT;
		return state;
	}
	state.uid = ds.shm_perm.uid;
	state.gid = ds.shm_perm.gid;
	state.cuid = ds.shm_perm.cuid;
	state.cgid = ds.shm_perm.cgid;
	state.mode = ds.shm_perm.mode;
	state.size = ds.shm_segsz;
	memory = mark ? shmat(shmid, NULL, SHM_RDONLY) : (void *)-1;
	if (memory != (void *)-1) {
		state.marked = memory[0] == 'x';
		shmdt(memory);
	}
	return state;
}

static struct state state_of_file(const char *path)
{
	struct state state = {0};
	struct stat st;

	if (lstat(path, &st) < 0) {
		state.error = errno;
		return state;
	}
	state.uid = st.st_uid;
	state.gid = st.st_gid;
	state.mode = st.st_mode & 07777;
	state.size = st.st_size;
	state.links = st.st_nlink;
	return state;
}

static bool states_equal(const struct state *a, const struct state *b)
{
	return a->error == b->error && a->uid == b->uid && a->gid == b->gid && a->cuid == b->cuid &&
	       a->cgid == b->cgid && a->mode == b->mode && a->size == b->size &&
	       a->links == b->links && a->marked == b->marked;
}

static void state_print(const struct state *state, char *text, size_t size)
{
	if (state->error)
		snprintf(text, size, "%s", strerrorname_np(state->error));
	else
		snprintf(text, size, "%u:%u (creator %u:%u) %04o size %lld links %lu%s", state->uid,
			 state->gid, state->cuid, state->cgid, state->mode, (long long)state->size,
			 (unsigned long)state->links, state->marked ? " marked" : "");
}

const char *error_name(int error)
{
	return error ? strerrorname_np(error) : "0";
}

/* Returns what is wrong, to be freed, or NULL. */
static char *compare_states(const struct job *job, const char *what, const struct state *direct,
			    const struct state *mount)
{
	char direct_text[160], mount_text[160], *line;

	if (states_equal(direct, mount))
		return NULL;
	state_print(direct, direct_text, sizeof(direct_text));
	state_print(mount, mount_text, sizeof(mount_text));
	if (asprintf(&line, "mode %04o: both answer %s, then %s: direct %s, mount %s",
		     job->direct.mode, error_name(job->by_direct), what, direct_text,
		     mount_text) < 0)
		err(EXIT_FAILURE, "asprintf");
	return line;
}

char *compare_segments(const struct job *job)
{
	bool mark = job->op->flags & OP_TRUNCATES;
	struct state direct = state_of_segment(&job->direct, mark);
	struct state mount = state_of_segment(&job->mount, mark);
	struct state seen;
	char *line;

	/* No direct call zeroes a segment, so where truncating is allowed the twin keeps its mark.
	 */
	if (job->op->flags & OP_TRUNCATES && !job->by_direct && !direct_only)
		direct.marked = false;
	line = compare_states(job, "twins", &direct, &mount);
	if (line || direct_only)
		return line;
	/* And as the mount shows it. */
	seen = state_of_file(job->mount.path);
	mount.mode &= 0777;
	if (!seen.error) {
		seen.cuid = mount.cuid;
		seen.cgid = mount.cgid;
		seen.links = mount.links;
		seen.marked = mount.marked;
	}
	return compare_states(job, "stat", &mount, &seen);
}

char *compare_files(const struct job *job)
{
	struct state direct = state_of_file(job->direct.real);
	struct state mount = state_of_file(job->mount.real);
	struct state direct2 = state_of_file(job->direct.real2);
	struct state mount2 = state_of_file(job->mount.real2);
	struct state seen;
	char *line;

	line = compare_states(job, "twins", &direct, &mount);
	if (!line)
		line = compare_states(job, "new names", &direct2, &mount2);
	if (line || direct_only)
		return line;
	seen = state_of_file(job->mount.path);
	return compare_states(job, "stat", &mount, &seen);
}
