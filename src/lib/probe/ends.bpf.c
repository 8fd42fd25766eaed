/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * At the end of a task the kernel still has the list of the live segments that the task has made:
 * task->sysvshm.shm_clist. The program here reads it, and who the task was. It runs for each task
 * that ends, and does next to nothing where the list is empty: the process goes into a table of the
 * last ones that have ended, where the reader finds what /proc no longer has.
 *
 * A process that runs another program is another program from then on, so that is seen, too
 * (sched_prepare_exec, Linux 6.10). A new file of a tmpfs gets its first times while its creator
 * runs (ctime_ns_xchg, Linux 6.13), who may have ended, or run another program, by the time anybody
 * asks.
 */

#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "lib/probe/common.h"
#include "lib/probe/ends.h"
#include "lib/probe/ends_kin.h"
#include "lib/probe/stack.bpf.h"

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1024 * 1024);
} ring SEC(".maps");

/* Those that have ended, by their pid. */
TABLE(LRU_HASH, ENDS_KEPT, __u32, struct ends_process) ended SEC(".maps");

/* Those that have run another program, as they were before. */
TABLE(LRU_HASH, ENDS_KEPT, __u32, struct ends_process) changed SEC(".maps");

/* Whose end is told though they leave no segment: pid -> when that process started, in ticks. */
TABLE(LRU_HASH, 4 * ENDS_KEPT, __u32, __u64) awaited SEC(".maps");

/* The last end of a process by its number, of which several have one entry. */
struct number {
	__u64 at, start;
	__u64 before; /* of the process before that one */
};

#define NUMBERS 16384
TABLE(ARRAY, NUMBERS, __u32, struct number) numbers SEC(".maps");

/*
 * Who has made the files of tmpfs that came last, each in the place of its number: who makes a file
 * waits for this, so nobody takes a lock. What two write at once, or is read while it is written,
 * does not have its sum, and is not there.
 */
TABLE(ARRAY, ENDS_MADE, __u32, struct ends_made) made SEC(".maps");

/* Likewise how. */
TABLE(ARRAY, ENDS_STACKS, __u32, struct ends_stack) stacks SEC(".maps");

/* Fills the scratch. */
static __always_inline void fill(struct ends_process *process, struct task_struct *task, bool ended)
{
	struct task_struct *leader = BPF_CORE_READ(task, group_leader);

	process->at = bpf_ktime_get_boot_ns();
	process->start = BPF_CORE_READ(leader, start_boottime);
	process->cgroup = bpf_get_current_cgroup_id();
	process->pid = pid_for_reader((__u64)leader);
	process->uid = bpf_get_current_uid_gid();
	process->has_ended = ended;
	process->n_execs = 0;
	process->before = 0;
	process->exec = BPF_CORE_READ(task, self_exec_id);
	process->code = exit_code_of(task);
	bpf_get_current_comm(process->command, sizeof(process->command));
	process->is_daemon = is_mount_of_root(process->command, process->uid);
	read_ancestors(bpf_get_current_task());
	process->arguments_size = read_arguments(process->arguments, task);
}

#define EVENTS_MOST 256

/*
 * Tells of up to most segments of the list of a task, whose process is in the scratch, from at on;
 * most is a constant. Returns the first one that is not told, or 0 where the ring has no room.
 * is_last: what is left then is lost.
 */
static __always_inline __u64 tell_some(struct task_struct *task, struct list_head *at, int most,
				       bool is_last)
{
	const __u32 zero = 0;
	const struct list_head *head = segments_of(task);
	const struct ends_process *process = bpf_map_lookup_elem(&scratch, &zero);
	struct ends_event *event =
		bpf_ringbuf_reserve(&ring, sizeof(*event) + most * sizeof(struct ends_segment), 0);
	__u32 n = 0;

	if (!event) {
		count_lost(ENDS_LOST_EVENTS);
		return 0;
	}
	if (process)
		__builtin_memcpy(&event->process, process, sizeof(*process));
	for (int j = 0; j < most; j++) {
		if (!at || at == head)
			break;
		read_segment(&event->segments[j],
			     (void *)at - bpf_core_field_offset(struct shmid_kernel, shm_clist),
			     task);
		n = j + 1;
		at = BPF_CORE_READ(at, next);
	}
	event->n = n;
	event->more = is_last && at && at != head;
	bpf_ringbuf_submit(event, 0);
	return (__u64)at;
}

__noinline __u64 tell_one(__u64 of, __u64 at)
{
	return tell_some((void *)of, (void *)at, 1, false);
}

__noinline __u64 tell_many(__u64 of, __u64 at, __u32 is_last)
{
	return tell_some((void *)of, (void *)at, ENDS_SEGMENTS, is_last);
}

/* Tells what the task that runs has made and left, of which there is one, mostly. False: not of
 * all. It is verified once as well, or each way out of its loop is gone with each of its callers.
 */
__noinline int tell_segments(void)
{
	const __u64 task = bpf_get_current_task();
	struct list_head *head = segments_of((void *)task);
	__u64 at = tell_one(task, (__u64)BPF_CORE_READ(head, next));

	for (int i = 0; i < EVENTS_MOST && at && at != (__u64)head; i++)
		at = tell_many(task, at, i == EVENTS_MOST - 1);
	return at == (__u64)head;
}

/* When the number that it has was another's last. Several threads can be a process's last at once.
 */
static __always_inline void take_number(struct ends_process *process)
{
	const __u32 which = process->pid % NUMBERS;
	struct number *number = bpf_map_lookup_elem(&numbers, &which);

	if (!number)
		return;
	if (number->start != process->start) {
		number->before = number->at;
		number->start = process->start;
	}
	number->at = process->at;
	process->before = number->before;
}

/* The process has ended. told: by an event that has segments. */
static __always_inline void tell_end(struct ends_process *process, bool told)
{
	const __u32 pid = process->pid;

	take_number(process);
	bpf_map_update_elem(&ended, &pid, process, BPF_ANY);
	bpf_map_delete_elem(&scattered, &pid);
	__u64 *start = bpf_map_lookup_elem(&awaited, &pid);
	if (!start)
		return;
	const bool is_it = *start == process->start / ENDS_TICK;
	bpf_map_delete_elem(&awaited, &pid);
	if (told || !is_it)
		return;
	struct ends_event *event = bpf_ringbuf_reserve(&ring, sizeof(*event), 0);
	if (!event) {
		count_lost(ENDS_LOST_EVENTS);
		return;
	}
	__builtin_memcpy(&event->process, process, sizeof(*process));
	event->n = 0;
	event->more = 0;
	bpf_ringbuf_submit(event, 0);
}

/* How many programs it has run since it was forked, of which the table has forgotten many. */
static __always_inline __u32 count_execs(__u32 pid, __u64 start, struct task_struct *task)
{
	const struct ends_process *before = bpf_map_lookup_elem(&changed, &pid);

	if (before && before->start == start)
		return before->n_execs;
	return BPF_CORE_READ(task, self_exec_id) == BPF_CORE_READ(task, parent_exec_id) ? 0
											: ENDS_MANY;
}

/*
 * From Linux 7.0 on another task may run on the processor while a tracepoint's program is in its
 * midst, and the kernel passes over that program for it. Nobody does while such a program is at
 * work, since they have scratches in common; and there are two of each, one behind the other, of
 * which the second does what the first one was not run for: to the kernel each is one of its own.
 * What both were not run for is lost.
 */
const volatile bool are_two;

void bpf_preempt_disable(void) __weak __ksym;
void bpf_preempt_enable(void) __weak __ksym;

static __always_inline void keep_processor(void)
{
	if (are_two)
		bpf_preempt_disable();
}

static __always_inline void leave_processor(void)
{
	if (are_two)
		bpf_preempt_enable();
}

/* Threads for which the first one has run, until the second does. */
TABLE(LRU_HASH, 4096, __u64, __u8) done SEC(".maps");

static __always_inline bool is_to_do(bool is_second)
{
	const __u64 thread = bpf_get_current_pid_tgid();
	const __u8 one = 1;

	if (!is_second) {
		if (are_two)
			bpf_map_update_elem(&done, &thread, &one, BPF_ANY);
		return true;
	}
	return bpf_map_delete_elem(&done, &thread) != 0;
}

__u64 made_good; /* how often the second one of a task's had something to do */

static __always_inline bool is_task_to_do(bool is_second)
{
	const bool is = is_to_do(is_second);

	if (is && is_second)
		__sync_fetch_and_add(&made_good, 1);
	return is;
}

#define TWICE(tracepoint, name, type, take, ...)                                                   \
	SEC("tp_btf/" #tracepoint)                                                                 \
	int BPF_PROG(name, type of)                                                                \
	{                                                                                          \
		return take(of, false, ##__VA_ARGS__);                                             \
	}                                                                                          \
	SEC("tp_btf/" #tracepoint)                                                                 \
	int BPF_PROG(name##_again, type of)                                                        \
	{                                                                                          \
		return take(of, true, ##__VA_ARGS__);                                              \
	}

static __always_inline void take_end(struct task_struct *task, bool is_last, bool has_segments)
{
	const __u32 zero = 0;
	struct ends_process *process = bpf_map_lookup_elem(&scratch, &zero);

	if (!process)
		return;
	fill(process, task, is_last);
	process->n_execs = count_execs(process->pid, process->start, task);
	give_up_children(bpf_get_current_task());
	const bool told = has_segments && tell_segments();
	const __u32 pid = process->pid;
	if (!pid)
		return;
	if (is_last) {
		tell_end(process, told);
	} else if (has_segments) {
		/* A thread has ended: when its process does, that is still to be told. */
		__u64 start = process->start / ENDS_TICK;
		bpf_map_update_elem(&awaited, &pid, &start, BPF_ANY);
	}
}

static __always_inline int task_ends_now(struct task_struct *task, bool is_second)
{
	/* Before others of its threads end, which changes who is the last. */
	if (!is_task_to_do(is_second))
		return 0;
	const bool is_last = BPF_CORE_READ(task, signal, live.counter) == 0;
	const bool has_segments = has_any(segments_of(task));
	if (!is_last && !has_segments && !has_any(children_of(task)))
		return 0;
	keep_processor();
	take_end(task, is_last, has_segments);
	leave_processor();
	return 0;
}

TWICE(sched_process_exit, task_ends, struct task_struct *, task_ends_now)

static __always_inline void take_change(struct task_struct *task)
{
	const __u32 zero = 0;
	struct ends_process *process = bpf_map_lookup_elem(&scratch, &zero);

	if (!process)
		return;
	fill(process, task, false);
	const __u32 pid = process->pid;
	process->n_execs = count_execs(process->pid, process->start, task);
	if (process->n_execs != ENDS_MANY)
		process->n_execs++;
	if (has_any(segments_of(task)) && !tell_segments())
		scatter((__u64)BPF_CORE_READ(task, group_leader), false);
	if (pid)
		bpf_map_update_elem(&changed, &pid, process, BPF_ANY);
}

static __always_inline int task_changes_now(struct task_struct *task, bool is_second)
{
	if (!is_task_to_do(is_second))
		return 0;
	keep_processor();
	take_change(task);
	leave_processor();
	return 0;
}

TWICE(sched_prepare_exec, task_changes, struct task_struct *, task_changes_now)

/* Which scratch a program has; NO_STACK: what has made it is not kept. */
#define NO_STACK 2

static __always_inline void keep_stack(__u32 dev, __u64 ino, __u64 start, __u32 which)
{
	const __u32 index = ends_stack_index(dev, ino);
	struct walk *walk = take_stack(which);

	if (!walk)
		return;
	walk->made.ino = ino;
	walk->made.dev = dev;
	walk->made.start = start;
	walk->made.at = bpf_ktime_get_boot_ns();
	walk->made.sum = ends_stack_sum(&walk->made);
	bpf_map_update_elem(&stacks, &index, &walk->made, BPF_ANY);
}

static __always_inline void take_maker(struct inode *inode, __u32 which)
{
	const struct super_block *sb = inode->i_sb;
	const struct task_struct *task = bpf_get_current_task_btf();
	const struct task_struct *leader = task->group_leader;
	if (sb->s_flags & SB_KERNMOUNT) {
		/* With a pointer the kernel lets nobody compute. */
		__u64 at = 0;
		if (which != NO_STACK && bpf_probe_read_kernel(&at, sizeof(at), &inode) == 0)
			keep_stack(0, at, leader->start_boottime, which);
		return;
	}
	struct ends_made maker = {
		.ino = inode->i_ino,
		.start = leader->start_boottime,
		.exec = task->self_exec_id,
		.dev = sb->s_dev,
		.pid = pid_for_reader((__u64)BPF_CORE_READ(task, group_leader)),
		.uid = bpf_get_current_uid_gid(),
	};
	const __u32 index = ends_made_index(maker.dev, maker.ino);
	struct ends_made *place = bpf_map_lookup_elem(&made, &index);
	if (!place)
		return;
	maker.n_execs = count_execs(maker.pid, maker.start, (void *)task);
	bpf_get_current_comm(maker.command, sizeof(maker.command));
	maker.sum = ends_made_sum(&maker);
	*place = maker;
	if (which != NO_STACK)
		keep_stack(maker.dev, maker.ino, maker.start, which);
}

/*
 * Its times were set. A file that has no name yet is new; those of the kernel's own tmpfs, segments
 * and memfds, never have one, nor yet a number.
 */
static __always_inline int take_times(struct inode *inode, bool is_second, __u32 which)
{
	if (inode->i_sb->s_magic != TMPFS_MAGIC || inode->i_dentry.first || !is_to_do(is_second))
		return 0;
	keep_processor();
	take_maker(inode, which);
	leave_processor();
	return 0;
}

TWICE(ctime_ns_xchg, file_times, struct inode *, take_times, NO_STACK)
/* The memory of an inode that was freed within the same tick has had these times. */
TWICE(ctime_xchg_skip, file_same_times, struct inode *, take_times, NO_STACK)
/* The same with the stack. */
TWICE(ctime_ns_xchg, file_times_stack, struct inode *, take_times, 0)
TWICE(ctime_xchg_skip, file_same_times_stack, struct inode *, take_times, 1)
