/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lib/memory/ipc.h"
#include "lib/process/process.h"

/* The creator of a segment, as that process was when it was seen alive. */
typedef struct {
	SegfsSysv segment;
	bool through_us; /* to the kernel we have made it; this is who has asked for it */
	pid_t pid;       /* 0: of a pid namespace that cannot be seen from here */
	uint64_t start; /* 0: not known, or it has ended; of one that made it through us it stays */
	char command[16];
} Creator;

/* creator.c: remembers until the segment is gone. */
void creator_remember(SegfsIpc *ipc, const Creator *creator);
bool creator_recall(SegfsIpc *ipc, const SegfsSysv *segment, Creator *ret_creator);

typedef enum {
	CREATOR_ENDED,
	CREATOR_LIVES,
	CREATOR_UNKNOWN, /* cannot be seen from here, or another mount has made it for somebody */
} CreatorState;

/*
 * Does the creator live? ret_creator is set where that is known or remembered. known: see
 * process_lives().
 */
CreatorState creator_state(SegfsIpc *ipc, GHashTable *known, const SegfsSysv *segment,
			   Creator *ret_creator);
SegfsProcess creator_process(const Creator *creator);
