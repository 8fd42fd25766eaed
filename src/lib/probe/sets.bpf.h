/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The part of calls.bpf.c that is of semaphore sets and message queues.
 *
 * Nothing counts who has one. So each process that makes or uses one, of those whose creation was
 * told, is told of once, before it goes on; or else something is counted as lost.
 */

#define SETVAL 16 /* include/uapi/linux/sem.h */
#define SETALL 17
#define MSG_COPY 040000 /* include/uapi/linux/msg.h */

struct set {
	__u64 ns; /* where the kernel has it */
	__u32 is_queue;
	__s32 id;
};

/* Semaphore sets and queues whose creation was told -> calls_event.made. */
TABLE(HASH, CALLS_SETS_MOST, struct set, __u64) sets SEC(".maps");

struct set_user {
	__u64 made, start;
	__u32 pid;
	__s32 id;
};

/* Who was told to use which. Of who has to give way here it is told again. */
TABLE(LRU_HASH, 2 * CALLS_SETS_MOST, struct set_user, __u8) set_users SEC(".maps");

/*
 * What follows are no static functions, as those of common.h. The number of the ancestor (0: there
 * is none) where it runs the program of the task, else 0; CALLS_UNSEEN: it is not seen.
 */
__noinline __u32 kin_of(__u64 ancestor, __u64 of)
{
	struct task_struct *task = (void *)of;
	struct task_struct *leader = BPF_CORE_READ(task, group_leader);
	char command[ENDS_COMMAND] = {};

	bpf_core_read_str(command, sizeof(command), &leader->comm);
	if (!ancestor ||
	    !is_same_program(BPF_CORE_READ(task, mm, exe_file, f_inode), command, (void *)ancestor))
		return 0;
	const __u32 pid = pid_for_reader(ancestor);
	return pid ? pid : CALLS_UNSEEN;
}

/* 0: it has none. */
__noinline __u64 parent_of(__u64 of)
{
	struct task_struct *task = (void *)of;
	struct task_struct *parent = BPF_CORE_READ(task, real_parent, group_leader);

	return parent == task ? 0 : (__u64)parent;
}

/* Who may go on with what it makes or uses: the kernel forgets that at its end. There is one way
 * through the loop for the kernel to verify. */
static __always_inline void read_kin(struct calls_event *event, struct task_struct *task)
{
	struct calls_kin *kin = (void *)event->arguments;
	__u64 at = parent_of((__u64)BPF_CORE_READ(task, group_leader));

	for (int i = 0; i < CALLS_GENERATIONS; i++) {
		kin->ancestors[i].pid = kin_of(at, (__u64)task);
		kin->ancestors[i].start = BPF_CORE_READ((struct task_struct *)at, start_boottime);
		at = parent_of(at);
	}
	kin->has_more = at != 0;
}

static __always_inline void tell_set(__u32 verb, struct ipc_namespace *ns, __s32 id, __u32 key,
				     __u64 made)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct task_struct *leader = BPF_CORE_READ(task, group_leader);
	struct calls_event *event = reserve(verb, false);

	if (!event)
		return;
	fill(event, task, leader);
	event->segment = (struct ends_segment){.shmid = id, .key = key};
	read_ns(&event->segment, ns);
	event->pid = pid_for_reader((__u64)leader);
	event->made = made;
	event->is_ours = false;
	event->cpid = 0;
	event->n_attaches = 0;
	if (verb != CALLS_SEM_GONE && verb != CALLS_MSG_GONE)
		read_kin(event, task);
	submit(event, verb, task);
}

/* True: it was to be told of before, or is by now. */
static __always_inline bool is_known_user(__u64 made, __s32 id)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	const struct set_user user = {
		.made = made,
		.start = BPF_CORE_READ(task, group_leader, start_boottime),
		.pid = BPF_CORE_READ(task, tgid),
		.id = id,
	};
	const __u8 one = 1;

	return bpf_map_lookup_elem(&set_users, &user) ||
	       (bpf_map_update_elem(&set_users, &user, &one, BPF_ANY), false);
}

static __always_inline bool set_is_tried(__u32 verb)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct task_struct *leader = BPF_CORE_READ(task, group_leader);

	return tried_pid && is_tried(leader, pid_for_reader((__u64)leader), verb);
}

static __always_inline void set_is_made(__u32 verb, struct ipc_namespace *ns,
					struct ipc_params *params, int id)
{
	const struct set set = {(__u64)ns, calls_is_of_queue(verb), id};
	const __u64 made = bpf_ktime_get_boot_ns();

	if (id < 0 || set_is_tried(verb))
		return;
	if (bpf_map_update_elem(&sets, &set, &made, BPF_ANY) != 0) {
		/* It takes the place of one that may be known. */
		__sync_fetch_and_add(&lost, 1);
		return;
	}
	is_known_user(made, id);
	tell_set(verb, ns, id, BPF_CORE_READ(params, key), made);
}

static __always_inline void set_is_used(__u32 verb, __s32 id)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct ipc_namespace *ns = BPF_CORE_READ(task, nsproxy, ipc_ns);
	const struct set set = {(__u64)ns, calls_is_of_queue(verb), id};

	if (set_is_tried(verb))
		return;
	const __u64 *made = bpf_map_lookup_elem(&sets, &set);
	if (!made || is_known_user(*made, id))
		return;
	struct task_struct *leader = BPF_CORE_READ(task, group_leader);
	if (!is_ours(leader, pid_for_reader((__u64)leader)))
		tell_set(verb, ns, id, 0, *made);
}

static __always_inline void set_goes(__u32 verb, struct ipc_namespace *ns,
				     struct kern_ipc_perm *permissions)
{
	const __s32 id = BPF_CORE_READ(permissions, id);
	const struct set set = {(__u64)ns, calls_is_of_queue(verb), id};

	if (set_is_tried(verb))
		return;
	const __u64 *known = bpf_map_lookup_elem(&sets, &set);
	if (!known)
		return;
	const __u64 made = *known;
	bpf_map_delete_elem(&sets, &set);
	tell_set(verb, ns, id, 0, made);
}

SEC("fexit/newary")
int BPF_PROG(sem_made, struct ipc_namespace *ns, struct ipc_params *params, int made)
{
	set_is_made(CALLS_SEM_CREATE, ns, params, made);
	return 0;
}

SEC("fentry/security_sem_associate")
int BPF_PROG(sem_got, struct kern_ipc_perm *permissions)
{
	set_is_used(CALLS_SEM_GET, BPF_CORE_READ(permissions, id));
	return 0;
}

SEC("fentry/security_sem_semop")
int BPF_PROG(sem_operated, struct kern_ipc_perm *permissions)
{
	set_is_used(CALLS_SEM_OPERATE, BPF_CORE_READ(permissions, id));
	return 0;
}

SEC("fentry/security_sem_semctl")
int BPF_PROG(sem_controlled, struct kern_ipc_perm *permissions, int command)
{
	/* To look is no use, and some of it is of no set. */
	if (permissions && (command == SETVAL || command == SETALL))
		set_is_used(CALLS_SEM_CONTROL, BPF_CORE_READ(permissions, id));
	return 0;
}

SEC("fentry/freeary")
int BPF_PROG(sem_goes, struct ipc_namespace *ns, struct kern_ipc_perm *permissions)
{
	set_goes(CALLS_SEM_GONE, ns, permissions);
	return 0;
}

SEC("fexit/newque")
int BPF_PROG(msg_made, struct ipc_namespace *ns, struct ipc_params *params, int made)
{
	set_is_made(CALLS_MSG_CREATE, ns, params, made);
	return 0;
}

SEC("fentry/security_msg_queue_associate")
int BPF_PROG(msg_got, struct kern_ipc_perm *permissions)
{
	set_is_used(CALLS_MSG_GET, BPF_CORE_READ(permissions, id));
	return 0;
}

SEC("fentry/do_msgsnd")
int BPF_PROG(msg_sent, int id)
{
	set_is_used(CALLS_MSG_SEND, id);
	return 0;
}

SEC("fentry/do_msgrcv")
int BPF_PROG(msg_received, int id, void *to, unsigned long size, long type, int flags)
{
	if (!(flags & MSG_COPY))
		set_is_used(CALLS_MSG_RECEIVE, id);
	return 0;
}

SEC("fentry/freeque")
int BPF_PROG(msg_goes, struct ipc_namespace *ns, struct kern_ipc_perm *permissions)
{
	set_goes(CALLS_MSG_GONE, ns, permissions);
	return 0;
}
