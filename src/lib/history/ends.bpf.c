/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * At the end of a task the kernel still has the list of the live segments that the task has made:
 * task->sysvshm.shm_clist. The program here reads it, and who the task was. It runs for each task
 * that ends, and does next to nothing where the list is empty: the process goes into a table of the
 * last ones that have ended, where the reader finds what /proc no longer has.
 *
 * A process that runs another program is another program from then on, so that is seen, too
 * (sched_prepare_exec, Linux 6.10).
 *
 * The kernel's structs have here what is read of them: the loader finds the offsets (CO-RE).
 */

#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "lib/history/ends.h"

char LICENSE[] SEC("license") = "GPL";

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct list_head {
	struct list_head *next, *prev;
};
struct sysv_shm {
	struct list_head shm_clist;
};
struct ns_common {
	unsigned int inum;
	__u64 ns_id;
};
struct ipc_namespace {
	struct ns_common ns;
};
struct pid_namespace {
	struct ns_common ns;
};
struct nsproxy {
	struct ipc_namespace *ipc_ns;
};
struct upid {
	int nr;
	struct pid_namespace *ns;
};
struct pid {
	unsigned int level;
	struct upid numbers[1];
};
struct mm_struct {
	unsigned long arg_start, arg_end;
};
typedef struct {
	int counter;
} atomic_t;
struct signal_struct {
	atomic_t live;
	int group_exit_code;
};
struct task_struct {
	int exit_code;
	struct nsproxy *nsproxy;
	struct mm_struct *mm;
	struct sysv_shm sysvshm;
	struct signal_struct *signal;
	struct task_struct *group_leader;
	struct pid *thread_pid;
	__u64 start_boottime;
};
struct kern_ipc_perm {
	int id;
	int key;
};
struct shmid_kernel {
	struct kern_ipc_perm shm_perm;
	unsigned long shm_segsz;
	long long shm_ctim;
	struct list_head shm_clist;
	struct ipc_namespace *ns;
};
#pragma clang attribute pop

const volatile __u32 reader_pid_ns; /* the number of the reader's pid namespace */

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} ring SEC(".maps");

/* Those that have ended, by their pid. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, ENDS_KEPT);
	__type(key, __u32);
	__type(value, struct ends_process);
} ended SEC(".maps");

/* Those that have run another program, as they were before. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, ENDS_KEPT);
	__type(key, __u32);
	__type(value, struct ends_process);
} changed SEC(".maps");

/* Whose end is told though they leave no segment: pid -> when that process started, in ticks. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4 * ENDS_KEPT);
	__type(key, __u32);
	__type(value, __u64);
} awaited SEC(".maps");

/* Events for which the ring had no room. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} lost SEC(".maps");

/* The stack has no room for one. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ends_process);
} scratch SEC(".maps");

static __always_inline void count_lost(void)
{
	__u32 zero = 0;
	__u64 *n = bpf_map_lookup_elem(&lost, &zero);

	if (n)
		__sync_fetch_and_add(n, 1);
}

/* The number that the reader knows the process by. */
static __always_inline __u32 pid_for_reader(struct task_struct *leader)
{
	struct pid *pid = BPF_CORE_READ(leader, thread_pid);
	const unsigned int level = BPF_CORE_READ(pid, level);

	for (unsigned int i = 0; i < 32 && i <= level; i++) {
		struct upid *one = (void *)pid + bpf_core_field_offset(struct pid, numbers) +
				   i * bpf_core_type_size(struct upid);
		if (BPF_CORE_READ(one, ns, ns.inum) == reader_pid_ns)
			return BPF_CORE_READ(one, nr);
	}
	return 0;
}

static __always_inline void fill(struct ends_process *process, struct task_struct *task, bool ended)
{
	struct task_struct *leader = BPF_CORE_READ(task, group_leader);
	const unsigned long from = BPF_CORE_READ(task, mm, arg_start);
	unsigned long size = BPF_CORE_READ(task, mm, arg_end) - from;

	process->at = bpf_ktime_get_boot_ns();
	process->coarse = 0;
	process->start = BPF_CORE_READ(leader, start_boottime);
	process->cgroup = bpf_get_current_cgroup_id();
	process->pid = pid_for_reader(leader);
	process->uid = bpf_get_current_uid_gid();
	process->has_ended = ended;
	process->code = BPF_CORE_READ(task, signal, group_exit_code);
	if (!process->code)
		process->code = BPF_CORE_READ(task, exit_code);
	bpf_get_current_comm(process->command, sizeof(process->command));
	const char *c = process->command;
	process->is_daemon = process->uid == 0 && c[0] == 's' && c[1] == 'e' && c[2] == 'g' &&
			     c[3] == 'f' && c[4] == 's' && !c[5];
	process->arguments_size = 0;
	if (!from || !size)
		return;
	if (size > ENDS_ARGUMENTS)
		size = ENDS_ARGUMENTS;
	if (bpf_probe_read_user(process->arguments, size & (2 * ENDS_ARGUMENTS - 1),
				(const void *)from) == 0)
		process->arguments_size = size;
}

static __always_inline void read_segment(struct ends_segment *segment, struct shmid_kernel *of,
					 struct task_struct *task)
{
	struct ipc_namespace *ns = NULL;

	/* A task that has been in several namespaces has segments of all of them in one list. */
	if (bpf_core_field_exists(of->ns))
		ns = BPF_CORE_READ(of, ns);
	else
		ns = BPF_CORE_READ(task, nsproxy, ipc_ns);
	segment->ns = BPF_CORE_READ(ns, ns.inum);
	segment->ns_id = 0;
	if (bpf_core_field_exists(ns->ns.ns_id))
		segment->ns_id = BPF_CORE_READ(ns, ns.ns_id);
	segment->shmid = BPF_CORE_READ(of, shm_perm.id);
	segment->key = BPF_CORE_READ(of, shm_perm.key);
	segment->size = BPF_CORE_READ(of, shm_segsz);
	segment->ctime = BPF_CORE_READ(of, shm_ctim);
}

#define EVENTS_MOST 32

/*
 * Tells of up to most segments of task's list, from at on; most is a constant. Returns the first
 * one that is not told, or NULL where the ring has no room. is_last: what is left then is lost.
 */
static __always_inline struct list_head *tell_some(struct task_struct *task, bool ended,
						   struct list_head *head, struct list_head *at,
						   int most, bool is_last)
{
	struct ends_event *event =
		bpf_ringbuf_reserve(&ring, sizeof(*event) + most * sizeof(struct ends_segment), 0);
	__u32 n = 0;

	if (!event) {
		count_lost();
		return NULL;
	}
	fill(&event->process, task, ended);
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
	return at;
}

/* Tells what task has made and left. Returns whether there was anything. Mostly that is one. */
static __always_inline bool tell_segments(struct task_struct *task, bool ended)
{
	struct list_head *head = (void *)task + bpf_core_field_offset(struct task_struct, sysvshm) +
				 bpf_core_field_offset(struct sysv_shm, shm_clist);
	struct list_head *at = BPF_CORE_READ(head, next);

	if (!at || at == head)
		return false;
	at = tell_some(task, ended, head, at, 1, false);
	for (int i = 0; i < EVENTS_MOST && at && at != head; i++)
		at = tell_some(task, ended, head, at, ENDS_SEGMENTS, i == EVENTS_MOST - 1);
	return true;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(task_ends, struct task_struct *task)
{
	const __u32 zero = 0;
	const bool is_last = BPF_CORE_READ(task, signal, live.counter) == 0;
	const bool told = tell_segments(task, is_last);
	struct ends_process *process = bpf_map_lookup_elem(&scratch, &zero);

	if (!process || (!is_last && !told))
		return 0;
	fill(process, task, is_last);
	const __u32 pid = process->pid;
	if (!pid)
		return 0;
	/* A thread has ended: when its process does, that is still to be told. */
	if (!is_last) {
		__u64 start = process->start / ENDS_TICK;
		bpf_map_update_elem(&awaited, &pid, &start, BPF_ANY);
		return 0;
	}
	bpf_map_update_elem(&ended, &pid, process, BPF_ANY);
	__u64 *start = bpf_map_lookup_elem(&awaited, &pid);
	if (!start)
		return 0;
	const bool is_it = *start == process->start / ENDS_TICK;
	bpf_map_delete_elem(&awaited, &pid);
	if (told || !is_it)
		return 0;
	struct ends_event *event = bpf_ringbuf_reserve(&ring, sizeof(*event), 0);
	if (!event) {
		count_lost();
		return 0;
	}
	__builtin_memcpy(&event->process, process, sizeof(*process));
	event->n = 0;
	event->more = 0;
	bpf_ringbuf_submit(event, 0);
	return 0;
}

SEC("tp_btf/sched_prepare_exec")
int BPF_PROG(task_changes, struct task_struct *task)
{
	const __u32 zero = 0;
	struct ends_process *process = bpf_map_lookup_elem(&scratch, &zero);

	tell_segments(task, false);
	if (!process)
		return 0;
	fill(process, task, false);
	/* The clock that the times of files are of. */
	process->coarse = bpf_ktime_get_coarse_ns();
	const __u32 pid = process->pid;
	if (pid)
		bpf_map_update_elem(&changed, &pid, process, BPF_ANY);
	return 0;
}
