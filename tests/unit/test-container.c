/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Containers by the cgroup paths that their runtimes make, as they are found in the field. */

#include "unit.h"

#define ID "3f2a9c0d4e5b6a7f8091a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f7"
#define ID2 "aa00bb11cc22dd33ee44ff5566778899aa00bb11cc22dd33ee44ff5566778899"
#define UID "8a4c9e5d-1b2f-4c3d-9e8f-0a1b2c3d4e5f"
#define UID_SLICE "8a4c9e5d_1b2f_4c3d_9e8f_0a1b2c3d4e5f"
#define STATIC_UID                                                                                 \
	"cc6b8a1e2d3f40516273849506a7b8c9" /* of a pod from the kubelet's own directory */

typedef struct {
	const char *cgroup, *container; /* NULL: none */
} Row;

static void check(const Row *rows, guint n)
{
	for (guint i = 0; i < n; i++) {
		g_auto(SegfsContainer) container = {};
		g_test_message("%s", rows[i].cgroup);
		const bool found = segfs_container_of_cgroup(rows[i].cgroup, &container);
		g_autofree char *text = found ? segfs_container_text(&container) : NULL;
		g_assert_cmpstr(text, ==, rows[i].container);
	}
}

static void docker(void)
{
	static const Row rows[] = {
		{"/system.slice/docker-" ID ".scope", "docker " ID},
		{"/system.slice/docker-" ID ".scope/init.scope", "docker " ID},
		{"/docker/" ID, "docker " ID},
		{"/docker/" ID "/system.slice/cron.service", "docker " ID},
		{"/user.slice/user-1000.slice/user@1000.service/user.slice/docker-" ID ".scope",
		 "docker " ID},
		{"/../../system.slice/docker-" ID ".scope",
		 "docker " ID}, /* from a cgroup namespace */
		{"/system.slice/nerdctl-" ID ".scope", "containerd " ID},
		{"/user.slice/user-1000.slice/user@1000.service/user.slice/nerdctl-" ID ".scope",
		 "containerd " ID},
	};

	check(rows, G_N_ELEMENTS(rows));
}

static void kubernetes(void)
{
	static const Row rows[] = {
		{"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" UID_SLICE
		 ".slice/cri-containerd-" ID ".scope",
		 "kubernetes pod " UID ", containerd " ID},
		{"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" UID_SLICE
		 ".slice/cri-containerd-" ID ".scope",
		 "kubernetes pod " UID ", containerd " ID},
		{"/kubepods.slice/kubepods-pod" UID_SLICE ".slice/cri-containerd-" ID ".scope",
		 "kubernetes pod " UID ", containerd " ID},
		{"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" STATIC_UID
		 ".slice/cri-containerd-" ID ".scope",
		 "kubernetes pod " STATIC_UID ", containerd " ID},
		{"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" UID_SLICE
		 ".slice/crio-" ID ".scope",
		 "kubernetes pod " UID ", cri-o " ID},
		{"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" UID_SLICE
		 ".slice/crio-" ID ".scope/container",
		 "kubernetes pod " UID ", cri-o " ID},
		{"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" UID_SLICE
		 ".slice/docker-" ID ".scope",
		 "kubernetes pod " UID ", docker " ID},
		{"/kubepods/besteffort/pod" UID "/" ID, "kubernetes pod " UID ", container " ID},
		{"/kubepods/burstable/pod" UID "/" ID, "kubernetes pod " UID ", container " ID},
		{"/kubepods/pod" UID "/" ID, "kubernetes pod " UID ", container " ID},
		{"/kubepods/besteffort/pod" UID "/crio-" ID, "kubernetes pod " UID ", cri-o " ID},
		{"/kubepods-burstable-pod" UID_SLICE ".slice:cri-containerd:" ID,
		 "kubernetes pod " UID ", containerd " ID},
		{"/system.slice/containerd.service/kubepods-besteffort-pod" UID_SLICE
		 ".slice:cri-containerd:" ID,
		 "kubernetes pod " UID ", containerd " ID},
		/* What only belongs to a pod, or to the kubelet. */
		{"/kubepods.slice", NULL},
		{"/kubepods.slice/kubepods-burstable.slice", NULL},
		{"/kubepods/besteffort", NULL},
		{"/system.slice/kubelet.service", NULL},
		{"/system.slice/containerd.service", NULL},
		{"/system.slice/crio.service", NULL},
		{"/kubepods.slice/kubepods-pod" UID_SLICE ".slice/crio-conmon-" ID ".scope", NULL},
	};

	check(rows, G_N_ELEMENTS(rows));
}

static void podman(void)
{
	static const Row rows[] = {
		{"/machine.slice/libpod-" ID ".scope", "podman " ID},
		{"/machine.slice/libpod-" ID ".scope/container", "podman " ID},
		{"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" ID
		 ".scope/container",
		 "podman " ID},
		{"/machine.slice/machine-libpod_pod_" ID2 ".slice/libpod-" ID ".scope",
		 "podman pod " ID2 ", podman " ID},
		{"/libpod_parent/libpod-" ID, "podman " ID},
		{"/system.slice/web.service/libpod-payload-" ID, "podman " ID},
		{"/machine.slice/libpod-conmon-" ID ".scope", NULL},
		{"/libpod_parent/conmon", NULL},
	};

	check(rows, G_N_ELEMENTS(rows));
}

static void lxc_and_nspawn(void)
{
	static const Row rows[] = {
		{"/lxc.payload.web", "lxc web"},
		{"/lxc.payload.web-1/system.slice/ssh.service", "lxc web-1"},
		{"/lxc.payload/web", "lxc web"},
		{"/lxc/web", "lxc web"},
		{"/lxc/101/ns/init.scope", "lxc 101"}, /* Proxmox */
		{"/lxc.monitor.web", NULL},
		{"/lxc", NULL},
		{"/machine.slice/machine-debian.scope", "systemd-nspawn debian"},
		{"/machine.slice/machine-debian.scope/payload/init.scope", "systemd-nspawn debian"},
		{"/machine.slice/machine-my\\x2dbox.scope", "systemd-nspawn my-box"},
		{"/machine.slice/systemd-nspawn@debian.service/payload", "systemd-nspawn debian"},
		{"/machine.slice/machine-qemu\\x2d1\\x2dguest.scope/libvirt/emulator", NULL},
	};

	check(rows, G_N_ELEMENTS(rows));
}

/* Directories of a runtime's own, and what a user has named as a container's parent. */
static void runtimes_without_an_engine(void)
{
	static const Row rows[] = {
		{"/default/web", "containerd web"},
		{"/k8s.io/" ID, "containerd " ID},
		{"/moby/" ID, "docker " ID},
		{"/user.slice/default/web", NULL},
		{"/system.slice/runc-web.scope", "runc web"},
		{"/system.slice/crun-web.scope", "crun web"},
		{"/payload", "systemd-nspawn payload"},
		{"/system.slice/web.service/payload/init.scope", "systemd-nspawn web"},
		{"/ecs/0a1b2c3d/" ID, "ecs task 0a1b2c3d, docker " ID},
		{"/ecs/0a1b2c3d", NULL},
		{"/docker/buildx/xfbl3qj0", "buildkit xfbl3qj0"},
		{"/buildx/xfbl3qj0", NULL},
		{"/podracer/" ID, "container " ID},
		{"/tenants.slice/one/" ID, "container " ID},
		{"/tenants.slice/one/" ID "/init.scope", "container " ID},
		{"/tenants.slice/one/" ID "0", NULL},
	};

	check(rows, G_N_ELEMENTS(rows));
}

static void a_container_in_a_container(void)
{
	static const Row rows[] = {
		{"/docker/" ID2 "/docker/" ID, "docker " ID},
		/* kind and minikube */
		{"/docker/" ID2 "/kubelet/kubepods/burstable/pod" UID "/" ID,
		 "kubernetes pod " UID ", container " ID},
		{"/system.slice/docker-" ID2
		 ".scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/"
		 "kubelet-kubepods-burstable-pod" UID_SLICE ".slice/cri-containerd-" ID ".scope",
		 "kubernetes pod " UID ", containerd " ID},
		{"/lxc.payload.web/system.slice/docker-" ID ".scope", "docker " ID},
	};

	check(rows, G_N_ELEMENTS(rows));
}

static void none(void)
{
	static const Row rows[] = {
		{"", NULL},
		{"/", NULL},
		{"//", NULL},
		{"/init.scope", NULL},
		{"/user.slice/user-1000.slice/session-3.scope", NULL},
		{"/user.slice/user-1000.slice/user@1000.service/app.slice/app-docker-1234.scope",
		 NULL},
		{"/system.slice/docker.service", NULL},
		{"/system.slice/docker.socket", NULL},
		{"/system.slice/docker-compose.scope", NULL},
		{"/system.slice/docker-.scope", NULL},
		{"/docker", NULL},
		{"/docker/", NULL},
		{"/docker/buildx", NULL},
		{"/system.slice/podman.service", NULL},
		{"/system.slice/libpod-.scope", NULL},
		{"/machine.slice", NULL},
		{"/machine.slice/machine-.scope", NULL},
		{"/system.slice/x.slice:y", NULL},
		{"/system.slice/x.slice::" ID, NULL},
	};

	check(rows, G_N_ELEMENTS(rows));
}

static void a_name_stays_on_its_line(void)
{
	static const Row rows[] = {
		{"/machine.slice/machine-a\\x0aVerdict.scope", "systemd-nspawn a\\nVerdict"},
		{"/machine.slice/machine-a\\x.scope", "systemd-nspawn a\\x"},
		{"/machine.slice/machine-a\\x2.scope", "systemd-nspawn a\\x2"},
		{"/a.slice:r\033[2J\n:" ID, "r\\033[2J\\n " ID},
	};

	check(rows, G_N_ELEMENTS(rows));
}

int main(int argc, char **argv)
{
	unit_init(&argc, &argv);
	g_test_add_func("/container/docker", docker);
	g_test_add_func("/container/kubernetes", kubernetes);
	g_test_add_func("/container/podman", podman);
	g_test_add_func("/container/lxc-and-nspawn", lxc_and_nspawn);
	g_test_add_func("/container/without-an-engine", runtimes_without_an_engine);
	g_test_add_func("/container/a-container-in-a-container", a_container_in_a_container);
	g_test_add_func("/container/none", none);
	g_test_add_func("/container/a-name-stays-on-its-line", a_name_stays_on_its_line);
	return g_test_run();
}
