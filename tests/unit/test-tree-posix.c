/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The directory posix/ of a tree: what is asked of it happens in the directory of objects. */

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "lib/kernel/kernel.h"
#include "lib/os/autofd.h"
#include "tree/posix/object.h"
#include "tree_world.h"

static char *place_of(const World *world, const char *name)
{
	return g_build_filename(world->shm, name, NULL);
}

static struct stat real_stat(const World *world, const char *name)
{
	g_autofree char *path = place_of(world, name);
	struct stat st;

	g_assert_no_errno(lstat(path, &st));
	return st;
}

static bool is_there(const World *world, const char *name)
{
	g_autofree char *path = place_of(world, name);
	struct stat st;

	return lstat(path, &st) == 0;
}

static File *create(World *world, const char *name, mode_t mode, Node **ret_node)
{
	g_autoptr(Node) posix = world_node(world, "posix");
	File *file = NULL;

	g_assert_cmpint(posix->ops->create(posix, &world->self, name, O_RDWR | O_CREAT | O_EXCL,
					   mode, ret_node, &file),
			==, 0);
	g_assert_true(file->node == *ret_node);
	return file;
}

static int make(Node *directory, const SegfsCaller *caller, const char *name, mode_t mode,
		const char *target)
{
	g_autoptr(Node) node = NULL;

	return directory->ops->make(directory, caller, name, mode, 0, target, &node);
}

static void an_object_that_is_made_is_in_the_directory(void)
{
	g_auto(World) world = {};
	g_autoptr(Node) node = NULL;
	world_start(&world);
	world.self.umask = 027;
	g_autoptr(File) G_GNUC_UNUSED file = create(&world, "x", 0666, &node);

	g_assert_cmpuint(real_stat(&world, "x").st_mode, ==, S_IFREG | 0640);
	g_autoptr(Node) found = world_node(&world, "posix/x");
	g_assert_true(found == node);
	assert_listed(&world, "posix", "x", true);
	const struct stat st = node_stat(node);
	g_assert_cmpuint(st.st_ino, ==, real_stat(&world, "x").st_ino);
	g_autoptr(Node) posix = world_node(&world, "posix");
	g_assert_cmpuint(node_stat(posix).st_ino, ==, real_stat(&world, "").st_ino);
	Node *other = NULL;
	File *opened = NULL;
	g_assert_cmpint(posix->ops->create(posix, &world.self, "x", O_RDWR | O_CREAT | O_EXCL, 0600,
					   &other, &opened),
			==, -EEXIST);
	g_assert_cmpint(posix->ops->create(posix, &world.self, "x", O_RDONLY | O_CREAT, 0600,
					   &other, &opened),
			==, 0);
	g_assert_true(other == node);
	file_unref(opened);
	node_unref(other);
	assert_missing(&world, "posix/y");
	g_assert_cmpint(world_lookup(&world, &world.self, "posix/x/y", &other), ==, -ENOTDIR);
}

static void its_bytes_are_the_objects(void)
{
	g_auto(World) world = {};
	g_autoptr(Node) node = NULL;
	g_autofree char *text = NULL;
	world_start(&world);
	g_autofree char *path = place_of(&world, "x");
	g_autoptr(File) file = create(&world, "x", 0600, &node);
	const FileOps *ops = file->ops;

	g_assert_cmpint(file_write(file, &world.self, "hello", 3), ==, 5);
	g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
	g_assert_cmpint(memcmp(text, "\0\0\0hello", 8), ==, 0);
	g_autofree char *bytes = file_bytes(file, 5, 3);
	g_assert_cmpstr(bytes, ==, "hello");
	g_assert_cmpint(ops->allocate(file, 0, 0, 3 * PAGE), ==, 0);
	g_assert_cmpint(node_stat(node).st_size, ==, 3 * PAGE);
	g_assert_cmpint(ops->allocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, PAGE, PAGE),
			==, 0);
	g_assert_cmpint(ops->seek(file, 0, SEEK_HOLE), ==, PAGE);
	g_assert_cmpint(ops->seek(file, 6 * PAGE, SEEK_DATA), ==, -ENXIO);
	g_assert_cmpint(ops->allocate(file, FALLOC_FL_INSERT_RANGE, 0, PAGE), ==, -EOPNOTSUPP);
	g_assert_cmpint(ops->memory_fd(file), >=, 0);
	g_autoptr(File) reader = node_open(node, &world.self, O_RDONLY);
	g_assert_cmpint(file_write(reader, &world.self, "x", 0), ==, -EBADF);
	g_autoptr(File) G_GNUC_UNUSED emptied = node_open(node, &world.self, O_WRONLY | O_TRUNC);
	g_assert_cmpint(node_stat(node).st_size, ==, 0);
}

static void what_is_changed_is_changed_there(void)
{
	g_auto(World) world = {};
	g_autoptr(Node) node = NULL;
	world_start(&world);
	const SegfsCaller *self = &world.self;
	g_autoptr(File) file = create(&world, "x", 0600, &node);
	const NodeChange times = {.has_times = true,
				  .uid = -1,
				  .gid = -1,
				  .times = {{.tv_sec = 1000}, {.tv_nsec = UTIME_OMIT}}};

	g_assert_cmpint(node_truncate(node, self, NULL, 7000), ==, 0);
	g_assert_cmpint(real_stat(&world, "x").st_size, ==, 7000);
	g_assert_cmpint(node_truncate(node, self, file, 8000), ==, 0);
	g_assert_cmpint(real_stat(&world, "x").st_size, ==, 8000);
	g_assert_cmpint(node_chmod(node, self, 0604), ==, 0);
	g_assert_cmpuint(real_stat(&world, "x").st_mode, ==, S_IFREG | 0604);
	g_assert_cmpint(node->ops->setattr(node, self, NULL, &times), ==, 0);
	g_assert_cmpint(real_stat(&world, "x").st_atime, ==, 1000);
	g_assert_cmpint(node_chown(node, self, UNIT_UID + 1, -1), ==, geteuid() == 0 ? 0 : -EPERM);
	g_autoptr(Node) posix = world_node(&world, "posix");
	g_assert_cmpint(node_truncate(posix, self, NULL, 0), ==, -EISDIR);
	struct statvfs of_node;
	g_assert_cmpint(node->ops->statfs(node, &of_node), ==, 0);
	g_assert_cmpuint(of_node.f_blocks, >, 0);
}

/* Others have the rights that they have there. */
static void a_stranger_is_refused_as_there(void)
{
	g_auto(World) world = {};
	g_autoptr(Node) node = NULL, other = NULL;
	if (!unit_need_root())
		return;
	world_start(&world);
	g_autoptr(Node) posix = world_node(&world, "posix");
	g_autoptr(File) G_GNUC_UNUSED file = create(&world, "x", 0604, &node);
	File *opened = NULL;

	g_assert_cmpint(node->ops->access(node, &stranger, R_OK), ==, 0);
	g_assert_cmpint(node->ops->access(node, &stranger, W_OK), ==, -EACCES);
	assert_open(node, &stranger, O_WRONLY, -EACCES);
	g_autoptr(File) G_GNUC_UNUSED reader = node_open(node, &stranger, O_RDONLY);
	g_assert_cmpint(node_truncate(node, &stranger, NULL, 0), ==, -EACCES);
	g_assert_cmpint(node_chmod(node, &stranger, 0666), ==, -EPERM);
	g_assert_cmpint(posix->ops->remove(posix, &stranger, "x", false), ==, -EACCES);
	g_assert_cmpint(
		posix->ops->create(posix, &stranger, "y", O_RDWR | O_CREAT, 0600, &other, &opened),
		==, -EACCES);
	g_assert_cmpint(make(posix, &stranger, "y", S_IFDIR | 0700, NULL), ==, -EACCES);
	g_assert_cmpint(posix->ops->rename(posix, &stranger, "x", posix, "y", 0), ==, -EACCES);
	/* A directory that it may list but not search: names, and nothing of what they are. */
	g_assert_no_errno(chmod(world.shm, 0744));
	g_autofree char *names = world_list(&world, &stranger, "posix");
	g_assert_cmpstr(names, ==, "x ");
	g_autoptr(Listing) listing = NULL;
	g_assert_cmpint(posix->ops->list(posix, &stranger, &listing), ==, 0);
	struct stat st;
	g_assert_cmpint(listing->look(listing, listing_first(listing), &other, &st), ==, -EACCES);
	g_assert_cmpint(posix->ops->lookup(posix, &stranger, "x", &other), ==, -EACCES);
	g_assert_no_errno(chmod(world.shm, 0711));
	g_autoptr(Listing) refused = NULL;
	g_assert_cmpint(posix->ops->list(posix, &stranger, &refused), ==, -EACCES);
}

static void kinds_that_are_made(void)
{
	g_auto(World) world = {};
	world_start(&world);
	g_autoptr(Node) posix = world_node(&world, "posix");
	g_autofree char *target = NULL;

	g_assert_cmpint(make(posix, &world.self, "d", S_IFDIR | 0700, NULL), ==, 0);
	g_assert_cmpint(make(posix, &world.self, "d", S_IFDIR | 0700, NULL), ==, -EEXIST);
	g_assert_cmpint(make(posix, &world.self, "l", S_IFLNK | 0777, "d/x"), ==, 0);
	g_assert_cmpint(make(posix, &world.self, "p", S_IFIFO | 0600, NULL), ==, 0);
	g_assert_cmpint(make(posix, &world.self, "f", S_IFREG | 0600, NULL), ==, 0);
	g_assert_cmpuint(real_stat(&world, "d").st_mode, ==, S_IFDIR | 0700);
	g_assert_cmpuint(real_stat(&world, "p").st_mode, ==, S_IFIFO | 0600);
	g_autofree char *names = world_list(&world, &world.self, "posix");
	g_assert_cmpstr(names, ==, "d f l p ");
	g_autoptr(Node) link = world_node(&world, "posix/l");
	g_assert_cmpint(link->ops->readlink(link, &world.self, &target), ==, 0);
	g_assert_cmpstr(target, ==, "d/x");
	g_autoptr(Node) file = world_node(&world, "posix/f");
	char *none = NULL;
	g_assert_cmpint(file->ops->readlink(file, &world.self, &none), <, 0);
	g_autoptr(Node) directory = world_node(&world, "posix/d");
	g_assert_cmpint(make(directory, &world.self, "x", S_IFREG | 0600, NULL), ==, 0);
	g_assert_true(is_there(&world, "d/x"));
	assert_listed(&world, "posix/d", "x", true);
	g_assert_cmpint(posix->ops->remove(posix, &world.self, "d", true), ==, -ENOTEMPTY);
	g_assert_cmpint(posix->ops->remove(posix, &world.self, "d", false), ==, -EISDIR);
	g_assert_cmpint(directory->ops->remove(directory, &world.self, "x", true), ==, -ENOTDIR);
	g_assert_cmpint(directory->ops->remove(directory, &world.self, "x", false), ==, 0);
	g_assert_cmpint(posix->ops->remove(posix, &world.self, "d", true), ==, 0);
	g_assert_false(is_there(&world, "d"));
	g_assert_cmpint(posix->ops->remove(posix, &world.self, "d", true), ==, -ENOENT);
}

static void names_move_and_multiply(void)
{
	g_auto(World) world = {};
	g_autoptr(Node) node = NULL;
	world_start(&world);
	const SegfsCaller *self = &world.self;
	g_autoptr(Node) posix = world_node(&world, "posix");
	g_autoptr(Node) sysv = world_node(&world, "sysv");
	file_unref(create(&world, "x", 0600, &node));
	g_assert_cmpint(make(posix, self, "d", S_IFDIR | 0700, NULL), ==, 0);
	g_autoptr(Node) directory = world_node(&world, "posix/d");

	g_assert_cmpint(posix->ops->link(posix, self, "y", node), ==, 0);
	g_assert_cmpuint(node_stat(node).st_nlink, ==, 2);
	g_assert_cmpint(posix->ops->link(posix, self, "y", node), ==, -EEXIST);
	g_assert_cmpint(posix->ops->link(posix, self, "z", sysv), ==, -EXDEV);
	g_assert_cmpint(posix->ops->rename(posix, self, "x", posix, "y", RENAME_NOREPLACE), ==,
			-EEXIST);
	g_assert_cmpint(posix->ops->rename(posix, self, "y", directory, "z", 0), ==, 0);
	g_assert_true(is_there(&world, "d/z") && !is_there(&world, "y"));
	g_autoptr(Node) moved = world_node(&world, "posix/d/z");
	g_assert_true(moved == node);
	g_assert_cmpint(posix->ops->rename(posix, self, "d", posix, "x", RENAME_EXCHANGE), ==, 0);
	g_autoptr(Node) exchanged = world_node(&world, "posix/x");
	g_assert_true(exchanged == directory);
	g_assert_cmpint(posix->ops->rename(posix, self, "no", posix, "y", 0), ==, -ENOENT);
}

/* O_TMPFILE: it has a node and no name, until it is linked. */
static void an_object_without_a_name_gets_one(void)
{
	g_auto(World) world = {};
	g_autoptr(Node) node = NULL;
	g_autoptr(File) file = NULL;
	world_start(&world);
	g_autoptr(Node) posix = world_node(&world, "posix");

	g_assert_cmpint(posix->ops->make_nameless(posix, &world.self, O_RDWR, 0600, &node, &file),
			==, 0);
	g_assert_cmpint(file_write(file, &world.self, "abc", 0), ==, 3);
	g_assert_cmpuint(node_stat(node).st_nlink, ==, 0);
	g_autofree char *names = world_list(&world, &world.self, "posix");
	g_assert_cmpstr(names, ==, "");
	const int r = posix->ops->link(posix, &world.self, "x", node);
	g_assert_cmpint(r, ==, 0);
	g_autoptr(Node) found = world_node(&world, "posix/x");
	g_assert_cmpint(node_stat(found).st_size, ==, 3);
}

static void what_was_removed_is_gone_but_for_who_has_it_open(void)
{
	g_auto(World) world = {};
	g_autoptr(Node) node = NULL;
	world_start(&world);
	g_autofree char *path = place_of(&world, "x");
	File *file = create(&world, "x", 0600, &node);

	g_assert_cmpint(file_write(file, &world.self, "abc", 0), ==, 3);
	g_assert_no_errno(unlink(path));
	assert_missing(&world, "posix/x");
	g_autofree char *bytes = file_bytes(file, 10, 0);
	g_assert_cmpint(memcmp(bytes, "abc", 3), ==, 0);
	g_assert_cmpuint(node_stat(node).st_nlink, ==, 0);
	g_assert_cmpint(node_chmod(node, &world.self, 0640), ==, 0);
	file_unref(file);
	struct stat st;
	g_assert_cmpint(node->ops->getattr(node, false, &st), ==, -ESTALE);
	assert_open(node, &world.self, O_RDONLY, -ESTALE);
	g_assert_cmpint(node->ops->access(node, &world.self, R_OK), ==, -ESTALE);
	g_assert_cmpint(node_truncate(node, &world.self, NULL, 0), ==, -ESTALE);
	int r;
	g_assert_null(node_xattr(node, &world.self, "user.x", &r));
	g_assert_cmpint(r, ==, -ESTALE);
	g_assert_cmpint(node->ops->set_xattr(node, &world.self, "user.x", "1", 1, 0), ==, -ESTALE);
	/* What has its name now is something else. */
	g_autoptr(Node) other = NULL;
	file_unref(create(&world, "x", 0600, &other));
	g_assert_true(other != node);
	g_assert_cmpint(node->ops->getattr(node, false, &st), ==, -ESTALE);
}

static void extended_attributes_are_the_objects_and_ours(void)
{
	g_auto(World) world = {};
	g_autoptr(Node) node = NULL;
	char value[8];
	int r;
	world_start(&world);
	const SegfsCaller *self = &world.self;
	g_autofree char *path = place_of(&world, "x");
	File *file = create(&world, "x", 0600, &node);
	file_unref(file);
	g_autoptr(Node) posix = world_node(&world, "posix");

	assert_xattr(node, self, "user.segfs.holders", "");
	g_assert_true(node_has_xattr(node, self, "user.segfs.verdict"));
	g_assert_false(node_has_xattr(posix, self, "user.segfs.verdict"));
	g_assert_null(node_xattr(posix, self, "user.segfs.verdict", &r));
	g_assert_cmpint(r, ==, -ENODATA);
	g_assert_cmpint(node->ops->set_xattr(node, self, "user.segfs.x", "1", 1, 0), ==, -EPERM);
	g_assert_cmpint(node->ops->set_xattr(node, self, "user.segfs.verdict", NULL, 0, 0), ==,
			-EPERM);
	r = node->ops->set_xattr(node, self, "user.x", "1", 1, 0);
	if (r == -EOPNOTSUPP) {
		g_test_message("tmpfs here has no user. attributes");
		return;
	}
	g_assert_cmpint(r, ==, 0);
	g_assert_cmpint(getxattr(path, "user.x", value, sizeof(value)), ==, 1);
	assert_xattr(node, self, "user.x", "1");
	g_assert_true(node_has_xattr(node, self, "user.x"));
	g_assert_cmpint(node->ops->set_xattr(node, self, "user.x", NULL, 0, 0), ==, 0);
	g_assert_null(node_xattr(node, self, "user.x", &r));
	g_assert_cmpint(r, ==, -ENODATA);
}

static void its_holders_are_told(void)
{
	g_auto(World) world = {};
	g_auto(Hold) hold = {};
	g_autoptr(Node) node = NULL;
	world_start(&world);
	g_autofree char *path = place_of(&world, "x");
	file_unref(create(&world, "x", 0600, &node));
	hold_start(&hold, take_file_mapped, path);
	g_autofree char *pid = g_strdup_printf("%d", hold.pid);

	assert_xattr(node, &world.self, "user.segfs.holders", pid);
	assert_xattr(node, &world.self, "user.segfs.verdict", "in use");
}

/* A write by another than root takes the set-user-id bit away, as it does there. */
static void set_user_id_goes_with_a_write(void)
{
	g_auto(World) world = {};
	g_autoptr(Node) node = NULL;
	if (!unit_need_root())
		return;
	world_start(&world);
	file_unref(create(&world, "x", 0777, &node));
	g_assert_cmpint(node_chmod(node, &world.self, 04777), ==, 0);
	g_autoptr(File) file = node_open(node, &stranger, O_RDWR);

	g_assert_true(file->through_us);
	g_assert_cmpint(file_write(file, &stranger, "x", 0), ==, 1);
	g_assert_cmpuint(real_stat(&world, "x").st_mode & 07777, ==, 0777);
	g_assert_cmpint(node_chmod(node, &world.self, 04777), ==, 0);
	g_assert_cmpint(node_chown(node, &world.self, -1, -1), ==, 0);
	g_assert_cmpint(node_truncate(node, &stranger, file, 100), ==, 0);
	g_assert_cmpuint(real_stat(&world, "x").st_mode & 04000, ==, 0);
}

/* The kernel opens FIFOs by itself: so who may read one and who may not have two nodes. */
static void a_fifo_has_a_node_for_each_set_of_rights(void)
{
	g_auto(World) world = {};
	g_autoptr(Node) theirs = NULL, mine = NULL, mine_again = NULL;
	if (!unit_need_root())
		return;
	world_start(&world);
	g_autoptr(Node) posix = world_node(&world, "posix");

	g_assert_cmpint(make(posix, &world.self, "p", S_IFIFO | 0600, NULL), ==, 0);
	g_assert_cmpint(posix->ops->lookup(posix, &world.self, "p", &mine), ==, 0);
	g_assert_cmpint(posix->ops->lookup(posix, &world.self, "p", &mine_again), ==, 0);
	/* What the stranger looks it up for is not known: it could be to open it. */
	g_assert_cmpint(posix->ops->lookup(posix, &stranger, "p", &theirs), ==, -EACCES);
	struct stat st;
	autofd shm_fd = open(world.shm, O_PATH | O_CLOEXEC);
	autofd fd = openat(shm_fd, "p", O_PATH | O_CLOEXEC);
	g_assert_cmpint(object_node((ObjectNode *)posix, shm_fd, &stranger, "p", fd, &theirs, &st),
			==, 0);
	g_assert_true(mine == mine_again && mine != theirs);
	g_assert_cmpuint(node_stat(mine).st_ino, ==, node_stat(theirs).st_ino);
	/* Who lists it is not known to look. */
	g_autoptr(Listing) listing = NULL;
	g_autoptr(Node) none = NULL;
	g_assert_cmpint(posix->ops->list(posix, &world.self, &listing), ==, 0);
	g_assert_cmpint(listing->look(listing, listing_first(listing), &none, &st), ==, -EAGAIN);
}

static void to_be_run_it_has_to_be_readable(void)
{
	g_auto(World) world = {};
	g_autoptr(Node) node = NULL;
	if (!unit_need_root())
		return;
	world_start(&world);
	file_unref(create(&world, "x", 0711, &node));

	assert_open(node, &stranger, O_RDONLY, -EACCES);
	assert_open(node, &stranger, O_RDONLY | O_EXECUTE, -EACCES);
	g_assert_cmpint(node_chmod(node, &world.self, 0744), ==, 0);
	assert_open(node, &stranger, O_RDONLY | O_EXECUTE, -EACCES);
	g_assert_cmpint(node_chmod(node, &world.self, 0755), ==, 0);
	g_autoptr(File) G_GNUC_UNUSED file = node_open(node, &stranger, O_RDONLY | O_EXECUTE);
}

static bool set_acl(const World *world, const char *name)
{
	/* struct posix_acl_xattr_header and entries of linux/posix_acl_xattr.h. */
	const struct {
		uint32_t version;
		struct {
			uint16_t tag, perm;
			uint32_t id;
		} entries[5];
	} acl = {2, {{1, 6, -1}, {2, 4, 20001}, {4, 4, -1}, {16, 4, -1}, {32, 0, -1}}};
	g_autofree char *path = place_of(world, name);

	if (setxattr(path, OBJECT_ACL, &acl, sizeof(acl), 0) == 0)
		return true;
	g_assert_cmpint(errno, ==, EOPNOTSUPP);
	return false;
}

static void an_acl_is_seen(void)
{
	g_auto(World) world = {};
	g_auto(ObjectAt) at = OBJECT_NOWHERE;

	world_start(&world);
	g_autoptr(Node) posix = world_node(&world, "posix");
	for (int i = 0; i < 2; i++) {
		g_autoptr(Node) node = NULL;
		g_autoptr(File) G_GNUC_UNUSED file =
			create(&world, i == 0 ? "plain" : "listed", 0600, &node);
	}
	if (!set_acl(&world, "listed")) {
		g_test_skip("no ACLs on the file system of the test's directory");
		return;
	}
	g_assert_cmpint(object_reach(posix, &at), ==, 0);
	for (int way = 0; way < 2; way++) {
		g_assert_true(object_has_acl(&at, "listed"));
		g_assert_false(object_has_acl(&at, "plain"));
		g_assert_true(object_has_acl(&at, "none"));
		g_assert_cmpint(errno, ==, ENOENT);
		kernel_forget(KERNEL_GETXATTRAT);
	}
}

int main(int argc, char **argv)
{
	unit_init(&argc, &argv);
	g_test_add_func("/tree-posix/create", an_object_that_is_made_is_in_the_directory);
	g_test_add_func("/tree-posix/bytes", its_bytes_are_the_objects);
	g_test_add_func("/tree-posix/change", what_is_changed_is_changed_there);
	g_test_add_func("/tree-posix/stranger", a_stranger_is_refused_as_there);
	g_test_add_func("/tree-posix/kinds", kinds_that_are_made);
	g_test_add_func("/tree-posix/names", names_move_and_multiply);
	g_test_add_func("/tree-posix/nameless", an_object_without_a_name_gets_one);
	g_test_add_func("/tree-posix/removed", what_was_removed_is_gone_but_for_who_has_it_open);
	g_test_add_func("/tree-posix/xattrs", extended_attributes_are_the_objects_and_ours);
	g_test_add_func("/tree-posix/holders", its_holders_are_told);
	g_test_add_func("/tree-posix/set-user-id", set_user_id_goes_with_a_write);
	g_test_add_func("/tree-posix/fifo", a_fifo_has_a_node_for_each_set_of_rights);
	g_test_add_func("/tree-posix/execute", to_be_run_it_has_to_be_readable);
	/* The last: it forgets what the kernel has. */
	g_test_add_func("/tree-posix/acl", an_acl_is_seen);
	return g_test_run();
}
