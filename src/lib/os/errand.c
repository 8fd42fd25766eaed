/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/os/errand.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/xattr.h>

/* Signals that a thread brings upon itself (signal(7)): a fault, a system call that is refused. */
static const int own_deeds[] = {SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGSYS, SIGTRAP};

static __thread Errand *own;

void errand_begin(Errand *errand)
{
	own = errand;
}

void errand_end(void)
{
	own = NULL;
}

bool errand_may_wait(void)
{
	if (!own || !own->must_not_wait)
		return true;
	own->has_refused = true;
	return false;
}

bool errand_postpone(void)
{
	if (!own || !own->has_refused)
		return false;
	own->is_postponed = true;
	return true;
}

enum { GOES_ON, AWAITS, IS_CLAIMED };

void errand_await_begin(void)
{
	if (!own)
		return;
	g_atomic_int_set(&own->awaits_since, own->turn ? g_atomic_int_get(own->turn) : 0);
	/* What was claimed before stays so. */
	g_atomic_int_compare_and_exchange(&own->awaits, GOES_ON, AWAITS);
}

bool errand_await_end(void)
{
	return !own || g_atomic_int_compare_and_exchange(&own->awaits, AWAITS, GOES_ON);
}

bool errand_awaits(const Errand *errand, guint *ret_since)
{
	const bool awaits = g_atomic_int_get(&errand->awaits) == AWAITS;

	if (awaits && ret_since)
		*ret_since = g_atomic_int_get(&errand->awaits_since);
	return awaits;
}

bool errand_claim(Errand *errand)
{
	return g_atomic_int_compare_and_exchange(&errand->awaits, AWAITS, IS_CLAIMED);
}

bool errand_is_unwanted(void)
{
	return own && own->unwanted && g_atomic_int_get(own->unwanted);
}

int errand_await_lock(const char *path)
{
	errand_await_begin();
	/* Nothing has it: so nothing changes. */
	removexattr(path, "user.segfs.none");
	return errand_await_end() && !errand_is_unwanted() ? 0 : -EINTR;
}

int thread_start(GThreadFunc run, gpointer data, size_t stack)
{
	pthread_attr_t attributes;
	sigset_t all, before;
	pthread_t thread;

	if (pthread_attr_init(&attributes) != 0)
		return -ENOMEM;
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attributes, stack);
	sigfillset(&all);
	/* What the thread does itself: blocked, the kernel would end the process at once. */
	for (guint i = 0; i < G_N_ELEMENTS(own_deeds); i++)
		sigdelset(&all, own_deeds[i]);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	const int r = -pthread_create(&thread, &attributes, run, data);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	return r;
}
