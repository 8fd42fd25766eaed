/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <linux/nsfs.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

/* What the headers of older distributions lack. Of <linux/fs.h>: */
typedef struct {
	uint64_t size, query_flags, query_addr;
	uint64_t start, end, flags, page_size, offset, inode;
	uint32_t major, minor, name_size, build_id_size;
	uint64_t name_addr, build_id_addr;
} ProcMapQuery;
#ifndef PROCMAP_QUERY
#define PROCMAP_QUERY _IOWR('f', 17, ProcMapQuery)
#endif
#ifndef NS_GET_ID
#define NS_GET_ID _IOR(NSIO, 13, uint64_t)
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#define KERNEL_SYS_GETXATTRAT 464 /* on every architecture */

/* What not every kernel has. Each is asked of the running one once, here and nowhere else. */
typedef enum {
	KERNEL_OPENAT2,         /* without it segfs does not run */
	KERNEL_RESOLVE_CACHED,  /* openat2(2): walks that take no lock */
	KERNEL_POPULATE_WRITE,  /* madvise(2): pages are made without writing to them */
	KERNEL_FDINFO_INO,      /* "ino:" in /proc/PID/fdinfo/N */
	KERNEL_FANOTIFY_TARGET, /* FAN_REPORT_TARGET_FID and FAN_RENAME */
	KERNEL_TMPFS_XATTR,     /* user.* on a tmpfs */
	KERNEL_TMPFS_DIRECT,    /* O_DIRECT there */
	KERNEL_PROCMAP_QUERY,   /* mappings asked one by one */
	KERNEL_GETXATTRAT,      /* getxattrat(2): KERNEL_SYS_GETXATTRAT */
	KERNEL_NS_ID,           /* NS_GET_ID: numbers of namespaces that are given once */
	KERNEL_FEATURES,
} KernelFeature;

/* What could not be asked (no descriptors, no /proc) counts as there: its use fails by itself. */
bool kernel_has(KernelFeature feature);

/* By its release: for what cannot be tried. */
bool kernel_is_before(unsigned int major, unsigned int minor);

/* For tests: from here on it is as if this kernel lacked that one. */
void kernel_forget(KernelFeature feature);
