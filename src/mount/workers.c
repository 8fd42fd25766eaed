/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Some requests make a thread wait that no signal ends: for an inode's lock, say, which whoever
 * may write to an object holds for as long as a page of the bytes that they write does not come.
 *
 * The program that asks can be killed all the same. The kernel then says that the request is
 * interrupted, and the worker is given up: the kernel is told EINTR, past libfuse, which keeps
 * the request; to what the worker answers when it comes back, if ever, the kernel says ENOENT, as
 * to any answer of an interrupted request, and handlers undo what they have opened or remembered.
 * So a late result harms nobody, and no request is answered twice.
 *
 * The kernel says so for any signal. On /dev/shm one that a program handles ends none of these
 * calls; so unless the program is being killed a request has its time first.
 *
 * A request that changes something is made with a lock of the mount's own file or directory held,
 * by the program that makes it: its rm of an object that somebody else changes keeps everybody from
 * the directory. So before it begins the worker waits for the object's lock alone
 * (errand_await_lock()); where that takes too long the answer is EBUSY, and nothing has been done.
 * How long is counted in turns of the thread that looks after it: where the machine, or this
 * process, stands still, so does the time of who waits for it.
 */

#include "mount/workers.h"

#include <errno.h>
#include <segfs/thread.h>
#include <signal.h>
#include <string.h>

#include "lib/os/deadline.h"
#include "lib/os/errand.h"
#include "lib/os/procfs.h"
#include "mount/mount.h"
#include "mount/receive.h"

#define STACK (512 * 1024) /* for what is longest: names of users, reports */
#define MOST_THREADS 256
/* Those that wait for one look wait together: more would not be answered sooner. */
#define SHARE 16
/* Root works for others, too: what hangs for it is not its own doing. */
#define SHARE_OF_ROOT 64
/* Workers that were given up and are still stuck; with as many, no other takes their place. */
#define MOST_STUCK 16
#define MOST_BYTES (32 * 1024 * 1024) /* of writes that wait for one's workers */
/* So many threads wait for work; a thread that more do not need ends. */
#define MOST_IDLE 4

#define TURN (20 * G_TIME_SPAN_MILLISECOND)
#define MOST_MORE 4 /* turns that the watcher's own work counts as, in one */
#define GRACE 100U  /* turns, of what is interrupted, but not killed */
/*
 * Turns that what is_urgent waits, half as many as the user's last one that was late, down to one:
 * they wait behind each other. A user of whom none was late for a while begins anew.
 */
#define PATIENCE 35U
#define LATE_MOST 6
#define LATE_FOR (5 * G_TIME_SPAN_SECOND)
#define WATCH_ON (500 * G_TIME_SPAN_MILLISECOND) /* behind the last: a wake for each costs */

#define SHARE_SHIFT 62 /* of User.whose, a WorkerShare */
#define KEY(unique) ((gpointer)(uintptr_t)(unique))

typedef struct {
	uint64_t whose;
	GQueue waiting; /* Job */
	guint n_jobs, n_running, n_stuck, n_late;
	gint64 late_at; /* the last of those, monotonic */
	size_t bytes;   /* of jobs */
	bool is_ready;  /* is in Workers.ready */
} User;

typedef struct {
	WorkerRequest request;
	Asked asked;
	struct fuse_file_info fi;
	User *user;
	pid_t pid; /* the thread that asks; 0: in a pid namespace that is not seen from here */
	bool is_queued, is_running, is_interrupted;
	guint asked_at, interrupted_at; /* turns */
	gint is_given_up;               /* atomic */
	Errand errand;
} Job;

struct Workers {
	struct fuse_session *session;
	const char *proc_root;

	GMutex lock; /* protects what follows, and all Jobs and Users */
	GCond has_work, has_ended, has_watched;
	GHashTable *jobs, *users; /* unique -> Job; whose -> User */
	GQueue ready;             /* User: with work that a worker may begin */
	guint n_threads, n_idle;
	guint n_to_wake;  /* of those that are idle, once the lock is given up */
	guint n_watched;  /* jobs that are to be looked after; */
	gint64 watched;   /* when the last came, monotonic */
	guint turn;       /* atomic: of the watcher; changed with the lock held alone */
	bool has_watcher; /* there is a thread that does, */
	bool is_asleep;   /* which is to be woken */
	bool is_ending;
};

static User *user_get(Workers *workers, const WorkerRequest *request)
{
	const uint64_t whose = request->whose | (uint64_t)request->share << SHARE_SHIFT;
	User *user = g_hash_table_lookup(workers->users, &whose);

	if (!user) {
		user = g_new0(User, 1);
		user->whose = whose;
		g_hash_table_insert(workers->users, &user->whose, user);
	}
	return user;
}

static bool may_take_more(const User *user)
{
	const guint share =
		(user->whose & ((1ULL << SHARE_SHIFT) - 1)) == 0 ? SHARE_OF_ROOT : SHARE;

	return user->n_running < share + MIN(user->n_stuck, MOST_STUCK);
}

static gpointer work(gpointer data);

/* Who is woken while the lock is held only waits for it, which costs as much as to be woken. */
static void unlock(Workers *workers)
{
	guint n = workers->n_to_wake;

	workers->n_to_wake = 0;
	g_mutex_unlock(&workers->lock);
	for (; n > 0; n--)
		g_cond_signal(&workers->has_work);
}

/* Somebody takes up what user has to do, if it may begin. Call with the lock held. */
static void user_changed(Workers *workers, User *user)
{
	const bool may = user->waiting.length > 0 && may_take_more(user) && !workers->is_ending;
	/* Who has none at work gets one, however many others have. */
	const guint most = user->n_running ? MOST_THREADS : 2 * MOST_THREADS;

	if (user->is_ready == may)
		return;
	user->is_ready = may;
	if (!may) {
		g_queue_remove(&workers->ready, user);
		return;
	}
	g_queue_push_tail(&workers->ready, user);
	if (workers->n_idle >= workers->ready.length)
		workers->n_to_wake++;
	else if (workers->n_threads < most && thread_start(work, workers, STACK) == 0)
		workers->n_threads++;
}

static Job *job_new(const WorkerRequest *request)
{
	const Asked *asked = request->asked;
	Job *job = g_new0(Job, 1);

	job->request = *request;
	job->pid = fuse_req_ctx(request->req)->pid;
	job->asked = *asked;
	job->request.asked = &job->asked;
	if (asked->data)
		job->asked.data = receive_keep(asked->data, asked->data_size);
	job->asked.name = g_strdup(asked->name);
	job->asked.target = g_strdup(asked->target);
	if (asked->fi) {
		job->fi = *asked->fi;
		job->asked.fi = &job->fi;
	}
	/* The kernel may forget and release what a request that it takes for answered is about. */
	node_ref(request->node);
	if (request->other)
		node_ref(request->other);
	if (asked->file)
		file_ref(asked->file);
	if (asked->listing)
		listing_ref(asked->listing);
	return job;
}

/* Not with the lock held: the last reference of a file closes it. */
static void job_free(Job *job)
{
	if (job->asked.listing)
		listing_unref(job->asked.listing);
	if (job->asked.file)
		file_unref(job->asked.file);
	if (job->request.other)
		node_unref(job->request.other);
	node_unref(job->request.node);
	receive_free((gpointer)job->asked.data);
	g_free((gpointer)job->asked.name);
	g_free((gpointer)job->asked.target);
	g_free(job);
}

static bool is_watched(const Job *job)
{
	return job->request.is_urgent || job->is_interrupted;
}

/* It is over, or nobody wants it. Call with the lock held. */
static void job_leave(Workers *workers, Job *job)
{
	User *user = job->user;

	g_hash_table_remove(workers->jobs, KEY(job->request.unique));
	if (job->is_queued)
		g_queue_remove(&user->waiting, job);
	user->n_running -= job->is_running;
	user->n_stuck -= job->is_given_up;
	user->bytes -= job->asked.data_size;
	workers->n_watched -= is_watched(job);
	user->n_jobs--;
	user_changed(workers, user);
	if (user->n_jobs == 0)
		g_hash_table_remove(workers->users, &user->whose);
}

static void drop(Job *job, int error)
{
	fuse_reply_err(job->request.req, error);
	job_free(job);
}

static bool is_killed(const Workers *workers, const Job *job)
{
	return job->pid > 0 && procfs_is_killed(workers->proc_root, job->pid);
}

static bool is_interrupted(const Workers *workers, const Job *job)
{
	const guint grace = job->request.is_long && job->pid > 0 ? G_MAXUINT : GRACE;

	return job->is_interrupted &&
	       (workers->turn - job->interrupted_at > grace || is_killed(workers, job));
}

static guint n_late_of(const User *user)
{
	return g_get_monotonic_time() - user->late_at < LATE_FOR ? MIN(user->n_late, LATE_MOST) : 0;
}

/* Nothing of it has been done. What takes long has its time, before and behind a wait. */
static bool is_late(const Workers *workers, const Job *job)
{
	const User *user = job->user;
	const bool is_long = job->request.is_long;
	const bool all_stuck = user->n_stuck && user->n_stuck == user->n_running;
	guint since = job->asked_at;
	const bool awaits = job->is_running && errand_awaits(&job->errand, is_long ? &since : NULL);

	return job->request.is_urgent && (job->is_running ? awaits : !is_long || all_stuck) &&
	       workers->turn - since > MAX(PATIENCE >> n_late_of(user), 1);
}

/* For which it is to be given up, or 0, as before it has been queued. */
static int error_of(const Workers *workers, const Job *job)
{
	if (workers->is_ending)
		return job->is_queued ? ENOTCONN : 0;
	if (job->is_given_up || !(job->is_queued || job->is_running))
		return 0;
	return is_late(workers, job) ? EBUSY : is_interrupted(workers, job) ? EINTR : 0;
}

/* One that is to be given up. Call with the lock held. */
static Job *find(const Workers *workers, int *ret_error)
{
	GHashTableIter each;
	gpointer pointer;

	g_hash_table_iter_init(&each, workers->jobs);
	while (g_hash_table_iter_next(&each, NULL, &pointer)) {
		if ((*ret_error = error_of(workers, pointer)))
			return pointer;
	}
	return NULL;
}

/* Call with the lock held, which is given up meanwhile. */
static void give_up(Workers *workers, Job *job, int error)
{
	User *user = job->user;

	/* Has its wait come to an end just now? */
	if (job->is_running && error == EBUSY && !errand_claim(&job->errand))
		return;
	if (error == EBUSY) {
		user->n_late = n_late_of(user) + 1;
		user->late_at = g_get_monotonic_time();
	}
	if (job->is_running) {
		g_atomic_int_set(&job->is_given_up, 1);
		user->n_stuck++;
		receive_end(workers->session, job->request.unique, error);
		user_changed(workers, user);
		unlock(workers);
	} else {
		job_leave(workers, job);
		unlock(workers);
		drop(job, error);
	}
	g_mutex_lock(&workers->lock);
}

/* Looks after jobs as long as there are such, and sleeps while there are none. */
static gpointer watch(gpointer data)
{
	Workers *workers = data;
	Job *job;
	int error;

	g_mutex_lock(&workers->lock);
	while (!workers->is_ending) {
		const gint64 begun = g_get_monotonic_time();
		while ((job = find(workers, &error)))
			give_up(workers, job, error);
		const gint64 done = g_get_monotonic_time();
		workers->is_asleep = !workers->is_ending && workers->n_watched == 0 &&
				     done - workers->watched > WATCH_ON;
		if (workers->is_asleep)
			g_cond_wait(&workers->has_watched, &workers->lock);
		else if (!g_cond_wait_until(&workers->has_watched, &workers->lock, done + TURN))
			g_atomic_int_add(&workers->turn, 1 + MIN((done - begun) / TURN, MOST_MORE));
		workers->is_asleep = false;
	}
	workers->has_watcher = false;
	g_cond_broadcast(&workers->has_ended);
	unlock(workers);
	return NULL;
}

/* Call with the lock held. */
static void watch_one_more(Workers *workers)
{
	workers->n_watched++;
	workers->watched = g_get_monotonic_time();
	if (!workers->has_watcher)
		workers->has_watcher = thread_start(watch, workers, STACK) == 0;
	else if (workers->is_asleep)
		g_cond_signal(&workers->has_watched);
}

void workers_interrupt(fuse_req_t req, void *unique)
{
	Workers *workers = mount_of(req)->workers;

	g_mutex_lock(&workers->lock);
	Job *job = g_hash_table_lookup(workers->jobs, unique);
	if (job && !job->is_interrupted) {
		if (!is_watched(job))
			watch_one_more(workers);
		job->is_interrupted = true;
		job->interrupted_at = workers->turn;
	}
	unlock(workers);
}

static void run(Job *job)
{
	segfs_thread_comes_home();
	errand_begin(&job->errand);
	job->request.run(job->request.req, &job->asked);
	errand_end();
}

/* Call with the lock held. NULL: this thread is not needed. */
static Job *take(Workers *workers)
{
	while (workers->ready.length == 0 && !workers->is_ending) {
		if (workers->n_idle >= MOST_IDLE)
			return NULL;
		workers->n_idle++;
		g_cond_wait(&workers->has_work, &workers->lock);
		workers->n_idle--;
	}
	if (workers->is_ending)
		return NULL;
	User *user = g_queue_pop_head(&workers->ready);
	Job *job = g_queue_pop_head(&user->waiting);
	user->is_ready = false;
	user->n_running++;
	job->is_queued = false;
	job->is_running = true;
	user_changed(workers, user);
	return job;
}

static gpointer work(gpointer data)
{
	Workers *workers = data;
	Job *job;

	g_mutex_lock(&workers->lock);
	while ((job = take(workers))) {
		unlock(workers);
		run(job);
		g_mutex_lock(&workers->lock);
		job_leave(workers, job);
		unlock(workers);
		job_free(job);
		g_mutex_lock(&workers->lock);
	}
	workers->n_threads--;
	g_cond_broadcast(&workers->has_ended);
	unlock(workers);
	return NULL;
}

void workers_do(Workers *workers, const WorkerRequest *request)
{
	Job *job = job_new(request);

	g_mutex_lock(&workers->lock);
	User *user = job->user = user_get(workers, request);
	user->n_jobs++;
	user->bytes += job->asked.data_size;
	job->asked_at = workers->turn;
	job->errand = (Errand){.turn = &workers->turn, .unwanted = &job->is_given_up};
	const bool fits = user->bytes <= MOST_BYTES;
	g_hash_table_insert(workers->jobs, KEY(request->unique), job);
	if (request->is_urgent)
		watch_one_more(workers);
	unlock(workers);

	/* Before it is queued: whoever takes it up answers it, and then it is gone. */
	fuse_req_interrupt_func(request->req, workers_interrupt, KEY(request->unique));

	g_mutex_lock(&workers->lock);
	int r = !fits ? ENOMEM : workers->is_ending ? ENOTCONN : 0;
	if (r == 0 && job->is_interrupted && is_killed(workers, job))
		r = EINTR;
	/* Not one more of very many for which there will be no worker. */
	if (r == 0 && request->is_urgent && n_late_of(user) == LATE_MOST && !may_take_more(user))
		r = EBUSY;
	if (r == 0) {
		job->is_queued = true;
		g_queue_push_tail(&user->waiting, job);
		user_changed(workers, user);
		if (workers->n_threads == 0)
			r = ENOMEM;
	}
	if (r != 0)
		job_leave(workers, job);
	unlock(workers);
	if (r != 0)
		drop(job, r);
}

Workers *workers_new(struct fuse_session *session, const char *proc_root)
{
	Workers *workers = g_new0(Workers, 1);

	workers->session = session;
	workers->proc_root = proc_root;
	g_mutex_init(&workers->lock);
	g_cond_init(&workers->has_work);
	g_cond_init(&workers->has_ended);
	g_cond_init(&workers->has_watched);
	workers->jobs = g_hash_table_new(NULL, NULL);
	workers->users = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, g_free);
	return workers;
}

bool workers_end(Workers *workers, guint ms)
{
	const gint64 patience = ms * G_TIME_SPAN_MILLISECOND;
	DeadlineSteps steps = {};
	bool in_time = true;
	Job *job;
	int error;

	g_mutex_lock(&workers->lock);
	workers->is_ending = true;
	g_cond_broadcast(&workers->has_work);
	g_cond_broadcast(&workers->has_watched);
	while ((job = find(workers, &error)))
		give_up(workers, job, error);
	while (in_time && (workers->n_threads > 0 || workers->has_watcher))
		in_time = deadline_step(&workers->has_ended, &workers->lock, patience, &steps);
	unlock(workers);
	return in_time;
}

void workers_free(Workers *workers)
{
	g_hash_table_unref(workers->users);
	g_hash_table_unref(workers->jobs);
	g_cond_clear(&workers->has_watched);
	g_cond_clear(&workers->has_ended);
	g_cond_clear(&workers->has_work);
	g_mutex_clear(&workers->lock);
	g_free(workers);
}
