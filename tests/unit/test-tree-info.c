/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The directory info/ of a tree: what its texts say, to whom. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tree_world.h"
#include <inttypes.h>

enum { SIZE = 5000 };

static void assert_line(const char *text, const char *key, const char *value)
{
	g_autofree char *found = text_value(text, key);

	if (g_strcmp0(found, value) != 0)
		g_test_message("%s", text);
	g_assert_cmpstr(found, ==, value);
}

static void assert_line_has(const char *text, const char *key, const char *part)
{
	g_autofree char *found = text_value(text, key);

	if (!found || !strstr(found, part))
		g_error("no \"%s\" in %s: of\n%s", part, key, text);
}

static void a_segment_is_told_of(void)
{
	g_auto(World) world = {};
	g_auto(Hold) hold = {};
	key_t key;
	world_start(&world);
	scoped_segment shmid = segment_make_key(SIZE, 0640, &key);
	g_autofree char *id = g_strdup_printf("%d", shmid);
	g_autofree char *hex = g_strdup_printf("0x%08x", (unsigned int)key);
	g_autofree char *pid = g_strdup_printf("%d", getpid());
	g_autofree char *path = g_strconcat("info/sysv/", id, NULL);
	g_autofree char *direct = g_strdup_printf("rm 'sysv/%s'   or: ipcrm -m %s", id, id);
	g_autofree char *file = g_strconcat("sysv/", id, NULL);

	hold_segment(&hold, shmid);
	hold_attach(&hold);
	g_autofree char *holder = g_strdup_printf("attached once by %d (", hold.pid);
	g_autofree char *text = world_text(&world, path);
	assert_line(text, "File", file);
	assert_line(text, "Kind", "sysv");
	assert_line(text, "Shmid", id);
	assert_line(text, "Key", hex);
	assert_line_has(text, "Size", "5000 bytes (4.9");
	assert_line(text, "Mode", "0640");
	assert_line(text, "Attaches", "1");
	assert_line(text, "CreatorPid", pid);
	assert_line(text, "Locked", "no");
	assert_line(text, "Dest", "no");
	assert_line(text, "Detached", "never");
	assert_line(text, "Verdict", "in use");
	assert_line_has(text, "Attached", "s ago)");
	assert_line_has(text, "Evidence", holder);
	assert_line_has(text, "Holder", "attached 1");
	assert_line_has(text, "Holder", "command line: ");
	assert_line_has(text, "Creator", "unit-tree-info");
	assert_line(text, "Remove", direct);
	if (geteuid() == 0)
		assert_line(text, "HugePages", "no");
	assert_listed(&world, "info/sysv", id, true);
}

static void a_segment_that_has_lost_its_name_is_in_unlinked(void)
{
	g_auto(World) world = {};
	g_auto(Hold) hold = {};
	world_start(&world);
	scoped_segment shmid = segment_make(100, 0600);
	g_autofree char *id = g_strdup_printf("%d", shmid);
	g_autofree char *name = g_strdup_printf("sysv-%d", shmid);
	g_autofree char *of_sysv = g_strconcat("info/sysv/", id, NULL);
	g_autofree char *of_unlinked = g_strconcat("info/unlinked/", name, NULL);
	hold_segment(&hold, shmid);
	hold_attach(&hold);

	g_assert_no_errno(shmctl(shmid, IPC_RMID, NULL));
	assert_missing(&world, of_sysv);
	assert_listed(&world, "info/sysv", id, false);
	assert_listed(&world, "info/unlinked", name, true);
	g_autofree char *text = world_text(&world, of_unlinked);
	assert_line(text, "Kind", "sysv, unlinked");
	assert_line(text, "Size", "100 bytes");
	assert_line(text, "Dest", "yes");
	assert_line(text, "Remove",
		    "it goes when its last holder ends; to end them: kill with the pids above");
}

static void an_object_is_told_of(void)
{
	g_auto(World) world = {};
	g_auto(Hold) hold = {};
	world_start(&world);
	g_autofree char *path = g_build_filename(world.shm, "a", "it's", NULL);
	g_autofree char *shell =
		g_strdup_printf("rm 'posix/a/it'\\''s'   or: rm '%s/a/it'\\''s'", world.shm);
	tree_write(world.shm, "a/it's", "some bytes");
	g_autofree char *before = world_text(&world, "info/posix/a%2Fit's");
	hold_start(&hold, take_file_mapped, path);
	g_autofree char *text = world_text(&world, "info/posix/a%2Fit's");

	assert_line(before, "Size", "10 bytes");
	assert_line(before, "Verdict", "orphaned");
	assert_line(before, "Holder", NULL);
	assert_line(text, "File", "posix/a/it's");
	assert_line(text, "Kind", "posix");
	assert_line(text, "Name", "a/it's");
	assert_line(text, "Verdict", "in use");
	assert_line(text, "Remove", shell);
	assert_line_has(text, "Holder", "mapped 1");
	assert_listed(&world, "info/posix", "a%2Fit's", true);
}

/* A line stays a line, and what is to be typed can be typed. */
static void a_name_of_any_bytes_is_escaped(void)
{
	g_auto(World) world = {};
	world_start(&world);
	tree_write(world.shm, "line\nbreak'", "x");
	g_autofree char *text = world_text(&world, "info/posix/line%0Abreak'");
	g_autofree char *direct = g_strdup_printf(
		"rm $'posix/line\\nbreak\\''   or: rm $'%s/line\\nbreak\\''", world.shm);

	assert_line(text, "File", "posix/line\\nbreak'");
	assert_line(text, "Remove", direct);
}

static void its_files_are_texts_to_read(void)
{
	g_auto(World) world = {};
	world_start(&world);
	tree_write(world.shm, "x", "x");
	g_autoptr(Node) node = world_node(&world, "info/posix/x");
	g_autoptr(Node) again = world_node(&world, "info/posix/x");
	const struct stat st = node_stat(node);

	g_assert_true(node == again);
	g_assert_cmpuint(st.st_mode, ==, S_IFREG | 0444);
	g_assert_cmpint(st.st_size, ==, 0); /* as in /proc */
	g_assert_cmpint(node->ops->access(node, &stranger, R_OK), ==, 0);
	g_assert_cmpint(node->ops->access(node, &world.self, W_OK), ==, -EACCES);
	assert_open(node, &world.self, O_WRONLY, -EACCES);
	assert_open(node, &world.self, O_RDONLY | O_TRUNC, -EACCES);
	g_autofree char *path = g_build_filename(world.shm, "x", NULL);
	g_assert_no_errno(unlink(path));
	assert_open(node, &world.self, O_RDONLY, -ENOENT);
	g_autoptr(Node) directory = world_node(&world, "info/posix");
	g_assert_cmpuint(node_stat(directory).st_mode, ==, S_IFDIR | 0555);
}

static void what_is_not_there_has_no_text(void)
{
	static const char *const paths[] = {
		"info/sysv/x",     "info/sysv/2147483646", "info/posix/none",
		"info/posix/%",    "info/posix/directory", "info/posix/a%2fb",
		"info/unlinked/x", "info/posix.2",         "info/posix.x",
		"info/none",       "info/namespace"};
	g_auto(World) world = {};
	world_start(&world);
	tree_write(world.shm, "directory/x", "x");

	for (guint i = 0; i < G_N_ELEMENTS(paths); i++)
		assert_missing(&world, paths[i]);
	g_autofree char *names = world_list(&world, &world.self, "info");
	g_assert_cmpstr(names, ==, "key msg posix sem sysv unlinked ");
	g_autofree char *files = world_list(&world, &world.self, "info/posix");
	g_assert_cmpstr(files, ==, "directory%2Fx ");
}

static bool take_memfd_secretly(Taken *taken, const void *name)
{
	return take_memfd(taken, name) && prctl(PR_SET_DUMPABLE, 0) == 0;
}

static void a_stranger_is_told_less(void)
{
	g_auto(World) world = {};
	g_auto(Hold) hold = {};
	Node *none = NULL;
	if (!unit_need_root())
		return;
	world_start(&world);
	tree_write(world.shm, "closed/x", "x");
	g_autofree char *closed = g_build_filename(world.shm, "closed", NULL);
	g_assert_no_errno(chmod(closed, 0700));
	hold_start(&hold, take_memfd_secretly, "my");
	g_autofree char *pid = g_strdup_printf("%d", hold.pid);
	g_autoptr(Node) node =
		world_node_of(&world, "info/unlinked/memfd-my-%" PRIu64, hold.taken.id.number);
	g_autofree char *mine = node_text(node, &world.self);
	g_autofree char *theirs = node_text(node, &stranger);

	assert_line_has(mine, "Holder", pid);
	assert_line(theirs, "Holder", NULL);
	assert_line(theirs, "HiddenHolders", "1, which you may not look into");
	g_assert_null(strstr(theirs, pid));
	g_autofree char *names = world_list(&world, &stranger, "info/posix");
	g_assert_cmpstr(names, ==, "");
	g_assert_cmpint(world_lookup(&world, &stranger, "info/posix/closed%2Fx", &none), ==,
			-ENOENT);
	assert_listed(&world, "info/posix", "closed%2Fx", true);
}

static void a_creator_that_has_ended_is_said_to_have(void)
{
	g_auto(World) world = {};
	world_start(&world);
	scoped_segment shmid = segment_make_by_dead(SIZE, 0600);
	g_autofree char *path = g_strdup_printf("info/sysv/%d", shmid);
	g_autofree char *text = world_text(&world, path);
	g_autofree char *pid = g_strdup_printf("%d (ended)", segment_kernel(shmid).shm_cpid);

	assert_line(text, "CreatorPid", pid);
	assert_line(text, "LastUserPid", "none");
	assert_line(text, "Holder", NULL);
	assert_line_has(text, "Evidence", "has ended");
}

int main(int argc, char **argv)
{
	unit_init(&argc, &argv);
	g_test_add_func("/tree-info/segment", a_segment_is_told_of);
	g_test_add_func("/tree-info/removed segment",
			a_segment_that_has_lost_its_name_is_in_unlinked);
	g_test_add_func("/tree-info/object", an_object_is_told_of);
	g_test_add_func("/tree-info/any bytes", a_name_of_any_bytes_is_escaped);
	g_test_add_func("/tree-info/texts", its_files_are_texts_to_read);
	g_test_add_func("/tree-info/not there", what_is_not_there_has_no_text);
	g_test_add_func("/tree-info/stranger", a_stranger_is_told_less);
	g_test_add_func("/tree-info/ended creator", a_creator_that_has_ended_is_said_to_have);
	return g_test_run();
}
