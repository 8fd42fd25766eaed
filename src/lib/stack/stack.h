/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <segfs/history.h>
#include <stdbool.h>

#include "lib/probe/stack.h"

/* What stack.bpf.h says; NULL: nothing. */
SegfsStack *stack_new(const struct stack *told);

/* Bytes of it; NULL has none. */
gsize stack_size(const SegfsStack *stack);

/* To be kept, floating, of NULL, too; and back, whatever it is. */
#define STACK_TYPE "(ba(ut)a(ayay))"
GVariant *stack_save(const SegfsStack *stack);
SegfsStack *stack_restore(GVariant *saved);
