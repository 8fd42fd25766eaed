/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/probe/calls_probe.h"

#ifdef SEGFS_HISTORY

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/os/autofd.h"
#include "lib/os/procfs.h"
#include "lib/pin/pin.h"
#include "lib/probe/calls_load.h"
#include "lib/probe/probe.h"

struct CallsProbe {
	CallsPrograms programs; /* none: those of a daemon that was killed run on */
	bool by_kprobes;
	bool has_stacks;
	bool was_kept; /* by such a one */
	/* What follows was made with them, or by a daemon before this one. */
	struct calls_bpf__bss *bss;
	int ring_fd, watched_fd, bss_fd;
	bool tells[CALLS_N];
	int program_fds[2 * CALLS_N];
	guint n_programs;
	Pins *pins; /* NULL: all of it ends with this process */
	struct ring_buffer *ring;
	CallsTake take; /* while the ring is read */
	gpointer data;
};

static guint ring_bytes; /* 0: as calls.bpf.c has it */

void calls_probe_limit(guint bytes)
{
	ring_bytes = bytes;
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

/* What a link is to. Before Linux 5.15 those of kprobes are none that the kernel knows. */
static void add_program(CallsProbe *probe, int link_fd)
{
	struct bpf_link_info info = {};
	__u32 size = sizeof(info);

	if (link_fd < 0 || bpf_obj_get_info_by_fd(link_fd, &info, &size) < 0)
		return;
	const int fd = bpf_prog_get_fd_by_id(info.prog_id);
	if (fd >= 0)
		probe->program_fds[probe->n_programs++] = fd;
}

static void add_program_of(CallsProbe *probe, const struct bpf_link *link)
{
	if (link)
		add_program(probe, bpf_link__fd(link));
}

/* Of what was loaded. */
static void take_own(CallsProbe *probe)
{
	probe->by_kprobes = probe->programs.by_kprobes;
	probe->has_stacks = probe->programs.has_stacks;
	probe->bss = probe->programs.skeleton->bss;
	probe->ring_fd = bpf_map__fd(probe->programs.skeleton->maps.ring);
	probe->watched_fd = bpf_map__fd(probe->programs.skeleton->maps.watched);
	probe->bss_fd = bpf_map__fd(probe->programs.skeleton->maps.bss);
	for (guint i = 0; i < CALLS_N; i++) {
		probe->tells[i] = probe->programs.links[i] != NULL;
		add_program_of(probe, probe->programs.links[i]);
		add_program_of(probe, probe->programs.entries[i]);
	}
}

static bool is_map(int fd, guint type, guint value_size)
{
	struct bpf_map_info info = {};
	__u32 size = sizeof(info);

	/* That of variables has no padding behind the last. */
	return fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &size) == 0 && info.type == type &&
	       (info.value_size == value_size || (info.value_size + 7) / 8 * 8 == value_size);
}

typedef char PinName[sizeof("entry") + 10];

/* Of what was taken over. */
static void give_up(CallsProbe *probe)
{
	int *const fds[] = {&probe->ring_fd, &probe->watched_fd, &probe->bss_fd};

	if (probe->bss)
		munmap(probe->bss, sizeof(*probe->bss));
	probe->bss = NULL;
	for (guint i = 0; i < G_N_ELEMENTS(fds); i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
}

/* What runs, whether a daemon reads it or not, of one that was killed. False: there is none. */
static bool take_over(CallsProbe *probe)
{
	PinName name;

	probe->ring_fd = pins_get(probe->pins, "ring");
	probe->watched_fd = pins_get(probe->pins, "watched");
	probe->bss_fd = pins_get(probe->pins, "bss");
	void *bss = MAP_FAILED;
	if (is_map(probe->ring_fd, BPF_MAP_TYPE_RINGBUF, 0) &&
	    is_map(probe->watched_fd, BPF_MAP_TYPE_LRU_HASH, sizeof(__u8)) &&
	    is_map(probe->bss_fd, BPF_MAP_TYPE_ARRAY, sizeof(*probe->bss)))
		bss = mmap(NULL, sizeof(*probe->bss), PROT_READ | PROT_WRITE, MAP_SHARED,
			   probe->bss_fd, 0);
	if (bss == MAP_FAILED) {
		give_up(probe);
		return false;
	}
	probe->bss = bss;
	probe->bss->own_pid = getpid();
	for (guint i = 0; i < CALLS_N; i++) {
		g_snprintf(name, sizeof(name), "link%u", i);
		autofd link = pins_get(probe->pins, name);
		probe->tells[i] = link >= 0;
		add_program(probe, link);
		g_snprintf(name, sizeof(name), "entry%u", i);
		autofd entry = pins_get(probe->pins, name);
		add_program(probe, entry);
		probe->by_kprobes = probe->by_kprobes || entry >= 0;
	}
	autofd stacks = pins_get(probe->pins, "stacks");
	probe->has_stacks = stacks >= 0;
	return true;
}

/* Has it outlive this process. The ring comes last: what has none is not whole. */
static int pin(CallsProbe *probe)
{
	PinName name;
	int r = pins_put(probe->pins, "bss", probe->bss_fd);

	if (r == 0)
		r = pins_put(probe->pins, "watched", probe->watched_fd);
	/* By the name alone. */
	if (r == 0 && probe->has_stacks)
		r = pins_put(probe->pins, "stacks", probe->bss_fd);
	for (guint i = 0; r == 0 && i < CALLS_N; i++) {
		if (probe->programs.entries[i]) {
			g_snprintf(name, sizeof(name), "entry%u", i);
			r = pins_put(probe->pins, name, bpf_link__fd(probe->programs.entries[i]));
		}
		if (r == 0 && probe->programs.links[i]) {
			g_snprintf(name, sizeof(name), "link%u", i);
			r = pins_put(probe->pins, name, bpf_link__fd(probe->programs.links[i]));
		}
	}
	return r == 0 ? pins_put(probe->pins, "ring", probe->ring_fd) : r;
}

static void open_pins(CallsProbe *probe, bool stacks, const char *kept)
{
	g_autofree char *programs = calls_build();
	g_autofree char *build = g_strconcat(programs, stacks ? " stacks" : "", NULL);
	/* Process numbers are those of a pid namespace. */
	g_autofree char *name = g_strdup_printf("%s %" PRIu64, kept,
						procfs_namespace(AT_FDCWD, "/proc/self/ns/pid"));
	g_autofree char *why_not = NULL;

	probe->pins = pins_open(name, build, &why_not);
	if (!probe->pins && why_not)
		g_warning("function probes end with the daemon: %s", why_not);
}

/* What cannot be kept is as it is without a bpffs. */
static int set_up_kept(CallsProbe *probe, bool stacks)
{
	if (probe->pins)
		pins_clear(probe->pins);
	int r = calls_load(&probe->programs, stacks, ring_bytes);
	if (r < 0)
		return r;
	take_own(probe);
	r = probe->pins ? pin(probe) : 0;
	if (r < 0) {
		g_warning("function probes end with the daemon: %s",
			  r == -EINVAL && probe->programs.by_kprobes
				  ? "kprobes can be kept from Linux 5.15 on"
				  : g_strerror(-r));
		pins_remove(probe->pins);
		g_clear_pointer(&probe->pins, pins_free);
	}
	return 0;
}

static int begin(CallsProbe *probe, bool stacks, const char *kept)
{
	if (kept)
		open_pins(probe, stacks, kept);
	probe->was_kept = probe->pins && take_over(probe);
	const int r = probe->was_kept ? 0 : set_up_kept(probe, stacks);
	if (r < 0)
		return r;
	probe->ring = ring_buffer__new(probe->ring_fd, on_event, probe, NULL);
	return probe->ring ? 0 : -errno;
}

CallsProbe *calls_probe_new(bool stacks, const char *kept, char **ret_why_not)
{
	g_autoptr(CallsProbe) probe = g_new0(CallsProbe, 1);

	probe->ring_fd = probe->watched_fd = probe->bss_fd = -1;
	const int r = begin(probe, stacks, kept);
	if (r == 0)
		return g_steal_pointer(&probe);
	*ret_why_not = r == -ECHILD   ? g_strdup("no function probes: they could not be tried")
		       : r == -ENOENT ? g_strdup("no function probes: this kernel runs none")
				      : g_strdup_printf("no function probes: %s", g_strerror(-r));
	return NULL;
}

void calls_probe_forget(CallsProbe *probe)
{
	if (probe->pins)
		pins_remove(probe->pins);
	g_clear_pointer(&probe->pins, pins_free);
}

void calls_probe_free(CallsProbe *probe)
{
	g_clear_pointer(&probe->ring, ring_buffer__free);
	if (!probe->programs.skeleton)
		give_up(probe);
	while (probe->n_programs > 0)
		close(probe->program_fds[--probe->n_programs]);
	calls_unload(&probe->programs);
	calls_probe_forget(probe);
	g_free(probe);
}

bool calls_probe_tells(const CallsProbe *probe, guint verb)
{
	return probe->tells[verb];
}

bool calls_probe_has_stacks(const CallsProbe *probe)
{
	return probe->has_stacks && probe->tells[CALLS_CREATE];
}

bool calls_probe_was_kept(const CallsProbe *probe)
{
	return probe->was_kept;
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
	const __u32 number = probe_device(dev);
	const __u8 is = watched;

	bpf_map_update_elem(probe->watched_fd, &number, &is, BPF_ANY);
}

uint64_t calls_probe_lost(const CallsProbe *probe)
{
	return probe->bss->lost + calls_probe_missed(probe);
}

uint64_t calls_probe_missed(const CallsProbe *probe)
{
	uint64_t n = 0;

	for (guint i = 0; i < probe->n_programs; i++)
		n += probe_misses(probe->program_fds[i]);
	return n;
}

uint64_t calls_probe_take_lost(CallsProbe *probe)
{
	const uint64_t lost = calls_probe_lost(probe), before = probe->bss->lost_told;

	probe->bss->lost_told = lost;
	return lost - before;
}

#else

CallsProbe *calls_probe_new(bool stacks, const char *kept, char **ret_why_not)
{
	*ret_why_not = g_strdup("no function probes: segfs was built without them (-Dhistory)");
	return NULL;
}

/* Of a probe, and there is none. */
void calls_probe_free(CallsProbe *probe)
{
}

void calls_probe_forget(CallsProbe *probe)
{
}

bool calls_probe_tells(const CallsProbe *probe, guint verb)
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

uint64_t calls_probe_take_lost(CallsProbe *probe)
{
	return 0;
}

bool calls_probe_has_stacks(const CallsProbe *probe)
{
	return false;
}

bool calls_probe_was_kept(const CallsProbe *probe)
{
	return false;
}

void calls_probe_limit(guint bytes)
{
}

uint64_t calls_probe_missed(const CallsProbe *probe)
{
	return 0;
}

#endif
