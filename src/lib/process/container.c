/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Which container a cgroup path is of: each runtime names its groups in its own way, under
 * systemd as a scope ("docker-ID.scope") and without as directories ("/docker/ID"). Containers
 * run in containers: the innermost counts.
 */

#include <segfs/container.h>
#include <string.h>

#include "lib/os/escape.h"

typedef struct {
	const char *before, *after; /* of the name, within one component of the path */
	const char *runtime;        /* NULL: a helper of it, outside */
	bool is_id;                 /* the name is a long number in hex */
} Pattern;

/* The first that fits counts. */
static const Pattern patterns[] = {
	{"docker-", ".scope", "docker", true},
	{"cri-containerd-", ".scope", "containerd", true},
	{"nerdctl-", ".scope", "containerd", true},
	{"crio-", ".scope", "cri-o", true},
	{"crio-", "", "cri-o", true},
	{"libpod-payload-", "", "podman", true},
	{"libpod-", ".scope", "podman", true},
	{"libpod-", "", "podman", true},
	{"machine-qemu\\x2d", ".scope", NULL, false}, /* a virtual machine of libvirt */
	{"machine-lxc\\x2d", ".scope", "lxc", false},
	{"machine-", ".scope", "systemd-nspawn", false},
	{"systemd-nspawn@", ".service", "systemd-nspawn", false},
	{"lxc.payload.", "", "lxc", false},
	{"runc-", ".scope", "runc", false},
	{"crun-", ".scope", "crun", false},
};

/* Directories below which each directory is a container. */
static const struct {
	const char *above; /* what the directory itself is in; "": the top; NULL: anything */
	const char *name, *runtime;
	bool is_id;
} parents[] = {
	{NULL, "docker", "docker", true},
	{NULL, "lxc", "lxc", false},
	{NULL, "lxc.payload", "lxc", false},
	{"docker", "buildx", "buildkit", false},
	/* Namespaces of containerd: ctr has "default", the kubelet "k8s.io", docker "moby". */
	{"", "default", "containerd", false},
	{"", "k8s.io", "containerd", false},
	{"", "moby", "docker", true},
};

static bool is_id(const char *name)
{
	enum { SHORTEST = 32 };

	return strlen(name) >= SHORTEST && name[strspn(name, "0123456789abcdef")] == '\0';
}

/* systemd.unit(5): what a unit's name cannot have is \xNN in it. */
static char *unescape(const char *name, size_t length)
{
	GString *text = g_string_sized_new(length);

	for (size_t i = 0; i < length; i++) {
		if (i + 3 < length && name[i] == '\\' && name[i + 1] == 'x' &&
		    g_ascii_isxdigit(name[i + 2]) && g_ascii_isxdigit(name[i + 3])) {
			const int byte = g_ascii_xdigit_value(name[i + 2]) << 4 |
					 g_ascii_xdigit_value(name[i + 3]);
			/* Of a NUL there can be no name. */
			g_string_append_c(text, byte ? byte : '?');
			i += 3;
		} else {
			g_string_append_c(text, name[i]);
		}
	}
	return g_string_free(text, FALSE);
}

/* A cgroup's name is of whoever may make one. */
static void set(SegfsContainer *container, const char *runtime, const SegfsContainer *pod,
		const char *id)
{
	SegfsContainer found = {
		.runtime = escape_text(runtime, -1),
		.id = escape_text(id, -1),
		.pod_kind = pod->pod_kind,
		.pod = g_strdup(pod->pod),
	};

	segfs_container_clear(container);
	*container = found;
}

static void set_pod(SegfsContainer *pod, const char *kind, char *name)
{
	g_free(pod->pod);
	pod->pod_kind = kind;
	pod->pod = name;
}

/* "pod<uid>", "kubepods-burstable-pod<uid>.slice" with "_" for "-": the uid. */
static char *pod_of(const char *component)
{
	const char *slice = strstr(component, "kubepods-");
	const char *pod = slice ? strstr(slice, "-pod") : component;

	if (!pod)
		return NULL;
	pod += slice ? 1 : 0;
	if (strncmp(pod, "pod", 3) != 0)
		return NULL;
	pod += 3;
	const size_t length = strspn(pod, "0123456789abcdef-_");
	if (length < 32 || strcmp(pod + length, slice ? ".slice" : "") != 0)
		return NULL;
	return g_strdelimit(g_strndup(pod, length), "_", '-');
}

/* "machine-libpod_pod_ID.slice" under systemd, or a directory ID above "libpod-ID": the id. */
static char *podman_pod_of(const char *component, const char *next)
{
	enum { LENGTH = 64 };
	const char *slice = strstr(component, "libpod_pod_");
	const char *id = slice ? slice + strlen("libpod_pod_") : component;

	if (strspn(id, "0123456789abcdef") != LENGTH ||
	    strcmp(id + LENGTH, slice ? ".slice" : "") != 0 ||
	    (!slice && !(next && g_str_has_prefix(next, "libpod-"))))
		return NULL;
	return g_strndup(id, LENGTH);
}

/* One component of the path by the patterns. False: it is none of theirs, or a helper's. */
static bool by_pattern(const char *component, const SegfsContainer *pod, bool *ret_is_helper,
		       SegfsContainer *container)
{
	*ret_is_helper = false;
	for (guint i = 0; i < G_N_ELEMENTS(patterns); i++) {
		const Pattern *pattern = &patterns[i];
		const size_t before = strlen(pattern->before), after = strlen(pattern->after);
		if (!g_str_has_prefix(component, pattern->before) ||
		    !g_str_has_suffix(component, pattern->after) ||
		    strlen(component) <= before + after)
			continue;
		g_autofree char *name =
			unescape(component + before, strlen(component) - before - after);
		if (pattern->is_id && !is_id(name))
			continue;
		*ret_is_helper = !pattern->runtime;
		if (pattern->runtime)
			set(container, pattern->runtime, pod, name);
		return pattern->runtime;
	}
	return false;
}

/*
 * "kubepods-burstable-pod<uid>.slice:cri-containerd:ID": where a runtime that makes directories
 * is given the name of a slice.
 */
static bool by_triple(const char *component, SegfsContainer *container)
{
	g_auto(GStrv) parts = g_strsplit(component, ":", -1);
	g_auto(SegfsContainer) pod = {};

	if (g_strv_length(parts) != 3 || !g_str_has_suffix(parts[0], ".slice") || !*parts[1] ||
	    !is_id(parts[2]))
		return false;
	char *uid = pod_of(parts[0]);
	if (uid)
		set_pod(&pod, "kubernetes pod", uid);
	set(container, strcmp(parts[1], "cri-containerd") ? parts[1] : "containerd", &pod,
	    parts[2]);
	return true;
}

static bool by_parent(const char *above, const char *component, const SegfsContainer *pod,
		      const char *next, SegfsContainer *container)
{
	for (guint i = 0; i < G_N_ELEMENTS(parents); i++) {
		if (strcmp(component, parents[i].name) != 0 ||
		    (parents[i].above && strcmp(above, parents[i].above) != 0) ||
		    (parents[i].is_id && !is_id(next)))
			continue;
		set(container, parents[i].runtime, pod, next);
		return true;
	}
	return false;
}

/* What a runtime that is not known calls so, as any directory can be a container's parent. */
static bool is_whole_id(const char *component)
{
	return strlen(component) == 64 && is_id(component);
}

/*
 * systemd-nspawn has its own and the container's processes in two directories of its unit, which
 * is a service of any name, or, without one, at the top.
 */
static bool by_payload(const char *component, const char *before, SegfsContainer *container)
{
	if (strcmp(component, "payload") != 0 || container->runtime)
		return false;
	g_autofree char *unit = unescape(before, strlen(before));
	char *suffix = strrchr(unit, '.');
	if (suffix && (!strcmp(suffix, ".service") || !strcmp(suffix, ".scope")))
		*suffix = '\0';
	set(container, "systemd-nspawn", &(SegfsContainer){}, *unit ? unit : component);
	return true;
}

/* A container's parts of the path from component i on; the innermost is found last. */
static void at(char **components, guint i, SegfsContainer *pod, SegfsContainer *container)
{
	const char *component = components[i], *above = i > 0 ? components[i - 1] : "";
	const char *next = components[i + 1] && *components[i + 1] ? components[i + 1] : NULL;
	bool is_helper;

	bool found = by_pattern(component, pod, &is_helper, container);
	if (is_helper)
		return;
	found = found || by_triple(component, container) ||
		by_payload(component, above, container) ||
		(next && by_parent(above, component, pod, next, container));
	char *in_pod = pod_of(component);
	if (in_pod) {
		set_pod(pod, "kubernetes pod", in_pod);
		if (next && is_id(next))
			set(container, "container", pod, next);
	}
	char *podman_pod = podman_pod_of(component, next);
	if (podman_pod) {
		set_pod(pod, "podman pod", podman_pod);
		return;
	}
	if (!strcmp(component, "ecs") && next && components[i + 2] && *components[i + 2]) {
		set_pod(pod, "ecs task", escape_text(next, -1));
		set(container, "docker", pod, components[i + 2]);
	}
	if (!found && is_whole_id(component) &&
	    (!container->id || strcmp(container->id, component) != 0))
		set(container, "container", pod, component);
}

bool segfs_container_of_cgroup(const char *cgroup, SegfsContainer *ret_container)
{
	g_auto(GStrv) components = g_strsplit(cgroup, "/", -1);
	g_auto(SegfsContainer) pod = {}, container = {};

	for (guint i = 0; components[i]; i++)
		at(components, i, &pod, &container);
	if (!container.runtime)
		return false;
	*ret_container = container;
	container = (SegfsContainer){};
	return true;
}

void segfs_container_clear(SegfsContainer *container)
{
	g_free(container->runtime);
	g_free(container->id);
	g_free(container->name);
	g_free(container->pod);
	*container = (SegfsContainer){};
}

char *segfs_container_text(const SegfsContainer *container)
{
	GString *text = g_string_new(NULL);

	if (container->pod)
		g_string_append_printf(text, "%s %s, ", container->pod_kind, container->pod);
	g_string_append_printf(text, "%s %s", container->runtime,
			       container->name ? container->name : container->id);
	if (container->name && strcmp(container->name, container->id) != 0)
		g_string_append_printf(text, ", id %s", container->id);
	return g_string_free(text, FALSE);
}
