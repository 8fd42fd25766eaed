/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Which container a cgroup path is of: each runtime names its groups in its own way, under
 * systemd as a scope ("docker-ID.scope") and without as directories ("/docker/ID"). Containers
 * run in containers: the innermost counts.
 */

#include <segfs/namespace.h>
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
};

/* Directories below which each directory is a container. */
static const Pattern parents[] = {
	{"docker", "", "docker", true},
	{"lxc", "", "lxc", false},
	{"lxc.payload", "", "lxc", false},
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
static char *named(const char *runtime, const char *pod, const char *name)
{
	g_autofree char *text =
		pod ? g_strdup_printf("kubernetes pod %s, %s %s", pod, runtime, name)
		    : g_strdup_printf("%s %s", runtime, name);

	return escape_text(text, -1);
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

/* One component of the path by the patterns; NULL: it is none of theirs. */
static char *by_pattern(const char *component, const char *pod)
{
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
		return pattern->runtime ? named(pattern->runtime, pod, name) : NULL;
	}
	return NULL;
}

/*
 * "kubepods-burstable-pod<uid>.slice:cri-containerd:ID": where a runtime that makes directories
 * is given the name of a slice.
 */
static char *by_triple(const char *component)
{
	g_auto(GStrv) parts = g_strsplit(component, ":", -1);
	g_autofree char *pod = NULL;

	if (g_strv_length(parts) != 3 || !g_str_has_suffix(parts[0], ".slice") || !is_id(parts[2]))
		return NULL;
	pod = pod_of(parts[0]);
	return named(strcmp(parts[1], "cri-containerd") ? parts[1] : "containerd", pod, parts[2]);
}

static char *by_parent(const char *component, const char *pod, const char *next)
{
	for (guint i = 0; i < G_N_ELEMENTS(parents); i++)
		if (!strcmp(component, parents[i].before) && (!parents[i].is_id || is_id(next)))
			return named(parents[i].runtime, pod, next);
	return NULL;
}

char *segfs_container_of_cgroup(const char *cgroup)
{
	g_auto(GStrv) components = g_strsplit(cgroup, "/", -1);
	g_autofree char *pod = NULL;
	char *innermost = NULL;

	for (guint i = 0; components[i]; i++) {
		const char *component = components[i], *next = components[i + 1];
		char *found = by_pattern(component, pod);
		if (!found)
			found = by_triple(component);
		if (!found && next && *next)
			found = by_parent(component, pod, next);
		char *in_pod = pod_of(component);
		if (in_pod) {
			g_free(pod);
			pod = in_pod;
			if (next && is_id(next))
				found = named("container", pod, next);
		}
		if (found) {
			g_free(innermost);
			innermost = found;
		}
	}
	return innermost;
}
