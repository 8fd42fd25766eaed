/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a daemon leaves in bpffs for the next one, and what it does not take there. */

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/os/autofd.h"
#include "lib/pin/pin.h"
#include "unit.h"

static char *name, *directory; /* this process's own */

static Pins *open_pins(const char *build, char **ret_why_not)
{
	g_free(*ret_why_not);
	return pins_open(name, build, ret_why_not);
}

/* False: the test is skipped. */
static bool can_pin(void)
{
	g_autofree char *why_not = NULL;

	if (!unit_need_root())
		return false;
	Pins *pins = open_pins("1", &why_not);
	if (!pins) {
		g_test_skip(why_not ? why_not : "no bpffs to write to");
		return false;
	}
	pins_remove(pins);
	pins_free(pins);
	g_assert_cmpint(access(directory, F_OK), <, 0);
	return true;
}

static int make_map(void)
{
	union bpf_attr attr = {
		.map_type = BPF_MAP_TYPE_ARRAY,
		.key_size = 4,
		.value_size = 8,
		.max_entries = 1,
	};
	const int fd = syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof(attr));

	g_assert_no_errno(fd);
	return fd;
}

static guint id_of(int fd)
{
	struct bpf_map_info info = {};
	union bpf_attr attr = {.info = {.bpf_fd = fd, .info_len = sizeof(info)}};

	attr.info.info = (uintptr_t)&info;
	g_assert_no_errno((int)syscall(SYS_bpf, BPF_OBJ_GET_INFO_BY_FD, &attr, sizeof(attr)));
	return info.id;
}

static void what_is_left_is_taken_once(void)
{
	g_autofree char *why_not = NULL;
	struct stat st;

	if (!can_pin())
		return;
	Pins *pins = open_pins("1", &why_not);
	autofd map = make_map();
	g_assert_cmpint(pins_get(pins, "map"), ==, -ENOENT);
	g_assert_cmpint(pins_put(pins, "map", map), ==, 0);
	g_assert_no_errno(stat(directory, &st));
	g_assert_cmpuint(st.st_mode & 07777, ==, 0700);
	/* It is another's as long as that lives. */
	g_assert_null(open_pins("1", &why_not));
	g_assert_nonnull(strstr(why_not, "another segfs that lives has it"));
	const guint id = id_of(map);
	close(steal_fd(&map));
	pins_free(pins);
	pins = open_pins("1", &why_not);
	g_assert_nonnull(pins);
	autofd again = pins_get(pins, "map");
	g_assert_cmpint(again, >=, 0);
	g_assert_cmpuint(id_of(again), ==, id);
	pins_free(pins);
	/* Of another build it is removed. */
	pins = open_pins("2", &why_not);
	g_assert_cmpint(pins_get(pins, "map"), ==, -ENOENT);
	pins_free(pins);
	pins = open_pins("1", &why_not);
	g_assert_cmpint(pins_get(pins, "map"), ==, -ENOENT);
	pins_remove(pins);
	pins_free(pins);
	g_assert_cmpint(access(directory, F_OK), <, 0);
}

static void assert_refused(const char *why)
{
	g_autofree char *why_not = NULL;

	g_assert_null(open_pins("1", &why_not));
	g_assert_nonnull(strstr(why_not, directory));
	g_assert_nonnull(strstr(why_not, why));
}

static void what_is_not_our_own_is_refused(void)
{
	static const char own[] = "it is not our own, or others may look into it";
	g_autofree char *foreign = NULL, *target = NULL;

	if (!can_pin())
		return;
	g_assert_no_errno(mkdir(directory, 0700));
	g_assert_no_errno(chmod(directory, 0701));
	assert_refused(own);
	g_assert_no_errno(chmod(directory, 0700));
	g_assert_no_errno(chown(directory, UNIT_UID, UNIT_GID));
	assert_refused(own);
	g_assert_no_errno(chown(directory, 0, 0));
	foreign = g_build_filename(directory, "foreign", NULL);
	g_assert_no_errno(mkdir(foreign, 0700));
	assert_refused("foreign in it is none of ours");
	g_assert_no_errno(rmdir(foreign));
	g_assert_no_errno(rmdir(directory));
	/* Nobody is led elsewhere. */
	target = g_strconcat(directory, "-target", NULL);
	g_assert_no_errno(mkdir(target, 0700));
	g_assert_no_errno(symlink(target, directory));
	assert_refused(own);
	g_assert_no_errno(unlink(directory));
	g_assert_no_errno(rmdir(target));
}

int main(int argc, char **argv)
{
	unit_init(&argc, &argv);
	name = g_strdup_printf("unit-pins %d", getpid());
	g_autofree char *sum = g_compute_checksum_for_string(G_CHECKSUM_SHA256, name, -1);
	directory = g_strdup_printf("/sys/fs/bpf/segfs-%.16s", sum);
	g_test_add_func("/pins/taken", what_is_left_is_taken_once);
	g_test_add_func("/pins/refused", what_is_not_our_own_is_refused);
	return g_test_run();
}
