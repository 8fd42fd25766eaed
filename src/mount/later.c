/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "mount/later.h"

#include <errno.h>

/* Those that wait for one look wait together: more would not be answered sooner. */
#define MOST_THREADS 16

struct Later {
	GThreadPool *pool;
};

typedef struct {
	LaterRun run;
	fuse_req_t req;
	fuse_ino_t ino;
	char *name;
	size_t size;
	struct fuse_file_info fi;
	bool has_fi;
} Request;

static void request_free(Request *request)
{
	g_free(request->name);
	g_free(request);
}

static void go(gpointer data, gpointer unused)
{
	Request *request = data;

	request->run(request->req, request->ino, request->name, request->size,
		     request->has_fi ? &request->fi : NULL);
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

void later_do(Later *later, LaterRun run, fuse_req_t req, fuse_ino_t ino, const char *name,
	      size_t size, const struct fuse_file_info *fi)
{
	Request *request = g_new0(Request, 1);

	*request = (Request){run, req, ino, g_strdup(name), size, {}, fi != NULL};
	if (fi)
		request->fi = *fi;
	g_thread_pool_push(later->pool, request, NULL);
}
