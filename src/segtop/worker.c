/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Looking is what costs, and most of it is the look at all processes, for who holds what. So that
 * all of it stays below one percent of a processor, a look is made only when 250 times what the
 * last of its kind took has passed: what the kernel counts every delay, and the survey, on a host
 * with many processes, more seldom.
 */

#include "segtop/worker.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "lib/os/procfs.h"

#define COST_FACTOR 250
#define LONGEST (60 * G_USEC_PER_SEC) /* between two looks, whatever they cost */

typedef struct {
	WorkerKind kind;
	char *file;
} Question;

struct Worker {
	Source *source;
	gint64 delay;
	int wake;
	GAsyncQueue *questions, *answers;
	gint64 next_survey, next_glance; /* of the thread */
};

void worker_answer_free(WorkerAnswer *answer)
{
	g_clear_pointer(&answer->pieces, g_ptr_array_unref);
	g_free(answer->file);
	g_free(answer->text);
	g_free(answer);
}

static uint64_t read_shmem(void)
{
	g_autoptr(GString) text = g_string_new(NULL);
	uint64_t kib;

	return procfs_read(AT_FDCWD, "/proc/meminfo", text) == 0 &&
			       procfs_number(text->str, "Shmem", &kib)
		       ? kib * 1024
		       : 0;
}

/* Microseconds: our own, or the clock's where another process works meanwhile. */
static gint64 cost_now(const Source *source)
{
	struct timespec now;

	clock_gettime(source->is_others ? CLOCK_MONOTONIC : CLOCK_PROCESS_CPUTIME_ID, &now);
	return now.tv_sec * G_USEC_PER_SEC + now.tv_nsec / 1000;
}

static WorkerAnswer *look(Worker *worker, bool is_survey)
{
	Source *source = worker->source;
	const gint64 cost = cost_now(source);
	WorkerAnswer *answer = g_new0(WorkerAnswer, 1);

	answer->kind = WORKER_LOOKED;
	answer->is_survey = is_survey;
	answer->at = g_get_monotonic_time();
	answer->r = is_survey ? source->ops->survey(source, &answer->pieces, &answer->unexamined)
			      : source->ops->glance(source, &answer->pieces);
	answer->shmem = read_shmem();

	const gint64 now = g_get_monotonic_time(), spent = cost_now(source) - cost;
	const gint64 pause = CLAMP(spent * COST_FACTOR, worker->delay, MAX(LONGEST, worker->delay));
	if (is_survey)
		worker->next_survey = now + pause;
	/* A survey does for a glance, whose own cost is not known by it. */
	worker->next_glance = now + (is_survey ? worker->delay : pause);
	return answer;
}

static WorkerAnswer *answer_question(Worker *worker, Question *question)
{
	Source *source = worker->source;

	if (question->kind == WORKER_LOOKED)
		return look(worker, true);
	WorkerAnswer *answer = g_new0(WorkerAnswer, 1);
	answer->kind = question->kind;
	answer->at = g_get_monotonic_time();
	answer->file = g_steal_pointer(&question->file);
	answer->r = question->kind == WORKER_INFO
			    ? source->ops->info(source, answer->file, &answer->text)
			    : source->ops->remove(source, answer->file);
	if (question->kind == WORKER_REMOVED)
		worker->next_survey = 0; /* what is there now is seen at once */
	return answer;
}

static gpointer work(gpointer data)
{
	Worker *worker = data;

	for (;;) {
		const gint64 next = MIN(worker->next_survey, worker->next_glance);
		const gint64 wait = next - g_get_monotonic_time();
		Question *question = wait > 0 ? g_async_queue_timeout_pop(worker->questions, wait)
					      : g_async_queue_try_pop(worker->questions);
		WorkerAnswer *answer = NULL;
		if (question) {
			answer = answer_question(worker, question);
			g_free(question->file);
			g_free(question);
		} else {
			answer = look(worker, g_get_monotonic_time() >= worker->next_survey);
		}
		g_async_queue_push(worker->answers, answer);
		if (eventfd_write(worker->wake, 1) < 0)
			return NULL;
	}
}

Worker *worker_start(Source *source, double delay)
{
	static Worker worker; /* for ever */

	worker = (Worker){
		.source = source,
		.delay = (gint64)(delay * G_USEC_PER_SEC),
		.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
		.questions = g_async_queue_new(),
		.answers = g_async_queue_new(),
	};
	if (worker.wake < 0)
		g_error("eventfd: %m");
	g_thread_unref(g_thread_new("look", work, &worker));
	return &worker;
}

int worker_fd(const Worker *worker)
{
	return worker->wake;
}

WorkerAnswer *worker_answer(Worker *worker)
{
	eventfd_t n;

	/* Before the queue is looked at: what comes afterwards wakes again. */
	(void)!eventfd_read(worker->wake, &n);
	return g_async_queue_try_pop(worker->answers);
}

void worker_ask(Worker *worker, WorkerKind kind, const char *file)
{
	Question *question = g_new0(Question, 1);

	question->kind = kind;
	question->file = g_strdup(file);
	g_async_queue_push(worker->questions, question);
}
