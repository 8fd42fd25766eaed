/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "mount/later.h"

#include <errno.h>
#include <segfs/ipc.h>

/* Those that wait for one look wait together: more would not be answered sooner. */
#define MOST_THREADS 16

struct Later {
	GThreadPool *pool;
};

typedef struct {
	LaterRun run;
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

Later *later_new(void)
{
	Later *later = g_new0(Later, 1);

	later->pool = g_thread_pool_new_full(go, NULL, drop, MOST_THREADS, FALSE, NULL);
	return later;
}

void later_free(Later *later)
{
	g_thread_pool_free(later->pool, TRUE, TRUE);
	g_free(later);
}

void later_do(Later *later, LaterRun run, fuse_req_t req, const Asked *asked)
{
	Request *request = g_new0(Request, 1);

	*request = (Request){run, req, *asked, {}};
	request->asked.data = g_memdup2(asked->data, asked->data_size);
	if (asked->fi) {
		request->fi = *asked->fi;
		request->asked.fi = &request->fi;
	}
	g_thread_pool_push(later->pool, request, NULL);
}
