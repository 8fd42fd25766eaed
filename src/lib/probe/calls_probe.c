/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/probe/calls_probe.h"

#ifdef SEGFS_HISTORY

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <sched.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

#include <calls.skel.h>

#include "lib/os/procfs.h"

struct CallsProbe {
	struct calls_bpf *skeleton;
	struct bpf_link *links[CALLS_N]; /* NULL: it is not told */
	struct ring_buffer *ring;
	bool has_stacks;
	CallsTake take; /* while the ring is read */
	gpointer data;
};

static guint ring_bytes; /* 0: as calls.bpf.c has it */

void calls_probe_limit(guint bytes)
{
	ring_bytes = bytes;
}

/* In the order of calls.h. */
static void find_programs(const struct calls_bpf *skeleton, bool stacks,
			  struct bpf_program **ret_programs)
{
	ret_programs[CALLS_CREATE] =
		stacks ? skeleton->progs.segment_made_stack : skeleton->progs.segment_made;
	ret_programs[CALLS_ATTACH] = skeleton->progs.segment_attached;
	ret_programs[CALLS_INHERIT] = skeleton->progs.mapping_opens;
	ret_programs[CALLS_DETACH] = skeleton->progs.mapping_closes;
	ret_programs[CALLS_REMOVE] = skeleton->progs.segment_removed;
	ret_programs[CALLS_GONE] = skeleton->progs.segment_goes;
	ret_programs[CALLS_SEM_CREATE] = skeleton->progs.sem_made;
	ret_programs[CALLS_SEM_GET] = skeleton->progs.sem_got;
	ret_programs[CALLS_SEM_OPERATE] = skeleton->progs.sem_operated;
	ret_programs[CALLS_SEM_CONTROL] = skeleton->progs.sem_controlled;
	ret_programs[CALLS_SEM_GONE] = skeleton->progs.sem_goes;
	ret_programs[CALLS_MSG_CREATE] = skeleton->progs.msg_made;
	ret_programs[CALLS_MSG_GET] = skeleton->progs.msg_got;
	ret_programs[CALLS_MSG_SEND] = skeleton->progs.msg_sent;
	ret_programs[CALLS_MSG_RECEIVE] = skeleton->progs.msg_received;
	ret_programs[CALLS_MSG_GONE] = skeleton->progs.msg_goes;
}

/*
 * Some kernels refuse programs at functions whatever they are: asked of no function in particular
 * others say EINVAL. To load BTF first takes as long as all else at a start.
 */
static int ask_kernel(void)
{
	const struct bpf_insn insns[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K},
		{.code = BPF_JMP | BPF_EXIT},
	};
	LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = BPF_TRACE_FENTRY);
	const int fd = bpf_prog_load(BPF_PROG_TYPE_TRACING, "segfs_asks", "GPL", insns,
				     G_N_ELEMENTS(insns), &options);

	if (fd >= 0)
		close(fd);
	return fd >= 0 || errno == EINVAL ? 0 : -errno;
}

/* Which programs are tried: one that is refused takes all others with it. */
typedef enum { LOAD_ALL, LOAD_KNOWN, LOAD_OF_SEGMENTS, N_LOADS } Load;

/* Those whose functions this kernel has. */
static int choose(struct calls_bpf *skeleton, bool stacks, Load load)
{
	struct bpf_program *programs[CALLS_N];
	struct btf *btf = btf__load_vmlinux_btf();

	if (!btf)
		return -errno;
	find_programs(skeleton, stacks, programs);
	for (guint i = 0; i < CALLS_N; i++) {
		const char *slash = strchr(bpf_program__section_name(programs[i]), '/');
		const bool is_wanted = load == LOAD_KNOWN || i < CALLS_SEGMENTS;
		bpf_program__set_autoload(
			programs[i],
			is_wanted && btf__find_by_name_kind(btf, slash + 1, BTF_KIND_FUNC) > 0);
	}
	btf__free(btf);
	return 0;
}

static int load(Load which, bool stacks, struct calls_bpf **ret_skeleton)
{
	struct calls_bpf *skeleton = calls_bpf__open();

	if (!skeleton)
		return -errno;
	skeleton->rodata->reader_pid_ns = procfs_namespace(AT_FDCWD, "/proc/self/ns/pid");
	int r = skeleton->rodata->reader_pid_ns ? 0 : -errno;
	skeleton->rodata->own_pid = getpid();
	if (r == 0 && ring_bytes)
		r = bpf_map__set_max_entries(skeleton->maps.ring, ring_bytes);
	bpf_program__set_autoload(
		stacks ? skeleton->progs.segment_made : skeleton->progs.segment_made_stack, false);
	if (r == 0 && which != LOAD_ALL)
		r = choose(skeleton, stacks, which);
	if (r == 0)
		r = calls_bpf__load(skeleton);
	if (r < 0)
		calls_bpf__destroy(skeleton);
	else
		*ret_skeleton = skeleton;
	return r;
}

/* Makes and uses a set and a queue. */
static void use_both(void)
{
	struct sembuf up = {0, 1, IPC_NOWAIT};
	struct {
		long type;
		char byte;
	} message = {1, 0};
	const key_t key = 1; /* in a namespace of its own */

	const int set = semget(key, 1, IPC_CREAT | 0600);
	semget(key, 1, 0);
	semop(set, &up, 1);
	semctl(set, 0, SETVAL, 0);
	semctl(set, 0, IPC_RMID);
	const int queue = msgget(key, IPC_CREAT | 0600);
	msgget(key, 0);
	msgsnd(queue, &message, 1, IPC_NOWAIT);
	msgrcv(queue, &message, 1, 0, IPC_NOWAIT);
	msgctl(queue, IPC_RMID, NULL);
}

/* What a child of the trial does: no more than may be done between fork(2) and execve(2). */
static void G_GNUC_NORETURN make_and_remove(int go_fd, int parent_fd)
{
	char byte;

	close(parent_fd);
	if (unshare(CLONE_NEWIPC) < 0 || read(go_fd, &byte, 1) != 1)
		_exit(1);
	use_both();
	const int shmid = shmget(IPC_PRIVATE, 4096, 0600);
	void *at = shmid < 0 ? (void *)-1 : shmat(shmid, NULL, 0);
	if (at == (void *)-1)
		_exit(1);
	const pid_t child = fork();
	if (child == 0)
		_exit(0);
	while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
	_exit(shmdt(at) < 0 || shmctl(shmid, IPC_RMID, NULL) < 0 || child < 0);
}

/* Has a child do all that is to be told of. */
static int try_all(CallsProbe *probe)
{
	int fds[2], status = 0;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	const pid_t pid = fork();
	if (pid == 0)
		make_and_remove(fds[0], fds[1]);
	int r = pid < 0 ? -errno : 0;
	close(fds[0]);
	if (r == 0) {
		probe->skeleton->bss->tried_pid = pid;
		/* It goes on with this byte, or at the end of the file. */
		if (write(fds[1], "", 1) != 1)
			r = -EIO;
	}
	close(fds[1]);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	probe->skeleton->bss->tried_pid = 0;
	return r == 0 && status != 0 ? -ECHILD : r;
}

static int attach(CallsProbe *probe)
{
	struct bpf_program *programs[CALLS_N];
	int r = -ENOENT;

	find_programs(probe->skeleton, probe->has_stacks, programs);
	for (guint i = 0; i < CALLS_N; i++) {
		if (!bpf_program__autoload(programs[i]))
			continue;
		probe->links[i] = bpf_program__attach(programs[i]);
		r = probe->links[i] ? 0 : r == 0 ? 0 : -errno;
	}
	return r;
}

/* Where one use is not told, none is. */
static void drop_incomplete(CallsProbe *probe, guint first, guint last)
{
	bool is_complete = true;

	for (guint i = first; i <= last; i++)
		is_complete = is_complete && probe->links[i];
	for (guint i = first; i <= last && !is_complete; i++)
		g_clear_pointer(&probe->links[i], bpf_link__destroy);
}

/* What is attached and does not run is no better than what is not there. */
static int prove(CallsProbe *probe)
{
	int r = try_all(probe);
	guint n = 0;

	for (guint i = 0; i < CALLS_N; i++) {
		if (!probe->skeleton->bss->tried[i])
			g_clear_pointer(&probe->links[i], bpf_link__destroy);
	}
	drop_incomplete(probe, CALLS_SEM_CREATE, CALLS_SEM_GONE);
	drop_incomplete(probe, CALLS_MSG_CREATE, CALLS_MSG_GONE);
	for (guint i = 0; i < CALLS_N; i++)
		n += probe->links[i] != NULL;
	return r < 0 ? r : n > 0 ? 0 : -ENOENT;
}

static int on_event(void *context, void *bytes, size_t size)
{
	CallsProbe *probe = context;
	const struct calls_event *event = bytes;

	if (size < sizeof(*event))
		return 0;
	const size_t more =
		event->verb >= CALLS_SEGMENTS ? sizeof(struct calls_kin) : event->arguments_size;
	if (event->has_stack ? size >= sizeof(*event) + ENDS_ARGUMENTS + sizeof(struct stack)
			     : size >= sizeof(*event) + more)
		probe->take(event, probe->data);
	return 0;
}

static int load_most(CallsProbe *probe, bool stacks)
{
	int r = -ENOENT;

	for (Load which = 0; r < 0 && r != -EPERM && which < N_LOADS; which++)
		r = load(which, stacks, &probe->skeleton);
	probe->has_stacks = stacks;
	return r;
}

static int begin(CallsProbe *probe, bool stacks)
{
	int r = ask_kernel();

	if (r < 0)
		return r;
	r = stacks ? load_most(probe, true) : -EOPNOTSUPP;
	if (r < 0 && r != -EPERM)
		r = load_most(probe, false);
	if (r == 0)
		r = attach(probe);
	if (r == 0)
		r = prove(probe);
	if (r < 0)
		return r;
	probe->ring =
		ring_buffer__new(bpf_map__fd(probe->skeleton->maps.ring), on_event, probe, NULL);
	return probe->ring ? 0 : -errno;
}

CallsProbe *calls_probe_new(bool stacks, char **ret_why_not)
{
	g_autoptr(CallsProbe) probe = g_new0(CallsProbe, 1);

	const int r = begin(probe, stacks);
	if (r == 0)
		return g_steal_pointer(&probe);
	*ret_why_not = r == -ECHILD   ? g_strdup("no function probes: they could not be tried")
		       : r == -ENOENT ? g_strdup("no function probes: this kernel runs none")
				      : g_strdup_printf("no function probes: %s", g_strerror(-r));
	return NULL;
}

void calls_probe_free(CallsProbe *probe)
{
	g_clear_pointer(&probe->ring, ring_buffer__free);
	for (guint i = 0; i < CALLS_N; i++)
		g_clear_pointer(&probe->links[i], bpf_link__destroy);
	g_clear_pointer(&probe->skeleton, calls_bpf__destroy);
	g_free(probe);
}

bool calls_probe_tells(const CallsProbe *probe, guint verb)
{
	return probe->links[verb] != NULL;
}

bool calls_probe_has_stacks(const CallsProbe *probe)
{
	return probe->has_stacks && probe->links[CALLS_CREATE];
}

int calls_probe_fd(const CallsProbe *probe)
{
	return ring_buffer__epoll_fd(probe->ring);
}

void calls_probe_read(CallsProbe *probe, CallsTake take, gpointer data)
{
	probe->take = take;
	probe->data = data;
	/* Not by way of the epoll set, which does not have those whose wake is still on its way. */
	ring_buffer__consume(probe->ring);
	ring_buffer__poll(probe->ring, 0);
}

uint64_t calls_probe_lost(const CallsProbe *probe)
{
	return probe->skeleton->bss->lost;
}

#else

CallsProbe *calls_probe_new(bool stacks, char **ret_why_not)
{
	*ret_why_not = g_strdup("no function probes: segfs was built without them (-Dhistory)");
	return NULL;
}

/* Of a probe, and there is none. */
void calls_probe_free(CallsProbe *probe)
{
}

bool calls_probe_tells(const CallsProbe *probe, guint verb)
{
	return false;
}

bool calls_probe_has_stacks(const CallsProbe *probe)
{
	return false;
}

int calls_probe_fd(const CallsProbe *probe)
{
	return -1;
}

void calls_probe_read(CallsProbe *probe, CallsTake take, gpointer data)
{
}

uint64_t calls_probe_lost(const CallsProbe *probe)
{
	return 0;
}

void calls_probe_limit(guint bytes)
{
}

#endif
