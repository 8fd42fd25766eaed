/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * segfs: from the command line to a mount that answers.
 *
 * The parent forks before anything else and waits on a pipe. The child mounts, and writes
 * to the pipe what went wrong, or, once the kernel has agreed on the protocol, how reads
 * will go. Then the parent asks the mountpoint itself, and only then returns to the shell.
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <malloc.h>
#include <sched.h>
#include <segfs/segfs.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include "lib/os/fd.h"
#include "mount/mount.h"
#include "mount/mountpoint.h"
#include "mount/options.h"
#include "mount/receive.h"

/* The child tells the parent its verdict, then text up to the end. */
#define TOLD_STARTED '+'
#define TOLD_FAILED '-'

/* What is on its way when the mount is to end is waited for so long. */
#define PATIENCE_MS 1000

typedef struct {
	int parent_fd; /* -1: nobody waits: the daemon is in the foreground or has started */
} Report;

static void report(const Report *to, char verdict, const char *text)
{
	if (to->parent_fd < 0) {
		g_printerr("segfs: %s\n", text);
		return;
	}
	g_autofree char *line = g_strdup_printf("%c%s", verdict, text);
	if (write(to->parent_fd, line, strlen(line)) < 0)
		g_warning("cannot tell how the start went: %s", g_strerror(errno));
}

static void log_to_syslog(const char *domain, GLogLevelFlags level, const char *message,
			  gpointer data)
{
	syslog(level & (G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL) ? LOG_ERR : LOG_WARNING, "%s",
	       message);
}

static bool stderr_is_caught; /* see mount_session() */

static void log_of_libfuse(enum fuse_log_level level, const char *format, va_list arguments)
{
	const int error = errno;
	g_autofree char *message = g_strdup_vprintf(format, arguments);

	g_strchomp(message);
	if (level == FUSE_LOG_DEBUG || (stderr_is_caught && level <= FUSE_LOG_WARNING))
		g_printerr("%s\n", message);
	else if (level <= FUSE_LOG_WARNING && !g_str_has_prefix(message, "fuse: passthrough_open"))
		g_warning("%s", message);
	errno = error; /* passthrough_open() reads errno afterwards, and returns it */
}

static void to_background(void)
{
	const int null = open("/dev/null", O_RDWR);

	for (int fd = 0; null >= 0 && fd <= 2; fd++)
		dup2(null, fd);
	if (null > 2)
		close(null);
	openlog("segfs", LOG_PID, LOG_DAEMON);
	g_log_set_default_handler(log_to_syslog, NULL);
}

typedef struct {
	Report report;
	const char *why;       /* passthrough was not asked for; NULL: it was */
	const char *no_ns;     /* why root, who expects ns/, has none; or NULL */
	SegfsHistory *history; /* NULL: there is none */
} Start;

static void on_started(const char *way, void *data)
{
	Start *start = data;
	g_autofree char *history =
		start->history ? segfs_history_text(start->history) : g_strdup("off");
	g_autofree char *lacks = segfs_kernel_lacks();
	g_autofree char *line = g_strdup_printf(
		"reads and mmap are %s; history: %s%s%s%s%s", way ? way : start->why, history,
		start->no_ns ? "; no ns/: " : "", start->no_ns ? start->no_ns : "",
		lacks ? "; this kernel has no " : "", lacks ? lacks : "");

	report(&start->report, TOLD_STARTED, line);
	if (start->report.parent_fd >= 0) {
		close(start->report.parent_fd);
		start->report.parent_fd = -1;
		to_background();
	}
}

static const char *why_no_passthrough(const Options *options)
{
	if (options->no_passthrough)
		return "through the daemon: -o no_passthrough";
	return confine_allows(CAP_SYS_ADMIN)
		       ? NULL
		       : "through the daemon: native ones need CAP_SYS_ADMIN (root)";
}

/* libfuse and fusermount3 say on stderr why they could not mount: stderr is caught meanwhile. */
static gboolean mount_session(struct fuse_session *session, const char *mountpoint,
			      bool in_background, GError **error)
{
	const int caught = memfd_create("segfs-stderr", MFD_CLOEXEC);
	const int before = dup(STDERR_FILENO);
	char said[512] = "";

	fflush(stderr);
	if (caught >= 0)
		dup2(caught, STDERR_FILENO);
	stderr_is_caught = true;
	const int r = fuse_session_mount(session, mountpoint);
	stderr_is_caught = false;
	fflush(stderr);
	dup2(before, STDERR_FILENO);
	close(before);
	if (caught >= 0) {
		const ssize_t n = pread(caught, said, sizeof(said) - 1, 0);
		said[MAX(n, 0)] = '\0';
		close(caught);
	}
	if (r == 0) {
		/* Not before: who mounts for an automount, and may look at the mountpoint
		 * meanwhile, is known by the process group (autofs.rst of the kernel's papers). */
		if (in_background)
			setsid();
		return receive_start(session) == 0 ||
		       segfs_error(error, "%s: cannot receive requests", mountpoint);
	}
	g_auto(GStrv) lines = g_strsplit(g_strchomp(said), "\n", -1);
	g_autofree char *line = g_strjoinv("; ", lines);
	return segfs_error(error, "%s: cannot mount: %s; %s", mountpoint, *line ? line : "refused",
			   geteuid() == 0
				   ? "is this a container without CAP_SYS_ADMIN?"
				   : "you need fusermount3 (package fuse3) and a directory of "
				     "your own");
}

static gboolean check_kernel(GError **error)
{
	g_autofree char *refusal = segfs_kernel_refusal();

	return refusal ? segfs_error(error, "%s", refusal) : TRUE;
}

/*
 * -o ipcns: the whole process goes to that IPC namespace before it has threads, and takes
 * the /dev/shm of the process that was named.
 */
static gboolean enter_namespace(Options *options, GError **error)
{
	g_autofree char *path = NULL;
	struct stat before, after;
	unsigned long pid;
	char rest;

	if (!options->ipcns)
		return TRUE;
	if (sscanf(options->ipcns, "%lu%c", &pid, &rest) == 1)
		path = g_strdup_printf("/proc/%lu/ns/ipc", pid);
	else
		path = g_strdup(options->ipcns);
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		options->tree.other_ipc = stat("/proc/self/ns/ipc", &before) < 0 ||
					  fstat(fd, &after) < 0 || before.st_ino != after.st_ino;
	const int r = fd < 0 ? -1 : setns(fd, CLONE_NEWIPC);
	const int failed = errno;
	if (fd >= 0)
		close(fd);
	if (r < 0)
		return segfs_error(
			error,
			"-o ipcns=%s: %s; name a process, or /proc/PID/ns/ipc of one, as "
			"root",
			options->ipcns, g_strerror(failed));
	if (options->tree.shm_dir || sscanf(path, "/proc/%lu/", &pid) != 1)
		return TRUE;
	int shm_fd;
	const int found = segfs_process_open_shm("/proc", (pid_t)pid, &shm_fd);
	if (found < 0)
		return segfs_error(
			error,
			"-o ipcns=%s: no /dev/shm of its own (%s); name the directory of POSIX "
			"objects with -o shm_dir=DIR",
			options->ipcns, g_strerror(-found));
	FdPath shm_path;
	fd_path(shm_fd, shm_path);
	options->tree.shm_dir = g_strdup(shm_path);
	return TRUE;
}

/* Half of all: the other half is everybody else's. */
static guint descriptors_of_one_user(void)
{
	struct rlimit descriptors;

	return getrlimit(RLIMIT_NOFILE, &descriptors) < 0 ? 0
							  : MIN(descriptors.rlim_cur / 2, G_MAXINT);
}

static gboolean make_tree(Options *options, Start *start, Tree **ret_tree, GError **error)
{
	/* Without the one it would find no other namespace, without the other enter none. */
	if (!options->tree.no_ns &&
	    !(confine_allows(CAP_SYS_PTRACE) && confine_allows(CAP_SYS_ADMIN))) {
		options->tree.no_ns = "that takes root of the host, with CAP_SYS_PTRACE and "
				      "CAP_SYS_ADMIN";
		start->no_ns = geteuid() == 0 ? options->tree.no_ns : NULL;
	}
	options->tree.for_others = options->allow_other;
	if (!options->no_history)
		options->tree.history = segfs_history_new(&options->history);
	start->history = options->tree.history;
	int r = tree_new(&options->tree, ret_tree);

	if (r == -ENOSYS)
		return segfs_error(error,
				   "no SysV shared memory here: the kernel lacks CONFIG_SYSVIPC, "
				   "or /proc (sysvipc/shm) is not mounted");
	if (r < 0)
		return segfs_error(
			error, "%s: %s; name the directory of POSIX objects with -o shm_dir=DIR",
			options->tree.shm_dir ? options->tree.shm_dir : "/dev/shm", g_strerror(-r));
	(*ret_tree)->most_descriptors = descriptors_of_one_user();
	return TRUE;
}

/* A program that may not be run in /dev/shm may not be run here. */
static bool is_noexec(const Tree *tree)
{
	struct statvfs st;
	int fd;

	if (segfs_posix_open(segfs_view_posix(tree->ns->view, 0), &fd) < 0)
		return false;
	const bool noexec = fstatvfs(fd, &st) == 0 && st.f_flag & ST_NOEXEC;
	close(fd);
	return noexec;
}

static int serve_loop(struct fuse_session *session, const Options *options)
{
	struct fuse_loop_config *config = fuse_loop_cfg_create();

	if (options->max_threads)
		fuse_loop_cfg_set_max_threads(config, options->max_threads);
	const int r = fuse_session_loop_mt(session, config);
	fuse_loop_cfg_destroy(config);
	return r;
}

/* Serves until the mount is gone or a signal ends the daemon. */
static gboolean serve(Options *options, const char *mountpoint, Start *start, GError **error)
{
	g_autoptr(Tree) tree = NULL;

	start->why = why_no_passthrough(options);
	if (!check_kernel(error) || !mountpoint_check_device(error) ||
	    !enter_namespace(options, error) || !make_tree(options, start, &tree, error))
		return FALSE;
	g_autoptr(Walks) walks = walks_new();
	g_autoptr(Node) gone = node_gone(tree);
	Mount mount = {
		.tree = tree,
		.proc_root = segfs_ipc_proc_root(tree->ns->ipc),
		.walks = walks,
		.gone = gone,
		.want_passthrough = !start->why,
		.started = on_started,
		.started_data = start,
	};
	g_autofree char *source = options_escape(options->source);
	g_autofree char *kernel_options =
		g_strdup_printf("fsname=%s,subtype=segfs,nosuid,nodev,max_read=%d%s%s%s", source,
				READ_MAX, is_noexec(tree) ? ",noexec" : "",
				options->allow_other ? ",allow_other" : "", options->kernel->str);
	char *argv[] = {"segfs", "-o", kernel_options, options->debug ? "-d" : NULL, NULL};
	struct fuse_args args = FUSE_ARGS_INIT(options->debug ? 4 : 3, argv);
	struct fuse_session *session =
		fuse_session_new(&args, &mount_ops, sizeof(mount_ops), &mount);

	fuse_opt_free_args(&args);
	if (!session)
		return segfs_error(error, "cannot start a FUSE session");
	mount.session = session;
	gboolean done = FALSE;
	if (fuse_set_signal_handlers(session) < 0) {
		segfs_error(error, "cannot handle signals");
	} else if (mount_session(session, mountpoint, !options->foreground, error)) {
		mount.workers = workers_new(session, mount.proc_root);
		mountpoint_watch(mountpoint);
		confine_calls(!options->no_seccomp, !options->foreground);
		const int r = serve_loop(session, options);
		/* A signal's number or 0 is a clean end; a lazy unmount can abort. */
		done = r >= 0 || r == -ECONNABORTED ||
		       segfs_error(error, "%s: %s", mountpoint, g_strerror(-r));
		const bool at_rest = workers_end(mount.workers, PATIENCE_MS);
		tree_end(tree);
		mountpoint_leave(session, mountpoint);
		/* A thread that waits uses the session and the tree: it ends with the process. */
		if (!at_rest || lock_is_waiting())
			_exit(done ? 0 : 1);
		workers_free(mount.workers);
	}
	fuse_remove_signal_handlers(session);
	fuse_session_destroy(session);
	g_clear_pointer(&mount.passthrough, passthrough_free);
	return done;
}

/* Waits for the child's verdict; returns the parent's exit status. */
static int await_start(int fd, const char *mountpoint)
{
	g_autoptr(GString) told = g_string_new(NULL);
	char piece[512];
	ssize_t n;
	struct stat st;

	while ((n = read(fd, piece, sizeof(piece))) > 0 || (n < 0 && errno == EINTR))
		if (n > 0)
			g_string_append_len(told, piece, n);
	if (told->len == 0)
		g_string_assign(told,
				"-the daemon ended before it could say why; see the system log");
	g_printerr("segfs: %s\n", told->str + 1);
	if (told->str[0] != TOLD_STARTED)
		return 1;
	if (stat(mountpoint, &st) < 0) {
		g_printerr("segfs: %s: mounted, but it does not answer: %s\n", mountpoint,
			   g_strerror(errno));
		return 1;
	}
	return 0;
}

/* Memory that goes away under a copy is the library's to deal with; all else ends us as ever. */
static void on_bus_error(int number, siginfo_t *info, void *context)
{
	segfs_memory_sigbus(info);
	/* A fault comes again on the way back, and is then handled by nobody. */
	if (info->si_code > 0)
		signal(SIGBUS, SIG_DFL);
}

/* No thread answers anybody as the wrong user, or from another namespace. */
static void on_thread_lost(const char *from, int error)
{
	g_error("a thread cannot return to %s: %s", from, g_strerror(error));
}

static void guard_process(void)
{
	const struct sigaction bus_error = {
		.sa_sigaction = on_bus_error,
		.sa_flags = SA_SIGINFO | SA_NODEFER,
	};

	segfs_thread_set_lost(on_thread_lost);
	if (sigaction(SIGBUS, &bus_error, NULL) == 0)
		segfs_memory_sigbus_is_handled();
}

/*
 * As far as the daemon may: with CAP_SYS_RESOURCE up to fs.nr_open (proc_sys_fs(5)), and no limit
 * for locked memory. What callers lock the kernel charges to the daemon's own user, in one sum:
 * their own limits are applied in lib/memory/sysv.c.
 */
static void raise_limits(void)
{
	g_autofree char *text = NULL;
	struct rlimit descriptors;

	setrlimit(RLIMIT_MEMLOCK, &(struct rlimit){RLIM_INFINITY, RLIM_INFINITY});
	if (getrlimit(RLIMIT_NOFILE, &descriptors) < 0)
		return;
	const rlim_t most = g_file_get_contents("/proc/sys/fs/nr_open", &text, NULL, NULL)
				    ? g_ascii_strtoull(text, NULL, 10)
				    : 0;
	if (most > descriptors.rlim_max &&
	    setrlimit(RLIMIT_NOFILE, &(struct rlimit){most, most}) == 0)
		return;
	descriptors.rlim_cur = descriptors.rlim_max;
	setrlimit(RLIMIT_NOFILE, &descriptors);
}

/* Few arenas and no growing threshold: what a large listing took goes back to the system. */
static void tune_process(void)
{
	mallopt(M_ARENA_MAX, 2);
	mallopt(M_MMAP_THRESHOLD, 256 * 1024);
	umask(0);
	signal(SIGXFSZ, SIG_IGN); /* a limit of the daemon's is the writer's EFBIG */
	raise_limits();
}

/* True in the child, which goes on; else *ret_status is what the parent ends with. */
static gboolean go_to_background(Start *start, const char *mountpoint, int *ret_status)
{
	int ends[2];

	/* A lock or a pipe of the shell that starts segfs is not to last as long as the mount. */
	close_range(STDERR_FILENO + 1, ~0U, 0);
	const pid_t child = pipe2(ends, O_CLOEXEC) == 0 ? fork() : -1;
	if (child < 0) {
		g_printerr("segfs: %s\n", g_strerror(errno));
		*ret_status = 1;
		return FALSE;
	}
	if (child > 0) {
		close(ends[1]);
		*ret_status = await_start(ends[0], mountpoint);
		return FALSE;
	}
	close(ends[0]);
	start->report.parent_fd = ends[1];
	return TRUE;
}

int main(int argc, char **argv)
{
	g_auto(Options) options = {};
	g_autoptr(GError) error = NULL;
	OptionsVerdict verdict;
	Start start = {.report.parent_fd = -1};
	int null;

	/* No descriptor that is opened later may be taken for stdin, stdout or stderr. */
	while ((null = open("/dev/null", O_RDWR)) >= 0 && null <= 2)
		;
	close(null);
	if (!options_parse(&argc, &argv, &options, &verdict, &error)) {
		g_printerr("segfs: %s\n", error->message);
		return 1;
	}
	if (verdict == OPTIONS_DONE)
		return 0;
	if (options.remount) {
		if (mountpoint_remount(options.mountpoint, options.flags, &error))
			return 0;
		g_printerr("segfs: %s\n", error->message);
		return 1;
	}
	g_autofree char *mountpoint = mountpoint_prepare(options.mountpoint, &error);
	if (!mountpoint) {
		g_printerr("segfs: %s\n", error->message);
		return 1;
	}
	options.history.name = mountpoint;
	int status;
	if (!options.foreground && !go_to_background(&start, mountpoint, &status))
		return status;
	fuse_set_log_func(log_of_libfuse);
	tune_process();
	guard_process();
	confine_rights();
	if (chdir("/") < 0 || !serve(&options, mountpoint, &start, &error)) {
		const char *why = error ? error->message : g_strerror(errno);
		report(&start.report, TOLD_FAILED, why);
		return 1;
	}
	return 0;
}
