/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Verdicts on segments of a made /proc: what real ones come to rarely, or never in a test. */

#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "lib/survey/survey.h"
#include "scan_world.h"
#include "survey_world.h"

/* One segment, 5, of 8192 bytes, whose last change was just now. */
typedef struct {
	pid_t cpid, lpid;
	guint nattch;
	bool was_attached;
	int64_t orphan_age;
} Row;

#define HEADING                                                                                    \
	"key shmid perms size cpid lpid nattch uid gid cuid cgid atime dtime ctime rss swap\n"

static void world_segment(const World *world, const Row *row)
{
	const gint64 now = time(NULL);
	g_autofree char *table =
		g_strdup_printf(HEADING "0 5 600 8192 %d %d %u 0 0 0 0 %" G_GINT64_FORMAT
					" %" G_GINT64_FORMAT " %" G_GINT64_FORMAT " 4096 0\n",
				row->cpid, row->lpid, row->nattch, row->was_attached ? now : 0,
				row->was_attached ? now : 0, now);

	tree_write(world->proc, "sysvipc/shm", table);
}

/* As the world is; the caller's to free. */
static SegfsItem *judged(const World *world, const Row *row)
{
	g_autoptr(GPtrArray) items = NULL;

	world_segment(world, row);
	g_autofree char *self = g_build_filename(world->proc, "self", NULL);
	if (!g_file_test(self, G_FILE_TEST_EXISTS))
		tree_link(world->proc, "self/ns/ipc", "/proc/self/ns/ipc");
	g_autoptr(SegfsIpc) ipc = ipc_make(world->proc, true);
	const ViewOptions options = {
		.scanner = world->scanner, .ipc = ipc, .orphan_age = row->orphan_age};
	g_autoptr(SegfsView) view = view_new(&options);
	g_assert_cmpint(segfs_view_survey(view, segfs_since_now(), &items), ==, 0);
	g_assert_cmpuint(items->len, ==, 1);
	return g_ptr_array_steal_index(items, 0);
}

static void assert_judged(const World *world, const Row *row, SegfsVerdict verdict,
			  const char *evidence)
{
	g_autoptr(SegfsItem) item = NULL;
	time_t before;

	/* Evidence tells an age: that of a row that was made and judged within one second. */
	do {
		g_clear_pointer(&item, segfs_item_free);
		before = time(NULL);
		item = judged(world, row);
	} while (time(NULL) != before);
	assert_verdict(item, verdict, evidence);
}

/* A process that has the segment attached, in our own namespace. */
static void attached_by(const World *world, int pid, const char *command)
{
	g_autofree char *maps = g_strdup_printf(
		RANGE " rw-s 00000000 %s 5 /SYSV00000000 (deleted)\n", world->kernel_hex);
	g_autofree char *link = NULL;
	struct stat st;

	g_assert_no_errno(stat("/proc/self/ns/ipc", &st));
	link = g_strdup_printf("ipc:[%" G_GUINT64_FORMAT "]", (guint64)st.st_ino);
	world_process(world, pid, command, maps);
	world_link(world, pid, "ns/ipc", link);
}

static void nobody_is_left(void)
{
	g_auto(World) world = {};
	world_start(&world);
	assert_judged(&world, &(Row){.cpid = 4000000, .lpid = 4000001, .was_attached = true},
		      SEGFS_ORPHANED, "; its creator 4000000 and its last user 4000001 have ended");
	assert_judged(&world, &(Row){.cpid = 4000000, .lpid = 4000000, .was_attached = true},
		      SEGFS_ORPHANED, "; its creator 4000000 has ended");
	assert_judged(&world, &(Row){.cpid = 4000000}, SEGFS_ORPHANED,
		      "nobody holds it; unused for 0 s; its creator 4000000 has ended");
}

static void who_cannot_be_seen_is_not_guessed(void)
{
	g_auto(World) world = {};
	world_start(&world);
	assert_judged(&world, &(Row){.cpid = 0}, SEGFS_UNKNOWN,
		      "its creator is in a pid namespace that cannot be seen");
	assert_judged(&world, &(Row){.cpid = 4000000, .lpid = 0, .was_attached = true},
		      SEGFS_UNKNOWN, "its last user is in a pid namespace that cannot be seen");
	/* Never attached it has no last user. */
	assert_judged(&world, &(Row){.cpid = 4000000, .lpid = 0}, SEGFS_ORPHANED, "has ended");
	/* What is known goes first. */
	assert_judged(&world, &(Row){.cpid = 0, .orphan_age = 1000}, SEGFS_IDLE,
		      "less than orphan_age (1000 s)");
	world_process(&world, 4711, "user", "");
	assert_judged(&world, &(Row){.cpid = 0, .lpid = 4711, .was_attached = true}, SEGFS_IDLE,
		      "its last user lives: 4711 (user)");
}

static void creator_goes_before_last_user(void)
{
	g_auto(World) world = {};
	world_start(&world);
	world_process(&world, 4711, "creator", "");
	world_process(&world, 4712, "user", "");
	const Row row = {.cpid = 4711, .lpid = 4712, .was_attached = true};
	g_autoptr(SegfsItem) item = judged(&world, &row);

	assert_verdict(item, SEGFS_IDLE, "; its creator lives: 4711 (creator)");
	g_assert_cmpstr(item->creator, ==, "creator");
	g_assert_true(item->creator_lives);
}

static void who_started_later_is_another(void)
{
	g_auto(World) world = {};
	world_start(&world);
	/* So many ticks that the boot was long before: it has started tomorrow. */
	world_process(&world, 4711, "another", "");
	const gint64 ticks = (g_get_monotonic_time() / G_USEC_PER_SEC + 86400) * 1000;
	world_write(&world, 4711, "stat",
		    "4711 (another) S 1 1 1 0 -1 4194560 1 1 1 1 1 1 1 1 20 0 1 0 "
		    "%" G_GINT64_FORMAT " 1 1 1\n",
		    ticks);
	const Row row = {.cpid = 4711, .lpid = 4711, .was_attached = true};
	g_autoptr(SegfsItem) item = judged(&world, &row);

	assert_verdict(item, SEGFS_ORPHANED, "; its creator 4711 has ended");
	g_assert_cmpstr(item->creator, ==, "");
	g_assert_false(item->creator_lives);
}

static void the_dead_do_not_live(void)
{
	g_auto(World) world = {};
	const Row row = {.cpid = 4711};
	world_start(&world);
	world_process(&world, 4711, "zombie", "");
	world_write(&world, 4711, "stat",
		    "4711 (zombie) Z 1 1 1 0 -1 4194560 1 1 1 1 1 1 1 1 20 0 1 0 7 1 1 1\n");
	assert_judged(&world, &row, SEGFS_ORPHANED, "has ended");
	/* Its first thread has ended, and another lives. */
	world_write(&world, 4711, "stat",
		    "4711 (threads) Z 1 1 1 0 -1 4194560 1 1 1 1 1 1 1 1 20 0 2 0 7 1 1 1\n");
	assert_judged(&world, &row, SEGFS_IDLE, "its creator lives: 4711 (threads)");
}

static void holders_are_named(void)
{
	g_auto(World) world = {};
	world_start(&world);
	attached_by(&world, 4711, "one");
	assert_judged(&world, &(Row){.cpid = 1, .nattch = 1}, SEGFS_IN_USE,
		      "attached once by 4711 (one)");
	assert_judged(&world, &(Row){.cpid = 1, .nattch = 3}, SEGFS_IN_USE,
		      "attached 3 times by 4711 (one); 2 of the attaches are by processes "
		      "that were not found");
	assert_judged(&world, &(Row){.cpid = 1, .nattch = 0}, SEGFS_IN_USE,
		      "mapped or open by 4711 (one)");
	g_autoptr(SegfsItem) item = judged(&world, &(Row){.cpid = 1, .nattch = 3});
	g_assert_cmpuint(item->n_not_found, ==, 2);
}

static void many_holders_are_counted(void)
{
	g_auto(World) world = {};
	world_start(&world);
	for (int pid = 4711; pid < 4711 + 11; pid++)
		attached_by(&world, pid, "backend");
	g_autoptr(SegfsItem) item = judged(&world, &(Row){.cpid = 1, .nattch = 11});

	assert_verdict(item, SEGFS_IN_USE, "attached 11 times by 47");
	g_autofree char *evidence = evidence_of(item);
	g_assert_true(g_str_has_suffix(evidence, " and 3 more"));
	g_assert_cmpuint(item->holders->len, ==, 11);
}

static void a_command_stays_inside_its_brackets(void)
{
	static const struct {
		const char *command, *shown;
	} rows[] = {
		{"a\nb", "(a\\nb)"},
		{"\x1b[2J", "(\\033[2J)"},
		{"a\"b\\", "(a\"b\\)"},
		{"\xc2\x9b"
		 "2J",
		 "(\\302\\2332J)"},
		{"\xc3\xa4", "(\xc3\xa4)"},
		{"\xff", "(\\377)"},
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_auto(World) world = {};
		world_start(&world);
		attached_by(&world, 4711, rows[i].command);
		assert_judged(&world, &(Row){.cpid = 1, .nattch = 1}, SEGFS_IN_USE, rows[i].shown);
		world_process(&world, 4711, rows[i].command, "");
		assert_judged(&world, &(Row){.cpid = 4711}, SEGFS_IDLE, rows[i].shown);
	}
}

/* A mount makes, attaches and detaches for others; that it lives says nothing of them. */
static void a_mount_is_no_creator_and_no_user(void)
{
	g_auto(World) world = {};
	world_start(&world);
	world_process(&world, 4711, "segfs", "");
	assert_judged(&world, &(Row){.cpid = 4711, .lpid = 4711, .was_attached = true},
		      SEGFS_UNKNOWN,
		      "its creator 4711 (segfs) made it for somebody who is not known here");
	assert_judged(&world, &(Row){.cpid = 4000000, .lpid = 4711, .was_attached = true},
		      SEGFS_ORPHANED,
		      "its creator 4000000 has ended, and a segfs mount attached it last: 4711");
}

/* Who cannot be examined may hold it through a mount, where there is one. */
static void a_mount_and_hidden_processes_make_it_unknown(void)
{
	g_auto(World) world = {};
	const Row row = {.cpid = 4000000, .lpid = 4000001, .was_attached = true};
	const Row never = {.cpid = 4000000};
	world_start(&world);
	world_mounts(&world, 1, NS_MNT,
		     "50 25 0:240 / /mnt rw - fuse.segfs segfs rw,user_id=0,group_id=0\n");
	assert_judged(&world, &row, SEGFS_ORPHANED, "nobody holds it");
	/* Something of the mount that cannot be looked at. */
	world_process(&world, 4711, "any", RANGE " rw-s 00000000 00:f0 999 /mnt/sysv/5\n");
	assert_judged(
		&world, &row, SEGFS_UNKNOWN,
		"nobody has it attached; unused for 0 s, but 1 process could not be examined, "
		"which may hold it through a segfs mount");
	/* A mount has to attach what it opens first. */
	assert_judged(&world, &never, SEGFS_ORPHANED, "nobody holds it");
	world_mounts(&world, 1, NS_MNT, "");
	assert_judged(&world, &row, SEGFS_ORPHANED, "nobody holds it");
}

int main(int argc, char **argv)
{
	unit_init(&argc, &argv);
#define TEST(path, function) g_test_add_func("/verdict/" path, function)
	TEST("nobody-is-left", nobody_is_left);
	TEST("not-guessed", who_cannot_be_seen_is_not_guessed);
	TEST("creator-before-last-user", creator_goes_before_last_user);
	TEST("started-slow-is-another", who_started_later_is_another);
	TEST("the-dead", the_dead_do_not_live);
	TEST("holders-are-named", holders_are_named);
	TEST("many-holders-are-counted", many_holders_are_counted);
	TEST("commands-in-brackets", a_command_stays_inside_its_brackets);
	TEST("a-mount-is-no-creator", a_mount_is_no_creator_and_no_user);
	TEST("hidden-through-a-mount", a_mount_and_hidden_processes_make_it_unknown);
	return g_test_run();
}
