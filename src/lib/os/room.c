/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * How much of other people's memory we may still take on our account.
 *
 * A page of shared memory is charged to the cgroup of whoever touches it first, and stays so until
 * it is freed. Where we write for a caller that is us, and one caller could fill our cgroup: the
 * kernel would kill the daemon, everybody's. So before anything is taken the limits are looked at,
 * ours and those of all groups above, and a part is left for our own work. The figures are read
 * again when what was left is used up, or when they are old: a write costs no look as long as there
 * is plenty.
 *
 * What the kernel can take back counts as left: pages of files on disk, slabs that it says are
 * reclaimable, and what can go to swap. Shared memory is none of these.
 */

#include "lib/os/room.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

/* Seconds for which figures are taken as true: the group's other processes take memory, too. */
#define OFTEN (G_USEC_PER_SEC / 4)

/* What is left for ourselves: a part of the limit, within bounds. */
#define OWN_PART 4
#define OWN_LEAST (8 * 1024 * 1024)
#define OWN_MOST (64 * 1024 * 1024)

/* The names of one figure in cgroup v2 and v1. */
typedef struct {
	const char *limit, *high, *used, *file, *active_file, *slab, *swap_limit, *swap_used;
} Names;

static const Names v2 = {
	.limit = "memory.max",
	.high = "memory.high",
	.used = "memory.current",
	.file = "inactive_file ",
	.active_file = "active_file ",
	.slab = "slab_reclaimable ",
	.swap_limit = "memory.swap.max",
	.swap_used = "memory.swap.current",
};

static const Names v1 = {
	.limit = "memory.limit_in_bytes",
	.used = "memory.usage_in_bytes",
	.file = "total_inactive_file ",
	.active_file = "total_active_file ",
};

/* false: there is none. */
static bool figure(const char *group, const char *name, uint64_t *ret)
{
	g_autofree char *path = name ? g_build_filename(group, name, NULL) : NULL;
	g_autofree char *text = NULL;

	return path && g_file_get_contents(path, &text, NULL, NULL) &&
	       sscanf(text, "%" G_GUINT64_FORMAT, ret) == 1;
}

/* Of a line of memory.stat. */
static uint64_t stat_figure(const char *stat, const char *name)
{
	const char *at = name ? stat : NULL;

	for (; at && *at; at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL)
		if (g_str_has_prefix(at, name))
			return g_ascii_strtoull(at + strlen(name), NULL, 10);
	return 0;
}

static uint64_t less(uint64_t a, uint64_t b)
{
	return a - MIN(a, b);
}

static uint64_t reclaimable(const char *group, const Names *names)
{
	g_autofree char *path = g_build_filename(group, "memory.stat", NULL);
	g_autofree char *stat = NULL;
	uint64_t swap, swapped, sum = 0;
	struct sysinfo system;

	if (g_file_get_contents(path, &stat, NULL, NULL))
		sum = stat_figure(stat, names->file) + stat_figure(stat, names->active_file) +
		      stat_figure(stat, names->slab);
	if (sysinfo(&system) < 0 || system.freeswap == 0 || !names->swap_used ||
	    !figure(group, names->swap_used, &swapped))
		return sum;
	/* "max" is no number. */
	if (!figure(group, names->swap_limit, &swap))
		swap = UINT64_MAX;
	return sum + MIN(less(swap, swapped), (uint64_t)system.freeswap * system.mem_unit);
}

/* One group's; false: it has no limit. */
static bool group_room(const char *group, const Names *names, uint64_t *ret_limit,
		       uint64_t *ret_left)
{
	uint64_t limit = UINT64_MAX, high, used;
	struct sysinfo system;

	if (figure(group, names->high, &high))
		limit = high; /* past it nobody is killed, but all of us would crawl */
	if (figure(group, names->limit, &high))
		limit = MIN(limit, high);
	if (sysinfo(&system) < 0 || limit > (uint64_t)system.totalram * system.mem_unit ||
	    !figure(group, names->used, &used))
		return false;
	*ret_limit = limit;
	*ret_left = less(limit, used);
	/* Asking costs more: where there is plenty it does not matter. */
	if (*ret_left < limit / 2)
		*ret_left = MIN(*ret_left + reclaimable(group, names), limit);
	return true;
}

/* "0::/a/b" of cgroup v2, "4:memory:/a/b" or "4:cpu,memory:/a/b" of v1; NULL: neither. */
static char *path_of(const char *cgroup, bool is_v1)
{
	g_auto(GStrv) lines = g_strsplit(cgroup, "\n", -1);

	for (char **line = lines; *line; line++) {
		g_auto(GStrv) parts = g_strsplit(*line, ":", 3);
		if (g_strv_length(parts) != 3)
			continue;
		g_auto(GStrv) controllers = g_strsplit(parts[1], ",", -1);
		if (is_v1 ? g_strv_contains((const char *const *)controllers, "memory")
			  : !strcmp(parts[0], "0") && !*parts[1])
			return g_strdup(parts[2]);
	}
	return NULL;
}

int room_of_cgroup(const char *cgroup, const char *root, uint64_t *ret_limit, uint64_t *ret_left)
{
	g_autofree char *controllers = g_build_filename(root, "cgroup.controllers", NULL);
	const bool is_v1 = access(controllers, F_OK) < 0;
	g_autofree char *top = g_build_filename(root, is_v1 ? "memory" : "", NULL);
	g_autofree char *path = path_of(cgroup, is_v1);
	g_autofree char *group = path ? g_build_filename(top, path, NULL) : NULL;
	uint64_t limit, left;
	bool any = false;

	/* In a container its own group can be mounted as the root, under the host's path. */
	if (!group || strstr(path, "/..") || access(group, F_OK) < 0) {
		g_free(group);
		group = g_strdup(top);
	}
	for (;;) {
		if (group_room(group, is_v1 ? &v1 : &v2, &limit, &left) &&
		    (!any || left < *ret_left)) {
			*ret_limit = limit;
			*ret_left = left;
			any = true;
		}
		if (strlen(group) <= strlen(top))
			break;
		char *above = g_path_get_dirname(group);
		g_free(group);
		group = above;
	}
	return any ? 0 : -ENODATA;
}

static struct {
	GMutex lock;  /* protects what follows */
	gint64 until; /* monotonic time up to which the figures count */
	bool is_limited;
	uint64_t left;      /* beyond what is for ourselves, */
	uint64_t spare;     /* and the half of that which names may have */
	uint64_t under_way; /* taken, but perhaps not yet counted by the kernel */
} room;

/* Call with the lock held. */
static void look(gint64 now)
{
	g_autofree char *cgroup = NULL;
	uint64_t limit, left;

	room.is_limited = g_file_get_contents("/proc/self/cgroup", &cgroup, NULL, NULL) &&
			  room_of_cgroup(cgroup, "/sys/fs/cgroup", &limit, &left) == 0;
	room.until = now + OFTEN;
	if (!room.is_limited)
		return;
	const uint64_t own = CLAMP(limit / OWN_PART, OWN_LEAST, OWN_MOST);
	const uint64_t free = less(left, own / 2 + room.under_way);
	room.left = less(free, own / 2);
	room.spare = free - room.left;
}

/* Call with the lock held. */
static bool take(uint64_t size, bool is_name)
{
	if (size > room.left + (is_name ? room.spare : 0))
		return false;
	const uint64_t of_spare = less(size, room.left);
	room.left -= size - of_spare;
	room.spare -= of_spare;
	room.under_way += size;
	return true;
}

static int take_or_look(uint64_t size, bool is_name, RoomTaken *ret_taken)
{
	const gint64 now = g_get_monotonic_time();

	g_mutex_lock(&room.lock);
	const bool is_old = now >= room.until;
	if (is_old)
		look(now);
	bool taken = !room.is_limited || take(size, is_name);
	if (!taken && !is_old) {
		look(now);
		taken = !room.is_limited || take(size, is_name);
	}
	*ret_taken = taken && room.is_limited ? size : 0;
	g_mutex_unlock(&room.lock);
	return taken ? 0 : -ENOSPC;
}

int room_take_name(uint64_t size, RoomTaken *ret_taken)
{
	return take_or_look(size, true, ret_taken);
}

void room_leave(RoomTaken *taken)
{
	if (*taken == 0)
		return;
	g_mutex_lock(&room.lock);
	room.under_way -= *taken;
	g_mutex_unlock(&room.lock);
	*taken = 0;
}

uint64_t room_pages_missing(int fd, off_t offset, uint64_t size)
{
	const uint64_t page = sysconf(_SC_PAGESIZE);
	const uint64_t end = ((uint64_t)offset + size + page - 1) / page;
	uint64_t at = offset / page, missing = 0;

	while (at < end) {
		const off_t data = lseek(fd, (off_t)(at * page), SEEK_DATA);
		if (data < 0 || data / page >= end)
			return missing + end - at;
		missing += data / page - at;
		const off_t hole = lseek(fd, data, SEEK_HOLE);
		at = (hole + page - 1) / page;
	}
	return missing;
}

int room_take_range(int fd, off_t offset, uint64_t size, RoomTaken *ret_taken)
{
	int r = take_or_look(size, false, ret_taken);

	if (r < 0 && fd >= 0 && offset >= 0)
		r = take_or_look(room_pages_missing(fd, offset, size) * sysconf(_SC_PAGESIZE),
				 false, ret_taken);
	return r;
}
