/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The callers: each is a process with real credentials, set by raw system calls. */
#include "matrix.h"

#include <err.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CAP(name) (1ULL << (name))

/* More than fit in a first buffer of the daemon's, whatever its size is likely to be. */
#define MANY_GROUPS 300

/* clang-format off */
#define SAME(uid, gid) .ruid = (uid), .euid = (uid), .rgid = (gid), .egid = (gid)

const struct caller matrix_callers[] = {
	{ "owner", SAME(UID_OWNER, GID_OWNER) },
	{ "creator", SAME(UID_CREATOR, GID_CREATOR) },
	{ "owner's-group", SAME(41004, GID_OWNER) },
	{ "creator's-group", SAME(41005, GID_CREATOR) },
	{ "supplementary-group", SAME(41006, 42006), .group_count = 2,
	  .groups = { 42016, GID_OWNER } },
	{ "supplementary-creator's-group", SAME(41007, 42007), .group_count = 1,
	  .groups = { GID_CREATOR } },
	{ "last-of-many-groups", SAME(41008, 42008), .group_count = 1, .groups = { GID_OWNER },
	  .many_groups = MANY_GROUPS, .brief = true },
	{ "other", SAME(UID_OTHER, GID_OTHER) },
	{ "root", SAME(0, 0) },
	{ "root-without-capabilities", SAME(0, 0), .root_without_caps = true },
	{ "with-CAP_IPC_OWNER", SAME(41011, 42011), .caps = CAP(CAP_IPC_OWNER) },
	{ "with-CAP_DAC_OVERRIDE", SAME(41012, 42012), .caps = CAP(CAP_DAC_OVERRIDE) },
	{ "with-CAP_DAC_READ_SEARCH", SAME(41013, 42013), .caps = CAP(CAP_DAC_READ_SEARCH),
	  .brief = true },
	{ "with-CAP_FOWNER", SAME(41014, 42014), .caps = CAP(CAP_FOWNER), .brief = true },
	{ "with-CAP_CHOWN", SAME(41015, 42015), .caps = CAP(CAP_CHOWN), .brief = true },
	{ "with-CAP_SYS_ADMIN", SAME(41016, 42017), .caps = CAP(CAP_SYS_ADMIN), .brief = true },
	{ "other-as-owner", .ruid = UID_OTHER, .euid = UID_OWNER, .rgid = GID_OTHER,
	  .egid = GID_OTHER, .brief = true },
	{ "owner-as-other", .ruid = UID_OWNER, .euid = UID_OTHER, .rgid = GID_OTHER,
	  .egid = GID_OTHER, .brief = true },
	{ "other-as-root", .ruid = UID_OTHER, .euid = 0, .rgid = GID_OTHER, .egid = GID_OTHER,
	  .brief = true },
	{ "root-as-owner", .ruid = 0, .euid = UID_OWNER, .rgid = 0, .egid = GID_OWNER,
	  .brief = true },
	{ "other-in-owner's-group-by-setgid", .ruid = UID_OTHER, .euid = UID_OTHER,
	  .rgid = GID_OTHER, .egid = GID_OWNER, .brief = true },
	{ "root-with-owner's-fsuid", SAME(0, 0), .fsuid = true, .brief = true },
};
/* clang-format on */
const int matrix_caller_count = sizeof(matrix_callers) / sizeof(*matrix_callers);

/* Capabilities as they were before caller_enter_real(). */
static struct __user_cap_data_struct saved_caps[2];

static void caps_get(struct __user_cap_data_struct data[2])
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};

	if (syscall(SYS_capget, &header, data) < 0)
		err(EXIT_FAILURE, "capget");
}

static void caps_set(const struct __user_cap_data_struct data[2])
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};

	if (syscall(SYS_capset, &header, data) < 0)
		err(EXIT_FAILURE, "capset");
}

static void caps_only(unsigned long long caps)
{
	struct __user_cap_data_struct data[2] = {
		{.effective = (__u32)caps, .permitted = (__u32)caps},
		{.effective = (__u32)(caps >> 32), .permitted = (__u32)(caps >> 32)},
	};

	caps_set(data);
}

void caller_become(const struct caller *caller)
{
	gid_t groups[MANY_GROUPS + 4];
	int count = 0;

	for (int i = 0; i < caller->many_groups; i++)
		groups[count++] = 30000 + i;
	for (int i = 0; i < caller->group_count; i++)
		groups[count++] = caller->groups[i];

	umask(0);
	if (syscall(SYS_setgroups, count, groups) < 0)
		err(EXIT_FAILURE, "setgroups");
	if (syscall(SYS_setresgid, caller->rgid, caller->egid, caller->egid) < 0)
		err(EXIT_FAILURE, "setresgid");
	if (caller->caps && prctl(PR_SET_KEEPCAPS, 1) < 0)
		err(EXIT_FAILURE, "PR_SET_KEEPCAPS");
	if (syscall(SYS_setresuid, caller->ruid, caller->euid, caller->euid) < 0)
		err(EXIT_FAILURE, "setresuid");
	if (caller->caps || caller->root_without_caps)
		caps_only(caller->caps);
	if (caller->fsuid) {
		setfsgid(GID_OWNER);
		setfsuid(UID_OWNER);
	}
	/* As after an exec: /proc shows this process as it shows any program. */
	prctl(PR_SET_DUMPABLE, 1);
	/* The change of user has cleared it; SIGKILL, as for the runner. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
}

void caller_enter_real(const struct caller *caller)
{
	struct __user_cap_data_struct data[2];

	caps_get(saved_caps);
	if (syscall(SYS_setresgid, -1, caller->rgid, -1) < 0)
		err(EXIT_FAILURE, "setresgid to the real group");
	if (syscall(SYS_setresuid, -1, caller->ruid, -1) < 0)
		err(EXIT_FAILURE, "setresuid to the real user");
	caps_get(data);
	for (int i = 0; i < 2; i++)
		data[i].effective = caller->ruid == 0 ? data[i].permitted : 0;
	caps_set(data);
}

void caller_leave_real(const struct caller *caller)
{
	if (syscall(SYS_setresuid, -1, caller->euid, -1) < 0)
		err(EXIT_FAILURE, "setresuid back");
	if (syscall(SYS_setresgid, -1, caller->egid, -1) < 0)
		err(EXIT_FAILURE, "setresgid back");
	caps_set(saved_caps);
}

bool caller_has_more(const struct caller *caller)
{
	return caller->group_count || caller->many_groups || caller->caps ||
	       ((caller->ruid == 0 || caller->euid == 0) && !caller->root_without_caps);
}

bool caller_is_blind(const struct caller *caller)
{
	return caller->caps && caller->ruid == caller->euid;
}
