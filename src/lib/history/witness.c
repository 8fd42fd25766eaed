/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/history/witness.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "lib/os/autofd.h"
#include "lib/os/escape.h"
#include "lib/os/fd.h"
#include "lib/os/procfs.h"
#include "lib/process/process.h"

/* nanoseconds: who does many things at once is asked so often */
#define LAST_FOR 100000000

/* nanoseconds; more than a tick */
#define TICKS_LATE 20000000
#define PF_EXITING 0x4 /* include/linux/sched.h */

/* A process while it runs one program, as of struct ends_made. */
typedef struct {
	uint64_t start, exec;
} Program;

struct Witness {
	char *proc_root;
	Probe *probe;
	bool no_arguments;
	uint64_t round;       /* CLOCK_BOOTTIME: before the last events were waited for */
	SegfsActor last;      /* whom it has read last; start 0: nobody */
	uint64_t last_exec;   /* when that one had run another program; 0: not that it is known */
	uint64_t last_id;     /* of its pidfd; 0: not known */
	uint64_t last_read;   /* CLOCK_BOOTTIME */
	Program last_program; /* what that one is to the probe; start 0: not known */
	pid_t awaited;        /* whose end the probe was told to tell of last, */
	uint64_t awaited_start, awaited_at; /* and when: CLOCK_BOOTTIME */
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

static void take_command(const Witness *witness, const char *command, const char *arguments,
			 gsize size, SegfsActor *actor)
{
	memcpy(actor->command, command, sizeof(actor->command));
	actor->command[sizeof(actor->command) - 1] = '\0';
	if (!witness->no_arguments && size > 0)
		actor->command_line = process_line_of(arguments, MIN(size, ENDS_ARGUMENTS));
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
	take_command(witness, process->command, process->arguments, process->arguments_size,
		     ret_actor);
}

void witness_actor_of_call(const Witness *witness, const struct calls_event *event,
			   const char *arguments, SegfsActor *ret_actor)
{
	*ret_actor = (SegfsActor){
		.pid = event->pid,
		.start = event->start / ENDS_TICK,
		.uid = event->uid,
	};
	/* Shown of the creator alone. */
	if (event->verb == CALLS_CREATE)
		ret_actor->cgroup = cgroup_path(event->cgroup);
	take_command(witness, event->command, arguments, event->arguments_size, ret_actor);
}

static bool find_exec(const Witness *witness, const SegfsActor *actor, struct ends_process *before)
{
	return witness->probe && actor->start &&
	       probe_changed(witness->probe, actor->pid, before) &&
	       before->start / ENDS_TICK == actor->start;
}

/* The number of a process that is never given again (pidfs, Linux 6.9); 0: there is none. */
static uint64_t id_of(int pidfd)
{
	enum { PID_FS_MAGIC = 0x50494446 }; /* linux/magic.h */
	struct statfs fs;
	struct stat st;

	return pidfd >= 0 && fstatfs(pidfd, &fs) == 0 && fs.f_type == PID_FS_MAGIC &&
			       fstat(pidfd, &st) == 0
		       ? st.st_ino
		       : 0;
}

/* Another program of the same name has another command line. */
static uint64_t last_exec(const Witness *witness, const SegfsActor *actor)
{
	struct ends_process before;

	return find_exec(witness, actor, &before) ? before.at : 0;
}

/* Is that the process that was read last, a moment ago? */
static bool is_last(const Witness *witness, uint64_t id)
{
	return id && id == witness->last_id && witness_now() - witness->last_read < LAST_FOR &&
	       last_exec(witness, &witness->last) == witness->last_exec;
}

/* ret_has_none: it has no command line just now. */
static bool read_live(Witness *witness, pid_t pid, int pidfd, SegfsActor *ret_actor,
		      bool *ret_has_none)
{
	if (is_last(witness, id_of(pidfd))) {
		*ret_actor = actor_copy(&witness->last);
		return true;
	}
	gsize size;
	ProcfsStat stat;
	uid_t uid;

	if (!procfs_stat(witness->proc_root, pid, &stat) ||
	    !procfs_user(witness->proc_root, pid, &uid))
		return false;
	const SegfsActor *last = &witness->last;
	if (last->start == stat.start && last->pid == pid && last->uid == uid &&
	    !strcmp(last->command, stat.command) &&
	    last_exec(witness, last) == witness->last_exec) {
		*ret_actor = actor_copy(last);
		return true;
	}
	const SegfsProcess process = {.pid = pid, .start = stat.start};
	*ret_actor = (SegfsActor){.pid = pid, .start = stat.start, .uid = uid};
	memcpy(ret_actor->command, stat.command, sizeof(ret_actor->command));
	g_autofree char *arguments = process_ask(witness->proc_root, &process, "cmdline", &size);
	*ret_has_none = arguments && size == 0;
	if (arguments)
		ret_actor->command_line = process_line_of(arguments, size);
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

/* Of what /proc has said of a process. */
typedef struct {
	uint64_t asked, answered; /* CLOCK_BOOTTIME */
	bool is_changing;         /* it was about to run another program, and did nothing else */
} Reading;

/*
 * What it was before it ran another program, where that was after the event for certain: after the
 * event was read, or still on its way when /proc was. Else their times tell. A file's time is that
 * of the clock's last tick, or later (current_time() in fs/inode.c), and that is late where a
 * processor is: within that time nothing is known, and mostly it is the program's first deed.
 */
static bool take_back_exec(Witness *witness, const Reading *reading, int64_t when,
			   SegfsActor *actor)
{
	struct ends_process before;

	if (!find_exec(witness, actor, &before))
		return false;
	if (!reading->is_changing && before.at < reading->asked &&
	    (when == 0 || witness_latest_time(before.at) <= when + TICKS_LATE))
		return false;
	actor_clear(actor);
	witness_actor_of(witness, &before, actor);
	return true;
}

/*
 * A process has no command line once it has ended, and is in no cgroup of version 1; the probe has
 * seen all of it, before. It has none either while the kernel gives it another program (exec_mmap()
 * to create_elf_tables()).
 */
static void explain_none(const Witness *witness, Reading *reading, SegfsActor *actor)
{
	struct ends_process ended;
	ProcfsStat stat;

	if (!witness->probe)
		return;
	const bool has_ended = probe_ended(witness->probe, actor->pid, &ended) &&
			       ended.start / ENDS_TICK == actor->start &&
			       ended.at <= reading->answered;
	/* Before Linux 6.18 its memory is gone a moment before the probe is told of its end. */
	reading->is_changing = !has_ended && procfs_stat(witness->proc_root, actor->pid, &stat) &&
			       !(stat.flags & PF_EXITING);
	if (!has_ended)
		return;
	actor_clear(actor);
	witness_actor_of(witness, &ended, actor);
}

/* It is a segfs mount, which does all for somebody. */
static bool is_mount(const SegfsActor *actor)
{
	return actor->uid == 0 && !strcmp(actor->command, "segfs");
}

/* exec: when it had run another program; 0: not that it is known. */
static void keep_last(Witness *witness, const SegfsActor *actor, int pidfd, uint64_t exec)
{
	const uint64_t id = id_of(pidfd);
	if (is_last(witness, id))
		return;
	SegfsActor copy = actor_copy(actor);

	witness->last_program = (Program){};
	witness->last_id = id;
	witness->last_read = witness_now();
	actor_clear(&witness->last);
	witness->last = copy;
	witness->last_exec = exec;
}

bool witness_read(Witness *witness, pid_t pid, int pidfd, int64_t when, SegfsActor *ret_actor)
{
	SegfsActor actor = {.pid = pid};
	struct ends_process ended;
	Reading reading = {.asked = witness_now()};
	bool has_none = false;
	bool is_live = pid > 0 && !procfs_has_ended(pidfd) &&
		       read_live(witness, pid, pidfd, &actor, &has_none);

	reading.answered = witness_now();
	/* Afterwards: until then the number was nobody else's. */
	if (is_live && procfs_has_ended(pidfd)) {
		actor_clear(&actor);
		actor = (SegfsActor){.pid = pid};
		is_live = false;
	}
	/* Of those who have ended since one alone has had the number. */
	if (!is_live && pid > 0 && witness->probe && probe_ended(witness->probe, pid, &ended) &&
	    ended.at >= witness->round && ended.before < witness->round)
		witness_actor_of(witness, &ended, &actor);
	if (is_live && has_none)
		explain_none(witness, &reading, &actor);
	const uint64_t exec = last_exec(witness, &actor);
	const bool is_now = !take_back_exec(witness, &reading, when, &actor) && is_live;
	if (witness->no_arguments)
		g_clear_pointer(&actor.command_line, g_free);
	if (is_now && exec < reading.asked)
		keep_last(witness, &actor, pidfd, exec);
	*ret_actor = actor;
	return !is_mount(&actor);
}

/* That process, while it ran the program that has made the file. */
static bool is_maker(const struct ends_process *process, const struct ends_made *made)
{
	return process->start == made->start && process->exec == made->exec;
}

/* Is what /proc said of a live process of that program? Asked afterwards, and changed is what the
 * probe says then. */
static bool is_still(const SegfsActor *actor, const struct ends_made *made,
		     const struct ends_process *changed)
{
	if (actor->start != made->start / ENDS_TICK)
		return false;
	return changed ? made->exec == changed->exec + 1 : !strcmp(actor->command, made->command);
}

/* Is that the program that was read last, a moment ago? */
static bool is_last_maker(const Witness *witness, const struct ends_made *made)
{
	const Program *last = &witness->last_program;

	return last->start && last->start == made->start && last->exec == made->exec &&
	       witness->last.pid == (pid_t)made->pid &&
	       witness_now() - witness->last_read < LAST_FOR;
}

/* To be cleared; its uid and command are those of now, if it lives. */
static void read_maker(Witness *witness, const struct ends_made *made, int pidfd,
		       SegfsActor *ret_actor)
{
	const pid_t pid = made->pid;
	SegfsActor actor = {};
	struct ends_process process;
	bool has_none = false;
	bool is_live =
		!procfs_has_ended(pidfd) && read_live(witness, pid, pidfd, &actor, &has_none);

	const bool has_changed =
		probe_changed(witness->probe, pid, &process) && process.start == made->start;
	is_live = is_live && is_still(&actor, made, has_changed ? &process : NULL);
	bool is_known = has_changed && is_maker(&process, made);
	if (!is_known && is_live && actor.command_line) {
		keep_last(witness, &actor, pidfd, has_changed ? process.at : 0);
		witness->last_program = (Program){made->start, made->exec};
	} else if (!is_known) /* it may have ended while it was read */
		is_known = probe_ended(witness->probe, pid, &process) && is_maker(&process, made);
	if (is_known || !is_live)
		actor_clear(&actor);
	if (is_known)
		witness_actor_of(witness, &process, &actor);
	else if (!is_live)
		actor = (SegfsActor){.pid = pid, .start = made->start / ENDS_TICK};
	*ret_actor = actor;
}

bool witness_read_maker(Witness *witness, const struct ends_made *made, int pidfd,
			SegfsActor *ret_actor)
{
	SegfsActor actor;

	if (is_last_maker(witness, made))
		actor = actor_copy(&witness->last);
	else
		read_maker(witness, made, pidfd, &actor);
	/* As it was called then, and as whom it acted. */
	actor.uid = made->uid;
	memcpy(actor.command, made->command, sizeof(actor.command));
	if (witness->no_arguments)
		g_clear_pointer(&actor.command_line, g_free);
	*ret_actor = actor;
	return !is_mount(&actor);
}

/* Of a caller the time is known to the nanosecond. */
static bool was_before(const WitnessCaller *caller, const struct ends_process *process)
{
	return caller->start ? process->start / ENDS_TICK == caller->start
			     : process->start <= caller->at;
}

void witness_read_caller(Witness *witness, const WitnessCaller *caller, int pidfd,
			 SegfsActor *ret_actor)
{
	const uint64_t asked = witness_now();
	const pid_t pid = caller->pid;
	SegfsActor actor = {.pid = pid};
	struct ends_process process;
	bool has_none;
	bool is_live = pid > 0 && (caller->start || !procfs_has_ended(pidfd)) &&
		       read_live(witness, pid, pidfd, &actor, &has_none);

	/* Afterwards: until then the number was nobody else's. */
	if (is_live && (caller->start ? actor.start != caller->start : procfs_has_ended(pidfd))) {
		actor_clear(&actor);
		actor = (SegfsActor){.pid = pid};
		is_live = false;
	}
	/* One that ends while it is read is in no cgroup any more, and has no command line. */
	if (pid > 0 && witness->probe && probe_ended(witness->probe, pid, &process) &&
	    process.at >= caller->at && was_before(caller, &process)) {
		actor_clear(&actor);
		witness_actor_of(witness, &process, &actor);
		is_live = false;
	}
	const uint64_t exec = last_exec(witness, &actor);
	if (find_exec(witness, &actor, &process) && process.at > caller->at) {
		actor_clear(&actor);
		witness_actor_of(witness, &process, &actor);
		is_live = false;
	}
	if (witness->no_arguments)
		g_clear_pointer(&actor.command_line, g_free);
	if (is_live && exec < asked)
		keep_last(witness, &actor, pidfd, exec);
	/* As whom it has asked. */
	actor.uid = caller->uid;
	*ret_actor = actor;
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
	const uint64_t now = witness_now();

	if (!witness->probe)
		return true;
	if (actor->pid != witness->awaited || actor->start != witness->awaited_start ||
	    now - witness->awaited_at >= LAST_FOR) {
		probe_await(witness->probe, actor->pid, actor->start);
		witness->awaited = actor->pid;
		witness->awaited_start = actor->start;
		witness->awaited_at = now;
	}
	/* In this order: an end in between is told twice, and not never. */
	return !probe_ended(witness->probe, actor->pid, ret_end) ||
	       ret_end->start / ENDS_TICK != actor->start;
}
