/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The permission matrix, run as root inside a private IPC namespace with a private /dev/shm, MNT
 * naming the mount. For every kind of object, caller, mode and operation there are two twins that
 * start equal: one is used through the mount, the other by the direct system call, by one and the
 * same process. The two answers, and what is left of the twins, have to be equal.
 *
 * Three sorts of processes: the supervisor (this one), who removes what is left when the runner
 * ends in whatever way; the runner, who is root, makes the twins and compares; and a worker per
 * caller, who runs a batch of jobs each time it is woken.
 *
 * With --direct, the first twin is used directly too: the matrix has to agree with itself.
 *
 * With --protected, what is in sticky directories is compared with fs.protected_symlinks,
 * protected_regular, protected_fifos and protected_hardlinks (proc_sys_fs(5)) as distributions set
 * them. They are the host's: a lock keeps other runs from them, and they are put back.
 */
#include "matrix.h"
#include "protected.h"
#include "uring.h"

#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define DIFFERENCES_SHOWN 20

static const mode_t modes_brief[] = {0000, 0400, 0200, 0600, 0040, 0020, 0060, 0004,
				     0002, 0006, 0066, 0606, 0660, 0666, 0640, 0644};
/* Added to the 64 of reading and writing for POSIX, which knows more bits. */
static const mode_t modes_special[] = {0001, 0010,  0100,  0111,  0555,  0711,  0755,  0777, 0007,
				       0070, 01666, 02640, 02755, 04644, 04755, 06755, 06777};

/* clang-format off */
#define MOVED .creator = UID_CREATOR, .creator_group = GID_CREATOR

static const struct kind kinds[] = {
	{ "sysv-keyed", TYPE_SYSV, MODES_RW, .keyed = true, MOVED },
	{ "sysv-private", TYPE_SYSV, MODES_RW, MOVED },
	{ "sysv-by-key", TYPE_KEY, MODES_BRIEF, .keyed = true, MOVED },
	{ "sysv-own", TYPE_SYSV, MODES_BRIEF, .creator = UID_OWNER, .creator_group = GID_OWNER },
	{ "sysv-given-away-by-root", TYPE_SYSV, MODES_BRIEF, .creator = 0 },
	{ "sysv-given-away-by-root-by-key", TYPE_KEY, MODES_BRIEF, .keyed = true },
	{ "sem-by-key", TYPE_SEM, MODES_RW, .keyed = true, MOVED },
	{ "sem-given-away-by-root", TYPE_SEM, MODES_BRIEF, .creator = 0 },
	{ "msg", TYPE_MSG, MODES_RW, MOVED },
	{ "msg-own", TYPE_MSG, MODES_BRIEF, .creator = UID_OWNER, .creator_group = GID_OWNER },
	{ "posix", TYPE_POSIX, MODES_ALL, .directory = NULL },
	{ "fifo", TYPE_FIFO, MODES_BRIEF, .directory = NULL },
	{ "posix-in-0777", TYPE_POSIX, MODES_BRIEF, .directory = "open", .directory_mode = 0777 },
	{ "posix-in-0700", TYPE_POSIX, MODES_BRIEF, .directory = "closed", .directory_mode = 0700,
	  .directory_uid = UID_OWNER, .directory_gid = GID_OWNER },
	{ "posix-in-02770", TYPE_POSIX, MODES_BRIEF, .directory = "group", .directory_mode = 02770,
	  .directory_uid = UID_CREATOR, .directory_gid = GID_OWNER },
	{ "posix-in-others-sticky", TYPE_POSIX, MODES_BRIEF, .directory = "sticky",
	  .directory_mode = 01777, .directory_uid = UID_CREATOR, .directory_gid = GID_CREATOR },
	{ "fifo-in-others-sticky", TYPE_FIFO, MODES_BRIEF, .directory = "sticky-fifos",
	  .directory_mode = 01777, .directory_uid = UID_CREATOR, .directory_gid = GID_CREATOR },
};
/* clang-format on */

struct worker {
	pid_t pid;
	int wake, done;
};

/* That of test-sticky.sh, too. */
#define SYSCTL_LOCK "/tmp/.segfs-test-sysctl.lock"

static struct {
	const char *path;
	char wanted, before; /* digits */
} sysctls[] = {
	{"/proc/sys/fs/protected_symlinks", '1', 0},
	{"/proc/sys/fs/protected_hardlinks", '1', 0},
	{"/proc/sys/fs/protected_fifos", '1', 0},
	{"/proc/sys/fs/protected_regular", '2', 0},
};
static int sysctl_lock_fd;
static bool protected_only;

struct tally {
	int compared, differ;
	char *lines[DIFFERENCES_SHOWN];
};

static struct arena *arena;
static int lines_out;
static long compared, differ, blind;

/* The digit that was there. */
static char sysctl_swap(const char *path, char digit)
{
	char before[8] = "";
	const int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0 || read(fd, before, sizeof(before) - 1) < 1 || pwrite(fd, &digit, 1, 0) != 1)
		err(EXIT_FAILURE, "%s", path);
	close(fd);
	return before[0];
}

static void protect(void)
{
	for (size_t i = 0; i < sizeof(sysctls) / sizeof(*sysctls); i++)
		if (access(sysctls[i].path, W_OK) < 0) {
			printf("1..0 # SKIP no right to change %s\n", sysctls[i].path);
			exit(EXIT_SUCCESS);
		}
	for (size_t i = 0; i < sizeof(sysctls) / sizeof(*sysctls); i++)
		sysctls[i].before = sysctl_swap(sysctls[i].path, sysctls[i].wanted);
}

static void unprotect(void)
{
	for (size_t i = 0; i < sizeof(sysctls) / sizeof(*sysctls); i++)
		if (sysctls[i].before)
			sysctl_swap(sysctls[i].path, sysctls[i].before);
}

/* Others may not change them while a batch runs, and get their turn in between. */
static void lock_sysctls(int operation)
{
	if (!protected_only && flock(sysctl_lock_fd, operation) < 0)
		err(EXIT_FAILURE, SYSCTL_LOCK);
}

static void remove_batch(void)
{
	for (int i = 0; i < arena->count; i++) {
		remove_target(&arena->jobs[i].mount);
		remove_target(&arena->jobs[i].direct);
	}
	arena->count = 0;
}

/* Everything of ours in a directory of /dev/shm, one subdirectory deep; the directory too if
 * `whole`. */
static void sweep(const char *path, bool whole)
{
	DIR *dir = opendir(path);
	struct dirent *entry;

	if (!dir)
		return;
	while ((entry = readdir(dir))) {
		char below[512];

		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		if (!whole && strncmp(entry->d_name, prefix, strlen(prefix)))
			continue;
		snprintf(below, sizeof(below), "%s/%s", path, entry->d_name);
		if (unlink(below) < 0 && errno == EISDIR)
			sweep(below, true);
	}
	closedir(dir);
	if (whole)
		rmdir(path);
}

static void fill_job(struct job *job, const struct caller *caller)
{
	job->new_uid = -1;
	job->new_gid = -1;
	job->new_mode = job->op->mode;
	switch (job->op->owner) {
	case KEEP:
		break;
	case SELF_BOTH:
		job->new_gid = caller->egid;
		/* fall through */
	case SELF_UID:
		job->new_uid = caller->euid;
		break;
	case SELF_GID:
		job->new_gid = caller->egid;
		break;
	case GIVE_UID:
		job->new_uid = UID_TAKER;
		break;
	case GIVE_GID:
		job->new_gid = GID_FOREIGN;
		break;
	case SUPPLEMENTARY_GID:
		job->new_gid = caller->group_count ? caller->groups[0] : GID_CREATOR;
		break;
	}
}

static char *compare_job(const struct job *job, int type)
{
	char *line;

	if (job->by_direct != job->by_mount && job->by_blind == job->by_mount) {
		blind++;
		return NULL;
	}
	if (job->by_direct != job->by_mount) {
		if (asprintf(&line, "mode %04o: direct %s, mount %s", job->direct.mode,
			     error_name(job->by_direct), error_name(job->by_mount)) < 0)
			err(EXIT_FAILURE, "asprintf");
		return line;
	}
	if (!(job->op->flags & OP_CHANGES))
		return NULL;
	return type == TYPE_POSIX ? compare_files(job) : compare_segments(job);
}

/* Running */

static bool applies(const struct kind *kind, const struct op *op)
{
	return op->types & kind->type;
}

static void make_batch(const struct kind *kind, const struct caller *caller, mode_t mode,
		       bool first)
{
	const struct job *looked_at = NULL;

	for (const struct op *op = matrix_ops; op < matrix_ops + matrix_op_count; op++) {
		struct job *job = &arena->jobs[arena->count];

		if (!applies(kind, op) || (op->flags & OP_MAKES && !first))
			continue;
		if (arena->count == JOBS_MAX)
			errx(EXIT_FAILURE, "JOBS_MAX is too small");
		*job = (struct job){.op = op, .mount.shmid = -1, .direct.shmid = -1};
		arena->count++;
		/* Operations that change nothing share one pair of twins. */
		if (!(op->flags & OP_CHANGES) && looked_at) {
			job->mount = looked_at->mount;
			job->direct = looked_at->direct;
		} else {
			make_target(kind, job, &job->mount, mode);
			make_target(kind, job, &job->direct, mode);
		}
		if (!(op->flags & OP_CHANGES))
			looked_at = job;
		fill_job(job, caller);
	}
}

static void run_batch(const struct worker *worker, const struct caller *caller)
{
	char byte = 0;

	if (write(worker->wake, &byte, 1) != 1 || read(worker->done, &byte, 1) != 1)
		errx(EXIT_FAILURE, "the worker for %s is gone", caller->name);
}

static void tally_batch(const struct kind *kind, struct tally *tallies)
{
	for (int i = 0; i < arena->count; i++) {
		struct tally *tally = &tallies[arena->jobs[i].op - matrix_ops];
		char *line = compare_job(&arena->jobs[i], kind->type);

		tally->compared++;
		if (line && tally->differ < DIFFERENCES_SHOWN)
			tally->lines[tally->differ] = line;
		else
			free(line);
		tally->differ += line != NULL;
	}
}

static void report(const struct kind *kind, const struct caller *caller, struct tally *tallies)
{
	for (int i = 0; i < matrix_op_count; i++) {
		struct tally *tally = &tallies[i];

		if (!tally->compared)
			continue;
		/* A '#' would start a directive; none of the names has one. */
		printf("%s %d - %s %s %s\n", tally->differ ? "not ok" : "ok", ++lines_out,
		       kind->name, caller->name, matrix_ops[i].name);
		if (tally->differ)
			printf("# %d of %d differ\n", tally->differ, tally->compared);
		for (int j = 0; j < tally->differ && j < DIFFERENCES_SHOWN; j++) {
			printf("#   %s\n", tally->lines[j]);
			free(tally->lines[j]);
		}
		compared += tally->compared;
		differ += tally->differ;
	}
	fflush(stdout);
}

static int list_modes(enum modes which, mode_t *modes)
{
	int count = 0;

	if (which == MODES_BRIEF) {
		memcpy(modes, modes_brief, sizeof(modes_brief));
		return sizeof(modes_brief) / sizeof(*modes_brief);
	}
	for (mode_t u = 0; u <= 6; u += 2) {
		for (mode_t g = 0; g <= 6; g += 2) {
			for (mode_t o = 0; o <= 6; o += 2)
				modes[count++] = u << 6 | g << 3 | o;
		}
	}
	if (which == MODES_ALL) {
		memcpy(modes + count, modes_special, sizeof(modes_special));
		count += sizeof(modes_special) / sizeof(*modes_special);
	}
	return count;
}

static void run_kind(const struct kind *kind, const struct worker *workers)
{
	mode_t modes[64 + sizeof(modes_special) / sizeof(*modes_special)];

	for (int i = 0; i < matrix_caller_count; i++) {
		const struct caller *caller = &matrix_callers[i];
		const bool brief = caller->brief || protected_only;
		int mode_count = list_modes(brief ? MODES_BRIEF : kind->modes, modes);
		struct tally *tallies;

		if (caller->fsuid && !(kind->type & (TYPE_POSIX | TYPE_FIFO)))
			continue;
		tallies = calloc(matrix_op_count, sizeof(*tallies));
		if (!tallies)
			err(EXIT_FAILURE, "calloc");
		for (int j = 0; j < mode_count; j++) {
			lock_sysctls(LOCK_SH);
			arena->is_protected = fs_is_protected();
			make_batch(kind, caller, modes[j], j == 0);
			run_batch(&workers[i], caller);
			tally_batch(kind, tallies);
			lock_sysctls(LOCK_UN);
			remove_batch();
		}
		report(kind, caller, tallies);
		free(tallies);
	}
}

static void start_worker(struct worker *worker, const struct caller *caller)
{
	int wake[2], done[2];
	char byte;

	if (pipe2(wake, O_CLOEXEC) < 0 || pipe2(done, O_CLOEXEC) < 0)
		err(EXIT_FAILURE, "pipe2");
	worker->pid = fork();
	if (worker->pid < 0)
		err(EXIT_FAILURE, "fork");
	if (worker->pid == 0) {
		close(wake[1]);
		close(done[0]);
		/* With the rights of root, which its worker keeps for a while. */
		if (uring_start() < 0)
			warnx("no io_uring");
		caller_become(caller);
		while (read(wake[0], &byte, 1) == 1) {
			jobs_run(arena, caller);
			if (write(done[1], &byte, 1) != 1)
				break;
		}
		_exit(EXIT_SUCCESS);
	}
	close(wake[0]);
	close(done[1]);
	worker->wake = wake[1];
	worker->done = done[0];
}

static bool is_wanted(const struct kind *kind)
{
	const bool is_in_sticky = !kind->directory || kind->directory_mode & S_ISVTX;

	return !protected_only || (kind->type & (TYPE_POSIX | TYPE_FIFO) && is_in_sticky);
}

static int run(void)
{
	struct worker *workers = calloc(matrix_caller_count, sizeof(*workers));

	if (!workers)
		err(EXIT_FAILURE, "calloc");
	for (int i = 0; i < matrix_caller_count; i++)
		start_worker(&workers[i], &matrix_callers[i]);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		if (kinds[i].directory)
			make_directory(&kinds[i]);
	}
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (is_wanted(&kinds[i]))
			run_kind(&kinds[i], workers);
	/* A later worker holds the earlier ones' pipes too: none ends before all are closed. */
	for (int i = 0; i < matrix_caller_count; i++)
		close(workers[i].wake);
	for (int i = 0; i < matrix_caller_count; i++)
		waitpid(workers[i].pid, NULL, 0);
	free(workers);
	printf("1..%d\n", lines_out);
	printf("# %ld cases where FUSE cannot say which rights count: access(), io_uring\n", blind);
	printf("# compared %ld cases, %ld differ\n", compared, differ);
	return differ ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	sigset_t signals;
	int status, sig;
	pid_t runner;

	direct_only = argc == 2 && !strcmp(argv[1], "--direct");
	protected_only = argc == 2 && !strcmp(argv[1], "--protected");
	mnt = getenv("MNT");
	if (argc > 1 + (direct_only || protected_only) || (!mnt && !direct_only))
		errx(EXIT_FAILURE,
		     "usage: MNT=mountpoint matrix [--protected], or matrix --direct");
	if (geteuid() != 0)
		errx(EXIT_FAILURE, "only root can become all the callers");
	snprintf(prefix, sizeof(prefix), "segfs-matrix.%d.", getpid());
	arena = mmap(NULL, sizeof(*arena), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	if (arena == MAP_FAILED)
		err(EXIT_FAILURE, "mmap");

	sigemptyset(&signals);
	sigaddset(&signals, SIGCHLD);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGHUP);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	sysctl_lock_fd = open(SYSCTL_LOCK, O_RDONLY | O_CREAT | O_CLOEXEC, 0644);
	if (sysctl_lock_fd < 0 || (protected_only && flock(sysctl_lock_fd, LOCK_EX) < 0))
		err(EXIT_FAILURE, SYSCTL_LOCK);
	if (protected_only)
		protect();
	runner = fork();
	if (runner < 0)
		err(EXIT_FAILURE, "fork");
	if (runner == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		sigprocmask(SIG_UNBLOCK, &signals, NULL);
		exit(run());
	}
	sigwait(&signals, &sig);
	if (sig != SIGCHLD)
		kill(runner, SIGKILL);
	waitpid(runner, &status, 0);
	unprotect();
	remove_batch();
	sweep(SHM_DIR, false);
	if (sig != SIGCHLD || !WIFEXITED(status)) {
		printf("Bail out! ended by signal %d\n", sig != SIGCHLD ? sig : WTERMSIG(status));
		return EXIT_FAILURE;
	}
	return WEXITSTATUS(status);
}
