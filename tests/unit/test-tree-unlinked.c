/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The directory unlinked/ of a tree: memory without a name, read and changed through its holders.
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tree_world.h"
#include <inttypes.h>

enum { SIZE = 5000 };

static char *name_of(const char *kind, const Hold *hold)
{
	return g_strdup_printf("%s-%" PRIu64, kind, hold->taken.id.number);
}

static Node *unlinked_node(World *world, const char *name)
{
	return world_node_of(world, "unlinked/%s", name);
}

static void assert_gone(World *world, Node *node, const char *name)
{
	g_autofree char *path = g_strconcat("unlinked/", name, NULL);
	struct stat st;

	assert_listed(world, "unlinked", name, false);
	assert_missing(world, path);
	g_assert_cmpint(node->ops->getattr(node, false, &st), <, 0);
	assert_open(node, &world->self, O_RDONLY, -ENOENT);
}

static bool take_memfd_with_text(Taken *taken, const void *name)
{
	return take_memfd(taken, name) && pwrite(taken->fd, "text", 4, 0) == 4;
}

static void a_memfd_is_read_and_written(void)
{
	g_auto(World) world = {};
	g_auto(Hold) hold = {};
	world_start(&world);
	hold_start(&hold, take_memfd_with_text, "my");
	g_autofree char *name = name_of("memfd-my", &hold);
	g_autoptr(Node) node = unlinked_node(&world, name);
	g_autoptr(Node) again = unlinked_node(&world, name);

	g_assert_true(node == again);
	assert_listed(&world, "unlinked", name, true);
	const struct stat st = node_stat(node);
	g_assert_cmpint(st.st_size, ==, SIZE);
	g_assert_cmpuint(st.st_nlink, ==, 0);
	g_assert_cmpuint(st.st_uid, ==, geteuid());
	g_assert_cmpint(node->ops->access(node, &world.self, F_OK), ==, 0);
	g_assert_cmpint(node->ops->access(node, &world.self, R_OK | W_OK), ==, 0);
	g_assert_cmpint(node->ops->access(node, &world.self, X_OK), ==, -EACCES);
	g_autoptr(File) file = node_open(node, &world.self, O_RDWR);
	g_autofree char *bytes = file_bytes(file, 4, 0);
	g_assert_cmpstr(bytes, ==, "text");
	g_assert_cmpint(file_write(file, &world.self, "next", 0), ==, 4);
	g_autoptr(File) reader = node_open(node, &world.self, O_RDONLY);
	g_autofree char *next = file_bytes(reader, 4, 0);
	g_assert_cmpstr(next, ==, "next");
	g_clear_pointer(&file, file_unref);
	g_clear_pointer(&reader, file_unref);
	hold_stop(&hold);
	assert_gone(&world, node, name);
}

static void its_size_is_all_that_can_be_changed(void)
{
	g_auto(World) world = {};
	g_auto(Hold) hold = {};
	int r;
	world_start(&world);
	const SegfsCaller *self = &world.self;
	hold_start(&hold, take_memfd, "my");
	g_autofree char *name = name_of("memfd-my", &hold);
	g_autofree char *pid = g_strdup_printf("%d", hold.pid);
	g_autoptr(Node) node = unlinked_node(&world, name);
	g_autoptr(File) file = node_open(node, self, O_RDWR);
	const NodeChange nothing = {.uid = -1, .gid = -1};
	const NodeChange times = {.has_times = true, .uid = -1, .gid = -1};

	g_assert_cmpint(node_truncate(node, self, NULL, 6000), ==, 0);
	g_assert_cmpint(node_stat(node).st_size, ==, 6000);
	g_assert_cmpint(node_truncate(node, self, file, 7000), ==, 0);
	g_assert_cmpint(node_stat(node).st_size, ==, 7000);
	g_assert_cmpint(node_chmod(node, self, 0600), ==, -EPERM);
	g_assert_cmpint(node_chown(node, self, geteuid(), -1), ==, -EPERM);
	g_assert_cmpint(node->ops->setattr(node, self, NULL, &times), ==, -EPERM);
	g_assert_cmpint(node->ops->setattr(node, self, NULL, &nothing), ==, 0);
	assert_xattr(node, self, "user.segfs.verdict", "in use");
	assert_xattr(node, self, "user.segfs.holders", pid);
	g_assert_true(node_has_xattr(node, self, "user.segfs.holders"));
	g_assert_null(node_xattr(node, self, "user.x", &r));
	g_assert_cmpint(r, ==, -ENODATA);
	g_assert_null(node_xattr(node, self, "security.x", &r));
	g_assert_cmpint(r, ==, -EOPNOTSUPP);
	g_assert_cmpint(node->ops->set_xattr(node, self, "user.x", "1", 1, 0), ==, -EPERM);
	g_assert_cmpint(node->ops->set_xattr(node, self, "security.x", "1", 1, 0), ==, -EOPNOTSUPP);
	g_autoptr(Node) unlinked = world_node(&world, "unlinked");
	g_assert_true(!unlinked->ops->remove); /* EPERM: it goes when its last holder ends */
	g_assert_cmpuint(node_stat(unlinked).st_mode, ==, S_IFDIR | 0555);
}

static void a_removed_object_has_its_name_and_number(void)
{
	g_auto(World) world = {};
	g_auto(Hold) hold = {};
	world_start(&world);
	g_autofree char *path = g_build_filename(world.shm, "x", NULL);
	hold_start(&hold, take_file, path);
	g_autofree char *name = name_of("posix-x", &hold);
	g_autofree char *file_path = g_strconcat("unlinked/", name, NULL);

	assert_missing(&world, file_path);
	g_assert_no_errno(unlink(path));
	assert_listed(&world, "unlinked", name, true);
	g_autoptr(Node) node = unlinked_node(&world, name);
	g_assert_cmpuint(node_stat(node).st_ino, ==, hold.taken.id.number);
	g_assert_cmpint(node_stat(node).st_size, ==, SIZE);
	/* While it is open through us it is kept, and so is what stat says. */
	File *file = node_open(node, &world.self, O_RDWR);
	hold_stop(&hold);
	g_assert_cmpint(node_stat(node).st_size, ==, SIZE);
	g_assert_cmpint(file_write(file, &world.self, "x", 0), ==, 1);
	file_unref(file);
	struct stat st;
	g_assert_cmpint(node->ops->getattr(node, false, &st), ==, -ENOENT);
}

static void memory_that_is_only_mapped(void)
{
	static const struct {
		HoldTake take;
		const char *kind;
	} rows[] = {{take_anon, "anon"}, {take_zero, "anon"}, {take_memfd_mapped, "memfd-my"}};
	g_auto(World) world = {};
	world_start(&world);

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_auto(Hold) hold = {};
		hold_start(&hold, rows[i].take, "my");
		g_autofree char *name = name_of(rows[i].kind, &hold);
		assert_listed(&world, "unlinked", name, true);
		g_autoptr(Node) node = unlinked_node(&world, name);
		g_assert_cmpint(node_stat(node).st_size, >=, SIZE);
		/* map_files is not for everybody (proc(5)). */
		if (geteuid() == 0) {
			g_autoptr(File) file = node_open(node, &world.self, O_RDWR);
			g_assert_cmpint(file_write(file, &world.self, "text", 0), ==, 4);
			g_autofree char *bytes = file_bytes(file, 4, 0);
			g_assert_cmpstr(bytes, ==, "text");
		} else {
			File *file = NULL;
			const int r = node->ops->open(node, &world.self, O_RDONLY, &file);
			g_assert_true(r == -EACCES || r == -EPERM);
		}
		hold_stop(&hold);
		assert_gone(&world, node, name);
	}
}

static void a_removed_segment_is_the_node_it_was(void)
{
	g_auto(World) world = {};
	g_auto(Hold) hold = {};
	world_start(&world);
	scoped_segment shmid = segment_make(SIZE, 0600);
	g_autofree char *name = g_strdup_printf("sysv-%d", shmid);
	g_autofree char *path = g_strconcat("unlinked/", name, NULL);
	g_autoptr(Node) before = world_node_of(&world, "sysv/%d", shmid);
	hold_segment(&hold, shmid);
	hold_attach(&hold);

	assert_missing(&world, path);
	g_assert_no_errno(shmctl(shmid, IPC_RMID, NULL));
	assert_listed(&world, "unlinked", name, true);
	g_autoptr(Node) node = unlinked_node(&world, name);
	g_assert_true(node == before);
	g_assert_cmpuint(node_stat(node).st_nlink, ==, 1);
	g_autoptr(File) file = node_open(node, &world.self, O_RDWR);
	g_assert_cmpint(file_write(file, &world.self, "x", 0), ==, 1);
	g_clear_pointer(&file, file_unref);
	hold_stop(&hold);
	assert_missing(&world, path);
}

static bool take_memfd_secretly(Taken *taken, const void *name)
{
	return take_memfd(taken, name) && prctl(PR_SET_DUMPABLE, 0) == 0;
}

/* Who may not look into the holder may not look into its memory. */
static void a_stranger_is_refused(void)
{
	g_auto(World) world = {};
	g_auto(Hold) hold = {};
	int r;
	if (!unit_need_root())
		return;
	world_start(&world);
	hold_start(&hold, take_memfd_secretly, "my");
	g_autofree char *name = name_of("memfd-my", &hold);
	g_autoptr(Node) node = unlinked_node(&world, name);

	assert_open(node, &stranger, O_RDONLY, -EACCES);
	g_assert_cmpint(node->ops->access(node, &stranger, R_OK), ==, -EACCES);
	g_assert_cmpint(node->ops->access(node, &stranger, F_OK), ==, 0);
	g_assert_cmpint(node_truncate(node, &stranger, NULL, 0), ==, -EACCES);
	g_assert_cmpint(node_stat(node).st_size, ==, SIZE);
	g_autofree char *holders = node_xattr(node, &stranger, "user.segfs.holders", &r);
	g_assert_cmpstr(holders, ==, "");
}

static void other_names_are_not_there(void)
{
	static const char *const names[] = {"x",      "memfd-",    "memfd-x",
					    "anon-1", "posix-x-1", "sysv-"};
	g_auto(World) world = {};
	world_start(&world);

	for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
		g_autofree char *path = g_strconcat("unlinked/", names[i], NULL);
		assert_missing(&world, path);
	}
}

int main(int argc, char **argv)
{
	unit_init(&argc, &argv);
	g_test_add_func("/tree-unlinked/memfd", a_memfd_is_read_and_written);
	g_test_add_func("/tree-unlinked/change", its_size_is_all_that_can_be_changed);
	g_test_add_func("/tree-unlinked/object", a_removed_object_has_its_name_and_number);
	g_test_add_func("/tree-unlinked/mapped", memory_that_is_only_mapped);
	g_test_add_func("/tree-unlinked/segment", a_removed_segment_is_the_node_it_was);
	g_test_add_func("/tree-unlinked/stranger", a_stranger_is_refused);
	g_test_add_func("/tree-unlinked/other names", other_names_are_not_there);
	return g_test_run();
}
