/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What is in a directory of POSIX objects and below it.
 *
 * To read a directory takes its lock, which whoever may read it, too, can hold for ever: by a
 * getdents(2) into a page of theirs that does not come, while somebody else waits to change the
 * directory. So each directory is read by a thread that is left behind where it does not go on,
 * and until that comes back nobody asks for that directory again. No user's directories take more
 * than a few of those threads.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <segfs/posix.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "lib/kernel/kernel.h"
#include "lib/os/autofd.h"
#include "lib/os/deadline.h"
#include "lib/os/errand.h"
#include "lib/os/fd.h"
#include "lib/os/procfs.h"

/* Levels of subdirectories: each takes a descriptor while it is read. */
#define DEEPEST 64

/*
 * Without a step: where it sleeps in the kernel, and where it may only have had no processor; and
 * in all.
 */
#define ASLEEP_MS 500
#define STALLED_MS 2000
#define LONGEST (30 * G_TIME_SPAN_SECOND)
/* So often it is looked after. */
#define STEP_MS 100

/* Threads that are left behind, at directories of one owner and in all. */
#define MOST_OF_OWNER 4
#define MOST_STUCK 32

typedef struct {
	dev_t dev;
	ino_t ino;
	uid_t owner;
} Place;

static GMutex stuck_lock; /* protects stuck */
static GArray *stuck;     /* Place */

static bool stuck_find(const Place *place, guint *ret_index, guint *ret_n_of_owner)
{
	bool found = false;

	*ret_n_of_owner = 0;
	for (guint i = 0; stuck && i < stuck->len; i++) {
		const Place *one = &g_array_index(stuck, Place, i);
		*ret_n_of_owner += one->owner == place->owner;
		if (one->dev == place->dev && one->ino == place->ino) {
			*ret_index = i;
			found = true;
		}
	}
	return found;
}

/* May it be read now? exempt: also where others hang. */
static bool may_read(const Place *place, bool exempt)
{
	guint index, n_of_owner;

	g_mutex_lock(&stuck_lock);
	const bool is_stuck = stuck_find(place, &index, &n_of_owner);
	const bool may =
		exempt || !stuck || (n_of_owner < MOST_OF_OWNER && stuck->len < MOST_STUCK);
	g_mutex_unlock(&stuck_lock);
	return may && !is_stuck;
}

/* A directory being read: it may outlive who wants it. */
typedef struct {
	int fd; /* of it, to read; -1: it is closed */
	Place place;
	GArray *files;          /* SegfsPosixFile, whose path is the name alone */
	GPtrArray *directories; /* names */
	int result;
	gint thread;  /* atomic */
	bool is_left; /* is in stuck; protected by its lock */
	bool is_done; /* likewise */
} Reading;

static void file_clear(gpointer pointer)
{
	g_free(((SegfsPosixFile *)pointer)->path);
}

static GArray *files_new(void)
{
	GArray *files = g_array_new(FALSE, FALSE, sizeof(SegfsPosixFile));

	g_array_set_clear_func(files, file_clear);
	return files;
}

static struct timespec time_of(const struct statx_timestamp *from)
{
	return (struct timespec){from->tv_sec, from->tv_nsec};
}

static void stat_of(const struct statx *from, struct stat *ret_stat)
{
	*ret_stat = (struct stat){
		.st_dev = makedev(from->stx_dev_major, from->stx_dev_minor),
		.st_ino = from->stx_ino,
		.st_mode = from->stx_mode,
		.st_nlink = from->stx_nlink,
		.st_uid = from->stx_uid,
		.st_gid = from->stx_gid,
		.st_size = from->stx_size,
		.st_blksize = from->stx_blksize,
		.st_blocks = from->stx_blocks,
		.st_atim = time_of(&from->stx_atime),
		.st_mtim = time_of(&from->stx_mtime),
		.st_ctim = time_of(&from->stx_ctime),
	};
}

static void read_entry(Reading *reading, int directory_fd, const struct dirent *entry)
{
	SegfsPosixFile file = {};
	struct statx found;

	if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
		return;
	if (entry->d_type != DT_REG && entry->d_type != DT_DIR && entry->d_type != DT_UNKNOWN)
		return;
	/*
	 * What went in the meantime is not there. What is mounted here is another file
	 * system, which is not to be asked anything: it may hang.
	 */
	if (statx(directory_fd, entry->d_name,
		  AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC, STATX_BASIC_STATS,
		  &found) < 0)
		return;
	stat_of(&found, &file.stat);
	if (file.stat.st_dev != reading->place.dev)
		return;
	if (S_ISREG(file.stat.st_mode)) {
		file.path = g_strdup(entry->d_name);
		g_array_append_val(reading->files, file);
	} else if (S_ISDIR(file.stat.st_mode)) {
		g_ptr_array_add(reading->directories, g_strdup(entry->d_name));
	}
}

static void reading_run(gpointer data)
{
	Reading *reading = data;
	struct dirent *entry;
	DIR *directory = fd_directory(steal_fd(&reading->fd));

	g_atomic_int_set(&reading->thread, syscall(SYS_gettid));

	if (!directory) {
		reading->result = -errno;
	} else {
		while ((errno = 0, entry = readdir(directory))) {
			deadline_at(0);
			read_entry(reading, dirfd(directory), entry);
		}
		reading->result = -errno;
		closedir(directory);
	}
	g_mutex_lock(&stuck_lock);
	reading->is_done = true;
	guint index, n_of_owner;
	if (reading->is_left && stuck_find(&reading->place, &index, &n_of_owner))
		g_array_remove_index_fast(stuck, index);
	g_mutex_unlock(&stuck_lock);
}

static void reading_release(gpointer data)
{
	Reading *reading = data;

	if (reading->fd >= 0)
		close(reading->fd);
	g_array_unref(reading->files);
	g_ptr_array_unref(reading->directories);
	g_free(reading);
}

static bool is_asleep(Reading *reading)
{
	const pid_t thread = g_atomic_int_get(&reading->thread);
	ProcfsStat stat;

	return thread && procfs_stat("/proc/self/task", thread, &stat) && stat.state == 'D';
}

/* True: it has ended. */
static bool await(DeadlineCall *call, Reading *reading)
{
	const gint64 end = g_get_monotonic_time() + LONGEST;
	guint before = 0, stalled = 0;

	while (stalled < STALLED_MS && !(stalled >= ASLEEP_MS && is_asleep(reading)) &&
	       g_get_monotonic_time() < end && !errand_is_unwanted()) {
		if (deadline_wait(call, STEP_MS))
			return true;
		const guint steps = deadline_steps(call);
		stalled = steps == before ? stalled + STEP_MS : 0;
		before = steps;
	}
	return false;
}

static void leave_behind(Reading *reading)
{
	g_mutex_lock(&stuck_lock);
	if (!reading->is_done) {
		if (!stuck)
			stuck = g_array_new(FALSE, FALSE, sizeof(Place));
		g_array_append_val(stuck, reading->place);
		reading->is_left = true;
	}
	g_mutex_unlock(&stuck_lock);
}

/* Takes fd. -ETIMEDOUT: it does not answer. -EINTR: nobody wants it any more. */
static int read_directory(int directory_fd, const Place *place, bool exempt, GArray **ret_files,
			  GPtrArray **ret_directories)
{
	autofd fd = directory_fd;

	if (!may_read(place, exempt))
		return -ETIMEDOUT;
	Reading *reading = g_new0(Reading, 1);
	*reading = (Reading){
		.fd = steal_fd(&fd),
		.place = *place,
		.files = files_new(),
		.directories = g_ptr_array_new_with_free_func(g_free),
	};
	DeadlineCall *call = deadline_call(reading_run, reading, reading_release);
	int r = -ETIMEDOUT;
	if (await(call, reading)) {
		r = reading->result;
		*ret_files = g_array_ref(reading->files);
		*ret_directories = g_ptr_array_ref(reading->directories);
	} else {
		leave_behind(reading);
		if (errand_is_unwanted())
			r = -EINTR;
	}
	deadline_leave(call);
	return r;
}

typedef struct {
	GArray *files; /* SegfsPosixFile */
	GPtrArray *unread;
} Listing;

/* What is further below need not be everybody's to know. */
static void add_unread(Listing *listing, const char *prefix)
{
	g_ptr_array_add(listing->unread, g_strndup(prefix, strcspn(prefix, "/")));
}

static int list_directory(Listing *listing, int directory_fd, const char *prefix, guint depth);

static int list_below(Listing *listing, int directory_fd, const char *prefix, const char *name,
		      guint depth)
{
	const uint64_t resolve = RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS;
	const uint64_t cached = kernel_has(KERNEL_RESOLVE_CACHED) ? RESOLVE_CACHED : 0;
	g_autofree char *below = g_strconcat(prefix, name, "/", NULL);
	enum { TRIES = 4 }; /* a rename anywhere makes it fail, too */
	int fd = -1, error = EAGAIN;

	/* What is in no cache has gone, mostly; the walk that knows may have to wait: this thread
	 * can be given up. */
	for (int i = 0; i <= TRIES && error == EAGAIN; i++) {
		fd = fd_open_resolved(directory_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW,
				      resolve | (i < TRIES ? cached : 0));
		error = fd < 0 ? errno : 0;
	}
	if (fd < 0 && error != ENOENT && error != EXDEV)
		add_unread(listing, below);
	return fd < 0 ? 0 : list_directory(listing, fd, below, depth);
}

/* Of one directory, which it closes; prefix ends in "/" or is empty. */
static int list_directory(Listing *listing, int directory_fd, const char *prefix, guint depth)
{
	g_autoptr(GPtrArray) directories = NULL;
	g_autoptr(GArray) files = NULL;
	autofd fd = directory_fd;
	struct stat st;
	int r = -ELOOP;

	/* The one that is read by another thread is that one's. */
	const int again = depth <= DEEPEST ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
	if (again >= 0 && fstat(fd, &st) == 0) {
		const Place place = {st.st_dev, st.st_ino, st.st_uid};
		r = read_directory(again, &place, depth == 0, &files, &directories);
	}
	if (r == -EINTR || (r < 0 && depth == 0))
		return r;
	if (r < 0)
		add_unread(listing, prefix);
	for (guint i = 0; r == 0 && i < files->len; i++) {
		SegfsPosixFile file = g_array_index(files, SegfsPosixFile, i);
		file.path = g_strconcat(prefix, file.path, NULL);
		g_array_append_val(listing->files, file);
	}
	for (guint i = 0; r == 0 && i < directories->len; i++)
		if (list_below(listing, fd, prefix, directories->pdata[i], depth + 1) == -EINTR)
			return -EINTR;
	return 0;
}

int segfs_posix_list(const SegfsPosix *posix, GArray **ret_files, GPtrArray **ret_unread)
{
	g_autoptr(GArray) files = files_new();
	g_autoptr(GPtrArray) unread = g_ptr_array_new_with_free_func(g_free);
	autofd directory = -1;

	if (!errand_may_wait())
		return -EAGAIN;
	int r = segfs_posix_open(posix, &directory);
	if (r < 0)
		return r;
	/* Not the one that was duplicated: its position is everybody's. */
	const int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	Listing listing = {files, unread};
	r = list_directory(&listing, fd, "", 0);
	if (r < 0)
		return r;
	*ret_unread = g_steal_pointer(&unread);
	*ret_files = g_steal_pointer(&files);
	return 0;
}
