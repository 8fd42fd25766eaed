/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "survey_world.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/os/autofd.h"
#include "lib/process/scan.h"

void survey_start(Survey *ret_survey, int64_t orphan_age)
{
	*ret_survey = (Survey){.shm = tree_make("/dev/shm")};
	ret_survey->options = (SegfsScopeOptions){
		.shm_dir = ret_survey->shm,
		.orphan_age = orphan_age,
	};
	survey_renew(ret_survey);
}

void survey_renew(Survey *survey)
{
	g_clear_pointer(&survey->scope, segfs_scope_free);
	g_assert_cmpint(segfs_scope_new(&survey->options, &survey->scope), ==, 0);
	survey->ipc = segfs_scope_ipc(survey->scope);
	survey->scanner = segfs_scope_scanner(survey->scope);
	survey->posix = segfs_scope_posix(survey->scope);
	survey->view = segfs_scope_view(survey->scope);
}

void survey_clear(Survey *survey)
{
	g_clear_pointer(&survey->scope, segfs_scope_free);
	tree_remove(&survey->shm);
}

SegfsItem *survey_sysv(Survey *survey, int shmid)
{
	SegfsItem *item = NULL;

	g_assert_cmpint(segfs_view_sysv(survey->view, shmid, segfs_since_now(), &item), ==, 0);
	return item;
}

SegfsItem *survey_object(Survey *survey, const char *path)
{
	SegfsItem *item = NULL;

	g_assert_cmpint(segfs_view_object(survey->view, 0, path, segfs_since_now(), &item), ==, 0);
	return item;
}

static SegfsItem *take_from(GPtrArray *items, const SegfsId *id)
{
	SegfsItem *found = NULL;

	for (guint i = 0; i < items->len;) {
		SegfsItem *item = items->pdata[i];
		if (!segfs_id_equal(&item->id, id)) {
			i++;
			continue;
		}
		g_assert_null(found); /* each is there once */
		found = g_ptr_array_steal_index(items, i);
	}
	return found;
}

static SegfsItem *find_once(Survey *survey, const SegfsId *id)
{
	g_autoptr(GPtrArray) items = NULL;

	g_assert_cmpint(segfs_view_survey(survey->view, segfs_since_now(), &items), ==, 0);
	return take_from(items, id);
}

/* On a busy machine another process of it, which waits for a processor, may not answer in time. */
static bool is_in_doubt(const SegfsItem *item)
{
	g_autofree char *evidence = item ? evidence_of(item) : NULL;

	return item && item->verdict == SEGFS_UNKNOWN && strstr(evidence, "could not be examined");
}

SegfsItem *survey_find(Survey *survey, const SegfsId *id)
{
	SegfsItem *item = find_once(survey, id);

	for (int i = 0; i < 10 && is_in_doubt(item); i++) {
		segfs_item_free(item);
		g_usleep(100 * G_TIME_SPAN_MILLISECOND);
		item = find_once(survey, id);
	}
	return item;
}

SegfsItem *survey_find_unlinked(Survey *survey, const SegfsId *id)
{
	g_autoptr(GPtrArray) items = NULL;

	g_assert_cmpint(segfs_view_unlinked(survey->view, segfs_since_now(), &items), ==, 0);
	return take_from(items, id);
}

char *object_path(const Survey *survey, const char *name)
{
	return g_build_filename(survey->shm, name, NULL);
}

char *object_make(const Survey *survey, const char *name)
{
	char *path = object_path(survey, name);
	g_autofree char *directory = g_path_get_dirname(path);

	g_assert_no_errno(g_mkdir_with_parents(directory, 0755));
	autofd fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	g_assert_no_errno(fd);
	g_assert_no_errno(ftruncate(fd, 5000));
	return path;
}

bool object_exists(const Survey *survey, const char *name)
{
	g_autofree char *path = object_path(survey, name);

	return access(path, F_OK) == 0;
}

bool survey_need_certain(Survey *survey)
{
	g_autoptr(SegfsScan) scan = scan_now(survey->scanner);

	if (segfs_scan_unexamined(scan) == 0 || scan_mounts(scan) == 0)
		return true;
	g_test_skip("segfs is mounted here, and not all processes may be examined");
	return false;
}

char *evidence_of(const SegfsItem *item)
{
	return segfs_item_evidence("/proc", NULL, item, 0);
}

void assert_verdict(const SegfsItem *item, SegfsVerdict verdict, const char *evidence)
{
	g_autofree char *found = evidence_of(item);

	if (item->verdict != verdict)
		g_test_message("evidence: %s", found);
	g_assert_cmpstr(segfs_verdict_name(item->verdict), ==, segfs_verdict_name(verdict));
	if (!strstr(found, evidence))
		g_assert_cmpstr(found, ==, evidence);
}
