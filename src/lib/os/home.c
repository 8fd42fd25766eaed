/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/os/home.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <sched.h>
#include <segfs/thread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "lib/os/autofd.h"

static struct {
	GMutex lock; /* held while it is learnt */
	bool learnt;
	bool has_map_files;
	dev_t kernel_tmpfs;
	int home;
	gint has_left; /* has any thread entered another namespace? */
} process;

/* What the kernel refuses without CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE, tried on ourselves. */
static int learn_map_files(void)
{
	DIR *dir = opendir("/proc/self/map_files");
	struct dirent *entry;
	int error = dir ? 0 : errno;

	while (dir && (entry = readdir(dir)) && entry->d_name[0] == '.')
		;
	if (dir && entry) {
		autofd fd = openat(dirfd(dir), entry->d_name, O_PATH | O_CLOEXEC);
		error = fd < 0 ? errno : 0;
		process.has_map_files = fd >= 0;
	}
	if (dir)
		closedir(dir);
	return error == EMFILE || error == ENFILE || error == ENOMEM ? -error : 0;
}

static int learn(void)
{
	autofd memory = memfd_create("segfs", MFD_CLOEXEC);
	struct stat st;

	if (memory < 0 || fstat(memory, &st) < 0)
		return -errno;
	int r = learn_map_files();
	if (r < 0)
		return r;
	process.home = open("/proc/thread-self/ns/ipc", O_RDONLY | O_CLOEXEC);
	/* A kernel without them has but one: there is none to come back from. */
	if (process.home < 0 && errno != ENOENT)
		return -errno;
	process.kernel_tmpfs = st.st_dev;
	process.learnt = true;
	return 0;
}

dev_t home_kernel_tmpfs(void)
{
	return process.kernel_tmpfs;
}

int home_learn(void)
{
	g_mutex_lock(&process.lock);
	int r = process.learnt ? 0 : learn();
	g_mutex_unlock(&process.lock);
	return r;
}

bool home_has_map_files(void)
{
	return process.has_map_files;
}

void home_is_left(void)
{
	g_atomic_int_set(&process.has_left, true);
}

void home_return(void)
{
	if (setns(process.home, CLONE_NEWIPC) < 0)
		home_lost("its own IPC namespace", errno);
}

int segfs_thread_comes_home(void)
{
	if (g_atomic_int_get(&process.has_left))
		home_return();
	return home_check();
}

static _Atomic(SegfsThreadLost) on_lost;
static __thread bool is_lost;

void segfs_thread_set_lost(SegfsThreadLost lost)
{
	atomic_store(&on_lost, lost);
}

void home_lost(const char *from, int error)
{
	const SegfsThreadLost lost = atomic_load(&on_lost);

	if (is_lost)
		return;
	is_lost = true;
	if (lost)
		lost(from, error);
}

int home_check(void)
{
	return is_lost ? -ENOTRECOVERABLE : 0;
}
