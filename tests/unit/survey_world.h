/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "hold.h"

/* A view of our namespace's segments, and of a directory of our own in /dev/shm. */
typedef struct {
	char *shm;
	SegfsScopeOptions options;
	SegfsScope *scope; /* which the rest is of */
	SegfsIpc *ipc;
	SegfsScanner *scanner;
	const SegfsPosix *posix;
	SegfsView *view;
} Survey;

void survey_start(Survey *ret_survey, int64_t orphan_age);
/* A new scope, which remembers nothing, with options as they are by now. */
void survey_renew(Survey *survey);
void survey_clear(Survey *survey);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Survey, survey_clear)

SegfsItem *survey_sysv(Survey *survey, int shmid);
SegfsItem *survey_object(Survey *survey, const char *path);
/* Of everything; NULL: not there. */
SegfsItem *survey_find(Survey *survey, const SegfsId *id);
SegfsItem *survey_find_unlinked(Survey *survey, const SegfsId *id);

/* Names in the directory; of 5000 bytes and mode 0600. The path is the caller's to free. */
char *object_make(const Survey *survey, const char *name);
char *object_path(const Survey *survey, const char *name);
bool object_exists(const Survey *survey, const char *name);

/* A segment that is orphaned where orphan_age is 0: nobody holds it and its creator is gone. */
#define orphan_make() segment_make_by_dead(5000, 0600)

/*
 * False, and the test is skipped: where processes of others and a mount of segfs's that may
 * serve them are here, a plain user cannot say of segments that they are orphaned. Root
 * asks the kernel then, and says "nobody has it attached" instead of "nobody holds it".
 */
bool survey_need_certain(Survey *survey);

/* In words, for a reader who may read everything; the caller's to free. */
char *evidence_of(const SegfsItem *item);
void assert_verdict(const SegfsItem *item, SegfsVerdict verdict, const char *evidence);
