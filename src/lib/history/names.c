/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A mark on the whole tmpfs tells of each name that is made, removed or renamed there. An event
 * has the number of the process, the handle of the directory with the name in it, and the handle
 * of the file itself (FAN_REPORT_TARGET_FID, Linux 5.17), by which it is known again: an inode
 * number alone is given to another file one day.
 *
 * Handles of tmpfs: mm/shmem.c, shmem_encode_fh(): generation, then the two halves of the number.
 */

#include "lib/history/names.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <segfs/namespace.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/fanotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "lib/kernel/kernel.h"
#include "lib/os/autofd.h"
#include "lib/os/fd.h"
#include "lib/os/procfs.h"

#define HANDLE_SIZE 12
/* File systems of other namespaces, each with two descriptors. */
#define OTHERS_MOST 1000
#define TMPFS_HANDLE 1 /* its handle_type */

typedef struct {
	struct file_handle handle;
	unsigned char bytes[HANDLE_SIZE];
} Handle;

typedef struct {
	fsid_t fsid;
	int root; /* the directory, to be opened from; -1: it is another's, who may want to unmount
		     it */
	Handle root_handle;
	uint64_t dev; /* 0: its process does not see it any more */
	uint64_t ns;  /* see NamesEvent */
	pid_t pid;    /* of the process that sees it; 0: our own */
	int pidfd;    /* likewise; -1 */
} Watched;

struct Names {
	int fd;
	int ends_fd;        /* epoll(7) of the processes */
	GMutex lock;        /* protects what follows; a Watched goes by names_end() alone */
	GPtrArray *watched; /* Watched */

	/* The reading thread's own: another's directory, while events are read. */
	const Watched *opened_of;
	int opened_fd;
};

static void file_of_handle(const struct file_handle *handle, uint64_t dev, NamesFile *ret_file)
{
	uint32_t words[3];

	memcpy(words, handle->f_handle, sizeof(words));
	*ret_file = (NamesFile){dev, words[1] | (uint64_t)words[2] << 32, words[0]};
}

bool names_file_of(const SegfsObject *object, NamesFile *ret_file)
{
	Handle handle;

	if (object->handle_size != HANDLE_SIZE)
		return false;
	memcpy(handle.handle.f_handle, object->handle, HANDLE_SIZE);
	file_of_handle(&handle.handle, object->dev, ret_file);
	return true;
}

static void watched_free(gpointer data)
{
	const Watched *watched = data;

	if (watched->root >= 0)
		close(watched->root);
	if (watched->pidfd >= 0)
		close(watched->pidfd);
	g_free(data);
}

int names_new(Names **ret_names)
{
	if (!kernel_has(KERNEL_FANOTIFY_TARGET))
		return -EOPNOTSUPP;
	const int fd =
		fanotify_init(FAN_CLASS_NOTIF | FAN_CLOEXEC | FAN_NONBLOCK | FAN_REPORT_DFID_NAME |
				      FAN_REPORT_FID | FAN_REPORT_TARGET_FID | FAN_REPORT_PIDFD |
				      FAN_UNLIMITED_MARKS,
			      O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	Names *names = g_new0(Names, 1);
	names->fd = fd;
	names->opened_fd = -1;
	names->ends_fd = epoll_create1(EPOLL_CLOEXEC);
	g_mutex_init(&names->lock);
	names->watched = g_ptr_array_new_with_free_func(watched_free);
	*ret_names = names;
	return 0;
}

void names_free(Names *names)
{
	close(names->fd);
	if (names->ends_fd >= 0)
		close(names->ends_fd);
	g_ptr_array_unref(names->watched);
	g_mutex_clear(&names->lock);
	g_free(names);
}

int names_fd(const Names *names)
{
	return names->fd;
}

/* Of a file system that is larger than the directory the mark would tell everything. */
static int check_root(int fd)
{
	struct statx stat;

	if (!fd_is_tmpfs(fd))
		return -EXDEV;
	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_INO, &stat) < 0)
		return -errno;
	return stat.stx_attributes & STATX_ATTR_MOUNT_ROOT ? 0 : -EXDEV;
}

static void add(Names *names, const Watched *watched)
{
	g_mutex_lock(&names->lock);
	g_ptr_array_add(names->watched, g_memdup2(watched, sizeof(*watched)));
	g_mutex_unlock(&names->lock);
}

/* The directory that fd is of; watched->root is set, with the mark on it. */
static int mark(Names *names, int fd, Watched *watched)
{
	struct statfs fs;
	struct stat st;
	FdPath path;
	int r = check_root(fd);

	if (r < 0)
		return r;
	if (fstat(fd, &st) < 0 || fstatfs(fd, &fs) < 0)
		return -errno;
	watched->dev = st.st_dev;
	memcpy(&watched->fsid, &fs.f_fsid, sizeof(watched->fsid));
	/* open_by_handle_at(2) takes no O_PATH descriptor, and the mark a path or a directory. */
	fd_path(fd, path);
	int mount_id;
	watched->root_handle.handle.handle_bytes = HANDLE_SIZE;
	if (name_to_handle_at(fd, "", &watched->root_handle.handle, &mount_id, AT_EMPTY_PATH) < 0)
		return -errno;
	autofd root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root < 0 || fanotify_mark(names->fd, FAN_MARK_ADD | FAN_MARK_FILESYSTEM,
				      FAN_CREATE | FAN_DELETE | FAN_RENAME, root, NULL) < 0)
		return -errno;
	watched->root = steal_fd(&root);
	return 0;
}

int names_watch(Names *names, const SegfsPosix *posix)
{
	Watched watched = {.pidfd = -1};
	int opened;
	int r = segfs_posix_open(posix, &opened);

	if (r < 0)
		return r;
	autofd fd = opened;
	r = mark(names, fd, &watched);
	if (r == 0)
		add(names, &watched);
	return r;
}

static guint count(Names *names)
{
	g_mutex_lock(&names->lock);
	const guint n = names->watched->len;
	g_mutex_unlock(&names->lock);
	return n;
}

int names_watch_of(Names *names, pid_t pid, dev_t dev, uint64_t ns)
{
	autofd pidfd = syscall(SYS_pidfd_open, pid, 0);
	Watched watched = {.ns = ns};
	struct stat st;
	int opened;

	if (count(names) >= OTHERS_MOST)
		return -ENOSPC;
	int r = pidfd < 0 ? -errno : segfs_process_open_shm("/proc", pid, &opened);
	if (r < 0)
		return r;
	autofd fd = opened;
	/* Afterwards: until then the number was nobody else's. */
	if (fstat(fd, &st) < 0 || st.st_dev != dev || procfs_has_ended(pidfd))
		return -ESRCH;
	r = mark(names, fd, &watched);
	if (r < 0)
		return r;
	close(watched.root);
	watched.root = -1;
	watched.pid = pid;
	watched.pidfd = steal_fd(&pidfd);
	struct epoll_event event = {.events = EPOLLIN};
	/* Once it has ended the thread may free it at once. */
	g_mutex_lock(&names->lock);
	r = epoll_ctl(names->ends_fd, EPOLL_CTL_ADD, watched.pidfd, &event) < 0 ? -errno : 0;
	if (r == 0)
		g_ptr_array_add(names->watched, g_memdup2(&watched, sizeof(watched)));
	g_mutex_unlock(&names->lock);
	if (r < 0)
		close(watched.pidfd);
	return r;
}

int names_ends_fd(const Names *names)
{
	return names->ends_fd;
}

/* The kernel's mark goes with the file system; until then nobody asks for its events. */
void names_end(Names *names)
{
	g_mutex_lock(&names->lock);
	for (guint i = names->watched->len; i-- > 0;) {
		const Watched *watched = names->watched->pdata[i];
		if (watched->pidfd >= 0 && (!watched->dev || procfs_has_ended(watched->pidfd)))
			g_ptr_array_remove_index(names->watched, i);
	}
	g_mutex_unlock(&names->lock);
}

/* open_by_handle_at(2) takes no O_PATH descriptor. */
static int open_root(const Watched *watched)
{
	struct statfs fs;
	FdPath path;
	int opened;

	if (watched->root >= 0)
		return fcntl(watched->root, F_DUPFD_CLOEXEC, 0);
	if (segfs_process_open_shm("/proc", watched->pid, &opened) < 0)
		return -1;
	autofd fd = opened;
	fd_path(fd, path);
	autofd root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* The number of its device is given again. */
	return root >= 0 && fstatfs(root, &fs) == 0 &&
			       !memcmp(&fs.f_fsid, &watched->fsid, sizeof(fs.f_fsid))
		       ? steal_fd(&root)
		       : -1;
}

/* For as long as events are read. */
static int root_of(Names *names, const Watched *watched)
{
	if (names->opened_of != watched) {
		if (names->opened_fd >= 0)
			close(names->opened_fd);
		names->opened_of = watched;
		names->opened_fd = open_root(watched);
	}
	return names->opened_fd;
}

static const Watched *find_watched(Names *names, const void *fsid)
{
	const Watched *found = NULL;

	g_mutex_lock(&names->lock);
	for (guint i = 0; i < names->watched->len && !found; i++) {
		const Watched *watched = names->watched->pdata[i];
		if (watched->dev && !memcmp(&watched->fsid, fsid, sizeof(watched->fsid)))
			found = watched;
	}
	g_mutex_unlock(&names->lock);
	return found;
}

/* forget: until the thread frees it nobody is to find it. */
static bool copy_watched(Names *names, uint64_t dev, bool forget, Watched *ret_watched)
{
	bool found = false;

	g_mutex_lock(&names->lock);
	for (guint i = 0; i < names->watched->len && !found; i++) {
		Watched *watched = names->watched->pdata[i];
		found = watched->dev == dev;
		if (found)
			*ret_watched = *watched;
		if (found && forget)
			watched->dev = 0;
	}
	g_mutex_unlock(&names->lock);
	return found;
}

bool names_watches(Names *names, uint64_t dev)
{
	Watched watched;

	if (!copy_watched(names, dev, false, &watched))
		return false;
	autofd root = open_root(&watched);
	if (root < 0 && watched.root < 0)
		copy_watched(names, dev, true, &watched);
	return root >= 0 || watched.root >= 0;
}

static int open_handle(int root, const struct file_handle *handle, int flags)
{
	Handle copy = {.handle.handle_bytes = handle->handle_bytes,
		       .handle.handle_type = handle->handle_type};

	if (handle->handle_bytes != HANDLE_SIZE)
		return -1;
	memcpy(copy.handle.f_handle, handle->f_handle, HANDLE_SIZE);
	return open_by_handle_at(root, &copy.handle, flags | O_CLOEXEC);
}

int names_open(Names *names, const NamesFile *file, int *ret_fd, char **ret_path)
{
	const uint32_t words[] = {file->generation, (uint32_t)file->ino, file->ino >> 32};
	Watched watched;
	Handle handle = {.handle = {.handle_bytes = HANDLE_SIZE, .handle_type = TMPFS_HANDLE}};

	if (!copy_watched(names, file->dev, false, &watched))
		return -EXDEV;
	autofd root = open_root(&watched);
	if (root < 0)
		return -EXDEV;
	memcpy(handle.handle.f_handle, words, HANDLE_SIZE);
	const int fd = open_handle(root, &handle.handle, O_PATH);
	if (fd < 0)
		return -errno;
	g_autofree char *below = fd_path_below(root, fd);
	*ret_path = below && *below ? g_strdup(below + 1) : NULL;
	*ret_fd = fd;
	return 0;
}

/* Where the directory is, below the watched one, with the name behind it. NULL: it is elsewhere on
 * the tmpfs. */
static char *path_of(Names *names, const Watched *watched, const struct file_handle *directory,
		     const char *name)
{
	const struct file_handle *top = &watched->root_handle.handle;

	if (directory->handle_bytes == top->handle_bytes &&
	    !memcmp(directory->f_handle, top->f_handle, top->handle_bytes))
		return g_strdup(name);
	const int root = root_of(names, watched);
	autofd fd = open_handle(root, directory, O_PATH | O_DIRECTORY);

	/* A directory that is gone meanwhile has no path any more. */
	if (fd < 0)
		return g_strdup(name);
	g_autofree char *below = fd_path_below(root, fd);
	if (!below)
		return NULL;
	return *below ? g_build_filename(below + 1, name, NULL) : g_strdup(name);
}

/* What an event's records say. */
typedef struct {
	const Watched *watched;
	const struct file_handle *file;
	char *path, *from;
	int pidfd;
} Records;

static void take_record(Names *names, const struct fanotify_event_info_header *header,
			Records *records)
{
	if (header->info_type == FAN_EVENT_INFO_TYPE_PIDFD) {
		/* linux/fanotify.h: FAN_NOPIDFD and FAN_EPIDFD are negative */
		memcpy(&records->pidfd, header + 1, sizeof(records->pidfd));
		return;
	}
	/* All others have one. */
	const struct fanotify_event_info_fid *fid = (const void *)header;
	const struct file_handle *handle = (const void *)fid->handle;
	const char *name = (const char *)handle->f_handle + handle->handle_bytes;
	const Watched *watched = find_watched(names, &fid->fsid);
	if (!watched)
		return;
	records->watched = watched;
	switch (header->info_type) {
	case FAN_EVENT_INFO_TYPE_FID:
		records->file = handle;
		break;
	case FAN_EVENT_INFO_TYPE_OLD_DFID_NAME:
		g_free(records->from);
		records->from = path_of(names, watched, handle, name);
		break;
	case FAN_EVENT_INFO_TYPE_DFID_NAME:
	case FAN_EVENT_INFO_TYPE_NEW_DFID_NAME:
		g_free(records->path);
		records->path = path_of(names, watched, handle, name);
		break;
	}
}

/* Its records are from at to end. */
static void take_event(Names *names, const struct fanotify_event_metadata *event, const char *at,
		       const char *end, NamesTake take, gpointer data)
{
	Records records = {.pidfd = -1};
	while ((size_t)(end - at) >= sizeof(struct fanotify_event_info_header)) {
		const struct fanotify_event_info_header *header = (const void *)at;
		if (header->len < sizeof(*header) || header->len > end - at)
			break;
		take_record(names, header, &records);
		at += header->len;
	}
	if (records.watched && records.file && records.file->handle_bytes == HANDLE_SIZE &&
	    records.path) {
		NamesEvent told = {
			.verbs = (event->mask & FAN_CREATE ? NAMES_CREATE : 0) |
				 (event->mask & FAN_DELETE ? NAMES_DELETE : 0) |
				 (event->mask & FAN_RENAME ? NAMES_RENAME : 0),
			.pid = event->pid,
			.pidfd = records.pidfd,
			.file_fd =
				open_handle(root_of(names, records.watched), records.file, O_PATH),
			.path = records.path,
			.from = records.from,
			.ns = records.watched->ns,
		};
		file_of_handle(records.file, records.watched->dev, &told.file);
		take(&told, data);
	}
	if (records.pidfd >= 0)
		close(records.pidfd);
	g_free(records.path);
	g_free(records.from);
}

guint names_read(Names *names, NamesTake take, gpointer data)
{
	_Alignas(struct fanotify_event_metadata) char buffer[16384];
	const ssize_t n = read(names->fd, buffer, sizeof(buffer));
	const char *at = buffer, *end = buffer + MAX(n, 0);
	struct fanotify_event_metadata event;
	guint lost = 0;

	/* An event that follows another is where that one ends, whatever its own alignment is. */
	for (; (size_t)(end - at) >= sizeof(event); at += event.event_len) {
		memcpy(&event, at, sizeof(event));
		if (event.event_len < sizeof(event) || event.event_len > end - at)
			break;
		if (event.mask & FAN_Q_OVERFLOW)
			lost++;
		else
			take_event(names, &event, at + event.metadata_len, at + event.event_len,
				   take, data);
	}
	if (names->opened_fd >= 0)
		close(names->opened_fd);
	names->opened_of = NULL;
	names->opened_fd = -1;
	return lost;
}

bool names_look(int fd, int64_t *ret_born, nlink_t *ret_links)
{
	struct statx stat;

	if (fd < 0 || statx(fd, "", AT_EMPTY_PATH, STATX_NLINK | STATX_BTIME, &stat) < 0)
		return false;
	*ret_links = stat.stx_nlink;
	*ret_born = stat.stx_mask & STATX_BTIME
			    ? stat.stx_btime.tv_sec * 1000000000LL + stat.stx_btime.tv_nsec
			    : 0;
	return true;
}
