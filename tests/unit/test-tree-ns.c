/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The directory ns/ of a tree: other IPC namespaces, each as long as a process lives in it. */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/os/autofd.h"
#include "lib/os/errand.h"
#include "lib/process/scan.h"
#include "tree_world.h"

enum { SIZE = 5000 };

/* A process in an IPC namespace of its own, and in a mount namespace with a /dev/shm of its own. */
typedef struct {
	Hold hold;
	int shmid; /* of the segment that it has attached there */
	uint64_t inum;
	char path[64]; /* of its directory in the tree */
} Container;

static bool write_text(const char *path, const char *text)
{
	const int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && close(fd) == 0;
}

static bool take_container(Taken *taken, const void *unused)
{
	if (unshare(CLONE_NEWIPC | CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", "/dev/shm", "tmpfs", 0, "size=1m,mode=1777") < 0)
		return false;
	return write_text("/dev/shm/inside", "some bytes") && take_segment(taken, NULL);
}

static void container_start(Container *container)
{
	hold_start(&container->hold, take_container, NULL);
	container->shmid = container->hold.taken.id.number;
	g_autofree char *path = g_strdup_printf("/proc/%d/ns/ipc", container->hold.pid);
	struct stat st;
	g_assert_no_errno(stat(path, &st));
	container->inum = st.st_ino;
	g_snprintf(container->path, sizeof(container->path), "ns/%" PRIu64, container->inum);
}

static void container_stop(Container *container)
{
	hold_stop(&container->hold);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Container, container_stop)

static bool start(World *world, Container *container)
{
	if (!unit_need_root())
		return false;
	world_start(world);
	container_start(container);
	return true;
}

static char *path_in(const Container *container, const char *path)
{
	return g_build_filename(container->path, path, NULL);
}

static Node *node_in(World *world, const Container *container, const char *path)
{
	return world_node_of(world, "%s/%s", container->path, path);
}

static void a_namespace_has_its_own_directories(void)
{
	g_auto(Container) container = {};
	g_auto(World) world = {};
	if (!start(&world, &container))
		return;
	g_autofree char *inum = g_strdup_printf("%" PRIu64, container.inum);
	g_autofree char *id = g_strdup_printf("%d", container.shmid);
	g_autofree char *sysv = path_in(&container, "sysv");
	g_autofree char *posix = path_in(&container, "posix");

	assert_listed(&world, "ns", inum, true);
	g_autofree char *names = world_list(&world, &world.self, container.path);
	g_assert_cmpstr(names, ==, "info key limits msg orphans posix sem sysv unlinked ");
	assert_listed(&world, sysv, id, true);
	g_autofree char *objects = world_list(&world, &world.self, posix);
	g_assert_cmpstr(objects, ==, "inside ");
	g_autoptr(Node) node = node_in(&world, &container, "");
	g_autoptr(Node) again = node_in(&world, &container, "");
	g_assert_true(node == again);
	g_assert_cmpuint(node_stat(node).st_mode, ==, S_IFDIR | 0500);
	g_assert_true(ipcns_is_foreign(node->ns));
	g_assert_false(ipcns_is_foreign(world.tree->ns));
}

static void what_is_done_there_is_done_in_it(void)
{
	g_auto(Container) container = {};
	g_auto(World) world = {};
	if (!start(&world, &container))
		return;
	const SegfsCaller *self = &world.self;
	/* The same id here: none of it may be touched. */
	scoped_segment here = segment_make(2 * SIZE, 0600);
	g_autofree char *id = g_strdup_printf("%d", container.shmid);
	g_autoptr(Node) sysv = node_in(&world, &container, "sysv");
	g_autoptr(Node) node = world_node_of(&world, "%s/sysv/%s", container.path, id);
	g_autoptr(Node) posix = node_in(&world, &container, "posix");

	g_assert_cmpint(here, ==, container.shmid);
	g_autoptr(Node) ours = world_node_of(&world, "sysv/%d", here);
	g_assert_true(ours != node);
	g_assert_cmpint(node_stat(node).st_size, ==, SIZE);
	g_assert_cmpuint(node_stat(node).st_nlink, ==, 2);
	g_autoptr(File) file = node_open(node, self, O_RDWR);
	g_assert_cmpint(file_write(file, self, "there", 0), ==, 5);
	g_autofree char *bytes = file_bytes(file, 5, 0);
	g_assert_cmpstr(bytes, ==, "there");
	g_clear_pointer(&file, file_unref);
	g_assert_cmpint(node_chmod(node, self, 0640), ==, 0);
	g_assert_cmpuint(segment_kernel(here).shm_perm.mode & 0777, ==, 0600);
	g_assert_cmpint(sysv->ops->remove(sysv, self, id, false), ==, 0);
	g_assert_cmpuint(segment_kernel(here).shm_segsz, ==, 2 * SIZE);
	g_autofree char *unlinked = path_in(&container, "unlinked");
	g_autofree char *name = g_strdup_printf("sysv-%d", container.shmid);
	assert_listed(&world, unlinked, name, true);
	g_autoptr(Node) inside = world_node_of(&world, "%s/posix/inside", container.path);
	g_autofree char *text = NULL;
	g_autoptr(File) object = node_open(inside, self, O_RDWR);
	text = file_bytes(object, 10, 0);
	g_assert_cmpstr(text, ==, "some bytes");
	g_assert_cmpint(posix->ops->remove(posix, self, "inside", false), ==, 0);
	g_assert_cmpint(node_stat(inside).st_size, ==, 10); /* it is open */
}

static void its_texts_are_of_it(void)
{
	g_auto(Container) container = {};
	g_auto(World) world = {};
	if (!start(&world, &container))
		return;
	g_autofree char *inum = g_strdup_printf("%" PRIu64, container.inum);
	g_autofree char *pid = g_strdup_printf("%d", container.hold.pid);
	g_autofree char *of_namespace = path_in(&container, "info/namespace");
	g_autofree char *of_info = path_in(&container, "info");
	g_autofree char *of_segment =
		g_strdup_printf("%s/info/sysv/%d", container.path, container.shmid);
	g_autofree char *of_object = path_in(&container, "info/posix/inside");
	g_autofree char *of_limits = path_in(&container, "limits");

	g_autofree char *names = world_list(&world, &world.self, of_info);
	g_assert_cmpstr(names, ==, "key msg namespace posix sem sysv unlinked ");
	g_autofree char *about = world_text(&world, of_namespace);
	g_autofree char *number = text_value(about, "Namespace");
	g_autofree char *processes = text_value(about, "Processes");
	g_autofree char *oldest = text_value(about, "Oldest");
	g_autofree char *posix = text_value(about, "Posix");
	g_assert_cmpstr(number, ==, inum);
	g_assert_cmpstr(processes, ==, "1");
	g_assert_true(g_str_has_prefix(oldest, pid));
	g_assert_nonnull(strstr(posix, pid));
	g_autofree char *segment = world_text(&world, of_segment);
	g_autofree char *there = text_value(segment, "Namespace");
	g_autofree char *removal = text_value(segment, "Remove");
	g_assert_cmpstr(there, ==, inum);
	g_assert_nonnull(strstr(segment, "Verdict:\tin use\n"));
	g_assert_null(strstr(removal, "ipcrm")); /* here it is another's number */
	g_autofree char *object = world_text(&world, of_object);
	g_assert_nonnull(strstr(object, "Size:\t10 bytes\n"));
	g_autofree char *limits = world_text(&world, of_limits);
	g_assert_nonnull(strstr(limits, "posix: 1048576 bytes, "));
}

static void reports_at_the_top_have_it_for_root(void)
{
	enum { TRIES = 50 };
	g_auto(Container) container = {};
	g_auto(World) world = {};
	if (!start(&world, &container))
		return;
	g_autofree char *file = g_strdup_printf("\"%s/sysv/%d\"", container.path, container.shmid);
	g_autofree char *label = g_strdup_printf("namespace=\"%" PRIu64 "\"", container.inum);
	g_autoptr(Node) json = world_node(&world, "segments.json");
	g_autoptr(Node) metrics = world_node(&world, "metrics");

	g_autofree char *all = NULL;
	guint64 n = 0;
	/* Which namespaces there are, and who holds what; of others that end meanwhile it is asked
	 * anew.
	 */
	for (int i = 0; i < TRIES && n != 2; i++) {
		const guint64 before = scanner_n_walks(world.tree->scanner);
		g_free(all);
		all = node_text(json, &world.self);
		n = scanner_n_walks(world.tree->scanner) - before;
	}
	g_assert_cmpuint(n, ==, 2);
	g_autofree char *sums = node_text(metrics, &world.self);
	g_assert_nonnull(strstr(all, file));
	g_assert_nonnull(strstr(sums, label));
	g_autofree char *some = node_text(json, &stranger);
	g_autofree char *less = node_text(metrics, &stranger);
	g_assert_null(strstr(some, file));
	g_assert_null(strstr(less, label));
}

/* As the mount does: a reading thread, and a worker where that one may not wait. */
static void list_in_turn(Node *directory, const SegfsCaller *caller)
{
	Errand errand = {.must_not_wait = true};
	g_autoptr(Listing) listing = NULL;

	errand_begin(&errand);
	int r = directory->ops->list(directory, caller, &listing);
	errand_end();
	if (r < 0 && errand.has_refused)
		r = directory->ops->list(directory, caller, &listing);
	g_assert_cmpint(r, ==, 0);
}

static void one_scan_does_for_a_walk(void)
{
	enum { IN_TIME = 900 * 1000 }; /* a walk's scan serves for a second */
	g_auto(Container) container = {};
	g_auto(World) world = {};
	gint64 from;
	guint64 before, after, again;
	if (!start(&world, &container))
		return;
	SegfsScanner *scanner = world.tree->scanner;
	g_autoptr(Node) ns = world_node(&world, "ns");
	g_autoptr(Node) node = node_in(&world, &container, "");
	g_autoptr(Node) info = node_in(&world, &container, "info");

	do {
		from = g_get_monotonic_time();
		list_in_turn(ns, &world.self);
		before = scanner_n_walks(scanner);
		list_in_turn(node, &world.self);
		list_in_turn(info, &world.self);
		after = scanner_n_walks(scanner);
		list_in_turn(info, &world.self);
		again = scanner_n_walks(scanner);
	} while (g_get_monotonic_time() - from > IN_TIME);
	g_assert_cmpuint(after, ==, before);
	g_assert_cmpuint(again, ==, after + 1);
}

static void only_who_may_enter_a_namespace_sees_it(void)
{
	g_auto(Container) container = {};
	g_auto(World) world = {};
	Listing *listing = NULL;
	Node *none = NULL;
	if (!start(&world, &container))
		return;
	const SegfsCaller weak = {.caps = ~(1ULL << CAP_SYS_ADMIN)}; /* a root */
	g_autoptr(Node) ns = world_node(&world, "ns");
	g_autoptr(Node) node = node_in(&world, &container, "");
	g_autofree char *inum = g_strdup_printf("%" PRIu64, container.inum);
	const SegfsCaller *const others[] = {&stranger, &weak};

	for (guint i = 0; i < G_N_ELEMENTS(others); i++) {
		g_assert_false(caller_may_enter(others[i]));
		g_assert_cmpint(ns->ops->list(ns, others[i], &listing), ==, -EACCES);
		g_assert_cmpint(ns->ops->lookup(ns, others[i], inum, &none), ==, -EACCES);
		g_assert_cmpint(ns->ops->access(ns, others[i], R_OK), ==, -EACCES);
		g_assert_cmpint(node->ops->access(node, others[i], X_OK), ==, -EACCES);
	}
	g_assert_cmpint(ns->ops->access(ns, &world.self, R_OK | X_OK), ==, 0);
	g_assert_cmpint(ns->ops->access(ns, &world.self, W_OK), ==, -EACCES);
	g_assert_cmpuint(node_stat(ns).st_mode, ==, S_IFDIR | 0500);
}

static void it_goes_with_its_last_process(void)
{
	g_auto(Container) container = {};
	g_auto(World) world = {};
	Listing *listing = NULL;
	Node *none = NULL;
	File *file = NULL;
	if (!start(&world, &container))
		return;
	g_autofree char *inum = g_strdup_printf("%" PRIu64, container.inum);
	g_autoptr(Node) node = node_in(&world, &container, "");
	g_autoptr(Node) sysv = node_in(&world, &container, "sysv");
	g_autoptr(Node) segment =
		world_node_of(&world, "%s/sysv/%d", container.path, container.shmid);
	g_autoptr(Node) about = node_in(&world, &container, "info/namespace");

	/* As long as it is open nobody else's namespace gets its number. */
	g_autofree char *path = g_strdup_printf("/proc/%d/ns/ipc", container.hold.pid);
	autofd kept = open(path, O_RDONLY | O_CLOEXEC);
	g_assert_no_errno(kept);
	hold_stop(&container.hold);
	assert_missing(&world, container.path);
	assert_listed(&world, "ns", inum, false);
	/* Who is in it already finds nothing there. */
	g_assert_cmpint(node->ops->list(node, &world.self, &listing), ==, -ENOENT);
	g_assert_cmpint(sysv->ops->list(sysv, &world.self, &listing), ==, -ENOENT);
	g_assert_cmpint(sysv->ops->lookup(sysv, &world.self, "0", &none), ==, -ENOENT);
	g_assert_cmpint(segment->ops->open(segment, &world.self, O_RDONLY, &file), ==, -ENOENT);
	g_assert_cmpint(about->ops->open(about, &world.self, O_RDONLY, &file), ==, -ENOENT);
}

static void other_numbers_are_not_there(void)
{
	g_auto(World) world = {};
	if (!unit_need_root())
		return;
	world_start(&world);
	static const char *const names[] = {"0",           "1",          "x",          "-1",
					    "04026531839", "4294967295", "99999999999"};
	g_autofree char *own = g_strdup_printf("ns/%" PRIu64, segfs_ipc_inum(world.tree->ns->ipc));

	for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
		g_autofree char *path = g_strconcat("ns/", names[i], NULL);
		assert_missing(&world, path);
	}
	assert_missing(&world, own); /* that is the tree itself */
}

int main(int argc, char **argv)
{
	unit_init(&argc, &argv);
	g_test_add_func("/tree-ns/directories", a_namespace_has_its_own_directories);
	g_test_add_func("/tree-ns/acts inside", what_is_done_there_is_done_in_it);
	g_test_add_func("/tree-ns/texts", its_texts_are_of_it);
	g_test_add_func("/tree-ns/reports", reports_at_the_top_have_it_for_root);
	g_test_add_func("/tree-ns/one scan", one_scan_does_for_a_walk);
	g_test_add_func("/tree-ns/may enter", only_who_may_enter_a_namespace_sees_it);
	g_test_add_func("/tree-ns/goes", it_goes_with_its_last_process);
	g_test_add_func("/tree-ns/other numbers", other_numbers_are_not_there);
	return g_test_run();
}
