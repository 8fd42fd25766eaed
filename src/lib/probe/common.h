/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "lib/probe/ends_kernel.h"

/* What ends.bpf.c and calls.bpf.c have in common; each has its own of it. */

#define PROC_PID_INIT_INO 0xeffffffcU /* include/linux/proc_ns.h */

const volatile __u32 reader_pid_ns; /* the number of the reader's pid namespace */

/*
 * The number that the reader knows a process by. These are no static functions, so that the kernel
 * verifies them once and not for each way to them; so what they are given is a number.
 */
__noinline __u32 number_for_reader(__u64 of)
{
	struct pid *pid = (void *)of;
	unsigned int i = BPF_CORE_READ(pid, level);

	/* Mostly it is the process's own. */
	for (int n = 0; n < 32 && i < 32; n++, i--) {
		struct upid *one = (void *)pid + bpf_core_field_offset(struct pid, numbers) +
				   i * bpf_core_type_size(struct upid);
		if (BPF_CORE_READ(one, ns, ns.inum) == reader_pid_ns)
			return BPF_CORE_READ(one, nr);
	}
	return 0;
}

__noinline __u32 pid_for_reader(__u64 of)
{
	struct task_struct *leader = (void *)of;

	if (reader_pid_ns == PROC_PID_INIT_INO)
		return BPF_CORE_READ(leader, tgid);
	return number_for_reader((__u64)BPF_CORE_READ(leader, thread_pid));
}

static __always_inline struct list_head *segments_of(struct task_struct *task)
{
	return (void *)task + bpf_core_field_offset(struct task_struct, sysvshm) +
	       bpf_core_field_offset(struct sysv_shm, shm_clist);
}

static __always_inline void read_ns(struct ends_segment *segment, struct ipc_namespace *ns)
{
	segment->ns = BPF_CORE_READ(ns, ns.inum);
	segment->ns_id = 0;
	if (bpf_core_field_exists(ns->ns.ns_id))
		segment->ns_id = BPF_CORE_READ(ns, ns.ns_id);
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
	read_ns(segment, ns);
	segment->shmid = BPF_CORE_READ(of, shm_perm.id);
	segment->key = BPF_CORE_READ(of, shm_perm.key);
	segment->size = BPF_CORE_READ(of, shm_segsz);
	segment->ctime = BPF_CORE_READ(of, shm_ctim);
}
