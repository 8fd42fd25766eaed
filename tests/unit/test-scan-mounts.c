/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which devices a scan takes for shared memory, from the mountinfo of a made /proc. */

#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "lib/process/scan.h"
#include "scan_world.h"

#define MNT2 4026532500u
#define MNT3 4026532600u
#define SHM(id, dev) id " 25 0:" dev " / /dev/shm rw,nosuid shared:4 - tmpfs tmpfs rw,size=1k\n"
#define ROOT "25 1 254:0 / / rw,relatime shared:1 - ext4 /dev/root rw\n"

static SegfsId on(guint minor_number, uint64_t inode)
{
	return (SegfsId){SEGFS_POSIX, makedev(0, minor_number), inode};
}

static void assert_held(const World *world, guint minor_number, uint64_t inode, const char *pids)
{
	const SegfsId id = on(minor_number, inode);

	assert_held_by(world, &id, pids);
}

static void assert_held_by_two(const World *world, SegfsId id, int one, int other)
{
	g_autoptr(SegfsScan) scan = scan_now(world->scanner);

	g_assert_nonnull(scan_holder(scan, &id, one));
	g_assert_nonnull(scan_holder(scan, &id, other));
	g_assert_cmpuint(segfs_scan_find(scan, &id)->holders->len, ==, 2);
}

/* Something that it has mapped of nobody's interest, so that it is no thread of the kernel. */
#define OWN "1000-2000 r-xp 00000000 fe:00 123 /usr/bin/program\n"

static void dev_shm_of_each_mount_namespace_counts(void)
{
	g_auto(World) world = {};
	world_start(&world);
	world_mounts(&world, 1, NS_MNT, ROOT SHM("30", "224"));
	world_process(&world, 10, "inside", OWN RANGE " rw-s 00000000 00:e1 5 /dev/shm/x\n");
	world_mounts(&world, 10, MNT2, ROOT SHM("40", "225"));
	world_fd(&world, 10, 3, "/dev/shm/y", 40, 6);
	world_process(&world, 11, "outside", OWN RANGE " rw-s 00000000 00:e0 5 /dev/shm/x\n");
	world_fd(&world, 11, 3, "/dev/shm/y", 30, 6);
	/* In a namespace with none: theirs are held by whoever got their descriptors. */
	world_process(&world, 12, "none", OWN);
	world_mounts(&world, 12, MNT3, ROOT);
	world_fd(&world, 12, 3, "/dev/shm/y", 40, 6);
	world_fd(&world, 12, 4, "/dev/shm/y", 50, 6);

	assert_held(&world, 0xe0, 5, "11");
	assert_held(&world, 0xe0, 6, "11");
	assert_held(&world, 0xe1, 5, "10");
	assert_held_by_two(&world, on(0xe1, 6), 10, 12);
}

static void the_one_that_is_mounted_over_is_the_one_of_its_namespace(void)
{
	g_auto(World) world = {};
	world_start(&world);
	world_mounts(&world, 1, NS_MNT, ROOT SHM("30", "224") SHM("31", "225"));
	world_process(&world, 10, "below", OWN RANGE " rw-s 00000000 00:e0 5 /dev/shm/x\n");
	world_fd(&world, 10, 3, "/dev/shm/y", 31, 6);
	dev_t dev = 0;

	/* What was opened below stays shared memory. */
	assert_held(&world, 0xe0, 5, "10");
	assert_held(&world, 0xe1, 6, "10");
	tree_write(world.proc, "self/mountinfo", "");
	g_assert_true(process_shm(world.proc, 1, &dev));
	g_assert_true(dev == makedev(0, 0xe1));
	/* By what is none: then it has none. */
	world_mounts(&world, 1, NS_MNT,
		     SHM("30", "224") "31 25 0:225 /directory /dev/shm rw - tmpfs tmpfs rw\n");
	g_assert_false(process_shm(world.proc, 1, &dev));
}

/* In a namespace of one's own any tmpfs of the host can be bound to /dev/shm, /run too. */
static void another_tmpfs_of_the_host_is_no_dev_shm(void)
{
	static const struct {
		const char *ours;
		bool expected;
	} rows[] = {
		{ROOT, true},
		{ROOT SHM("30", "224"), true},
		{ROOT "31 25 0:224 / /run/sandbox/shm rw - tmpfs shm rw\n", true},
		{ROOT "31 25 0:224 / /run rw - tmpfs tmpfs rw\n", false},
		{SHM("30", "224") "31 25 0:224 /x /run/shmx rw - tmpfs tmpfs rw\n", false},
		{ROOT "31 25 0:225 / /run rw - tmpfs tmpfs rw\n", true},
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_auto(World) world = {};
		dev_t dev = 0;
		world_start(&world);
		world_mounts(&world, 1, NS_MNT, ROOT SHM("30", "224"));
		/* Where ours cannot be read it is not known. */
		g_assert_false(process_shm(world.proc, 1, &dev));
		tree_write(world.proc, "self/mountinfo", rows[i].ours);
		g_assert_cmpint(process_shm(world.proc, 1, &dev), ==, rows[i].expected);
		g_assert_false(process_shm(world.proc, 2, &dev));
	}
}

static void only_dev_shm_is_dev_shm(void)
{
	static const char *const lines[] = {
		"30 25 0:224 / /run rw - tmpfs tmpfs rw\n",
		"30 25 0:224 / /dev/shm/inside rw - tmpfs tmpfs rw\n",
		"30 25 0:224 / /dev/shm2 rw - tmpfs tmpfs rw\n",
		"30 25 0:224 / /old/dev/shm rw - tmpfs tmpfs rw\n",
		"30 25 0:224 / /dev/shm//deleted rw - tmpfs tmpfs rw\n",
		"30 25 0:224 / /dev/shm\\040 rw - tmpfs tmpfs rw\n",
		/* Cut, or none at all. */
		"30 25 0:224 / /dev/shm\n",
		"30 25 0:224 / /dev/shm rw\n",
		"30 25 0:224 / /dev/shm rw - \n30 25 0:224",
		/* What a user has bound there, in a namespace of their own. */
		"30 25 0:224 /directory /dev/shm rw - tmpfs tmpfs rw\n",
		"30 25 0:224 / /dev/shm rw - ext4 /dev/sda1 rw\n",
		"30 25 0:224 / /dev/shm rw - fuse.sshfs host: rw\n",
		"30 25 224 / /dev/shm rw - tmpfs tmpfs rw\n",
		"30 25  / /dev/shm rw - tmpfs tmpfs rw\n",
		"    \n",
		" - tmpfs\n",
		"\n\n\n",
		"garbage\n",
		"",
	};

	for (guint i = 0; i < G_N_ELEMENTS(lines); i++) {
		g_auto(World) world = {};
		dev_t dev;
		world_start(&world);
		world_mounts(&world, 1, NS_MNT, lines[i]);
		world_process(&world, 10, "any", OWN RANGE " rw-s 00000000 00:e0 5 /dev/shm/x\n");
		world_fd(&world, 10, 3, "/dev/shm/y", 30, 6);
		tree_write(world.proc, "self/mountinfo", "");
		assert_held(&world, 0xe0, 5, "");
		g_assert_false(process_shm(world.proc, 1, &dev));
	}
}

static void optional_fields_do_not_matter(void)
{
	static const char *const lines[] = {
		"30 25 0:224 / /dev/shm rw - tmpfs tmpfs rw\n",
		"30 25 0:224 / /dev/shm rw,noexec shared:4 - tmpfs shm rw,size=65536k\n",
		"30 25 0:224 / /dev/shm rw shared:4 master:2 propagate_from:1 - tmpfs - rw\n",
		"30 25 0:224 / /dev/shm rw unbindable - tmpfs a\\040b rw",
		"garbage\n\n30 25 0:224 / /dev/shm rw - tmpfs tmpfs rw\ngarbage\n",
	};

	for (guint i = 0; i < G_N_ELEMENTS(lines); i++) {
		g_auto(World) world = {};
		world_start(&world);
		world_mounts(&world, 1, NS_MNT, lines[i]);
		world_process(&world, 10, "any", OWN);
		world_fd(&world, 10, 3, "/dev/shm/y", 30, 6);
		assert_held(&world, 0xe0, 6, "10");
	}
}

/* Containers' /dev/shm is often on the host, too, under another name. */
static void a_device_counts_wherever_it_is_mounted(void)
{
	g_auto(World) world = {};
	world_start(&world);
	world_mounts(&world, 1, NS_MNT,
		     ROOT SHM("30", "224") "31 25 0:224 / /mnt/same rw - tmpfs tmpfs rw\n");
	world_process(&world, 10, "any", OWN);
	world_fd(&world, 10, 3, "/mnt/same/y", 31, 6);
	assert_held(&world, 0xe0, 6, "10");
}

static void it_counts_also_where_its_dev_shm_is_seen_later(void)
{
	/* In both orders: which of two is seen first is up to the file system. */
	for (int outside = 10; outside <= 11; outside++) {
		const int inside = 21 - outside;
		g_auto(World) world = {};
		world_start(&world);
		world_mounts(&world, 1, NS_MNT, ROOT SHM("30", "224"));
		world_process(&world, outside, "outside",
			      OWN RANGE " rw-s 00000000 00:e1 5 /run/sandbox/shm/x\n");
		world_mounts(&world, outside, MNT3,
			     ROOT "31 25 0:225 / /run/sandbox/shm rw - tmpfs shm rw\n");
		world_fd(&world, outside, 3, "/run/sandbox/shm/y", 31, 6);
		world_process(&world, inside, "inside", OWN);
		world_mounts(&world, inside, MNT2, ROOT SHM("40", "225"));
		world_fd(&world, inside, 3, "/dev/shm/y", 40, 6);
		g_autofree char *its = g_strdup_printf("%d", outside);
		assert_held(&world, 0xe1, 5, its);
		assert_held_by_two(&world, on(0xe1, 6), 10, 11);
	}
}

/* The one whose mounts are read can end meanwhile: others of its namespace have them, too. */
static void one_that_vanishes_takes_no_mounts_along(void)
{
	for (int gone = 10; gone <= 12; gone++) {
		g_auto(World) world = {};
		world_start(&world);
		for (int pid = 10; pid <= 12; pid++) {
			world_process(&world, pid, "inside", OWN);
			world_mounts(&world, pid, MNT2, ROOT SHM("40", "225"));
			world_fd(&world, pid, 3, "/dev/shm/y", 40, 6);
		}
		g_autofree char *mountinfo = g_strdup_printf("%s/%d/mountinfo", world.proc, gone);
		g_assert_no_errno(unlink(mountinfo));
		g_autoptr(SegfsScan) scan = scan_now(world.scanner);
		const SegfsId id = on(0xe1, 6);
		for (int pid = 10; pid <= 12; pid++)
			g_assert_nonnull(scan_holder(scan, &id, pid));
	}
}

static void a_watched_device_counts(void)
{
	g_auto(World) world = {};
	world_start(&world);
	world_mounts(&world, 1, NS_MNT, ROOT "31 25 0:226 / /srv/objects rw - tmpfs tmpfs rw\n");
	world_process(&world, 10, "any", OWN RANGE " rw-s 00000000 00:e2 5 /srv/objects/x\n");
	world_fd(&world, 10, 3, "/srv/objects/y", 31, 6);
	assert_held(&world, 0xe2, 5, "");
	scanner_watch(world.scanner, makedev(0, 226));
	assert_held(&world, 0xe2, 5, "10");
	assert_held(&world, 0xe2, 6, "10");
}

/* A line of mountinfo of a segfs mount; and what a scan makes of it. */
static guint mounts_in(const char *type_and_more)
{
	g_auto(World) world = {};
	world_start(&world);
	g_autofree char *line = g_strdup_printf(ROOT "50 25 0:240 / /mnt rw - %s\n", type_and_more);
	world_mounts(&world, 1, NS_MNT, line);
	g_autoptr(SegfsScan) scan = scan_now(world.scanner);

	return scan_mounts(scan);
}

static void segfs_mounts_of_root_and_ours_are_counted(void)
{
	g_autofree char *ours = g_strdup_printf(
		"fuse.segfs segfs rw,user_id=%u,group_id=0,default_permissions", geteuid());

	g_assert_cmpuint(mounts_in("fuse.segfs segfs rw,user_id=0,group_id=0,allow_other"), ==, 1);
	g_assert_cmpuint(mounts_in(ours), ==, 1);
	g_assert_cmpuint(mounts_in("fuse.segfs segfs rw,user_id=54321,group_id=0"), ==, 0);
	g_assert_cmpuint(mounts_in("fuse.sshfs segfs rw,user_id=0,group_id=0"), ==, 0);
	g_assert_cmpuint(mounts_in("fuse.segfsx segfs rw,user_id=0,group_id=0"), ==, 0);
	g_assert_cmpuint(mounts_in("tmpfs fuse.segfs rw,user_id=0,group_id=0"), ==, 0);
	g_assert_cmpuint(mounts_in("fuse.segfs"), ==, 0);
}

/* What comes before the options is of the mounter's choice. */
static void the_source_of_a_mount_is_not_its_user(void)
{
	g_assert_cmpuint(mounts_in("fuse.segfs user_id=0, rw,user_id=54321,group_id=0"), ==, 0);
	g_assert_cmpuint(mounts_in("fuse.segfs a,user_id=0,b rw,user_id=54321,group_id=0"), ==, 0);
}

static void a_mount_in_two_namespaces_is_one(void)
{
	g_auto(World) world = {};
	world_start(&world);
	world_mounts(&world, 1, NS_MNT,
		     ROOT "50 25 0:240 / /mnt rw - fuse.segfs segfs rw,user_id=0,group_id=0\n"
			  "51 25 0:240 /sysv /mnt2 rw - fuse.segfs segfs rw,user_id=0,group_id=0\n"
			  "52 25 0:241 / /mnt3 rw - fuse.segfs segfs rw,user_id=0,group_id=0\n");
	world_process(&world, 10, "inside", OWN);
	world_mounts(&world, 10, MNT2,
		     "60 25 0:240 / /mnt rw - fuse.segfs segfs rw,user_id=0,group_id=0\n");
	g_autoptr(SegfsScan) scan = scan_now(world.scanner);

	g_assert_cmpuint(scan_mounts(scan), ==, 2);
}

/* Real files stand for those of the mount: what is asked of them is their inode number. */
static void what_is_held_through_a_mount_has_the_mounts_number(void)
{
	g_auto(World) world = {};
	world_start(&world);
	world_mounts(&world, 1, NS_MNT,
		     ROOT "50 25 0:240 / /mnt rw - fuse.segfs segfs rw,user_id=0,group_id=0\n");
	tree_write(world.proc, "files/5", "five");
	tree_write(world.proc, "files/6", "six");
	g_autofree char *five = g_build_filename(world.proc, "files/5", NULL);
	g_autofree char *six = g_build_filename(world.proc, "files/6", NULL);
	world_process(&world, 10, "any",
		      OWN RANGE " rw-s 00000000 00:f0 999 /mnt/sysv/5\n"
				"1000-2000 rw-s 00000000 00:f0 999 /mnt/sysv/5\n");
	world_link(&world, 10, "map_files/" RANGE, five);
	world_link(&world, 10, "map_files/1000-2000", five);
	world_fd(&world, 10, 3, six, 50, 999);
	g_autoptr(SegfsScan) scan = scan_now(world.scanner);
	struct stat st5, st6;
	g_assert_no_errno(stat(five, &st5));
	g_assert_no_errno(stat(six, &st6));
	const SegfsHeld *mapped = scan_find_mounted(scan, st5.st_ino);
	const SegfsHeld *open = scan_find_mounted(scan, st6.st_ino);

	g_assert_nonnull(mapped);
	g_assert_nonnull(open);
	g_assert_cmpuint(g_array_index(mapped->holders, SegfsHolder, 0).mapped, ==, 2);
	g_assert_cmpuint(g_array_index(mapped->holders, SegfsHolder, 0).attached, ==, 0);
	g_assert_cmpuint(g_array_index(open->holders, SegfsHolder, 0).open, ==, 1);
	g_assert_null(scan_find_mounted(scan, 999));
	g_assert_cmpuint(segfs_scan_unexamined(scan), ==, 0);
	/* Not among memory itself. */
	g_autoptr(GPtrArray) all = segfs_scan_held(scan);
	g_assert_cmpuint(all->len, ==, 0);
}

static void a_mapping_of_a_mount_that_cannot_be_seen_is_unexamined(void)
{
	g_auto(World) world = {};
	world_start(&world);
	world_mounts(&world, 1, NS_MNT,
		     ROOT "50 25 0:240 / /mnt rw - fuse.segfs segfs rw,user_id=0,group_id=0\n");
	world_process(&world, 10, "any", OWN RANGE " rw-s 00000000 00:f0 999 /mnt/sysv/5\n");
	g_autoptr(SegfsScan) scan = scan_now(world.scanner);

	g_assert_cmpuint(segfs_scan_unexamined(scan), ==, 1);
	g_autofree char *which = segfs_unexamined_text(world.proc, NULL, scan);
	g_assert_cmpstr(which, ==, "10 any");
}

static void inode_of(const SegfsId *id, dev_t plain, GHashTable *seen)
{
	uint64_t ino = segfs_mount_ino(id, plain);

	g_assert_cmpuint(ino, !=, 0);
	if (!g_hash_table_add(seen, g_memdup2(&ino, sizeof(ino))))
		g_error("%s %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT ": twice %" G_GUINT64_FORMAT,
			segfs_kind_name(id->kind), id->domain, id->number, ino);
}

/* Minor numbers of mounts have 20 bits; shmids 31; inode numbers of tmpfs count from 1. */
static void no_two_have_one_number_on_a_mount(void)
{
	static const guint minors[] = {1,    2,    28,   29,    224,   255,   256,
				       257,  3839, 3840, 3841,  4095,  4096,  4097,
				       4124, 8192, 8220, 65535, 65536, 65564, 1048575};
	static const uint64_t inodes[] = {1,     2,          3,           28,         255,
					  32768, 0xffffffff, 0x100000000, 0x17fffffff};
	static const uint64_t spaces[] = {4026531839, 4026531840, 4026531841, 4026532096,
					  4026532188, 4026535935, 4294967295};
	static const uint64_t shmids[] = {0, 1, 2, 3, 28, 32768, 0x7fffffff};
	const dev_t plains[] = {makedev(0, 28), makedev(0, 4096), makedev(8, 1), 0};

	for (guint p = 0; p < G_N_ELEMENTS(plains); p++) {
		g_autoptr(GHashTable) seen =
			g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
		for (guint i = 0; i < G_N_ELEMENTS(minors); i++) {
			/* Memfds and anonymous memory share one device, and its numbers. */
			const SegfsKind kind = minors[i] == 1 ? SEGFS_MEMFD : SEGFS_POSIX;
			for (guint j = 0; j < G_N_ELEMENTS(inodes); j++) {
				const SegfsId id = {kind, makedev(0, minors[i]), inodes[j]};
				inode_of(&id, plains[p], seen);
			}
		}
		for (guint i = 0; i < G_N_ELEMENTS(spaces); i++) {
			for (guint j = 0; j < G_N_ELEMENTS(shmids); j++) {
				const SegfsId id = {SEGFS_SYSV, spaces[i], shmids[j]};
				inode_of(&id, plains[p], seen);
			}
		}
	}
}

static void the_mounts_own_directory_keeps_its_numbers(void)
{
	const SegfsId id = on(28, 12345);

	g_assert_cmpuint(segfs_mount_ino(&id, makedev(0, 28)), ==, 12345);
	g_assert_cmpuint(segfs_mount_ino(&id, makedev(0, 29)), !=, 12345);
}

int main(int argc, char **argv)
{
	unit_init(&argc, &argv);
#define TEST(path, function) g_test_add_func("/scan-mounts/" path, function)
	TEST("shm/of-each-namespace", dev_shm_of_each_mount_namespace_counts);
	TEST("shm/mounted-over", the_one_that_is_mounted_over_is_the_one_of_its_namespace);
	TEST("shm/another-of-the-host", another_tmpfs_of_the_host_is_no_dev_shm);
	TEST("shm/only-dev-shm", only_dev_shm_is_dev_shm);
	TEST("shm/optional-fields", optional_fields_do_not_matter);
	TEST("shm/wherever-it-is-mounted", a_device_counts_wherever_it_is_mounted);
	TEST("shm/dev-shm-seen-slow", it_counts_also_where_its_dev_shm_is_seen_later);
	TEST("shm/one-that-vanishes", one_that_vanishes_takes_no_mounts_along);
	TEST("watched", a_watched_device_counts);
	TEST("segfs/of-root-and-ours", segfs_mounts_of_root_and_ours_are_counted);
	TEST("segfs/source-is-not-its-user", the_source_of_a_mount_is_not_its_user);
	TEST("segfs/in-two-namespaces-is-one", a_mount_in_two_namespaces_is_one);
	TEST("segfs/has-the-mounts-number", what_is_held_through_a_mount_has_the_mounts_number);
	TEST("segfs/not-seen-is-unexamined",
	     a_mapping_of_a_mount_that_cannot_be_seen_is_unexamined);
	TEST("mount-ino/no-two-are-one", no_two_have_one_number_on_a_mount);
	TEST("mount-ino/own-directory-keeps-its", the_mounts_own_directory_keeps_its_numbers);
	return g_test_run();
}
