/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <segfs/sysv.h>
#include <stdlib.h>
#include <string.h>
#include <sys/shm.h>

#include "lib/memory/attach.h"
#include "lib/memory/creator.h"
#include "lib/memory/ipc.h"
#include "lib/memory/shm.h"
#include "lib/os/autofd.h"
#include "lib/os/lsm.h"
#include "lib/os/procfs.h"
#include "lib/process/process.h"

typedef struct {
	int shmid;
	uint64_t rss, swap;
	bool is_known;
	SegfsPages pages;
} Resident;

/*
 * Reads the table in large pieces: each piece is one walk in the kernel, and 32768 lines
 * are 6 MB that need not be in memory at once.
 */
static int table_read(const SegfsIpc *ipc, GArray *segments)
{
	enum { PIECE = 128 * 1024 };
	g_autofree char *path = g_build_filename(ipc->proc_root, "sysvipc/shm", NULL);
	g_autofree char *piece = g_malloc(PIECE + 1);
	autofd fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t kept = 0;
	bool heading = true;

	if (fd < 0)
		return -errno;
	for (;;) {
		ssize_t n = read(fd, piece + kept, PIECE - kept);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return kept == 0 ? 0 : -EIO;
		kept += n;
		piece[kept] = '\0';

		char *line = piece, *end;
		for (; (end = strchr(line, '\n')); line = end + 1) {
			SegfsSysv segment;
			if (heading) {
				heading = false;
				continue;
			}
			if (!shm_from_line(line, &segment))
				return -EIO;
			g_array_append_val(segments, segment);
		}
		kept -= line - piece;
		memmove(piece, line, kept);
	}
}

/* The same with a call for each segment, which is quicker, but has nothing of what is resident. */
static int indexes_read(const SegfsIpc *ipc, GArray *segments)
{
	struct shm_info info;
	struct shmid_ds ds;

	const int last = shmctl(0, SHM_INFO, (struct shmid_ds *)&info);
	if (last < 0)
		return -errno;
	for (int index = 0; index <= last; index++) {
		SegfsSysv segment;
		const int shmid = shmctl(index, SHM_STAT_ANY, &ds);
		if (shmid < 0)
			continue;
		shm_from_ds(shmid, &ds, &segment);
		g_array_append_val(segments, segment);
	}
	return 0;
}

/*
 * A listing of many segments takes tens of milliseconds: no other question waits for it, so it is
 * read without the lock, and again if the daemon has attached or detached meanwhile; where it does
 * so all the time, at last with the lock.
 */
static int list_undisturbed(SegfsIpc *ipc, int (*read_all)(const SegfsIpc *ipc, GArray *segments),
			    GArray **ret_segments)
{
	enum { TRIES = 3 };
	g_autoptr(GArray) segments = g_array_new(FALSE, FALSE, sizeof(SegfsSysv));
	bool undisturbed = false;
	int r;
	IPC_SCOPE(ipc, r);

	if (r < 0)
		return r;
	g_mutex_lock(&ipc->lock);
	for (int i = 0; i < TRIES && r == 0 && !undisturbed; i++) {
		const guint attaches = ipc->attaches;
		g_mutex_unlock(&ipc->lock);
		g_array_set_size(segments, 0);
		r = read_all(ipc, segments);
		g_mutex_lock(&ipc->lock);
		undisturbed = attaches == ipc->attaches;
	}
	if (r == 0 && !undisturbed) {
		g_array_set_size(segments, 0);
		r = read_all(ipc, segments);
	}
	for (guint i = 0; r == 0 && i < segments->len; i++)
		ipc_mask(ipc, &g_array_index(segments, SegfsSysv, i));
	g_mutex_unlock(&ipc->lock);
	if (r == 0)
		*ret_segments = g_steal_pointer(&segments);
	return r;
}

int segfs_sysv_list(SegfsIpc *ipc, GArray **ret_segments)
{
	int r;
	IPC_SCOPE(ipc, r);

	if (r == 0)
		r = list_undisturbed(ipc, table_read, ret_segments);
	if (r == 0)
		huge_correct(ipc, *ret_segments);
	return r;
}

int segfs_sysv_list_brief(SegfsIpc *ipc, GArray **ret_segments)
{
	return list_undisturbed(ipc, indexes_read, ret_segments);
}

int segfs_sysv_stat(SegfsIpc *ipc, int shmid, SegfsSysv *ret_segment)
{
	int r;
	IPC_SCOPE(ipc, r);

	if (r < 0)
		return r;
	g_mutex_lock(&ipc->lock);
	r = shm_stat(shmid, ret_segment);
	if (r == 0)
		ipc_mask(ipc, ret_segment);
	g_mutex_unlock(&ipc->lock);
	return r;
}

static int resident_compare(const void *a, const void *b)
{
	const Resident *x = a, *y = b;

	return x->shmid < y->shmid ? -1 : x->shmid > y->shmid;
}

/* Call with resident_lock held. */
static int resident_update(SegfsIpc *ipc)
{
	const gint64 start = g_get_monotonic_time();
	g_autoptr(GArray) segments = NULL;

	if (fresh_enough(&ipc->resident_fresh, segfs_since_recent()))
		return 0;
	int r = segfs_sysv_list(ipc, &segments);
	if (r < 0)
		return r;
	g_clear_pointer(&ipc->resident, g_array_unref);
	ipc->resident = g_array_sized_new(FALSE, FALSE, sizeof(Resident), segments->len);
	for (guint i = 0; i < segments->len; i++) {
		const SegfsSysv *segment = &g_array_index(segments, SegfsSysv, i);
		Resident resident = {segment->shmid, segment->rss, segment->swap,
				     segment->has_resident, segment->pages};
		g_array_append_val(ipc->resident, resident);
	}
	g_array_sort(ipc->resident, resident_compare);
	fresh_got(&ipc->resident_fresh, start);
	return 0;
}

int segfs_sysv_resident(SegfsIpc *ipc, SegfsSysv *segment)
{
	const Resident wanted = {.shmid = segment->shmid};
	guint index;

	if (segment->has_resident)
		return 0;
	g_mutex_lock(&ipc->resident_lock);
	int r = resident_update(ipc);
	if (r == 0 && g_array_binary_search(ipc->resident, &wanted, resident_compare, &index)) {
		const Resident *found = &g_array_index(ipc->resident, Resident, index);
		segment->rss = found->rss;
		segment->swap = found->swap;
		segment->has_resident = found->is_known;
		segment->pages = found->pages;
	}
	g_mutex_unlock(&ipc->resident_lock);
	return r;
}

void segfs_sysv_resident_changed(SegfsIpc *ipc)
{
	g_mutex_lock(&ipc->resident_lock);
	ipc->resident_fresh = (Fresh){};
	g_mutex_unlock(&ipc->resident_lock);
}

int segfs_sysv_by_key(SegfsIpc *ipc, key_t key, int *ret_shmid)
{
	int r;
	IPC_SCOPE(ipc, r);

	if (r < 0)
		return r;
	if (key == IPC_PRIVATE)
		return -ENOENT;
	const int shmid = shmget(key, 0, 0);
	if (shmid < 0)
		return -errno;
	*ret_shmid = shmid;
	return 0;
}

/*
 * Asks with calls that attach nothing: IPC_STAT is allowed exactly where a read-only
 * attach is, shmget() with the key where a read-write one is.
 */
static int may_attach_by_other_calls(const SegfsSysv *segment, bool write)
{
	struct shmid_ds ds;

	if (!write)
		return shmctl(segment->shmid, IPC_STAT, &ds) < 0 ? -errno : 0;
	if (segment->key == IPC_PRIVATE)
		return -EBUSY;
	const int shmid = shmget(segment->key, 0, 0600);
	if (shmid < 0)
		return -errno;
	return shmid == segment->shmid ? 0 : -ENOENT;
}

static bool is_owner(const SegfsCaller *caller, const SegfsSysv *segment)
{
	return caller->uid == segment->uid || caller->uid == segment->cuid;
}

static bool is_of_group(const SegfsCaller *caller, const SegfsSysv *segment)
{
	return caller->gid == segment->gid || caller->gid == segment->cgid;
}

/*
 * ipcperms() in ipc/util.c, as far as the caller's own user and group decide: it never refuses,
 * since a group that the caller has besides, or a capability, may grant what these do not.
 */
static bool is_granted_by_ids(const SegfsCaller *caller, const SegfsSysv *segment, bool write)
{
	const int granted = segfs_caller_granted(segment->mode, is_owner(caller, segment),
						 is_of_group(caller, segment));

	return !((write ? 06 : 04) & ~granted);
}

/* May it be that a group of the caller's that is not known takes away what others have? */
static bool may_be_barred(const SegfsCaller *caller, const SegfsSysv *segment, bool write)
{
	return !is_owner(caller, segment) && !is_of_group(caller, segment) &&
	       segfs_caller_may_be_barred(caller, segment->mode, write ? 06 : 04);
}

int segfs_sysv_may_attach(SegfsIpc *ipc, const SegfsCaller *caller, const SegfsSysv *segment,
			  bool write)
{
	SegfsSysv now;
	int r;

	IPC_SCOPE(ipc, r);
	if (r < 0)
		return r;
	/* A descriptor of the memory is opened by us: no attach as the caller follows. */
	if (ipc->has_map_files && lsm_leaves_ipc_alone() &&
	    is_granted_by_ids(caller, segment, write))
		return shm_stat(segment->shmid, &now);
	if (may_be_barred(caller, segment, write))
		return -EACCES;
	const bool attach = ipc_attach_is_safe(ipc, segment);
	void *occupied = attach ? ipc_occupied() : NULL;
	if (attach && !occupied)
		return -ENOMEM;
	g_mutex_lock(&ipc->lock);
	ipc->attaches++; /* for the blink of the call the kernel counts one */
	r = segfs_caller_enter(caller);
	if (r == 0) {
		if (!attach) {
			r = may_attach_by_other_calls(segment, write);
		} else if (shmat(segment->shmid, occupied, write ? 0 : SHM_RDONLY) == (void *)-1) {
			/*
			 * do_shmat() in ipc/shm.c judges the rights, then finds the address
			 * taken and leaves with EINVAL: nattch has gone up and down, no more.
			 */
			r = errno == EINVAL ? 0 : -errno;
		}
		segfs_caller_leave();
	}
	/* EINVAL is also the answer where there is no such segment. */
	if (r == 0)
		r = shm_stat(segment->shmid, &now);
	g_mutex_unlock(&ipc->lock);
	return shm_error(r);
}

int segfs_sysv_create(SegfsIpc *ipc, const SegfsCaller *caller, key_t key, uint64_t size,
		      mode_t mode, int *ret_shmid)
{
	int r;
	IPC_SCOPE(ipc, r);

	if (r < 0)
		return r;
	const long shmid =
		SEGFS_AS(caller, shmget(key, size, IPC_CREAT | IPC_EXCL | (mode & 0777)));

	if (shmid < 0)
		return shmid;
	*ret_shmid = shmid;

	Creator creator = {.through_us = true, .pid = caller->pid};
	ProcfsStat stat;
	if (caller->pid > 0 && procfs_stat(ipc->proc_root, caller->pid, &stat)) {
		creator.start = stat.start;
		memcpy(creator.command, stat.command, sizeof(creator.command));
	}
	if (segfs_sysv_stat(ipc, shmid, &creator.segment) == 0)
		creator_remember(ipc, &creator);
	return 0;
}

int segfs_sysv_remove(SegfsIpc *ipc, const SegfsCaller *caller, int shmid)
{
	int r;
	IPC_SCOPE(ipc, r);

	/* ipcctl_obtain_check() in ipc/util.c asks for the user, then for CAP_SYS_ADMIN. */
	return r < 0 ? r : shm_error(SEGFS_AS_BARE(caller, shmctl(shmid, IPC_RMID, NULL)));
}

/* Is it the segment that as was read of, and has nobody used it since? */
static int is_unused_since(const SegfsSysv *now, const SegfsSysv *as)
{
	if (!segfs_sysv_same(now, as) || now->dest)
		return -ENOENT;
	return now->nattch > 0 || now->atime != as->atime || now->dtime != as->dtime ||
			       now->ctime != as->ctime || now->lpid != as->lpid
		       ? -EBUSY
		       : 0;
}

/* Call as the caller. Nothing but two calls of the kernel stand between the look and the removal.
 */
static int remove_unused(SegfsIpc *ipc, const SegfsSysv *as)
{
	SegfsSysv now;
	int r = shm_stat(as->shmid, &now);

	if (r == 0) {
		ipc_mask(ipc, &now);
		r = is_unused_since(&now, as);
	}
	if (r == 0 && shmctl(as->shmid, IPC_RMID, NULL) < 0)
		r = -errno;
	errno = -r;
	return r < 0 ? -1 : 0;
}

int segfs_sysv_remove_unused(SegfsIpc *ipc, const SegfsCaller *caller, const SegfsSysv *as)
{
	int r;
	IPC_SCOPE(ipc, r);

	if (r < 0)
		return r;
	g_mutex_lock(&ipc->lock);
	r = shm_error(SEGFS_AS_BARE(caller, remove_unused(ipc, as)));
	g_mutex_unlock(&ipc->lock);
	return r;
}

int segfs_sysv_set(SegfsIpc *ipc, const SegfsCaller *caller, int shmid, uid_t uid, gid_t gid,
		   mode_t mode)
{
	SegfsSysv now;
	int r;
	IPC_SCOPE(ipc, r);

	if (r == 0)
		r = segfs_sysv_stat(ipc, shmid, &now);
	if (r < 0)
		return r;
	struct shmid_ds ds = {
		.shm_perm.uid = uid == (uid_t)-1 ? now.uid : uid,
		.shm_perm.gid = gid == (gid_t)-1 ? now.gid : gid,
		.shm_perm.mode = mode == (mode_t)-1 ? now.mode : mode & 0777,
	};
	return shm_error(SEGFS_AS(caller, shmctl(shmid, IPC_SET, &ds)));
}

/* What is locked in this IPC namespace of the segments that are this user's, but for one. */
static int locked_by(SegfsIpc *ipc, uid_t uid, int but, uint64_t *ret_bytes)
{
	g_autoptr(GArray) segments = NULL;
	uint64_t bytes = 0;

	int r = segfs_sysv_list_brief(ipc, &segments);
	if (r < 0)
		return r;
	for (guint i = 0; i < segments->len; i++) {
		const SegfsSysv *segment = &g_array_index(segments, SegfsSysv, i);
		if (segment->locked && segment->shmid != but &&
		    (segment->uid == uid || segment->cuid == uid))
			bytes += segment->size;
	}
	*ret_bytes = bytes;
	return 0;
}

/*
 * The kernel charges SHM_LOCK to the thread's real user, which stays ours (lib/os/caller.c), in one
 * sum for all callers and for what root has locked beside the mount. The daemon has no limit of its
 * own for that reason (mount/main.c), and the caller's is applied here. Call with lock_mutex held.
 */
static int may_lock(SegfsIpc *ipc, const SegfsCaller *caller, int shmid)
{
	g_autofree char *limits = NULL;
	SegfsSysv segment;
	uint64_t locked = 0;

	if (segfs_caller_has(caller, CAP_IPC_LOCK))
		return 0;
	segfs_caller_complete(caller);
	g_autofree char *path = g_strdup_printf("%s/%d/limits", ipc->proc_root, caller->pid);
	/* prlimit(2) of somebody else's process would take CAP_SYS_RESOURCE. */
	const char *value = NULL;
	if (caller->pid > 0 && g_file_get_contents(path, &limits, NULL, NULL))
		value = procfs_value(limits, "Max locked memory");
	if (!value)
		return -EPERM;
	if (g_str_has_prefix(value, "unlimited"))
		return 0;
	const uint64_t limit = g_ascii_strtoull(value, NULL, 10);
	if (limit == 0)
		return -EPERM;
	int r = segfs_sysv_stat(ipc, shmid, &segment);
	if (r == 0)
		r = locked_by(ipc, caller->uid, shmid, &locked);
	if (r < 0)
		return r;
	return segment.size > limit || locked > limit - segment.size ? -ENOMEM : 0;
}

int segfs_sysv_lock(SegfsIpc *ipc, const SegfsCaller *caller, int shmid, bool lock)
{
	/* From the sum to the call: of two that fit one by one, the second may not. */
	static GMutex lock_mutex;
	int r;
	IPC_SCOPE(ipc, r);

	if (r < 0)
		return r;
	if (!lock)
		return shm_error(SEGFS_AS(caller, shmctl(shmid, SHM_UNLOCK, NULL)));
	g_mutex_lock(&lock_mutex);
	r = may_lock(ipc, caller, shmid);
	if (r == 0)
		r = shm_error(SEGFS_AS(caller, shmctl(shmid, SHM_LOCK, NULL)));
	g_mutex_unlock(&lock_mutex);
	return r;
}
