/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Locks on the objects in posix/ of a tree: they meet those that are taken in the directory. */

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/os/autofd.h"
#include "tree_world.h"

typedef struct {
	World world;
	char *path;
	Node *node;
} Locked;

static void locked_start(Locked *locked)
{
	world_start(&locked->world);
	tree_write(locked->world.shm, "x", "some bytes");
	locked->path = g_build_filename(locked->world.shm, "x", NULL);
	locked->node = world_node(&locked->world, "posix/x");
}

static void locked_clear(Locked *locked)
{
	g_clear_pointer(&locked->node, node_unref);
	g_clear_pointer(&locked->path, g_free);
	world_clear(&locked->world);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Locked, locked_clear)

static int lock(File *file, uint64_t owner, int command, short type, struct flock *ret_lock)
{
	*ret_lock = (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = 2, .l_len = 3};
	return file->ops->lock(file, owner, command, ret_lock);
}

/* Could the range be locked there, by whom no lock of ours is? */
static bool is_free_there(const char *path, short type)
{
	struct flock asked = {.l_type = type, .l_whence = SEEK_SET, .l_start = 2, .l_len = 3};
	autofd fd = open(path, O_RDWR | O_CLOEXEC);

	g_assert_no_errno(fd);
	g_assert_no_errno(fcntl(fd, F_OFD_GETLK, &asked));
	return asked.l_type == F_UNLCK;
}

static void flock_belongs_to_an_open(void)
{
	g_auto(Locked) locked = {};
	locked_start(&locked);
	g_autoptr(File) first = node_open(locked.node, &locked.world.self, O_RDWR);
	g_autoptr(File) second = node_open(locked.node, &locked.world.self, O_RDWR);
	autofd there = open(locked.path, O_RDWR | O_CLOEXEC);

	g_assert_cmpint(first->ops->flock(first, LOCK_EX), ==, 0);
	g_assert_cmpint(second->ops->flock(second, LOCK_SH | LOCK_NB), ==, -EWOULDBLOCK);
	g_assert_cmpint(flock(there, LOCK_EX | LOCK_NB), <, 0);
	g_assert_cmpint(first->ops->flock(first, LOCK_UN), ==, 0);
	g_assert_no_errno(flock(there, LOCK_EX | LOCK_NB));
	g_assert_cmpint(second->ops->flock(second, LOCK_SH | LOCK_NB), ==, -EWOULDBLOCK);
}

static void a_range_belongs_to_an_owner(void)
{
	g_auto(Locked) locked = {};
	struct flock asked;
	locked_start(&locked);
	g_autoptr(File) file = node_open(locked.node, &locked.world.self, O_RDWR);
	g_autoptr(File) same = node_open(locked.node, &locked.world.self, O_RDWR);

	g_assert_cmpint(lock(file, 1, F_SETLK, F_WRLCK, &asked), ==, 0);
	/* The owner's own, through whatever open. */
	g_assert_cmpint(lock(same, 1, F_SETLK, F_RDLCK, &asked), ==, 0);
	g_assert_cmpint(lock(same, 2, F_SETLK, F_WRLCK, &asked), ==, -EAGAIN);
	g_assert_cmpint(lock(same, 2, F_GETLK, F_WRLCK, &asked), ==, 0);
	g_assert_cmpint(asked.l_type, ==, F_RDLCK);
	g_assert_cmpint(asked.l_start, ==, 2);
	g_assert_false(is_free_there(locked.path, F_WRLCK));
	g_assert_true(is_free_there(locked.path, F_RDLCK));
	g_assert_cmpint(lock(file, 1, F_SETLK, F_UNLCK, &asked), ==, 0);
	g_assert_true(is_free_there(locked.path, F_WRLCK));
	g_assert_cmpint(lock(same, 2, F_SETLKW, F_WRLCK, &asked), ==, 0);
}

static void an_owner_that_goes_leaves_no_lock(void)
{
	g_auto(Locked) locked = {};
	struct flock asked;
	locked_start(&locked);
	File *file = node_open(locked.node, &locked.world.self, O_RDWR);
	g_autoptr(File) other = node_open(locked.node, &locked.world.self, O_RDWR);

	other->ops->unlock_all(other, 7); /* has none */
	g_assert_cmpint(lock(file, 1, F_SETLK, F_WRLCK, &asked), ==, 0);
	other->ops->unlock_all(other, 2);
	g_assert_false(is_free_there(locked.path, F_WRLCK));
	other->ops->unlock_all(other, 1); /* it has closed a descriptor of the object */
	g_assert_true(is_free_there(locked.path, F_WRLCK));
	g_assert_cmpint(lock(file, 1, F_SETLK, F_WRLCK, &asked), ==, 0);
	file_unref(file);
	g_assert_true(is_free_there(locked.path, F_WRLCK));
}

static void who_may_only_read_may_only_lock_to_read(void)
{
	g_auto(Locked) locked = {};
	struct flock asked;
	if (!unit_as_user())
		return;
	locked_start(&locked);
	g_assert_no_errno(chmod(locked.path, 0444));
	g_autoptr(File) file = node_open(locked.node, &locked.world.self, O_RDONLY);

	g_assert_cmpint(lock(file, 1, F_SETLK, F_WRLCK, &asked), ==, -EBADF);
	g_assert_cmpint(lock(file, 1, F_SETLK, F_RDLCK, &asked), ==, 0);
	g_assert_no_errno(chmod(locked.path, 0644));
	g_assert_false(is_free_there(locked.path, F_WRLCK));
}

/* A lease is given up by whom it is asked of, and until then an open does not wait. */
static void an_open_does_not_wait_for_a_lease(void)
{
	g_auto(Locked) locked = {};
	locked_start(&locked);
	autofd there = open(locked.path, O_RDWR | O_CLOEXEC);

	g_assert_no_errno(signal(SIGIO, SIG_IGN) == SIG_ERR ? -1 : 0);
	g_assert_no_errno(fcntl(there, F_SETLEASE, F_WRLCK));
	assert_open(locked.node, &locked.world.self, O_RDONLY, -EWOULDBLOCK);
	g_assert_cmpint(node_truncate(locked.node, &locked.world.self, NULL, 0), ==, -EWOULDBLOCK);
	g_assert_no_errno(fcntl(there, F_SETLEASE, F_UNLCK));
	g_autoptr(File) G_GNUC_UNUSED file = node_open(locked.node, &locked.world.self, O_RDONLY);
}

int main(int argc, char **argv)
{
	unit_init(&argc, &argv);
	g_test_add_func("/tree-locks/flock", flock_belongs_to_an_open);
	g_test_add_func("/tree-locks/range", a_range_belongs_to_an_owner);
	g_test_add_func("/tree-locks/gone", an_owner_that_goes_leaves_no_lock);
	g_test_add_func("/tree-locks/reader", who_may_only_read_may_only_lock_to_read);
	g_test_add_func("/tree-locks/lease", an_open_does_not_wait_for_a_lease);
	return g_test_run();
}
