/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "segtop/source.h"

/* The thread that looks, so that keys are answered meanwhile. */
typedef struct Worker Worker;

typedef enum {
	WORKER_LOOKED,
	WORKER_INFO,
	WORKER_REMOVED,
} WorkerKind;

typedef struct {
	WorkerKind kind;
	int r;     /* 0 or -errno; where it is not 0, the rest is not there */
	gint64 at; /* of g_get_monotonic_time(), when it began */

	bool is_survey; /* of WORKER_LOOKED */
	GPtrArray *pieces;
	guint unexamined;
	uint64_t shmem; /* of proc_meminfo(5), bytes */

	char *file, *text; /* of the others, text of WORKER_INFO */
} WorkerAnswer;

void worker_answer_free(WorkerAnswer *answer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(WorkerAnswer, worker_answer_free)

/* Starts it, with a look each delay of seconds. The source is taken over. It lives as long as the
 * program: a look can hang. */
Worker *worker_start(Source *source, double delay);

/* A descriptor that can be read where there are answers; the worker's. */
int worker_fd(const Worker *worker);
/* The next one, the caller's to free; NULL: none. */
WorkerAnswer *worker_answer(Worker *worker);

/* Asks for one of those: WORKER_LOOKED is a survey, now. */
void worker_ask(Worker *worker, WorkerKind kind, const char *file);
