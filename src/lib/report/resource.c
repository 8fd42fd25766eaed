/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A semaphore set or message queue as JSON, and its evidence in words. */

#include "lib/report/resource.h"

#include <inttypes.h>
#include <segfs/report.h>
#include <string.h>

#include "lib/os/escape.h"
#include "lib/report/put.h"

static bool may_name(const char *proc_root, const SegfsCaller *caller,
		     const SegfsResourceUser *user)
{
	return user->process.command[0] &&
	       segfs_command_is_visible(proc_root, caller, &user->process);
}

char *segfs_resource_user_text(const char *proc_root, const SegfsCaller *caller,
			       const SegfsResourceUser *user)
{
	g_autofree char *command = escape_text(user->process.command, -1);
	const char *ended = user->lives ? "" : ", which has ended";

	return may_name(proc_root, caller, user)
		       ? g_strdup_printf("%d %s%s", user->process.pid, command, ended)
		       : g_strdup_printf("%d%s", user->process.pid, ended);
}

/* Those who live and did nothing last, as far as the caller may know of them. */
static void write_told(const char *proc_root, const SegfsCaller *caller,
		       const SegfsResourceUse *use, GString *text)
{
	guint n = 0, n_hidden = 0;

	for (guint i = 0; i < use->users->len; i++) {
		const SegfsResourceUser *user = &g_array_index(use->users, SegfsResourceUser, i);
		if (!user->is_told || user->is_last || user->waits)
			continue;
		if (!segfs_holder_is_visible(proc_root, caller, &user->process)) {
			n_hidden++;
			continue;
		}
		g_autofree char *its = segfs_resource_user_text(proc_root, caller, user);
		g_string_append_printf(text, "%s%s", n++ ? ", " : "; used also by ", its);
	}
	if (n_hidden > 0)
		g_string_append_printf(text, "; used also by %u whom you may not look into",
				       n_hidden);
}

static void write_past(const char *proc_root, const SegfsCaller *caller,
		       const SegfsResourceUse *use, GString *text)
{
	const SegfsResourcePast *past = &use->past;

	g_string_append_printf(text, "; all %u who are known to have made or used it have ended",
			       past->n_ended);
	if (past->relative.pid > 0) {
		const SegfsResourceUser relative = {past->relative, .lives = true};
		g_autofree char *its = segfs_resource_user_text(proc_root, caller, &relative);
		g_string_append_printf(text, ", but one comes from %s, which runs the same program",
				       its);
	} else {
		g_string_append_printf(text, "; used %" PRId64 " s ago", use->age);
		if (use->age < use->orphan_age)
			g_string_append_printf(text, ", less than orphan_age (%" PRId64 " s)",
					       use->orphan_age);
	}
}

char *segfs_resource_evidence(const char *proc_root, const SegfsCaller *caller,
			      const SegfsResourceUse *use)
{
	GString *text = g_string_new(NULL);
	guint n_last = 0;

	if (use->waiting > 0)
		g_string_append_printf(text, "%" PRIu64 " wait for it; ", use->waiting);
	for (guint i = 0; i < use->users->len; i++) {
		const SegfsResourceUser *user = &g_array_index(use->users, SegfsResourceUser, i);
		if (!user->is_last)
			continue;
		g_autofree char *its = segfs_resource_user_text(proc_root, caller, user);
		g_string_append_printf(text, "%s%s",
				       n_last++ ? ", " : "the last operations are of ", its);
	}
	if (!use->has_users)
		g_string_append(text, "whose the last operations are may not be asked");
	else if (n_last == 0)
		g_string_append(text, "no operation is known");
	write_told(proc_root, caller, use, text);
	if (use->past.is_known)
		write_past(proc_root, caller, use, text);
	if (use->verdict == SEGFS_UNKNOWN)
		g_string_append(text, "; who has used it before, and may again, is not known");
	return g_string_free(text, FALSE);
}

static void put_users(JsonBuilder *builder, const char *proc_root, const SegfsCaller *caller,
		      const SegfsResourceUse *use)
{
	json_builder_set_member_name(builder, "users");
	json_builder_begin_array(builder);
	for (guint i = 0; i < use->users->len; i++) {
		const SegfsResourceUser *user = &g_array_index(use->users, SegfsResourceUser, i);
		/* The pids of last operations the kernel tells; who waits it shows as it does
		 * holders. */
		if (!user->is_last && !segfs_holder_is_visible(proc_root, caller, &user->process))
			continue;
		json_builder_begin_object(builder);
		put_number(builder, "pid", user->process.pid);
		put_text(builder, "command",
			 may_name(proc_root, caller, user) ? user->process.command : NULL);
		put_bool(builder, "lives", user->lives);
		put_bool(builder, "waits", user->waits);
		json_builder_end_object(builder);
	}
	json_builder_end_array(builder);
}

static void put_set(JsonBuilder *builder, const SegfsResource *resource)
{
	put_size(builder, "nsems", resource->sems);
	put_time(builder, "otime", resource->otime);
}

static void put_queue(JsonBuilder *builder, const SegfsResource *resource)
{
	put_size(builder, "qnum", resource->messages);
	put_size(builder, "cbytes", resource->bytes);
	put_size(builder, "qbytes", resource->most_bytes);
	put_number(builder, "lspid", resource->lspid);
	put_number(builder, "lrpid", resource->lrpid);
	put_time(builder, "stime", resource->stime);
	put_time(builder, "rtime", resource->rtime);
}

void put_resource(JsonBuilder *builder, SegfsIpc *ipc, const SegfsCaller *caller,
		  const SegfsResource *resource, const SegfsResourceUse *use)
{
	const char *proc_root = segfs_ipc_proc_root(ipc);
	g_autofree char *evidence = segfs_resource_evidence(proc_root, caller, use);
	const bool is_set = resource->kind == SEGFS_SEM;
	char key[16], mode[16];

	g_snprintf(key, sizeof(key), "0x%08x", (unsigned int)resource->key);
	g_snprintf(mode, sizeof(mode), "%04o", resource->mode);
	put_number(builder, is_set ? "semid" : "msqid", resource->id);
	put_size(builder, "namespace", segfs_ipc_inum(ipc));
	put_number(builder, "key", (uint32_t)resource->key);
	put_text(builder, "key_hex", key);
	put_text(builder, "mode", mode);
	put_number(builder, "cuid", resource->cuid);
	put_number(builder, "cgid", resource->cgid);
	put_time(builder, "ctime", resource->ctime);
	if (is_set)
		put_set(builder, resource);
	else
		put_queue(builder, resource);
	put_size(builder, "waiting", use->waiting);
	put_text(builder, "verdict", segfs_verdict_name(use->verdict));
	put_text(builder, "evidence", evidence);
	put_users(builder, proc_root, caller, use);
}
