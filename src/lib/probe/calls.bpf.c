/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Who makes, attaches, detaches and removes SysV segments, as it happens: programs at the entry or
 * the return of the kernel's own functions (fentry, fexit). No function of the kernel is promised
 * to be there, or to be called where it was before, so calls_probe.c tries each.
 *
 * Memory is attached for as long as a mapping of it is there, and a mapping is split, moved and
 * copied: so it is counted how many are left of what one shmat(2), or one fork(2), has made.
 *
 * What segfs does itself is left out, but for the memory that goes when it lets go of it last.
 */

#include "lib/probe/calls.h"
#include "lib/probe/common.h"
#include "lib/probe/stack.bpf.h"

char LICENSE[] SEC("license") = "GPL";

#define PF_EXITING 0x00000004 /* include/linux/sched.h */
#define SHM_DEST 01000        /* include/linux/shm.h */
#define IPC_RMID 0
#define WAKE_AT (256 * 1024)
#define MAPPED_MOST 8192

__u64 lost;      /* events for which the ring had no room */
__u64 lost_told; /* of those, the reader's own count */
__u32 own_pid;   /* of the reader, as it knows itself; what runs may outlive it */

/* While it is tried whether programs run at all, this process and its children are told of here. */
__u32 tried_pid;
__u32 tried[CALLS_N];

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1024 * 1024);
} ring SEC(".maps");

/* One attach: a file of its own, in one process. */
struct attach {
	__u64 mm, file;
};

/* How many mappings there are of those that have been split; of what is not here there is one. */
TABLE(LRU_HASH, MAPPED_MOST, struct attach, __u32) mapped SEC(".maps");

/* This mount or another, by the process and not the thread. */
static __always_inline bool is_ours(struct task_struct *leader, __u32 pid)
{
	char command[8] = {};

	if (pid == own_pid)
		return true;
	bpf_core_read(command, sizeof(command), &leader->comm);
	return is_mount_of_root(command, BPF_CORE_READ(leader, real_cred, uid.val));
}

static __always_inline bool is_tried(struct task_struct *leader, __u32 pid, __u32 verb)
{
	if (tried_pid == 0)
		return false;
	if (pid != tried_pid &&
	    pid_for_reader((__u64)BPF_CORE_READ(leader, real_parent, group_leader)) != tried_pid)
		return false;
	__sync_fetch_and_add(&tried[verb], 1);
	return true;
}

static __always_inline void fill(struct calls_event *event, struct task_struct *task,
				 struct task_struct *leader)
{
	const __u32 flags = BPF_CORE_READ(task, flags);

	event->at = bpf_ktime_get_boot_ns();
	event->start = BPF_CORE_READ(leader, start_boottime);
	event->exec = BPF_CORE_READ(task, self_exec_id);
	event->cgroup = bpf_get_current_cgroup_id();
	event->uid = bpf_get_current_uid_gid();
	event->is_kernel = (flags & PF_KTHREAD) != 0;
	event->is_ending = !event->is_kernel && flags & PF_EXITING;
	event->code = exit_code_of(task);
	bpf_core_read(event->command, sizeof(event->command), &leader->comm);
	event->arguments_size = 0;
}

static __always_inline bool has_arguments(__u32 verb)
{
	return verb < CALLS_SEGMENTS && verb != CALLS_DETACH && verb != CALLS_GONE;
}

static __always_inline __u32 size_of_more(__u32 verb)
{
	return verb == CALLS_MEMFD_CREATE ? sizeof(struct calls_file) + ENDS_ARGUMENTS
	       : verb >= CALLS_FILES      ? sizeof(struct calls_file)
	       : verb >= CALLS_SEGMENTS   ? sizeof(struct calls_kin)
	       : has_arguments(verb)      ? ENDS_ARGUMENTS
					  : 0;
}

/* stack: there is room for one, too. */
static __always_inline struct calls_event *reserve(__u32 verb, bool stack)
{
	const __u64 before = *(volatile __u64 *)&lost;
	struct calls_event *event = bpf_ringbuf_reserve(
		&ring, sizeof(*event) + size_of_more(verb) + (stack ? sizeof(struct stack) : 0), 0);

	if (!event) {
		__sync_fetch_and_add(&lost, 1);
		return NULL;
	}
	event->verb = verb;
	event->lost = before;
	event->made = 0;
	event->has_stack = false;
	return event;
}

static __always_inline void submit(struct calls_event *event, __u32 verb, struct task_struct *task)
{
	if (has_arguments(verb))
		event->arguments_size = read_arguments(event->arguments, task);
	bpf_ringbuf_submit(event, bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) > WAKE_AT
					  ? BPF_RB_FORCE_WAKEUP
					  : 0);
}

static __always_inline void tell_stack(struct calls_event *event)
{
	const struct walk *walk = take_stack(0);

	event->has_stack =
		walk && bpf_probe_read_kernel((void *)calls_stack(event), sizeof(walk->made.stack),
					      &walk->made.stack) == 0;
}

/* of: the segment, where it is known; stack: of the task, too. */
static __always_inline void tell_all(__u32 verb, const struct ends_segment *segment,
				     struct shmid_kernel *of, bool stack)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct task_struct *leader = BPF_CORE_READ(task, group_leader);
	const __u32 pid = pid_for_reader((__u64)leader);
	const bool ours = is_ours(leader, pid);

	if (is_tried(leader, pid, verb))
		return;
	/* What had been removed before goes with whoever has it last. */
	if (ours && !(verb == CALLS_GONE && BPF_CORE_READ(of, shm_perm.mode) & SHM_DEST))
		return;
	struct calls_event *event = reserve(verb, stack);
	if (!event)
		return;
	fill(event, task, leader);
	event->segment = *segment;
	event->pid = pid;
	event->is_ours = ours;
	event->cpid = of ? number_for_reader((__u64)BPF_CORE_READ(of, shm_cprid)) : 0;
	event->n_attaches = of ? BPF_CORE_READ(of, shm_nattch) : 0;
	if (stack)
		tell_stack(event);
	submit(event, verb, task);
}

static __always_inline void tell(__u32 verb, const struct ends_segment *segment,
				 struct shmid_kernel *of)
{
	tell_all(verb, segment, of, false);
}

static __always_inline int tell_made(struct ipc_namespace *ns, struct ipc_params *params, int made,
				     bool stack)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct ends_segment segment = {};

	if (made < 0)
		return 0;
	/* It is the first of those that the task has made, but where it has been removed already.
	 */
	struct list_head *first = BPF_CORE_READ(segments_of(task), next);
	struct shmid_kernel *of =
		(void *)first - bpf_core_field_offset(struct shmid_kernel, shm_clist);
	if (first != segments_of(task))
		read_segment(&segment, of, task);
	if (first == segments_of(task) || segment.shmid != made) {
		of = NULL;
		segment.ctime = 0;
		segment.shmid = made;
		segment.key = BPF_CORE_READ(params, key);
		segment.size = BPF_CORE_READ(params, u.size);
		read_ns(&segment, ns);
	}
	tell_all(CALLS_CREATE, &segment, of, stack);
	return 0;
}

SEC("fexit/newseg")
int BPF_PROG(segment_made, struct ipc_namespace *ns, struct ipc_params *params, int made)
{
	return tell_made(ns, params, made, false);
}

/* Instead of that, where it is wanted. */
SEC("fexit/newseg")
int BPF_PROG(segment_made_stack, struct ipc_namespace *ns, struct ipc_params *params, int made)
{
	return tell_made(ns, params, made, true);
}

SEC("fexit/do_shmat")
int BPF_PROG(segment_attached, int shmid, char *address, int flags, unsigned long *at,
	     unsigned long boundary, long r)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct ends_segment segment = {};

	if (r != 0)
		return 0;
	segment.shmid = shmid;
	read_ns(&segment, BPF_CORE_READ(task, nsproxy, ipc_ns));
	tell(CALLS_ATTACH, &segment, NULL);
	return 0;
}

/* mappings: the attach has by now. */
static __always_inline void tell_mapping(__u32 verb, struct vm_area_struct *vma)
{
	struct shm_file_data *of = BPF_CORE_READ(vma, vm_file, private_data);
	struct ends_segment segment = {};

	segment.shmid = BPF_CORE_READ(of, id);
	read_ns(&segment, BPF_CORE_READ(of, ns));
	tell(verb, &segment, NULL);
}

/* A mapping more: of a child to be, or of one that is split or moved. */
SEC("fentry/shm_open")
int BPF_PROG(mapping_opens, struct vm_area_struct *vma)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	const struct attach attach = {
		.mm = (__u64)BPF_CORE_READ(vma, vm_mm),
		.file = (__u64)BPF_CORE_READ(vma, vm_file),
	};
	const __u32 *known = bpf_map_lookup_elem(&mapped, &attach);
	const bool is_child = attach.mm != (__u64)BPF_CORE_READ(task, mm);
	const __u32 before = known ? *known : is_child ? 0 : 1;
	const __u32 n = before + 1;

	bpf_map_update_elem(&mapped, &attach, &n, BPF_ANY);
	if (before == 0)
		tell_mapping(CALLS_INHERIT, vma);
	return 0;
}

SEC("fentry/shm_close")
int BPF_PROG(mapping_closes, struct vm_area_struct *vma)
{
	const struct attach attach = {
		.mm = (__u64)BPF_CORE_READ(vma, vm_mm),
		.file = (__u64)BPF_CORE_READ(vma, vm_file),
	};
	const __u32 *known = bpf_map_lookup_elem(&mapped, &attach);
	const __u32 n = known ? *known - 1 : 0;

	if (n > 0) {
		bpf_map_update_elem(&mapped, &attach, &n, BPF_ANY);
		return 0;
	}
	if (known)
		bpf_map_delete_elem(&mapped, &attach);
	tell_mapping(CALLS_DETACH, vma);
	return 0;
}

SEC("fexit/security_shm_shmctl")
int BPF_PROG(segment_removed, struct kern_ipc_perm *permissions, int command, int r)
{
	/* The first field (include/linux/shm.h, ipc/shm.c). */
	struct shmid_kernel *of = (void *)permissions;
	struct ends_segment segment = {};

	if (command != IPC_RMID || r != 0 || !of || BPF_CORE_READ(of, shm_perm.mode) & SHM_DEST)
		return 0;
	read_segment(&segment, of, (void *)bpf_get_current_task());
	tell(CALLS_REMOVE, &segment, of);
	return 0;
}

SEC("fentry/shm_destroy")
int BPF_PROG(segment_goes, struct ipc_namespace *ns, struct shmid_kernel *of)
{
	struct ends_segment segment = {};

	read_segment(&segment, of, (void *)bpf_get_current_task());
	read_ns(&segment, ns);
	tell(CALLS_GONE, &segment, of);
	return 0;
}

#include "lib/probe/files.bpf.h"
#include "lib/probe/sets.bpf.h"

/* After those two, of which it is another form. */
#include "lib/probe/kprobes.bpf.h"
