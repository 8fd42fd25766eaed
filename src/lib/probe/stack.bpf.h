/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The user stack of the task that runs, by frame pointers (x86-64).
 *
 * The kernel's own walk (bpf_get_stack) begins at the frame pointer, and so leaves out the function
 * that has called the C library's: shmget(2) has no frame, and shm_open(3) has the frame pointer
 * changed by the time it makes the object. Whoever changes that pointer has saved it, right below
 * its return address and what other registers it has saved. So what is looked for above the stack
 * pointer is a word that leads to a frame, with a return address behind it.
 *
 * A return address is one that the file of a mapping that may be executed has, behind a call. The
 * build-id is read where the file's header is mapped; nothing here waits for a page or a lock, and
 * what is not there is left out.
 *
 * Most functions are no static ones, so that the kernel verifies each once; so they are given
 * numbers.
 */

#include "lib/probe/common.h"
#include "lib/probe/stack.h"

#define STACK_WORDS 128 /* above the stack pointer that are looked at */
#define SAVED_MOST 6    /* registers that a function saves */
#define FRAME_MOST (256 * 1024)
#define PAGE 4096
#define USER_CS 0x33 /* arch/x86/include/asm/segment.h: 64 bits */
#define VM_EXEC 0x4
#define DUMPABLE_MASK 3 /* MMF_DUMPABLE_MASK of include/linux/mm_types.h */
#define SUID_DUMP_USER 1
#define FUNCTION_MOST 0x4000
#define HEADERS_MOST 16
#define NOTES_MOST 8
#define PARTS_MOST 24
#define PT_NOTE 4 /* elf.h */
#define ET_EXEC 2
#define NT_GNU_BUILD_ID 3

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct pt_regs___user {
	unsigned long bp, ip, cs, sp;
};
struct task_exec_state {
	enum task_dumpable { TASK_DUMPABLE_OWNER = SUID_DUMP_USER } dumpable;
};
struct task_struct___state {
	struct task_exec_state *exec_state; /* Linux 7.2 */
};
struct mm_struct___word {
	unsigned long flags;
};
struct mm_struct___bits {
	struct {
		unsigned long __mm_flags[1];
	} flags; /* Linux 6.18 */
};
struct vfsmount {
	struct dentry *mnt_root;
};
struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
};
struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};
struct file___path {
	struct path f_path;
};
struct vm_area_struct___code {
	unsigned long vm_start, vm_pgoff, vm_flags;
	struct file *vm_file;
};
#pragma clang attribute pop

/* The file's own, of 64 bits (elf(5)). */
struct elf_header {
	unsigned char magic[16];
	__u16 type, machine;
	__u32 version;
	__u64 entry, headers, sections;
	__u32 flags;
	__u16 size, header_size, n_headers;
};
struct elf_program_header {
	__u32 type, flags;
	__u64 offset, address;
};
struct elf_note {
	__u32 name_size, size, type;
	char name[4];
};

/* What is mapped at an address. */
struct code {
	__u64 start, page;
	__u64 file; /* 0: none of a file that may be executed */
};

struct walk {
	__u64 words[STACK_WORDS];
	struct ends_stack made;
	__u64 sp, bp, back;
};

/* One for each program: on a processor one of each runs at a time. */
TABLE(PERCPU_ARRAY, 2, __u32, struct walk) walks SEC(".maps");

static long take_mapping(struct task_struct *task, struct vm_area_struct *of, void *data)
{
	const struct vm_area_struct___code *vma = (void *)of;
	struct code *code = data;

	if (!(vma->vm_flags & VM_EXEC))
		return 0;
	code->file = (__u64)vma->vm_file;
	code->start = vma->vm_start;
	code->page = vma->vm_pgoff;
	return 0;
}

static __always_inline bool find_code(__u64 address, struct code *code)
{
	code->file = 0;
	if (address < PAGE || address >> 47)
		return false;
	bpf_find_vma(bpf_get_current_task_btf(), address, take_mapping, code, 0);
	return code->file != 0;
}

/* Is there code, behind a call? */
__noinline int is_return(__u64 address)
{
	struct code code = {};
	__u8 at[8] = {};

	if (!find_code(address, &code) || bpf_probe_read_user(at, 7, (void *)(address - 7)) != 0)
		return false;
	if (at[2] == 0xe8)
		return true;
	/* By way of a register or of memory, of 2, 3, 4, 6 or 7 bytes. */
	return (at[5] == 0xff && (at[6] & 0x38) == 0x10) ||
	       (at[4] == 0xff && (at[5] & 0x38) == 0x10) ||
	       (at[3] == 0xff && (at[4] & 0x38) == 0x10) ||
	       (at[1] == 0xff && (at[2] & 0x38) == 0x10) ||
	       (at[0] == 0xff && (at[1] & 0x38) == 0x10);
}

/* What a frame begins with. */
struct frame {
	__u64 next, back;
};

static __always_inline bool read_frame(__u64 at, __u64 above, struct frame *ret_frame)
{
	return at >= above && at - above < FRAME_MOST && !(at & 7) &&
	       bpf_probe_read_user(ret_frame, sizeof(*ret_frame), (void *)at) == 0;
}

__noinline int is_frame(__u64 at, __u64 above)
{
	struct frame frame = {};

	return read_frame(at, above, &frame) && is_return(frame.back);
}

static __always_inline struct stack_module *module_of(__u32 which, __u32 number)
{
	struct walk *walk = bpf_map_lookup_elem(&walks, &which);

	return walk && number < STACK_MODULES ? &walk->made.stack.modules[number] : NULL;
}

/* One part more of its path, from the file up, also over what is mounted where. False: there is
 * none. */
__noinline int read_part(__u32 which, __u32 number)
{
	struct stack_module *module = module_of(which, number);

	if (!module)
		return false;
	const struct dentry *dentry = (void *)module->at;
	const struct mount *mount = (void *)module->mount;
	const __u64 parent = (__u64)BPF_CORE_READ(dentry, d_parent);
	if (dentry == BPF_CORE_READ(mount, mnt.mnt_root)) {
		module->at = (__u64)BPF_CORE_READ(mount, mnt_mountpoint);
		module->mount = (__u64)BPF_CORE_READ(mount, mnt_parent);
		module->is_whole = module->mount == (__u64)mount;
		return !module->is_whole;
	}
	const __u32 size = module->path_size;
	if (parent == module->at || size > STACK_PATH - STACK_NAME)
		return false;
	const long n = bpf_probe_read_kernel_str(module->path + size, STACK_NAME,
						 BPF_CORE_READ(dentry, d_name.name));
	if (n <= 1 || n > STACK_NAME)
		return false;
	module->path_size = size + n;
	module->at = parent;
	/* One that fills it may be longer. */
	return n < STACK_NAME;
}

static __always_inline void read_path(struct stack_module *module, __u32 which, __u32 number)
{
	const struct file___path *file = (void *)module->file;

	module->at = (__u64)BPF_CORE_READ(file, f_path.dentry);
	module->mount =
		(__u64)BPF_CORE_READ(file, f_path.mnt) - bpf_core_field_offset(struct mount, mnt);
	module->path_size = module->is_whole = 0;
	for (int i = 0; i < PARTS_MOST && read_part(which, number); i++)
		;
}

/* The notes at that address, of which the build-id is one. */
__noinline int read_notes(__u32 which, __u32 number, __u64 at)
{
	struct stack_module *module = module_of(which, number);
	struct elf_note note = {};

	if (!module)
		return 0;
	for (int i = 0; i < NOTES_MOST; i++) {
		if (bpf_probe_read_user(&note, sizeof(note), (void *)at) != 0)
			return 0;
		at += sizeof(note);
		if (note.type == NT_GNU_BUILD_ID && note.name_size == 4 && note.name[0] == 'G' &&
		    note.name[1] == 'N' && note.name[2] == 'U' && note.size == STACK_ID) {
			if (bpf_probe_read_user(module->id, STACK_ID, (void *)at) == 0)
				module->has_id = 1;
			return 0;
		}
		at += (((__u64)note.name_size + 3) & ~3ULL) - 4 + (((__u64)note.size + 3) & ~3ULL);
	}
	return 0;
}

/* Where the file's header is mapped; linkers put the code some pages further in memory than it is
 * in the file, or do not. 0: it is not there. */
static __always_inline __u64 find_header(__u64 code, struct elf_header *header)
{
	for (int i = 0; i < 4; i++) {
		const __u64 at = code - i * PAGE;
		if (bpf_probe_read_user(header, sizeof(*header), (void *)at) == 0 &&
		    header->magic[0] == 0x7f && header->magic[1] == 'E' &&
		    header->magic[2] == 'L' && header->magic[3] == 'F')
			return at;
	}
	return 0;
}

__noinline int read_id(__u32 which, __u32 number, __u64 code)
{
	const struct stack_module *module = module_of(which, number);
	struct elf_header header = {};
	struct elf_program_header program = {};
	const __u64 base = find_header(code, &header);

	if (!module || !base)
		return 0;
	for (int i = 0; i < HEADERS_MOST; i++) {
		const __u64 at = base + header.headers + i * (__u64)header.header_size;
		if (i >= header.n_headers || module->has_id)
			break;
		if (bpf_probe_read_user(&program, sizeof(program), (void *)at) != 0)
			break;
		if (program.type == PT_NOTE)
			read_notes(which, number,
				   program.address + (header.type == ET_EXEC ? 0 : base));
	}
	return 0;
}

/* Returns its number; STACK_MODULES: there is no room. */
static __always_inline __u32 find_module(struct stack *stack, const struct code *code, __u32 which)
{
	__u32 i;

	for (i = 0; i < STACK_MODULES; i++) {
		if (i >= stack->n_modules)
			break;
		if (stack->modules[i].file == code->file)
			return i;
	}
	if (i >= STACK_MODULES)
		return STACK_MODULES;
	stack->n_modules = i + 1;
	struct stack_module *module = &stack->modules[i];
	module->file = code->file;
	module->has_id = 0;
	read_path(module, which, i);
	read_id(which, i, code->start - code->page * PAGE);
	return i;
}

__noinline int add_frame(__u32 which, __u64 address)
{
	struct walk *walk = bpf_map_lookup_elem(&walks, &which);
	struct code code = {};

	if (!walk || walk->made.stack.n >= STACK_FRAMES)
		return 0;
	struct stack *stack = &walk->made.stack;
	struct stack_frame *frame = &stack->frames[stack->n];
	frame->module = STACK_MODULES;
	frame->offset = address;
	if (find_code(address, &code)) {
		frame->module = find_module(stack, &code, which);
		frame->offset = address - code.start + code.page * PAGE;
	}
	stack->n++;
	return 0;
}

/* The function that is called right before that; 0: that is not said. */
static __always_inline __u64 called_before(__u64 back)
{
	__u8 at[5] = {};

	if (bpf_probe_read_user(at, sizeof(at), (void *)(back - 5)) != 0 || at[0] != 0xe8)
		return 0;
	return back + (__s32)(at[1] | at[2] << 8 | at[3] << 16 | (__u32)at[4] << 24);
}

static __always_inline __u64 word_at(const struct walk *walk, __u32 at)
{
	return at < STACK_WORDS ? walk->words[at] : 0;
}

/*
 * The frame pointer is that of who has called the C library, whose return address is below that:
 * the first one in the function which was called there (0: any), or else the first of all, which is
 * kept. Is it the one at that place?
 */
__noinline int is_back(__u32 which, __u32 at, __u64 function)
{
	struct walk *walk = bpf_map_lookup_elem(&walks, &which);

	if (!walk)
		return false;
	const __u64 word = word_at(walk, at);
	const bool is_in = !function || word - function < FUNCTION_MOST;
	if ((walk->back && !is_in) || !is_return(word))
		return false;
	walk->back = word;
	return is_in;
}

static __always_inline void find_back(struct walk *walk, __u32 which)
{
	struct frame frame = {};

	bpf_probe_read_user(&frame, sizeof(frame), (void *)walk->bp);
	const __u64 function = called_before(frame.back);
	for (__u32 i = 0; i < STACK_WORDS; i++)
		if (walk->sp + i * 8 >= walk->bp || is_back(which, i, function))
			break;
}

/*
 * Is a frame pointer saved at that place, and a return address behind it? They are the walk's then.
 * What calls before have left there can look alike; so here, too, the first is kept until one is
 * in the function that was called.
 */
__noinline int is_saved(__u32 which, __u32 at)
{
	struct walk *walk = bpf_map_lookup_elem(&walks, &which);
	struct frame frame = {};

	if (!walk)
		return false;
	const __u64 bp = word_at(walk, at);
	if (!is_frame(bp, walk->sp + at * 8 + 16))
		return false;
	bpf_probe_read_user(&frame, sizeof(frame), (void *)bp);
	const __u64 function = called_before(frame.back);
	for (__u32 i = 1; i <= SAVED_MOST && walk->sp + (at + i) * 8 < bp; i++) {
		const bool is_first = !walk->back, is_in = is_back(which, at + i, function);
		if (is_in || (is_first && walk->back))
			walk->bp = bp;
		if (is_in)
			return true;
	}
	return false;
}

static __always_inline void find_saved(__u32 which)
{
	for (__u32 i = 0; i < STACK_WORDS - SAVED_MOST && !is_saved(which, i); i++)
		;
}

/* By frame pointers, from there on. */
__noinline int add_frames(__u32 which, __u64 bp)
{
	struct frame frame = {};
	__u64 above = bp;

	for (int i = 0; i < STACK_FRAMES; i++) {
		if (!read_frame(bp, above, &frame) || !is_return(frame.back))
			break;
		add_frame(which, frame.back);
		above = bp + sizeof(frame);
		bp = frame.next;
	}
	return 0;
}

static __always_inline bool is_dumpable(struct task_struct *task)
{
	const struct mm_struct___word *word = (void *)BPF_CORE_READ(task, mm);
	const struct mm_struct___bits *bits = (void *)word;
	const struct task_struct___state *state = (void *)task;
	unsigned long flags = 0;

	if (bpf_core_field_exists(state->exec_state))
		return BPF_CORE_READ(state, exec_state, dumpable) == TASK_DUMPABLE_OWNER;
	if (bpf_core_field_exists(word->flags))
		flags = BPF_CORE_READ(word, flags);
	else if (bpf_core_field_exists(bits->flags.__mm_flags))
		bpf_core_read(&flags, sizeof(flags), &bits->flags.__mm_flags);
	return (flags & DUMPABLE_MASK) == SUID_DUMP_USER;
}

/* In the scratch of that number. NULL: there is none. */
static __always_inline struct walk *take_stack(__u32 which)
{
	struct walk *walk = bpf_map_lookup_elem(&walks, &which);
	struct task_struct *task = bpf_get_current_task_btf();

	if (!walk)
		return NULL;
	walk->made.stack.n = walk->made.stack.n_modules = 0;
	const struct pt_regs___user *regs = (void *)bpf_task_pt_regs(task);
	if (!BPF_CORE_READ(task, mm) || BPF_CORE_READ(regs, cs) != USER_CS)
		return walk;
	walk->made.stack.is_dumpable = is_dumpable(task);
	walk->bp = BPF_CORE_READ(regs, bp);
	walk->sp = BPF_CORE_READ(regs, sp);
	add_frame(which, BPF_CORE_READ(regs, ip));
	/* Who has begun a moment ago has less; what could not be read is zeros. */
	if (bpf_probe_read_user(walk->words, sizeof(walk->words), (void *)walk->sp) != 0)
		bpf_probe_read_user(walk->words, sizeof(walk->words) / 4, (void *)walk->sp);
	walk->back = 0;
	if (is_frame(walk->bp, walk->sp))
		find_back(walk, which);
	else
		find_saved(which);
	if (!walk->back)
		return walk;
	add_frame(which, walk->back);
	add_frames(which, walk->bp);
	return walk;
}
