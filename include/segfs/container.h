/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <segfs/namespace.h>
#include <segfs/scan.h>
#include <stdbool.h>

/*
 * A container, by the cgroup that its runtime has made for it and by what the runtime leaves on the
 * host. No text in it has control characters.
 */
typedef struct {
	char *runtime;        /* "docker", "podman", "cri-o"; "container": one that is not known */
	char *id;             /* by which its runtime's cgroup calls it */
	char *name;           /* that its user has given to it; NULL: not known */
	const char *pod_kind; /* what pod is: "kubernetes pod", "podman pod", "ecs task"; static */
	char *pod;            /* "namespace/name" or, where not known, the uid; NULL: in none */
} SegfsContainer;

/* Frees what it has. Cannot fail. */
void segfs_container_clear(SegfsContainer *container);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(SegfsContainer, segfs_container_clear)

/*
 * The container that a path of cgroups(7) names, without a name: the caller's to clear. False: none
 * that is known.
 */
bool segfs_container_of_cgroup(const char *cgroup, SegfsContainer *ret_container);

/*
 * The container in which a process is, with its name where its runtime says it: in the arguments of
 * conmon(8), docker's config.v2.json, the annotations of an OCI bundle (config.json) below host,
 * the root of the host's files ("" for "/"). False: it is in none that is known, or cannot be
 * asked.
 */
bool segfs_container_of_process(const char *proc_root, const char *host,
				const SegfsProcess *process, SegfsContainer *ret_container);

/* "podman web1, id 3f2a...", "kubernetes pod shop/web-5, containerd nginx, id ...", "docker ID";
 * the caller's to free. */
char *segfs_container_text(const SegfsContainer *container);

/*
 * The containers of an IPC namespace's processes, as an array of SegfsContainer that the caller
 * unrefs; several are in one with a pod, or with --ipc container:NAME. Errors are those of
 * segfs_scanner_scan(). Of its processes the first 4096 are asked.
 */
int segfs_namespace_containers(SegfsNamespace *ns, const char *proc_root, SegfsSince since,
			       GArray **ret_containers);
