/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Directories that are opened to be read. */

#include "lib/os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "unit.h"

static bool has(DIR *directory, const char *name)
{
	struct dirent *entry;

	while ((entry = readdir(directory)))
		if (!strcmp(entry->d_name, name))
			return true;
	return false;
}

static void a_directory_is_read_and_closed(void)
{
	g_autofree char *path = tree_make(NULL);

	tree_write(path, "inner/file", "text");
	const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	g_assert_no_errno(fd);
	DIR *inner = fd_open_directory(fd, "inner");
	g_assert_nonnull(inner);
	g_assert_true(has(inner, "file"));
	closedir(inner);
	DIR *outer = fd_directory(fd);
	g_assert_nonnull(outer);
	g_assert_cmpint(dirfd(outer), ==, fd);
	g_assert_true(has(outer, "inner"));
	closedir(outer);
	g_assert_cmpint(fcntl(fd, F_GETFD), ==, -1);
	tree_remove(&path);
}

static void what_is_no_directory_leaves_no_descriptor(void)
{
	const int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	g_assert_no_errno(fd);
	g_assert_null(fd_directory(fd));
	g_assert_cmpint(errno, ==, ENOTDIR);
	g_assert_cmpint(fcntl(fd, F_GETFD), ==, -1);
	g_assert_cmpint(errno, ==, EBADF);
}

static void why_there_is_no_descriptor_stays_known(void)
{
	errno = EMFILE;
	g_assert_null(fd_directory(-1));
	g_assert_cmpint(errno, ==, EMFILE);
	g_assert_null(fd_open_directory(AT_FDCWD, "/nowhere"));
	g_assert_cmpint(errno, ==, ENOENT);
}

int main(int argc, char **argv)
{
	unit_init(&argc, &argv);
	g_test_add_func("/fd/a-directory-is-read-and-closed", a_directory_is_read_and_closed);
	g_test_add_func("/fd/what-is-no-directory-leaves-no-descriptor",
			what_is_no_directory_leaves_no_descriptor);
	g_test_add_func("/fd/why-there-is-no-descriptor-stays-known",
			why_there_is_no_descriptor_stays_known);
	return g_test_run();
}
