/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The part of calls.bpf.c that is of memfds, and of objects that are made larger or smaller.
 *
 * These functions are those of every tmpfs. So what is told of has a table: memfds that were seen
 * to be made or resized, and the file systems whose names are watched. Of names fanotify(7) tells,
 * of an object's end inotify(7): both have the path, and need no program.
 *
 * The first argument of an inode operation is of another type from release to release.
 */

#define ATTR_SIZE (1 << 3) /* include/linux/fs.h */
#define MEMFDS_MOST 2048
#define MEMFD "memfd:"

struct memfd_name {
	char text[CALLS_NAME];
};

/* The kernel's inode of a memfd -> what it is called, which nothing else says when it goes. Of one
 * that has to give way its end is not told. */
TABLE(LRU_HASH, MEMFDS_MOST, __u64, struct memfd_name) memfds SEC(".maps");

/* For the program that tells of a creation, and for that of a change. */
TABLE(PERCPU_ARRAY, 2, __u32, struct memfd_name) memfd_names SEC(".maps");

/* The device of a tmpfs -> is it watched? */
TABLE(LRU_HASH, CALLS_WATCHED_MOST, __u32, __u8) watched SEC(".maps");

/* That of memfds, which nobody can mount. */
static __always_inline bool is_inner(struct super_block *sb)
{
	return BPF_CORE_READ(sb, s_flags) & SB_KERNMOUNT &&
	       BPF_CORE_READ(sb, s_magic) == TMPFS_MAGIC;
}

static __always_inline bool is_watched(struct super_block *sb)
{
	const __u32 dev = BPF_CORE_READ(sb, s_dev);
	const __u8 *is = bpf_map_lookup_elem(&watched, &dev);

	return is && *is;
}

static __always_inline bool is_memfd_name(const unsigned char *name)
{
	__u64 begin = 0;

	bpf_probe_read_kernel_str(&begin, sizeof(MEMFD), name);
	return begin == 0x3a64666d656dULL; /* little-endian */
}

static __always_inline void know_memfd(__u32 verb, struct inode *inode, const void *name)
{
	const __u32 which = verb == CALLS_RESIZE;
	const __u64 address = (__u64)inode;
	struct memfd_name *its = bpf_map_lookup_elem(&memfd_names, &which);

	if (!its)
		return;
	bpf_probe_read_kernel_str(its->text, sizeof(its->text), name);
	bpf_map_update_elem(&memfds, &address, its, BPF_ANY);
}

/* name: of a memfd without what the kernel puts before it. */
static __always_inline void tell_file(__u32 verb, struct inode *inode, const void *name,
				      bool is_memfd)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct task_struct *leader = BPF_CORE_READ(task, group_leader);
	const __u32 pid = pid_for_reader((__u64)leader);
	const bool ours = is_ours(leader, pid);
	const bool tried = is_tried(leader, pid, verb);

	if (ours && !tried && verb != CALLS_MEMFD_GONE)
		return;
	if (is_memfd && verb != CALLS_MEMFD_GONE)
		know_memfd(verb, inode, name);
	if (tried)
		return;
	struct calls_event *event = reserve(verb, false);
	if (!event)
		return;
	struct calls_file *file = (void *)event->arguments;
	fill(event, task, leader);
	event->segment = (struct ends_segment){};
	event->pid = pid;
	event->is_ours = ours;
	event->cpid = 0;
	event->n_attaches = 0;
	file->ino = BPF_CORE_READ(inode, i_ino);
	file->size = BPF_CORE_READ(inode, i_size);
	file->dev = BPF_CORE_READ(inode, i_sb, s_dev);
	file->generation = BPF_CORE_READ(inode, i_generation);
	file->is_memfd = is_memfd;
	file->padding = 0;
	bpf_probe_read_kernel_str(file->name, sizeof(file->name), name);
	if (verb == CALLS_MEMFD_CREATE)
		event->arguments_size = read_arguments(file->arguments, task);
	submit(event, verb, task);
}

SEC("fexit/shmem_file_setup")
int BPF_PROG(memfd_made, const unsigned char *name, long long size, unsigned long flags,
	     struct file *made)
{
	/* Errors are the last addresses (include/linux/err.h). */
	if ((unsigned long)made < -4095UL && is_memfd_name(name))
		tell_file(CALLS_MEMFD_CREATE, BPF_CORE_READ(made, f_inode),
			  name + sizeof(MEMFD) - 1, true);
	return 0;
}

extern int LINUX_KERNEL_VERSION __kconfig;

/* From Linux 5.12 on shmem_setattr() is given the id map of the mount, too, before all else. */
#define HAS_ID_MAP (LINUX_KERNEL_VERSION >= KERNEL_VERSION(5, 12, 0))

static __always_inline int ____file_resized(const void *its, struct dentry *dentry,
					    struct iattr *attributes, int r)
{
	if (r != 0 || !(BPF_CORE_READ(attributes, ia_valid) & ATTR_SIZE))
		return 0;
	struct inode *inode = BPF_CORE_READ(dentry, d_inode);
	struct super_block *sb = BPF_CORE_READ(inode, i_sb);
	const unsigned char *name = BPF_CORE_READ(dentry, d_name.name);
	const bool is_memfd = is_inner(sb) && is_memfd_name(name);

	if (is_memfd || is_watched(sb))
		tell_file(CALLS_RESIZE, inode, is_memfd ? name + sizeof(MEMFD) - 1 : name,
			  is_memfd);
	return 0;
}

SEC("fexit/shmem_setattr")
int file_resized(const __u64 *its)
{
	if (HAS_ID_MAP)
		return ____file_resized(its, (void *)its[1], (void *)its[2], (int)its[3]);
	return ____file_resized(its, (void *)its[0], (void *)its[1], (int)its[2]);
}

SEC("fentry/shmem_evict_inode")
int BPF_PROG(memfd_goes, struct inode *inode)
{
	const __u64 address = (__u64)inode;

	if (!is_inner(BPF_CORE_READ(inode, i_sb)))
		return 0;
	const struct memfd_name *name = bpf_map_lookup_elem(&memfds, &address);
	if (!name)
		return 0;
	tell_file(CALLS_MEMFD_GONE, inode, name->text, true);
	bpf_map_delete_elem(&memfds, &address);
	return 0;
}
