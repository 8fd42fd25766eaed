/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Most processes have no shared memory, and to see that in /proc takes some 200 system calls each.
 * An iterator over the tasks says it of all of them at once: of which file systems each has files
 * mapped or open. It proves what a process has not, and nothing else is taken from it: whoever may
 * have some is looked at in /proc as ever, and so is everybody of whom it cannot say.
 *
 * It waits for nobody. The kernel's iterator over mappings tries the mmap lock, and reports that it
 * is taken; since it locks each mapping by itself it passes over those that are being changed. So
 * what it has seen is all only where the process has as many mappings, before and after, and nobody
 * had them locked for writing in between.
 */

#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "lib/probe/ends.h"
#include "lib/probe/ends_kernel.h"

#define HUGETLBFS_MAGIC 0x958458f6
#define FUSE_SUPER_MAGIC 0x65735546
#define S_IFMT 0170000
#define S_IFCHR 0020000
#define DRM_MAJOR 226
#define MINOR_BITS 20 /* linux/kdev_t.h */
#define FMODE_BACKING (1 << 25)

/* Nobody else runs on this processor meanwhile: of more it takes too long. */
#define MOST_MAPPINGS 4096
#define MOST_DESCRIPTORS 4096
#define BLOCK 32

struct seq_file;
struct bpf_iter_meta {
	struct seq_file *seq;
};
struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

struct bpf_iter_task_vma {
	__u64 opaque;
};
int bpf_iter_task_vma_new(struct bpf_iter_task_vma *at, struct task_struct *task,
			  __u64 from) __weak __ksym;
struct vm_area_struct *bpf_iter_task_vma_next(struct bpf_iter_task_vma *at) __weak __ksym;
void bpf_iter_task_vma_destroy(struct bpf_iter_task_vma *at) __weak __ksym;
void *bpf_rdonly_cast(const void *object, __u32 type) __weak __ksym;

/* ends.bpf.c has it, by way of common.h. */
extern __u32 pid_for_reader(__u64 of);

static __always_inline void take_device(struct holds_process *process, __u32 device)
{
	for (int i = 0; i < HOLDS_DEVICES; i++) {
		if (i == process->n) {
			process->devices[i] = device;
			process->n = i + 1;
			return;
		}
		if (process->devices[i] == device)
			return;
	}
	process->is_unknown = true;
}

/* No static function, so that the kernel verifies it once and not for each way to it; so the file
 * that it is given is a number. */
__noinline int take_file(struct holds_process *process, __u64 of)
{
	const struct file *file = bpf_rdonly_cast((void *)of, bpf_core_type_id_kernel(struct file));

	if (!process)
		return 0;
	const struct inode *inode = file->f_inode;
	const struct super_block *sb = inode->i_sb;
	const unsigned long magic = sb->s_magic;
	/* Of a graphics device, what its client has is in the text of /proc. */
	if ((inode->i_mode & S_IFMT) == S_IFCHR)
		process->is_unknown |= inode->i_rdev >> MINOR_BITS == DRM_MAJOR;
	else if (magic == TMPFS_MAGIC || magic == HUGETLBFS_MAGIC || magic == FUSE_SUPER_MAGIC)
		take_device(process, sb->s_dev);
	else
		return 0;
	/* By FUSE passthrough: /proc has it on that file system, which is another. */
	process->is_unknown |= (file->f_mode & FMODE_BACKING) != 0;
	return 0;
}

/* Changes whenever somebody has the mappings locked for writing, and is odd meanwhile; before Linux
 * 6.13 there is none, and the iterator holds the mmap lock. */
static __always_inline __u32 writers_of(const struct mm_struct *mm)
{
	return bpf_core_field_exists(mm->mm_lock_seq.sequence) ? mm->mm_lock_seq.sequence : 0;
}

static __always_inline void take_mappings(struct holds_process *process, struct task_struct *task,
					  const struct mm_struct *mm)
{
	const int n_mappings = mm->map_count;
	const __u32 writers = writers_of(mm);
	__u64 last = 0;
	struct bpf_iter_task_vma at;
	struct vm_area_struct *mapping;
	int n = 0;

	if (n_mappings > MOST_MAPPINGS || writers & 1) {
		process->is_unknown = true;
		return;
	}
	if (bpf_iter_task_vma_new(&at, task, 0) != 0)
		process->is_unknown = true;
	while ((mapping = bpf_iter_task_vma_next(&at))) {
		const __u64 file = (__u64)BPF_CORE_READ(mapping, vm_file);
		n++;
		if (file && file != last)
			take_file(process, file);
		last = file;
	}
	bpf_iter_task_vma_destroy(&at);
	if (n != n_mappings || mm->map_count != n_mappings || writers_of(mm) != writers)
		process->is_unknown = true;
}

struct descriptors {
	struct holds_process *process;
	struct file **files;
	__u64 block[BLOCK];
};

static long take_block(__u32 index, struct descriptors *descriptors)
{
	if (bpf_probe_read_kernel(descriptors->block, sizeof(descriptors->block),
				  descriptors->files + index * BLOCK) != 0) {
		descriptors->process->is_unknown = true;
		return 1;
	}
	for (int i = 0; i < BLOCK; i++)
		if (descriptors->block[i])
			take_file(descriptors->process, descriptors->block[i]);
	return 0;
}

static __always_inline void take_descriptors(struct holds_process *process,
					     const struct files_struct *files)
{
	const struct fdtable *table = files->fdt;
	const __u32 n = table->max_fds; /* a multiple of what a word has bits */
	struct descriptors descriptors = {.process = process, .files = table->fd};

	if (n > MOST_DESCRIPTORS || n % BLOCK != 0)
		process->is_unknown = true;
	else if (bpf_loop(n / BLOCK, take_block, &descriptors, 0) < 0)
		process->is_unknown = true;
}

SEC("iter/task")
int what_each_holds(struct bpf_iter__task *context)
{
	struct task_struct *task = context->task;
	struct holds_process process = {};

	if (!task)
		return 0;
	struct task_struct *leader = task->group_leader;
	if (task != leader && task->files == leader->files)
		return 0;
	process.pid = pid_for_reader((__u64)BPF_CORE_READ(task, group_leader));
	const struct mm_struct *mm = task->mm;
	const struct files_struct *files = task->files;
	if (task != leader || !mm || !files) {
		process.is_unknown = !(task->flags & PF_KTHREAD);
	} else {
		take_mappings(&process, task, mm);
		take_descriptors(&process, files);
	}
	bpf_seq_write(context->meta->seq, &process, sizeof(process));
	return 0;
}
