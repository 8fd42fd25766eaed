/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What this kernel lacks, asked by trying it, not by its release: distributions take features back
 * to older ones. All of it is asked at once, on whatever thread is the first to need an answer,
 * with whatever rights that has: no question here needs any, but fanotify's, of which EPERM says
 * nothing.
 */

#include "lib/kernel/kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <linux/openat2.h>
#include <segfs/segfs.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/xattr.h>
#include <unistd.h>

static int open_top(uint64_t resolve)
{
	const struct open_how how = {
		.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
		.resolve = resolve,
	};
	const int fd = (int)syscall(SYS_openat2, AT_FDCWD, "/", &how, sizeof(how));

	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

/* A container's filter of system calls answers EPERM where it does not know one. */
static bool is_no_call(int error)
{
	return error == ENOSYS || error == EPERM;
}

static bool lacks_openat2(void)
{
	return is_no_call(open_top(0));
}

/*
 * Some kernels (Ubuntu's first 5.15) know it and answer EAGAIN whenever O_DIRECTORY is asked for,
 * whose bit is one of O_TMPFILE's (build_open_flags(), fs/open.c). Elsewhere a mount that is made
 * at that moment can bring that answer, so it counts only where it stays.
 */
static bool lacks_resolve_cached(void)
{
	enum { TRIES = 16 };
	int error = EAGAIN;

	for (int i = 0; i < TRIES && error == EAGAIN; i++)
		error = open_top(RESOLVE_CACHED);
	return error == EINVAL || error == EAGAIN;
}

static bool lacks_populate_write(void)
{
	const size_t page = sysconf(_SC_PAGESIZE);
	void *memory = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	bool lacks = false;

	if (memory != MAP_FAILED) {
		lacks = madvise(memory, page, MADV_POPULATE_WRITE) < 0 && errno == EINVAL;
		munmap(memory, page);
	}
	return lacks;
}

static bool lacks_fdinfo_ino(void)
{
	const int directory = open("/proc/self/fdinfo", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char name[16], text[256];
	ssize_t n = -1;

	g_snprintf(name, sizeof(name), "%d", directory);
	const int fd = directory < 0 ? -1 : openat(directory, name, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, text, sizeof(text) - 1);
		close(fd);
	}
	if (directory >= 0)
		close(directory);
	text[MAX(n, 0)] = '\0';
	return n > 0 && !strstr(text, "\nino:");
}

static bool lacks_fanotify_target(void)
{
	const int fd = fanotify_init(FAN_CLASS_NOTIF | FAN_CLOEXEC | FAN_REPORT_DFID_NAME |
					     FAN_REPORT_FID | FAN_REPORT_TARGET_FID,
				     O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return errno == EINVAL;
	close(fd);
	return false;
}

/* A memfd is on a tmpfs, which is the kernel's own. */
static bool memfd_lacks(bool (*lacks)(int fd))
{
	const int fd = memfd_create("segfs", MFD_CLOEXEC);
	const bool found = fd >= 0 && lacks(fd);

	if (fd >= 0)
		close(fd);
	return found;
}

static bool has_no_xattrs(int fd)
{
	return fsetxattr(fd, "user.segfs", "", 0, 0) < 0 && errno == EOPNOTSUPP;
}

static bool lacks_tmpfs_xattr(void)
{
	return memfd_lacks(has_no_xattrs);
}

/* The kernel allows it a file when that is opened, which a new memfd never was. */
static bool has_no_direct(int memory)
{
	char path[32];

	g_snprintf(path, sizeof(path), "/proc/self/fd/%d", memory);
	const int fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
	if (fd < 0)
		return errno == EINVAL;
	close(fd);
	return false;
}

static bool lacks_tmpfs_direct(void)
{
	return memfd_lacks(has_no_direct);
}

/* ENOTTY: it knows no such question. Where it does it says what it thinks of an empty one. */
static bool lacks_ioctl(const char *path, unsigned long question)
{
	ProcMapQuery asked = {};
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	const bool lacks = fd >= 0 && ioctl(fd, question, &asked) < 0 && errno == ENOTTY;

	if (fd >= 0)
		close(fd);
	return lacks;
}

static bool lacks_procmap_query(void)
{
	return lacks_ioctl("/proc/self/maps", PROCMAP_QUERY);
}

/* Where it knows the call it says that there is no attribute of no name. */
static bool lacks_getxattrat(void)
{
	const struct {
		uint64_t value;
		uint32_t size, flags;
	} none = {}; /* struct xattr_args of linux/xattr.h */

	return syscall(KERNEL_SYS_GETXATTRAT, AT_FDCWD, "/", 0, "", &none, sizeof(none)) < 0 &&
	       is_no_call(errno);
}

static bool lacks_ns_id(void)
{
	return lacks_ioctl("/proc/self/ns/ipc", NS_GET_ID);
}

/* In the order of their releases. */
static const struct {
	const char *name, *since;
	bool (*lacks)(void);
} features[KERNEL_FEATURES] = {
	[KERNEL_OPENAT2] = {"openat2(2)", "5.6", lacks_openat2},
	[KERNEL_RESOLVE_CACHED] = {"RESOLVE_CACHED", "5.12", lacks_resolve_cached},
	[KERNEL_POPULATE_WRITE] = {"MADV_POPULATE_WRITE", "5.14", lacks_populate_write},
	[KERNEL_FDINFO_INO] = {"inode numbers in fdinfo", "5.14", lacks_fdinfo_ino},
	[KERNEL_FANOTIFY_TARGET] = {"FAN_REPORT_TARGET_FID", "5.17", lacks_fanotify_target},
	[KERNEL_TMPFS_XATTR] = {"user xattrs on tmpfs", "6.6", lacks_tmpfs_xattr},
	[KERNEL_TMPFS_DIRECT] = {"O_DIRECT on tmpfs", "6.6", lacks_tmpfs_direct},
	[KERNEL_PROCMAP_QUERY] = {"PROCMAP_QUERY", "6.11", lacks_procmap_query},
	[KERNEL_GETXATTRAT] = {"getxattrat(2)", "6.13", lacks_getxattrat},
	[KERNEL_NS_ID] = {"NS_GET_ID", "6.18", lacks_ns_id},
};

static gint lacking; /* atomic, a bit each */

static guint learn(void)
{
	static gsize learnt;

	if (g_once_init_enter(&learnt)) {
		const int error = errno;
		guint found = 0;
		for (guint i = 0; i < KERNEL_FEATURES; i++)
			found |= (guint)features[i].lacks() << i;
		g_atomic_int_or(&lacking, found);
		errno = error;
		g_once_init_leave(&learnt, 1);
	}
	return g_atomic_int_get(&lacking);
}

bool kernel_has(KernelFeature feature)
{
	return !(learn() & 1U << feature);
}

bool kernel_is_before(unsigned int major, unsigned int minor)
{
	struct utsname kernel;
	unsigned int its_major = 0, its_minor = 0;

	uname(&kernel);
	sscanf(kernel.release, "%u.%u", &its_major, &its_minor);
	return its_major < major || (its_major == major && its_minor < minor);
}

void kernel_forget(KernelFeature feature)
{
	learn();
	g_atomic_int_or(&lacking, 1U << feature);
}

char *segfs_kernel_refusal(void)
{
	struct utsname kernel;

	if (kernel_has(KERNEL_OPENAT2))
		return NULL;
	uname(&kernel);
	return g_strdup_printf("no openat2(2) here (Linux %s): segfs needs Linux 5.6 or later, and "
			       "where it is in a container a filter that allows that call",
			       kernel.release);
}

char *segfs_kernel_lacks(void)
{
	g_autoptr(GString) text = g_string_new(NULL);

	for (guint i = 0; i < KERNEL_FEATURES; i++)
		if (!kernel_has(i))
			g_string_append_printf(text, "%s%s (%s)", text->len ? ", " : "",
					       features[i].name, features[i].since);
	return text->len ? g_string_free(g_steal_pointer(&text), FALSE) : NULL;
}
