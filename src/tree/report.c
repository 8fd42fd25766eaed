/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The files segments.json and metrics at the top of the mount: a survey, for programs. */

#include <errno.h>
#include <inttypes.h>
#include <segfs/report.h>
#include <segfs/resource.h>
#include <string.h>
#include <sys/statvfs.h>

#include "lib/os/autofd.h"
#include "lib/survey/survey.h"
#include "tree/tree.h"

/* Of the mount's own namespace, which is the host's, none is told. The surveys' scan serves it. */
static GArray *containers_of(IpcNs *ns, const Moment *moment)
{
	GArray *containers;

	if (!ns->other || segfs_namespace_containers(ns->other, segfs_ipc_proc_root(ns->ipc),
						     moment_since(moment), &containers) < 0)
		return NULL;
	return containers;
}

static void take_segments(GString *text, gpointer out)
{
	text_put(out, text);
}

static int segments_json_answer(IpcNs *own, const SegfsCaller *caller, TextOut *out)
{
	g_autoptr(SegfsReport) report = NULL;
	g_autoptr(GPtrArray) namespaces = NULL;
	g_autoptr(Moment) moment = moment_join(own->tree->moments);

	/* What the caller may know is asked for each item. */
	segfs_caller_complete(caller);
	int r = namespaces_all(own, caller, &namespaces);
	for (guint i = 0; r == 0 && i < namespaces->len; i++) {
		IpcNs *ns = namespaces->pdata[i];
		g_autoptr(Surveyed) all = NULL;
		const int surveyed = moment_survey(moment, ns->view, ipcns_ref(ns), &all);
		/* Another namespace may have gone meanwhile. */
		if (surveyed < 0) {
			r = i == 0 || surveyed == -EINTR ? surveyed : 0;
			continue;
		}
		if (!report) {
			report = segfs_report_new(caller, segfs_ipc_proc_root(own->ipc), all->scan);
			segfs_report_stream(report, take_segments, out);
		}
		g_autoptr(GArray) containers = containers_of(ns, moment);
		segfs_report_add(report, ns->ipc, all->has_limits ? &all->limits : NULL, containers,
				 all->items, segfs_view_unread(ns->view));
		r = segfs_report_add_resources(report, ns->ipc, ns->tree->history,
					       ns->tree->orphan_age);
	}
	if (r < 0)
		return r;
	if (caller_may_read_history(caller))
		segfs_report_add_gone(report, own->ipc, own->tree->history);
	g_autoptr(GString) text = g_string_new(NULL);
	segfs_report_tail(report, text);
	text_put(out, text);
	segfs_report_head(report, text);
	text_put_first(out, text);
	return 0;
}

Node *segments_json_new(IpcNs *ns, const void *data)
{
	return text_new_expensive(ns, segments_json_answer);
}

#define N_KINDS (SEGFS_ANON + 1)
#define N_VERDICTS (SEGFS_UNKNOWN + 1)

typedef enum { COUNT, SIZE, RESIDENT, N_MEASURES } Measure;

/*
 * So many namespaces besides the mount's own have lines of their own, those with the most memory;
 * all others have one's together. What a monitor keeps of a host is so bounded.
 */
#define MOST_NAMESPACES 100
#define MOST_CONTAINERS 32 /* of one namespace, that are named */

/* The numbers of one IPC namespace. */
typedef struct {
	char name[24];      /* its number, or "others" */
	guint n_namespaces; /* that there are; of the mount's own, else 0 */
	uint64_t sums[N_KINDS][N_VERDICTS][2][N_MEASURES]; /* the third: has it lost its name? */
	uint64_t huge; /* of the resident bytes those in huge pages */
	guint unexamined;
	SegfsLimits limits;
	struct statvfs posix;
	SegfsResourceLimits resources;
	bool has_limits, has_posix, has_resources;
	GArray *containers; /* SegfsContainer; NULL: none */
} Numbers;

static void numbers_clear(gpointer numbers)
{
	g_clear_pointer(&((Numbers *)numbers)->containers, g_array_unref);
}

/* counted: a set of SegfsId, the memory that an earlier namespace has counted. */
static int numbers_get(IpcNs *ns, Moment *moment, GHashTable *counted, Numbers *ret_numbers)
{
	g_autoptr(Surveyed) all = NULL;
	Numbers numbers = {};

	g_snprintf(numbers.name, sizeof(numbers.name), "%" PRIu64, segfs_ipc_inum(ns->ipc));
	int r = moment_survey(moment, ns->view, ipcns_ref(ns), &all);
	if (r < 0)
		return r;
	numbers.unexamined = segfs_scan_unexamined(all->scan);
	for (guint i = 0; i < all->items->len; i++) {
		const SegfsItem *item = all->items->pdata[i];
		/* A segment is of one namespace alone. */
		if (item->id.kind != SEGFS_SYSV &&
		    !g_hash_table_add(counted, g_memdup2(&item->id, sizeof(item->id))))
			continue;
		uint64_t *sum = numbers.sums[item->id.kind][item->verdict][item->unlinked];
		sum[COUNT]++;
		sum[SIZE] += item->size;
		if (!item->has_resident)
			continue;
		sum[RESIDENT] += item->resident;
		numbers.huge += item->pages == SEGFS_PAGES_HUGE ? item->resident : 0;
	}
	numbers.has_limits = all->has_limits;
	numbers.limits = all->limits;
	numbers.has_resources = segfs_resource_limits(ns->ipc, &numbers.resources) == 0;
	/* A tmpfs without a limit has 0 blocks. */
	const SegfsPosix *posix = segfs_view_posix(ns->view, 0);
	autofd fd = -1;
	numbers.has_posix = posix && segfs_posix_open(posix, &fd) == 0 &&
			    fstatvfs(fd, &numbers.posix) == 0 && numbers.posix.f_blocks > 0;
	numbers.containers = containers_of(ns, moment);
	*ret_numbers = numbers;
	return 0;
}

static uint64_t numbers_sum(const Numbers *numbers, Measure measure)
{
	uint64_t sum = 0;

	for (SegfsKind kind = 0; kind < N_KINDS; kind++)
		for (SegfsVerdict verdict = 0; verdict < N_VERDICTS; verdict++)
			sum += numbers->sums[kind][verdict][false][measure] +
			       numbers->sums[kind][verdict][true][measure];
	return sum;
}

/* The mount's own first, then those with the most memory. */
static int numbers_compare(gconstpointer a, gconstpointer b)
{
	const Numbers *x = a, *y = b;

	if (!x->n_namespaces != !y->n_namespaces)
		return !x->n_namespaces - !y->n_namespaces;
	for (int measure = RESIDENT; measure >= COUNT; measure--) {
		const uint64_t of_x = numbers_sum(x, measure), of_y = numbers_sum(y, measure);
		if (of_x != of_y)
			return of_x < of_y ? 1 : -1;
	}
	return strcmp(x->name, y->name);
}

/* Puts those that are too many into one, without limits, which do not add up. */
static void numbers_fold(GArray *all)
{
	const guint kept = MOST_NAMESPACES + 1;

	if (all->len == 0)
		return;
	g_array_index(all, Numbers, 0).n_namespaces = all->len;
	if (all->len <= kept)
		return;
	g_array_sort(all, numbers_compare);
	Numbers *others = &g_array_index(all, Numbers, kept);
	for (guint i = kept + 1; i < all->len; i++) {
		const Numbers *one = &g_array_index(all, Numbers, i);
		const uint64_t *from = &one->sums[0][0][0][0];
		uint64_t *to = &others->sums[0][0][0][0];
		for (guint j = 0; j < sizeof(one->sums) / sizeof(*from); j++)
			to[j] += from[j];
		others->huge += one->huge;
	}
	g_strlcpy(others->name, "others", sizeof(others->name));
	others->has_limits = others->has_posix = others->has_resources = false;
	numbers_clear(others);
	g_array_set_size(all, kept + 1);
}

/* unit: what the name ends in where that is a unit of OpenMetrics, or NULL. */
static void write_family(GString *text, const char *name, const char *unit, const char *help)
{
	g_string_append_printf(text, "# TYPE %s gauge\n", name);
	if (unit)
		g_string_append_printf(text, "# UNIT %s %s\n", name, unit);
	g_string_append_printf(text, "# HELP %s %s\n", name, help);
}

static bool can_be_linked(SegfsKind kind)
{
	return kind == SEGFS_SYSV || kind == SEGFS_POSIX;
}

/* Zeroes are written, too: to a monitor a sum that vanishes looks like one that is not known. */
static void write_sums(GString *text, const char *name, Measure measure, const Numbers *numbers)
{
	for (SegfsKind kind = 0; kind < N_KINDS; kind++)
		for (SegfsVerdict verdict = 0; verdict < N_VERDICTS; verdict++)
			for (int unlinked = !can_be_linked(kind); unlinked <= 1; unlinked++)
				g_string_append_printf(
					text,
					"%s{namespace=\"%s"
					"\",kind=\"%s\",verdict=\"%s\",unlinked=\"%s\"} %" PRIu64
					"\n",
					name, numbers->name, segfs_kind_name(kind),
					segfs_verdict_name(verdict), unlinked ? "true" : "false",
					numbers->sums[kind][verdict][unlinked][measure]);
}

static const struct {
	const char *name, *unit, *help;
} sums[N_MEASURES] = {
	[COUNT] = {"segfs_segments", NULL, "Pieces of shared memory, by what they are."},
	[SIZE] = {"segfs_size_bytes", "bytes", "How large they are."},
	[RESIDENT] = {"segfs_resident_bytes", "bytes", "How much of them is in memory."},
};

#define NUMBER(name, field)                                                                        \
	static double name##_of(const Numbers *numbers)                                            \
	{                                                                                          \
		return numbers->field;                                                             \
	}

NUMBER(namespaces, n_namespaces)
NUMBER(unexamined, unexamined)
NUMBER(huge, huge)
NUMBER(shmmax, limits.shmmax)
NUMBER(shmmni, limits.shmmni)
NUMBER(segments, limits.segments_used)
NUMBER(posix_files_limit, posix.f_files)
NUMBER(semmni, resources.semmni)
NUMBER(sets, resources.sets)
NUMBER(semmns, resources.semmns)
NUMBER(sems, resources.sems)
NUMBER(msgmni, resources.msgmni)
NUMBER(queues, resources.queues)
NUMBER(messages, resources.messages)
NUMBER(message_bytes, resources.bytes)

static double shmall_of(const Numbers *numbers)
{
	return (double)numbers->limits.shmall * numbers->limits.page_size;
}

static double allocated_of(const Numbers *numbers)
{
	return (double)numbers->limits.pages_used * numbers->limits.page_size;
}

static double posix_limit_of(const Numbers *numbers)
{
	return (double)numbers->posix.f_blocks * numbers->posix.f_frsize;
}

static double posix_used_of(const Numbers *numbers)
{
	return (double)(numbers->posix.f_blocks - numbers->posix.f_bfree) * numbers->posix.f_frsize;
}

static double posix_files_of(const Numbers *numbers)
{
	return numbers->posix.f_files - numbers->posix.f_ffree;
}

static const struct {
	const char *name, *unit, *help;
	double (*value)(const Numbers *numbers);
	enum { ALWAYS, OF_OWN, OF_LIMITS, OF_POSIX, OF_RESOURCES } needs;
} values[] = {
	{"segfs_namespaces", NULL, "IPC namespaces there are, with the mount's own.", namespaces_of,
	 OF_OWN},
	{"segfs_unexamined_processes", NULL,
	 "Processes that could not be examined; what they hold is not known.", unexamined_of,
	 ALWAYS},
	{"segfs_resident_huge_bytes", "bytes",
	 "How much of the resident memory is in huge pages, part of Hugetlb and not of Shmem.",
	 huge_of, ALWAYS},
	{"segfs_shmmax_bytes", "bytes", "Limit of one SysV segment's size.", shmmax_of, OF_LIMITS},
	{"segfs_shmmni_segments", NULL, "Limit of the number of SysV segments.", shmmni_of,
	 OF_LIMITS},
	{"segfs_sysv_segments", NULL, "SysV segments there are, held against shmmni.", segments_of,
	 OF_LIMITS},
	{"segfs_shmall_bytes", "bytes", "Limit of all SysV segments together.", shmall_of,
	 OF_LIMITS},
	{"segfs_sysv_bytes", "bytes", "Size of all SysV segments, held against shmall.",
	 allocated_of, OF_LIMITS},
	{"segfs_posix_limit_bytes", "bytes", "Limit of all POSIX objects together.", posix_limit_of,
	 OF_POSIX},
	{"segfs_posix_used_bytes", "bytes", "Memory that they take, also those without a name.",
	 posix_used_of, OF_POSIX},
	{"segfs_posix_limit_inodes", NULL, "Limit of the number of POSIX objects.",
	 posix_files_limit_of, OF_POSIX},
	{"segfs_posix_used_inodes", NULL,
	 "POSIX objects there are, directories and links included.", posix_files_of, OF_POSIX},
	{"segfs_semmni_sets", NULL, "Limit of the number of semaphore sets.", semmni_of,
	 OF_RESOURCES},
	{"segfs_semaphore_sets", NULL, "Semaphore sets there are, held against semmni.", sets_of,
	 OF_RESOURCES},
	{"segfs_semmns_semaphores", NULL, "Limit of the semaphores in all sets.", semmns_of,
	 OF_RESOURCES},
	{"segfs_semaphores", NULL, "Semaphores in all sets, held against semmns.", sems_of,
	 OF_RESOURCES},
	{"segfs_msgmni_queues", NULL, "Limit of the number of message queues.", msgmni_of,
	 OF_RESOURCES},
	{"segfs_message_queues", NULL, "Message queues there are, held against msgmni.", queues_of,
	 OF_RESOURCES},
	{"segfs_messages", NULL, "Messages that wait in all queues.", messages_of, OF_RESOURCES},
	{"segfs_message_bytes", "bytes", "Their size.", message_bytes_of, OF_RESOURCES},
};

static void write_label(GString *text, const char *label, const char *value)
{
	g_autoptr(GString) escaped = g_string_new(value ? value : "");

	g_string_replace(escaped, "\\", "\\\\", 0);
	g_string_replace(escaped, "\"", "\\\"", 0);
	g_string_append_printf(text, ",%s=\"%s\"", label, escaped->str);
}

/* To be joined with the others by the namespace, which can have several. */
static void write_containers(GString *text, const Numbers *all, guint n)
{
	const char *name = "segfs_namespace_container";
	guint n_containers = 0;

	for (guint i = 0; i < n; i++)
		n_containers += all[i].containers ? all[i].containers->len : 0;
	if (n_containers == 0)
		return;
	write_family(text, name, NULL, "1 for each container of a namespace.");
	for (guint i = 0; i < n; i++) {
		const guint found = all[i].containers ? all[i].containers->len : 0;
		for (guint j = 0; j < MIN(found, MOST_CONTAINERS); j++) {
			const SegfsContainer *container =
				&g_array_index(all[i].containers, SegfsContainer, j);
			g_string_append_printf(text, "%s{namespace=\"%s\"", name, all[i].name);
			write_label(text, "runtime", container->runtime);
			write_label(text, "container",
				    container->name ? container->name : container->id);
			write_label(text, "id", container->id);
			write_label(text, "pod", container->pod);
			g_string_append(text, "} 1\n");
		}
	}
}

/* Of the daemon, whatever namespace it was in. */
static void write_events(GString *text, SegfsHistory *history)
{
	SegfsHistoryCounts counts;

	if (!history)
		return;
	segfs_history_count(history, &counts);
	g_string_append_printf(text,
			       "# TYPE segfs_events counter\n"
			       "# HELP segfs_events What has happened, lines of the file events.\n"
			       "segfs_events_total %" PRIu64 "\n"
			       "# TYPE segfs_events_lost counter\n"
			       "# HELP segfs_events_lost Events for which there was no room, at "
			       "least.\n"
			       "segfs_events_lost_total %" PRIu64 "\n",
			       counts.seen, counts.lost);
}

static void write_metrics(GString *text, SegfsHistory *history, const Numbers *all, guint n)
{
	for (Measure measure = 0; measure < N_MEASURES; measure++) {
		write_family(text, sums[measure].name, sums[measure].unit, sums[measure].help);
		for (guint i = 0; i < n; i++)
			write_sums(text, sums[measure].name, measure, &all[i]);
	}
	for (guint v = 0; v < G_N_ELEMENTS(values); v++) {
		write_family(text, values[v].name, values[v].unit, values[v].help);
		for (guint i = 0; i < n; i++) {
			char number[G_ASCII_DTOSTR_BUF_SIZE];
			if ((values[v].needs == OF_OWN && all[i].n_namespaces == 0) ||
			    (values[v].needs == OF_LIMITS && !all[i].has_limits) ||
			    (values[v].needs == OF_POSIX && !all[i].has_posix) ||
			    (values[v].needs == OF_RESOURCES && !all[i].has_resources))
				continue;
			g_ascii_dtostr(number, sizeof(number), values[v].value(&all[i]));
			g_string_append_printf(text, "%s{namespace=\"%s\"} %s\n", values[v].name,
					       all[i].name, number);
		}
	}
	write_containers(text, all, n);
	write_events(text, history);
	g_string_append(text, "# EOF\n");
}

static int metrics_answer(IpcNs *own, const SegfsCaller *caller, TextOut *out)
{
	g_autoptr(GString) text = g_string_new(NULL);
	g_autoptr(GHashTable) counted =
		g_hash_table_new_full(segfs_id_hash, segfs_id_equal, g_free, NULL);
	g_autoptr(GArray) all = g_array_new(FALSE, FALSE, sizeof(Numbers));
	g_autoptr(GPtrArray) namespaces = NULL;
	g_autoptr(Moment) moment = moment_join(own->tree->moments);

	g_array_set_clear_func(all, numbers_clear);
	int r = namespaces_all(own, caller, &namespaces);
	for (guint i = 0; r == 0 && i < namespaces->len; i++) {
		Numbers numbers;
		const int got = numbers_get(namespaces->pdata[i], moment, counted, &numbers);
		if (got == 0)
			g_array_append_val(all, numbers);
		else if (i == 0 || got == -EINTR)
			r = got;
	}
	numbers_fold(all);
	if (r == 0)
		write_metrics(text, own->tree->history, (const Numbers *)all->data, all->len);
	text_put(out, text);
	return r;
}

Node *metrics_new(IpcNs *ns, const void *data)
{
	return text_new_expensive(ns, metrics_answer);
}
