/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Memory out of a process that has it attached. A fixture's map_files are links to a memfd,
 * which is on the same file system as segments are, and whose inode number stands for a
 * shmid: so it needs neither capabilities nor segments.
 */

#include "lib/memory/holder.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "hold.h"
#include "lib/memory/ipc.h"
#include "lib/os/autofd.h"

enum { SIZE = 5000 };

/* A /proc with our namespace's number, and a memory file. */
typedef struct {
	char *proc, *shm;
	int memfd;  /* SIZE bytes */
	char *file; /* its name */
	SegfsIpc *ipc;
	SegfsSysv segment; /* which the file is taken for */
} World;

static void world_clear(World *world)
{
	g_clear_pointer(&world->ipc, segfs_ipc_free);
	if (world->file)
		close(world->memfd);
	g_clear_pointer(&world->file, g_free);
	tree_remove(&world->proc);
	tree_remove(&world->shm);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(World, world_clear)

static ino_t file_make(const char *directory, const char *name, off_t size)
{
	g_autofree char *path = g_build_filename(directory, name, NULL);
	struct stat st;
	autofd fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	g_assert_no_errno(fd);
	g_assert_no_errno(ftruncate(fd, size));
	g_assert_no_errno(fstat(fd, &st));
	return st.st_ino;
}

static bool world_start(World *ret_world)
{
	ret_world->proc = tree_make(NULL);
	ret_world->shm = tree_make("/dev/shm");
	ret_world->memfd = memfd_create("memory", MFD_CLOEXEC);
	g_assert_no_errno(ret_world->memfd);
	g_assert_no_errno(ftruncate(ret_world->memfd, SIZE));
	ret_world->file = g_strdup_printf("/proc/self/fd/%d", ret_world->memfd);
	struct stat st;
	g_assert_no_errno(fstat(ret_world->memfd, &st));
	const ino_t ino = st.st_ino;
	if (ino > G_MAXINT) {
		g_test_skip("inode numbers of memfds are no shmids here");
		return false;
	}
	tree_write(ret_world->proc, "sysvipc/shm", "heading\n");
	tree_link(ret_world->proc, "self/ns/ipc", "/proc/self/ns/ipc");
	ret_world->ipc = ipc_make(ret_world->proc, true);
	ret_world->ipc->has_map_files = true;
	ret_world->segment = (SegfsSysv){
		.shmid = ino, .size = SIZE, .nattch = 1, .cuid = st.st_uid, .cgid = st.st_gid};
	return true;
}

/* Process pid has target mapped at 7f0000001000, as the segment, in our namespace. */
static void world_maps(const World *world, const char *pid, const char *target)
{
	g_autofree char *maps = g_strdup_printf("%s/maps", pid);
	g_autofree char *ns = g_strdup_printf("%s/ns/ipc", pid);
	g_autofree char *file = g_strdup_printf("%s/map_files/7f0000001000-7f0000003000", pid);
	g_autofree char *text = g_strdup_printf(
		"555555554000-555555555000 r-xp 00000000 fe:00 123 /usr/bin/program\n"
		"7f0000001000-7f0000003000 rw-s 00000000 00:01 %-26d /SYSV00001234 (deleted)\n"
		"7ffff0000000-7ffff0001000 rw-p 00000000 00:00 0 [stack]\n",
		world->segment.shmid);

	tree_write(world->proc, maps, text);
	tree_link(world->proc, ns, "/proc/self/ns/ipc");
	tree_link(world->proc, file, target);
}

static void assert_opens(const World *world, int fd)
{
	struct stat st;

	g_assert_cmpint(fd, >=, 0);
	g_assert_no_errno(fstat(fd, &st));
	g_assert_cmpuint(st.st_ino, ==, world->segment.shmid);
	g_assert_cmpint(fcntl(fd, F_GETFL) & O_ACCMODE, ==, O_RDWR);
	g_assert_cmpint(fcntl(fd, F_GETFD) & FD_CLOEXEC, ==, FD_CLOEXEC);
	close(fd);
}

static void assert_found(const World *world)
{
	int fd = -1;

	g_assert_cmpint(holder_open_memory(world->ipc, &world->segment, &fd), ==, 0);
	assert_opens(world, fd);
}

static void assert_not_found(const World *world)
{
	int fd = -7;

	g_assert_cmpint(holder_open_memory(world->ipc, &world->segment, &fd), ==, -ENOENT);
	g_assert_cmpint(fd, ==, -7);
}

static void any_process_that_maps_it_is_found(void)
{
	g_auto(World) world = {};
	if (!world_start(&world))
		return;
	assert_not_found(&world);
	world_maps(&world, "4711", world.file);
	assert_found(&world);
	/* Whoever is likelier but does not have it is no hindrance. */
	world.segment.lpid = 99;
	world.segment.cpid = 98;
	assert_found(&world);
	tree_link(world.proc, "99/ns/ipc", "/proc/self/ns/ipc");
	tree_write(world.proc, "99/maps", "");
	assert_found(&world);
}

static void last_user_and_creator_are_found_without_a_search(void)
{
	g_auto(World) world = {};
	if (!world_start(&world))
		return;
	world_maps(&world, "4711", world.file);
	/* A directory that cannot be listed: only who is named can be found. */
	g_assert_no_errno(chmod(world.proc, 0100));
	if (geteuid() != 0)
		assert_not_found(&world);
	world.segment.lpid = 4711;
	assert_found(&world);
	world.segment.lpid = 0;
	world.segment.cpid = 4711;
	assert_found(&world);
	g_assert_no_errno(chmod(world.proc, 0700));
}

static void nobody_is_asked_for_what_is_not_attached(void)
{
	g_auto(World) world = {};
	if (!world_start(&world))
		return;
	world_maps(&world, "4711", world.file);
	world.segment.nattch = 0;
	assert_not_found(&world);
	world.segment.nattch = 1;
	world.ipc->has_map_files = false;
	assert_not_found(&world);
}

static void a_process_in_another_namespace_is_not_a_holder(void)
{
	g_auto(World) world = {};
	if (!world_start(&world))
		return;
	world_maps(&world, "4711", world.file);
	g_autofree char *ns = g_build_filename(world.proc, "4711/ns/ipc", NULL);
	g_assert_no_errno(unlink(ns));
	assert_not_found(&world);
	tree_write(world.proc, "4711/ns/ipc", "another");
	assert_not_found(&world);
	world.segment.lpid = world.segment.cpid = 4711;
	assert_not_found(&world);
}

static void what_is_not_a_process_is_passed_over(void)
{
	g_auto(World) world = {};
	if (!world_start(&world))
		return;
	world_maps(&world, "thread-self", world.file);
	world_maps(&world, "bus", world.file);
	assert_not_found(&world);
}

static void only_the_memory_itself_is_taken(void)
{
	g_auto(World) world = {};
	if (!world_start(&world))
		return;
	/* Of the right size with another number, and of another file system. */
	g_autofree char *other = g_build_filename(world.shm, "other", NULL);
	g_autofree char *elsewhere = g_build_filename(world.proc, "elsewhere", NULL);
	file_make(world.shm, "other", SIZE);
	file_make(world.proc, "elsewhere", SIZE);
	world_maps(&world, "4711", other);
	assert_not_found(&world);
	world_maps(&world, "4712", elsewhere);
	assert_not_found(&world);
	world_maps(&world, "4713", "/nowhere");
	assert_not_found(&world);
	/* Of the right number and size in a file system that keeps files. */
	struct stat st;
	struct statfs fs;
	g_assert_no_errno(stat(elsewhere, &st));
	g_assert_no_errno(statfs(elsewhere, &fs));
	if (fs.f_type != TMPFS_MAGIC && st.st_ino <= G_MAXINT) {
		const int shmid = world.segment.shmid;
		world.segment.shmid = st.st_ino;
		world_maps(&world, "4715", elsewhere);
		assert_not_found(&world);
		world.segment.shmid = shmid;
	}
	/* Of the right number with another size. */
	world_maps(&world, "4714", world.file);
	world.segment.size = SIZE + 1;
	assert_not_found(&world);
	world.segment.size = SIZE - 1;
	assert_not_found(&world);
	world.segment.size = SIZE;
	assert_found(&world);
	/* All right, but made by somebody else: who forges a segment cannot forge its creator. */
	world.segment.cuid++;
	assert_not_found(&world);
	world.segment.cuid--;
	world.segment.cgid++;
	assert_not_found(&world);
	world.segment.cgid--;
	/* All right, but a file that somebody can have named: not on the kernel's own tmpfs. */
	g_autofree char *named = g_build_filename(world.shm, "named", NULL);
	const ino_t ino = file_make(world.shm, "named", SIZE);
	g_assert_no_errno(stat(named, &st));
	if (ino <= G_MAXINT) {
		world.segment.shmid = ino;
		world_maps(&world, "4716", named);
		assert_not_found(&world);
	}
}

/* What one line of maps, with %d for the shmid, leads to. */
static int line_opens(const char *format, const void *address)
{
	g_auto(World) world = {};
	int fd = -7;

	if (!world_start(&world))
		return 1;
	g_autoptr(GString) line = g_string_new(format);
	g_autofree char *number = g_strdup_printf("%d", world.segment.shmid);
	g_string_replace(line, "%d", number, 0);
	tree_write(world.proc, "77/maps", line->str);
	tree_link(world.proc, "77/map_files/7f0000001000-7f0000003000", world.file);
	const int r = holder_open_mapping(world.proc, "77", &world.segment, address, &fd);
	if (r == 0)
		assert_opens(&world, fd);
	else
		g_assert_cmpint(fd, ==, -7);
	return r;
}

#define RANGE "7f0000001000-7f0000003000"
#define AT ((const void *)0x7f0000001000)

static void lines_of_maps_are_read_as_the_kernel_writes_them(void)
{
	static const struct {
		const char *line;
		const void *address;
		int expected;
	} lines[] = {
		{RANGE " rw-s 00000000 00:01 %d                     /SYSV00000000 (deleted)\n",
		 NULL, 0},
		{RANGE " r--s 00000000 00:01 %d                     /SYSVffffffff (deleted)\n",
		 NULL, 0},
		/* A part of it, after munmap(2) of the rest. */
		{RANGE " rw-s 00001000 00:01 %d /SYSV00000000 (deleted)\n", NULL, 0},
		{RANGE " rw-s 00000000 00:01 %d /SYSV00000000 (deleted)\n", AT, 0},
		{RANGE " rw-s 00000000 00:01 %d /SYSV00000000 (deleted)", NULL, 0},
		{RANGE " rw-s 00000000 00:01 %d /SYSV00000000 (deleted)\n", (void *)4096, -ENOENT},
		/* Other numbers. */
		{RANGE " rw-s 00000000 00:01 %d0 /SYSV00000000 (deleted)\n", NULL, -ENOENT},
		{RANGE " rw-s 00000000 00:01 0 /SYSV%d (deleted)\n", NULL, -ENOENT},
		/* Files that only are called so. */
		{RANGE " rw-s 00000000 00:01 %d /tmp/SYSV00000000 (deleted)\n", NULL, -ENOENT},
		{RANGE " rw-s 00000000 00:01 %d /tmp/SYSV/SYSV00000000\n", NULL, -ENOENT},
		{RANGE " rw-s 00000000 00:01 %d /dev/zero (deleted)\n", NULL, -ENOENT},
		{RANGE " rw-s 00000000 00:01 %d\n", NULL, -ENOENT},
		/* Cut. */
		{RANGE " rw-s 00000000 00:01 %d /SYS", NULL, -ENOENT},
		{RANGE " rw-s /SYSV00000000 (deleted)\n", NULL, -ENOENT},
		{RANGE " /SYSV00000000\n", NULL, -ENOENT},
		{"/SYSV00000000\n", NULL, -ENOENT},
		{"\n\n", NULL, -ENOENT},
		{"", NULL, -ENOENT},
		/* The right line after others. */
		{"/SYSV00000000\n\n"
		 "7f0000009000-7f000000a000 rw-s 00000000 00:01 %d /SYSV00000000 (deleted)\n" RANGE
		 " rw-s 00000000 00:01 %d /SYSV00000000 (deleted)\n",
		 NULL, 0},
	};

	for (guint i = 0; i < G_N_ELEMENTS(lines); i++) {
		const int r = line_opens(lines[i].line, lines[i].address);
		if (r == 1)
			return;
		if (r != lines[i].expected)
			g_test_message("line %u: %s", i, lines[i].line);
		g_assert_cmpint(r, ==, lines[i].expected);
	}
}

static void a_mapping_that_may_not_be_opened_says_so(void)
{
	if (!unit_as_user())
		return;
	g_auto(World) world = {};
	int fd = -7;
	if (!world_start(&world))
		return;
	world_maps(&world, "4711", world.file);
	g_assert_no_errno(chmod(world.file, 0));
	g_assert_cmpint(holder_open_mapping(world.proc, "4711", &world.segment, NULL, &fd), ==,
			-EACCES);
	g_assert_cmpint(fd, ==, -7);
	assert_not_found(&world);
}

static void a_process_that_is_gone_is_enoent(void)
{
	g_auto(World) world = {};
	int fd = -7;
	if (!world_start(&world))
		return;
	g_assert_cmpint(holder_open_mapping(world.proc, "4711", &world.segment, NULL, &fd), ==,
			-ENOENT);
	world.segment.lpid = world.segment.cpid = 4711;
	assert_not_found(&world);
}

/* From here on: real segments in real processes. */
static SegfsIpc *real_ipc(void)
{
	if (!unit_need_root())
		return NULL;
	SegfsIpc *ipc = ipc_make(NULL, true);
	if (!ipc->has_map_files) {
		g_test_skip("needs CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE");
		g_clear_pointer(&ipc, segfs_ipc_free);
	}
	return ipc;
}

static char byte_of(int fd)
{
	char byte = 0;

	g_assert_cmpint(pread(fd, &byte, 1, 0), ==, 1);
	return byte;
}

static void real_holders_are_found_without_a_trace(void)
{
	g_autoptr(SegfsIpc) ipc = real_ipc();
	if (!ipc)
		return;
	scoped_segment shmid = segment_make(SIZE, 0600);
	g_auto(Hold) user = {}, late = {};

	hold_segment(&user, shmid);
	hold_segment(&late, shmid);
	hold_attach(&user);
	hold_fill(&user, 'h');
	hold_attach(&late);
	hold_detach(&late);
	/* Neither its last user nor its creator has it: it takes a search. */
	const struct shmid_ds before = segment_kernel(shmid);
	const SegfsSysv segment = segment_stat(ipc, shmid);
	g_assert_cmpint(segment.lpid, ==, late.pid);
	g_assert_cmpint(segment.cpid, ==, getpid());
	int opened = -1;
	g_assert_cmpint(holder_open_memory(ipc, &segment, &opened), ==, 0);
	autofd fd = opened;
	g_assert_cmpint(byte_of(fd), ==, 'h');
	const struct shmid_ds after = segment_kernel(shmid);
	assert_untouched(&before, &after);
}

static void a_descriptor_outlives_holder_and_segment(void)
{
	g_autoptr(SegfsIpc) ipc = real_ipc();
	if (!ipc)
		return;
	scoped_segment shmid = segment_make(SIZE, 0600);
	g_auto(Hold) other = {};

	hold_segment(&other, shmid);
	hold_attach(&other);
	hold_fill(&other, 'h');
	const SegfsSysv segment = segment_stat(ipc, shmid);
	int opened = -1;
	g_assert_cmpint(holder_open_memory(ipc, &segment, &opened), ==, 0);
	autofd fd = opened;
	segment_remove(&shmid);
	shmid = -1;
	hold_stop(&other);
	g_assert_cmpint(byte_of(fd), ==, 'h');
}

static void that_we_are_out_of_descriptors_is_not_that_nobody_has_it(void)
{
	g_auto(World) world = {};
	struct rlimit before, none;
	int fd = -7;

	if (!world_start(&world))
		return;
	world_maps(&world, "4711", world.file);
	g_assert_no_errno(getrlimit(RLIMIT_NOFILE, &before));
	/* The search begins on a thread, which needs none of its own. */
	none = (struct rlimit){.rlim_cur = 0, .rlim_max = before.rlim_max};
	g_assert_no_errno(setrlimit(RLIMIT_NOFILE, &none));
	const int r = holder_open_memory(world.ipc, &world.segment, &fd);
	g_assert_no_errno(setrlimit(RLIMIT_NOFILE, &before));
	g_assert_cmpint(r, ==, -EMFILE);
	g_assert_cmpint(fd, ==, -7);
	assert_found(&world);
}

static void the_same_id_in_another_namespace_is_not_taken(void)
{
	g_autoptr(SegfsIpc) ipc = real_ipc();
	if (!ipc)
		return;
	scoped_segment shmid = segment_make(SIZE, 0600);
	g_auto(Hold) ours = {}, foreign = {};
	int opened = -7;

	hold_segment(&foreign, shmid);
	hold_leave_namespace(&foreign, SIZE);
	hold_attach(&foreign);
	hold_fill(&foreign, 'f');
	SegfsSysv segment = segment_stat(ipc, shmid);
	g_assert_cmpuint(segment.nattch, ==, 0);
	/* As if it were the likeliest. */
	segment.nattch = 1;
	segment.lpid = segment.cpid = foreign.pid;
	g_assert_cmpint(holder_open_memory(ipc, &segment, &opened), ==, -ENOENT);
	g_assert_cmpint(opened, ==, -7);

	hold_segment(&ours, shmid);
	hold_attach(&ours);
	hold_fill(&ours, 'o');
	g_assert_cmpint(holder_open_memory(ipc, &segment, &opened), ==, 0);
	autofd fd = opened;
	g_assert_cmpint(byte_of(fd), ==, 'o');
}

int main(int argc, char **argv)
{
	unit_init(&argc, &argv);
#define TEST(path, function) g_test_add_func("/holder/" path, function)
	TEST("any-that-maps-it-is-found", any_process_that_maps_it_is_found);
	TEST("last-user-and-creator-without-a-search",
	     last_user_and_creator_are_found_without_a_search);
	TEST("not-asked-for-what-is-not-attached", nobody_is_asked_for_what_is_not_attached);
	TEST("not-in-another-namespace", a_process_in_another_namespace_is_not_a_holder);
	TEST("not-what-is-no-process", what_is_not_a_process_is_passed_over);
	TEST("only-the-memory-itself", only_the_memory_itself_is_taken);
	TEST("maps/as-the-kernel-writes-them", lines_of_maps_are_read_as_the_kernel_writes_them);
	TEST("maps/not-to-be-opened-says-so", a_mapping_that_may_not_be_opened_says_so);
	TEST("maps/of-a-gone-process-is-enoent", a_process_that_is_gone_is_enoent);
	TEST("out-of-descriptors-is-no-answer",
	     that_we_are_out_of_descriptors_is_not_that_nobody_has_it);
	TEST("real/found-without-a-trace", real_holders_are_found_without_a_trace);
	TEST("real/descriptor-outlives-holder-and-segment",
	     a_descriptor_outlives_holder_and_segment);
	TEST("real/same-id-in-another-namespace-is-not-taken",
	     the_same_id_in_another_namespace_is_not_taken);
	return g_test_run();
}
