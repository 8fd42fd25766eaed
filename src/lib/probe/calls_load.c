/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What is attached may not run: so a child does all that is to be told of, and what has not run
 * then is taken away again.
 */

#ifdef SEGFS_HISTORY

#include "lib/probe/calls_load.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <sched.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/kernel/kernel.h"
#include "lib/os/procfs.h"

/* Where kernels that have kprobes say how to ask for them (perf_event_open(2)). */
#define KPROBES "/sys/bus/event_source/devices/kprobe/type"

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
	ret_programs[CALLS_MEMFD_CREATE] = skeleton->progs.memfd_made;
	ret_programs[CALLS_RESIZE] = skeleton->progs.file_resized;
	ret_programs[CALLS_MEMFD_GONE] = skeleton->progs.memfd_goes;
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
typedef enum { LOAD_ALL, LOAD_KNOWN, LOAD_OF_SEGMENTS, N_LOADS, LOAD_KPROBES } Load;

/* As a kprobe, or what that takes at the function's entry; NULL: none. */
static struct bpf_program *find_kprobe(const struct calls_bpf *skeleton, const char *prefix,
				       const struct bpf_program *program)
{
	g_autofree char *name = g_strconcat(prefix, bpf_program__name(program), NULL);

	return bpf_object__find_program_by_name(skeleton->obj, name);
}

/* They tell of no stack. */
static void choose_kprobes(struct calls_bpf *skeleton, bool are_wanted)
{
	static const char *const prefixes[] = {"k_", "e_"};
	struct bpf_program *programs[CALLS_N], *kprobe;

	find_programs(skeleton, false, programs);
	for (guint i = 0; i < CALLS_N; i++) {
		bpf_program__set_autoload(programs[i], !are_wanted);
		for (guint j = 0; j < G_N_ELEMENTS(prefixes); j++)
			if ((kprobe = find_kprobe(skeleton, prefixes[j], programs[i])))
				bpf_program__set_autoload(kprobe, are_wanted);
	}
}

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

static int load(Load which, bool stacks, guint ring_bytes, struct calls_bpf **ret_skeleton)
{
	struct calls_bpf *skeleton = calls_bpf__open();

	if (!skeleton)
		return -errno;
	skeleton->rodata->reader_pid_ns = procfs_namespace(AT_FDCWD, "/proc/self/ns/pid");
	int r = skeleton->rodata->reader_pid_ns ? 0 : -errno;
	if (r == 0 && ring_bytes)
		r = bpf_map__set_max_entries(skeleton->maps.ring, ring_bytes);
	choose_kprobes(skeleton, which == LOAD_KPROBES);
	/* One of the two, or neither. */
	bpf_program__set_autoload(skeleton->progs.segment_made_stack,
				  stacks && which != LOAD_KPROBES);
	if (stacks)
		bpf_program__set_autoload(skeleton->progs.segment_made, false);
	if (r == 0 && (which == LOAD_KNOWN || which == LOAD_OF_SEGMENTS))
		r = choose(skeleton, stacks, which);
	if (r == 0)
		r = calls_bpf__load(skeleton);
	if (r < 0) {
		calls_bpf__destroy(skeleton);
		return r;
	}
	skeleton->bss->own_pid = getpid();
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

/* A memfd is made, is made larger, and goes. */
static void use_memfd(void)
{
	const int fd = memfd_create("segfs", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, 4096) < 0)
		_exit(1);
	close(fd);
}

/* What a child of the trial does: no more than may be done between fork(2) and execve(2). */
static void G_GNUC_NORETURN make_and_remove(int go_fd, int parent_fd)
{
	char byte;

	close(parent_fd);
	if (unshare(CLONE_NEWIPC) < 0 || read(go_fd, &byte, 1) != 1)
		_exit(1);
	use_both();
	use_memfd();
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

/* Has a child do all that; tried_pid: its number, meanwhile. -ECHILD: it could not. */
static int try_all(uint32_t *tried_pid)
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
		*tried_pid = pid;
		/* It goes on with this byte, or at the end of the file. */
		if (write(fds[1], "", 1) != 1)
			r = -EIO;
	}
	close(fds[1]);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	*tried_pid = 0;
	return r == 0 && status != 0 ? -ECHILD : r;
}

static int attach(CallsPrograms *of)
{
	struct bpf_program *programs[CALLS_N];
	int r = -ENOENT;

	find_programs(of->skeleton, of->has_stacks, programs);
	for (guint i = 0; i < CALLS_N; i++) {
		struct bpf_program *program =
			of->by_kprobes ? find_kprobe(of->skeleton, "k_", programs[i]) : programs[i];
		struct bpf_program *entry =
			of->by_kprobes ? find_kprobe(of->skeleton, "e_", programs[i]) : NULL;
		if (!program || !bpf_program__autoload(program))
			continue;
		of->links[i] = bpf_program__attach(program);
		r = of->links[i] ? 0 : r == 0 ? 0 : -errno;
		if (of->links[i] && entry)
			of->entries[i] = bpf_program__attach(entry);
	}
	return r;
}

static void drop(CallsPrograms *of, guint verb)
{
	g_clear_pointer(&of->entries[verb], bpf_link__destroy);
	g_clear_pointer(&of->links[verb], bpf_link__destroy);
}

/* Where one use is not told, none is. */
static void drop_incomplete(CallsPrograms *of, guint first, guint last)
{
	bool is_complete = true;

	for (guint i = first; i <= last; i++)
		is_complete = is_complete && of->links[i];
	for (guint i = first; i <= last && !is_complete; i++)
		drop(of, i);
}

static guint count_told(const CallsPrograms *of)
{
	guint n = 0;

	for (guint i = 0; i < CALLS_N; i++)
		n += of->links[i] != NULL;
	return n;
}

/* What is attached and does not run is no better than what is not there. */
static int prove(CallsPrograms *of)
{
	const int r = try_all(&of->skeleton->bss->tried_pid);

	for (guint i = 0; i < CALLS_N; i++) {
		if (!of->skeleton->bss->tried[i])
			drop(of, i);
	}
	drop_incomplete(of, CALLS_SEM_CREATE, CALLS_SEM_GONE);
	drop_incomplete(of, CALLS_MSG_CREATE, CALLS_MSG_GONE);
	return r < 0 ? r : count_told(of) > 0 ? 0 : -ENOENT;
}

static int load_most(CallsPrograms *of, bool stacks, guint ring_bytes)
{
	int r = -ENOENT;

	for (Load which = 0; r < 0 && r != -EPERM && which < N_LOADS; which++)
		r = load(which, stacks, ring_bytes, &of->skeleton);
	of->has_stacks = stacks;
	return r;
}

/*
 * Before Linux 6.9 who takes such programs away waits for RCU tasks, they for the first process of
 * a pid namespace that ends, and that for all others in it: where this process is one of those,
 * nobody would ever end. Kprobes wait for none of them.
 */
static bool would_wait_for_ever(void)
{
	return kernel_is_before(6, 9) &&
	       procfs_namespace(AT_FDCWD, "/proc/self/ns/pid") != PROC_PID_INIT_INO;
}

static int load_fentry(CallsPrograms *of, bool stacks, guint ring_bytes)
{
	int r = would_wait_for_ever() ? -EDEADLK : ask_kernel();

	if (r < 0)
		return r;
	r = stacks ? load_most(of, true, ring_bytes) : -EOPNOTSUPP;
	if (r < 0 && r != -EPERM)
		r = load_most(of, false, ring_bytes);
	if (r == 0)
		r = attach(of);
	return r == 0 ? prove(of) : r;
}

static int load_kprobes(CallsPrograms *of, guint ring_bytes)
{
	int r = load(LOAD_KPROBES, false, ring_bytes, &of->skeleton);

	of->by_kprobes = true;
	if (r == 0)
		r = attach(of);
	return r == 0 ? prove(of) : r;
}

void calls_unload(CallsPrograms *of)
{
	for (guint i = 0; i < CALLS_N; i++)
		drop(of, i);
	g_clear_pointer(&of->skeleton, calls_bpf__destroy);
}

static void swap(CallsPrograms *of, CallsPrograms *other)
{
	const CallsPrograms before = *of;

	*of = *other;
	*other = before;
}

/* What tells more; kprobes cost more. */
int calls_load(CallsPrograms *of, bool stacks, guint ring_bytes)
{
	CallsPrograms other = {};
	int r = load_fentry(of, stacks, ring_bytes);

	if ((r == 0 && count_told(of) == CALLS_N) || access(KPROBES, F_OK) < 0)
		return r;
	if (load_kprobes(&other, ring_bytes) == 0 &&
	    (r < 0 || count_told(&other) > count_told(of))) {
		swap(of, &other);
		r = 0;
	}
	calls_unload(&other);
	return r;
}

char *calls_build(void)
{
	size_t size;
	const void *bytes = calls_bpf__elf_bytes(&size);

	return g_compute_checksum_for_data(G_CHECKSUM_SHA256, bytes, size);
}

#endif
