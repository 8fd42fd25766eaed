/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "scan_world.h"

#include <stdarg.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "lib/os/autofd.h"

void world_start(World *ret_world)
{
	autofd fd = memfd_create("unit", MFD_CLOEXEC);
	struct stat st;

	g_assert_no_errno(fstat(fd, &st));
	*ret_world = (World){.proc = tree_make(NULL), .kernel = st.st_dev};
	g_snprintf(ret_world->kernel_hex, sizeof(ret_world->kernel_hex), "%02x:%02x",
		   major(st.st_dev), minor(st.st_dev));
	ret_world->scanner = segfs_scanner_new(ret_world->proc);
	world_process(ret_world, 1, "init", "");
}

void world_clear(World *world)
{
	g_clear_pointer(&world->scanner, segfs_scanner_free);
	tree_remove(&world->proc);
}

void world_write(const World *world, int pid, const char *name, const char *format, ...)
{
	g_autofree char *path = g_strdup_printf("%d/%s", pid, name);
	va_list arguments;

	va_start(arguments, format);
	g_autofree char *text = g_strdup_vprintf(format, arguments);
	va_end(arguments);
	tree_write(world->proc, path, text);
}

void world_link(const World *world, int pid, const char *name, const char *target)
{
	g_autofree char *path = g_strdup_printf("%d/%s", pid, name);
	g_autofree char *file = g_build_filename(world->proc, path, NULL);

	unlink(file);
	tree_link(world->proc, path, target);
}

void world_owner(const World *world, int pid, uid_t uid)
{
	g_autofree char *directory = g_strdup_printf("%s/%d", world->proc, pid);

	g_assert_no_errno(chown(directory, uid, -1));
}

static void link_namespace(const World *world, int pid, const char *type, guint64 number)
{
	g_autofree char *name = g_strdup_printf("ns/%s", type);
	g_autofree char *target = g_strdup_printf("%s:[%" G_GUINT64_FORMAT "]", type, number);

	world_link(world, pid, name, target);
}

void world_process(const World *world, int pid, const char *command, const char *maps)
{
	world_write(world, pid, "stat",
		    "%d (%s) S 1 1 1 0 -1 4194560 1 1 1 1 1 1 1 1 20 0 1 0 %d 1 1 1\n", pid,
		    command, 1000 + pid);
	world_write(world, pid, "maps", "%s", maps);
	link_namespace(world, pid, "ipc", NS_IPC);
	link_namespace(world, pid, "mnt", NS_MNT);
	if (pid != 1)
		world_link(world, pid, "mountinfo", "../1/mountinfo");
}

void world_maps(const World *world, int pid, uint64_t inode, const char *name)
{
	g_autofree char *line =
		g_strdup_printf(RANGE " rw-s 00000000 %s %-26" G_GUINT64_FORMAT " %s\n",
				world->kernel_hex, inode, name);

	world_process(world, pid, "holder", line);
}

void world_fd(const World *world, int pid, int fd, const char *path, int mount, uint64_t inode)
{
	g_autofree char *name = g_strdup_printf("fd/%d", fd);
	g_autofree char *info = g_strdup_printf("fdinfo/%d", fd);

	world_link(world, pid, name, path);
	world_write(world, pid, info,
		    "pos:\t0\nflags:\t0100002\nmnt_id:\t%d\nino:\t%" G_GUINT64_FORMAT "\n", mount,
		    inode);
}

void world_mounts(const World *world, int pid, uint64_t mnt_ns, const char *mountinfo)
{
	world_write(world, pid, "mountinfo", "%s", mountinfo);
	link_namespace(world, pid, "mnt", mnt_ns);
}

char *holders_of(const SegfsHeld *held)
{
	GString *text = g_string_new(NULL);

	for (guint i = 0; held && i < held->holders->len; i++)
		g_string_append_printf(text, "%s%d", i ? " " : "",
				       g_array_index(held->holders, SegfsHolder, i).process->pid);
	return g_string_free(text, FALSE);
}

void assert_held_by(const World *world, const SegfsId *id, const char *pids)
{
	g_autoptr(SegfsScan) scan = scan_now(world->scanner);
	g_autofree char *found = holders_of(segfs_scan_find(scan, id));

	g_assert_cmpstr(found, ==, pids);
}
