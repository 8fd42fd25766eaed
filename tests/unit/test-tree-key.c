/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Segments that are made through key/: pending until their size is known. */

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tree/sysv/segment.h"
#include "tree_world.h"

/* A pending segment under a key that nobody has, its first open, and what it becomes. */
typedef struct {
	World world;
	Node *keys, *node;
	File *file;
	key_t key;
	char name[16];
} Making;

static int create(Making *making, const SegfsCaller *caller, int flags)
{
	g_assert_null(making->node);
	return making->keys->ops->create(making->keys, caller, making->name, flags, 0666,
					 &making->node, &making->file);
}

static void making_start_with(Making *making, int flags)
{
	world_start(&making->world);
	making->keys = world_node(&making->world, "key");
	do {
		making->key = g_random_int() | 1;
	} while (shmget(making->key, 0, 0) >= 0 || errno != ENOENT);
	g_snprintf(making->name, sizeof(making->name), "0x%08x", (unsigned int)making->key);
	making->world.self.umask = 022;
	g_assert_cmpint(create(making, &making->world.self, flags), ==, 0);
	g_assert_true(making->file->node == making->node);
	g_assert_true(making->file->through_us);
}

static void making_start(Making *making)
{
	making_start_with(making, O_RDWR);
}

static void making_clear(Making *making)
{
	const int shmid = making->keys ? shmget(making->key, 0, 0) : -1;

	if (shmid >= 0)
		shmctl(shmid, IPC_RMID, NULL);
	g_clear_pointer(&making->file, file_unref);
	g_clear_pointer(&making->node, node_unref);
	g_clear_pointer(&making->keys, node_unref);
	world_clear(&making->world);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Making, making_clear)

static bool is_made(const Making *making)
{
	return shmget(making->key, 0, 0) >= 0;
}

/* What the kernel has under the key, and that it is the node that was pending. */
static void assert_made(Making *making, size_t size, mode_t mode)
{
	const int shmid = shmget(making->key, 0, 0);

	g_assert_no_errno(shmid);
	const struct shmid_ds ds = segment_kernel(shmid);
	g_assert_cmpuint(ds.shm_segsz, ==, size);
	g_assert_cmpuint(ds.shm_perm.mode & 0777, ==, mode);
	g_autoptr(Node) found = world_node_of(&making->world, "sysv/%d", shmid);
	g_assert_true(found == making->node);
	g_assert_cmpuint(node_stat(found).st_size, ==, size);
	assert_listed(&making->world, "key", making->name, true);
}

static void what_is_pending_is_not_there_yet(void)
{
	g_auto(Making) making = {};
	Node *found = NULL;
	int r;
	making_start(&making);
	const SegfsCaller *self = &making.world.self;

	g_assert_false(is_made(&making));
	assert_listed(&making.world, "key", making.name, false);
	g_assert_cmpint(making.keys->ops->lookup(making.keys, self, making.name, &found), ==,
			-ENOENT);
	g_assert_cmpint(making.keys->ops->remove(making.keys, self, making.name, false), ==,
			-ENOENT);
	const struct stat st = node_stat(making.node);
	g_assert_cmpuint(st.st_size, ==, 0);
	g_assert_cmpuint(st.st_mode, ==, S_IFREG | 0644);
	g_assert_cmpuint(st.st_nlink, ==, 1);
	g_assert_cmpuint(st.st_uid, ==, geteuid());
	g_assert_null(node_xattr(making.node, self, "user.segfs.id", &r));
	g_assert_cmpint(r, ==, -EOPNOTSUPP);
	g_assert_cmpint(
		making.node->ops->set_xattr(making.node, self, "user.segfs.locked", "1", 1, 0), ==,
		-EOPNOTSUPP);
	g_assert_cmpint(making.node->ops->access(making.node, self, R_OK), ==, -EACCES);
	g_assert_cmpint(making.file->ops->memory_fd(making.file), ==, -1);
	making.node->ops->written(making.node, 0, 0);
}

/* Removed before anybody looks again it is still said to be as large as it was. */
static void its_last_stat_is_not_the_pending_ones(void)
{
	g_auto(Making) making = {};
	making_start(&making);

	const struct stat pending = node_stat(making.node);
	node_saw(making.node, &pending);
	g_assert_cmpint(node_truncate(making.node, &making.world.self, making.file, 4096), ==, 0);
	struct stat last;
	g_assert_true(node_last(making.node, &last));
	g_assert_cmpuint(last.st_size, ==, 4096);
	g_assert_cmpuint(last.st_ino, !=, pending.st_ino);
}

static void truncation_makes_it(void)
{
	g_auto(Making) making = {};
	making_start(&making);
	const SegfsCaller *self = &making.world.self;

	g_assert_cmpint(node_truncate(making.node, self, making.file, 0), ==, 0);
	g_assert_false(is_made(&making));
	g_assert_cmpint(node_truncate(making.node, self, making.file, 6000), ==, 0);
	assert_made(&making, 6000, 0644);
	/* Its first file is one of an ordinary segment from here on. */
	g_assert_cmpint(file_write(making.file, self, "x", 5999), ==, 1);
	g_assert_cmpint(file_write(making.file, self, "x", 6000), ==, -ENOSPC);
	g_autofree char *bytes = file_bytes(making.file, 2, 5998);
	g_assert_cmpint(bytes[1], ==, 'x');
	g_assert_cmpint(making.file->ops->seek(making.file, 0, SEEK_DATA), ==, 5999 / PAGE * PAGE);
	g_assert_cmpint(making.file->ops->flush(making.file, self), ==, 0);
	g_assert_cmpint(node_truncate(making.node, self, making.file, 7000), ==, -EPERM);
	g_assert_cmpint(segment_opened(making.world.tree->ns, shmget(making.key, 0, 0)), ==,
			SEGFS_IS_OPEN);
}

static void allocation_makes_it(void)
{
	g_auto(Making) making = {};
	making_start(&making);
	const FileOps *ops = making.file->ops;

	g_assert_cmpint(ops->allocate(making.file, FALLOC_FL_KEEP_SIZE, 0, 100), ==, -EOPNOTSUPP);
	g_assert_false(is_made(&making));
	g_assert_cmpint(ops->allocate(making.file, 0, 1000, 7000), ==, 0);
	assert_made(&making, 8000, 0644);
	g_assert_cmpuint(node_stat(making.node).st_blocks, >, 0);
}

static void what_was_written_makes_it_at_close(void)
{
	g_auto(Making) making = {};
	making_start(&making);
	const SegfsCaller *self = &making.world.self;
	const FileOps *ops = making.file->ops;
	const off_t far = 3 * PAGE;

	g_assert_cmpint(file_write(making.file, self, "abc", 0), ==, 3);
	g_assert_cmpint(file_write(making.file, self, "xyz", far), ==, 3);
	g_autofree char *kept = file_bytes(making.file, 100, far + 1);
	g_assert_cmpstr(kept, ==, "yz");
	g_autofree char *behind = file_bytes(making.file, 100, far + 3);
	g_assert_cmpstr(behind, ==, "");
	g_assert_cmpint(ops->seek(making.file, 0, SEEK_HOLE), ==, PAGE);
	g_assert_cmpint(ops->seek(making.file, 2 * far, SEEK_DATA), ==, -ENXIO);
	g_assert_false(is_made(&making));
	g_assert_cmpint(ops->flush(making.file, self), ==, 0);
	assert_made(&making, far + 3, 0644);
	g_autofree char *first = file_bytes(making.file, 4, 0);
	g_assert_cmpstr(first, ==, "abc");
	g_autofree char *last = file_bytes(making.file, 4, far - 1);
	g_assert_cmpint(memcmp(last, "\0xyz", 4), ==, 0);
}

static void appending_goes_behind_what_is_there(void)
{
	g_auto(Making) making = {};
	making_start_with(&making, O_WRONLY | O_APPEND);

	g_assert_cmpint(file_write(making.file, &making.world.self, "abc", 0), ==, 3);
	g_assert_cmpint(file_write(making.file, &making.world.self, "def", 0), ==, 3);
	g_assert_cmpint(making.file->ops->flush(making.file, &making.world.self), ==, 0);
	assert_made(&making, 6, 0644);
	g_autofree char *bytes = file_bytes(making.file, 100, 0);
	g_assert_cmpstr(bytes, ==, "abcdef");
}

static void closing_nothing_is_an_error(void)
{
	g_auto(Making) making = {};
	making_start(&making);
	const SegfsCaller *self = &making.world.self;

	g_assert_cmpint(making.file->ops->flush(making.file, self), ==, -EINVAL);
	g_assert_cmpint(file_write(making.file, self, "abc", 0), ==, 3);
	g_assert_cmpint(node_truncate(making.node, self, making.file, 0), ==, 0);
	g_assert_cmpint(making.file->ops->flush(making.file, self), ==, -EINVAL);
	g_clear_pointer(&making.file, file_unref);
	g_assert_false(is_made(&making));
	struct stat st;
	g_assert_cmpint(making.node->ops->getattr(making.node, false, &st), <, 0);
	assert_open(making.node, self, O_RDWR, -ENOENT);
}

/* A shell opens, duplicates and closes before the program runs that writes. */
static void the_close_of_another_process_makes_nothing(void)
{
	g_auto(Making) making = {};
	making_start(&making);
	SegfsCaller child = making.world.self;

	child.pid++;
	g_assert_cmpint(making.file->ops->flush(making.file, &child), ==, 0);
	g_assert_cmpint(file_write(making.file, &child, "abc", 0), ==, 3);
	g_assert_cmpint(making.file->ops->flush(making.file, &child), ==, 0);
	g_assert_false(is_made(&making));
	g_clear_pointer(&making.file, file_unref);
	assert_made(&making, 3, 0644);
}

static void a_second_open_is_the_creators_alone(void)
{
	g_auto(Making) making = {};
	making_start(&making);
	const SegfsCaller *self = &making.world.self;

	assert_open(making.node, &stranger, O_RDWR, -EACCES);
	g_assert_cmpint(node_chmod(making.node, &stranger, 0777), ==, -EPERM);
	g_autoptr(File) second = node_open(making.node, self, O_RDWR);
	g_assert_cmpint(file_write(second, self, "abc", 0), ==, 3);
	g_clear_pointer(&making.file, file_unref);
	g_assert_false(is_made(&making)); /* one is left */
	g_clear_pointer(&second, file_unref);
	assert_made(&making, 3, 0644);
}

static void mode_and_owner_are_given_before_it_is_made(void)
{
	g_auto(Making) making = {};
	making_start(&making);
	const SegfsCaller *self = &making.world.self;
	const NodeChange times = {.has_times = true, .uid = -1, .gid = -1};

	g_assert_cmpint(node_chmod(making.node, self, 0440), ==, 0);
	g_assert_cmpint(node_chown(making.node, self, UNIT_UID + 7, -1), ==, 0);
	g_assert_cmpint(node_chown(making.node, self, -1, UNIT_GID + 7), ==, 0);
	/* tar -x is content with it; there is nothing yet that could have times. */
	g_assert_cmpint(making.node->ops->setattr(making.node, self, NULL, &times), ==, 0);
	struct stat st = node_stat(making.node);
	g_assert_cmpuint(st.st_mode & 0777, ==, 0440);
	g_assert_cmpuint(st.st_uid, ==, UNIT_UID + 7);
	g_assert_cmpuint(st.st_gid, ==, UNIT_GID + 7);
	g_assert_cmpint(file_write(making.file, self, "abc", 0), ==, 3);
	g_assert_cmpint(making.file->ops->flush(making.file, self), ==, 0);
	assert_made(&making, 3, 0440);
	st = node_stat(making.node);
	g_assert_cmpuint(st.st_uid, ==, UNIT_UID + 7);
	g_assert_cmpuint(st.st_gid, ==, UNIT_GID + 7);
}

static void a_key_that_is_taken(void)
{
	g_auto(World) world = {};
	key_t key;
	Node *node = NULL;
	File *file = NULL;
	world_start(&world);
	g_autoptr(Node) keys = world_node(&world, "key");
	scoped_segment shmid = segment_make_key(5000, 0600, &key);
	g_autofree char *name = g_strdup_printf("%u", (unsigned int)key);

	g_assert_cmpint(
		keys->ops->create(keys, &world.self, name, O_RDWR | O_EXCL, 0600, &node, &file), ==,
		-EEXIST);
	g_assert_cmpint(keys->ops->create(keys, &world.self, name, O_RDWR, 0600, &node, &file), ==,
			0);
	g_autoptr(Node) found = world_node_of(&world, "sysv/%d", shmid);
	g_assert_true(node == found);
	g_assert_cmpuint(node_stat(node).st_size, ==, 5000);
	file_unref(file);
	node_unref(node);
}

/* Somebody makes it while we have it pending: that one's error reaches the program. */
static void a_key_that_was_quicker(void)
{
	g_auto(Making) making = {};
	making_start(&making);

	g_assert_cmpint(file_write(making.file, &making.world.self, "abc", 0), ==, 3);
	g_assert_no_errno(shmget(making.key, 5000, IPC_CREAT | IPC_EXCL | 0600));
	g_assert_cmpint(node_truncate(making.node, &making.world.self, making.file, 100), ==,
			-EEXIST);
	g_assert_cmpint(making.file->ops->flush(making.file, &making.world.self), ==, -EEXIST);
	/* It was said: what was written is forgotten, not tried again. */
	g_clear_pointer(&making.file, file_unref);
	g_assert_cmpuint(segment_kernel(shmget(making.key, 0, 0)).shm_segsz, ==, 5000);
}

static void names_that_cannot_be_made(void)
{
	static const char *const names[] = {"0", "0x0", "x", "-5", "0x1ffffffff", "12 "};
	g_auto(World) world = {};
	world_start(&world);
	g_autoptr(Node) keys = world_node(&world, "key");

	for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
		Node *node = NULL;
		File *file = NULL;
		g_assert_cmpint(
			keys->ops->create(keys, &world.self, names[i], O_RDWR, 0600, &node, &file),
			==, -EINVAL);
		g_assert_true(!node && !file);
	}
}

static void limit_write(const char *name, const char *value)
{
	g_autofree char *path = g_strdup_printf("/proc/sys/kernel/%s", name);
	FILE *file = fopen(path, "we");

	g_assert_nonnull(file);
	g_assert_cmpint(fputs(value, file), >=, 0);
	g_assert_cmpint(fclose(file), ==, 0);
}

/* The limits are our IPC namespace's own, and other tests run in theirs. */
static void limits_bind_what_is_kept(void)
{
	g_auto(Making) making = {};
	if (!unit_as_new_process())
		return;
	const off_t most = 5 * PAGE;
	g_autofree char *shmmax = g_strdup_printf("%" G_GINT64_FORMAT, (gint64)most);
	limit_write("shmmax", shmmax);
	limit_write("shmall", "4");
	making_start(&making);
	const SegfsCaller *self = &making.world.self;
	g_autofree char *bytes = g_malloc0(8 * PAGE);

	g_assert_cmpint(file_write(making.file, self, "x", most), ==, -EFBIG);
	const FileOps *ops = making.file->ops;
	g_assert_cmpint(ops->write(making.file, self, bytes, 8 * PAGE, 0), ==, -ENOSPC);
	g_assert_cmpint(ops->write(making.file, self, bytes, 4 * PAGE, 0), ==, 4 * PAGE);
	g_assert_cmpint(ops->write(making.file, self, bytes, 100, 5), ==, 100); /* no new page */
	g_assert_cmpint(ops->write(making.file, self, bytes, 1, 4 * PAGE), ==, -ENOSPC);
	/* What is there is not all there should be: it is not made of it. */
	g_assert_cmpint(ops->flush(making.file, self), ==, -ENOSPC);
	g_assert_false(is_made(&making));
	g_assert_cmpuint(making.world.tree->ns->pages_pending, ==, 0);
	g_assert_cmpint(node_truncate(making.node, self, making.file, most + 1), ==, -EINVAL);
	g_assert_cmpint(node_truncate(making.node, self, making.file, most - 1), ==, -ENOSPC);
	g_assert_cmpint(ops->write(making.file, self, bytes, PAGE, 0), ==, PAGE);
	g_assert_cmpint(node_truncate(making.node, self, making.file, 4 * PAGE), ==, 0);
	assert_made(&making, 4 * PAGE, 0644);
}

/* The mount may end under what is open: what was written becomes its segment. */
static void the_end_of_the_tree_makes_it(void)
{
	g_auto(Making) making = {};
	making_start(&making);

	g_assert_cmpint(file_write(making.file, &making.world.self, "abc", 0), ==, 3);
	g_clear_pointer(&making.node, node_unref);
	g_clear_pointer(&making.keys, node_unref);
	making.file = NULL; /* the tree's to close */
	g_clear_pointer(&making.world.tree, tree_free);
	const int shmid = shmget(making.key, 0, 0);
	g_assert_no_errno(shmid);
	g_assert_cmpuint(segment_kernel(shmid).shm_segsz, ==, 3);
	g_assert_no_errno(shmctl(shmid, IPC_RMID, NULL));
}

int main(int argc, char **argv)
{
	unit_init(&argc, &argv);
	g_test_add_func("/tree-key/pending", what_is_pending_is_not_there_yet);
	g_test_add_func("/tree-key/last", its_last_stat_is_not_the_pending_ones);
	g_test_add_func("/tree-key/truncate", truncation_makes_it);
	g_test_add_func("/tree-key/allocate", allocation_makes_it);
	g_test_add_func("/tree-key/close", what_was_written_makes_it_at_close);
	g_test_add_func("/tree-key/append", appending_goes_behind_what_is_there);
	g_test_add_func("/tree-key/nothing", closing_nothing_is_an_error);
	g_test_add_func("/tree-key/other close", the_close_of_another_process_makes_nothing);
	g_test_add_func("/tree-key/second open", a_second_open_is_the_creators_alone);
	g_test_add_func("/tree-key/mode and owner", mode_and_owner_are_given_before_it_is_made);
	g_test_add_func("/tree-key/taken", a_key_that_is_taken);
	g_test_add_func("/tree-key/quicker", a_key_that_was_quicker);
	g_test_add_func("/tree-key/names", names_that_cannot_be_made);
	g_test_add_func("/tree-key/limits", limits_bind_what_is_kept);
	g_test_add_func("/tree-key/end", the_end_of_the_tree_makes_it);
	return g_test_run();
}
