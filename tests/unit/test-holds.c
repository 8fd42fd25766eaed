/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Of whom the kernel proves that they hold nothing: lib/probe/holds.bpf.c. */

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hold.h"
#include "lib/probe/probe.h"
#include "lib/process/scan.h"

static Probe *probe; /* NULL: why_not */
static char *why_not;

static bool is_skipped(void)
{
	if (probe && probe_holds(probe) >= 0)
		return false;
	g_test_skip(why_not ? why_not : "this kernel has no such iterator");
	return true;
}

static dev_t device_of(int fd)
{
	struct stat st;

	g_assert_no_errno(fstat(fd, &st));
	close(fd);
	return st.st_dev;
}

/* Is it proved that pid has nothing there? */
static bool is_without(pid_t pid, dev_t device)
{
	g_autoptr(GArray) devices = g_array_new(FALSE, FALSE, sizeof(dev_t));

	g_array_append_val(devices, device);
	g_autoptr(GHashTable) without = holds_without(probe_holds(probe), devices);
	g_assert_nonnull(without);
	return g_hash_table_contains(without, GINT_TO_POINTER(pid));
}

/* Others' memory, which all of them are on. */
static dev_t kernels(void)
{
	return device_of(memfd_create("unit", MFD_CLOEXEC));
}

/* It is not always proved: only, never of who has some. */
static void assert_without(pid_t pid, dev_t device)
{
	while (!is_without(pid, device))
		g_usleep(1000);
}

static bool take_nothing(Taken *taken, const void *unused)
{
	return true;
}

static void test_taken(void)
{
	static const HoldTake ways[] = {take_memfd, take_memfd_mapped, take_anon, take_zero,
					take_segment};
	const dev_t device = is_skipped() ? 0 : kernels();

	for (guint i = 0; device && i < G_N_ELEMENTS(ways); i++) {
		g_auto(Hold) hold = {};
		hold_start(&hold, take_nothing, NULL);
		assert_without(hold.pid, device);
		hold_step(&hold, ways[i], "unit");
		g_assert_false(is_without(hold.pid, device));
		hold_step(&hold, take_less, NULL);
		assert_without(hold.pid, device);
		if (hold.taken.id.kind == SEGFS_SYSV)
			g_assert_no_errno(shmctl(hold.taken.id.number, IPC_RMID, NULL));
	}
}

static void test_other_device(void)
{
	static const HoldTake ways[] = {take_file, take_file_mapped};

	for (guint i = 0; !is_skipped() && i < G_N_ELEMENTS(ways); i++) {
		g_autofree char *path = g_strdup_printf("/dev/shm/segfs-unit-%d", getpid());
		g_auto(Hold) hold = {};
		hold_start(&hold, ways[i], path);
		g_assert_no_errno(unlink(path));
		g_assert_false(is_without(hold.pid, hold.taken.id.domain));
		assert_without(hold.pid, kernels());
	}
}

static void test_no_first_thread(void)
{
	g_auto(Hold) hold = {};

	if (is_skipped())
		return;
	hold_start(&hold, take_memfd, "unit");
	hold_step(&hold, take_first_threads_end, NULL);
	g_assert_false(is_without(hold.pid, kernels()));
}

static gint own_table_is_there; /* in a child; atomic */

static void *have_own_table(void *unused)
{
	if (unshare(CLONE_FILES) < 0 || memfd_create("unit", MFD_CLOEXEC) < 0)
		_exit(1);
	g_atomic_int_set(&own_table_is_there, TRUE);
	for (;;)
		pause();
	return NULL;
}

static bool take_other_table(Taken *taken, const void *unused)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, have_own_table, NULL) != 0)
		return false;
	while (!g_atomic_int_get(&own_table_is_there))
		sched_yield();
	return true;
}

static void test_other_table(void)
{
	g_auto(Hold) hold = {};

	if (is_skipped())
		return;
	hold_start(&hold, take_other_table, NULL);
	g_assert_false(is_without(hold.pid, kernels()));
}

/* Neighbours of different rights are not made one. */
static bool take_many_mappings(Taken *taken, const void *unused)
{
	enum { MANY = 5000 };
	const size_t page = sysconf(_SC_PAGESIZE);
	char *at = mmap(NULL, MANY * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	for (size_t i = 0; at != MAP_FAILED && i < MANY; i += 2)
		if (mprotect(at + i * page, page, PROT_READ) < 0)
			return false;
	return at != MAP_FAILED;
}

/* Of such a one it takes too long to say. */
static void test_many_mappings(void)
{
	g_auto(Hold) hold = {};

	if (is_skipped())
		return;
	hold_start(&hold, take_many_mappings, NULL);
	g_assert_false(is_without(hold.pid, kernels()));
}

/* The first ones are told of, the others are not passed over. */
static bool take_memfd_behind_many(Taken *taken, const void *unused)
{
	enum { MANY = 500 }; /* RLIMIT_NOFILE is 1024 in many places */

	for (int i = 0; i < MANY; i++)
		if (open("/dev/null", O_RDONLY | O_CLOEXEC) < 0)
			return false;
	return take_memfd(taken, "unit");
}

static void test_far_descriptor(void)
{
	g_auto(Hold) hold = {};

	if (is_skipped())
		return;
	hold_start(&hold, take_memfd_behind_many, NULL);
	g_assert_false(is_without(hold.pid, kernels()));
	hold_step(&hold, take_less, NULL);
	assert_without(hold.pid, kernels());
}

static void test_who_is_not_there(void)
{
	pid_t pid;

	if (is_skipped())
		return;
	{
		g_auto(Hold) hold = {};
		hold_start(&hold, take_nothing, NULL);
		pid = hold.pid;
	}
	g_assert_false(is_without(pid, kernels()));
	g_assert_null(holds_without(-1, NULL));
}

static pid_t spared; /* 0: nothing is known of anybody */

static GHashTable *spare_one(int iterator, const GArray *devices)
{
	g_autoptr(GHashTable) without = g_hash_table_new(NULL, NULL);

	g_assert_cmpuint(devices->len, >, 0);
	g_hash_table_add(without, GINT_TO_POINTER(spared));
	return spared ? g_steal_pointer(&without) : NULL;
}

static bool is_found(SegfsScanner *scanner, const Hold *hold)
{
	g_autoptr(SegfsScan) scan = scan_now(scanner);

	return scan_holder(scan, &hold->taken.id, hold->pid) != NULL;
}

static void test_scanner(void)
{
	g_autoptr(SegfsScanner) scanner = segfs_scanner_new(NULL);
	g_auto(Hold) hold = {}, other = {};

	hold_start(&hold, take_memfd, "unit");
	hold_start(&other, take_memfd, "unit");
	scanner_spare(scanner, spare_one, 0);
	g_assert_true(is_found(scanner, &hold));
	spared = hold.pid;
	g_assert_false(is_found(scanner, &hold));
	g_assert_true(is_found(scanner, &other));
	scanner_spare(scanner, spare_one, -1);
	g_assert_true(is_found(scanner, &hold));
	if (is_skipped())
		return;
	scanner_spare(scanner, holds_without, probe_holds(probe));
	g_assert_true(is_found(scanner, &hold));
}

int main(int argc, char **argv)
{
	unit_init(&argc, &argv);
	probe = probe_new(false, &why_not);
	g_test_add_func("/holds/taken", test_taken);
	g_test_add_func("/holds/other-device", test_other_device);
	g_test_add_func("/holds/no-first-thread", test_no_first_thread);
	g_test_add_func("/holds/other-table", test_other_table);
	g_test_add_func("/holds/many-mappings", test_many_mappings);
	g_test_add_func("/holds/far-descriptor", test_far_descriptor);
	g_test_add_func("/holds/who-is-not-there", test_who_is_not_there);
	g_test_add_func("/holds/scanner", test_scanner);
	const int status = g_test_run();
	g_clear_pointer(&probe, probe_free);
	g_free(why_not);
	return status;
}
