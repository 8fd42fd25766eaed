/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/history/actor.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "lib/os/escape.h"

void actor_clear(SegfsActor *actor)
{
	g_clear_pointer(&actor->command_line, g_free);
	g_clear_pointer(&actor->cgroup, g_free);
}

SegfsActor actor_copy(const SegfsActor *actor)
{
	SegfsActor copy = *actor;

	copy.command_line = g_strdup(actor->command_line);
	copy.cgroup = g_strdup(actor->cgroup);
	return copy;
}

void segfs_past_clear(SegfsPast *past)
{
	actor_clear(&past->creator);
}

char *actor_command_line(const char *arguments, gsize size)
{
	while (size > 0 && arguments[size - 1] == '\0')
		size--;
	if (size == 0)
		return NULL;
	g_autofree char *line = g_malloc(size);
	for (gsize i = 0; i < size; i++)
		line[i] = arguments[i] == '\0' ? ' ' : arguments[i];
	return escape_text(line, size);
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
