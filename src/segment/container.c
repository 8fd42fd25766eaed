/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Which container a cgroup path is of: each runtime names its groups in its own way, under
 * systemd as a scope ("docker-ID.scope") and without as folders ("/docker/ID").
 */

#include <segfs/namespace.h>
#include <string.h>

typedef struct {
	const char *before, *after; /* of the name, within one component of the path */
	const char *runtime;
} ScopeName;

static const ScopeName scopes[] = {
	{"docker-", ".scope", "docker"},
	{"cri-containerd-", ".scope", "containerd"},
	{"crio-conmon-", ".scope", NULL},
	{"crio-", ".scope", "cri-o"},
	{"libpod-conmon-", ".scope", NULL},
	{"libpod-", ".scope", "podman"},
	{"libpod-", "", "podman"},
	{"nerdctl-", ".scope", "containerd"},
	{"machine-", ".scope", "systemd-nspawn"},
	{"systemd-nspawn@", ".service", "systemd-nspawn"},
	{"lxc.payload.", "", "lxc"},
};

/* Folders below which each folder is a container. */
static const ScopeName parents[] = {
	{"docker", "", "docker"},
	{"lxc", "", "lxc"},
	{"lxc.payload", "", "lxc"},
	{"libpod_parent", "", "podman"},
};

static char *named(const char *runtime, const char *pod, const char *name)
{
	if (pod)
		return g_strdup_printf("kubernetes pod %s, %s %s", pod, runtime, name);
	return g_strdup_printf("%s %s", runtime, name);
}

/* "pod<uid>", "kubepods-burstable-pod<uid>.slice": the uid. */
static char *pod_of(const char *component)
{
	const char *pod = strstr(component, "pod");

	if (g_str_has_prefix(component, "kubepods-"))
		pod = strstr(component + strlen("kubepods-"), "pod");
	if (!pod || (pod != component && pod[-1] != '-'))
		return NULL;
	pod += strlen("pod");
	const char *end = strstr(pod, ".slice");
	return *pod == '\0' || *pod == 's'
		       ? NULL
		       : g_strndup(pod, end ? (size_t)(end - pod) : strlen(pod));
}

char *segfs_container_of_cgroup(const char *cgroup)
{
	g_auto(GStrv) components = g_strsplit(cgroup, "/", -1);
	g_autofree char *pod = NULL;
	bool in_kubepods = false;

	for (guint i = 0; components[i]; i++) {
		const char *component = components[i], *next = components[i + 1];
		if (g_str_has_prefix(component, "kubepods")) {
			in_kubepods = true;
		}
		if (in_kubepods && !pod && (pod = pod_of(component)) && next && *next &&
		    !strchr(next, '-'))
			return named("container", pod, next);
		for (guint j = 0; j < G_N_ELEMENTS(scopes); j++) {
			const ScopeName *scope = &scopes[j];
			if (!g_str_has_prefix(component, scope->before) ||
			    !g_str_has_suffix(component, scope->after))
				continue;
			if (!scope->runtime)
				break;
			const size_t before = strlen(scope->before), after = strlen(scope->after);
			const size_t length = strlen(component) - before - after;
			g_autofree char *name = g_strndup(component + before, length);
			return named(scope->runtime, pod, name);
		}
		for (guint j = 0; next && *next && j < G_N_ELEMENTS(parents); j++)
			if (!strcmp(component, parents[j].before))
				return named(parents[j].runtime, pod, next);
	}
	return NULL;
}
