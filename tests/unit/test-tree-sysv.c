/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The directories sysv/ and key/ of a tree, and the segments in them as files. */

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tree/sysv/segment.h"
#include "tree_world.h"

enum { SIZE = 5000 };

static void fill(int shmid, char byte)
{
	char *at = shmat(shmid, NULL, 0);

	g_assert_true(at != (char *)-1);
	memset(at, byte, SIZE);
	g_assert_no_errno(shmdt(at));
}

static void a_segment_is_in_sysv_and_in_key(void)
{
	g_auto(World) world = {};
	key_t key;
	world_start(&world);
	scoped_segment shmid = segment_make_key(SIZE, 0640, &key);
	g_autofree char *id = g_strdup_printf("%d", shmid);
	g_autofree char *hex = g_strdup_printf("0x%08x", (unsigned int)key);

	g_autoptr(Node) by_id = world_node_of(&world, "sysv/%d", shmid);
	g_autoptr(Node) by_key = world_node_of(&world, "key/%s", hex);
	g_autoptr(Node) upper = world_node_of(&world, "key/0X%X", (unsigned int)key);
	g_autoptr(Node) decimal = world_node_of(&world, "key/%u", (unsigned int)key);
	g_assert_true(by_id == by_key && by_id == upper && by_id == decimal);
	assert_listed(&world, "sysv", id, true);
	assert_listed(&world, "key", hex, true);

	const struct stat st = node_stat(by_id);
	g_assert_cmpuint(st.st_mode, ==, S_IFREG | 0640);
	g_assert_cmpuint(st.st_size, ==, SIZE);
	g_assert_cmpuint(st.st_nlink, ==, 1);
	g_assert_cmpuint(st.st_uid, ==, geteuid());
	g_assert_cmpint(st.st_atime, ==, st.st_ctime);
	g_assert_cmpint(st.st_mtime, ==, st.st_ctime);
}

static void a_private_segment_has_no_key(void)
{
	g_auto(World) world = {};
	world_start(&world);
	scoped_segment shmid = segment_make(SIZE, 0600);
	g_autofree char *id = g_strdup_printf("%d", shmid);

	assert_listed(&world, "sysv", id, true);
	assert_listed(&world, "key", "0x00000000", false);
	assert_missing(&world, "key/0");
}

static void other_names_are_not_there(void)
{
	static const char *const names[] = {
		"sysv/", "sysv/-1", "sysv/00", "sysv/x",          "sysv/1 ", "sysv/4294967296",
		"key/",  "key/0x",  "key/-1",  "key/0x100000000", "key/x",   "sysv/2147483646"};
	g_auto(World) world = {};
	world_start(&world);

	for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
		Node *node = NULL;
		g_autoptr(Node) directory =
			world_node(&world, g_str_has_prefix(names[i], "sysv") ? "sysv" : "key");
		const char *name = strchr(names[i], '/') + 1;
		g_assert_cmpint(directory->ops->lookup(directory, &world.self, name, &node), ==,
				-ENOENT);
	}
}

/* One that is marked for removal lives while it is attached, but has lost its name. */
static void a_removed_segment_has_no_name(void)
{
	g_auto(World) world = {};
	key_t key;
	world_start(&world);
	scoped_segment shmid = segment_make_key(SIZE, 0600, &key);
	g_autoptr(Node) sysv = world_node(&world, "sysv");
	g_autoptr(Node) keys = world_node(&world, "key");
	g_autoptr(Node) node = world_node_of(&world, "sysv/%d", shmid);
	g_autofree char *id = g_strdup_printf("%d", shmid);
	g_autofree char *hex = g_strdup_printf("%#x", (unsigned int)key);
	char *at = shmat(shmid, NULL, 0);

	g_assert_cmpint(sysv->ops->remove(sysv, &world.self, id, true), ==, -ENOTDIR);
	g_assert_cmpint(keys->ops->remove(keys, &world.self, hex, true), ==, -ENOTDIR);
	g_assert_cmpint(keys->ops->remove(keys, &world.self, hex, false), ==, 0);
	g_assert_cmpint(keys->ops->remove(keys, &world.self, hex, false), ==, -ENOENT);
	g_assert_cmpint(sysv->ops->remove(sysv, &world.self, id, false), ==, -ENOENT);
	assert_listed(&world, "sysv", id, false);
	Node *none = NULL;
	g_assert_cmpint(sysv->ops->lookup(sysv, &world.self, id, &none), ==, -ENOENT);
	g_assert_cmpuint(node_stat(node).st_nlink, ==, 1); /* the attach */
	g_assert_no_errno(shmdt(at));
	struct stat st;
	g_assert_cmpint(node->ops->getattr(node, false, &st), ==, -ENOENT);
	assert_open(node, &world.self, O_RDONLY, -ENOENT);
	g_assert_cmpint(node->ops->access(node, &world.self, R_OK), ==, -ENOENT);
}

static void its_bytes_are_read_and_written_in_place(void)
{
	g_auto(World) world = {};
	world_start(&world);
	scoped_segment shmid = segment_make(SIZE, 0600);
	fill(shmid, 'a');
	g_autoptr(Node) node = world_node_of(&world, "sysv/%d", shmid);
	g_autoptr(File) file = node_open(node, &world.self, O_RDWR);

	g_assert_true(file->through_us);
	g_autofree char *middle = file_bytes(file, 3, 100);
	g_assert_cmpstr(middle, ==, "aaa");
	g_assert_cmpint(file_write(file, &world.self, "xyz", 100), ==, 3);
	g_autofree char *written = file_bytes(file, 5, 99);
	g_assert_cmpstr(written, ==, "axyza");
	g_assert_cmpint(file_write(file, &world.self, "xyz", SIZE - 2), ==, 2);
	g_assert_cmpint(file_write(file, &world.self, "xyz", SIZE), ==, -ENOSPC);
	g_autofree char *end = file_bytes(file, 100, SIZE - 3);
	g_assert_cmpstr(end, ==, "axy");
	g_autofree char *behind = file_bytes(file, 100, SIZE);
	g_assert_cmpstr(behind, ==, "");
	g_assert_cmpint(file->ops->flush(file, &world.self), ==, 0);
	g_assert_cmpint(file->ops->memory_fd(file) >= 0, ==, geteuid() == 0);
	node->ops->written(node, 103, 3); /* nothing that can be seen */
	const char *at = shmat(shmid, NULL, SHM_RDONLY);
	g_assert_cmpint(at[100], ==, 'x');
	g_assert_no_errno(shmdt(at));
}

static void holes_are_made_and_found(void)
{
	g_auto(World) world = {};
	world_start(&world);
	scoped_segment shmid = segment_make(4 * PAGE, 0600);
	g_autoptr(Node) node = world_node_of(&world, "sysv/%d", shmid);
	g_autoptr(File) file = node_open(node, &world.self, O_RDWR);
	const FileOps *ops = file->ops;

	g_assert_cmpint(ops->seek(file, 0, SEEK_DATA), ==, -ENXIO);
	g_assert_cmpint(file_write(file, &world.self, "x", PAGE), ==, 1);
	g_assert_cmpint(ops->seek(file, 0, SEEK_DATA), ==, PAGE);
	g_assert_cmpint(ops->seek(file, PAGE, SEEK_HOLE), ==, 2 * PAGE);
	g_assert_cmpint(node_stat(node).st_blocks, ==, PAGE / 512);
	const int punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
	g_assert_cmpint(ops->allocate(file, punch, PAGE, PAGE), ==, 0);
	g_assert_cmpint(ops->seek(file, 0, SEEK_DATA), ==, -ENXIO);
	g_assert_cmpint(ops->allocate(file, 0, 0, 2 * PAGE), ==, 0);
	g_assert_cmpint(node_stat(node).st_blocks, ==, 2 * PAGE / 512);
	g_assert_cmpint(ops->allocate(file, FALLOC_FL_KEEP_SIZE, 4 * PAGE - 1, 2), ==, -ENOSPC);
	g_assert_cmpint(ops->allocate(file, FALLOC_FL_ZERO_RANGE, 0, PAGE), ==, -EOPNOTSUPP);
}

static void truncation_empties_or_does_nothing(void)
{
	g_auto(World) world = {};
	world_start(&world);
	scoped_segment shmid = segment_make(SIZE, 0600);
	fill(shmid, 'a');
	g_autoptr(Node) node = world_node_of(&world, "sysv/%d", shmid);
	g_autoptr(File) file = node_open(node, &world.self, O_RDWR);

	g_assert_cmpint(node_truncate(node, &world.self, NULL, SIZE), ==, 0);
	g_assert_cmpint(node_truncate(node, &world.self, file, SIZE + 1), ==, -EPERM);
	g_autofree char *before = file_bytes(file, 1, 0);
	g_assert_cmpstr(before, ==, "a");
	g_assert_cmpint(node_truncate(node, &world.self, file, 0), ==, 0);
	g_autofree char *after = file_bytes(file, 1, 0);
	g_assert_cmpstr(after, ==, "");
	g_assert_cmpuint(node_stat(node).st_size, ==, SIZE);

	fill(shmid, 'b');
	g_autoptr(File) emptied = node_open(node, &world.self, O_RDWR | O_TRUNC);
	g_autofree char *empty = file_bytes(emptied, 1, 0);
	g_assert_cmpstr(empty, ==, "");
	fill(shmid, 'c');
	g_assert_cmpint(node_truncate(node, &world.self, NULL, 0), ==, 0);
	g_autofree char *again = file_bytes(emptied, 1, 0);
	g_assert_cmpstr(again, ==, "");
}

static void mode_and_owner_can_be_set_times_cannot(void)
{
	g_auto(World) world = {};
	world_start(&world);
	scoped_segment shmid = segment_make(SIZE, 0600);
	g_autoptr(Node) node = world_node_of(&world, "sysv/%d", shmid);
	const NodeChange times = {.has_times = true, .uid = -1, .gid = -1};
	const NodeChange nothing = {.uid = -1, .gid = -1};

	g_assert_cmpint(node_chmod(node, &world.self, 0444), ==, 0);
	g_assert_cmpuint(segment_kernel(shmid).shm_perm.mode & 0777, ==, 0444);
	g_assert_cmpint(node->ops->setattr(node, &world.self, NULL, &times), ==, -EPERM);
	g_assert_cmpint(node->ops->setattr(node, &world.self, NULL, &nothing), ==, 0);
	/* An owner may give it away, and who created it may take it back. */
	g_assert_cmpint(node_chown(node, &world.self, UNIT_UID + 1, -1), ==, 0);
	g_assert_cmpuint(node_stat(node).st_uid, ==, UNIT_UID + 1);
	g_assert_cmpuint(node_stat(node).st_gid, ==, getegid());
	g_assert_cmpint(node_chown(node, &world.self, geteuid(), -1), ==, 0);
	segment_remove(&shmid);
	g_assert_cmpint(node_chmod(node, &world.self, 0600), ==, -ENOENT);
	shmid = -1;
}

static void access_is_what_an_attach_would_be(void)
{
	g_auto(World) world = {};
	if (!unit_need_root())
		return;
	world_start(&world);
	scoped_segment shmid = segment_make(SIZE, 0644);
	g_autoptr(Node) sysv = world_node(&world, "sysv");
	g_autoptr(Node) node = world_node_of(&world, "sysv/%d", shmid);
	g_autofree char *id = g_strdup_printf("%d", shmid);
	int (*may)(Node *, const SegfsCaller *, int) = node->ops->access;

	g_assert_cmpint(may(node, &stranger, F_OK), ==, 0);
	g_assert_cmpint(may(node, &stranger, R_OK), ==, 0);
	g_assert_cmpint(may(node, &stranger, W_OK), ==, -EACCES);
	g_assert_cmpint(may(node, &stranger, R_OK | W_OK), ==, -EACCES);
	g_assert_cmpint(may(node, &world.self, X_OK), ==, -EACCES);
	g_assert_cmpint(may(node, &world.self, R_OK | W_OK), ==, 0);
	g_autoptr(File) file = node_open(node, &stranger, O_RDONLY);
	g_assert_false(file->through_us);
	assert_open(node, &stranger, O_WRONLY, -EACCES);
	assert_open(node, &stranger, O_RDONLY | O_TRUNC, -EACCES);
	g_assert_cmpint(node_truncate(node, &stranger, NULL, 0), ==, -EACCES);
	g_assert_cmpint(node_chmod(node, &stranger, 0666), ==, -EPERM);
	g_assert_cmpint(node_chown(node, &stranger, stranger.uid, -1), ==, -EPERM);
	g_assert_cmpint(sysv->ops->remove(sysv, &stranger, id, false), ==, -EPERM);
	g_assert_cmpuint(segment_kernel(shmid).shm_segsz, ==, SIZE);
}

static void an_open_segment_is_what_it_was(void)
{
	g_auto(World) world = {};
	world_start(&world);
	scoped_segment shmid = segment_make(SIZE, 0600);
	fill(shmid, 'a');
	g_autoptr(Node) node = world_node_of(&world, "sysv/%d", shmid);
	g_autoptr(File) file = node_open(node, &world.self, O_RDWR);

	g_assert_cmpint(segment_opened(world.tree->ns, shmid), ==, SEGFS_IS_OPEN);
	segment_remove(&shmid);
	g_autofree char *bytes = file_bytes(file, 2, 0);
	g_assert_cmpstr(bytes, ==, "aa");
	g_assert_cmpuint(node_stat(node).st_size, ==, SIZE);
	/* Where there is no descriptor of the memory, we have it attached: it is not gone yet. */
	if (geteuid() == 0) {
		g_assert_cmpuint(node_stat(node).st_nlink, ==, 0);
		g_assert_cmpint(node_chmod(node, &world.self, 0644), ==, -EIDRM);
		g_assert_cmpint(node->ops->access(node, &world.self, R_OK), ==, -EIDRM);
		g_assert_cmpint(
			node->ops->set_xattr(node, &world.self, "user.segfs.locked", "1", 1, 0), ==,
			-EIDRM);
	}
	g_clear_pointer(&file, file_unref);
	struct stat st;
	g_assert_cmpint(node->ops->getattr(node, false, &st), ==, -ENOENT);
	shmid = -1;
}

static void an_id_that_is_another_segments_is_another_node(void)
{
	g_auto(World) world = {};
	world_start(&world);
	scoped_segment shmid = segment_make(SIZE, 0600);
	g_autoptr(Node) node = world_node_of(&world, "sysv/%d", shmid);
	g_autoptr(File) file = node_open(node, &world.self, O_RDWR);

	g_assert_cmpint(file_write(file, &world.self, "old", 0), ==, 3);
	if (!segment_replace(&shmid, 2 * SIZE, 0600)) {
		g_test_skip("ids cannot be chosen");
		return;
	}
	/* Those who have the old one open go on; a new open of its node is to look again. */
	assert_open(node, &world.self, O_RDWR, -ESTALE);
	g_assert_cmpuint(node_stat(node).st_size, ==, SIZE);
	g_autoptr(Node) other = world_node_of(&world, "sysv/%d", shmid);
	g_assert_true(other != node);
	g_autoptr(File) opened = node_open(other, &world.self, O_RDWR);
	g_autofree char *bytes = file_bytes(opened, 3, 0);
	g_assert_cmpstr(bytes, ==, "");
	g_autofree char *old = file_bytes(file, 3, 0);
	g_assert_cmpstr(old, ==, "old");
	/* Found again once it is closed, the node stands for what has the id. */
	g_autoptr(Node) again = world_node_of(&world, "sysv/%d", shmid);
	g_assert_true(again == other);
}

/* As src/mount opens it for the kernel. */
static File *open_for_kernel(World *world, Node *node)
{
	File *file = node_open(node, &world->self, O_RDWR);

	file_is_written_by(file, node);
	return file;
}

static void no_name_leads_to_what_is_written(void)
{
	g_auto(World) world = {};
	world_start(&world);
	scoped_segment shmid = segment_make(SIZE, 0600);
	IpcNs *ns = world.tree->ns;
	g_autoptr(Node) node = world_node_of(&world, "sysv/%d", shmid);
	g_autoptr(File) read = node_open(node, &world.self, O_RDONLY);
	g_autoptr(Node) same = world_node_of(&world, "sysv/%d", shmid);
	g_assert_true(same == node);

	g_autoptr(File) file = open_for_kernel(&world, node);
	g_autoptr(Node) second = world_node_of(&world, "sysv/%d", shmid);
	g_assert_true(second != node);
	g_assert_cmpuint(node_stat(second).st_ino, ==, node_stat(node).st_ino);
	g_autoptr(Node) second_again = world_node_of(&world, "sysv/%d", shmid);
	g_assert_true(second_again == second);
	g_autoptr(File) file_of_second = open_for_kernel(&world, second);
	g_autoptr(Node) third = world_node_of(&world, "sysv/%d", shmid);
	g_assert_true(third != node && third != second);

	/* It is open, whichever of them is, and whether a name leads there or not. */
	g_clear_pointer(&read, file_unref);
	g_clear_pointer(&file_of_second, file_unref);
	g_assert_cmpint(segment_opened(ns, shmid), ==, SEGFS_IS_OPEN);
	g_clear_pointer(&third, node_unref);
	g_autoptr(Node) found = world_node_of(&world, "sysv/%d", shmid);
	g_assert_true(found == second);
	g_clear_pointer(&second, node_unref);
	g_clear_pointer(&second_again, node_unref);
	g_clear_pointer(&found, node_unref);
	g_assert_cmpint(segment_opened(ns, shmid), ==, SEGFS_IS_OPEN);
	g_clear_pointer(&file, file_unref);
	g_assert_cmpint(segment_opened(ns, shmid), ==, SEGFS_NEVER_OPENED);
	found = world_node_of(&world, "sysv/%d", shmid);
	g_assert_true(found == node);

	/* What the kernel may go by without asking is not opened so. */
	node_name_no_more(node);
	g_autoptr(Node) fourth = world_node_of(&world, "sysv/%d", shmid);
	g_assert_true(fourth != node);
}

static void what_is_written_of_another_segment_is_not_open(void)
{
	g_auto(World) world = {};
	world_start(&world);
	scoped_segment shmid = segment_make(SIZE, 0600);
	g_autoptr(Node) node = world_node_of(&world, "sysv/%d", shmid);
	g_autoptr(File) file = open_for_kernel(&world, node);
	g_assert_true(file->node == node);

	if (!segment_replace(&shmid, 2 * SIZE, 0600)) {
		g_test_skip("ids cannot be chosen");
		return;
	}
	g_autoptr(Node) other = world_node_of(&world, "sysv/%d", shmid);
	g_assert_true(other != node);
	g_assert_cmpint(segment_opened(world.tree->ns, shmid), ==, SEGFS_NEVER_OPENED);
}

static void extended_attributes_tell_the_rest(void)
{
	g_auto(World) world = {};
	key_t key;
	world_start(&world);
	scoped_segment shmid = segment_make_key(SIZE, 0600, &key);
	g_autoptr(Node) node = world_node_of(&world, "sysv/%d", shmid);
	const SegfsCaller *self = &world.self;
	g_autofree char *id = g_strdup_printf("%d", shmid);
	g_autofree char *hex = g_strdup_printf("0x%08x", (unsigned int)key);
	g_autofree char *pid = g_strdup_printf("%d", getpid());
	g_autofree char *uid = g_strdup_printf("%u", geteuid());
	int r;

	assert_xattr(node, self, "user.segfs.id", id);
	assert_xattr(node, self, "user.segfs.key", hex);
	assert_xattr(node, self, "user.segfs.nattch", "0");
	assert_xattr(node, self, "user.segfs.cpid", pid);
	assert_xattr(node, self, "user.segfs.lpid", "0");
	assert_xattr(node, self, "user.segfs.cuid", uid);
	assert_xattr(node, self, "user.segfs.atime", "0");
	assert_xattr(node, self, "user.segfs.dest", "0");
	assert_xattr(node, self, "user.segfs.rss", "0");
	assert_xattr(node, self, "user.segfs.swap", "0");
	assert_xattr(node, self, "user.segfs.verdict", "idle");
	assert_xattr(node, self, "user.segfs.holders", "");
	g_autofree char *creator = node_xattr(node, self, "user.segfs.creator", &r);
	g_assert_cmpint(r, ==, 0);
	g_assert_nonnull(strstr(creator, "unit-tree"));
	g_assert_true(node_has_xattr(node, self, "user.segfs.ctime"));
	g_assert_true(node_has_xattr(node, self, "user.segfs.verdict"));
	/* It would have to be attached. Once that was done it may be remembered. */
	g_assert_false(node_has_xattr(node, self, "user.segfs.hugetlb"));
	if (geteuid() == 0)
		assert_xattr(node, self, "user.segfs.hugetlb", "0");
	g_assert_null(node_xattr(node, self, "user.segfs.other", &r));
	g_assert_cmpint(r, ==, -ENODATA);
	g_assert_null(node_xattr(node, self, "user.id", &r));
	g_assert_cmpint(r, ==, -ENODATA);
	g_assert_null(node_xattr(node, self, "security.selinux", &r));
	g_assert_cmpint(r, ==, -EOPNOTSUPP);
}

static void a_segment_can_be_locked(void)
{
	static const struct {
		const char *name, *value;
		size_t size;
		int result;
	} rows[] = {
		{"user.segfs.locked", "1", 1, 0},       {"user.segfs.locked", "0\n", 2, 0},
		{"user.segfs.locked", "1", 2, 0},       {"user.segfs.locked", "2", 1, -EINVAL},
		{"user.segfs.locked", "", 0, -EINVAL},  {"user.segfs.locked", "10", 2, -EINVAL},
		{"user.segfs.locked", NULL, 0, -EPERM}, {"user.segfs.id", "1", 1, -EPERM},
		{"user.other", "1", 1, -EPERM},         {"trusted.x", "1", 1, -EOPNOTSUPP},
	};
	g_auto(World) world = {};
	world_start(&world);
	scoped_segment shmid = segment_make(SIZE, 0600);
	g_autoptr(Node) node = world_node_of(&world, "sysv/%d", shmid);

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		const int r = node->ops->set_xattr(node, &world.self, rows[i].name, rows[i].value,
						   rows[i].size, 0);
		g_assert_cmpint(r, ==, rows[i].result);
		if (r == 0)
			assert_xattr(node, &world.self, "user.segfs.locked",
				     rows[i].value[0] == '1' ? "1" : "0");
	}
}

static void statfs_has_the_limits(void)
{
	g_auto(World) world = {};
	SegfsLimits limits;
	struct statvfs before, after;
	world_start(&world);
	g_autoptr(Node) sysv = world_node(&world, "sysv");

	g_assert_cmpint(segfs_limits_read(world.tree->ns->ipc, &limits), ==, 0);
	g_assert_cmpint(sysv->ops->statfs(sysv, &before), ==, 0);
	scoped_segment shmid = segment_make(SIZE, 0600);
	g_autoptr(Node) node = world_node_of(&world, "sysv/%d", shmid);
	g_assert_cmpint(node->ops->statfs(node, &after), ==, 0);
	g_assert_cmpuint(after.f_files, ==, limits.shmmni);
	g_assert_cmpuint(after.f_bsize, ==, limits.page_size);
	if (geteuid() == 0) { /* else others make segments here, too */
		g_assert_cmpuint(before.f_ffree - after.f_ffree, ==, 1);
		g_assert_cmpuint(before.f_files - before.f_ffree, ==, limits.segments_used);
	}
}

static void sysv_gives_out_no_ids(void)
{
	g_auto(World) world = {};
	world_start(&world);
	g_autoptr(Node) sysv = world_node(&world, "sysv");

	/* The caller of a verb that is NULL refuses it: EPERM. */
	g_assert_true(!sysv->ops->create && !sysv->ops->make && !sysv->ops->rename);
	g_assert_cmpuint(node_stat(sysv).st_mode, ==, S_IFDIR | 0777);
	g_assert_cmpuint(node_stat(sysv).st_ino, !=, 0);
}

int main(int argc, char **argv)
{
	unit_init(&argc, &argv);
	g_test_add_func("/tree-sysv/in sysv and key", a_segment_is_in_sysv_and_in_key);
	g_test_add_func("/tree-sysv/private", a_private_segment_has_no_key);
	g_test_add_func("/tree-sysv/other names", other_names_are_not_there);
	g_test_add_func("/tree-sysv/removed", a_removed_segment_has_no_name);
	g_test_add_func("/tree-sysv/bytes", its_bytes_are_read_and_written_in_place);
	g_test_add_func("/tree-sysv/holes", holes_are_made_and_found);
	g_test_add_func("/tree-sysv/truncate", truncation_empties_or_does_nothing);
	g_test_add_func("/tree-sysv/change", mode_and_owner_can_be_set_times_cannot);
	g_test_add_func("/tree-sysv/access", access_is_what_an_attach_would_be);
	g_test_add_func("/tree-sysv/open", an_open_segment_is_what_it_was);
	g_test_add_func("/tree-sysv/replaced", an_id_that_is_another_segments_is_another_node);
	g_test_add_func("/tree-sysv/written", no_name_leads_to_what_is_written);
	g_test_add_func("/tree-sysv/written and replaced",
			what_is_written_of_another_segment_is_not_open);
	g_test_add_func("/tree-sysv/xattrs", extended_attributes_tell_the_rest);
	g_test_add_func("/tree-sysv/locked", a_segment_can_be_locked);
	g_test_add_func("/tree-sysv/statfs", statfs_has_the_limits);
	g_test_add_func("/tree-sysv/no ids", sysv_gives_out_no_ids);
	return g_test_run();
}
