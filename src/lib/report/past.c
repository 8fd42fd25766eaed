/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What history knows of a piece of memory, and of one that is no more, as JSON. */

#include "lib/report/past.h"

#include <inttypes.h>
#include <segfs/report.h>
#include <sys/sysmacros.h>

#include "lib/report/put.h"

void put_creator(JsonBuilder *builder, const SegfsPast *past)
{
	const SegfsPast nothing = {};

	if (!past)
		past = &nothing;
	g_autofree char *end = past->ended ? segfs_end_text(past->code) : NULL;
	if (past->creator.pid > 0)
		put_number(builder, "creator_pid", past->creator.pid);
	else
		put_null(builder, "creator_pid");
	put_text(builder, "creator_command", past->creator.command_line);
	put_text(builder, "creator_cgroup", past->creator.cgroup);
	put_text(builder, "creator_end", end);
	put_time(builder, "creator_ended", past->ended / G_USEC_PER_SEC);
}

void put_stack(JsonBuilder *builder, const char *proc_root, const SegfsCaller *caller,
	       const SegfsPast *past)
{
	if (!past || !segfs_past_stack_is_visible(proc_root, caller, past)) {
		put_null(builder, "creator_stack");
		return;
	}
	json_builder_set_member_name(builder, "creator_stack");
	json_builder_begin_array(builder);
	for (guint i = 0; i < segfs_stack_n(past->stack); i++) {
		const SegfsFrame frame = segfs_stack_frame(past->stack, i);
		json_builder_begin_object(builder);
		put_name(builder, "file", frame.file);
		put_text(builder, "build_id", frame.build_id);
		put_size(builder, "offset", frame.offset);
		json_builder_end_object(builder);
	}
	json_builder_end_array(builder);
}

/* Of one that had ended before it could be read only the number is known. */
static void put_actor(JsonBuilder *builder, GHashTable *users, const SegfsActor *actor, bool shown)
{
	const bool is_known = shown && segfs_actor_is_known(actor);

	put_number(builder, "pid", actor->pid);
	put_text(builder, "command", is_known ? actor->command : NULL);
	if (is_known) {
		put_number(builder, "uid", actor->uid);
		put_owner(builder, "user", users, segfs_user_name, actor->uid);
	} else {
		put_null(builder, "uid");
		put_null(builder, "user");
	}
}

static void put_last_holder(JsonBuilder *builder, const char *proc_root, const SegfsCaller *caller,
			    GHashTable *users, const SegfsPast *past)
{
	const bool shown = segfs_last_holder_is_visible(proc_root, caller, past);
	g_autofree char *end = past->holder_code < 0 ? NULL : segfs_end_text(past->holder_code);

	if (past->holder.pid <= 0) {
		put_null(builder, "last_holder");
		return;
	}
	json_builder_set_member_name(builder, "last_holder");
	json_builder_begin_object(builder);
	put_actor(builder, users, &past->holder, shown);
	put_text(builder, "end", shown ? end : NULL);
	put_time(builder, "detached", past->detached / G_USEC_PER_SEC);
	json_builder_end_object(builder);
}

static void put_remover(JsonBuilder *builder, GHashTable *users, const SegfsActor *actor)
{
	if (actor->pid <= 0) {
		put_null(builder, "removed_by");
		return;
	}
	json_builder_set_member_name(builder, "removed_by");
	json_builder_begin_object(builder);
	put_actor(builder, users, actor, true);
	put_text(builder, "cmdline", actor->command_line);
	json_builder_end_object(builder);
}

static void put_piece(JsonBuilder *builder, uint64_t own, const Piece *piece)
{
	char key[16];

	if (piece->key.is_sysv) {
		g_autofree char *file = g_strdup_printf("sysv/%" PRIu64, piece->key.number);
		g_snprintf(key, sizeof(key), "0x%08x", piece->sysv_key);
		put_name(builder, "file", file);
		put_text(builder, "kind", segfs_kind_name(SEGFS_SYSV));
		put_size(builder, "namespace", piece->key.domain);
		put_size(builder, "shmid", piece->key.number);
		put_number(builder, "key", piece->sysv_key);
		put_text(builder, "key_hex", key);
		put_size(builder, "size", piece->size);
		return;
	}
	g_autofree char *file = g_strconcat("posix/", piece->name, NULL);
	g_autofree char *device =
		g_strdup_printf("%u:%u", major(piece->key.domain), minor(piece->key.domain));
	put_name(builder, "file", file);
	put_text(builder, "kind", segfs_kind_name(SEGFS_POSIX));
	put_size(builder, "namespace", piece->ns ? piece->ns : own);
	put_size(builder, "inode", piece->key.number);
	put_text(builder, "device", device);
}

void put_gone(JsonBuilder *builder, const char *proc_root, const SegfsCaller *caller, uint64_t own,
	      GHashTable *users, const Gone *gone)
{
	const SegfsPast *past = &gone->piece.past;
	const bool shown = segfs_past_is_visible(proc_root, caller, past);

	put_size(builder, "serial", gone->serial);
	put_piece(builder, own, &gone->piece);
	put_creator(builder, shown ? past : NULL);
	put_stack(builder, proc_root, caller, past);
	put_text(builder, "creator",
		 shown && past->creator.command[0] ? past->creator.command : NULL);
	if (gone->piece.key.is_sysv)
		put_last_holder(builder, proc_root, caller, users, past);
	put_time(builder, "removed", gone->removed / G_USEC_PER_SEC);
	put_bool(builder, "removed_before", gone->is_at_the_latest);
	put_remover(builder, users, &gone->remover);
	put_bool(builder, "with_namespace", gone->with_namespace);
}
