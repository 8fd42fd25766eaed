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

#include "lib/os/autofd.h"
#include "lib/os/procfs.h"
#include "lib/process/process.h"
#include "lib/process/scan.h"

#ifndef MFD_HUGE_SHIFT
#define MFD_HUGE_SHIFT 26
#endif

const Device *scan_run_device(const ScanRun *walk, dev_t dev)
{
	for (guint i = 0; i < walk->devices->len; i++) {
		const Device *device = &g_array_index(walk->devices, Device, i);
		if (device->dev == dev)
			return device;
	}
	return NULL;
}

void scan_run_add_device(ScanRun *walk, dev_t dev, DeviceKind kind)
{
	const Device device = {dev, kind};

	if (!scan_run_device(walk, dev))
		g_array_append_val(walk->devices, device);
}

static void add_of_memfd(ScanRun *walk, unsigned int flags, DeviceKind kind)
{
	struct stat st;
	autofd fd = memfd_create("segfs", MFD_CLOEXEC | flags);

	if (fd >= 0 && fstat(fd, &st) == 0)
		scan_run_add_device(walk, st.st_dev, kind);
}

void scan_run_add_kernel_devices(ScanRun *walk)
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

/* One line of mountinfo: see proc_pid_mountinfo(5). */
typedef struct {
	unsigned long id;
	dev_t dev;
	const char *root; /* what of the file system is mounted */
	const char *point;
	const char *type; /* and what stands behind it */
} MountLine;

static bool line_parse(char *line, MountLine *ret)
{
	enum { ID, PARENT, DEVICE, ROOT, POINT, N_FIELDS };
	char *field[N_FIELDS], *rest = line;
	unsigned int major, minor;

	for (guint i = 0; i < N_FIELDS; i++)
		if (!(field[i] = strsep(&rest, " ")))
			return false;
	const char *type = rest ? strstr(rest, " - ") : NULL;
	if (!type || sscanf(field[DEVICE], "%u:%u", &major, &minor) != 2)
		return false;
	*ret = (MountLine){
		.id = strtoul(field[ID], NULL, 10),
		.dev = makedev(major, minor),
		.root = field[ROOT],
		.point = field[POINT],
		.type = type + strlen(" - "),
	};
	return true;
}

/* A whole tmpfs: a user can bind any directory there, in namespaces of their own. */
static bool is_dev_shm(const MountLine *mount)
{
	return !strcmp(mount->point, "/dev/shm") && !strcmp(mount->root, "/") &&
	       g_str_has_prefix(mount->type, "tmpfs ");
}

static void add_line(ScanRun *walk, char *text)
{
	MountLine line;

	if (!line_parse(text, &line))
		return;
	const char *type = line.type;
	const dev_t dev = line.dev;
	/* A mount of somebody else's is a program of theirs, which can say what it likes. */
	g_autofree char *own = g_strdup_printf("user_id=%u,", geteuid());
	const char *options = strrchr(type, ' '); /* what stands before it is anybody's to choose */
	const bool is_segfs = g_str_has_prefix(type, "fuse.segfs ") && options &&
			      (strstr(options, "user_id=0,") || strstr(options, own));
	const Device *known = scan_run_device(walk, dev);
	if (is_segfs) {
		walk->scan->n_mounts += known == NULL;
		scan_run_add_device(walk, dev, DEVICE_SEGFS);
	} else if (is_dev_shm(&line)) {
		scan_run_add_device(walk, dev, DEVICE_SHM);
	} else if (!known && !g_str_has_prefix(type, "tmpfs ")) {
		return; /* a tmpfs may turn out to be somebody's /dev/shm */
	}
	g_hash_table_insert(walk->mounts, GUINT_TO_POINTER((guint)line.id), GSIZE_TO_POINTER(dev));
}

bool scan_run_add_mounts(ScanRun *walk, int process_fd)
{
	if (procfs_read(process_fd, "mountinfo", walk->text) < 0)
		return false;
	char *rest = walk->text->str, *line;
	while ((line = strsep(&rest, "\n")))
		if (*line)
			add_line(walk, line);
	return true;
}

/*
 * A whole tmpfs of the host itself, such as /run, can be bound as well, in a mount namespace of
 * a user's. What container runtimes mount for their containers the host sees, if at all, as
 * .../shm.
 */
static bool is_of_host(const char *proc_root, dev_t dev)
{
	g_autofree char *path = g_build_filename(proc_root, "self/mountinfo", NULL);
	g_autofree char *text = NULL;
	MountLine mount;

	if (!g_file_get_contents(path, &text, NULL, NULL))
		return true;
	char *rest = text, *line;
	while ((line = strsep(&rest, "\n")))
		if (line_parse(line, &mount) && mount.dev == dev &&
		    !g_str_has_suffix(mount.point, "/shm"))
			return true;
	return false;
}

/*
 * Does the process's mount namespace belong to our own user namespace? Then none but root can
 * have mounted anything in it, and it is what it looks like: a volume of Kubernetes's, which
 * the host sees by its own name.
 */
static bool is_roots(const char *proc_root, pid_t pid)
{
	g_autofree char *own_path = g_build_filename(proc_root, "self/ns/user", NULL);
	g_autofree char *path = g_strdup_printf("%s/%d/ns/mnt", proc_root, pid);
	autofd mnt = open(path, O_RDONLY | O_CLOEXEC);
	const uint64_t owner = mnt < 0 ? 0 : procfs_namespace_owner(mnt);

	return owner && owner == procfs_namespace(AT_FDCWD, own_path);
}

bool process_shm(const char *proc_root, pid_t pid, dev_t *ret_dev)
{
	g_autofree char *path = g_strdup_printf("%s/%d/mountinfo", proc_root, pid);
	g_autofree char *text = NULL;
	bool found = false;
	MountLine mount;

	if (!g_file_get_contents(path, &text, NULL, NULL))
		return false;
	char *rest = text, *line;
	while ((line = strsep(&rest, "\n"))) {
		if (!line_parse(line, &mount) || strcmp(mount.point, "/dev/shm") != 0)
			continue;
		/* A later line is mounted over an earlier one. */
		found = is_dev_shm(&mount);
		*ret_dev = mount.dev;
	}
	return found && (!is_of_host(proc_root, *ret_dev) || is_roots(proc_root, pid));
}
