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

#define SB_KERNMOUNT (1 << 22) /* include/linux/fs.h: nobody can mount it */

#define TABLE(kind, most, key_type, value_type)                                                    \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_##kind);                                                 \
		__uint(max_entries, most);                                                         \
		__type(key, key_type);                                                             \
		__type(value, value_type);                                                         \
	}

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
	segment->inode = (__u64)BPF_CORE_READ(of, shm_file, f_inode);
}

/* Does the other run the program of that file (NULL: not known), or of that name? */
static __always_inline bool is_same_program(struct inode *mine, const char *command,
					    struct task_struct *other)
{
	__u64 name[2] = {}, its[2];

	if (mine && BPF_CORE_READ(other, mm, exe_file, f_inode) == mine)
		return true;
	bpf_core_read_str(name, sizeof(name), &other->comm);
	__builtin_memcpy(its, command, sizeof(its));
	return name[0] == its[0] && name[1] == its[1];
}

/* A mount of root's, by what the process is called and whose it is. */
static __always_inline bool is_mount_of_root(const char *command, __u32 uid)
{
	__u64 name;

	__builtin_memcpy(&name, command, sizeof(name));
	return (name & 0xffffffffffffULL) == 0x007366676573ULL /* "segfs", little-endian */ &&
	       uid == 0;
}

/* As wait(2) has it, of a task that ends. */
static __always_inline int exit_code_of(struct task_struct *task)
{
	const int code = BPF_CORE_READ(task, signal, group_exit_code);

	return code ? code : BPF_CORE_READ(task, exit_code);
}

/* The command line of the task that runs, up to ENDS_ARGUMENTS; returns its size, 0: not known. */
static __always_inline __u32 read_arguments(char *to, struct task_struct *task)
{
	const unsigned long from = BPF_CORE_READ(task, mm, arg_start);
	unsigned long size = BPF_CORE_READ(task, mm, arg_end) - from;

	if (!from || !size)
		return 0;
	if (size > ENDS_ARGUMENTS)
		size = ENDS_ARGUMENTS;
	return bpf_probe_read_user(to, size & (2 * ENDS_ARGUMENTS - 1), (const void *)from) == 0
		       ? size
		       : 0;
}
