/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/probe/calls_probe.h"

#ifdef SEGFS_HISTORY

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <calls.skel.h>

#include "lib/os/procfs.h"

struct CallsProbe {
	struct calls_bpf *skeleton;
	bool by_kprobes;
	struct bpf_link *links[CALLS_N];   /* NULL: it is not told */
	struct bpf_link *entries[CALLS_N]; /* of kprobes that go with one at the return, or NULL */
	struct ring_buffer *ring;
	bool has_stacks;
	CallsTake take; /* while the ring is read */
	gpointer data;
};

/* Where kernels that have kprobes say how to ask for them (perf_event_open(2)). */
#define KPROBES "/sys/bus/event_source/devices/kprobe/type"

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

static void choose_kprobes(struct calls_bpf *skeleton, bool stacks, bool are_wanted)
{
	static const char *const prefixes[] = {"k_", "e_"};
	struct bpf_program *programs[CALLS_N], *kprobe;

	find_programs(skeleton, stacks, programs);
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
	choose_kprobes(skeleton, stacks, which == LOAD_KPROBES);
	bpf_program__set_autoload(
		stacks ? skeleton->progs.segment_made : skeleton->progs.segment_made_stack, false);
	if (r == 0 && (which == LOAD_KNOWN || which == LOAD_OF_SEGMENTS))
		r = choose(skeleton, stacks, which);
	if (r == 0)
		r = calls_bpf__load(skeleton);
	if (r < 0)
		calls_bpf__destroy(skeleton);
	else
		*ret_skeleton = skeleton;
	return r;
}

static int attach(CallsProbe *probe)
{
	struct bpf_program *programs[CALLS_N];
	int r = -ENOENT;

	find_programs(probe->skeleton, probe->has_stacks, programs);
	for (guint i = 0; i < CALLS_N; i++) {
		struct bpf_program *program =
			probe->by_kprobes ? find_kprobe(probe->skeleton, "k_", programs[i])
					  : programs[i];
		struct bpf_program *entry =
			probe->by_kprobes ? find_kprobe(probe->skeleton, "e_", programs[i]) : NULL;
		if (!program || !bpf_program__autoload(program))
			continue;
		probe->links[i] = bpf_program__attach(program);
		r = probe->links[i] ? 0 : r == 0 ? 0 : -errno;
		if (probe->links[i] && entry)
			probe->entries[i] = bpf_program__attach(entry);
	}
	return r;
}

static void drop(CallsProbe *probe, guint verb)
{
	g_clear_pointer(&probe->entries[verb], bpf_link__destroy);
	g_clear_pointer(&probe->links[verb], bpf_link__destroy);
}

/* Where one use is not told, none is. */
static void drop_incomplete(CallsProbe *probe, guint first, guint last)
{
	bool is_complete = true;

	for (guint i = first; i <= last; i++)
		is_complete = is_complete && probe->links[i];
	for (guint i = first; i <= last && !is_complete; i++)
		drop(probe, i);
}

static guint count_told(const CallsProbe *probe)
{
	guint n = 0;

	for (guint i = 0; i < CALLS_N; i++)
		n += probe->links[i] != NULL;
	return n;
}

/* What is attached and does not run is no better than what is not there. */
static int prove(CallsProbe *probe)
{
	const int r = calls_try(&probe->skeleton->bss->tried_pid);

	for (guint i = 0; i < CALLS_N; i++) {
		if (!probe->skeleton->bss->tried[i])
			drop(probe, i);
	}
	drop_incomplete(probe, CALLS_SEM_CREATE, CALLS_SEM_GONE);
	drop_incomplete(probe, CALLS_MSG_CREATE, CALLS_MSG_GONE);
	return r < 0 ? r : count_told(probe) > 0 ? 0 : -ENOENT;
}

static int on_event(void *context, void *bytes, size_t size)
{
	CallsProbe *probe = context;
	const struct calls_event *event = bytes;

	if (size < sizeof(*event))
		return 0;
	const size_t more = calls_is_of_set(event->verb) ? sizeof(struct calls_kin)
			    : event->verb >= CALLS_FILES
				    ? sizeof(struct calls_file) + event->arguments_size
			    : event->has_stack ? ENDS_ARGUMENTS + sizeof(struct stack)
					       : event->arguments_size;
	if (size >= sizeof(*event) + more)
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

static int set_up_fentry(CallsProbe *probe, bool stacks)
{
	int r = ask_kernel();

	if (r < 0)
		return r;
	r = stacks ? load_most(probe, true) : -EOPNOTSUPP;
	if (r < 0 && r != -EPERM)
		r = load_most(probe, false);
	if (r == 0)
		r = attach(probe);
	return r == 0 ? prove(probe) : r;
}

static int set_up_kprobes(CallsProbe *probe)
{
	int r = load(LOAD_KPROBES, false, &probe->skeleton);

	probe->by_kprobes = true;
	if (r == 0)
		r = attach(probe);
	return r == 0 ? prove(probe) : r;
}

static void clear(CallsProbe *probe)
{
	g_clear_pointer(&probe->ring, ring_buffer__free);
	for (guint i = 0; i < CALLS_N; i++)
		drop(probe, i);
	g_clear_pointer(&probe->skeleton, calls_bpf__destroy);
}

static void swap(CallsProbe *probe, CallsProbe *other)
{
	const CallsProbe before = *probe;

	*probe = *other;
	*other = before;
}

/* What tells more; kprobes cost more. */
static int set_up(CallsProbe *probe, bool stacks)
{
	CallsProbe other = {};
	int r = set_up_fentry(probe, stacks);

	if ((r == 0 && count_told(probe) == CALLS_N) || access(KPROBES, F_OK) < 0)
		return r;
	if (set_up_kprobes(&other) == 0 && (r < 0 || count_told(&other) > count_told(probe))) {
		swap(probe, &other);
		r = 0;
	}
	clear(&other);
	return r;
}

static int begin(CallsProbe *probe, bool stacks)
{
	const int r = set_up(probe, stacks);

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
	clear(probe);
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

bool calls_probe_by_kprobes(const CallsProbe *probe)
{
	return probe->by_kprobes;
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

void calls_probe_watch(CallsProbe *probe, uint64_t dev, bool watched)
{
	const __u32 number = major(dev) << 20 | minor(dev); /* linux/kdev_t.h */
	const __u8 is = watched;

	bpf_map_update_elem(bpf_map__fd(probe->skeleton->maps.watched), &number, &is, BPF_ANY);
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

bool calls_probe_by_kprobes(const CallsProbe *probe)
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

void calls_probe_watch(CallsProbe *probe, uint64_t dev, bool watched)
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
