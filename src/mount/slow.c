/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "mount/slow.h"

#include <errno.h>
#include <segfs/thread.h>

/* Those that wait for one look wait together: more would not be answered sooner. */
#define MOST_THREADS 16

struct SlowPool {
	GThreadPool *pool;
};

typedef struct {
	SlowRun run;
	fuse_req_t req;
	Asked asked;
	struct fuse_file_info fi;
} Request;

static void request_free(Request *request)
{
	g_free((gpointer)request->asked.data);
	g_free(request);
}

static void go(gpointer data, gpointer unused)
{
	Request *request = data;

	segfs_thread_comes_home();
	request->run(request->req, &request->asked);
	request_free(request);
}

static void drop(gpointer data)
{
	Request *request = data;

	fuse_reply_err(request->req, ENOTCONN);
	request_free(request);
}

SlowPool *slow_pool_new(void)
{
	SlowPool *slow = g_new0(SlowPool, 1);

	slow->pool = g_thread_pool_new_full(go, NULL, drop, MOST_THREADS, FALSE, NULL);
	return slow;
}

void slow_pool_free(SlowPool *slow)
{
	g_thread_pool_free(slow->pool, TRUE, TRUE);
	g_free(slow);
}

void slow_pool_do(SlowPool *slow, SlowRun run, fuse_req_t req, const Asked *asked)
{
	Request *request = g_new0(Request, 1);

	*request = (Request){run, req, *asked, {}};
	request->asked.data = g_memdup2(asked->data, asked->data_size);
	if (asked->fi) {
		request->fi = *asked->fi;
		request->asked.fi = &request->fi;
	}
	g_thread_pool_push(slow->pool, request, NULL);
}
