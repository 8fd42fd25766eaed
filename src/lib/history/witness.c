/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/history/witness.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <segfs/scan.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/os/autofd.h"
#include "lib/os/escape.h"
#include "lib/os/fd.h"
#include "lib/os/procfs.h"

/* nanoseconds; more than a tick */
#define TICKS_LATE 20000000

struct Witness {
	char *proc_root;
	Probe *probe;
	bool no_arguments;
	uint64_t round;  /* CLOCK_BOOTTIME: before the last events were waited for */
	SegfsActor last; /* whom it has read last; start 0: nobody */
};

Witness *witness_new(const char *proc_root, Probe *probe, bool no_arguments)
{
	Witness *witness = g_new0(Witness, 1);

	witness->proc_root = g_strdup(proc_root);
	witness->probe = probe;
	witness->no_arguments = no_arguments;
	witness_round_ends(witness);
	return witness;
}

void witness_free(Witness *witness)
{
	actor_clear(&witness->last);
	g_free(witness->proc_root);
	g_free(witness);
}

uint64_t witness_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

int64_t witness_time(uint64_t boottime)
{
	return g_get_real_time() - (int64_t)(witness_now() - boottime) / 1000;
}

void witness_round_ends(Witness *witness)
{
	witness->round = witness_now();
}

/* The path of a cgroup by its id, while it is there: cgroup_id of version 2 is a file handle. */
static char *cgroup_path(uint64_t id)
{
	static const char *const roots[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};
	enum { FILEID_KERNFS = 0xfe };
	struct {
		struct file_handle handle;
		uint64_t id;
	} handle = {{.handle_bytes = sizeof(id), .handle_type = FILEID_KERNFS}, id};

	for (guint i = 0; i < G_N_ELEMENTS(roots); i++) {
		autofd mount = open(roots[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		memcpy(handle.handle.f_handle, &id, sizeof(id));
		autofd fd = mount < 0
				    ? -1
				    : open_by_handle_at(mount, &handle.handle, O_PATH | O_CLOEXEC);
		if (fd < 0)
			continue;
		g_autofree char *below = fd_path_below(mount, fd);
		/* The root says nothing: where version 1 is used, all are in it. */
		return below && *below ? escape_text(below, -1) : NULL;
	}
	return NULL;
}

void witness_actor_of(const Witness *witness, const struct ends_process *process,
		      SegfsActor *ret_actor)
{
	*ret_actor = (SegfsActor){
		.pid = process->pid,
		.start = process->start / ENDS_TICK,
		.uid = process->uid,
		.cgroup = cgroup_path(process->cgroup),
	};
	memcpy(ret_actor->command, process->command, sizeof(ret_actor->command));
	ret_actor->command[sizeof(ret_actor->command) - 1] = '\0';
	if (!witness->no_arguments)
		ret_actor->command_line = actor_command_line(
			process->arguments, MIN(process->arguments_size, ENDS_ARGUMENTS));
}

static bool has_ended(int pidfd)
{
	struct pollfd fd = {.fd = pidfd, .events = POLLIN};

	return pidfd < 0 || poll(&fd, 1, 0) != 0;
}

static bool read_live(Witness *witness, pid_t pid, SegfsActor *ret_actor)
{
	ProcfsStat stat;
	uid_t uid;

	if (!procfs_stat(witness->proc_root, pid, &stat) ||
	    !procfs_user(witness->proc_root, pid, &uid))
		return false;
	const SegfsActor *last = &witness->last;
	if (last->start == stat.start && last->pid == pid && last->uid == uid &&
	    !strcmp(last->command, stat.command)) {
		*ret_actor = actor_copy(last);
		return true;
	}
	const SegfsProcess process = {.pid = pid, .start = stat.start};
	*ret_actor = (SegfsActor){.pid = pid, .start = stat.start, .uid = uid};
	memcpy(ret_actor->command, stat.command, sizeof(ret_actor->command));
	if (!witness->no_arguments)
		ret_actor->command_line = segfs_process_command_line(witness->proc_root, &process);
	ret_actor->cgroup = segfs_process_cgroup(witness->proc_root, &process);
	return true;
}

/* A thread that has to wait between its two looks at a clock makes it later, not earlier. */
int64_t witness_latest_time(uint64_t boottime)
{
	const uint64_t now = witness_now();
	struct timespec real;

	clock_gettime(CLOCK_REALTIME, &real);
	return real.tv_sec * 1000000000LL + real.tv_nsec - (int64_t)(now - boottime);
}

static bool find_exec(const Witness *witness, const SegfsActor *actor, struct ends_process *before)
{
	return witness->probe && actor->start &&
	       probe_changed(witness->probe, actor->pid, before) &&
	       before->start / ENDS_TICK == actor->start;
}

/*
 * What it was before it ran another program, where that was after the event for certain. A file's
 * time is that of the clock's last tick, or later (current_time() in fs/inode.c), and that is late
 * where a processor is: within that time nothing is known, and mostly it is the program's first
 * deed.
 */
static void take_back_exec(Witness *witness, int64_t when, SegfsActor *actor)
{
	struct ends_process before;

	if (when == 0 || !find_exec(witness, actor, &before) ||
	    witness_latest_time(before.at) <= when + TICKS_LATE)
		return;
	actor_clear(actor);
	witness_actor_of(witness, &before, actor);
}

/*
 * It may have ended while it was read: then it has no command line any more, and is in no cgroup of
 * version 1. The probe has seen all of it, before.
 */
static void take_end(const Witness *witness, SegfsActor *actor)
{
	struct ends_process ended;

	if (actor->command_line || !witness->probe ||
	    !probe_ended(witness->probe, actor->pid, &ended) ||
	    ended.start / ENDS_TICK != actor->start)
		return;
	actor_clear(actor);
	witness_actor_of(witness, &ended, actor);
}

bool witness_read(Witness *witness, pid_t pid, int pidfd, int64_t when, SegfsActor *ret_actor)
{
	SegfsActor actor = {.pid = pid};
	struct ends_process ended;
	bool is_live = pid > 0 && !has_ended(pidfd) && read_live(witness, pid, &actor);

	/* Afterwards: until then the number was nobody else's. */
	if (is_live && has_ended(pidfd)) {
		actor_clear(&actor);
		actor = (SegfsActor){.pid = pid};
		is_live = false;
	}
	if (!is_live && pid > 0 && witness->probe && probe_ended(witness->probe, pid, &ended) &&
	    ended.at >= witness->round)
		witness_actor_of(witness, &ended, &actor);
	if (is_live)
		take_end(witness, &actor);
	take_back_exec(witness, when, &actor);
	if (is_live) {
		actor_clear(&witness->last);
		witness->last = actor_copy(&actor);
	}
	*ret_actor = actor;
	return !(actor.uid == 0 && !strcmp(actor.command, "segfs"));
}

uint32_t witness_execs(const Witness *witness, const SegfsActor *actor, int64_t when,
		       SegfsKin **ret_doubtful)
{
	struct ends_process before;

	if (when == 0 || !actor->start)
		return ENDS_MANY;
	if (!find_exec(witness, actor, &before))
		return 0;
	if (witness_latest_time(before.at) < when)
		return before.n_execs;
	/* It is not known which of the two it was: either. */
	if (before.n_execs != 1)
		return ENDS_MANY;
	*ret_doubtful = kin_new_doubtful(&before.kin);
	return 1;
}

bool witness_await(Witness *witness, const SegfsActor *actor, struct ends_process *ret_end)
{
	if (!witness->probe)
		return true;
	probe_await(witness->probe, actor->pid, actor->start);
	/* In this order: an end in between is told twice, and not never. */
	return !probe_ended(witness->probe, actor->pid, ret_end) ||
	       ret_end->start / ENDS_TICK != actor->start;
}
