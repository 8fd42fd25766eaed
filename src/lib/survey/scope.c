/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <linux/magic.h>
#include <segfs/scope.h>
#include <sys/vfs.h>

#include "lib/history/history.h"
#include "lib/memory/ipc.h"
#include "lib/memory/posix.h"
#include "lib/os/autofd.h"
#include "lib/probe/probe.h"
#include "lib/process/scan.h"
#include "lib/survey/survey.h"

/* What the process's own scope has, and those of other namespaces need as well. */
typedef struct {
	gatomicrefcount refs;
	SegfsIpcOptions ipc_options;
	char *proc_root; /* of ipc_options */
	int64_t orphan_age;
	const SegfsKeep *keep;
	SegfsHistory *history;
	uint64_t own_inum;
	SegfsPosix *posix, *nameless;
	SegfsScanner *scanner;
} Shared;

struct SegfsScope {
	Shared *shared;
	SegfsNamespace *ns; /* NULL: the process's own */
	SegfsIpc *ipc;
	SegfsView *view;
};

static void shared_unref(Shared *shared)
{
	if (!g_atomic_ref_count_dec(&shared->refs))
		return;
	g_clear_pointer(&shared->scanner, segfs_scanner_free);
	g_clear_pointer(&shared->nameless, segfs_posix_free);
	g_clear_pointer(&shared->posix, segfs_posix_free);
	g_free(shared->proc_root);
	g_free(shared);
}

void segfs_scope_free(SegfsScope *scope)
{
	g_clear_pointer(&scope->view, view_free);
	g_clear_pointer(&scope->ipc, segfs_ipc_free);
	g_clear_pointer(&scope->ns, segfs_namespace_unref);
	shared_unref(scope->shared);
	g_free(scope);
}

static SegfsView *make_view(const SegfsScope *scope,
			    SegfsOpened (*opened)(int shmid, gpointer data), gpointer data)
{
	return view_new(&(ViewOptions){
		.scanner = scope->shared->scanner,
		.ipc = scope->ipc,
		.orphan_age = scope->shared->orphan_age,
		.keep = scope->shared->keep,
		.history = scope->shared->history,
		.plain = segfs_posix_dev(scope->shared->posix),
		.takes_unknown = !scope->ns,
		.opened = opened,
		.data = data,
	});
}

/* Who has nothing of a tmpfs the kernel tells at once; a directory of objects can be another's. */
static void spare_most(Shared *shared)
{
	autofd fd = -1;
	struct statfs fs;

	if (shared->history && segfs_posix_open(shared->posix, &fd) == 0 && fstatfs(fd, &fs) == 0 &&
	    fs.f_type == TMPFS_MAGIC)
		scanner_spare(shared->scanner, holds_without, history_holds(shared->history));
}

int segfs_scope_new(const SegfsScopeOptions *options, SegfsScope **ret_scope)
{
	g_autoptr(SegfsScope) scope = g_new0(SegfsScope, 1);
	Shared *shared = scope->shared = g_new0(Shared, 1);

	g_atomic_ref_count_init(&shared->refs);
	shared->ipc_options = options->ipc;
	shared->ipc_options.proc_root = shared->proc_root = g_strdup(options->ipc.proc_root);
	shared->orphan_age = options->orphan_age;
	shared->keep = options->keep;
	shared->history = options->history;
	int r = segfs_ipc_new(&options->ipc, &scope->ipc);
	if (r == 0)
		r = segfs_posix_new(options->shm_dir ? options->shm_dir : "/dev/shm",
				    &shared->posix);
	if (r == 0)
		r = posix_new_nameless(&shared->nameless);
	if (r < 0)
		return r;
	shared->own_inum = segfs_ipc_inum(scope->ipc);
	shared->scanner = segfs_scanner_new(options->ipc.proc_root);
	scanner_watch(shared->scanner, segfs_posix_dev(shared->posix));
	spare_most(shared);
	scope->view = make_view(scope, options->opened, options->data);
	view_add_posix(scope->view, shared->posix);
	*ret_scope = g_steal_pointer(&scope);
	return 0;
}

int segfs_scope_new_of(SegfsScope *own, uint64_t inum,
		       SegfsOpened (*opened)(int shmid, gpointer data), gpointer data,
		       SegfsScope **ret_scope)
{
	g_autoptr(SegfsScope) scope = g_new0(SegfsScope, 1);

	scope->shared = own->shared;
	g_atomic_ref_count_inc(&own->shared->refs);
	if (inum == own->shared->own_inum)
		return -ENOENT;
	int r = segfs_namespace_new(own->shared->scanner, inum, &scope->ns);
	if (r == 0)
		r = ipc_new_of(&own->shared->ipc_options, scope->ns, &scope->ipc);
	if (r < 0)
		return r;
	scope->view = make_view(scope, opened, data);
	*ret_scope = g_steal_pointer(&scope);
	return 0;
}

SegfsIpc *segfs_scope_ipc(const SegfsScope *scope)
{
	return scope->ipc;
}

SegfsView *segfs_scope_view(const SegfsScope *scope)
{
	return scope->view;
}

SegfsScanner *segfs_scope_scanner(const SegfsScope *scope)
{
	return scope->shared->scanner;
}

SegfsNamespace *segfs_scope_namespace(const SegfsScope *scope)
{
	return scope->ns;
}

const SegfsPosix *segfs_scope_posix(const SegfsScope *scope)
{
	return scope->shared->posix;
}

const SegfsPosix *segfs_scope_nameless(const SegfsScope *scope)
{
	return scope->shared->nameless;
}
