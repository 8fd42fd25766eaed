/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What a container's user calls it. The cgroup has a number; the name is in what the runtime leaves
 * on the host: in the arguments of the process that watches over a container (podman, cri-o,
 * systemd-nspawn), or in a file of the runtime's state. Those files are root's, and so large at
 * most as they ever are; they are read by a call that can be given up, as they can be anywhere.
 */

#include <errno.h>
#include <fcntl.h>
#include <json-glib/json-glib.h>
#include <segfs/container.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/os/autofd.h"
#include "lib/os/deadline.h"
#include "lib/os/escape.h"
#include "lib/process/process.h"

#define FILE_MOST (1024 * 1024)
#define DATABASE_MOST (8 * 1024 * 1024)

typedef struct {
	char *path, *text;
	off_t most;
	gsize size;
} Reading;

static void reading_run(gpointer data)
{
	Reading *reading = data;
	autofd fd = open(reading->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > reading->most)
		return;
	g_autofree char *text = g_malloc0(st.st_size + 1);
	if (pread(fd, text, st.st_size, 0) != st.st_size)
		return;
	reading->size = st.st_size;
	reading->text = g_steal_pointer(&text);
}

static void reading_release(gpointer data)
{
	Reading *reading = data;

	g_free(reading->path);
	g_free(reading->text);
	g_free(reading);
}

/*
 * A file below host with a NUL behind it, the caller's to free; NULL: there is none, or it is not
 * ours to read.
 */
static char *read_whole(const char *host, const char *path, off_t most, gsize *ret_size)
{
	enum { PATIENCE_MS = 1000 };
	Reading *reading = g_new0(Reading, 1);
	char *text = NULL;

	reading->path = g_strconcat(host, path, NULL);
	reading->most = most;
	DeadlineCall *call = deadline_call(reading_run, reading, reading_release);
	if (deadline_wait(call, PATIENCE_MS)) {
		text = g_steal_pointer(&reading->text);
		*ret_size = reading->size;
	}
	deadline_leave(call);
	return text;
}

G_GNUC_PRINTF(2, 3)
static char *read_file(const char *host, const char *format, ...)
{
	va_list arguments;
	gsize size;

	va_start(arguments, format);
	g_autofree char *path = g_strdup_vprintf(format, arguments);
	va_end(arguments);
	return read_whole(host, path, FILE_MOST, &size);
}

static void set_name(SegfsContainer *container, const char *name)
{
	g_free(container->name);
	container->name = escape_text(name, -1);
}

static void set_pod(SegfsContainer *container, const char *namespace, const char *name)
{
	g_autofree char *pod = g_strdup_printf("%s/%s", namespace, name);

	g_free(container->pod);
	container->pod_kind = "kubernetes pod";
	container->pod = escape_text(pod, -1);
}

/* The string that object has by one of several names; NULL: none. */
static const char *text_of(JsonObject *object, const char *const *names)
{
	for (; *names; names++) {
		JsonNode *node = json_object_get_member(object, *names);
		if (node && JSON_NODE_HOLDS_VALUE(node) &&
		    json_node_get_value_type(node) == G_TYPE_STRING)
			return json_node_get_string(node);
	}
	return NULL;
}

static JsonObject *object_of(JsonObject *object, const char *name)
{
	JsonNode *node = object ? json_object_get_member(object, name) : NULL;

	return node && JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
}

/* Annotations of an OCI bundle, or the labels that docker keeps of them. */
static void by_annotations(JsonObject *annotations, SegfsContainer *container)
{
	static const char *const names[] = {"io.kubernetes.cri.container-name",
					    "io.kubernetes.container.name", "nerdctl/name", NULL};
	static const char *const pods[] = {"io.kubernetes.cri.sandbox-name",
					   "io.kubernetes.pod.name", NULL};
	static const char *const namespaces[] = {"io.kubernetes.cri.sandbox-namespace",
						 "io.kubernetes.pod.namespace", NULL};

	if (!annotations)
		return;
	const char *name = text_of(annotations, names), *pod = text_of(annotations, pods);
	const char *namespace = text_of(annotations, namespaces);
	if (name)
		set_name(container, name);
	if (pod && namespace)
		set_pod(container, namespace, pod);
}

/* What read_file() has found, as JSON. NULL: nothing, or it is no object. */
static JsonParser *parse(const char *text, JsonObject **ret_object)
{
	g_autoptr(JsonParser) parser = json_parser_new();

	if (!text || !json_parser_load_from_data(parser, text, -1, NULL))
		return NULL;
	JsonNode *root = json_parser_get_root(parser);
	if (!root || !JSON_NODE_HOLDS_OBJECT(root))
		return NULL;
	*ret_object = json_node_get_object(root);
	return g_steal_pointer(&parser);
}

static bool by_bundle(const char *text, SegfsContainer *container)
{
	JsonObject *object = NULL;
	g_autoptr(JsonParser) parser = parse(text, &object);

	if (parser)
		by_annotations(object_of(object, "annotations"), container);
	return parser;
}

static bool by_docker(const char *host, SegfsContainer *container)
{
	static const char *const names[] = {"Name", NULL};
	g_autofree char *text =
		read_file(host, "/var/lib/docker/containers/%s/config.v2.json", container->id);
	JsonObject *object = NULL;
	g_autoptr(JsonParser) parser = parse(text, &object);
	const char *name = parser ? text_of(object, names) : NULL;

	if (!parser)
		return false;
	if (name)
		set_name(container, name + (*name == '/'));
	by_annotations(object_of(object_of(object, "Config"), "Labels"), container);
	return true;
}

/* "k8s_CONTAINER_POD_NAMESPACE_UID_ATTEMPT", as the kubelet has names made; none of them has "_".
 */
static void by_name(const char *name, SegfsContainer *container)
{
	g_auto(GStrv) parts = g_strsplit(name, "_", -1);

	if (g_strv_length(parts) != 6 || strcmp(parts[0], "k8s") != 0) {
		set_name(container, name);
		return;
	}
	set_name(container, parts[1]);
	set_pod(container, parts[3], parts[2]);
}

/* The value of an option among arguments that end in NULs: "-n VALUE", "--name VALUE" or "=VALUE".
 */
static const char *option_of(const char *arguments, gsize size, const char *brief, const char *full)
{
	const char *end = arguments + size;

	for (const char *at = arguments; at < end; at += strlen(at) + 1) {
		const char *next = at + strlen(at) + 1;
		const size_t length = strlen(full);
		if (!strcmp(at, brief) || !strcmp(at, full))
			return next < end ? next : NULL;
		if (!strncmp(at, full, length) && at[length] == '=')
			return at + length + 1;
	}
	return NULL;
}

static bool parent_of(const char *proc_root, const SegfsProcess *process, SegfsProcess *ret_parent)
{
	gsize size;
	g_autofree char *status = process_ask(proc_root, process, "status", &size);
	ProcfsStat stat;
	uint64_t pid;

	if (!status || !procfs_number(status, "PPid", &pid) || pid < 1 ||
	    !procfs_stat(proc_root, (pid_t)pid, &stat))
		return false;
	*ret_parent = (SegfsProcess){.pid = (pid_t)pid, .start = stat.start};
	g_strlcpy(ret_parent->command, stat.command, sizeof(ret_parent->command));
	return true;
}

/*
 * podman has the name of a pod in its database alone, of BoltDB or SQLite. Both keep the pod's
 * configuration as JSON in one piece, which begins with its id, that no other thing has; within
 * another string of theirs the quotes are escaped.
 */
static void by_podman(const char *host, const char *bundle, SegfsContainer *container)
{
	static const char *const databases[] = {"libpod/bolt_state.db", "db.sql-wal", "db.sql"};
	g_autofree char *sought = g_strdup_printf("{\"id\":\"%s\",\"name\":\"", container->pod);
	/* STORAGE/overlay-containers/ID/userdata */
	g_auto(GStrv) around = g_strsplit(bundle, "-containers/", 2);
	char *last = strrchr(around[0], '/');

	if (!last)
		return;
	*last = '\0';
	for (guint i = 0; i < G_N_ELEMENTS(databases); i++) {
		g_autofree char *path = g_build_filename(around[0], databases[i], NULL);
		gsize size;
		g_autofree char *text = read_whole(host, path, DATABASE_MOST, &size);
		const char *found = text ? memmem(text, size, sought, strlen(sought)) : NULL;
		const char *name = found ? found + strlen(sought) : NULL;
		/* podman takes these in a name, and no others. */
		const size_t length =
			name ? strspn(name, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "_.-") : 0;
		if (length == 0 || name[length] != '"')
			continue;
		g_free(container->pod);
		container->pod = g_strndup(name, length);
		return;
	}
}

/* Its arguments are the monitor's: "-c ID -n NAME -b BUNDLE". False: it is another container's. */
static bool by_conmon(const char *host, const char *line, gsize size, SegfsContainer *container)
{
	const char *id = option_of(line, size, "-c", "--cid");
	const char *name = option_of(line, size, "-n", "--name");
	const char *bundle = option_of(line, size, "-b", "--bundle");

	if (!id || strcmp(id, container->id) != 0)
		return false;
	if (name)
		by_name(name, container);
	g_autofree char *text = bundle ? read_file(host, "%s/config.json", bundle) : NULL;
	by_bundle(text, container);
	if (bundle && container->pod && !strcmp(container->pod_kind, "podman pod"))
		by_podman(host, bundle, container);
	return name;
}

/* "[lxc monitor] /var/lib/lxc NAME": the cgroup has a number besides where its name was taken. */
static bool by_lxc(const char *line, SegfsContainer *container)
{
	const char *name = strrchr(line, ' ');

	if (!name || !name[1])
		return false;
	set_name(container, name + 1);
	return true;
}

/* What a process in the container calls itself is no monitor's word. */
static bool is_inside(const char *proc_root, const SegfsProcess *process,
		      const SegfsContainer *container)
{
	g_autofree char *cgroup = segfs_process_cgroup(proc_root, process);
	g_auto(SegfsContainer) own = {};

	return cgroup && segfs_container_of_cgroup(cgroup, &own) && !strcmp(own.id, container->id);
}

/* The process that started the container's first one, and waits for it. */
static bool by_monitor(const char *proc_root, const char *host, const SegfsProcess *process,
		       SegfsContainer *container)
{
	enum { GENERATIONS = 32 };
	SegfsProcess monitor = *process, child;
	gsize size;

	for (guint i = 0; i < GENERATIONS; i++) {
		child = monitor;
		if (!parent_of(proc_root, &child, &monitor))
			return false;
		if (is_inside(proc_root, &monitor, container))
			continue;
		const bool is_conmon = !strcmp(monitor.command, "conmon");
		const bool is_nspawn = !strcmp(monitor.command, "systemd-nspawn");
		if (!is_conmon && !is_nspawn && strcmp(container->runtime, "lxc") != 0)
			continue;
		g_autofree char *line = process_ask(proc_root, &monitor, "cmdline", &size);
		if (!line)
			return false;
		if (is_conmon)
			return by_conmon(host, line, size, container);
		if (g_str_has_prefix(line, "[lxc monitor] "))
			return by_lxc(line, container);
		const char *name = is_nspawn ? option_of(line, size, "-M", "--machine") : NULL;
		if (name)
			by_name(name, container);
		if (is_nspawn)
			return name;
	}
	return false;
}

static void name_it(const char *proc_root, const char *host, const SegfsProcess *process,
		    SegfsContainer *container)
{
	static const char *const bundles[] = {
		"/run/containerd/io.containerd.runtime.v2.task/k8s.io/%s/config.json",
		"/run/containerd/io.containerd.runtime.v2.task/default/%s/config.json",
		"/run/containers/storage/overlay-containers/%s/userdata/config.json",
	};
	const char *runtime = container->runtime;

	if (by_monitor(proc_root, host, process, container))
		return;
	/* "lxc", "runc" and "crun" call them as their user does. */
	if (!strcmp(runtime, "lxc") || strchr(container->id, '/') || container->id[0] == '.')
		return;
	if (by_docker(host, container))
		return;
	for (guint i = 0; i < G_N_ELEMENTS(bundles); i++) {
		g_auto(GStrv) around = g_strsplit(bundles[i], "%s", 2);
		g_autofree char *text =
			read_file(host, "%s%s%s", around[0], container->id, around[1]);
		if (by_bundle(text, container))
			return;
	}
}

/*
 * Some runtimes call the cgroup as the container is called, which says no more than any directory's
 * name: so they are asked whether they have a container of that name. runc and crun make it below
 * the cgroup in which they were started, or beside that.
 */
static bool by_state_at(const char *host, const char *above, const char *name,
			SegfsContainer *container)
{
	static const struct {
		const char *runtime, *before, *after;
	} states[] = {
		{"runc", "/run/runc/", "/state.json"},
		{"crun", "/run/crun/", "/status"},
		{"containerd", "/run/containerd/io.containerd.runtime.v2.task/", "/config.json"},
	};

	for (guint i = 0; i < G_N_ELEMENTS(states); i++) {
		const bool is_in_namespace = !strcmp(states[i].runtime, "containerd");
		if (!*name || *name == '.' || (is_in_namespace && (!*above || *above == '.')))
			continue;
		g_autofree char *text = read_file(
			host, "%s%s%s%s%s", states[i].before, is_in_namespace ? above : "",
			is_in_namespace ? "/" : "", name, states[i].after);
		if (!text)
			continue;
		container->runtime = g_strdup(states[i].runtime);
		container->id = escape_text(name, -1);
		if (is_in_namespace)
			by_bundle(text, container);
		return true;
	}
	return false;
}

/* The outermost counts: what is below, the container's own processes can have named. */
static bool by_state(const char *host, const char *cgroup, SegfsContainer *container)
{
	enum { DEPTH_MOST = 8 };
	g_auto(GStrv) components = g_strsplit(cgroup, "/", -1);

	for (guint i = 1; components[0] && components[i] && i <= DEPTH_MOST; i++) {
		if (by_state_at(host, components[i - 1], components[i], container))
			return true;
	}
	return false;
}

bool segfs_container_of_process(const char *proc_root, const char *host,
				const SegfsProcess *process, SegfsContainer *ret_container)
{
	g_autofree char *cgroup = segfs_process_cgroup(proc_root, process);
	g_auto(SegfsContainer) container = {};

	if (!cgroup)
		return false;
	if (segfs_container_of_cgroup(cgroup, &container))
		name_it(proc_root, host, process, &container);
	else if (!by_state(host, cgroup, &container))
		return false;
	*ret_container = container;
	container = (SegfsContainer){};
	return true;
}

static void container_clear(gpointer container)
{
	segfs_container_clear(container);
}

static bool is_among(const GArray *containers, const SegfsContainer *container)
{
	for (guint i = 0; i < containers->len; i++) {
		const SegfsContainer *other = &g_array_index(containers, SegfsContainer, i);
		if (!strcmp(other->runtime, container->runtime) &&
		    !strcmp(other->id, container->id))
			return true;
	}
	return false;
}

int segfs_namespace_containers(SegfsNamespace *ns, const char *proc_root, SegfsSince since,
			       GArray **ret_containers)
{
	enum { PROCESSES_MOST = 4096 };
	g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	g_autoptr(GArray) processes = NULL;

	int r = segfs_namespace_processes(ns, since, &processes);
	if (r < 0)
		return r;
	GArray *containers = g_array_new(FALSE, FALSE, sizeof(SegfsContainer));
	g_array_set_clear_func(containers, container_clear);
	for (guint i = 0; i < MIN(processes->len, PROCESSES_MOST); i++) {
		const SegfsProcess *process = &g_array_index(processes, SegfsProcess, i);
		SegfsContainer container;
		char *cgroup = segfs_process_cgroup(proc_root, process);
		if (!cgroup || !g_hash_table_add(seen, cgroup) ||
		    !segfs_container_of_process(proc_root, "", process, &container))
			continue;
		if (is_among(containers, &container))
			segfs_container_clear(&container);
		else
			g_array_append_val(containers, container);
	}
	*ret_containers = containers;
	return 0;
}
