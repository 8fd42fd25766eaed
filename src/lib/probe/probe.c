/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/probe/probe.h"

#ifdef SEGFS_HISTORY

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>

#include <ends.skel.h>

#include "lib/kernel/kernel.h"
#include "lib/os/procfs.h"

struct Probe {
	struct ends_bpf *skeleton;
	struct ring_buffer *ring;
	bool has_made, has_stacks;
	uint64_t missed, missed_before; /* as they were counted last */
	ProbeTake take;                 /* while the ring is read */
	gpointer data;
};

static int on_event(void *context, void *bytes, size_t size)
{
	Probe *probe = context;

	const struct ends_event *event = bytes;

	if (size >= sizeof(*event) && size >= sizeof(*event) + event->n * sizeof(*event->segments))
		probe->take(event, probe->data);
	return 0;
}

/* What not every kernel tells. */
typedef enum {
	WITHOUT,
	WITH_EXEC,  /* what a process was before it ran another program */
	WITH_MAKER, /* and who makes a file, then and there */
	WITH_HOLDS, /* and who holds nothing */
} With;

/* See ends.bpf.c. */
static bool are_two(void)
{
	return !kernel_is_before(7, 0);
}

static void choose(struct bpf_program *program, struct bpf_program *again, bool is_wanted)
{
	bpf_program__set_autoload(program, is_wanted);
	bpf_program__set_autoload(again, is_wanted && are_two());
}

static int load(With with, bool stacks, struct ends_bpf **ret_skeleton)
{
	struct ends_bpf *skeleton = ends_bpf__open();

	if (!skeleton)
		return -errno;
	skeleton->rodata->reader_pid_ns = procfs_namespace(AT_FDCWD, "/proc/self/ns/pid");
	int r = skeleton->rodata->reader_pid_ns ? 0 : -errno;
	skeleton->rodata->has_exec = with >= WITH_EXEC;
	const bool has_stacks = stacks && with >= WITH_MAKER;
	const bool has_times = with >= WITH_MAKER && !stacks;
	skeleton->rodata->are_two = are_two();
	choose(skeleton->progs.task_ends, skeleton->progs.task_ends_again, true);
	choose(skeleton->progs.task_changes, skeleton->progs.task_changes_again, with >= WITH_EXEC);
	choose(skeleton->progs.file_times, skeleton->progs.file_times_again, has_times);
	choose(skeleton->progs.file_same_times, skeleton->progs.file_same_times_again, has_times);
	choose(skeleton->progs.file_times_stack, skeleton->progs.file_times_stack_again,
	       has_stacks);
	choose(skeleton->progs.file_same_times_stack, skeleton->progs.file_same_times_stack_again,
	       has_stacks);
	if (!has_stacks)
		bpf_map__set_max_entries(skeleton->maps.stacks, 1);
	bpf_program__set_autoload(skeleton->progs.what_each_holds, with >= WITH_HOLDS);
	if (r == 0)
		r = ends_bpf__load(skeleton);
	if (r == 0)
		r = ends_bpf__attach(skeleton);
	if (r < 0)
		ends_bpf__destroy(skeleton);
	else
		*ret_skeleton = skeleton;
	return r;
}

/* As much as the kernel takes; least: not less. */
static int load_most(Probe *probe, bool stacks, With least)
{
	/* What it takes (Linux 6.7) is not asked for itself: that takes longer than to do without.
	 */
	int with = kernel_has(KERNEL_PROCMAP_QUERY) ? WITH_HOLDS : WITH_MAKER;
	int r = load(with, stacks, &probe->skeleton);

	while (r < 0 && r != -EPERM && with > (int)least)
		r = load(--with, stacks, &probe->skeleton);
	probe->has_made = with >= WITH_MAKER;
	probe->has_stacks = stacks;
	return r;
}

Probe *probe_new(bool stacks, char **ret_why_not)
{
	g_autoptr(Probe) probe = g_new0(Probe, 1);

	libbpf_set_print(NULL);
	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	int r = stacks ? load_most(probe, true, WITH_MAKER) : -EOPNOTSUPP;
	if (r < 0 && r != -EPERM)
		r = load_most(probe, false, WITHOUT);
	if (r == 0) {
		probe->ring = ring_buffer__new(bpf_map__fd(probe->skeleton->maps.ring), on_event,
					       probe, NULL);
		r = probe->ring ? 0 : -errno;
	}
	if (r == 0)
		return g_steal_pointer(&probe);
	*ret_why_not = r == -EPERM || r == -EACCES
			       ? g_strdup_printf("no probes: %s (they need CAP_BPF and "
						 "CAP_PERFMON)",
						 g_strerror(-r))
			       : g_strdup_printf("no probes: %s", g_strerror(-r));
	return NULL;
}

void probe_free(Probe *probe)
{
	g_clear_pointer(&probe->ring, ring_buffer__free);
	g_clear_pointer(&probe->skeleton, ends_bpf__destroy);
	g_free(probe);
}

int probe_fd(const Probe *probe)
{
	return ring_buffer__epoll_fd(probe->ring);
}

void probe_read(Probe *probe, ProbeTake take, gpointer data)
{
	probe->take = take;
	probe->data = data;
	/* By way of the epoll set, so that it is not readable any more for these. */
	ring_buffer__poll(probe->ring, 0);
}

static bool look_up(const struct bpf_map *map, pid_t pid, struct ends_process *ret_process)
{
	const __u32 key = pid;

	return bpf_map_lookup_elem(bpf_map__fd(map), &key, ret_process) == 0;
}

bool probe_ended(Probe *probe, pid_t pid, struct ends_process *ret_process)
{
	return look_up(probe->skeleton->maps.ended, pid, ret_process);
}

bool probe_changed(Probe *probe, pid_t pid, struct ends_process *ret_process)
{
	return look_up(probe->skeleton->maps.changed, pid, ret_process);
}

bool probe_made(Probe *probe, uint64_t dev, uint64_t ino, struct ends_made *ret_made)
{
	const __u32 number = probe_device(dev);
	const __u32 index = ends_made_index(number, ino);

	return bpf_map_lookup_elem(bpf_map__fd(probe->skeleton->maps.made), &index, ret_made) ==
		       0 &&
	       ret_made->ino == ino && ret_made->dev == number &&
	       ret_made->sum == ends_made_sum(ret_made);
}

static bool look_up_stack(Probe *probe, uint32_t dev, uint64_t ino, uint64_t start, uint64_t at,
			  struct stack *ret_stack)
{
	const __u32 index = ends_stack_index(dev, ino);
	struct ends_stack found;

	if (!probe->has_stacks ||
	    bpf_map_lookup_elem(bpf_map__fd(probe->skeleton->maps.stacks), &index, &found) < 0 ||
	    found.sum != ends_stack_sum(&found) || found.dev != dev || found.ino != ino ||
	    found.start != start || found.at > at)
		return false;
	*ret_stack = found.stack;
	return true;
}

bool probe_stack(Probe *probe, const struct ends_made *made, struct stack *ret_stack)
{
	return look_up_stack(probe, made->dev, made->ino, made->start, UINT64_MAX, ret_stack);
}

bool probe_segment_stack(Probe *probe, const struct ends_segment *segment,
			 const struct ends_process *creator, struct stack *ret_stack)
{
	return segment->inode &&
	       look_up_stack(probe, 0, segment->inode, creator->start, creator->at, ret_stack);
}

bool probe_has_stacks(const Probe *probe)
{
	return probe->has_stacks;
}

bool probe_has_made(const Probe *probe)
{
	return probe->has_made;
}

void probe_await(Probe *probe, pid_t pid, uint64_t start)
{
	const __u32 key = pid;
	const __u64 value = start;

	bpf_map_update_elem(bpf_map__fd(probe->skeleton->maps.awaited), &key, &value, BPF_ANY);
}

int probe_holds(const Probe *probe)
{
	const struct bpf_link *link = probe->skeleton->links.what_each_holds;

	return link ? bpf_link__fd(link) : -1;
}

static uint64_t look_up_lost(const Probe *probe, __u32 which)
{
	__u64 n = 0;

	bpf_map_lookup_elem(bpf_map__fd(probe->skeleton->maps.lost), &which, &n);
	return n;
}

uint64_t probe_misses(int program_fd)
{
	struct bpf_prog_info info = {};
	__u32 size = sizeof(info);

	return bpf_obj_get_info_by_fd(program_fd, &info, &size) == 0 ? info.recursion_misses : 0;
}

/* Of what tasks do: who makes a file is not known then. Rather one too many. */
static uint64_t count_missed(const Probe *probe)
{
	const uint64_t made_good =
		__atomic_load_n(&probe->skeleton->bss->made_good, __ATOMIC_ACQUIRE);
	const struct bpf_program *programs[] = {probe->skeleton->progs.task_ends,
						probe->skeleton->progs.task_changes};
	uint64_t n = 0;

	for (guint i = 0; i < G_N_ELEMENTS(programs); i++) {
		const int fd = bpf_program__fd(programs[i]);
		n += fd >= 0 ? probe_misses(fd) : 0;
	}
	return n > made_good ? n - made_good : 0;
}

uint64_t probe_lost(Probe *probe)
{
	const uint64_t missed = count_missed(probe);

	/* It may be made good yet, by a program that is about to run. */
	probe->missed = MAX(probe->missed, MIN(missed, probe->missed_before));
	probe->missed_before = missed;
	return look_up_lost(probe, ENDS_LOST_EVENTS) + probe->missed;
}

bool probe_knows_kin(Probe *probe)
{
	return look_up_lost(probe, ENDS_LOST_FAMILIES) + count_missed(probe) == 0;
}

#else

Probe *probe_new(bool stacks, char **ret_why_not)
{
	*ret_why_not = g_strdup("no probes: segfs was built without them (-Dhistory)");
	return NULL;
}

/* Of a probe, and there is none. */
void probe_free(Probe *probe)
{
}

int probe_fd(const Probe *probe)
{
	return -1;
}

void probe_read(Probe *probe, ProbeTake take, gpointer data)
{
}

bool probe_ended(Probe *probe, pid_t pid, struct ends_process *ret_process)
{
	return false;
}

bool probe_changed(Probe *probe, pid_t pid, struct ends_process *ret_process)
{
	return false;
}

bool probe_made(Probe *probe, uint64_t dev, uint64_t ino, struct ends_made *ret_made)
{
	return false;
}

bool probe_stack(Probe *probe, const struct ends_made *made, struct stack *ret_stack)
{
	return false;
}

bool probe_segment_stack(Probe *probe, const struct ends_segment *segment,
			 const struct ends_process *creator, struct stack *ret_stack)
{
	return false;
}

bool probe_has_stacks(const Probe *probe)
{
	return false;
}

bool probe_has_made(const Probe *probe)
{
	return false;
}

void probe_await(Probe *probe, pid_t pid, uint64_t start)
{
}

int probe_holds(const Probe *probe)
{
	return -1;
}

uint64_t probe_lost(Probe *probe)
{
	return 0;
}

bool probe_knows_kin(Probe *probe)
{
	return false;
}

#endif
