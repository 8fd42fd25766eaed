/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "hold.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/os/autofd.h"

enum { SIZE = 5000 };

typedef struct {
	HoldTake take;
	const void *data;
} Order;

typedef struct {
	Taken taken;
	int error;
} Answer;

typedef struct {
	int socket;
	Taken taken;
	pthread_barrier_t goes_on;
} Child;

static void *child_serve(void *data);

/* What serves is another thread from here on; does not return in the first one. */
static void end_first_thread(Child *child)
{
	pthread_t thread;

	pthread_barrier_init(&child->goes_on, NULL, 2);
	if (pthread_create(&thread, NULL, child_serve, child) != 0)
		_exit(1);
	pthread_barrier_wait(&child->goes_on);
	syscall(SYS_exit, 0);
}

static void *child_serve(void *data)
{
	Child *child = data;
	const bool is_first = getpid() == gettid();
	Order order;

	if (!is_first) {
		g_autofree char *path = g_strdup_printf("/proc/self/task/%d/stat", getpid());
		g_autofree char *text = NULL;
		pthread_barrier_wait(&child->goes_on);
		do {
			g_clear_pointer(&text, g_free);
			if (!g_file_get_contents(path, &text, NULL, NULL))
				_exit(1);
		} while (!strstr(text, ") Z "));
		send(child->socket, &(Answer){.taken = child->taken}, sizeof(Answer), 0);
	}
	while (recv(child->socket, &order, sizeof(order), 0) == sizeof(order)) {
		Answer answer = {};
		errno = 0;
		if (!order.take(&child->taken, order.data))
			answer.error = errno ? errno : EINVAL;
		if (is_first && child->taken.ends_first_thread)
			end_first_thread(child);
		answer.taken = child->taken;
		if (send(child->socket, &answer, sizeof(answer), 0) < 0)
			break;
	}
	unit_exit(0);
}

void hold_start(Hold *ret_hold, HoldTake take, const void *data)
{
	const pid_t parent = getpid();
	int sockets[2];

	g_assert_no_errno(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets));
	const pid_t pid = fork();
	g_assert_no_errno(pid);
	if (pid == 0) {
		static Child child;
		close(sockets[0]);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		child = (Child){.socket = sockets[1], .taken.fd = -1};
		child_serve(&child);
	}
	close(sockets[1]);
	*ret_hold = (Hold){.pid = pid, .socket = sockets[0]};
	hold_step(ret_hold, take, data);
}

void hold_step(Hold *hold, HoldTake take, const void *data)
{
	const Order order = {take, data};
	Answer answer = {.error = EPIPE};

	g_assert_no_errno(send(hold->socket, &order, sizeof(order), MSG_NOSIGNAL));
	g_assert_no_errno(recv(hold->socket, &answer, sizeof(answer), 0));
	g_assert_cmpint(answer.error, ==, 0);
	hold->taken = answer.taken;
}

void hold_stop(Hold *hold)
{
	if (hold->pid <= 0)
		return;
	/* Not only closed: later children have it open, too. */
	shutdown(hold->socket, SHUT_RDWR);
	close(hold->socket);
	waitpid(hold->pid, NULL, 0);
	hold->pid = 0;
}

SegfsId id_of_stat(SegfsKind kind, const struct stat *st)
{
	return (SegfsId){kind, st->st_dev, st->st_ino};
}

SegfsId id_of_segment(const SegfsIpc *ipc, int shmid)
{
	return (SegfsId){SEGFS_SYSV, segfs_ipc_inum(ipc), shmid};
}

static bool take(Taken *taken, SegfsKind kind, int fd, bool mapped)
{
	struct stat st;

	*taken = (Taken){.fd = fd};
	if (fd < 0 || ftruncate(fd, SIZE) < 0 || fstat(fd, &st) < 0)
		return false;
	taken->id = id_of_stat(kind, &st);
	if (!mapped)
		return true;
	taken->at = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	taken->fd = -1;
	return taken->at != MAP_FAILED;
}

bool take_memfd(Taken *taken, const void *name)
{
	return take(taken, SEGFS_MEMFD, memfd_create(name, MFD_CLOEXEC), false);
}

bool take_memfd_mapped(Taken *taken, const void *name)
{
	return take(taken, SEGFS_MEMFD, memfd_create(name, MFD_CLOEXEC), true);
}

bool take_file(Taken *taken, const void *path)
{
	return take(taken, SEGFS_POSIX, open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600), false);
}

bool take_file_mapped(Taken *taken, const void *path)
{
	return take(taken, SEGFS_POSIX, open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600), true);
}

/* Its file's numbers are in maps only: "start-end rw-s 00000000 00:01 5 /dev/zero (deleted)". */
static bool take_mapping_of(Taken *taken, char *at)
{
	g_autofree char *begin = g_strdup_printf("%zx-", (size_t)at);
	g_autofree char *maps = NULL;
	unsigned int major, minor;
	unsigned long inode;

	*taken = (Taken){.fd = -1, .at = at};
	if (at == MAP_FAILED || !g_file_get_contents("/proc/self/maps", &maps, NULL, NULL))
		return false;
	const char *line = strstr(maps, begin);
	if (!line || sscanf(line, "%*s %*s %*s %x:%x %lu", &major, &minor, &inode) != 3)
		return false;
	/* As makedev(3) has it: minor numbers above 255 are not met here. */
	taken->id = (SegfsId){SEGFS_ANON, major << 8 | minor, inode};
	return true;
}

bool take_anon(Taken *taken, const void *unused)
{
	return take_mapping_of(
		taken, mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
}

bool take_zero(Taken *taken, const void *unused)
{
	autofd fd = open("/dev/zero", O_RDWR | O_CLOEXEC);

	return take_mapping_of(taken, mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
}

bool take_segment(Taken *taken, const void *unused)
{
	const int shmid = shmget(IPC_PRIVATE, SIZE, IPC_CREAT | 0600);

	*taken = (Taken){.id = {SEGFS_SYSV, 0, shmid}, .fd = -1};
	if (shmid < 0)
		return false;
	taken->at = shmat(shmid, NULL, 0);
	return taken->at != (char *)-1;
}

bool take_first_threads_end(Taken *taken, const void *unused)
{
	taken->ends_first_thread = true;
	return true;
}

bool take_again(Taken *taken, const void *unused)
{
	if (taken->id.kind == SEGFS_SYSV)
		return shmat(taken->id.number, NULL, SHM_RDONLY) != (void *)-1;
	if (taken->fd >= 0)
		return dup(taken->fd) >= 0;
	return mremap(taken->at, 0, SIZE, MREMAP_MAYMOVE) != MAP_FAILED;
}

bool take_less(Taken *taken, const void *unused)
{
	if (taken->id.kind == SEGFS_SYSV)
		return shmdt(taken->at) == 0;
	return taken->fd >= 0 ? close(taken->fd) == 0 : munmap(taken->at, SIZE) == 0;
}

static bool take_segment_there(Taken *taken, const void *shmid)
{
	*taken = (Taken){.id = {SEGFS_SYSV, 0, *(const int *)shmid}, .fd = -1};
	return true;
}

static bool take_attach(Taken *taken, const void *flags)
{
	taken->at = shmat(taken->id.number, NULL, GPOINTER_TO_INT(flags));
	return taken->at != (char *)-1;
}

static bool take_fill(Taken *taken, const void *byte)
{
	memset(taken->at, GPOINTER_TO_INT(byte), 4096);
	return true;
}

static bool take_namespace(Taken *taken, const void *size)
{
	g_autofree char *text = g_strdup_printf("%d", (int)taken->id.number);

	if (unshare(CLONE_NEWIPC) < 0)
		return false;
	autofd fd = open("/proc/sys/kernel/shm_next_id", O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		return false;
	const int same = shmget(IPC_PRIVATE, GPOINTER_TO_SIZE(size), IPC_CREAT | 0600);
	return same >= 0 && same == (int)taken->id.number;
}

void hold_segment(Hold *ret_hold, int shmid)
{
	hold_start(ret_hold, take_segment_there, &shmid);
}

void hold_attach(Hold *hold)
{
	hold_step(hold, take_attach, NULL);
}

void hold_attach_read_only(Hold *hold)
{
	hold_step(hold, take_attach, GINT_TO_POINTER(SHM_RDONLY));
}

void hold_detach(Hold *hold)
{
	hold_step(hold, take_less, NULL);
}

void hold_fill(Hold *hold, char byte)
{
	hold_step(hold, take_fill, GINT_TO_POINTER(byte));
}

void hold_leave_namespace(Hold *hold, size_t size)
{
	hold_step(hold, take_namespace, GSIZE_TO_POINTER(size));
}

static bool take_segment_unattached(Taken *taken, const void *made)
{
	const struct shmid_ds *ds = made;
	const int shmid = shmget(IPC_PRIVATE, ds->shm_segsz, IPC_CREAT | ds->shm_perm.mode);

	taken->id = (SegfsId){SEGFS_SYSV, 0, shmid};
	return shmid >= 0;
}

int segment_make_by_dead(size_t size, mode_t mode)
{
	const struct shmid_ds ds = {.shm_segsz = size, .shm_perm.mode = mode};
	g_auto(Hold) creator = {};

	hold_start(&creator, take_segment_unattached, &ds);
	return segment_adopt(creator.taken.id.number);
}

SegfsScan *scan_now(SegfsScanner *scanner)
{
	SegfsScan *scan = NULL;

	g_assert_cmpint(segfs_scanner_scan(scanner, segfs_since_now(), &scan), ==, 0);
	g_assert_nonnull(scan);
	return scan;
}

const SegfsHolder *scan_holder(const SegfsScan *scan, const SegfsId *id, pid_t pid)
{
	const SegfsHeld *held = segfs_scan_find(scan, id);
	const SegfsHolder *found = NULL;

	for (guint i = 0; held && i < held->holders->len; i++) {
		const SegfsHolder *holder = &g_array_index(held->holders, SegfsHolder, i);
		if (holder->process->pid != pid)
			continue;
		g_assert_null(found); /* once in it, however often it has it */
		found = holder;
	}
	return found;
}
