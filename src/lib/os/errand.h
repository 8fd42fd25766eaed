/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stdbool.h>

/*
 * What a thread does for somebody is an errand. Two things of it concern the calls below: whether
 * it may wait for what others decide on (a lock that another user holds, a process that does
 * not answer, a scan), and whether anybody still wants its result.
 *
 * A thread that has begun none may wait, and is wanted.
 */
typedef struct {
	bool must_not_wait;
	bool has_refused;     /* something was not done, since it might have had to wait */
	bool is_postponed;    /* so the errand is to be done again by a thread that may */
	gint awaits;          /* atomic: it waits for what it may wait for in vain, */
	guint awaits_since;   /* atomic: and since which turn; set before */
	const guint *turn;    /* atomic; what counts as the time, to whoever it is for. NULL: 0 */
	const gint *unwanted; /* atomic; becomes true when nobody wants it any more. NULL: never */
} Errand;

/* The calling thread's, from now to the end. */
void errand_begin(Errand *errand);
void errand_end(void);

/* To be asked before anything that can wait. false: it is not to be done; any error will do. */
bool errand_may_wait(void);
/* Has it failed since it may not wait? Then it is postponed. */
bool errand_postpone(void);
/*
 * Around a wait that may be in vain, before anything has been done. It can be claimed meanwhile, by
 * whoever has given the errand up: then end is false, and nothing is to be done.
 */
void errand_await_begin(void);
bool errand_await_end(void);
/* Does it wait so, and (ret_since can be NULL) since which turn? */
bool errand_awaits(const Errand *errand, guint *ret_since);
/* False: it does not wait. */
bool errand_claim(Errand *errand);
/* To be asked between the steps of what takes long: true is -EINTR. */
bool errand_is_unwanted(void);
/*
 * Waits so for the lock of the inode that path leads to, which another user may hold for ever, and
 * gives it back. Calls that take it do so before they look for rights, so waiting needs none.
 * -EINTR: nothing is to be done.
 */
int errand_await_lock(const char *path);

/*
 * A thread that nobody joins, with a stack of so many bytes, to which no signal comes that is not
 * sent to it alone. -EAGAIN: there can be no more.
 */
int thread_start(GThreadFunc run, gpointer data, size_t stack);
