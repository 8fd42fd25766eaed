/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Calls with a deadline: what hangs is left, what only waits for a processor is not. */

#include "lib/os/deadline.h"
#include "unit.h"

enum {
	SHORT_MS = 20,
	MOST_CALLS = 64, /* as many threads as there are for all calls */
};

/* Calls that hang until it is opened. */
typedef struct {
	GMutex lock; /* protects what follows */
	GCond changed;
	bool is_open;
	guint n_released;
} Gate;

static void gate_open(Gate *gate)
{
	g_mutex_lock(&gate->lock);
	gate->is_open = true;
	g_cond_broadcast(&gate->changed);
	g_mutex_unlock(&gate->lock);
}

static void hang(gpointer data)
{
	Gate *gate = data;

	g_mutex_lock(&gate->lock);
	while (!gate->is_open)
		g_cond_wait(&gate->changed, &gate->lock);
	g_mutex_unlock(&gate->lock);
}

static void released(gpointer data)
{
	Gate *gate = data;

	g_mutex_lock(&gate->lock);
	gate->n_released++;
	g_cond_broadcast(&gate->changed);
	g_mutex_unlock(&gate->lock);
}

static void gate_signal(Gate *gate)
{
	g_mutex_lock(&gate->lock);
	g_cond_broadcast(&gate->changed);
	g_mutex_unlock(&gate->lock);
}

static void gate_wait(Gate *gate, guint n)
{
	g_mutex_lock(&gate->lock);
	while (gate->n_released < n)
		g_cond_wait(&gate->changed, &gate->lock);
	g_mutex_unlock(&gate->lock);
}

/* A step at a time: a clock that ran on while the process stood still would end it at once. */
static void a_wait_is_ten_steps(void)
{
	const gint64 patience = SHORT_MS * G_TIME_SPAN_MILLISECOND, before = g_get_monotonic_time();
	DeadlineSteps steps = {};
	Gate gate = {};
	guint n = 1;

	g_mutex_lock(&gate.lock);
	while (deadline_step(&gate.changed, &gate.lock, patience, &steps))
		n++;
	g_assert_cmpuint(steps.n, ==, 10);
	g_assert_cmpuint(n, >=, 10);
	g_assert_cmpint(g_get_monotonic_time() - before, >=, patience);
	g_assert_false(deadline_step(&gate.changed, &gate.lock, patience, &steps));
	g_mutex_unlock(&gate.lock);
}

static gpointer signal_all_the_time(gpointer data)
{
	Gate *gate = data;

	while (!g_atomic_int_get(&gate->n_released))
		gate_signal(gate);
	return NULL;
}

/* Who is woken for what others wait for does not wait the longer. */
static void a_wake_in_vain_begins_no_step(void)
{
	const gint64 patience = 10 * SHORT_MS * G_TIME_SPAN_MILLISECOND;
	DeadlineSteps steps = {}, before;
	Gate gate = {};
	guint n_wakes = 0;
	bool goes_on;

	GThread *thread = g_thread_new("signals", signal_all_the_time, &gate);
	g_mutex_lock(&gate.lock);
	do {
		before = steps;
		goes_on = deadline_step(&gate.changed, &gate.lock, patience, &steps);
		if (steps.n == before.n && before.until) {
			g_assert_cmpint(steps.until, ==, before.until);
			n_wakes++;
		}
	} while (goes_on);
	g_mutex_unlock(&gate.lock);
	released(&gate);
	g_thread_join(thread);
	g_assert_cmpuint(n_wakes, >, 0);
}

static void compute(gpointer data)
{
	const gint64 until = g_get_monotonic_time() + 5 * SHORT_MS * G_TIME_SPAN_MILLISECOND;

	while (g_get_monotonic_time() < until)
		;
}

static void what_computes_is_waited_for(void)
{
	Gate gate = {};

	DeadlineCall *call = deadline_call(compute, &gate, released);
	g_assert_true(deadline_wait(call, 4 * SHORT_MS));
	deadline_leave(call);
	gate_wait(&gate, 1);
}

static void what_hangs_is_left(void)
{
	Gate gate = {};

	DeadlineCall *call = deadline_call(hang, &gate, released);
	g_assert_false(deadline_wait(call, SHORT_MS));
	deadline_leave(call);
	g_assert_cmpuint(gate.n_released, ==, 0);
	gate_open(&gate);
	gate_wait(&gate, 1);
}

static void where_all_threads_hang_no_call_is_waited_for(void)
{
	DeadlineCall *calls[MOST_CALLS + 1];
	Gate gate = {};

	for (guint i = 0; i < G_N_ELEMENTS(calls); i++)
		calls[i] = deadline_call(hang, &gate, released);
	for (guint i = 0; i < G_N_ELEMENTS(calls); i++)
		g_assert_false(deadline_wait(calls[i], i < MOST_CALLS ? 1 : SHORT_MS));
	for (guint i = 0; i < G_N_ELEMENTS(calls); i++)
		deadline_leave(calls[i]);
	gate_open(&gate);
	gate_wait(&gate, G_N_ELEMENTS(calls));
}

#define TEST(path, function) g_test_add_func("/deadline/" path, function)

int main(int argc, char **argv)
{
	unit_init(&argc, &argv);
	TEST("steps", a_wait_is_ten_steps);
	TEST("signals", a_wake_in_vain_begins_no_step);
	TEST("computes", what_computes_is_waited_for);
	TEST("hangs", what_hangs_is_left);
	TEST("all-hang", where_all_threads_hang_no_call_is_waited_for);
	return g_test_run();
}
