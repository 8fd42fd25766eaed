/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A survey as JSON. Each segment is built as a tree of nodes, written as one line, and
 * forgotten: the tree of all of them would take some ten times the text's size.
 */

#include <errno.h>
#include <inttypes.h>
#include <segfs/report.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <time.h>

#include "lib/history/history.h"
#include "lib/process/scan.h"
#include "lib/report/past.h"
#include "lib/report/put.h"
#include "lib/report/resource.h"

/* Of the format; doc/segments.json.md says what changes them. */
#define VERSION 1
#define REVISION 3

/* May the caller know what this process is called? */
typedef struct {
	pid_t pid;
	uid_t uid;
	uint64_t start;
	bool visible;
} Asked;

struct SegfsReport {
	const SegfsCaller *caller;
	const char *proc_root;
	SegfsScan *scan; /* what it could not examine */
	guint n_hidden;  /* segments */
	int64_t taken;
	GString *namespaces, *segments; /* elements of arrays, with commas between */
	GString *resources[SEGFS_N_RESOURCE_KINDS];
	GString *gone;         /* likewise; NULL: nothing is known, or not to be */
	SegfsWaiters *waiters; /* for them */
	bool has_segments;     /* whoever takes them piece by piece has some */
	SegfsReportSink sink;  /* NULL: nobody does */
	gpointer sink_data;
	JsonGenerator *generator;
	GHashTable *users, *groups; /* number -> name, as asking takes long */
	GHashTable *added;          /* a set of SegfsId, of what several namespaces can have */
	GHashTable *directories;    /* see segfs_item_is_visible(); of one segfs_report_add() */
	GHashTable *processes;      /* SegfsProcess -> Known; of one segfs_report_add() */
	Asked asked;                /* last, of who made a segment: mostly the next one's, too */
};

/* Answers about a process, which each segment that it holds would have to ask for again. */
typedef struct {
	bool visible;
	char *command_line, *cgroup;
	pid_t inner;
} Known;

static void known_free(gpointer pointer)
{
	Known *known = pointer;

	g_free(known->command_line);
	g_free(known->cgroup);
	g_free(known);
}

SegfsReport *segfs_report_new(const SegfsCaller *caller, const char *proc_root, SegfsScan *scan)
{
	SegfsReport *report = g_new0(SegfsReport, 1);

	report->caller = caller;
	report->proc_root = proc_root;
	report->scan = segfs_scan_ref(scan);
	report->taken = time(NULL);
	report->namespaces = g_string_new(NULL);
	report->segments = g_string_new(NULL);
	for (SegfsResourceKind kind = 0; kind < SEGFS_N_RESOURCE_KINDS; kind++)
		report->resources[kind] = g_string_new(NULL);
	report->waiters = segfs_waiters_new(proc_root);
	report->generator = json_generator_new();
	report->users = g_hash_table_new_full(NULL, NULL, NULL, g_free);
	report->groups = g_hash_table_new_full(NULL, NULL, NULL, g_free);
	report->added = g_hash_table_new_full(segfs_id_hash, segfs_id_equal, g_free, NULL);
	report->directories = segfs_directories_known_new();
	report->processes = g_hash_table_new_full(NULL, NULL, NULL, known_free);
	return report;
}

void segfs_report_free(SegfsReport *report)
{
	segfs_scan_unref(report->scan);
	g_string_free(report->namespaces, TRUE);
	g_string_free(report->segments, TRUE);
	for (SegfsResourceKind kind = 0; kind < SEGFS_N_RESOURCE_KINDS; kind++)
		g_string_free(report->resources[kind], TRUE);
	if (report->gone)
		g_string_free(report->gone, TRUE);
	segfs_waiters_free(report->waiters);
	g_object_unref(report->generator);
	g_hash_table_unref(report->added);
	g_hash_table_unref(report->directories);
	g_hash_table_unref(report->users);
	g_hash_table_unref(report->groups);
	g_hash_table_unref(report->processes);
	g_free(report);
}

/* Ends the object and appends it as an element. */
static void append(SegfsReport *report, GString *array, JsonBuilder *builder)
{
	json_builder_end_object(builder);
	g_autoptr(JsonNode) root = json_builder_get_root(builder);

	if (array->len > 0 || (array == report->segments && report->has_segments))
		g_string_append(array, ",\n");
	json_generator_set_root(report->generator, root);
	json_generator_to_gstring(report->generator, array);
}

static const Known *know(SegfsReport *report, const char *proc_root, const SegfsProcess *process)
{
	Known *known = g_hash_table_lookup(report->processes, process);

	if (known)
		return known;
	known = g_new0(Known, 1);
	known->visible = segfs_holder_is_visible(proc_root, report->caller, process);
	if (known->visible) {
		known->command_line = segfs_process_command_line(proc_root, process);
		known->inner = segfs_process_inner_pid(proc_root, process);
		known->cgroup = segfs_process_cgroup(proc_root, process);
	}
	g_hash_table_insert(report->processes, (gpointer)process, known);
	return known;
}

/* Returns how many were left out. */
static guint put_holders(SegfsReport *report, const char *proc_root, JsonBuilder *builder,
			 const GArray *holders)
{
	guint n_hidden = 0;

	json_builder_set_member_name(builder, "holders");
	json_builder_begin_array(builder);
	for (guint i = 0; i < holders->len; i++) {
		const SegfsHolder *holder = &g_array_index(holders, SegfsHolder, i);
		const Known *known = know(report, proc_root, holder->process);

		if (!known->visible) {
			n_hidden++;
			continue;
		}
		json_builder_begin_object(builder);
		put_number(builder, "pid", holder->process->pid);
		if (known->inner > 0)
			put_number(builder, "inner_pid", known->inner);
		else
			put_null(builder, "inner_pid");
		put_number(builder, "uid", holder->process->uid);
		put_owner(builder, "user", report->users, segfs_user_name, holder->process->uid);
		put_text(builder, "command", holder->process->command);
		put_text(builder, "cmdline", known->command_line);
		put_text(builder, "cgroup", known->cgroup);
		put_number(builder, "attached", holder->attached);
		put_number(builder, "mapped", holder->mapped);
		put_number(builder, "open", holder->open);
		json_builder_end_object(builder);
	}
	json_builder_end_array(builder);
	return n_hidden;
}

static bool creator_is_visible(SegfsReport *report, const char *proc_root,
			       const SegfsProcess *creator)
{
	Asked *asked = &report->asked;

	if (asked->pid == 0 || asked->pid != creator->pid || asked->uid != creator->uid ||
	    asked->start != creator->start)
		*asked = (Asked){
			.pid = creator->pid,
			.uid = creator->uid,
			.start = creator->start,
			.visible = segfs_command_is_visible(proc_root, report->caller, creator),
		};
	return asked->visible;
}

/* creator: NULL: not known, or not to the caller. */
static void put_sysv(JsonBuilder *builder, const SegfsItem *item, const char *creator)
{
	const SegfsSysv *segment = &item->sysv;
	char key[16];

	g_snprintf(key, sizeof(key), "0x%08x", (unsigned int)segment->key);
	put_number(builder, "shmid", segment->shmid);
	put_number(builder, "key", (uint32_t)segment->key);
	put_text(builder, "key_hex", key);
	put_bool(builder, "dest", segment->dest);
	put_bool(builder, "locked", segment->locked);
	put_size(builder, "nattch", segment->nattch);
	put_number(builder, "cpid", segment->cpid);
	put_number(builder, "lpid", segment->lpid);
	put_number(builder, "cuid", segment->cuid);
	put_number(builder, "cgid", segment->cgid);
	if (segment->has_resident)
		put_size(builder, "swap", segment->swap);
	else
		put_null(builder, "swap");
	put_time(builder, "atime", segment->atime);
	put_time(builder, "dtime", segment->dtime);
	put_time(builder, "ctime", segment->ctime);
	put_text(builder, "creator", creator);
	if (item->creator_unknown)
		put_null(builder, "creator_lives");
	else
		put_bool(builder, "creator_lives", item->creator_lives);
}

static void put_file(JsonBuilder *builder, const SegfsItem *item)
{
	g_autofree char *device =
		g_strdup_printf("%u:%u", major(item->id.domain), minor(item->id.domain));

	put_name(builder, "name", item->name);
	put_size(builder, "inode", item->id.number);
	put_text(builder, "device", device);
	put_time(builder, "atime", item->atime.tv_sec);
	put_time(builder, "mtime", item->mtime.tv_sec);
	put_time(builder, "ctime", item->ctime.tv_sec);
}

static void put_owners(SegfsReport *report, JsonBuilder *builder, uid_t uid, gid_t gid)
{
	put_number(builder, "uid", uid);
	put_owner(builder, "user", report->users, segfs_user_name, uid);
	put_number(builder, "gid", gid);
	put_owner(builder, "group", report->groups, segfs_group_name, gid);
}

static void add_item(SegfsReport *report, SegfsIpc *ipc, const SegfsItem *item)
{
	g_autoptr(JsonBuilder) builder = json_builder_new();
	const char *proc_root = segfs_ipc_proc_root(ipc);
	const SegfsProcess creator = segfs_item_creator(item);
	g_autofree char *path = segfs_item_path(item);
	char mode[16];

	g_snprintf(mode, sizeof(mode), "%04o", item->mode & 07777);
	json_builder_begin_object(builder);
	put_name(builder, "file", path);
	put_text(builder, "kind", segfs_kind_name(item->id.kind));
	put_size(builder, "namespace", segfs_ipc_inum(ipc));
	put_bool(builder, "unlinked", item->unlinked);
	put_size(builder, "size", item->size);
	if (item->has_resident)
		put_size(builder, "resident", item->resident);
	else
		put_null(builder, "resident");
	if (item->pages == SEGFS_PAGES_UNKNOWN)
		put_null(builder, "huge_pages");
	else
		put_bool(builder, "huge_pages", item->pages == SEGFS_PAGES_HUGE);
	put_owners(report, builder, item->uid, item->gid);
	put_text(builder, "mode", mode);
	if (item->id.kind == SEGFS_SYSV)
		put_sysv(builder, item,
			 *item->creator && creator_is_visible(report, proc_root, &creator)
				 ? item->creator
				 : NULL);
	else
		put_file(builder, item);
	const bool shown =
		item->past && segfs_past_is_visible(proc_root, report->caller, item->past);
	put_creator(builder, shown ? item->past : NULL);
	put_stack(builder, proc_root, report->caller, item->past);
	if (item->id.kind != SEGFS_SYSV)
		put_text(builder, "creator", shown ? item->past->creator.command : NULL);
	put_text(builder, "verdict", segfs_verdict_name(item->verdict));
	const guint n_hidden = put_holders(report, proc_root, builder, item->holders);
	g_autofree char *evidence = segfs_item_evidence(proc_root, report->caller, item, n_hidden);
	put_text(builder, "evidence", evidence);
	put_number(builder, "holders_hidden", n_hidden);
	put_size(builder, "attaches_not_found", item->n_not_found);
	append(report, report->segments, builder);
}

static void put_containers(JsonBuilder *builder, const GArray *containers)
{
	json_builder_set_member_name(builder, "containers");
	json_builder_begin_array(builder);
	for (guint i = 0; containers && i < containers->len; i++) {
		const SegfsContainer *container = &g_array_index(containers, SegfsContainer, i);
		json_builder_begin_object(builder);
		put_text(builder, "runtime", container->runtime);
		put_text(builder, "container", container->name);
		put_text(builder, "id", container->id);
		put_text(builder, "pod", container->pod);
		json_builder_end_object(builder);
	}
	json_builder_end_array(builder);
}

static void add_namespace(SegfsReport *report, SegfsIpc *ipc, const SegfsLimits *limits,
			  const GArray *containers, guint n_unread)
{
	g_autoptr(JsonBuilder) builder = json_builder_new();

	json_builder_begin_object(builder);
	put_size(builder, "ipc", segfs_ipc_inum(ipc));
	if (!limits) {
		put_null(builder, "limits");
	} else {
		json_builder_set_member_name(builder, "limits");
		json_builder_begin_object(builder);
		put_size(builder, "shmmax", limits->shmmax);
		put_size(builder, "shmmni", limits->shmmni);
		put_size(builder, "shmall", limits->shmall);
		put_size(builder, "page_size", limits->page_size);
		put_size(builder, "segments_used", limits->segments_used);
		put_size(builder, "pages_used", limits->pages_used);
		json_builder_end_object(builder);
	}
	put_number(builder, "folders_unread", n_unread);
	put_containers(builder, containers);
	append(report, report->namespaces, builder);
}

void segfs_report_add(SegfsReport *report, SegfsIpc *ipc, const SegfsLimits *limits,
		      const GArray *containers, const GPtrArray *items, guint n_unread)
{
	add_namespace(report, ipc, limits, containers, n_unread);
	for (guint i = 0; i < items->len; i++) {
		const SegfsItem *item = items->pdata[i];
		/* A segment is of one namespace alone. */
		if (item->id.kind != SEGFS_SYSV &&
		    !g_hash_table_add(report->added, g_memdup2(&item->id, sizeof(item->id))))
			continue;
		if (!segfs_item_is_visible(report->caller, item, report->directories)) {
			report->n_hidden++;
			continue;
		}
		add_item(report, ipc, item);
		report->has_segments = true;
		if (report->sink)
			report->sink(report->segments, report->sink_data);
	}
	/* They are the items', which may go now. */
	g_hash_table_remove_all(report->processes);
	g_hash_table_remove_all(report->directories);
}

static void add_resource(SegfsReport *report, SegfsIpc *ipc, const SegfsResource *resource,
			 const SegfsResourceUse *use)
{
	g_autoptr(JsonBuilder) builder = json_builder_new();

	json_builder_begin_object(builder);
	put_resource(builder, ipc, report->caller, resource, use);
	put_owners(report, builder, resource->uid, resource->gid);
	append(report, report->resources[resource->kind], builder);
}

int segfs_report_add_resources(SegfsReport *report, SegfsIpc *ipc, SegfsHistory *history,
			       int64_t orphan_age)
{
	int r = 0;

	for (SegfsResourceKind kind = 0; kind < SEGFS_N_RESOURCE_KINDS && r != -EINTR; kind++) {
		g_autoptr(GArray) resources = NULL;
		g_autoptr(GArray) uses = NULL;
		r = segfs_resource_list(ipc, kind, &resources);
		if (r == 0)
			r = segfs_resource_uses(ipc, report->caller, resources, report->waiters,
						&uses);
		if (r == 0)
			segfs_history_judge(history, ipc, resources, orphan_age, uses);
		for (guint i = 0; r == 0 && i < resources->len; i++)
			add_resource(report, ipc, &g_array_index(resources, SegfsResource, i),
				     &g_array_index(uses, SegfsResourceUse, i));
	}
	/* A namespace that has gone meanwhile has none. */
	return r == -EINTR ? r : 0;
}

void segfs_report_add_gone(SegfsReport *report, SegfsIpc *ipc, SegfsHistory *history)
{
	if (!history || report->gone)
		return;
	history_look(history, ipc);
	g_autoptr(GPtrArray) all = history_gone(history);
	report->gone = g_string_new(NULL);
	for (guint i = 0; i < all->len; i++) {
		g_autoptr(JsonBuilder) builder = json_builder_new();
		json_builder_begin_object(builder);
		put_gone(builder, segfs_ipc_proc_root(ipc), report->caller, segfs_ipc_inum(ipc),
			 report->users, all->pdata[i]);
		append(report, report->gone, builder);
	}
}

void segfs_report_stream(SegfsReport *report, SegfsReportSink sink, gpointer data)
{
	report->sink = sink;
	report->sink_data = data;
}

/* Elements of an array, a line each. */
static void put_unexamined(const SegfsReport *report, GString *text)
{
	for (guint i = 0; i < segfs_scan_unexamined(report->scan); i++) {
		const SegfsUnexamined *one = segfs_scan_unexamined_of(report->scan, i);
		const SegfsProcess *process = &one->process;
		g_autoptr(JsonBuilder) builder = json_builder_new();
		json_builder_begin_object(builder);
		/* Of those that /proc hides nothing is known. */
		if (process->pid > 0)
			put_number(builder, "pid", process->pid);
		else
			put_null(builder, "pid");
		put_text(builder, "command",
			 process->pid > 0 && process->command[0] &&
					 segfs_command_is_visible(report->proc_root, report->caller,
								  process)
				 ? process->command
				 : NULL);
		put_text(builder, "why", one->error ? g_strerror(-one->error) : NULL);
		json_builder_end_object(builder);
		g_autoptr(JsonNode) root = json_builder_get_root(builder);
		g_string_append(text, i > 0 ? ",\n" : "\n");
		json_generator_set_root(report->generator, root);
		json_generator_to_gstring(report->generator, text);
	}
}

void segfs_report_head(const SegfsReport *report, GString *text)
{
	g_string_append_printf(text,
			       "{\"version\":%d,\"revision\":%d,\"taken\":%" PRId64
			       ",\"unexamined\":%u,\"segments_hidden\":%u,\n"
			       "\"unexamined_processes\":[",
			       VERSION, REVISION, report->taken,
			       segfs_scan_unexamined(report->scan), report->n_hidden);
	put_unexamined(report, text);
	g_string_append_printf(text, "],\n\"namespaces\":[\n%s\n],\n\"segments\":[\n",
			       report->namespaces->str);
}

void segfs_report_tail(const SegfsReport *report, GString *text)
{
	g_string_append_len(text, report->segments->str, report->segments->len);
	if (report->gone)
		g_string_append_printf(text, "\n],\n\"gone\":[\n%s\n]", report->gone->str);
	else
		g_string_append(text, "\n],\n\"gone\":null");
	g_string_append_printf(text, ",\n\"semaphores\":[\n%s\n],\n\"queues\":[\n%s\n]}\n",
			       report->resources[SEGFS_SEM]->str,
			       report->resources[SEGFS_MSG]->str);
}

void segfs_report_write(const SegfsReport *report, GString *text)
{
	segfs_report_head(report, text);
	segfs_report_tail(report, text);
}
