/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What runtimes leave on the host of a container's name: files and processes as they are found in
 * the field. */

#include "scan_world.h"

#define ID "3f2a9c0d4e5b6a7f8091a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f7"
#define POD "0f5a22c8d2d86a9e04539e118455aa2913a6e094c1e4549ba976a3377cc85979"
#define UID "8a4c9e5d-1b2f-4c3d-9e8f-0a1b2c3d4e5f"
#define TASKS "/run/containerd/io.containerd.runtime.v2.task/"

/* The process 20 is in the container, and 10 the one that watches over it. */
typedef struct {
	World world;
	char *host;
} Host;

static void host_start(Host *host, const char *cgroup)
{
	world_start(&host->world);
	host->host = g_build_filename(host->world.proc, "host", NULL);
	world_process(&host->world, 10, "any", "");
	world_process(&host->world, 20, "sleep", "");
	world_write(&host->world, 20, "cgroup", "0::%s\n", cgroup);
	world_write(&host->world, 20, "status", "Name:\tsleep\nPPid:\t10\n");
	world_write(&host->world, 10, "status", "Name:\tany\nPPid:\t0\n");
}

static void host_clear(Host *host)
{
	world_clear(&host->world);
	g_free(host->host);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Host, host_clear)

static void host_write(const Host *host, const char *path, const char *text, gssize size)
{
	g_autofree char *file = g_strconcat(host->host, path, NULL);
	g_autofree char *directory = g_path_get_dirname(file);
	g_autoptr(GError) error = NULL;

	g_assert_cmpint(g_mkdir_with_parents(directory, 0755), ==, 0);
	g_file_set_contents(file, text, size, &error);
	g_assert_no_error(error);
}

static void monitor(const Host *host, const char *command, const char *arguments, gssize size)
{
	g_autofree char *path = g_build_filename(host->world.proc, "10/cmdline", NULL);
	g_autoptr(GError) error = NULL;

	world_process(&host->world, 10, command, "");
	g_file_set_contents(path, arguments, size, &error);
	g_assert_no_error(error);
}

static void assert_called(const Host *host, const char *expected)
{
	const SegfsProcess process = {.pid = 20, .start = 1020};
	g_auto(SegfsContainer) container = {};
	const bool found =
		segfs_container_of_process(host->world.proc, host->host, &process, &container);
	g_autofree char *text = found ? segfs_container_text(&container) : NULL;

	g_assert_cmpstr(text, ==, expected);
}

static void podman(void)
{
	g_auto(Host) host = {};
	host_start(&host, "/machine.slice/libpod-" ID ".scope/container");

	assert_called(&host, "podman " ID);
#define CONMON(id, name)                                                                           \
	"/usr/bin/conmon\0--api-version\0001\0-c\0" id "\0-u\0" id                                 \
	"\0-r\0/usr/bin/crun\0-b\0/run/containers/storage/overlay-containers/" id                  \
	"/userdata\0-p\0/run/pidfile\0-n\0" name "\0--exit-dir\0/run/libpod/exits\0"
	const char web[] = CONMON(ID, "web1"), other[] = CONMON("0123", "web1");
	monitor(&host, "conmon", web, sizeof(web) - 1);
	assert_called(&host, "podman web1, id " ID);
	monitor(&host, "any", web, sizeof(web) - 1); /* no conmon */
	assert_called(&host, "podman " ID);
	monitor(&host, "conmon", other, sizeof(other) - 1); /* another's */
	assert_called(&host, "podman " ID);
	/* The container's own process. */
	monitor(&host, "conmon", web, sizeof(web) - 1);
	world_write(&host.world, 10, "cgroup", "0::/machine.slice/libpod-" ID ".scope\n");
	assert_called(&host, "podman " ID);
}

static void podman_pod(void)
{
	g_auto(Host) directory = {}, slice = {};
	const char web[] = CONMON(ID, "web1");
	const char *storage = "/run/containers/storage/";
	const char database[] = "\0\1{\"id\":\"" ID "\",\"name\":\"web1\"}"
				"\"{\\\"id\\\":\\\"" POD "\\\",\\\"name\\\":\\\"of-a-label\\\"\""
				"\0{\"id\":\"" POD "\",\"name\":\"shop\",\"namespace\":\"\"}\0";
	static const char *const files[] = {"libpod/bolt_state.db", "db.sql", "db.sql-wal"};

	host_start(&slice, "/machine.slice/machine-libpod_pod_" POD ".slice/libpod-" ID ".scope");
	assert_called(&slice, "podman pod " POD ", podman " ID);
	for (guint i = 0; i < G_N_ELEMENTS(files); i++) {
		g_auto(Host) host = {};
		g_autofree char *file = g_strconcat(storage, files[i], NULL);
		host_start(&host, "/libpod_parent/" POD "/libpod-" ID);
		monitor(&host, "conmon", web, sizeof(web) - 1);
		assert_called(&host, "podman pod " POD ", podman web1, id " ID);
		host_write(&host, file, database,
			   sizeof(database) - sizeof("\",\"namespace\":\"\"}\0"));
		assert_called(&host, "podman pod " POD ", podman web1, id " ID);
		host_write(&host, file, database, sizeof(database) - 1);
		assert_called(&host, "podman pod shop, podman web1, id " ID);
	}
	/* A directory of that length which is no pod's. */
	host_start(&directory, "/libpod_parent/" POD "/payload");
	assert_called(&directory, "container " POD);
}

static void lxc(void)
{
	g_auto(Host) host = {};
	const char line[] = "[lxc monitor] /var/lib/lxc web", other[] = "lxc monitor";

	host_start(&host, "/lxc.payload.web-1");
	assert_called(&host, "lxc web-1");
	monitor(&host, "lxc-start", other, sizeof(other));
	assert_called(&host, "lxc web-1");
	monitor(&host, "lxc-start", line, sizeof(line));
	assert_called(&host, "lxc web, id web-1");
}

static void cri_o(void)
{
	g_auto(Host) host = {};
	host_start(&host, "/kubepods.slice/kubepods-pod8a4c9e5d_1b2f_4c3d_9e8f_0a1b2c3d4e5f.slice/"
			  "crio-" ID ".scope");
	const char nginx[] = CONMON(ID, "k8s_nginx_web-5_shop_" UID "_0");

	assert_called(&host, "kubernetes pod " UID ", cri-o " ID);
	monitor(&host, "conmon", nginx, sizeof(nginx) - 1);
	assert_called(&host, "kubernetes pod shop/web-5, cri-o nginx, id " ID);
}

static void docker(void)
{
	g_auto(Host) host = {};
	const char *file = "/var/lib/docker/containers/" ID "/config.v2.json";
	host_start(&host, "/system.slice/docker-" ID ".scope");

	assert_called(&host, "docker " ID);
	host_write(&host, file, "{\"StreamConfig\":{},\"ID\":\"" ID "\",\"Name\":\"/web1\"}", -1);
	assert_called(&host, "docker web1, id " ID);
	host_write(&host, file, "{\"Name\":\"/a\\nVerdict: x\"}", -1);
	assert_called(&host, "docker a\\nVerdict: x, id " ID);
	static const char *const broken[] = {"", "{", "[]", "{\"Name\":5}", "{\"Name\":{}}", "\1"};
	for (guint i = 0; i < G_N_ELEMENTS(broken); i++) {
		host_write(&host, file, broken[i], -1);
		assert_called(&host, "docker " ID);
	}
	/* No file of a runtime's is so large. */
	g_autofree char *blanks = g_strnfill(1024 * 1024, ' ');
	g_autofree char *large = g_strconcat(blanks, "{\"Name\":\"/web1\"}", NULL);
	host_write(&host, file, large, -1);
	assert_called(&host, "docker " ID);
	host_write(
		&host, file,
		"{\"Name\":\"/k8s_a\",\"Config\":{\"Labels\":{"
		"\"io.kubernetes.container.name\":\"nginx\",\"io.kubernetes.pod.name\":\"web-5\","
		"\"io.kubernetes.pod.namespace\":\"shop\"}}}",
		-1);
	assert_called(&host, "kubernetes pod shop/web-5, docker nginx, id " ID);
}

static void containerd(void)
{
	g_auto(Host) host = {};
	host_start(&host, "/kubepods/besteffort/pod" UID "/" ID);

	assert_called(&host, "kubernetes pod " UID ", container " ID);
	host_write(&host, TASKS "k8s.io/" ID "/config.json",
		   "{\"annotations\":{\"io.kubernetes.cri.container-name\":\"nginx\","
		   "\"io.kubernetes.cri.sandbox-name\":\"web-5\","
		   "\"io.kubernetes.cri.sandbox-namespace\":\"shop\"}}",
		   -1);
	assert_called(&host, "kubernetes pod shop/web-5, container nginx, id " ID);
}

static void what_any_directory_could_be_called(void)
{
	g_auto(Host) runc = {}, crun = {}, ctr = {}, nested = {}, odd = {};

	host_start(&runc, "/web");
	assert_called(&runc, NULL);
	host_write(&runc, "/run/runc/web/state.json", "{}", -1);
	assert_called(&runc, "runc web");
	host_start(&crun, "/web");
	host_write(&crun, "/run/crun/web/status", "{}", -1);
	assert_called(&crun, "crun web");
	host_start(&ctr, "/mine/web");
	host_write(&ctr, TASKS "mine/web/config.json", "{}", -1);
	assert_called(&ctr, "containerd web");
	host_start(&nested, "/user.slice/user-0.slice/web/system.slice/mine");
	host_write(&nested, "/run/runc/mine/state.json", "{}", -1);
	assert_called(&nested, "runc mine");
	host_write(&nested, "/run/runc/web/state.json", "{}", -1);
	assert_called(&nested, "runc web");
	host_start(&odd, "/../..");
	assert_called(&odd, NULL);
}

static void nspawn(void)
{
	g_auto(Host) host = {};
	const char line[] =
		"/usr/bin/systemd-nspawn\0--keep-unit\0--machine=debian\0-D\0/srv/debian\0";
	host_start(&host, "/system.slice/web.service/payload");

	assert_called(&host, "systemd-nspawn web");
	monitor(&host, "systemd-nspawn", line, sizeof(line) - 1);
	assert_called(&host, "systemd-nspawn debian, id web");
}

int main(int argc, char **argv)
{
	unit_init(&argc, &argv);
	g_test_add_func("/container-name/podman", podman);
	g_test_add_func("/container-name/podman-pod", podman_pod);
	g_test_add_func("/container-name/lxc", lxc);
	g_test_add_func("/container-name/cri-o", cri_o);
	g_test_add_func("/container-name/docker", docker);
	g_test_add_func("/container-name/containerd", containerd);
	g_test_add_func("/container-name/by-state", what_any_directory_could_be_called);
	g_test_add_func("/container-name/nspawn", nspawn);
	return g_test_run();
}
