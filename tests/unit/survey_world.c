/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "survey_world.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/os/autofd.h"

void survey_start(Survey *ret_survey, int64_t orphan_age)
{
	*ret_survey = (Survey){
		.shm = tree_make("/dev/shm"),
		.ipc = ipc_make(NULL, false),
		.scanner = segfs_scanner_new(NULL),
	};
	g_assert_cmpint(segfs_posix_new(ret_survey->shm, &ret_survey->posix), ==, 0);
	ret_survey->options = (SegfsViewOptions){
		.scanner = ret_survey->scanner,
		.ipc = ret_survey->ipc,
		.orphan_age = orphan_age,
		.plain = segfs_posix_dev(ret_survey->posix),
	};
	survey_renew(ret_survey);
}

void survey_renew(Survey *survey)
{
	g_clear_pointer(&survey->view, segfs_view_free);
	survey->view = segfs_view_new(&survey->options);
	segfs_view_add_posix(survey->view, survey->posix);
}

void survey_clear(Survey *survey)
{
	g_clear_pointer(&survey->view, segfs_view_free);
	g_clear_pointer(&survey->posix, segfs_posix_free);
	g_clear_pointer(&survey->scanner, segfs_scanner_free);
	g_clear_pointer(&survey->ipc, segfs_ipc_free);
	tree_remove(&survey->shm);
}

SegfsItem *survey_sysv(Survey *survey, int shmid)
{
	SegfsItem *item = NULL;

	g_assert_cmpint(segfs_view_sysv(survey->view, shmid, SEGFS_SCAN_NEW, &item), ==, 0);
	return item;
}

SegfsItem *survey_object(Survey *survey, const char *path)
{
	SegfsItem *item = NULL;

	g_assert_cmpint(segfs_view_object(survey->view, 0, path, SEGFS_SCAN_NEW, &item), ==, 0);
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

SegfsItem *survey_find(Survey *survey, const SegfsId *id)
{
	g_autoptr(GPtrArray) items = NULL;

	g_assert_cmpint(segfs_view_survey(survey->view, SEGFS_SCAN_NEW, &items), ==, 0);
	return take_from(items, id);
}

SegfsItem *survey_find_unlinked(Survey *survey, const SegfsId *id)
{
	g_autoptr(GPtrArray) items = NULL;

	g_assert_cmpint(segfs_view_unlinked(survey->view, SEGFS_SCAN_NEW, &items), ==, 0);
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

	if (geteuid() == 0 || segfs_scan_unexamined(scan) == 0 || segfs_scan_mounts(scan) == 0)
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
