/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Which devices hold shared memory. The kernel's own are mounted nowhere; files made there
 * tell their numbers. The others are found by name and type in the mount namespaces of the
 * processes, as text: nothing is asked of the file systems themselves.
 */

#include <fcntl.h>
#include <segfs/namespace.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "lib/os/autofd.h"
#include "lib/os/escape.h"
#include "lib/os/procfs.h"
#include "lib/process/process.h"
#include "lib/process/scan.h"

#ifndef MFD_HUGE_SHIFT
#define MFD_HUGE_SHIFT 26
#endif

const Device *scan_run_device(const ScanRun *run, dev_t dev)
{
	for (guint i = 0; i < run->devices->len; i++) {
		const Device *device = &g_array_index(run->devices, Device, i);
		if (device->dev == dev)
			return device;
	}
	return NULL;
}

void scan_run_add_device(ScanRun *run, dev_t dev, DeviceKind kind)
{
	const Device device = {dev, kind};

	if (!scan_run_device(run, dev))
		g_array_append_val(run->devices, device);
}

static void add_of_memfd(ScanRun *run, unsigned int flags, DeviceKind kind)
{
	struct stat st;
	autofd fd = memfd_create("segfs", MFD_CLOEXEC | flags);

	if (fd >= 0 && fstat(fd, &st) == 0)
		scan_run_add_device(run, st.st_dev, kind);
}

void scan_run_add_kernel_devices(ScanRun *run)
{
	GDir *sizes = g_dir_open("/sys/kernel/mm/hugepages", 0, NULL);
	const char *name;
	unsigned long kib;

	add_of_memfd(run, 0, DEVICE_KERNEL);
	/* Each size of huge pages has a file system of its own. */
	while (sizes && (name = g_dir_read_name(sizes)))
		if (sscanf(name, "hugepages-%lukB", &kib) == 1)
			add_of_memfd(run,
				     MFD_HUGETLB | (unsigned int)g_bit_nth_lsf(kib * 1024, -1)
							   << MFD_HUGE_SHIFT,
				     DEVICE_HUGE);
	if (sizes)
		g_dir_close(sizes);
}

static bool is_tmpfs(const MountinfoLine *mount)
{
	return !strcmp(mount->type, "tmpfs");
}

/* A whole tmpfs: a user can bind any directory there, in namespaces of their own. */
static bool is_dev_shm(const MountinfoLine *mount)
{
	return !strcmp(mount->point, "/dev/shm") && !strcmp(mount->root, "/") && is_tmpfs(mount);
}

/* A mount of somebody else's is a program of theirs, which can say what it likes. */
static bool is_segfs(const MountinfoLine *mount)
{
	g_autofree char *own = g_strdup_printf("user_id=%u,", geteuid());

	return !strcmp(mount->type, "fuse.segfs") &&
	       (strstr(mount->options, "user_id=0,") || strstr(mount->options, own));
}

void scan_bound_free(gpointer pointer)
{
	ScanBound *bound = pointer;

	g_free(bound->root);
	g_free(bound);
}

/* Which of them are of directories of POSIX objects is known when all mounts are. */
static void add_bound(ScanRun *run, const MountinfoLine *mount)
{
	ScanBound *bound = g_new(ScanBound, 1);

	*bound = (ScanBound){mount->dev, g_strdup(mount->root)};
	g_ptr_array_add(run->scan->bound, bound);
}

void scan_run_sort_bound(ScanRun *run)
{
	GPtrArray *all = run->scan->bound;

	for (guint i = all->len; i-- > 0;) {
		const Device *device = scan_run_device(run, ((ScanBound *)all->pdata[i])->dev);
		if (!device || device->kind != DEVICE_SHM)
			g_ptr_array_remove_index_fast(all, i);
	}
}

static void add_mount(ScanRun *run, const MountinfoLine *mount)
{
	const dev_t dev = mount->dev;
	const Device *known = scan_run_device(run, dev);

	if (is_tmpfs(mount) && mount->root[0] == '/' && mount->root[1])
		add_bound(run, mount);
	if (is_segfs(mount)) {
		run->scan->n_mounts += known == NULL;
		scan_run_add_device(run, dev, DEVICE_SEGFS);
	} else if (is_dev_shm(mount)) {
		scan_run_add_device(run, dev, DEVICE_SHM);
	} else if (!known && !is_tmpfs(mount)) {
		return; /* a tmpfs may turn out to be somebody's /dev/shm */
	}
	g_hash_table_insert(run->mounts, GUINT_TO_POINTER(mount->id), GSIZE_TO_POINTER(dev));
}

bool scan_run_add_mounts(ScanRun *run, int process_fd)
{
	if (procfs_read(process_fd, "mountinfo", run->text) < 0)
		return false;
	char *rest = run->text->str;
	MountinfoLine mount;
	while (mountinfo_next(&rest, &mount))
		add_mount(run, &mount);
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
	MountinfoLine mount;

	if (!g_file_get_contents(path, &text, NULL, NULL))
		return true;
	char *rest = text;
	while (mountinfo_next(&rest, &mount))
		if (mount.dev == dev && !g_str_has_suffix(mount.point, "/shm"))
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

/* What is mounted on /dev/shm, of the text of a mountinfo. */
static bool find_shm(char *text, MountinfoLine *ret_mount)
{
	char *rest = text;
	bool found = false;
	MountinfoLine mount;

	while (mountinfo_next(&rest, &mount)) {
		if (strcmp(mount.point, "/dev/shm") != 0)
			continue;
		/* A later line is mounted over an earlier one. */
		*ret_mount = mount;
		found = true;
	}
	return found;
}

static bool is_followed(const char *proc_root, pid_t pid, const MountinfoLine *mount)
{
	return is_dev_shm(mount) &&
	       (!is_of_host(proc_root, mount->dev) || is_roots(proc_root, pid));
}

static char *read_mountinfo(const char *proc_root, const char *process)
{
	g_autofree char *path = g_build_filename(proc_root, process, "mountinfo", NULL);
	char *text;

	return g_file_get_contents(path, &text, NULL, NULL) ? text : NULL;
}

bool process_shm(const char *proc_root, pid_t pid, dev_t *ret_dev)
{
	g_autofree char *process = g_strdup_printf("%d", pid);
	g_autofree char *text = read_mountinfo(proc_root, process);
	MountinfoLine mount;

	if (!text || !find_shm(text, &mount) || !is_followed(proc_root, pid, &mount))
		return false;
	*ret_dev = mount.dev;
	return true;
}

/* Where the daemon sees what another has mounted: the caller's to free, or NULL. */
static char *own_path_of(const char *proc_root, const MountinfoLine *of)
{
	g_autofree char *text = read_mountinfo(proc_root, "self");
	char *rest = text;
	MountinfoLine mount;

	while (text && mountinfo_next(&rest, &mount)) {
		const size_t length = strcmp(mount.root, "/") ? strlen(mount.root) : 0;
		if (mount.dev == of->dev && !strncmp(of->root, mount.root, length) &&
		    (of->root[length] == '/' || of->root[length] == '\0'))
			return g_build_filename(mount.point, of->root + length, NULL);
	}
	return NULL;
}

char *segfs_process_shm_missed(const char *proc_root, pid_t pid)
{
	g_autofree char *process = g_strdup_printf("%d", pid);
	g_autofree char *text = read_mountinfo(proc_root, process);
	MountinfoLine mount;

	if (!text)
		return NULL;
	if (!find_shm(text, &mount))
		return g_strdup("nothing is mounted there");
	if (is_followed(proc_root, pid, &mount))
		return NULL;
	g_autofree char *path = own_path_of(proc_root, &mount);
	g_autofree char *root = escape_text(mount.root, -1), *type = escape_text(mount.type, -1);
	g_autofree char *here = path ? escape_text(path, -1) : NULL;
	return g_strdup_printf("directory %s of a file system %s (%u:%u)%s%s, and followed is %s",
			       root, type, major(mount.dev), minor(mount.dev),
			       here ? ", which is here " : "", here ? here : "",
			       !is_tmpfs(&mount) ? "a tmpfs only: another might not answer"
			       : is_dev_shm(&mount)
				       ? "none of the host's that a user has mounted there"
				       : "a whole tmpfs only: others use other parts of this");
}
