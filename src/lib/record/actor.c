/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/record/actor.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "lib/os/escape.h"
#include "lib/stack/stack.h"

void actor_clear(SegfsActor *actor)
{
	g_clear_pointer(&actor->command_line, g_free);
	g_clear_pointer(&actor->cgroup, g_free);
}

bool segfs_actor_is_known(const SegfsActor *actor)
{
	return actor->start || actor->command[0];
}

SegfsActor actor_copy(const SegfsActor *actor)
{
	SegfsActor copy = *actor;

	copy.command_line = g_strdup(actor->command_line);
	copy.cgroup = g_strdup(actor->cgroup);
	return copy;
}

static gsize text_size(const char *text)
{
	return text ? strlen(text) + 1 : 0;
}

gsize actor_size(const SegfsActor *actor)
{
	return text_size(actor->command_line) + text_size(actor->cgroup);
}

gsize past_size(const SegfsPast *past)
{
	const SegfsKin *kin = past->kin;

	return actor_size(&past->creator) + stack_size(past->stack) +
	       (kin ? sizeof(*kin) + kin->n * sizeof(*kin->all) : 0);
}

GVariant *actor_save(const SegfsActor *actor)
{
	return g_variant_new("(itu^aym^aym^ay)", actor->pid, actor->start, actor->uid,
			     actor->command, actor->command_line, actor->cgroup);
}

/* Text for a terminal stays that, whatever is in a file. */
static char *text_of(const char *saved)
{
	return saved ? escape_text(saved, -1) : NULL;
}

void actor_restore(GVariant *saved, SegfsActor *ret_actor)
{
	const char *command, *command_line, *cgroup;
	SegfsActor actor = {};

	g_variant_get(saved, "(itu^&aym^&aym^&ay)", &actor.pid, &actor.start, &actor.uid, &command,
		      &command_line, &cgroup);
	g_strlcpy(actor.command, command, sizeof(actor.command));
	actor.command_line = text_of(command_line);
	actor.cgroup = text_of(cgroup);
	*ret_actor = actor;
}

SegfsKin *kin_restore(GVariant *saved, pid_t parent)
{
	const guint n = g_variant_n_children(saved);
	SegfsKin *kin = g_malloc0(sizeof(*kin) + n * sizeof(*kin->all));

	kin->parent = parent;
	kin->n = n;
	for (guint i = 0; i < n; i++) {
		guint32 role;
		g_variant_get_child(saved, i, "(iut)", &kin->all[i].pid, &role, &kin->all[i].start);
		kin->all[i].role = MIN(role, SEGFS_KIN_DOUBTFUL);
	}
	return kin;
}

void segfs_past_clear(SegfsPast *past)
{
	actor_clear(&past->creator);
	g_clear_pointer(&past->kin, g_free);
	g_clear_pointer(&past->stack, segfs_stack_unref);
}

static SegfsKin *kin_alloc(guint most)
{
	return g_malloc0(sizeof(SegfsKin) + most * sizeof(SegfsKinsman));
}

static void add_kin(SegfsKin *kin, SegfsKinRole role, const struct ends_person *told, guint n)
{
	for (guint i = 0; i < MIN(n, ENDS_KIN); i++)
		kin->all[kin->n++] = (SegfsKinsman){told[i].pid, role, told[i].start / ENDS_TICK};
}

SegfsKin *kin_new(const struct ends_kin *told, bool is_known)
{
	SegfsKin *kin = kin_alloc(2 * ENDS_KIN);

	kin->is_known = is_known && told->is_known;
	kin->is_alone = is_known && told->is_alone;
	kin->is_scattered = told->is_scattered;
	kin->parent = told->parent;
	add_kin(kin, SEGFS_KIN_ANCESTOR, told->ancestors, told->n_ancestors);
	add_kin(kin, SEGFS_KIN_CHILD, told->children, told->n_children);
	return g_realloc(kin, sizeof(*kin) + kin->n * sizeof(*kin->all));
}

SegfsKin *kin_new_doubtful(const struct ends_kin *told)
{
	SegfsKin *kin = kin_alloc(ENDS_KIN);

	kin->is_known = told->is_known;
	add_kin(kin, SEGFS_KIN_DOUBTFUL, told->ancestors, told->n_ancestors);
	return kin;
}

SegfsKin *kin_copy(const SegfsKin *kin)
{
	return kin ? g_memdup2(kin, sizeof(*kin) + kin->n * sizeof(*kin->all)) : NULL;
}

SegfsKin *kin_join(const SegfsKin *kin, const SegfsKin *other)
{
	if (!kin || !other)
		return kin_copy(kin ? kin : other);
	SegfsKin *both = kin_alloc(kin->n + other->n);
	both->is_known = kin->is_known && other->is_known;
	both->is_scattered = kin->is_scattered || other->is_scattered;
	both->parent = kin->parent ? kin->parent : other->parent;
	both->n = kin->n + other->n;
	memcpy(both->all, kin->all, kin->n * sizeof(*kin->all));
	memcpy(both->all + kin->n, other->all, other->n * sizeof(*kin->all));
	return both;
}

char *segfs_end_text(int code)
{
	if (!WIFSIGNALED(code))
		return g_strdup_printf("exit status %d", WEXITSTATUS(code));
	const int number = WTERMSIG(code);
	const char *name = sigabbrev_np(number);
	return name ? g_strdup_printf("signal %d (%s)", number, name)
		    : g_strdup_printf("signal %d", number);
}
