/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/sysmacros.h>
#include <sys/types.h>

#include "lib/probe/ends.h"

/* The programs of ends.bpf.c in the kernel, and what comes from them. */
typedef struct Probe Probe;

/* Loads them; stacks: of who makes a file, too. NULL: they are refused, or are not built in: why,
 * the caller's to free. */
Probe *probe_new(bool stacks, char **ret_why_not);
void probe_free(Probe *probe);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Probe, probe_free)

/* Readable where there are events. */
int probe_fd(const Probe *probe);

/* Hands take each event that waits, once. */
typedef void (*ProbeTake)(const struct ends_event *event, gpointer data);
void probe_read(Probe *probe, ProbeTake take, gpointer data);

/* The last process of that pid that has ended. False: it is not among the last. */
bool probe_ended(Probe *probe, pid_t pid, struct ends_process *ret_process);
/* The last process of that pid that has run another program, as it was before. */
bool probe_changed(Probe *probe, pid_t pid, struct ends_process *ret_process);
/* Who made the file of a tmpfs of that st_dev and st_ino. False: it is not among the last. */
bool probe_made(Probe *probe, uint64_t dev, uint64_t ino, struct ends_made *ret_made);
/* And how. False: it is not among the last, or that is not kept. */
bool probe_stack(Probe *probe, const struct ends_made *made, struct stack *ret_stack);
/* The same of a segment of which its creator tells, which ends or runs another program. */
bool probe_segment_stack(Probe *probe, const struct ends_segment *segment,
			 const struct ends_process *creator, struct stack *ret_stack);
bool probe_has_stacks(const Probe *probe);
/* Does it know who made each file? */
bool probe_has_made(const Probe *probe);
/* The end of the process that started then (in ticks) will be an event. */
void probe_await(Probe *probe, pid_t pid, uint64_t start);

/* The iterator for holds_without(), which is the probe's. -1: the kernel has none. */
int probe_holds(const Probe *probe);
/*
 * The pids (a set, the caller's) of which the kernel has proved that they have nothing mapped and
 * nothing open that is on one of the devices (dev_t), nor a graphics device; these are to be all
 * the devices of a tmpfs, hugetlbfs or FUSE that matter, of which none is on another file system.
 * NULL: the kernel does not say it, of anybody. It waits for nobody's locks.
 */
GHashTable *holds_without(int iterator, const GArray *devices);

/* A device as the kernel's own dev_t has it (include/linux/kdev_t.h), and back. */
static inline uint32_t probe_device(dev_t dev)
{
	return major(dev) << 20 | minor(dev);
}
static inline dev_t probe_device_back(uint32_t device)
{
	return makedev(device >> 20, device & 0xfffff);
}

/*
 * How often the kernel has passed over a program, since another task was in the midst of
 * it on the same processor, and had lost that: tracepoints from Linux 7.0 on, functions where the
 * kernel can be preempted.
 */
uint64_t probe_misses(int program_fd);
/* Events that were lost so far, with those that a program has missed. */
uint64_t probe_lost(Probe *probe);
/* False: more processes than it can keep have lost their parent, and no family is known since. */
bool probe_knows_kin(Probe *probe);
