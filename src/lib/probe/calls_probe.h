/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/probe/calls.h"

/* The programs of calls.bpf.c in the kernel, and what comes from them. */
typedef struct CallsProbe CallsProbe;

/*
 * Loads them, and tries each: a child does all that, in an IPC namespace of its own. stacks: of
 * who makes a segment, too. kept: they outlive this process, if it is killed, for the next one that
 * asks with the same text; NULL: they do not. NULL is returned where they are refused, do not run
 * here, or are not built in: why, the caller's to free.
 */
CallsProbe *calls_probe_new(bool stacks, const char *kept, char **ret_why_not);
void calls_probe_free(CallsProbe *probe);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CallsProbe, calls_probe_free)

/* From here on they end with this process, however that ends. */
void calls_probe_forget(CallsProbe *probe);

/* For tests: of those that are made from here on so many bytes of events may wait. */
void calls_probe_limit(guint bytes);

/* What of calls.h is told. */
bool calls_probe_tells(const CallsProbe *probe, guint verb);
bool calls_probe_has_stacks(const CallsProbe *probe);
/* By kprobes, which cost more, where fentry is refused or does not tell all. */
bool calls_probe_by_kprobes(const CallsProbe *probe);

/* Readable where there are events. */
int calls_probe_fd(const CallsProbe *probe);

/* Hands take each event that waits, once. */
typedef void (*CallsTake)(const struct calls_event *event, gpointer data);
void calls_probe_read(CallsProbe *probe, CallsTake take, gpointer data);

/* Are objects of the tmpfs with this st_dev told of? 2,048 at most. */
void calls_probe_watch(CallsProbe *probe, uint64_t dev, bool watched);

/* Did they run before, for a daemon that was killed? What happened since can be read. */
bool calls_probe_was_kept(const CallsProbe *probe);

/*
 * Events that were lost so far; of those the ones that a program has missed, of which no event says
 * how many were before it; and those that this has not returned yet, to any daemon.
 */
uint64_t calls_probe_lost(const CallsProbe *probe);
uint64_t calls_probe_missed(const CallsProbe *probe);
uint64_t calls_probe_take_lost(CallsProbe *probe);
