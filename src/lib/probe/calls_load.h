/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

#include <calls.skel.h>

#include "lib/probe/calls.h"

/* The programs of calls.bpf.c in the kernel. */
typedef struct {
	struct calls_bpf *skeleton;
	bool by_kprobes;
	bool has_stacks;                   /* of who makes a segment */
	struct bpf_link *links[CALLS_N];   /* NULL: it is not told */
	struct bpf_link *entries[CALLS_N]; /* of kprobes that go with one at the return, or NULL */
} CallsPrograms;

/*
 * Loads them into what is empty, by fentry or else by kprobes, and tries each. stacks: where it can
 * be of who makes a segment, too. ring_bytes: 0: as calls.bpf.c has it. -ECHILD: they could not be
 * tried; -ENOENT: this kernel runs none; others are those of bpf(2). Either way calls_unload() ends
 * it.
 */
int calls_load(CallsPrograms *of, bool stacks, guint ring_bytes);
void calls_unload(CallsPrograms *of);

/* What no other build of them has, the caller's to free. */
char *calls_build(void);
