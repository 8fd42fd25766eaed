/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit.h"

/* A /proc/PID/status as Linux 6.18 writes it, with the lines that are read filled in. */
#define STATUS(uids, groups, permitted, effective)                                                 \
	"Name:\tprogram\nUmask:\t0022\nState:\tS "                                                 \
	"(sleeping)\nTgid:\t4711\nNgid:\t0\nPid:\t5004712\n"                                       \
	"PPid:\t1\nTracerPid:\t0\nUid:\t" uids "\nGid:\t100\t100\t100\t100\nFDSize:\t64\n"         \
	"Groups:\t" groups "\nNStgid:\t4711\nNSpid:\t5004712\nKthread:\t0\nVmSize:\t    2412 kB\n" \
	"Threads:\t1\nSigQ:\t0/95744\nCapInh:\t0000000000000000\nCapPrm:\t" permitted              \
	"\nCapEff:\t" effective "\nCapBnd:\t000001ffffffffff\nCapAmb:\t0000000000000000\n"

/* Its flags are the ninth field. No such thread is: a pid is less than 2^22. */
#define STAT(flags)                                                                                \
	"5004712 (a) b) S 1 4711 4711 0 -1 " flags " 81 0 0 0 0 0 0 0 20 0 1 0 67890 2412 200\n"

#define USER_1000 "1000\t1000\t1000\t1000"
#define CAPS_NONE "0000000000000000"

/* As /proc/PID/ns has it. */
static void link_user_ns(const char *tree, const char *path)
{
	g_autofree char *own = g_file_read_link("/proc/self/ns/user", NULL);

	g_assert_nonnull(own);
	tree_link(tree, path, own);
}

static char *status_tree(const char *status)
{
	char *tree = tree_make(NULL);

	tree_write(tree, "5004712/status", status);
	tree_write(tree, "5004712/stat", STAT("4194304"));
	link_user_ns(tree, "5004712/ns/user");
	return tree;
}

static void read_takes_process_groups_and_caps_of_the_thread(void)
{
	scoped_tree tree = status_tree(
		STATUS(USER_1000, "4 24 27 4294967294 ", "0000000000008002", "0000000000008000"));
	g_auto(SegfsCaller) caller = {};

	segfs_caller_read(&caller, tree, 5004712, 1000, 100, 027);
	g_assert_cmpuint(caller.uid, ==, 1000);
	g_assert_cmpuint(caller.gid, ==, 100);
	g_assert_cmpint(caller.pid, ==, 4711);
	g_assert_cmphex(caller.umask, ==, 027);
	g_assert_cmphex(caller.caps, ==, CAP(IPC_OWNER));
	assert_groups(&caller, 4, (gid_t[]){4, 24, 27, 4294967294});
}

static void read_takes_caps_above_the_32nd(void)
{
	scoped_tree tree =
		status_tree(STATUS("0\t0\t0\t0", "0 ", "000001ffffffffff", "000001ffffffffff"));
	g_auto(SegfsCaller) caller = {};

	segfs_caller_read(&caller, tree, 5004712, 0, 100, 0);
	g_assert_cmphex(caller.caps, ==, 0x1ffffffffffULL);
	assert_groups(&caller, 1, (gid_t[]){0});
}

static void read_takes_an_empty_list_of_groups_as_none(void)
{
	scoped_tree tree = status_tree(STATUS(USER_1000, "", CAPS_NONE, CAPS_NONE));
	g_auto(SegfsCaller) caller = {};

	/* The next line has numbers, which are none of the groups. */
	segfs_caller_read(&caller, tree, 5004712, 1000, 100, 0);
	assert_groups(&caller, 0, NULL);
	g_assert_null(caller.groups);
}

static void read_is_not_fooled_by_the_name(void)
{
	/* The kernel writes a line feed in a name as \n, two characters. */
	scoped_tree tree = status_tree(
		"Name:\tGroups:\t0\\nCapEff:\tffffffff\nTgid:\t4711\n"
		"Uid:\t" USER_1000
		"\nGid:\t100\t100\t100\t100\nGroupsOf:\t8\nGroups:\t7 \nCapEff:\t" CAPS_NONE "\n");
	g_auto(SegfsCaller) caller = {};

	segfs_caller_read(&caller, tree, 5004712, 1000, 100, 0);
	assert_groups(&caller, 1, (gid_t[]){7});
	g_assert_cmphex(caller.caps, ==, 0);
}

static void assert_nothing_but_the_request(const char *tree, pid_t tid)
{
	g_auto(SegfsCaller) caller = {};

	segfs_caller_read(&caller, tree, tid, 1000, 100, 077);
	g_assert_cmpuint(caller.uid, ==, 1000);
	g_assert_cmpuint(caller.gid, ==, 100);
	g_assert_cmphex(caller.umask, ==, 077);
	g_assert_cmpint(caller.pid, ==, 0);
	g_assert_cmphex(caller.caps, ==, 0);
	assert_groups(&caller, 0, NULL);
}

static void read_of_a_thread_that_is_gone_gives_the_request_alone(void)
{
	scoped_tree tree = tree_make(NULL);

	assert_nothing_but_the_request(tree, 5004712);
}

static void read_without_a_thread_gives_the_request_alone(void)
{
	scoped_tree tree = tree_make(NULL);

	/* FUSE says 0 of a caller in a pid namespace that we do not see. */
	tree_write(tree, "0/status",
		   STATUS("0\t0\t0\t0", "0 ", "000001ffffffffff", "000001ffffffffff"));
	link_user_ns(tree, "0/ns/user");
	assert_nothing_but_the_request(tree, 0);
	assert_nothing_but_the_request(tree, -1);
}

static void read_of_a_cut_status_takes_what_is_missing_as_none(void)
{
	static const char whole[] = STATUS(USER_1000, "4 24 ", CAPS_NONE, "0000000000008000");

	for (size_t length = 0; length < strlen(whole); length++) {
		g_autofree char *cut = g_strndup(whole, length);
		scoped_tree tree = status_tree(cut);
		g_auto(SegfsCaller) caller = {};

		segfs_caller_read(&caller, tree, 5004712, 1000, 100, 0);
		g_assert_cmpuint(caller.n_groups, <=, 2);
		/* A number that is cut is another number, but capabilities are hexadecimal
		 * from the left: cut, they lose the high digits' weight and never exceed. */
		g_assert_cmphex(caller.caps, <=, CAP(IPC_OWNER));
	}
}

static void caps_of_another_user_namespace_do_not_count(void)
{
	static const char status[] =
		STATUS("0\t0\t0\t0", "4 ", "000001ffffffffff", "000001ffffffffff");
	scoped_tree foreign = tree_make(NULL);
	scoped_tree unknown = tree_make(NULL);

	tree_write(foreign, "5004712/status", status);
	tree_write(foreign, "5004712/stat", STAT("4194304"));
	tree_write(unknown, "5004712/stat", STAT("4194304"));
	tree_link(foreign, "5004712/ns/user", "user:[1]");
	tree_write(unknown, "5004712/status", status);
	for (int i = 0; i < 2; i++) {
		g_auto(SegfsCaller) caller = {};
		segfs_caller_read(&caller, i ? unknown : foreign, 5004712, 0, 100, 0);
		g_assert_cmphex(caller.caps, ==, 0);
		assert_groups(&caller, 1, (gid_t[]){4});
	}
}

static uint64_t caps_read(const char *uids, uid_t uid)
{
	g_autofree char *status =
		g_strdup_printf(STATUS("%s", "", "0000000000000003", "0000000000000001"), uids);
	scoped_tree tree = status_tree(status);
	g_auto(SegfsCaller) caller = {};

	segfs_caller_read(&caller, tree, 5004712, uid, 100, 0);
	return caller.caps;
}

static void access_of_a_setuid_program_counts_as_its_real_user(void)
{
	/* As its effective user: a plain request. */
	g_assert_cmphex(caps_read("1000\t0\t0\t0", 0), ==, 1);
	g_assert_cmphex(caps_read("0\t1000\t0\t1000", 1000), ==, 1);
	/* As its real user, which is access(2): root has what it is permitted, others nothing. */
	g_assert_cmphex(caps_read("1000\t0\t0\t0", 1000), ==, 0);
	g_assert_cmphex(caps_read("0\t1000\t0\t1000", 0), ==, 3);
	/* setfsuid(2): it is the fourth number that counts. */
	g_assert_cmphex(caps_read("0\t0\t0\t1000", 1000), ==, 1);
}

static void assert_rights_of_another(const char *stat, uid_t uid, gid_t gid)
{
	scoped_tree tree =
		status_tree(STATUS(USER_1000, "4 24 ", "000001ffffffffff", "000001ffffffffff"));
	g_auto(SegfsCaller) caller = {};

	tree_write(tree, "5004712/stat", stat);
	segfs_caller_read(&caller, tree, 5004712, uid, gid, 0);
	g_assert_cmpuint(caller.uid, ==, uid);
	g_assert_cmpuint(caller.gid, ==, gid);
	g_assert_cmpint(caller.pid, ==, 4711);
	g_assert_cmphex(caller.caps, ==, 0);
	assert_groups(&caller, 0, NULL);
}

static void a_thread_that_acts_for_another_has_none_of_its_rights(void)
{
	assert_rights_of_another(STAT("4194384"), 1000, 100); /* an io worker's, as seen */
	assert_rights_of_another(STAT("16"), 1000, 100);
	assert_rights_of_another(STAT("2129984"), 1000, 100); /* a kernel's thread */
	assert_rights_of_another("5004712 (cut", 1000, 100);
	/* Neither as it is nor as access(2) has it. */
	assert_rights_of_another(STAT("4194304"), 0, 0);
	assert_rights_of_another(STAT("4194304"), 0, 100);
	assert_rights_of_another(STAT("4194304"), 1000, 0);
}

static void whose_groups_are_not_known_is_not_one_of_the_others(void)
{
	static const struct {
		mode_t mode;
		int mask, r;
	} rows[] = {
		{0644, R_OK, 0},
		{0604, R_OK, -EACCES},
		{0604, W_OK, 0},
		{0646, W_OK, -EACCES},
		{0705, R_OK | X_OK, -EACCES},
		{0745, R_OK, 0},
		{0745, X_OK, -EACCES},
		{0040, R_OK, 0},
	};
	scoped_tree tree = tree_make(NULL);
	tree_write(tree, "file", "");
	g_autofree char *path = g_build_filename(tree, "file", NULL);
	const int fd = open(path, O_PATH | O_CLOEXEC);
	struct stat st;

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_assert_no_errno(chmod(path, rows[i].mode));
		g_assert_no_errno(fstat(fd, &st));
		SegfsCaller caller = {.uid = st.st_uid + 1, .gid = st.st_gid + 1};
		g_assert_cmpint(segfs_caller_admit(&caller, fd, rows[i].mask), ==, 0);
		caller.groups_unknown = true;
		g_assert_cmpint(segfs_caller_admit(&caller, fd, rows[i].mask), ==, rows[i].r);
		caller.gid = st.st_gid;
		g_assert_cmpint(segfs_caller_admit(&caller, fd, rows[i].mask), ==, 0);
		caller = (SegfsCaller){st.st_uid, st.st_gid + 1, .groups_unknown = true};
		g_assert_cmpint(segfs_caller_admit(&caller, fd, rows[i].mask), ==, 0);
	}
	close(fd);
}

static void a_thread_that_acts_for_another_has_no_groups_that_are_known(void)
{
	scoped_tree tree = status_tree(STATUS(USER_1000, "4 ", CAPS_NONE, CAPS_NONE));
	g_auto(SegfsCaller) own = {}, another = {};

	segfs_caller_read(&own, tree, 5004712, 1000, 100, 0);
	g_assert_false(own.groups_unknown);
	segfs_caller_read(&another, tree, 5004712, 1001, 100, 0);
	g_assert_true(another.groups_unknown);
}

int main(int argc, char **argv)
{
	unit_init(&argc, &argv);
#define TEST(path, function) g_test_add_func("/caller/" path, function)
	TEST("read/takes-process-groups-and-caps",
	     read_takes_process_groups_and_caps_of_the_thread);
	TEST("read/takes-caps-above-the-32nd", read_takes_caps_above_the_32nd);
	TEST("read/empty-groups-are-none", read_takes_an_empty_list_of_groups_as_none);
	TEST("read/is-not-fooled-by-the-name", read_is_not_fooled_by_the_name);
	TEST("read/gone-gives-the-request-alone",
	     read_of_a_thread_that_is_gone_gives_the_request_alone);
	TEST("read/no-thread-gives-the-request-alone",
	     read_without_a_thread_gives_the_request_alone);
	TEST("read/cut-status-gives-no-more", read_of_a_cut_status_takes_what_is_missing_as_none);
	TEST("read/caps-of-another-user-namespace-do-not-count",
	     caps_of_another_user_namespace_do_not_count);
	TEST("read/access-of-setuid-is-its-real-user",
	     access_of_a_setuid_program_counts_as_its_real_user);
	TEST("read/acts-for-another-has-no-rights",
	     a_thread_that_acts_for_another_has_none_of_its_rights);
	TEST("read/acts-for-another-has-unknown-groups",
	     a_thread_that_acts_for_another_has_no_groups_that_are_known);
	TEST("admit/unknown-groups-are-not-others",
	     whose_groups_are_not_known_is_not_one_of_the_others);
	return g_test_run();
}
