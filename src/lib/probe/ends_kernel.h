/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <linux/types.h>

#include "lib/probe/ends.h"

#define TMPFS_MAGIC 0x01021994 /* include/uapi/linux/magic.h */
#define PF_KTHREAD 0x00200000  /* include/linux/sched.h */

/* The kernel's structs have here what the programs of this room read of them: the loader finds the
 * offsets (CO-RE). */

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
struct hlist_node;
struct hlist_head {
	struct hlist_node *first;
};
struct super_block {
	unsigned int s_dev;
	unsigned long s_flags;
	unsigned long s_magic;
};
struct inode {
	unsigned short i_mode;
	unsigned int i_rdev;
	unsigned long i_ino;
	struct super_block *i_sb;
	struct hlist_head i_dentry;
	long long i_size;
	__u32 i_generation;
};
struct qstr {
	const unsigned char *name;
};
struct dentry {
	struct dentry *d_parent;
	struct qstr d_name;
	struct inode *d_inode;
};
struct iattr {
	unsigned int ia_valid;
	long long ia_size;
};
struct file {
	unsigned int f_mode;
	struct inode *f_inode;
	void *private_data;
};
struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};
struct files_struct {
	struct fdtable *fdt;
};
struct seqcount {
	unsigned int sequence;
};
struct mm_struct {
	int map_count;
	struct seqcount mm_lock_seq;
	unsigned long arg_start, arg_end;
	struct file *exe_file;
};
typedef struct {
	int counter;
} atomic_t;
struct signal_struct {
	atomic_t live;
	int group_exit_code;
};
typedef struct {
	unsigned int val;
} kuid_t;
struct cred {
	kuid_t uid;
};
struct task_struct {
	int exit_code, pid, tgid;
	unsigned int flags;
	const struct cred *real_cred;
	struct nsproxy *nsproxy;
	struct mm_struct *mm;
	struct files_struct *files;
	struct sysv_shm sysvshm;
	struct signal_struct *signal;
	struct task_struct *group_leader, *real_parent;
	struct list_head children, sibling;
	struct pid *thread_pid;
	__u64 start_boottime;
	__u64 parent_exec_id, self_exec_id;
	char comm[ENDS_COMMAND];
};
struct kern_ipc_perm {
	int id;
	int key;
	unsigned short mode;
};
struct shmid_kernel {
	struct kern_ipc_perm shm_perm;
	unsigned long shm_nattch;
	unsigned long shm_segsz;
	struct file *shm_file;
	long long shm_ctim;
	struct pid *shm_cprid;
	struct list_head shm_clist;
	struct ipc_namespace *ns;
};
struct ipc_params {
	int key;
	union {
		unsigned long size;
	} u;
};
struct shm_file_data {
	int id;
	struct ipc_namespace *ns;
};
struct vm_area_struct {
	struct mm_struct *vm_mm;
	struct file *vm_file;
};
#pragma clang attribute pop
