/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * File locks. A lock that is free is taken at once; a lock that is not is waited for on a thread
 * of its own, so that no request waits behind it, and the wait can be interrupted: a program
 * that is killed while it waits would otherwise stay until the lock is free.
 *
 * An interrupt must end the waiting system call, and a signal that comes just before the
 * call would be lost. So a timer sends the signal, again and again, from the interrupt until the
 * call is over.
 */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "lib/os/errand.h"
#include "mount/mount.h"

#define WAKE_SIGNAL SIGUSR1
#define WAKE_EVERY_NS (10 * 1000 * 1000)

typedef struct {
	fuse_req_t req;
	File *file; /* where it waits, a reference */
	uid_t uid;  /* whose wait it is */
	bool is_flock;
	int operation; /* of flock(2) */
	uint64_t owner;
	struct flock lock; /* of fcntl(2) */

	GMutex guard;   /* protects what follows */
	bool has_timer; /* there is a thread to wake */
	bool interrupted;
	timer_t timer;
} Wait;

static gint waiting; /* threads */

/* So many of them are one user's, and so many there are at all; each has so much of a stack. */
#define MOST_OF_USER 256
#define MOST 1024
#define STACK (64 * 1024)

static GMutex users_lock; /* protects users */
static GHashTable *users; /* uid -> how many */

/* False: the user has too many, or there are. */
static bool change_waiting(uid_t uid, int by)
{
	const gpointer key = GUINT_TO_POINTER(uid);

	g_mutex_lock(&users_lock);
	if (!users)
		users = g_hash_table_new(NULL, NULL);
	const int n = by + GPOINTER_TO_INT(g_hash_table_lookup(users, key));
	const bool may = by < 0 || (n <= MOST_OF_USER && g_atomic_int_get(&waiting) < MOST);
	if (may && n > 0)
		g_hash_table_insert(users, key, GINT_TO_POINTER(n));
	else if (may)
		g_hash_table_remove(users, key);
	if (may)
		g_atomic_int_add(&waiting, by);
	g_mutex_unlock(&users_lock);
	return may;
}

bool lock_is_waiting(void)
{
	return g_atomic_int_get(&waiting) > 0;
}

static void on_wake(int signal_number)
{
}

void lock_init(void)
{
	const struct sigaction wake = {.sa_handler = on_wake}; /* no SA_RESTART */

	sigaction(WAKE_SIGNAL, &wake, NULL);
}

static int take(const Wait *wait, bool block)
{
	File *file = wait->file;

	if (wait->is_flock)
		return file->ops->flock(file, wait->operation | (block ? 0 : LOCK_NB));
	struct flock lock = wait->lock;
	return file->ops->lock(file, wait->owner, block ? F_SETLKW : F_SETLK, &lock);
}

/* Call with the guard held. */
static void wake(Wait *wait)
{
	const struct itimerspec often = {
		.it_value.tv_nsec = 1,
		.it_interval.tv_nsec = WAKE_EVERY_NS,
	};

	timer_settime(wait->timer, 0, &often, NULL);
}

static void on_interrupt(fuse_req_t req, void *data)
{
	Wait *wait = data;

	g_mutex_lock(&wait->guard);
	wait->interrupted = true;
	if (wait->has_timer)
		wake(wait);
	g_mutex_unlock(&wait->guard);
}

static bool was_interrupted(Wait *wait)
{
	g_mutex_lock(&wait->guard);
	const bool interrupted = wait->interrupted;
	g_mutex_unlock(&wait->guard);
	return interrupted;
}

static int wait_for_lock(Wait *wait)
{
	struct sigevent event = {
		.sigev_notify = SIGEV_THREAD_ID,
		.sigev_signo = WAKE_SIGNAL,
		._sigev_un._tid = syscall(SYS_gettid),
	};
	sigset_t wakes;
	int r;

	sigemptyset(&wakes);
	sigaddset(&wakes, WAKE_SIGNAL);
	pthread_sigmask(SIG_UNBLOCK, &wakes, NULL);
	if (timer_create(CLOCK_MONOTONIC, &event, &wait->timer) < 0)
		return -ENOLCK;
	g_mutex_lock(&wait->guard);
	wait->has_timer = true;
	if (wait->interrupted)
		wake(wait);
	g_mutex_unlock(&wait->guard);

	do {
		r = take(wait, true);
	} while (r == -EINTR && !was_interrupted(wait));

	g_mutex_lock(&wait->guard);
	wait->has_timer = false;
	timer_delete(wait->timer);
	g_mutex_unlock(&wait->guard);
	return r;
}

static gpointer wait_thread(gpointer data)
{
	Wait *wait = data;
	const int r = wait_for_lock(wait);

	/* No interrupt comes after this. */
	fuse_req_interrupt_func(wait->req, NULL, NULL);
	reply_name_result(wait->req, r);
	g_mutex_clear(&wait->guard);
	file_unref(wait->file);
	change_waiting(wait->uid, -1);
	g_free(wait);
	return NULL;
}

static void lock(const Wait *wanted, bool block)
{
	int r = take(wanted, false);

	if (!block || (r != -EAGAIN && r != -EACCES)) {
		reply_name_result(wanted->req, r);
		return;
	}
	const uid_t uid = fuse_req_ctx(wanted->req)->uid;
	if (!change_waiting(uid, 1)) {
		reply_name_result(wanted->req, -ENOLCK);
		return;
	}
	Wait *wait = g_memdup2(wanted, sizeof(*wanted));
	wait->uid = uid;
	file_ref(wait->file);
	g_mutex_init(&wait->guard);
	fuse_req_interrupt_func(wait->req, on_interrupt, wait);
	if (thread_start(wait_thread, wait, STACK) == 0)
		return;
	fuse_req_interrupt_func(wait->req, NULL, NULL);
	reply_name_result(wait->req, -ENOLCK);
	g_mutex_clear(&wait->guard);
	file_unref(wait->file);
	change_waiting(uid, -1);
	g_free(wait);
}

void op_flock(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, int operation)
{
	const Wait wanted = {
		.req = req,
		.file = file_of(fi),
		.is_flock = true,
		.operation = operation & ~LOCK_NB,
	};

	if (!wanted.file->ops->flock)
		reply_name_result(req, -EOPNOTSUPP);
	else
		lock(&wanted, !(operation & LOCK_NB));
}

void op_setlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct flock *fields,
	      int sleep)
{
	const Wait wanted = {
		.req = req, .file = file_of(fi), .owner = fi->lock_owner, .lock = *fields};

	if (!wanted.file->ops->lock)
		reply_name_result(req, -EOPNOTSUPP);
	else
		lock(&wanted, sleep);
}

void op_getlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct flock *fields)
{
	File *file = file_of(fi);
	int r = file->ops->lock ? file->ops->lock(file, fi->lock_owner, F_GETLK, fields)
				: -EOPNOTSUPP;

	if (r < 0)
		reply_name_result(req, r);
	else
		fuse_reply_lock(req, fields);
}
