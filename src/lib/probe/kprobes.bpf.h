/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The same programs as kprobes, for kernels that refuse fentry and fexit. What one of those does
 * is a function of its own, ____name (BPF_PROG() of libbpf), and is called here.
 *
 * A kretprobe has no arguments: those are kept from the function's entry on. When a kernel has too
 * few places for returns it passes some over; that is seen when the thread enters once more.
 */

#include <asm/ptrace.h>

#define ENTERED_MOST 4096
#define ENTERED_ARGUMENTS 3

struct inside {
	__u64 thread, verb;
};

struct entered {
	__u64 at[ENTERED_ARGUMENTS];
};

TABLE(LRU_HASH, ENTERED_MOST, struct inside, struct entered) inside SEC(".maps");

static __always_inline void enter(__u32 verb, struct pt_regs *regs)
{
	const struct inside key = {bpf_get_current_pid_tgid(), verb};
	const struct entered arguments = {
		{PT_REGS_PARM1(regs), PT_REGS_PARM2(regs), PT_REGS_PARM3(regs)}};

	if (bpf_map_update_elem(&inside, &key, &arguments, BPF_NOEXIST) == 0)
		return;
	bpf_map_update_elem(&inside, &key, &arguments, BPF_ANY);
	__sync_fetch_and_add(&lost, 1);
}

static __always_inline bool leave(__u32 verb, struct entered *ret_arguments)
{
	const struct inside key = {bpf_get_current_pid_tgid(), verb};
	const struct entered *arguments = bpf_map_lookup_elem(&inside, &key);

	if (!arguments)
		return false;
	*ret_arguments = *arguments;
	bpf_map_delete_elem(&inside, &key);
	return true;
}

#define AT_ENTRY(function, name, ...)                                                              \
	SEC("kprobe/" #function)                                                                   \
	int k_##name(struct pt_regs *regs)                                                         \
	{                                                                                          \
		return ____##name((void *)regs, __VA_ARGS__);                                      \
	}

#define AT_RETURN(function, name, verb, ...)                                                       \
	SEC("kprobe/" #function)                                                                   \
	int e_##name(struct pt_regs *regs)                                                         \
	{                                                                                          \
		enter(verb, regs);                                                                 \
		return 0;                                                                          \
	}                                                                                          \
	SEC("kretprobe/" #function)                                                                \
	int k_##name(struct pt_regs *regs)                                                         \
	{                                                                                          \
		struct entered its;                                                                \
		return leave(verb, &its) ? ____##name((void *)regs, __VA_ARGS__) : 0;              \
	}

#define POINTER(n) ((void *)PT_REGS_PARM##n(regs))
#define NUMBER(n) ((int)PT_REGS_PARM##n(regs))
#define KEPT(n) ((void *)its.at[(n)-1])
#define RESULT PT_REGS_RC(regs)

AT_ENTRY(shm_open, mapping_opens, POINTER(1))
AT_ENTRY(shm_close, mapping_closes, POINTER(1))
AT_ENTRY(shm_destroy, segment_goes, POINTER(1), POINTER(2))
AT_ENTRY(security_sem_associate, sem_got, POINTER(1))
AT_ENTRY(security_sem_semop, sem_operated, POINTER(1))
AT_ENTRY(security_sem_semctl, sem_controlled, POINTER(1), NUMBER(2))
AT_ENTRY(freeary, sem_goes, POINTER(1), POINTER(2))
AT_ENTRY(security_msg_queue_associate, msg_got, POINTER(1))
AT_ENTRY(do_msgsnd, msg_sent, NUMBER(1))
AT_ENTRY(do_msgrcv, msg_received, NUMBER(1), NULL, 0, 0, NUMBER(5))
AT_ENTRY(freeque, msg_goes, POINTER(1), POINTER(2))
AT_ENTRY(shmem_evict_inode, memfd_goes, POINTER(1))

AT_RETURN(newseg, segment_made, CALLS_CREATE, KEPT(1), KEPT(2), (int)RESULT)
AT_RETURN(do_shmat, segment_attached, CALLS_ATTACH, (int)its.at[0], NULL, 0, NULL, 0, (long)RESULT)
AT_RETURN(security_shm_shmctl, segment_removed, CALLS_REMOVE, KEPT(1), (int)its.at[1], (int)RESULT)
AT_RETURN(newary, sem_made, CALLS_SEM_CREATE, KEPT(1), KEPT(2), (int)RESULT)
AT_RETURN(newque, msg_made, CALLS_MSG_CREATE, KEPT(1), KEPT(2), (int)RESULT)
AT_RETURN(shmem_file_setup, memfd_made, CALLS_MEMFD_CREATE, KEPT(1), 0, 0, (void *)RESULT)
AT_RETURN(shmem_setattr, file_resized, CALLS_RESIZE, HAS_ID_MAP ? KEPT(2) : KEPT(1),
	  HAS_ID_MAP ? KEPT(3) : KEPT(2), (int)RESULT)
