/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <segfs/segfs.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "lib/kernel/kernel.h"
#include "lib/memory/holder.h"
#include "lib/os/autofd.h"
#include "lib/os/fd.h"
#include "lib/os/procfs.h"
#include "unit.h"

static const struct {
	KernelFeature feature;
	unsigned int major, minor;
	bool is_taken_back; /* by Linux 5.10.y */
} since[] = {
	/* Of 5.12, but early releases of 5.15 have it for no directory. */
	{KERNEL_OPENAT2, 5, 6, false},         {KERNEL_RESOLVE_CACHED, 6, 6, true},
	{KERNEL_POPULATE_WRITE, 5, 14, false}, {KERNEL_FDINFO_INO, 5, 14, false},
	{KERNEL_FANOTIFY_TARGET, 5, 17, true}, {KERNEL_TMPFS_XATTR, 6, 6, false},
	{KERNEL_TMPFS_DIRECT, 6, 6, false},    {KERNEL_PROCMAP_QUERY, 6, 11, false},
	{KERNEL_GETXATTRAT, 6, 13, false},     {KERNEL_NS_ID, 6, 18, false},
};

/* An older one can have it, too: distributions take things back. Debian takes what kernel.org does.
 */
static void what_came_with_this_release_is_there(void)
{
	struct utsname kernel;
	unsigned int major, minor;
	g_autofree char *lacks = segfs_kernel_lacks();
	guint n_lacking = 0, n_named = 0;

	g_assert_no_errno(uname(&kernel));
	g_assert_cmpint(sscanf(kernel.release, "%u.%u", &major, &minor), ==, 2);
	g_assert_false(kernel_is_before(major, minor));
	g_assert_false(kernel_is_before(major - 1, minor + 1));
	g_assert_true(kernel_is_before(major, minor + 1));
	g_assert_true(kernel_is_before(major + 1, 0));
	G_STATIC_ASSERT(G_N_ELEMENTS(since) == KERNEL_FEATURES);
	for (guint i = 0; i < G_N_ELEMENTS(since); i++) {
		const bool is_due = !kernel_is_before(since[i].major, since[i].minor);
		if (is_due)
			g_assert_true(kernel_has(since[i].feature));
		else if (strstr(kernel.version, "Debian") && !since[i].is_taken_back)
			g_assert_false(kernel_has(since[i].feature));
		n_lacking += !kernel_has(since[i].feature);
	}
	/* Its release is behind each. */
	for (const char *at = lacks; at && (at = strstr(at, " (")); at++)
		n_named++;
	g_assert_cmpuint(n_named, ==, n_lacking);
	g_test_message("lacks %s", lacks ? lacks : "nothing");
}

static void a_walk_in_the_cache_is_not_found(void)
{
	autofd top = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

	kernel_forget(KERNEL_RESOLVE_CACHED);
	g_assert_cmpint(fd_open_resolved(top, "proc", O_PATH, RESOLVE_CACHED), ==, -1);
	g_assert_cmpint(errno, ==, EAGAIN);
	autofd fd = fd_open_resolved(top, "proc", O_PATH, RESOLVE_BENEATH);
	g_assert_no_errno(fd);
}

static void maps_are_not_asked_one_by_one(void)
{
	autofd maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	ProcMap map;

	kernel_forget(KERNEL_PROCMAP_QUERY);
	g_assert_cmpint(procmap_next(maps, 0, false, &map), ==, -ENOTTY);
}

/* Their text is read by the one descriptor that there is; what it leads to takes another. */
static void out_of_descriptors_maps_say_so(void)
{
	const int shmid = shmget(IPC_PRIVATE, 4096, 0600);
	const SegfsSysv segment = {.shmid = shmid, .size = 4096, .nattch = 1};
	struct rlimit before;
	int fd = -7;

	g_assert_no_errno(shmid);
	void *memory = shmat(shmid, NULL, 0);
	g_assert_no_errno(shmctl(shmid, IPC_RMID, NULL));
	g_assert_true(memory != (void *)-1);
	kernel_forget(KERNEL_PROCMAP_QUERY);
	g_assert_no_errno(getrlimit(RLIMIT_NOFILE, &before));
	const int next = dup(STDERR_FILENO);
	close(next);
	const struct rlimit few = {next + 1, before.rlim_max};
	g_assert_no_errno(setrlimit(RLIMIT_NOFILE, &few));
	const int r = holder_open_mapping("/proc", "self", &segment, NULL, &fd);
	g_assert_no_errno(setrlimit(RLIMIT_NOFILE, &before));
	g_assert_cmpint(r, ==, -EMFILE);
	g_assert_cmpint(fd, ==, -7);
	fd = dup(STDERR_FILENO);
	g_assert_cmpint(fd, ==, next);
	close(fd);
	shmdt(memory);
}

static void what_it_lacks_is_named(void)
{
	g_autofree char *refusal = segfs_kernel_refusal();

	g_assert_null(refusal);
	kernel_forget(KERNEL_POPULATE_WRITE);
	g_autofree char *lacks = segfs_kernel_lacks();
	g_assert_nonnull(strstr(lacks, "MADV_POPULATE_WRITE (5.14)"));
	kernel_forget(KERNEL_OPENAT2);
	refusal = segfs_kernel_refusal();
	g_assert_nonnull(strstr(refusal, "needs Linux 5.6"));
}

/* In the order in which they are here: what is forgotten stays so. */
int main(int argc, char **argv)
{
	unit_init(&argc, &argv);
	g_test_add_func("/kernel/release", what_came_with_this_release_is_there);
	g_test_add_func("/kernel/cached", a_walk_in_the_cache_is_not_found);
	g_test_add_func("/kernel/maps", maps_are_not_asked_one_by_one);
	g_test_add_func("/kernel/descriptors", out_of_descriptors_maps_say_so);
	g_test_add_func("/kernel/named", what_it_lacks_is_named);
	return g_test_run();
}
