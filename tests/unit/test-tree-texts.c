/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The top of a tree: its directory, and the texts README, limits, segments.json and metrics. */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <json-glib/json-glib.h>
#include <string.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/os/autofd.h"
#include "tree_world.h"

enum { SIZE = 5000 };

static void the_top_has_its_names(void)
{
	static const char expected[] =
		"README events events.1 gone info key limits metrics msg orphans "
		"posix segments.json sem sysv unlinked ";
	g_auto(World) world = {};
	world_start_with(&world, (TreeOptions){.no_ns = "-"});
	g_autoptr(Node) root = world_node(&world, "");

	g_autofree char *names = world_list(&world, &world.self, "");
	g_assert_cmpstr(names, ==, expected);
	g_assert_cmpuint(node_stat(root).st_mode, ==, S_IFDIR | 0555);
	g_assert_cmpint(root->ops->access(root, &stranger, R_OK | X_OK), ==, 0);
	g_assert_cmpint(root->ops->access(root, &world.self, W_OK), ==, -EACCES);
	assert_missing(&world, "ns");
	assert_missing(&world, "posix.2");
	g_assert_true(root->ops->names_are_fixed);
}

static void the_readme_names_what_is_there(void)
{
	g_auto(World) world = {};
	world_start_with(&world, (TreeOptions){.no_ns = "-"});
	g_autofree char *text = world_text(&world, "README");
	g_autoptr(Node) node = world_node(&world, "README");
	g_autofree char *listed = world_list(&world, &world.self, "");
	g_auto(GStrv) names = g_strsplit(listed, " ", -1);

	for (char **name = names; *name; name++) {
		if (**name && strcmp(*name, "README") != 0 && !strstr(text, *name))
			g_error("README does not name %s", *name);
	}
	g_assert_null(strstr(text, "ns/NUMBER"));
	const struct stat st = node_stat(node);
	g_assert_cmpuint(st.st_size, ==, strlen(text)); /* cheap, so stat tells it */
	g_assert_cmpuint(st.st_mode, ==, S_IFREG | 0444);
	g_assert_cmpint(node->ops->access(node, &stranger, R_OK), ==, 0);
	g_assert_cmpint(node->ops->access(node, &world.self, W_OK), ==, -EACCES);
	assert_open(node, &world.self, O_RDWR, -EACCES);
	assert_open(node, &world.self, O_RDONLY | O_TRUNC, -EACCES);
	if (geteuid() == 0) {
		g_auto(World) with_namespaces = {};
		world_start(&with_namespaces);
		g_autofree char *longer = world_text(&with_namespaces, "README");
		g_assert_nonnull(strstr(longer, "ns/NUMBER"));
		assert_listed(&with_namespaces, "", "ns", true);
	}
}

static uint64_t number_behind(const char *text, const char *key)
{
	const char *line = strstr(text, key);

	if (!line)
		g_error("no %s in\n%s", key, text);
	return g_ascii_strtoull(line + strlen(key), NULL, 10);
}

static void limits_has_what_the_kernel_says(void)
{
	g_auto(World) world = {};
	SegfsLimits limits;
	struct statvfs shm;
	world_start(&world);
	/* Each processor keeps up to half a MiB of what is counted to itself. */
	enum { COUNTED = 16 << 20 };
	scoped_segment shmid = segment_make(COUNTED, 0600);
	void *memory = shmat(shmid, NULL, 0);
	g_assert_true(memory != (void *)-1);
	memset(memory, 1, COUNTED);
	g_assert_no_errno(shmdt(memory));
	tree_write(world.shm, "x", "some bytes");
	g_assert_cmpint(segfs_limits_read(world.tree->ns->ipc, &limits), ==, 0);
	autofd fd = open(world.shm, O_PATH | O_CLOEXEC);
	g_assert_no_errno(fstatvfs(fd, &shm));
	g_autofree char *text = world_text(&world, "limits");

	g_assert_cmpuint(number_behind(text, "shmmax: "), ==, limits.shmmax);
	g_assert_cmpuint(number_behind(text, "shmmni: "), ==, limits.shmmni);
	g_assert_cmpuint(number_behind(text, "shmall: "), ==, limits.shmall);
	g_assert_cmpuint(number_behind(text, "posix: "), ==, (uint64_t)shm.f_blocks * shm.f_frsize);
	g_assert_cmpuint(number_behind(text, "posix-objects: "), ==, shm.f_files);
	/* The object's one page. */
	g_assert_cmpuint(number_behind(text, "shmem-named: "), >=, 4096);
	g_assert_cmpuint(number_behind(text, "shmem: "), >, 0);
	number_behind(text, "shmem-unlinked: ");
	number_behind(text, "shmem-elsewhere: ");
	number_behind(text, "hugetlb: ");
	g_autoptr(Node) node = world_node(&world, "limits");
	g_assert_cmpint(node_stat(node).st_size, ==, 0); /* takes a look at processes */
}

/* The object of segments.json whose file is this, or NULL. */
static JsonObject *json_segment(JsonNode *root, const char *file)
{
	JsonArray *segments = json_object_get_array_member(json_node_get_object(root), "segments");

	for (guint i = 0; i < json_array_get_length(segments); i++) {
		JsonObject *object = json_array_get_object_element(segments, i);
		if (!strcmp(json_object_get_string_member(object, "file"), file))
			return object;
	}
	return NULL;
}

static void segments_json_has_them_all(void)
{
	g_auto(World) world = {};
	g_auto(Hold) hold = {};
	g_autoptr(GError) error = NULL;
	world_start_with(&world, (TreeOptions){.no_ns = "-"});
	scoped_segment shmid = segment_make(SIZE, 0640);
	tree_write(world.shm, "a/x", "some bytes");
	hold_start(&hold, take_memfd, "my");
	g_autofree char *file = g_strdup_printf("sysv/%d", shmid);
	g_autofree char *memfd =
		g_strdup_printf("unlinked/memfd-my-%" PRIu64, hold.taken.id.number);
	g_autofree char *text = world_text(&world, "segments.json");
	g_autoptr(JsonNode) root = json_from_string(text, &error);

	g_assert_no_error(error);
	JsonObject *segment = json_segment(root, file);
	JsonObject *object = json_segment(root, "posix/a/x");
	JsonObject *nameless = json_segment(root, memfd);
	g_assert_true(segment && object && nameless);
	g_assert_cmpint(json_object_get_int_member(segment, "size"), ==, SIZE);
	g_assert_cmpstr(json_object_get_string_member(segment, "verdict"), ==, "idle");
	g_assert_cmpint(json_object_get_int_member(object, "size"), ==, strlen("some bytes"));
	g_assert_cmpstr(json_object_get_string_member(nameless, "verdict"), ==, "in use");
	segment_remove(&shmid);
	shmid = -1;
	g_autofree char *later = world_text(&world, "segments.json");
	g_autoptr(JsonNode) without = json_from_string(later, &error);
	g_assert_no_error(error);
	g_assert_null(json_segment(without, file));
}

static void metrics_are_sums(void)
{
	g_auto(World) world = {};
	world_start_with(&world, (TreeOptions){.no_ns = "-"});
	g_autofree char *labels =
		g_strdup_printf("{namespace=\"%" PRIu64
				"\",kind=\"posix\",verdict=\"orphaned\",unlinked=\"false\"} ",
				segfs_ipc_inum(world.tree->ns->ipc));
	g_autofree char *count = g_strconcat("\nsegfs_segments", labels, NULL);
	g_autofree char *size = g_strconcat("\nsegfs_size_bytes", labels, NULL);
	g_autofree char *resident = g_strconcat("\nsegfs_resident_bytes", labels, NULL);
	g_autofree char *before = world_text(&world, "metrics");
	g_assert_cmpuint(number_behind(before, count), ==, 0); /* zeroes too */
	tree_write(world.shm, "x", "some bytes");
	tree_write(world.shm, "y", "more");
	g_autofree char *after = world_text(&world, "metrics");

	g_assert_cmpuint(number_behind(after, count), ==, 2);
	g_assert_cmpuint(number_behind(after, size), ==, strlen("some bytes") + strlen("more"));
	g_assert_cmpuint(number_behind(after, resident), ==, 2 * sysconf(_SC_PAGESIZE));
	g_assert_true(g_str_has_suffix(after, "# EOF\n"));
	g_assert_true(g_str_has_prefix(after, "# TYPE segfs_segments gauge\n"));
	g_assert_nonnull(strstr(after, "\nsegfs_shmmax_bytes{"));
	g_assert_nonnull(strstr(after, "\nsegfs_unexamined_processes{"));
	g_assert_nonnull(strstr(after, "\n# UNIT segfs_posix_used_bytes bytes\n"));
	g_assert_nonnull(strstr(after, "\nsegfs_posix_used_inodes{"));
}

/* A text is of the moment of its open, however it is read. */
static void an_open_text_stays_as_it_was(void)
{
	g_auto(World) world = {};
	world_start_with(&world, (TreeOptions){.no_ns = "-"});
	g_autoptr(Node) node = world_node(&world, "segments.json");
	g_autoptr(File) file = node_open(node, &world.self, O_RDONLY);
	g_autofree char *before = file_bytes(file, 1 << 20, 0);
	tree_write(world.shm, "segfs-new", "x");
	g_autofree char *later = file_bytes(file, 1 << 20, 0);
	g_autofree char *anew = node_text(node, &world.self);

	g_assert_cmpstr(before, ==, later);
	g_assert_nonnull(strstr(anew, "segfs-new"));
	g_autofree char *part = file_bytes(file, 5, 1);
	g_assert_cmpint(strncmp(part, before + 1, 5), ==, 0);
	g_autofree char *end = file_bytes(file, 5, 1 << 30);
	g_assert_cmpstr(end, ==, "");
	g_assert_true(!file->ops->write && !file->ops->memory_fd && !file->ops->allocate);
}

/* Of text that does not become less when it is compressed. */
static int open_long(Node *node, const SegfsCaller *caller, gsize megabytes, File **ret_file)
{
	GString *text = g_string_sized_new(megabytes << 20);
	uint64_t random = 1;

	text->len = megabytes << 20;
	for (gsize at = 0; at + sizeof(random) <= text->len; at += sizeof(random)) {
		random = random * 6364136223846793005ULL + 1442695040888963407ULL;
		const uint64_t mixed = random ^ random >> 32;
		memcpy(text->str + at, &mixed, sizeof(mixed));
	}
	return text_file_new((TextNode *)node, caller, O_RDONLY, text, ret_file);
}

/* What is open is our memory: a user may have 64 MiB of it, or one file of any length. */
static void a_user_has_so_much_text_open_and_no_more(void)
{
	const SegfsCaller root = {};
	g_auto(World) world = {};
	File *first = NULL, *second = NULL, *third = NULL;
	world_start(&world);
	g_autoptr(Node) node = world_node(&world, "README");

	g_assert_cmpint(open_long(node, &stranger, 70, &first), ==, 0);
	g_assert_cmpint(open_long(node, &stranger, 1, &second), ==, -ENOMEM);
	g_assert_null(second);
	file_unref(first);
	g_assert_cmpint(open_long(node, &stranger, 40, &first), ==, 0);
	g_assert_cmpint(open_long(node, &stranger, 20, &second), ==, 0);
	g_assert_cmpint(open_long(node, &stranger, 20, &third), ==, -ENOMEM);
	file_unref(first);
	g_assert_cmpint(open_long(node, &stranger, 20, &third), ==, 0);
	g_assert_cmpint(open_long(node, &root, 40, &first), ==, 0);
	file_unref(first);
	file_unref(second);
	file_unref(third);
	g_assert_cmpuint(g_hash_table_size(world.tree->held), ==, 0);
}

static File *open_text(Node *node, const char *text)
{
	const SegfsCaller root = {};
	File *file = NULL;

	g_assert_cmpint(text_file_new((TextNode *)node, &root, O_RDONLY, g_string_new(text), &file),
			==, 0);
	return file;
}

static off_t size_of(Node *node)
{
	struct stat st;

	g_assert_cmpint(node->ops->getattr(node, true, &st), ==, 0);
	return st.st_size;
}

/* The kernel has one cache and one size for all opens of a file. */
static void the_kernel_caches_only_what_is_the_same_for_all(void)
{
	g_auto(World) world = {};
	world_start(&world);
	g_autoptr(Node) node = world_node(&world, "limits");

	g_assert_cmpint(size_of(node), ==, 0);
	File *first = open_text(node, "one");
	g_assert_cmpint(size_of(node), ==, 3);
	g_assert_cmpint(first->ops->length(first), ==, 3);
	File *same = open_text(node, "one");
	g_assert_true(first->ops->may_be_cached(first) && same->ops->may_be_cached(same));
	File *other = open_text(node, "three");
	g_assert_false(first->ops->may_be_cached(first) || other->ops->may_be_cached(other));
	g_assert_cmpint(size_of(node), ==, 5);
	file_unref(other);
	/* The kernel may still take 5 for the size. */
	g_assert_false(first->ops->may_be_cached(first));
	file_unref(first);
	file_unref(same);
	g_assert_cmpint(size_of(node), ==, 0);
	File *later = open_text(node, "two");
	g_assert_true(later->ops->may_be_cached(later));
	file_unref(later);
}

/* Nobody has looked since: the kernel takes the longer text's length for that of the shorter. */
static void what_shrank_unseen_is_not_cached(void)
{
	g_auto(World) world = {};
	world_start(&world);
	g_autoptr(Node) node = world_node(&world, "limits");
	g_autofree char *text = g_strnfill(1 << 20, 'x');

	file_unref(open_text(node, text));
	File *file = open_text(node, "short");
	g_assert_false(file->ops->may_be_cached(file));
	file_unref(file);
	g_assert_cmpint(size_of(node), ==, 0);
	file = open_text(node, "short");
	g_assert_true(file->ops->may_be_cached(file));
	file_unref(file);
}

static void a_tree_needs_its_directory_of_objects(void)
{
	Tree *tree = NULL;
	const TreeOptions options = {.shm_dir = "/nonexistent", .no_ns = "-"};

	g_assert_cmpint(tree_new(&options, &tree), ==, -ENOENT);
	g_assert_null(tree);
}

/* What the kernel knows of and has open when a mount ends goes with the tree. */
static void a_tree_takes_what_is_open_with_it(void)
{
	g_auto(World) world = {};
	Listing *listing = NULL;
	world_start(&world);
	scoped_segment shmid = segment_make(SIZE, 0600);
	Node *node = world_node_of(&world, "sysv/%d", shmid);
	Node *sysv = world_node(&world, "sysv");

	g_assert_true(node_open(node, &world.self, O_RDONLY) != NULL);
	g_assert_cmpint(sysv->ops->list(sysv, &world.self, &listing), ==, 0);
	node_remember(node);
	node_remember(node);
	node_forget(node, 0);
	node_forget(node, 1);
	node_unref(node);
	node_unref(sysv);
	g_assert_cmpuint(g_hash_table_size(world.tree->known), ==, 1);
	g_assert_cmpuint(g_hash_table_size(world.tree->files), ==, 1);
	g_assert_cmpuint(g_hash_table_size(world.tree->listings), ==, 1);
	g_clear_pointer(&world.tree, tree_free);
	/* Nothing has it attached any more, so it goes at once. */
	g_assert_cmpuint(segment_kernel(shmid).shm_nattch, ==, 0);
}

int main(int argc, char **argv)
{
	unit_init(&argc, &argv);
	g_test_add_func("/tree-texts/top", the_top_has_its_names);
	g_test_add_func("/tree-texts/README", the_readme_names_what_is_there);
	g_test_add_func("/tree-texts/limits", limits_has_what_the_kernel_says);
	g_test_add_func("/tree-texts/segments.json", segments_json_has_them_all);
	g_test_add_func("/tree-texts/metrics", metrics_are_sums);
	g_test_add_func("/tree-texts/open", an_open_text_stays_as_it_was);
	g_test_add_func("/tree-texts/bound", a_user_has_so_much_text_open_and_no_more);
	g_test_add_func("/tree-texts/cached-only-if-the-same",
			the_kernel_caches_only_what_is_the_same_for_all);
	g_test_add_func("/tree-texts/shrank-unseen", what_shrank_unseen_is_not_cached);
	g_test_add_func("/tree-texts/no directory", a_tree_needs_its_directory_of_objects);
	g_test_add_func("/tree-texts/end", a_tree_takes_what_is_open_with_it);
	return g_test_run();
}
