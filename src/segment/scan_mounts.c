/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Which devices hold shared memory. The kernel's own are mounted nowhere; files made there
 * tell their numbers. The others are found by name and type in the mount namespaces of the
 * processes, as text: nothing is asked of the file systems themselves.
 */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "segment/autofd.h"
#include "segment/process.h"
#include "segment/scan.h"

#ifndef MFD_HUGE_SHIFT
#define MFD_HUGE_SHIFT 26
#endif

const Device *walk_device(const Walk *walk, dev_t dev)
{
	for (guint i = 0; i < walk->devices->len; i++) {
		const Device *device = &g_array_index(walk->devices, Device, i);
		if (device->dev == dev)
			return device;
	}
	return NULL;
}

void walk_add_device(Walk *walk, dev_t dev, DeviceKind kind)
{
	const Device device = {dev, kind};

	if (!walk_device(walk, dev))
		g_array_append_val(walk->devices, device);
}

static void add_of_memfd(Walk *walk, unsigned int flags, DeviceKind kind)
{
	struct stat st;
	autofd fd = memfd_create("segfs", MFD_CLOEXEC | flags);

	if (fd >= 0 && fstat(fd, &st) == 0)
		walk_add_device(walk, st.st_dev, kind);
}

void walk_add_kernel_devices(Walk *walk)
{
	GDir *sizes = g_dir_open("/sys/kernel/mm/hugepages", 0, NULL);
	const char *name;
	unsigned long kib;

	add_of_memfd(walk, 0, DEVICE_KERNEL);
	/* Each size of huge pages has a file system of its own. */
	while (sizes && (name = g_dir_read_name(sizes)))
		if (sscanf(name, "hugepages-%lukB", &kib) == 1)
			add_of_memfd(walk,
				     MFD_HUGETLB | (unsigned int)g_bit_nth_lsf(kib * 1024, -1)
							   << MFD_HUGE_SHIFT,
				     DEVICE_HUGE);
	if (sizes)
		g_dir_close(sizes);
}

/* Fields of one line: see proc_pid_mountinfo(5). */
static void add_line(Walk *walk, char *line, uint64_t mnt_ns)
{
	enum { ID, PARENT, DEVICE, ROOT, POINT, N_FIELDS };
	char *field[N_FIELDS], *rest = line;
	unsigned int major, minor;

	for (guint i = 0; i < N_FIELDS; i++)
		if (!(field[i] = strsep(&rest, " ")))
			return;
	const char *type = rest ? strstr(rest, " - ") : NULL;
	if (!type || sscanf(field[DEVICE], "%u:%u", &major, &minor) != 2)
		return;
	type += strlen(" - ");
	const dev_t dev = makedev(major, minor);
	/* A mount of somebody else's is a program of theirs, which can say what it likes. */
	g_autofree char *own = g_strdup_printf("user_id=%u,", geteuid());
	const bool is_segfs = g_str_has_prefix(type, "fuse.segfs ") &&
			      (strstr(type, "user_id=0,") || strstr(type, own));
	const bool is_shm = !strcmp(field[POINT], "/dev/shm");
	const Device *known = walk_device(walk, dev);
	if (is_segfs) {
		walk->scan->has_mounts = true;
		walk_add_device(walk, dev, DEVICE_SEGFS);
	} else if (is_shm) {
		walk_add_device(walk, dev, DEVICE_SHM);
		/* A later line is mounted over an earlier one. */
		g_hash_table_insert(walk->scan->shm, g_memdup2(&mnt_ns, sizeof(mnt_ns)),
				    GSIZE_TO_POINTER(dev));
	} else if (!known || known->kind != DEVICE_SHM) {
		return;
	}
	known = walk_device(walk, dev);
	g_hash_table_insert(walk->mounts, GUINT_TO_POINTER(strtoul(field[ID], NULL, 10)),
			    g_memdup2(known, sizeof(*known)));
}

void walk_add_mounts(Walk *walk, int process_fd, uint64_t mnt_ns)
{
	if (process_read(process_fd, "mountinfo", walk->text) < 0)
		return;
	char *rest = walk->text->str, *line;
	while ((line = strsep(&rest, "\n")))
		if (*line)
			add_line(walk, line, mnt_ns);
}
