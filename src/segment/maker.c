/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Who made a segment. The kernel keeps the number of the process only; what it was called
 * is known while it lives, and remembered from then on if somebody asked while it did.
 */

#include <segfs/report.h>
#include <string.h>

#include "segment/ipc.h"
#include "segment/process.h"

#define MAKERS_KEPT 256

static gboolean is_gone(gpointer key, gpointer value, gpointer data)
{
	const Maker *maker = value;
	SegfsSysv now;

	return sysv_stat_raw(maker->segment.shmid, &now) < 0;
}

void ipc_remember(SegfsIpc *ipc, const Maker *maker)
{
	int r;
	IPC_SCOPE(ipc, r);

	if (r < 0)
		return;
	g_mutex_lock(&ipc->makers_lock);
	const Maker *before = g_hash_table_lookup(ipc->makers, &maker->segment.shmid);
	if (!before || !segfs_sysv_same(&before->segment, &maker->segment)) {
		if (g_hash_table_size(ipc->makers) >= ipc->makers_most) {
			g_hash_table_foreach_remove(ipc->makers, is_gone, NULL);
			ipc->makers_most = 2 * g_hash_table_size(ipc->makers) + MAKERS_KEPT;
		}
		Maker *kept = g_memdup2(maker, sizeof(*maker));
		g_hash_table_replace(ipc->makers, &kept->segment.shmid, kept);
	}
	g_mutex_unlock(&ipc->makers_lock);
}

bool ipc_recall(SegfsIpc *ipc, const SegfsSysv *segment, Maker *ret_maker)
{
	g_mutex_lock(&ipc->makers_lock);
	const Maker *maker = g_hash_table_lookup(ipc->makers, &segment->shmid);
	const bool known = maker && segfs_sysv_same(&maker->segment, segment);
	if (known)
		*ret_maker = *maker;
	g_mutex_unlock(&ipc->makers_lock);
	return known;
}

MakerState ipc_maker_state(SegfsIpc *ipc, GHashTable *known, const SegfsSysv *segment,
			   Maker *ret_maker)
{
	const bool recalled = ipc_recall(ipc, segment, ret_maker);

	/* Who asked from a pid namespace that is not seen here has no number. */
	if (recalled && ret_maker->through_us && ret_maker->pid <= 0)
		return MAKER_UNKNOWN;
	if (recalled && ret_maker->through_us)
		return process_is_alive(ipc->proc_root, ret_maker->pid, ret_maker->start)
			       ? MAKER_LIVES
			       : MAKER_ENDED;
	if (!recalled)
		*ret_maker = (Maker){.segment = *segment, .pid = segment->cpid};
	ProcessStat stat;
	bool is_mount;
	if (segment->cpid <= 0)
		return MAKER_UNKNOWN;
	if (!process_lives(ipc->proc_root, known, segment->cpid, segment->ctime, &stat, &is_mount))
		return MAKER_ENDED;
	/* Made through the key/ of another mount: who asked for it only that one knows. */
	if (is_mount) {
		memcpy(ret_maker->command, stat.command, sizeof(stat.command));
		return MAKER_UNKNOWN;
	}
	if (!recalled && stat.command[0]) {
		memcpy(ret_maker->command, stat.command, sizeof(stat.command));
		ipc_remember(ipc, ret_maker);
	}
	ret_maker->start = stat.start;
	return MAKER_LIVES;
}

SegfsProcess maker_process(const Maker *maker)
{
	SegfsProcess process = {
		.pid = maker->pid,
		.thread = maker->pid,
		.uid = maker->segment.cuid,
		.start = maker->start,
	};

	memcpy(process.command, maker->command, sizeof(process.command));
	return process;
}

char *segfs_sysv_creator(SegfsIpc *ipc, const SegfsSysv *segment)
{
	return segfs_sysv_creator_told(ipc, NULL, segment);
}
