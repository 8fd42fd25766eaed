/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <glib/gstdio.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/os/autofd.h"
#include "unit.h"

/* A descriptor of the directory, open until the program ends. */
static int directory_fd(const SegfsPosix *posix)
{
	int fd = -1;

	g_assert_cmpint(segfs_posix_open(posix, &fd), ==, 0);
	return fd;
}

/* A directory of our own in /dev/shm: nobody else's objects are touched. */
static char *shm_directory(void)
{
	return tree_make("/dev/shm");
}

static SegfsPosix *posix_make(const char *directory)
{
	SegfsPosix *posix = NULL;

	g_assert_cmpint(segfs_posix_new(directory, &posix), ==, 0);
	return posix;
}

static int open_in(const SegfsPosix *posix, const char *name, int flags)
{
	const int fd = openat(directory_fd(posix), name, flags | O_CLOEXEC, 0640);

	g_assert_no_errno(fd);
	return fd;
}

/* What name is, without following it. */
static SegfsObject object_of(const SegfsPosix *posix, const char *name)
{
	autofd fd = open_in(posix, name, O_PATH | O_NOFOLLOW);
	SegfsObject object;
	struct stat st;

	g_assert_cmpint(segfs_object_read(posix, fd, &object, &st), ==, 0);
	return object;
}

/* False where there are no handles here; then the test is skipped. */
static bool need_handles(const SegfsPosix *posix)
{
	const SegfsObject object = object_of(posix, ".");

	if (object.handle_size > 0)
		return true;
	g_test_skip("needs a tmpfs with file handles and CAP_DAC_READ_SEARCH");
	return false;
}

static void assert_is_object(int fd, const SegfsObject *object)
{
	struct stat st;

	g_assert_no_errno(fstat(fd, &st));
	g_assert_cmpuint(st.st_dev, ==, object->dev);
	g_assert_cmpuint(st.st_ino, ==, object->ino);
	g_assert_cmpint(fcntl(fd, F_GETFL) & O_PATH, ==, O_PATH);
	g_assert_cmpint(fcntl(fd, F_GETFD) & FD_CLOEXEC, ==, FD_CLOEXEC);
}

static void directory_is_open_for_reading(void)
{
	scoped_tree directory = shm_directory();
	g_autoptr(SegfsPosix) posix = posix_make(directory);
	const int fd = directory_fd(posix);
	struct stat by_fd, by_name;

	g_assert_no_errno(fstat(fd, &by_fd));
	g_assert_no_errno(stat(directory, &by_name));
	g_assert_cmpuint(by_fd.st_ino, ==, by_name.st_ino);
	g_assert_cmpuint(by_fd.st_dev, ==, by_name.st_dev);
	g_assert_cmpint(fcntl(fd, F_GETFL) & (O_ACCMODE | O_PATH), ==, O_RDONLY);
	g_assert_cmpint(fcntl(fd, F_GETFD) & FD_CLOEXEC, ==, FD_CLOEXEC);
}

static void free_closes_the_directory(void)
{
	scoped_tree directory = shm_directory();
	const int next = dup(0);
	close(next);
	SegfsPosix *posix = posix_make(directory);

	g_assert_no_errno(fcntl(next, F_GETFD));
	segfs_posix_free(posix);
	g_assert_cmpint(fcntl(next, F_GETFD), ==, -1);
}

static void no_directory_is_the_error_of_open(void)
{
	scoped_tree directory = shm_directory();
	g_autofree char *missing = g_build_filename(directory, "missing", NULL);
	g_autofree char *file = g_build_filename(directory, "file", NULL);
	SegfsPosix *posix = NULL;

	tree_write(directory, "file", "");
	g_assert_cmpint(segfs_posix_new(missing, &posix), ==, -ENOENT);
	g_assert_cmpint(segfs_posix_new(file, &posix), ==, -ENOTDIR);
	g_assert_null(posix);
}

static void a_directory_that_may_not_be_read_is_eacces(void)
{
	if (!unit_as_user())
		return;
	scoped_tree directory = shm_directory();
	SegfsPosix *posix = NULL;

	g_assert_no_errno(chmod(directory, 0300));
	g_assert_cmpint(segfs_posix_new(directory, &posix), ==, -EACCES);
	g_assert_null(posix);
}

static void what_is_mounted_over_it_later_changes_nothing(void)
{
	if (!unit_as_new_process())
		return;
	scoped_tree directory = shm_directory();
	g_autoptr(SegfsPosix) posix = posix_make(directory);
	struct stat before, after;

	tree_write(directory, "below", "x");
	g_assert_no_errno(fstatat(directory_fd(posix), "below", &before, 0));
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
		g_test_skip("needs a mount namespace");
		return;
	}
	g_assert_no_errno(mount("none", directory, "tmpfs", 0, NULL));
	g_assert_no_errno(fstatat(directory_fd(posix), "below", &after, 0));
	g_assert_cmpuint(after.st_ino, ==, before.st_ino);
	g_assert_no_errno(umount(directory));
}

static void object_has_its_attributes_without_any_right(void)
{
	scoped_tree directory = shm_directory();
	g_autoptr(SegfsPosix) posix = posix_make(directory);
	autofd made = open_in(posix, "object", O_RDWR | O_CREAT | O_EXCL);
	SegfsObject object, again;
	struct stat st, same;

	g_assert_no_errno(ftruncate(made, 5000));
	g_assert_no_errno(fchmod(made, 0));
	autofd path = open_in(posix, "object", O_PATH | O_NOFOLLOW);
	g_assert_cmpint(segfs_object_read(posix, path, &object, &st), ==, 0);
	g_assert_cmpint(st.st_size, ==, 5000);
	g_assert_cmphex(st.st_mode, ==, S_IFREG);
	g_assert_cmpuint(object.dev, ==, st.st_dev);
	g_assert_cmpuint(object.ino, ==, st.st_ino);
	/* Of a descriptor with data rights it is the same object. */
	g_assert_cmpint(segfs_object_read(posix, made, &again, &same), ==, 0);
	g_assert_cmpuint(again.ino, ==, object.ino);
	g_assert_cmpmem(again.handle, again.handle_size, object.handle, object.handle_size);
}

static void object_is_read_by_its_name_as_by_a_descriptor(void)
{
	static const char *const names[] = {"object", "other name", "directory", "link"};
	scoped_tree directory = shm_directory();
	g_autoptr(SegfsPosix) posix = posix_make(directory);
	const int fd = directory_fd(posix);
	const int mount_id = segfs_object_mount(fd);

	tree_write(directory, "object", "some");
	if (!need_handles(posix))
		return;
	g_assert_no_errno(linkat(fd, "object", fd, "other name", 0));
	g_assert_no_errno(mkdirat(fd, "directory", 0700));
	g_assert_no_errno(symlinkat("nowhere", fd, "link"));
	for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
		const SegfsObject opened = object_of(posix, names[i]);
		SegfsObject object;
		struct stat st, same;
		g_assert_cmpint(segfs_object_read_at(posix, fd, mount_id, names[i], &object, &st),
				==, 0);
		g_assert_no_errno(fstatat(fd, names[i], &same, AT_SYMLINK_NOFOLLOW));
		g_assert_cmpuint(object.dev, ==, opened.dev);
		g_assert_cmpuint(object.ino, ==, opened.ino);
		g_assert_cmpint(object.handle_type, ==, opened.handle_type);
		g_assert_cmpmem(object.handle, object.handle_size, opened.handle,
				opened.handle_size);
		g_assert_cmpuint(st.st_ino, ==, same.st_ino);
		g_assert_cmphex(st.st_mode, ==, same.st_mode);
		g_assert_cmpint(st.st_size, ==, same.st_size);
	}
}

static void object_that_cannot_be_read_by_its_name_is_said_to_be(void)
{
	scoped_tree directory = shm_directory();
	g_autoptr(SegfsPosix) posix = posix_make(directory);
	const int fd = directory_fd(posix);
	const int mount_id = segfs_object_mount(fd);
	SegfsObject object;
	struct stat st;

	tree_write(directory, "object", "some");
	if (!need_handles(posix))
		return;
	g_assert_cmpint(segfs_object_mount(-1), ==, -1);
	g_assert_cmpint(segfs_object_read_at(posix, fd, mount_id, "none", &object, &st), ==,
			-ENOENT);
	g_assert_cmpint(segfs_object_read_at(posix, fd, -1, "object", &object, &st), ==, -EXDEV);
	g_assert_cmpint(segfs_object_read_at(posix, fd, mount_id + 1, "object", &object, &st), ==,
			-EXDEV);
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return;
	/* The very same object, seen through another mount, included. */
	g_autofree char *path = g_build_filename(directory, "object", NULL);
	autofd here = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const int here_id = segfs_object_mount(here);
	g_assert_cmpint(segfs_object_read_at(posix, here, here_id, "object", &object, &st), ==, 0);
	g_assert_no_errno(mount(path, path, NULL, MS_BIND, NULL));
	g_assert_cmpint(segfs_object_read_at(posix, here, here_id, "object", &object, &st), ==,
			-EXDEV);
	g_assert_no_errno(umount(path));
}

static void object_of_no_descriptor_is_an_error(void)
{
	scoped_tree directory = shm_directory();
	g_autoptr(SegfsPosix) posix = posix_make(directory);
	SegfsObject object = {.ino = 7};
	struct stat st;

	g_assert_cmpint(segfs_object_read(posix, -1, &object, &st), ==, -EBADF);
	g_assert_cmpuint(object.ino, ==, 7);
}

static void an_object_opens_again_whatever_its_names_are(void)
{
	scoped_tree directory = shm_directory();
	g_autoptr(SegfsPosix) posix = posix_make(directory);
	const int dir = directory_fd(posix);
	int opened = -7;

	if (!need_handles(posix))
		return;
	close(open_in(posix, "object", O_RDWR | O_CREAT | O_EXCL));
	const SegfsObject object = object_of(posix, "object");
	g_assert_no_errno(mkdirat(dir, "deep", 0700));
	g_assert_no_errno(renameat(dir, "object", dir, "deep/renamed"));
	close(open_in(posix, "object", O_RDWR | O_CREAT | O_EXCL));
	g_assert_cmpint(segfs_object_open(posix, &object, &opened), ==, 0);
	autofd fd = opened;
	assert_is_object(fd, &object);
	g_assert_no_errno(linkat(dir, "deep/renamed", dir, "linked", 0));
	g_assert_no_errno(unlinkat(dir, "deep/renamed", 0));
	g_assert_cmpint(segfs_object_open(posix, &object, &opened), ==, 0);
	assert_is_object(opened, &object);
	close(opened);
}

static void every_kind_of_object_opens_again(void)
{
	static const char *const names[] = {".", "directory", "fifo", "link", "dangling", "file"};
	scoped_tree directory = shm_directory();
	g_autoptr(SegfsPosix) posix = posix_make(directory);
	const int dir = directory_fd(posix);

	if (!need_handles(posix))
		return;
	g_assert_no_errno(mkdirat(dir, "directory", 0));
	g_assert_no_errno(mkfifoat(dir, "fifo", 0600));
	g_assert_no_errno(symlinkat("/etc/passwd", dir, "link"));
	g_assert_no_errno(symlinkat("nowhere", dir, "dangling"));
	close(open_in(posix, "file", O_RDWR | O_CREAT | O_EXCL));
	for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
		const SegfsObject object = object_of(posix, names[i]);
		int opened = -7;
		g_assert_cmpint(segfs_object_open(posix, &object, &opened), ==, 0);
		assert_is_object(opened, &object);
		close(opened);
	}
}

static void an_object_that_is_gone_is_estale(void)
{
	scoped_tree directory = shm_directory();
	g_autoptr(SegfsPosix) posix = posix_make(directory);
	int opened = -7;

	if (!need_handles(posix))
		return;
	close(open_in(posix, "object", O_RDWR | O_CREAT | O_EXCL));
	const SegfsObject object = object_of(posix, "object");
	g_assert_no_errno(unlinkat(directory_fd(posix), "object", 0));
	g_assert_cmpint(segfs_object_open(posix, &object, &opened), ==, -ESTALE);
	/* Neither is it what has its name now. */
	close(open_in(posix, "object", O_RDWR | O_CREAT | O_EXCL));
	g_assert_cmpint(segfs_object_open(posix, &object, &opened), ==, -ESTALE);
	g_assert_cmpint(opened, ==, -7);
}

static void an_object_without_a_name_opens_while_it_is_held(void)
{
	scoped_tree directory = shm_directory();
	g_autoptr(SegfsPosix) posix = posix_make(directory);
	int opened = -7;

	if (!need_handles(posix))
		return;
	int held = open_in(posix, "object", O_RDWR | O_CREAT | O_EXCL);
	const SegfsObject object = object_of(posix, "object");
	g_assert_no_errno(unlinkat(directory_fd(posix), "object", 0));
	g_assert_cmpint(segfs_object_open(posix, &object, &opened), ==, 0);
	assert_is_object(opened, &object);
	close(opened);
	close(held);
	g_assert_cmpint(segfs_object_open(posix, &object, &opened), ==, -ESTALE);
}

static void an_object_of_another_file_system_has_no_handle(void)
{
	scoped_tree directory = shm_directory();
	g_autoptr(SegfsPosix) posix = posix_make(directory);
	/* One that has no handles, and one that most likely has, but not of ours. */
	static const char *const others[] = {"/proc/self/status", "/"};

	for (guint i = 0; i < G_N_ELEMENTS(others); i++) {
		autofd fd = open(others[i], O_RDONLY | O_CLOEXEC);
		SegfsObject object;
		struct stat st;
		int opened = -7;

		g_assert_cmpint(segfs_object_read(posix, fd, &object, &st), ==, 0);
		g_assert_cmpuint(object.dev, ==, st.st_dev);
		g_assert_cmpuint(object.handle_size, ==, 0);
		g_assert_cmpint(segfs_object_open(posix, &object, &opened), ==, -EOPNOTSUPP);
		g_assert_cmpint(opened, ==, -7);
	}
}

static void a_plain_user_has_no_handles(void)
{
	if (!unit_as_user())
		return;
	scoped_tree directory = shm_directory();
	g_autoptr(SegfsPosix) posix = posix_make(directory);
	int opened = -7;

	close(open_in(posix, "object", O_RDWR | O_CREAT | O_EXCL));
	const SegfsObject object = object_of(posix, "object");
	g_assert_cmpuint(object.ino, !=, 0);
	g_assert_cmpuint(object.handle_size, ==, 0);
	g_assert_cmpint(segfs_object_open(posix, &object, &opened), ==, -EOPNOTSUPP);
	g_assert_cmpint(opened, ==, -7);
}

static void opening_again_gives_no_rights(void)
{
	scoped_tree directory = shm_directory();
	g_autoptr(SegfsPosix) posix = posix_make(directory);
	const SegfsCaller caller = {.uid = UNIT_UID, .gid = UNIT_GID};
	int opened = -7;

	if (!need_handles(posix))
		return;
	close(open_in(posix, "object", O_RDWR | O_CREAT | O_EXCL));
	const SegfsObject object = object_of(posix, "object");
	g_assert_cmpint(segfs_object_open(posix, &object, &opened), ==, 0);
	autofd fd = opened;
	g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);
	char byte;

	g_assert_cmpint(read(fd, &byte, 1), ==, -1);
	g_assert_cmpint(errno, ==, EBADF);
	g_assert_cmpint(SEGFS_AS(&caller, open(path, O_RDONLY | O_CLOEXEC)), ==, -EACCES);
}

int main(int argc, char **argv)
{
	unit_init(&argc, &argv);
#define TEST(path, function) g_test_add_func("/posix/" path, function)
	TEST("directory/is-open-for-reading", directory_is_open_for_reading);
	TEST("directory/free-closes-it", free_closes_the_directory);
	TEST("directory/none-is-the-error-of-open", no_directory_is_the_error_of_open);
	TEST("directory/not-to-be-read-is-eacces", a_directory_that_may_not_be_read_is_eacces);
	TEST("directory/mounted-over-slow-changes-nothing",
	     what_is_mounted_over_it_later_changes_nothing);
	TEST("object/attributes-need-no-right", object_has_its_attributes_without_any_right);
	TEST("object/by-name-as-by-a-descriptor", object_is_read_by_its_name_as_by_a_descriptor);
	TEST("object/not-by-name-is-exdev", object_that_cannot_be_read_by_its_name_is_said_to_be);
	TEST("object/of-no-descriptor-is-an-error", object_of_no_descriptor_is_an_error);
	TEST("object/opens-again-whatever-its-names", an_object_opens_again_whatever_its_names_are);
	TEST("object/every-kind-opens-again", every_kind_of_object_opens_again);
	TEST("object/gone-is-estale", an_object_that_is_gone_is_estale);
	TEST("object/without-a-name-opens-while-held",
	     an_object_without_a_name_opens_while_it_is_held);
	TEST("object/of-another-file-system-has-no-handle",
	     an_object_of_another_file_system_has_no_handle);
	TEST("object/plain-user-has-no-handles", a_plain_user_has_no_handles);
	TEST("object/opening-again-gives-no-rights", opening_again_gives_no_rights);
	return g_test_run();
}
