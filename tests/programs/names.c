// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Names that come and go, and what is done with them at the same time.
 *
 *   names objects DIRECTORY SECONDS [DIRECT]   a name that is always there, since others are only
 *       renamed over it, is looked at, opened, changed; one that comes and goes is created. DIRECT:
 *       the same directory by another way, by which it is renamed and removed, too.
 *   names keys DIRECTORY SECONDS   the segments of a few keys are made, opened, written and removed
 *   names removed DIRECTORY DIRECT    what can be done in a working directory DIRECTORY/gone after
 *       DIRECT/gone was removed
 *   names open DIRECTORY DIRECT    what is told of what is open after DIRECT has lost its names
 *
 * Each prints lines "what ERROR", sorted, each once; on stderr how often. Nothing is allowed here:
 * what is right is what the same prints of a tmpfs.
 */
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

enum { ERRORS = 140, KEYS = 3, FIRST_KEY = 0x5e7a0001 };

static const char *directory, *direct;
static double end;
static atomic_uint turns; /* names that are not used twice */

typedef int (*Act)(void); /* 0 or an errno */

typedef struct {
	const char *what;
	Act act;
	bool is_shown; /* else it only makes trouble */
	long counts[ERRORS];
} Actor;

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

static int result(int r)
{
	return r < 0 ? errno : 0;
}

/* Of a descriptor that is not needed. */
static int opened(int fd)
{
	if (fd < 0)
		return errno;
	return result(close(fd));
}

typedef char Path[PATH_MAX];

static const char *path_of(Path path, const char *base, const char *name)
{
	snprintf(path, sizeof(Path), "%s/%s", base, name);
	return path;
}

/* ---- objects ---- */

static int replace_by(const char *base)
{
	char name[32];
	Path from, to;

	snprintf(name, sizeof(name), "new-%u", turns++);
	const int fd = open(path_of(from, base, name), O_CREAT | O_WRONLY | O_CLOEXEC, 0666);
	if (fd < 0)
		return errno;
	close(fd);
	return result(rename(from, path_of(to, base, "always")));
}

static int replace(void)
{
	return replace_by(directory);
}

static int replace_directly(void)
{
	return replace_by(direct);
}

/* Only an empty directory can be renamed over. */
static int replace_folder(void)
{
	char name[32];
	Path from, to;

	snprintf(name, sizeof(name), "dir-%u", turns++);
	if (mkdir(path_of(from, directory, name), 0777) < 0)
		return errno;
	return result(rename(from, path_of(to, directory, "folder")));
}

static int look(void)
{
	struct stat st;
	Path path;

	return result(stat(path_of(path, directory, "always"), &st));
}

static int open_it(void)
{
	Path path;

	return opened(open(path_of(path, directory, "always"), O_RDWR | O_CLOEXEC));
}

static int open_or_create(void)
{
	Path path;

	return opened(open(path_of(path, directory, "always"), O_RDWR | O_CREAT | O_CLOEXEC, 0666));
}

static int change_mode(void)
{
	Path path;

	return result(chmod(path_of(path, directory, "always"), 0666));
}

static int change_size(void)
{
	Path path;

	return result(truncate(path_of(path, directory, "always"), 4096));
}

static int ask_access(void)
{
	Path path;

	return result(access(path_of(path, directory, "always"), R_OK | W_OK));
}

static int list_xattrs(void)
{
	Path path;
	char names[4096];

	return result(listxattr(path_of(path, directory, "always"), names, sizeof(names)));
}

/* As ls does: glibc opens it, asks what it is, and then reads. */
static int list_folder(void)
{
	Path path;
	DIR *dir = opendir(path_of(path, directory, "folder"));

	if (!dir)
		return errno;
	errno = 0;
	while (readdir(dir))
		;
	const int error = errno;
	closedir(dir);
	return error;
}

static int create(void)
{
	Path path;

	return opened(open(path_of(path, directory, "flux"), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
}

static int take_away(void)
{
	Path path;

	return result(unlink(path_of(path, directory, "flux")));
}

static int take_away_directly(void)
{
	Path path;

	return result(unlink(path_of(path, direct, "flux")));
}

static Actor objects[] = {
	{"replace", replace, true, {}},
	{"replace", replace, true, {}},
	{"replace a folder", replace_folder, true, {}},
	{"stat", look, true, {}},
	{"open", open_it, true, {}},
	{"open or create", open_or_create, true, {}},
	{"chmod", change_mode, true, {}},
	{"truncate", change_size, true, {}},
	{"access", ask_access, true, {}},
	{"listxattr", list_xattrs, true, {}},
	{"list a folder", list_folder, true, {}},
	{"create", create, true, {}},
	{"remove", take_away, false, {}},
	/* With DIRECT only. */
	{"replace directly", replace_directly, true, {}},
	{"remove directly", take_away_directly, false, {}},
	{},
};

/* ---- keys ---- */

static const char *some_key(Path path)
{
	snprintf(path, sizeof(Path), "%s/0x%08x", directory, FIRST_KEY + turns++ % KEYS);
	return path;
}

static int make_key_step(int *ret_fd)
{
	Path path;

	*ret_fd = open(some_key(path), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	return *ret_fd < 0 ? errno : 0;
}

static int create_key(void)
{
	int fd;
	int error = make_key_step(&fd);

	if (error)
		return error;
	/* Whoever was quicker has made it: EEXIST, as of shmget(). */
	if (ftruncate(fd, 65536) < 0)
		error = errno;
	for (int i = 0; !error && i < 20; i++)
		if (pwrite(fd, "word", 4, i * 4) != 4)
			error = errno;
	/* A pending one that has no size ends with EINVAL, as it should. */
	close(fd);
	return error;
}

static int open_key(void)
{
	Path path;
	char word[4];
	const int fd = open(some_key(path), O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return errno;
	const int error = pread(fd, word, 4, 0) < 0 ? errno : 0;
	close(fd);
	return error;
}

static int look_at_key(void)
{
	struct stat st;
	Path path;

	return result(stat(some_key(path), &st));
}

static int change_key(void)
{
	Path path;

	return result(chmod(some_key(path), 0666));
}

static int remove_key(void)
{
	Path path;

	return result(unlink(some_key(path)));
}

static Actor keys[] = {
	{"create", create_key, true, {}},
	{"create", create_key, true, {}},
	{"open", open_key, true, {}},
	{"open", open_key, true, {}},
	{"stat", look_at_key, true, {}},
	{"chmod", change_key, true, {}},
	{"remove", remove_key, false, {}},
	{"remove", remove_key, false, {}},
	{},
};

/* ---- all of them at once ---- */

static void *run(void *data)
{
	Actor *actor = data;

	while (now() < end) {
		const int error = actor->act();
		actor->counts[error < ERRORS ? error : 0]++;
	}
	return NULL;
}

static int compare_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void print_sorted(char **lines, size_t n)
{
	qsort(lines, n, sizeof(*lines), compare_lines);
	for (size_t i = 0; i < n; i++)
		if (i == 0 || strcmp(lines[i], lines[i - 1]) != 0)
			puts(lines[i]);
}

static void run_all(Actor *actors, double seconds)
{
	static char *lines[ERRORS];
	pthread_t threads[32];
	size_t n = 0, n_lines = 0;

	end = now() + seconds;
	for (; actors[n].act && (direct || actors[n].act != replace_directly); n++)
		if (pthread_create(&threads[n], NULL, run, &actors[n]))
			err(1, "thread");
	for (size_t i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	for (size_t i = 0; i < n; i++) {
		fprintf(stderr, "# %s: %ld", actors[i].what, actors[i].counts[0]);
		for (int error = 1; error < ERRORS; error++) {
			if (!actors[i].counts[error])
				continue;
			fprintf(stderr, ", %s %ld", strerrorname_np(error),
				actors[i].counts[error]);
			if (actors[i].is_shown &&
			    asprintf(&lines[n_lines++], "%s %s", actors[i].what,
				     strerrorname_np(error)) < 0)
				err(1, "asprintf");
		}
		fprintf(stderr, "\n");
		if (actors[i].is_shown && !actors[i].counts[0])
			printf("%s never\n", actors[i].what);
	}
	print_sorted(lines, n_lines);
}

static void do_objects(double seconds)
{
	Path path;

	if (mkdir(path_of(path, directory, "folder"), 0777) < 0)
		err(1, "%s", path);
	if (opened(open(path_of(path, directory, "always"), O_CREAT | O_RDWR, 0666)))
		err(1, "%s", path);
	run_all(objects, seconds);
}

/* ---- one after the other ---- */

static void say(const char *what, int r)
{
	printf("%s: %s\n", what, r < 0 ? strerrorname_np(errno) : "ok");
}

static int list_here(void)
{
	DIR *dir = opendir(".");
	int n = 0;

	if (!dir)
		return -1;
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static void do_removed(void)
{
	struct statfs fs;
	struct stat st;
	Path path;

	if (mkdir(path_of(path, directory, "gone"), 0777) < 0 || chdir(path) < 0 ||
	    rmdir(path_of(path, direct, "gone")) < 0)
		err(1, "%s", path);
	say("create", open("x", O_CREAT | O_RDWR | O_CLOEXEC, 0600));
	say("create only", open("x", O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600));
	say("mkdir", mkdir("y", 0700));
	say("symlink", symlink("a", "z"));
	say("mknod", mknod("p", S_IFIFO | 0600, 0));
	say("rename", rename("a", "b"));
	say("unlink", unlink("x"));
	say("rmdir", rmdir("y"));
	say("open", open("x", O_RDONLY | O_CLOEXEC));
	say("stat a name", stat("x", &st));
	say("stat", stat(".", &st));
	printf("links %lu, a directory %d\n", (unsigned long)st.st_nlink, S_ISDIR(st.st_mode));
	say("statfs", statfs(".", &fs));
	say("list", list_here());
	say("without a name", open(".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
	if (!strcmp(directory, direct)) /* else it is another mount that the kernel minds first */
		say("link", link("/etc/passwd", "l"));
	say("access", access(".", R_OK));
	say("chdir", chdir("."));
	say("chmod", chmod(".", 0751));
	say("stat", stat(".", &st));
	printf("mode %o\n", st.st_mode);
	say("chown", chown(".", 1, 1));
}

static void say_stat(const char *what, int fd)
{
	struct stat st = {};
	const int r = fstat(fd, &st);

	say(what, r);
	if (r == 0)
		printf("%s: links %lu, mode %o, size %ld\n", what, (unsigned long)st.st_nlink,
		       st.st_mode, (long)(S_ISDIR(st.st_mode) ? 0 : st.st_size));
	close(fd);
}

static void do_open(void)
{
	Path path;

	const int file = open(path_of(path, directory, "file"), O_CREAT | O_RDWR | O_CLOEXEC, 0640);
	if (file < 0 || write(file, "text", 4) != 4)
		err(1, "%s", path);
	const int only_path = open(path, O_PATH | O_CLOEXEC);
	mkfifo(path_of(path, directory, "fifo"), 0600);
	const int fifo = open(path, O_RDWR | O_CLOEXEC);
	mkdir(path_of(path, directory, "open"), 0750);
	const int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const int folder_path = open(path, O_PATH | O_CLOEXEC);
	if (symlink("to", path_of(path, directory, "link")) < 0)
		err(1, "%s", path);
	const int symbolic = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	/* What is kept for a call that takes a name is over by then. */
	sleep(3);
	unlink(path_of(path, direct, "file"));
	unlink(path_of(path, direct, "fifo"));
	unlink(path_of(path, direct, "link"));
	rmdir(path_of(path, direct, "open"));
	say_stat("a file", file);
	say_stat("its path", only_path);
	say_stat("a FIFO", fifo);
	say_stat("a directory", folder);
	say_stat("its path", folder_path);
	say_stat("a link", symbolic);
}

int main(int argc, char **argv)
{
	const char *verb = argc > 2 ? argv[1] : "";
	const double seconds = argc > 3 ? atof(argv[3]) : 0;

	umask(0);
	directory = argc > 2 ? argv[2] : "";
	direct = argc > 4 ? argv[4] : NULL;
	if (!strcmp(verb, "objects")) {
		do_objects(seconds);
	} else if (!strcmp(verb, "keys")) {
		run_all(keys, seconds);
	} else if (!strcmp(verb, "removed") && argc > 3) {
		direct = argv[3];
		do_removed();
	} else if (!strcmp(verb, "open") && argc > 3) {
		direct = argv[3];
		do_open();
	} else {
		errx(2, "names objects|keys DIRECTORY SECONDS, removed|open DIRECTORY DIRECT");
	}
	return 0;
}
