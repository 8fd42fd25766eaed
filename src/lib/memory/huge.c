/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * How much of a segment is resident, where it may be of huge pages.
 *
 * The table of segments does not say of which pages one is, and its figure is wrong for huge ones
 * since Linux 6.7: shm_add_rss_swap() in ipc/shm.c multiplies by the base pages of a huge page what
 * has become a count of base pages. So 2 MiB are 1 GiB there. It cannot be seen from the figure
 * alone which it is: 1 GiB of a segment of that size is all of it in small pages, or one huge page.
 *
 * Each way to read the figure is tried against what is known: the segment's size, the pages that
 * the pools have given out, and of which pages the segment was once seen to be. Where those that
 * remain agree the number is known, else it is not.
 */

#include "lib/memory/shm.h"

#include <linux/magic.h>
#include <segfs/limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "lib/memory/holder.h"
#include "lib/memory/ipc.h"
#include "lib/os/autofd.h"
#include "lib/os/sweep.h"

#define SYS_MM "/sys/kernel/mm/"

/* So many are kept before those of segments that are gone are looked for. */
#define PAGES_KEPT 256

/* A listing goes through all processes for no more segments; what it finds is remembered. */
#define SEARCHES 4

typedef struct {
	SegfsSysv segment;
	SegfsPages pages;
} Seen;

static uint64_t number_of(const char *path)
{
	g_autofree char *text = NULL;

	return g_file_get_contents(path, &text, NULL, NULL) ? g_ascii_strtoull(text, NULL, 10) : 0;
}

static uint64_t pool_number(const char *size, const char *what)
{
	g_autofree char *path = g_build_filename(SYS_MM "hugepages", size, what, NULL);

	return number_of(path);
}

GArray *segfs_huge_pools(void)
{
	GArray *pools = g_array_new(FALSE, FALSE, sizeof(SegfsHugePool));
	GDir *sizes = g_dir_open(SYS_MM "hugepages", 0, NULL);
	const char *name;
	unsigned long kib;

	while (sizes && (name = g_dir_read_name(sizes))) {
		if (sscanf(name, "hugepages-%lukB", &kib) != 1)
			continue;
		const uint64_t page = (uint64_t)kib * 1024;
		const SegfsHugePool pool = {
			.page_size = page,
			.size = pool_number(name, "nr_hugepages") * page,
			.free = pool_number(name, "free_hugepages") * page,
		};
		g_array_append_val(pools, pool);
	}
	if (sizes)
		g_dir_close(sizes);
	return pools;
}

/* A small file may end in a page of this size (transparent_hugepage/shmem_enabled). */
static uint64_t transparent_page(void)
{
	const uint64_t page = sysconf(_SC_PAGESIZE);

	return MAX(page, number_of(SYS_MM "transparent_hugepage/hpage_pmd_size"));
}

static gboolean is_gone(gpointer key, gpointer value, gpointer data)
{
	SegfsSysv now;

	return shm_stat(((const Seen *)value)->segment.shmid, &now) < 0;
}

static bool is_of(const Seen *seen, const SegfsSysv *segment)
{
	return seen && segfs_sysv_same(&seen->segment, segment) &&
	       seen->segment.ctime == segment->ctime;
}

void huge_remember(SegfsIpc *ipc, const SegfsSysv *segment, SegfsPages pages)
{
	g_mutex_lock(&ipc->pages_lock);
	if (!is_of(g_hash_table_lookup(ipc->pages, &segment->shmid), segment)) {
		sweep_table(ipc->pages, &ipc->pages_most, PAGES_KEPT, is_gone, NULL);
		Seen *seen = g_new0(Seen, 1);
		seen->segment = *segment;
		seen->pages = pages;
		g_hash_table_replace(ipc->pages, &seen->segment.shmid, seen);
	}
	g_mutex_unlock(&ipc->pages_lock);
}

static SegfsPages recall(SegfsIpc *ipc, const SegfsSysv *segment)
{
	g_mutex_lock(&ipc->pages_lock);
	const Seen *seen = g_hash_table_lookup(ipc->pages, &segment->shmid);
	const SegfsPages pages = is_of(seen, segment) ? seen->pages : SEGFS_PAGES_UNKNOWN;
	g_mutex_unlock(&ipc->pages_lock);
	return pages;
}

/* Through a process that has it attached. */
static SegfsPages search(SegfsIpc *ipc, const SegfsSysv *segment)
{
	autofd fd = -1;
	struct statfs fs;

	if (holder_open_memory(ipc, segment, &fd) < 0 || fstatfs(fd, &fs) < 0)
		return SEGFS_PAGES_UNKNOWN;
	const SegfsPages pages =
		fs.f_type == HUGETLBFS_MAGIC ? SEGFS_PAGES_HUGE : SEGFS_PAGES_SMALL;
	huge_remember(ipc, segment, pages);
	return pages;
}

static uint64_t round_up(uint64_t size, uint64_t unit)
{
	return (size + unit - 1) / unit * unit;
}

/* What a figure can stand for. */
typedef struct {
	bool any, differ; /* readings, and do they differ? */
	uint64_t bytes;
	bool small, huge; /* of which pages it can be */
} Readings;

static void add(Readings *readings, bool is_huge, uint64_t bytes)
{
	readings->differ |= readings->any && readings->bytes != bytes;
	readings->any = true;
	readings->bytes = bytes;
	*(is_huge ? &readings->huge : &readings->small) = true;
}

static Readings read_figure(const SegfsSysv *segment, const GArray *pools, SegfsPages pages)
{
	static _Atomic bool is_wrong; /* the kernel was seen to multiply once too often */
	const uint64_t base = sysconf(_SC_PAGESIZE);
	Readings readings = {};
	bool may_be_right = false;

	if (pages != SEGFS_PAGES_HUGE &&
	    segment->rss <= round_up(segment->size, transparent_page()))
		add(&readings, false, segment->rss);
	for (guint i = 0; i < pools->len && pages != SEGFS_PAGES_SMALL; i++) {
		const SegfsHugePool *pool = &g_array_index(pools, SegfsHugePool, i);
		const uint64_t factor = pool->page_size / base, bytes = segment->rss / factor;
		const uint64_t most = MIN(round_up(segment->size, pool->page_size),
					  pool->size - MIN(pool->size, pool->free));
		if (segment->rss <= most && segment->rss % pool->page_size == 0 && !is_wrong) {
			may_be_right = true;
			add(&readings, true, segment->rss);
		}
		if (bytes <= most && segment->rss % (factor * pool->page_size) == 0)
			add(&readings, true, bytes);
	}
	is_wrong |= readings.any && !readings.small && !may_be_right;
	return readings;
}

static void take(SegfsSysv *segment, const Readings *readings)
{
	segment->has_resident = readings->any && !readings->differ;
	if (segment->has_resident)
		segment->rss = readings->bytes;
	if (readings->any && readings->small != readings->huge)
		segment->pages = readings->huge ? SEGFS_PAGES_HUGE : SEGFS_PAGES_SMALL;
}

static bool is_used(const GArray *pools)
{
	for (guint i = 0; i < pools->len; i++) {
		const SegfsHugePool *pool = &g_array_index(pools, SegfsHugePool, i);
		if (pool->size > pool->free)
			return true;
	}
	return false;
}

void huge_correct(SegfsIpc *ipc, GArray *segments)
{
	g_autoptr(GArray) pools = segfs_huge_pools();
	const bool some_are_huge = is_used(pools);
	guint n_searches = 0;

	for (guint i = 0; i < segments->len; i++) {
		SegfsSysv *segment = &g_array_index(segments, SegfsSysv, i);
		segment->pages = recall(ipc, segment);
		if (segment->rss == 0)
			continue;
		if (!some_are_huge) {
			segment->pages = SEGFS_PAGES_SMALL;
			continue;
		}
		Readings readings = read_figure(segment, pools, segment->pages);
		if (readings.differ && segment->nattch > 0 && n_searches++ < SEARCHES) {
			segment->pages = search(ipc, segment);
			readings = read_figure(segment, pools, segment->pages);
		}
		take(segment, &readings);
	}
}
