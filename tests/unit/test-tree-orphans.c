/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The directory orphans/ of a tree: what is listed there, and what its files pass on. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tree_world.h"

enum { SIZE = 5000 };

static void object_make(const World *world, const char *name)
{
	g_autofree char *text = g_strnfill(SIZE, 'x');

	tree_write(world->shm, name, text);
}

static bool object_exists(const World *world, const char *name)
{
	g_autofree char *path = g_build_filename(world->shm, name, NULL);

	return access(path, F_OK) == 0;
}

static int remove_orphan(World *world, const SegfsCaller *caller, const char *name)
{
	g_autoptr(Node) orphans = world_node(world, "orphans");

	return orphans->ops->remove(orphans, caller, name, false);
}

/*
 * Another mount of the host that lists this namespace has its segments open for a moment: then they
 * are in use, and are orphans again.
 */
static Node *segment_orphan(World *world, int shmid)
{
	const gint64 end = g_get_monotonic_time() + 10 * G_USEC_PER_SEC;
	g_autofree char *path = g_strdup_printf("orphans/sysv-%d", shmid);
	Node *node = NULL;

	while (world_lookup(world, &world->self, path, &node) < 0) {
		g_autofree char *info = g_strdup_printf("info/sysv/%d", shmid);
		g_autofree char *text = world_text(world, info);
		if (g_get_monotonic_time() > end)
			g_error("not in orphans/: %s", text);
		g_test_message("not in orphans/ yet: %s", text);
		g_usleep(10000);
	}
	return node;
}

static void a_segment_that_nobody_uses_is_listed_and_removed(void)
{
	g_auto(World) world = {};
	if (!unit_need_root()) /* a plain user cannot say so while others mount segfs */
		return;
	world_start(&world);
	scoped_segment shmid = segment_make_by_dead(SIZE, 0640);
	g_autofree char *name = g_strdup_printf("sysv-%d", shmid);
	g_autoptr(Node) orphans = world_node(&world, "orphans");

	g_autoptr(Node) node = segment_orphan(&world, shmid);
	g_autoptr(Node) inner = world_node_of(&world, "sysv/%d", shmid);
	assert_listed(&world, "orphans", name, true);
	g_assert_true(node != inner);
	const struct stat st = node_stat(node), of_inner = node_stat(inner);
	g_assert_cmpuint(st.st_ino, ==, of_inner.st_ino);
	g_assert_cmpuint(st.st_mode, ==, of_inner.st_mode);
	g_assert_cmpuint(st.st_size, ==, SIZE);
	g_assert_cmpint(orphans->ops->remove(orphans, &world.self, name, true), ==, -ENOTDIR);
	g_assert_cmpint(remove_orphan(&world, &stranger, name), ==, -EPERM);
	g_assert_cmpuint(segment_kernel(shmid).shm_segsz, ==, SIZE);
	g_assert_cmpint(UNIT_WHILE(-EBUSY, remove_orphan(&world, &world.self, name)), ==, 0);
	struct shmid_ds ds;
	g_assert_cmpint(shmctl(shmid, IPC_STAT, &ds), <, 0);
	assert_listed(&world, "orphans", name, false);
	g_assert_cmpint(remove_orphan(&world, &world.self, name), ==, -ENOENT);
}

static void what_is_attached_since_is_no_orphan(void)
{
	g_auto(World) world = {};
	g_auto(Hold) hold = {};
	struct stat st;
	if (!unit_need_root())
		return;
	world_start(&world);
	scoped_segment shmid = segment_make_by_dead(SIZE, 0600);
	g_autofree char *name = g_strdup_printf("sysv-%d", shmid);
	g_autoptr(Node) node = segment_orphan(&world, shmid);

	hold_segment(&hold, shmid);
	hold_attach(&hold);
	assert_listed(&world, "orphans", name, false);
	/* The name is still known, so that removing it comes here and is refused. */
	g_autoptr(Node) found = world_node_of(&world, "orphans/%s", name);
	g_assert_true(found == node);
	g_assert_cmpint(node->ops->getattr(node, true, &st), ==, 0);
	g_assert_cmpint(node->ops->getattr(node, false, &st), ==, -ENOENT);
	g_assert_cmpint(remove_orphan(&world, &world.self, name), ==, -EBUSY);
	g_assert_cmpuint(segment_kernel(shmid).shm_nattch, ==, 1);
	g_clear_pointer(&found, node_unref);
	g_clear_pointer(&node, node_unref);
	g_autofree char *path = g_strconcat("orphans/", name, NULL);
	assert_missing(&world, path); /* nobody remembers the name */
}

static void an_id_that_is_another_orphans_is_another_node(void)
{
	g_auto(World) world = {};
	if (!unit_need_root())
		return;
	world_start(&world);
	scoped_segment shmid = segment_make_by_dead(SIZE, 0600);
	g_autoptr(Node) node = segment_orphan(&world, shmid);
	g_autoptr(File) G_GNUC_UNUSED file = node_open(node, &world.self, O_RDONLY);

	/* While it is open through us it is no orphan in a listing, but who has it open goes on. */
	g_assert_cmpuint(node_stat(node).st_size, ==, SIZE);
	if (!segment_replace(&shmid, 2 * SIZE, 0600)) {
		g_test_skip("ids cannot be chosen");
		return;
	}
	g_autofree char *path = g_strdup_printf("orphans/sysv-%d", shmid);
	Node *other = NULL;
	/* Its creator, this process, lives: the name is known, and found to be another's. */
	g_assert_cmpint(world_lookup(&world, &world.self, path, &other), ==, 0);
	g_assert_true(other != node);
	g_assert_cmpuint(node_stat(other).st_size, ==, 2 * SIZE);
	g_assert_cmpuint(node_stat(node).st_size, ==, SIZE);
	node_unref(other);
}

static void an_object_that_nobody_uses_is_listed_and_removed(void)
{
	static const struct {
		const char *path, *name;
	} rows[] = {{"x", "posix-x"},
		    {"a/b/x", "posix-a%2Fb%2Fx"},
		    {"per%cent", "posix-per%25cent"},
		    {"-", "posix--"}};
	g_auto(World) world = {};
	world_start(&world);

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		object_make(&world, rows[i].path);
		assert_listed(&world, "orphans", rows[i].name, true);
		g_autoptr(Node) node = world_node_of(&world, "orphans/%s", rows[i].name);
		g_autoptr(Node) inner = world_node_of(&world, "posix/%s", rows[i].path);
		g_assert_cmpuint(node_stat(node).st_ino, ==, node_stat(inner).st_ino);
		g_assert_cmpint(node_stat(node).st_size, ==, SIZE);
		g_assert_cmpint(
			UNIT_WHILE(-EBUSY, remove_orphan(&world, &world.self, rows[i].name)), ==,
			0);
		g_assert_false(object_exists(&world, rows[i].path));
		assert_listed(&world, "orphans", rows[i].name, false);
	}
}

static void an_object_that_is_held_since_is_no_orphan(void)
{
	g_auto(World) world = {};
	g_auto(Hold) hold = {};
	struct stat st;
	world_start(&world);
	object_make(&world, "x");
	g_autofree char *path = g_build_filename(world.shm, "x", NULL);
	g_autoptr(Node) node = world_node(&world, "orphans/posix-x");

	hold_start(&hold, take_file_mapped, path);
	assert_listed(&world, "orphans", "posix-x", false);
	g_assert_cmpint(node->ops->getattr(node, false, &st), ==, -ENOENT);
	g_assert_cmpint(remove_orphan(&world, &world.self, "posix-x"), ==, -EBUSY);
	g_assert_true(object_exists(&world, "x"));
	hold_stop(&hold);
	g_assert_cmpint(UNIT_WHILE(-ENOENT, node->ops->getattr(node, false, &st)), ==, 0);
	g_assert_cmpint(UNIT_WHILE(-EBUSY, remove_orphan(&world, &world.self, "posix-x")), ==, 0);
}

static void a_name_that_is_too_long_is_cut(void)
{
	g_auto(World) world = {};
	world_start(&world);
	g_autofree char *letters = g_strnfill(230, 'n');
	g_autofree char *path = g_strconcat(letters, "%%%%%%%%%%", NULL); /* each is %25 there */
	object_make(&world, path);
	g_autofree char *names = world_list(&world, &world.self, "orphans");
	const char *name = strstr(names, "posix-nnn");

	g_assert_nonnull(name);
	g_autofree char *cut = g_strndup(name, strcspn(name, " "));
	g_assert_cmpuint(strlen(cut), <=, NAME_MAX);
	g_assert_nonnull(strchr(cut, '~'));
	g_autoptr(Node) node = world_node_of(&world, "orphans/%s", cut);
	g_assert_cmpint(node_stat(node).st_size, ==, SIZE);
	g_autofree char *whole = g_strconcat("orphans/posix-", letters, NULL);
	assert_missing(&world, whole);
	g_assert_cmpint(UNIT_WHILE(-EBUSY, remove_orphan(&world, &world.self, cut)), ==, 0);
	g_assert_false(object_exists(&world, path));
}

static void its_verbs_are_the_files_own(void)
{
	g_auto(World) world = {};
	struct statvfs of_node, of_inner;
	world_start(&world);
	const SegfsCaller *self = &world.self;
	object_make(&world, "a/x");
	g_autoptr(Node) node = world_node(&world, "orphans/posix-a%2Fx");
	g_autoptr(Node) inner = world_node(&world, "posix/a/x");
	const NodeOps *ops = node->ops;

	g_assert_cmpint(node_chmod(node, self, 0400), ==, 0);
	g_assert_cmpuint(node_stat(inner).st_mode & 0777, ==, 0400);
	g_assert_cmpint(node_chmod(node, self, 0600), ==, 0);
	g_assert_cmpint(ops->access(node, self, R_OK | W_OK), ==, 0);
	g_assert_cmpint(ops->access(node, self, X_OK), ==, -EACCES);
	assert_xattr(node, self, "user.segfs.verdict", "orphaned");
	g_assert_true(node_has_xattr(node, self, "user.segfs.holders"));
	g_assert_cmpint(ops->set_xattr(node, self, "user.segfs.holders", "1", 1, 0), ==, -EPERM);
	g_assert_cmpint(ops->statfs(node, &of_node), ==, 0);
	g_assert_cmpint(inner->ops->statfs(inner, &of_inner), ==, 0);
	g_assert_cmpuint(of_node.f_blocks, ==, of_inner.f_blocks);
	File *file = NULL;
	g_assert_cmpint(ops->open(node, self, O_RDWR, &file), ==, 0);
	g_assert_true(file->node == inner);
	g_autofree char *bytes = file_bytes(file, 2, 0);
	g_assert_cmpstr(bytes, ==, "xx");
	/* Open through us, so not in a listing; but for who has it open stat goes on. */
	g_assert_cmpint(node_stat(node).st_size, ==, SIZE);
	g_assert_cmpint(node_truncate(node, self, file, 7), ==, 0);
	g_assert_cmpint(node_stat(inner).st_size, ==, 7);
	file_unref(file);
}

static void a_stranger_finds_only_what_it_may_reach(void)
{
	g_auto(World) world = {};
	Node *none = NULL;
	File *file = NULL;
	int r;
	if (!unit_need_root())
		return;
	world_start(&world);
	object_make(&world, "a/x");
	object_make(&world, "y");
	g_autofree char *object = g_build_filename(world.shm, "y", NULL);
	g_autofree char *closed = g_build_filename(world.shm, "a", NULL);
	g_assert_no_errno(chmod(closed, 0700));

	/* Only who may remove from the directory is listed what is in it, and of a sticky one who
	 * owns. */
	g_assert_no_errno(chmod(world.shm, 0777));
	g_autofree char *names = world_list(&world, &stranger, "orphans");
	g_assert_nonnull(strstr(names, "posix-y "));
	g_assert_null(strstr(names, "posix-a"));
	g_assert_no_errno(chmod(world.shm, 01777));
	g_autofree char *others = world_list(&world, &stranger, "orphans");
	g_assert_null(strstr(others, "posix-y "));
	g_assert_no_errno(chown(object, stranger.uid, -1));
	g_autofree char *own = world_list(&world, &stranger, "orphans");
	g_assert_nonnull(strstr(own, "posix-y "));
	g_assert_no_errno(chmod(world.shm, 0755));
	g_autofree char *closed_to_all = world_list(&world, &stranger, "orphans");
	g_assert_null(strstr(closed_to_all, "posix-y "));
	assert_listed(&world, "orphans", "posix-a%2Fx", true);
	g_assert_cmpint(world_lookup(&world, &stranger, "orphans/posix-a%2Fx", &none), ==, -ENOENT);
	/* One who has been there before and may no more. */
	g_autoptr(Node) node = world_node(&world, "orphans/posix-a%2Fx");
	g_assert_cmpint(node->ops->open(node, &stranger, O_RDONLY, &file), ==, -EACCES);
	g_assert_cmpint(node->ops->access(node, &stranger, R_OK), ==, -EACCES);
	g_assert_cmpint(node_chmod(node, &stranger, 0777), ==, -EACCES);
	g_assert_null(node_xattr(node, &stranger, "user.segfs.verdict", &r));
	g_assert_cmpint(r, ==, -EACCES);
	g_autoptr(GBytes) list = NULL;
	g_assert_cmpint(node->ops->list_xattr(node, &stranger, &list), ==, -EACCES);
	g_assert_cmpint(node->ops->set_xattr(node, &stranger, "user.x", "1", 1, 0), ==, -EACCES);
	g_assert_cmpint(remove_orphan(&world, &stranger, "posix-y"), ==, -EACCES);
	g_assert_true(object_exists(&world, "y"));
}

static void what_is_in_use_or_no_name_of_ours_is_not_there(void)
{
	static const char *const names[] = {
		"x",         "posix-",    "posix-none", "posix-%", "posix-%41",       "posix.2-x",
		"posix.x-x", "posix.0-x", "sysv-",      "sysv-x",  "sysv-2147483646", "posix-/",
		"memfd-x-1"};
	g_auto(World) world = {};
	g_auto(Hold) hold = {};
	world_start(&world);
	g_autoptr(Node) orphans = world_node(&world, "orphans");
	object_make(&world, "held");
	g_autofree char *path = g_build_filename(world.shm, "held", NULL);
	hold_start(&hold, take_file, path);

	for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
		Node *none = NULL;
		g_assert_cmpint(orphans->ops->lookup(orphans, &world.self, names[i], &none), ==,
				-ENOENT);
		g_assert_cmpint(remove_orphan(&world, &world.self, names[i]), ==, -ENOENT);
	}
	assert_missing(&world, "orphans/posix-held");
	g_assert_cmpint(remove_orphan(&world, &world.self, "posix-held"), ==, -EBUSY);
	g_assert_cmpuint(node_stat(orphans).st_mode, ==, S_IFDIR | 0777);
}

int main(int argc, char **argv)
{
	unit_init(&argc, &argv);
	g_test_add_func("/tree-orphans/segment", a_segment_that_nobody_uses_is_listed_and_removed);
	g_test_add_func("/tree-orphans/attached since", what_is_attached_since_is_no_orphan);
	g_test_add_func("/tree-orphans/replaced", an_id_that_is_another_orphans_is_another_node);
	g_test_add_func("/tree-orphans/object", an_object_that_nobody_uses_is_listed_and_removed);
	g_test_add_func("/tree-orphans/held since", an_object_that_is_held_since_is_no_orphan);
	g_test_add_func("/tree-orphans/long name", a_name_that_is_too_long_is_cut);
	g_test_add_func("/tree-orphans/verbs", its_verbs_are_the_files_own);
	g_test_add_func("/tree-orphans/stranger", a_stranger_finds_only_what_it_may_reach);
	g_test_add_func("/tree-orphans/not there", what_is_in_use_or_no_name_of_ours_is_not_there);
	return g_test_run();
}
