/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The creator of a segment. The kernel keeps the number of the process only; what it was called
 * is known while it lives, and remembered from then on if somebody asked while it did.
 */

#include <segfs/report.h>
#include <string.h>

#include "lib/memory/creator.h"
#include "lib/memory/ipc.h"
#include "lib/memory/shm.h"
#include "lib/os/sweep.h"
#include "lib/process/process.h"

#define CREATORS_KEPT 256

static gboolean is_gone(gpointer key, gpointer value, gpointer data)
{
	const Creator *creator = value;
	SegfsSysv now;

	return shm_stat(creator->segment.shmid, &now) < 0;
}

void creator_remember(SegfsIpc *ipc, const Creator *creator)
{
	int r;
	IPC_SCOPE(ipc, r);

	if (r < 0)
		return;
	g_mutex_lock(&ipc->creators_lock);
	const Creator *before = g_hash_table_lookup(ipc->creators, &creator->segment.shmid);
	if (!before || !segfs_sysv_same(&before->segment, &creator->segment)) {
		sweep_table(ipc->creators, &ipc->creators_most, CREATORS_KEPT, is_gone, NULL);
		Creator *kept = g_memdup2(creator, sizeof(*creator));
		g_hash_table_replace(ipc->creators, &kept->segment.shmid, kept);
	}
	g_mutex_unlock(&ipc->creators_lock);
}

bool creator_recall(SegfsIpc *ipc, const SegfsSysv *segment, Creator *ret_creator)
{
	g_mutex_lock(&ipc->creators_lock);
	const Creator *creator = g_hash_table_lookup(ipc->creators, &segment->shmid);
	const bool known = creator && segfs_sysv_same(&creator->segment, segment);
	if (known)
		*ret_creator = *creator;
	g_mutex_unlock(&ipc->creators_lock);
	return known;
}

CreatorState creator_state(SegfsIpc *ipc, GHashTable *known, const SegfsSysv *segment,
			   Creator *ret_creator)
{
	const bool recalled = creator_recall(ipc, segment, ret_creator);

	/* A caller in a pid namespace that is not seen here has no number. */
	if (recalled && ret_creator->through_us && ret_creator->pid <= 0)
		return CREATOR_UNKNOWN;
	if (recalled && ret_creator->through_us)
		return procfs_is_alive(ipc->proc_root, ret_creator->pid, ret_creator->start)
			       ? CREATOR_LIVES
			       : CREATOR_ENDED;
	if (!recalled)
		*ret_creator = (Creator){.segment = *segment, .pid = segment->cpid};
	ProcfsStat stat;
	bool is_mount;
	if (segment->cpid <= 0)
		return CREATOR_UNKNOWN;
	if (!process_lives(ipc->proc_root, known, segment->cpid, segment->ctime, &stat, &is_mount))
		return CREATOR_ENDED;
	/* Made through the key/ of another mount: who asked for it only that one knows. */
	if (is_mount) {
		memcpy(ret_creator->command, stat.command, sizeof(stat.command));
		return CREATOR_UNKNOWN;
	}
	if (!recalled && stat.command[0]) {
		memcpy(ret_creator->command, stat.command, sizeof(stat.command));
		creator_remember(ipc, ret_creator);
	}
	ret_creator->start = stat.start;
	return CREATOR_LIVES;
}

SegfsProcess creator_process(const Creator *creator)
{
	SegfsProcess process = {
		.pid = creator->pid,
		.thread = creator->pid,
		.uid = creator->segment.cuid,
		.start = creator->start,
	};

	memcpy(process.command, creator->command, sizeof(process.command));
	return process;
}
