/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Of ends.bpf.c: who may go on with what a process has made. The kernel knows a process's parent
 * and children, and forgets them as it ends: whose parent ends gets another. So what such a process
 * comes from is kept, as the programs that were run there, for as long as it lives.
 */

#include "lib/probe/common.h"
#include "lib/probe/ends.h"

#define CHILDREN_AT_ONCE 256
#define CHILDREN_ROUNDS 64
#define GENERATIONS_MOST 32

const volatile bool has_exec; /* task_changes runs, too */

/* Programs, by a bit of the file's number and one of the name's. One that has another's bits is
 * taken for it, which leaves the other rule. */
struct programs {
	__u64 bits[4];
};

struct scattered {
	__u64 start; /* when that process started */
	/* Of ancestors whom neither it nor its descendants have any more. */
	struct programs cut_off;
};

/*
 * Those whose family is not the whole of it: whose parent has ended before them (the kernel gives
 * them another), who have a descendant of whom that is so, who were told of in vain. By pid. No
 * entry goes before its process does.
 */
TABLE(HASH, 4 * ENDS_KEPT, __u32, struct scattered) scattered SEC(".maps");

/* Of the process that ends: what its children are cut off from. */
TABLE(PERCPU_ARRAY, 1, __u32, struct programs) cut SEC(".maps");

/* Events for which the ring had no room; families that scattered had none for. */
TABLE(ARRAY, 2, __u32, __u64) lost SEC(".maps");

/* The stack has no room for one. */
TABLE(PERCPU_ARRAY, 1, __u32, struct ends_process) scratch SEC(".maps");

static __always_inline void count_lost(__u32 which)
{
	__u64 *n = bpf_map_lookup_elem(&lost, &which);

	if (n)
		__sync_fetch_and_add(n, 1);
}

static __always_inline struct list_head *children_of(struct task_struct *task)
{
	return (void *)task + bpf_core_field_offset(struct task_struct, children);
}

static __always_inline bool has_any(struct list_head *head)
{
	struct list_head *next = BPF_CORE_READ(head, next);

	return next && next != head;
}

static __always_inline void read_name(__u64 name[2], struct task_struct *task)
{
	name[0] = name[1] = 0;
	bpf_core_read_str(name, 2 * sizeof(*name), &task->comm);
}

static __always_inline struct inode *file_of(struct task_struct *task)
{
	return BPF_CORE_READ(task, mm, exe_file, f_inode);
}

/* What is computed of the number is computed behind its comparison, so the kernel sees its bounds.
 */
#define KEEP(number) asm volatile("" : "+r"(number))

static __always_inline __u64 *word_of(struct programs *programs, __u64 number, __u64 *ret_bit)
{
	const __u64 mixed = number * 0x9e3779b97f4a7c15ULL;
	__u64 word = mixed >> 62;

	KEEP(word);
	*ret_bit = 1ULL << (mixed >> 56 & 63);
	return &programs->bits[word & 3];
}

static __always_inline __u64 number_of_name(const __u64 name[2])
{
	return name[0] * 31 + name[1];
}

static __always_inline void add_program(struct programs *programs, __u64 number)
{
	__u64 bit;
	__u64 *word = word_of(programs, number, &bit);

	*word |= bit;
}

static __always_inline bool has_program(struct programs *programs, __u64 number)
{
	__u64 bit;
	const __u64 *word = word_of(programs, number, &bit);

	return *word & bit;
}

static __always_inline bool has_any_program(const struct programs *programs)
{
	return programs->bits[0] | programs->bits[1] | programs->bits[2] | programs->bits[3];
}

static __always_inline struct scattered *find_scattered(__u64 of)
{
	struct task_struct *leader = (void *)of;
	const __u32 pid = pid_for_reader(of);
	struct scattered *known = bpf_map_lookup_elem(&scattered, &pid);

	return known && known->start == BPF_CORE_READ(leader, start_boottime) ? known : NULL;
}

/* is_child: of the one that ends. */
__noinline int scatter(__u64 of, __u32 is_child)
{
	const __u32 zero = 0;
	struct task_struct *leader = (void *)of;
	const __u32 pid = pid_for_reader(of);
	const struct scattered *known = find_scattered(of);
	const struct programs *programs = bpf_map_lookup_elem(&cut, &zero);
	struct scattered now = {.start = BPF_CORE_READ(leader, start_boottime)};

	if (!pid || !programs)
		return 0;
	for (int i = 0; i < 4; i++)
		now.cut_off.bits[i] =
			(known ? known->cut_off.bits[i] : 0) | (is_child ? programs->bits[i] : 0);
	if (bpf_map_update_elem(&scattered, &pid, &now, BPF_ANY) != 0)
		count_lost(ENDS_LOST_FAMILIES);
	return 0;
}

/* The children of the one that ends are cut off from what that one was, and from the program of one
 * that it comes from. */
__noinline int cut_off(__u64 of, __u32 is_ancestor)
{
	const __u32 zero = 0;
	const struct scattered *known = find_scattered(of);
	struct programs *programs = bpf_map_lookup_elem(&cut, &zero);
	__u64 name[2];

	if (!programs)
		return 0;
	for (int i = 0; known && i < 4; i++)
		programs->bits[i] |= known->cut_off.bits[i];
	if (!is_ancestor)
		return 0;
	read_name(name, (void *)of);
	add_program(programs, number_of_name(name));
	add_program(programs, (__u64)file_of((void *)of));
	return 0;
}

/* All of its descendants that live, if any, are in its list of children. */
static __always_inline bool is_whole(const struct ends_process *process)
{
	const __u32 pid = process->pid, families = ENDS_LOST_FAMILIES;
	const struct scattered *known = bpf_map_lookup_elem(&scattered, &pid);
	const __u64 *n = bpf_map_lookup_elem(&lost, &families);

	return n && *n == 0 && !(known && known->start == process->start);
}

__noinline int take_child(__u64 of)
{
	const __u32 zero = 0;
	struct task_struct *child = (void *)of;
	struct ends_process *process = bpf_map_lookup_elem(&scratch, &zero);

	scatter(of, true);
	if (!process)
		return 0;
	__u32 n = process->kin.n_children;
	if (n >= ENDS_KIN)
		return 0;
	KEEP(n);
	struct ends_person *person = &process->kin.children[n];
	person->pid = pid_for_reader(of);
	person->start = BPF_CORE_READ(child, start_boottime);
	process->kin.n_children = n + 1;
	return 0;
}

/* From at on; returns the first one that is not taken. */
__noinline __u64 take_children(__u64 of, __u64 from)
{
	const struct list_head *head = children_of((void *)of);
	struct list_head *at = (void *)from;

	for (int i = 0; i < CHILDREN_AT_ONCE && at && at != head; i++) {
		take_child((__u64)at - bpf_core_field_offset(struct task_struct, sibling));
		at = BPF_CORE_READ(at, next);
	}
	return (__u64)at;
}

/* All that it comes from have descendants whom nobody will know as such. */
__noinline int give_up_descendants(__u64 of)
{
	const __u32 zero = 0;
	struct task_struct *task = (void *)of;
	struct task_struct *at = BPF_CORE_READ(task, group_leader);
	struct programs *programs = bpf_map_lookup_elem(&cut, &zero);

	if (!programs)
		return 0;
	__builtin_memset(programs, 0, sizeof(*programs));
	for (int i = 0; i < GENERATIONS_MOST && at; i++) {
		scatter((__u64)at, false);
		cut_off((__u64)at, i > 0);
		struct task_struct *next = BPF_CORE_READ(at, real_parent, group_leader);
		at = next == at ? NULL : next;
	}
	if (at)
		__builtin_memset(programs, 0xff, sizeof(*programs));
	return 0;
}

/* Its children get another parent now. */
__noinline int give_up_children(__u64 of)
{
	const __u32 zero = 0;
	const __u64 head = (__u64)children_of((void *)of);
	__u64 at = (__u64)BPF_CORE_READ((struct list_head *)head, next);
	struct ends_process *process = bpf_map_lookup_elem(&scratch, &zero);

	if (!process || !at || at == head)
		return 0;
	/* What they make of it, and their children, is not followed. */
	process->kin.is_known = false;
	process->kin.is_alone = false;
	process->kin.is_scattered = true;
	give_up_descendants(of);
	for (int i = 0; i < CHILDREN_ROUNDS && at && at != head; i++)
		at = take_children(of, at);
	if (at && at != head)
		count_lost(ENDS_LOST_FAMILIES);
	return 0;
}

/* One that the process in the scratch, which runs the file mine, comes from. */
__noinline int take_ancestor(__u64 of, __u64 mine)
{
	const __u32 zero = 0;
	struct task_struct *ancestor = (void *)of;
	struct ends_process *process = bpf_map_lookup_elem(&scratch, &zero);
	struct scattered *known = find_scattered(of);
	__u64 name[2];

	if (!process)
		return 0;
	__builtin_memcpy(name, process->command, sizeof(name));
	/* It may have come from one of its program by way of this one. */
	if (known && (has_program(&known->cut_off, number_of_name(name)) ||
		      has_program(&known->cut_off, mine))) {
		process->kin.is_known = false;
		process->kin.is_scattered = true;
	}
	/* What it has used it can have used as another program. */
	if (known && has_any_program(&known->cut_off))
		process->kin.is_alone = false;
	if (!is_same_program((void *)mine, process->command, ancestor))
		return 0;
	const __u32 pid = pid_for_reader(of);
	__u32 n = process->kin.n_ancestors;
	if (n >= ENDS_KIN || !pid) {
		process->kin.is_known = false;
		return 0;
	}
	KEEP(n);
	struct ends_person *person = &process->kin.ancestors[n];
	person->pid = pid;
	person->start = BPF_CORE_READ(ancestor, start_boottime);
	process->kin.n_ancestors = n + 1;
	return 0;
}

__noinline int read_ancestors(__u64 of)
{
	const __u32 zero = 0;
	struct task_struct *task = (void *)of;
	struct inode *mine = file_of(task);
	struct task_struct *at = BPF_CORE_READ(task, group_leader, real_parent, group_leader);
	struct ends_process *process = bpf_map_lookup_elem(&scratch, &zero);

	if (!process)
		return 0;
	struct ends_kin *kin = &process->kin;
	kin->parent = pid_for_reader((__u64)at);
	kin->n_ancestors = 0;
	kin->n_children = 0;
	kin->is_alone = is_whole(process);
	kin->is_scattered = !kin->is_alone;
	/* Where the kernel has taken its memory already, what it ran is its name alone; and without
	 * task_changes nobody knows what it was when it made something. */
	kin->is_known = mine && has_exec && kin->is_alone;
	for (int i = 0; i < GENERATIONS_MOST && at; i++) {
		take_ancestor((__u64)at, (__u64)mine);
		struct task_struct *next = BPF_CORE_READ(at, real_parent, group_leader);
		at = next == at ? NULL : next;
	}
	if (at) {
		kin->is_known = kin->is_alone = false;
		kin->is_scattered = true;
	}
	return 0;
}
