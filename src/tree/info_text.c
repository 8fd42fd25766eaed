/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One item as text, "Key: value", in the manner of /proc/PID/status. */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/history/history.h"
#include "lib/os/autofd.h"
#include "lib/os/escape.h"
#include "lib/os/fd.h"
#include "tree/resource/resource.h"
#include "tree/sysv/segment.h"

G_GNUC_PRINTF(3, 4)
static void line(GString *text, const char *key, const char *format, ...)
{
	va_list arguments;

	g_string_append_printf(text, "%s:\t", key);
	va_start(arguments, format);
	g_string_append_vprintf(text, format, arguments);
	va_end(arguments);
	g_string_append_c(text, '\n');
}

/* A name can hold any byte, a newline too, and the text must keep one line per key. */
static void line_escaped(GString *text, const char *key, const char *value)
{
	g_autofree char *escaped = escape_text(value, -1);

	line(text, key, "%s", escaped);
}

static void line_size(GString *text, const char *key, uint64_t bytes)
{
	g_autofree char *human = g_format_size_full(bytes, G_FORMAT_SIZE_IEC_UNITS);

	if (bytes < 1024)
		line(text, key, "%" PRIu64 " bytes", bytes);
	else
		line(text, key, "%" PRIu64 " bytes (%s)", bytes, human);
}

/* To be freed. */
static char *date_text(int64_t when)
{
	g_autoptr(GDateTime) local = g_date_time_new_from_unix_local(when);
	char *date = local ? g_date_time_format(local, "%Y-%m-%d %H:%M:%S %z") : NULL;

	return date ? date : g_strdup("?");
}

static void line_time(GString *text, const char *key, int64_t when)
{
	if (when == 0) {
		line(text, key, "never");
		return;
	}
	g_autofree char *date = date_text(when);
	line(text, key, "%s (%" PRId64 " s ago)", date, (int64_t)time(NULL) - when);
}

static void line_user(GString *text, const char *key, uid_t uid)
{
	g_autofree char *name = segfs_user_name(uid);

	if (name)
		line(text, key, "%u (%s)", uid, name);
	else
		line(text, key, "%u", uid);
}

static void line_group(GString *text, const char *key, gid_t gid)
{
	g_autofree char *name = segfs_group_name(gid);

	if (name)
		line(text, key, "%u (%s)", gid, name);
	else
		line(text, key, "%u", gid);
}

static void write_segment(IpcNs *ns, const SegfsCaller *caller, const SegfsItem *item,
			  GString *text)
{
	const SegfsProcess creator = segfs_item_creator(item);
	const SegfsSysv *segment = &item->sysv;
	bool huge;

	line(text, "Shmid", "%d", segment->shmid);
	line(text, "Key", "0x%08x", (unsigned int)segment->key);
	line_size(text, "Size", segment->size);
	if (segment->has_resident) {
		line_size(text, "Resident", segment->rss);
		line_size(text, "Swapped", segment->swap);
	}
	line(text, "Mode", "%04o", item->mode);
	line_user(text, "Owner", segment->uid);
	line_group(text, "Group", segment->gid);
	line_user(text, "CreatorUser", segment->cuid);
	line_group(text, "CreatorGroup", segment->cgid);
	line(text, "Attaches", "%" PRIu64, segment->nattch);
	/* The kernel takes us for the creator of what was made in key/. */
	if (segment->cpid > 0)
		line(text, "CreatorPid", "%d%s",
		     item->creator_pid > 0 ? item->creator_pid : segment->cpid,
		     item->creator_lives     ? ""
		     : item->creator_unknown ? " (for somebody who is not known here)"
					     : " (ended)");
	else
		line(text, "CreatorPid", "not visible from here");
	if (*item->creator &&
	    segfs_command_is_visible(segfs_ipc_proc_root(ns->ipc), caller, &creator))
		line_escaped(text, "Creator", item->creator);
	line(text, "LastUserPid", segment->lpid > 0 ? "%d" : "none", segment->lpid);
	line_time(text, "Attached", segment->atime);
	line_time(text, "Detached", segment->dtime);
	line_time(text, "Changed", segment->ctime);
	line(text, "Locked", "%s", segment->locked ? "yes" : "no");
	line(text, "Dest", "%s", segment->dest ? "yes" : "no");
	if (segment_is_huge(ns, NULL, segment, &huge))
		line(text, "HugePages", "%s", huge ? "yes" : "no");
}

static void write_file(const SegfsItem *item, GString *text)
{
	line(text, "Inode", "%" PRIu64, item->id.number);
	line_size(text, "Size", item->size);
	if (item->has_resident)
		line_size(text, "Resident", item->resident);
	line(text, "Mode", "%04o", item->mode);
	line_user(text, "Owner", item->uid);
	line_group(text, "Group", item->gid);
	line_time(text, "Accessed", item->atime.tv_sec);
	line_time(text, "Modified", item->mtime.tv_sec);
	line_time(text, "Changed", item->ctime.tv_sec);
}

/*
 * A named semaphore (sem_open(3)) is a file whose first two numbers are its value and how many
 * wait: the sem_t of glibc on 64 bits (internal-semaphore.h in its sources), where the two are one
 * number, and of musl (sem_init.c). What is of another size is of neither. Read by who may, without
 * a trace, which takes its owner.
 */
static void write_semaphore(const SegfsCaller *caller, const SegfsItem *item, GString *text)
{
	enum { SEM_SIZE = 32, VALUE = G_BYTE_ORDER == G_LITTLE_ENDIAN ? 0 : 1 };
	autofd at = -1;
	uint32_t words[2];
	FdPath path;
	struct stat st;

	if (item->id.kind != SEGFS_POSIX || item->unlinked ||
	    !g_str_has_prefix(item->name, "sem.") || item->size != SEM_SIZE ||
	    segfs_posix_open_path(item->posix, caller, item->name, &at) < 0 || fstat(at, &st) < 0 ||
	    st.st_ino != item->id.number || !S_ISREG(st.st_mode))
		return;
	fd_path(at, path);
	autofd fd = SEGFS_AS(caller, open(path, O_RDONLY | O_NOATIME | O_NONBLOCK | O_CLOEXEC));
	if (fd < 0 || pread(fd, words, sizeof(words), 0) != sizeof(words))
		return;
	line(text, "SemaphoreValue", "%u",
	     words[VALUE] & 0x7fffffff); /* musl's top bit: waited for */
	line(text, "SemaphoreWaiters", "%u", words[1 - VALUE]);
}

/* when: microseconds since 1970; what stands before it. */
static void line_moment(GString *text, const char *key, const char *what, int64_t when)
{
	g_autofree char *date = date_text(when / G_USEC_PER_SEC);

	line(text, key, "%s%s", what, date);
}

/* Of a segment that nobody has attached. */
static void write_last_holder(IpcNs *ns, const SegfsCaller *caller, const SegfsPast *past,
			      GString *text)
{
	g_autofree char *command = escape_item(past->holder.command);
	g_autofree char *end =
		past->holder_code < 0 ? g_strdup("detached") : segfs_end_text(past->holder_code);

	if (past->holder.pid <= 0)
		return;
	g_autofree char *what =
		segfs_last_holder_is_visible(segfs_ipc_proc_root(ns->ipc), caller, past)
			? g_strdup_printf("%d %s, %s ", past->holder.pid, command, end)
			: g_strdup_printf("%d, detached ", past->holder.pid);
	line_moment(text, "LastHolder", what, past->detached);
}

static void write_past(IpcNs *ns, const SegfsCaller *caller, const SegfsItem *item, GString *text)
{
	const SegfsPast *past = item->past;
	const bool is_sysv = item->id.kind == SEGFS_SYSV;

	if (past && !is_sysv && past->creator.pid > 0)
		line(text, "CreatorPid", "%d%s", past->creator.pid,
		     past->ended                            ? " (ended)"
		     : past->ended_unseen                   ? " (ended while segfs did not run)"
		     : segfs_actor_is_known(&past->creator) ? ""
							    : " (ended before it could be read)");
	if (past && segfs_past_is_visible(segfs_ipc_proc_root(ns->ipc), caller, past)) {
		g_autofree char *how = segfs_end_text(past->code);
		g_autofree char *end = g_strconcat(how, ", ", NULL);
		if (!is_sysv)
			line_escaped(text, "Creator", past->creator.command);
		if (past->creator.command_line)
			line(text, "CreatorCommand", "%s", past->creator.command_line);
		if (past->ended)
			line_moment(text, "CreatorEnd", end, past->ended);
		if (past->creator.cgroup)
			line(text, "CreatorCgroup", "%s", past->creator.cgroup);
	}
	if (past)
		info_write_stack(ns, caller, past, text);
	if (past && is_sysv && item->sysv.nattch == 0)
		write_last_holder(ns, caller, past, text);
}

/* dev: of a POSIX object, else 0. missing: what cannot be told of such a piece, or "". */
static void write_history(const IpcNs *ns, dev_t dev, const char *missing, GString *text)
{
	SegfsHistory *history = ns->tree->history;
	g_autofree char *of = history ? segfs_history_text(history) : g_strdup("off");
	const char *shm = !history || !ns->other || !dev ? ""
			  : segfs_history_watches(history, dev)
				  ? "; /dev/shm of this namespace, too"
				  : "; not /dev/shm of this namespace";

	line(text, "History", "%s%s%s", of, shm, missing);
}

static void write_removed(const Gone *gone, GString *text)
{
	const SegfsActor *actor = &gone->remover;
	g_autofree char *name = segfs_user_name(actor->uid);
	g_autofree char *user = name ? g_strdup(name) : g_strdup_printf("%u", actor->uid);
	g_autofree char *command = escape_item(actor->command);

	line_moment(text, "Removed", gone->is_at_the_latest ? "before " : "", gone->removed);
	if (actor->pid <= 0) {
		line(text, "RemovedBy", "%s",
		     gone->with_namespace ? "the end of its IPC namespace" : "not known");
		return;
	}
	g_string_append_printf(text, "RemovedBy:\t%d ", actor->pid);
	if (!segfs_actor_is_known(actor))
		g_string_append(text, "(ended before it could be read)");
	else
		g_string_append_printf(text, "%s, user %s", *command ? command : "\"\"", user);
	if (actor->command_line)
		g_string_append_printf(text, ", %s", actor->command_line);
	g_string_append_c(text, '\n');
}

static void write_gone_segment(const Piece *piece, GString *text)
{
	line(text, "File", "sysv/%" PRIu64, piece->key.number);
	line(text, "Kind", "sysv");
	line(text, "Shmid", "%" PRIu64, piece->key.number);
	line(text, "Namespace", "%" PRIu64, piece->key.domain);
	line(text, "Key", "0x%08x", piece->sysv_key);
	line(text, "Size", "%" PRIu64 " bytes", piece->size);
	if (piece->past.creator.pid > 0)
		line(text, "CreatorPid", "%d%s", piece->past.creator.pid,
		     piece->past.ended || piece->past.ended_unseen ? " (ended)" : "");
	if (piece->past.creator.command[0])
		line_escaped(text, "Creator", piece->past.creator.command);
}

void info_write_gone(IpcNs *ns, const SegfsCaller *caller, const Gone *gone, GString *text)
{
	const Piece *piece = &gone->piece;
	const bool is_sysv = piece->key.is_sysv;
	const SegfsItem item = {
		.id.kind = is_sysv ? SEGFS_SYSV : SEGFS_POSIX,
		.past = (SegfsPast *)&piece->past,
	};

	if (is_sysv) {
		write_gone_segment(piece, text);
	} else {
		g_autofree char *file = g_strconcat("posix/", piece->name, NULL);
		line_escaped(text, "File", file);
		line(text, "Kind", "posix");
		if (piece->ns)
			line(text, "Namespace", "%" PRIu64, piece->ns);
		line(text, "Inode", "%" PRIu64, piece->key.number);
	}
	write_past(ns, caller, &item, text);
	write_removed(gone, text);
	const bool is_told = !is_sysv || history_tells_removals(ns->tree->history);
	write_history(ns, 0, is_told ? "" : "; who removes a segment beside this mount is not told",
		      text);
}

static void write_holder(IpcNs *ns, const SegfsHolder *holder, GString *text)
{
	const char *proc_root = segfs_ipc_proc_root(ns->ipc);
	const SegfsProcess *process = holder->process;
	g_autofree char *user = segfs_user_name(process->uid);
	g_autofree char *command_line = segfs_process_command_line(proc_root, process);
	g_autofree char *cgroup = segfs_process_cgroup(proc_root, process);
	g_autofree char *command = escape_item(process->command);

	const pid_t inner = segfs_process_inner_pid(proc_root, process);
	g_string_append_printf(text, "Holder:\t%d %s", process->pid, command);
	if (inner > 0)
		g_string_append_printf(text, ", in its pid namespace %d", inner);
	if (user)
		g_string_append_printf(text, ", user %s", user);
	else
		g_string_append_printf(text, ", user %u", process->uid);
	if (holder->attached)
		g_string_append_printf(text, ", attached %u", holder->attached);
	if (holder->mapped)
		g_string_append_printf(text, ", mapped %u", holder->mapped);
	if (holder->open)
		g_string_append_printf(text, ", open %u", holder->open);
	if (cgroup)
		g_string_append_printf(text, ", cgroup %s", cgroup);
	if (command_line)
		g_string_append_printf(text, ", command line: %s", command_line);
	g_string_append_c(text, '\n');
}

/* The path as a word for a shell, on one line whatever bytes are in it. */
static char *quote(const char *path)
{
	g_autofree char *escaped = escape_text(path, -1);

	if (!strcmp(escaped, path))
		return g_shell_quote(path);
	g_autoptr(GString) quoted = g_string_new(path);
	g_string_replace(quoted, "\\", "\\\\", 0);
	g_string_replace(quoted, "'", "\\'", 0);
	/* In $'...' a shell knows the escapes of C. */
	g_autofree char *text = escape_text(quoted->str, -1);
	return g_strdup_printf("$'%s'", text);
}

/*
 * The command that removes the item without the mount, typed in the namespaces in which the mount
 * was made; the caller's to free. NULL: there the number or name is another item's, or no item's.
 */
static char *direct_removal(const IpcNs *ns, const SegfsItem *item)
{
	const Tree *tree = ns->tree;

	if (ns->other)
		return NULL;
	if (item->id.kind == SEGFS_SYSV)
		return tree->other_ipc ? NULL : g_strdup_printf("ipcrm -m %d", item->sysv.shmid);
	if (!tree->shm_dir)
		return NULL;
	g_autofree char *path = g_build_filename(tree->shm_dir, item->name, NULL);
	g_autofree char *quoted = quote(path);
	return g_strdup_printf("rm %s", quoted);
}

/* Commands for a shell in the root of the mount. */
static void write_remove(const IpcNs *ns, const SegfsItem *item, GString *text)
{
	g_autofree char *file = segfs_item_path(item);
	g_autofree char *in_mount = quote(file);

	if (item->unlinked) {
		line(text, "Remove", "it goes when its last holder ends%s",
		     item->holders->len == 0 ? "" : "; to end them: kill with the pids above");
		return;
	}
	g_autofree char *direct = direct_removal(ns, item);
	if (direct)
		line(text, "Remove", "rm %s   or: %s", in_mount, direct);
	else
		line(text, "Remove", "rm %s", in_mount);
}

void info_write(IpcNs *ns, const SegfsCaller *caller, const SegfsItem *item, GString *text)
{
	const char *proc_root = segfs_ipc_proc_root(ns->ipc);
	g_autofree char *file = segfs_item_path(item);
	guint hidden = 0;

	line_escaped(text, "File", file);
	line(text, "Kind", "%s%s", segfs_kind_name(item->id.kind),
	     item->unlinked ? ", unlinked" : "");
	if (item->name)
		line_escaped(text, "Name", item->name);
	line(text, "Namespace", "%" PRIu64, segfs_ipc_inum(ns->ipc));
	if (item->id.kind == SEGFS_SYSV)
		write_segment(ns, caller, item, text);
	else
		write_file(item, text);
	write_semaphore(caller, item, text);
	write_past(ns, caller, item, text);
	write_history(ns, item->id.kind == SEGFS_SYSV ? 0 : item->id.domain, "", text);
	for (guint i = 0; i < item->holders->len; i++)
		hidden += !segfs_holder_is_visible(
			proc_root, caller, g_array_index(item->holders, SegfsHolder, i).process);
	g_autofree char *evidence = segfs_item_evidence(proc_root, caller, item, hidden);
	line(text, "Verdict", "%s", segfs_verdict_name(item->verdict));
	line(text, "Evidence", "%s", evidence);
	for (guint i = 0; i < item->holders->len; i++) {
		const SegfsHolder *holder = &g_array_index(item->holders, SegfsHolder, i);
		if (segfs_holder_is_visible(proc_root, caller, holder->process))
			write_holder(ns, holder, text);
	}
	if (hidden > 0)
		line(text, "HiddenHolders", "%u, which you may not look into", hidden);
	const guint unexamined = segfs_scan_unexamined(item->scan);
	if (unexamined > 0) {
		g_autofree char *which = segfs_unexamined_text(proc_root, caller, item->scan);
		line(text, "Unexamined", "%u %s could not be examined: %s", unexamined,
		     unexamined == 1 ? "process" : "processes", which);
	}
	write_remove(ns, item, text);
}

static void write_set(const SegfsResource *resource, GString *text)
{
	line(text, "Semaphores", "%" PRIu64, resource->sems);
	line_time(text, "LastOperation", resource->otime);
	line_time(text, "Changed", resource->ctime);
}

static void write_queue(const SegfsResource *resource, GString *text)
{
	line(text, "Messages", "%" PRIu64, resource->messages);
	line_size(text, "Waiting", resource->bytes);
	line_size(text, "MostWaiting", resource->most_bytes);
	line_time(text, "Sent", resource->stime);
	line_time(text, "Received", resource->rtime);
	line_time(text, "Changed", resource->ctime);
}

/* What it is that the verdict goes by. */
static void write_use(const char *proc_root, const SegfsCaller *caller, const SegfsResourceUse *use,
		      GString *text)
{
	g_autofree char *evidence = segfs_resource_evidence(proc_root, caller, use);

	line(text, "Verdict", "%s", segfs_verdict_name(use->verdict));
	line(text, "Evidence", "%s", evidence);
	for (guint i = 0; i < use->users->len; i++) {
		const SegfsResourceUser *user = &g_array_index(use->users, SegfsResourceUser, i);
		g_autofree char *its = segfs_resource_user_text(proc_root, caller, user);
		if (user->waits && segfs_holder_is_visible(proc_root, caller, &user->process))
			line(text, "Waiter", "%s", its);
	}
}

int info_write_resource(IpcNs *ns, const SegfsCaller *caller, const SegfsResource *resource,
			GString *text)
{
	const bool is_set = resource->kind == SEGFS_SEM;
	g_autoptr(GArray) one = g_array_new(FALSE, FALSE, sizeof(SegfsResource));
	g_autofree char *file =
		g_strdup_printf("%s/%d", segfs_resource_kind_name(resource->kind), resource->id);
	g_autoptr(GArray) uses = NULL;

	g_array_append_vals(one, resource, 1);
	int r = resource_uses(ns, caller, one, &uses);
	if (r < 0)
		return r;
	line(text, "File", "%s", file);
	line(text, "Kind", "%s", is_set ? "semaphore set" : "message queue");
	line(text, "Namespace", "%" PRIu64, segfs_ipc_inum(ns->ipc));
	line(text, is_set ? "Semid" : "Msqid", "%d", resource->id);
	line(text, "Key", "0x%08x", (unsigned int)resource->key);
	line(text, "Mode", "%04o", resource->mode);
	line_user(text, "Owner", resource->uid);
	line_group(text, "Group", resource->gid);
	line_user(text, "CreatorUser", resource->cuid);
	line_group(text, "CreatorGroup", resource->cgid);
	if (is_set)
		write_set(resource, text);
	else
		write_queue(resource, text);
	write_use(segfs_ipc_proc_root(ns->ipc), caller, &g_array_index(uses, SegfsResourceUse, 0),
		  text);
	if (ns->other || ns->tree->other_ipc)
		line(text, "Remove", "rm %s", file);
	else
		line(text, "Remove", "rm %s   or: ipcrm -%c %d", file, is_set ? 's' : 'q',
		     resource->id);
	return 0;
}
