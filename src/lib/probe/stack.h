/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <linux/types.h>

/* A user stack, as stack.bpf.h writes it down: a part of what other programs of this room tell. */

#define STACK_FRAMES 24
#define STACK_MODULES 6
#define STACK_ID 20
#define STACK_NAME 64 /* bytes of one part of a path */
#define STACK_PATH (4 * STACK_NAME)

struct stack_frame {
	__u64 offset; /* in the file; where module is none of them, an address */
	__u32 module;
	__u32 padding;
};

/* What is mapped where a frame's code is. */
struct stack_module {
	__u64 file, at, mount; /* the kernel's own */
	__u32 has_id;          /* of whose build-id could be read */
	__u32 path_size;
	__u32 is_whole; /* path goes up to the root */
	unsigned char id[STACK_ID];
	char path[STACK_PATH]; /* its parts, the last one first, a NUL after each */
};

struct stack {
	__u32 n, n_modules;
	__u32 is_dumpable; /* by its user, prctl(2): what runs with others' rights is not */
	__u32 padding;
	struct stack_frame frames[STACK_FRAMES]; /* the innermost first */
	struct stack_module modules[STACK_MODULES];
};
