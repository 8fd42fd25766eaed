/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What a process can have written of itself in /proc, into a scan: its mountinfo, its maps and its
 * cgroup, with a byte of 1 between. The /proc is one of our own making (tests/unit/scan_world.h).
 */

#include <glib.h>
#include <segfs/segfs.h>
#include <stdint.h>
#include <string.h>

#include "../unit/scan_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static World world;
	g_autoptr(SegfsScan) scan = NULL;

	if (!world.proc)
		world_start(&world);
	g_autofree char *text = g_strndup((const char *)data, size);
	g_auto(GStrv) parts = g_strsplit(text, "\1", 3);
	const guint n = g_strv_length(parts);
	if (n < 1)
		return 0;
	world_process(&world, 4711, "fuzz", n > 1 ? parts[1] : "");
	world_mounts(&world, 4711, NS_MNT + 1, parts[0]);
	world_write(&world, 4711, "cgroup", "%s", n > 2 ? parts[2] : "");
	g_assert_cmpint(segfs_scanner_scan(world.scanner, segfs_since_now(), &scan), ==, 0);
	g_autoptr(GPtrArray) held = segfs_scan_held(scan);
	for (guint i = 0; i < held->len; i++) {
		const SegfsHeld *one = held->pdata[i];
		g_assert_cmpuint(one->holders->len, >, 0);
	}
	return 0;
}
