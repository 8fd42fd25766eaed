/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/os/lsm.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <string.h>
#include <unistd.h>

#include "lib/os/autofd.h"
#include "lib/os/procfs.h"

/* PROC_USER_INIT_INO in include/linux/proc_ns.h. */
#define FIRST_USER_NS 0xEFFFFFFDU

/* The list of the kernel's security modules (Documentation/admin-guide/LSM/index.rst). */
#define MODULES "/sys/kernel/security/lsm"

static bool list_leaves_ipc_alone(const char *list)
{
	return !strstr(list, "selinux") && !strstr(list, "smack");
}

/* Without securityfs: no module that labels processes is an EINVAL, AppArmor's labels are known. */
static bool label_leaves_ipc_alone(void)
{
	autofd fd = open("/proc/self/attr/current", O_RDONLY | O_CLOEXEC);
	char label[32] = "";

	if (fd < 0)
		return errno == ENOENT;
	if (read(fd, label, sizeof(label) - 1) < 0)
		return errno == EINVAL;
	return g_str_has_prefix(label, "unconfined");
}

bool lsm_leaves_ipc_alone(void)
{
	static gsize known;
	enum { NO = 1, YES };

	if (g_once_init_enter(&known)) {
		g_autofree char *list = NULL;
		bool alone = g_file_get_contents(MODULES, &list, NULL, NULL)
				     ? list_leaves_ipc_alone(list)
				     : label_leaves_ipc_alone();

		if (procfs_namespace(AT_FDCWD, "/proc/self/ns/user") != FIRST_USER_NS)
			alone = false;
		g_once_init_leave(&known, alone ? YES : NO);
	}
	return known == YES;
}
