/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/record/log.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "lib/os/escape.h"

struct Log {
	gsize most;
	Generation *now, *before; /* before can be NULL */
	uint64_t n_now, n_before; /* lines in them */
	uint64_t n_dropped;       /* lines of generations that are forgotten */
};

static Generation *generation_new(uint64_t number)
{
	Generation *generation = g_new0(Generation, 1);

	g_atomic_ref_count_init(&generation->refs);
	generation->number = number;
	generation->text = g_string_new(NULL);
	generation->changed = g_get_real_time();
	return generation;
}

void generation_unref(Generation *generation)
{
	if (!g_atomic_ref_count_dec(&generation->refs))
		return;
	g_string_free(generation->text, TRUE);
	g_free(generation);
}

Log *log_new(gsize most)
{
	Log *log = g_new0(Log, 1);

	log->most = most;
	log->now = generation_new(1);
	return log;
}

void log_free(Log *log)
{
	generation_unref(log->now);
	g_clear_pointer(&log->before, generation_unref);
	g_free(log);
}

/* logfmt: what has a blank, a quote or an equals sign in it stands between quotes. */
static void append_value(GString *line, const char *value)
{
	g_autofree char *escaped = escape_text(value, -1);

	if (*escaped && !strpbrk(escaped, " \"=\\")) {
		g_string_append(line, escaped);
		return;
	}
	g_string_append_c(line, '"');
	for (const char *at = escaped; *at; at++) {
		if (*at == '"' || *at == '\\')
			g_string_append_c(line, '\\');
		g_string_append_c(line, *at);
	}
	g_string_append_c(line, '"');
}

static void append_time(GString *line, int64_t when)
{
	const time_t seconds = when / G_USEC_PER_SEC;
	char date[32] = "?";
	struct tm tm;

	if (gmtime_r(&seconds, &tm))
		strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
	g_string_append_printf(line, "%s.%06dZ", date, (int)(when % G_USEC_PER_SEC));
}

GString *log_line(int64_t when, const char *verb, const char *file)
{
	GString *line = g_string_new(NULL);

	append_time(line, when);
	g_string_append_printf(line, " %s ", verb);
	append_value(line, file);
	return line;
}

void log_field_time(GString *line, const char *name, int64_t when)
{
	g_string_append_printf(line, " %s=", name);
	append_time(line, when);
}

void log_field(GString *line, const char *name, const char *value)
{
	g_string_append_printf(line, " %s=", name);
	append_value(line, value);
}

void log_field_number(GString *line, const char *name, uint64_t value)
{
	g_string_append_printf(line, " %s=%" PRIu64, name, value);
}

void log_field_actor(GString *line, const char *prefix, const SegfsActor *actor)
{
	if (actor->pid > 0)
		g_string_append_printf(line, " %spid=%d", prefix, actor->pid);
	if (!segfs_actor_is_known(actor))
		return;
	g_string_append_printf(line, " %sprogram=", prefix);
	append_value(line, actor->command);
	g_string_append_printf(line, " %suid=%u", prefix, actor->uid);
	if (!actor->command_line)
		return;
	g_string_append_printf(line, " %scommand=", prefix);
	append_value(line, actor->command_line);
}

/* A reader of the new file learns from its first line what came before, and is no more. */
static void begin_generation(Log *log)
{
	log->n_dropped += log->n_before;
	log->n_before = log->n_now;
	log->n_now = 0;
	g_clear_pointer(&log->before, generation_unref);
	log->before = log->now;
	log->now = generation_new(log->before->number + 1);
	g_autoptr(GString) line = log_line(g_get_real_time(), "begin", "events");
	log_field_number(line, "before", log->n_before);
	log_field_number(line, "forgotten", log->n_dropped);
	g_string_append_len(log->now->text, line->str, line->len);
	g_string_append_c(log->now->text, '\n');
}

void log_add(Log *log, GString *line)
{
	g_string_append_c(line, '\n');
	if (log->now->text->len > 0 && log->now->text->len + line->len > log->most)
		begin_generation(log);
	g_string_append_len(log->now->text, line->str, line->len);
	log->now->changed = g_get_real_time();
	log->n_now++;
	g_string_free(line, TRUE);
}

Generation *log_generation(Log *log, guint back)
{
	Generation *generation = back == 0 ? log->now : log->before;

	if (generation)
		g_atomic_ref_count_inc(&generation->refs);
	return generation;
}

static void save_generation(GVariantBuilder *builder, const Generation *generation, uint64_t n)
{
	g_variant_builder_open(builder, G_VARIANT_TYPE("(ttxay)"));
	g_variant_builder_add(builder, "t", generation->number);
	g_variant_builder_add(builder, "t", n);
	g_variant_builder_add(builder, "x", generation->changed);
	g_variant_builder_add_value(builder, g_variant_new_fixed_array(G_VARIANT_TYPE_BYTE,
								       generation->text->str,
								       generation->text->len, 1));
	g_variant_builder_close(builder);
}

GVariant *log_save(const Log *log)
{
	GVariantBuilder builder;

	g_variant_builder_init(&builder, G_VARIANT_TYPE("a(ttxay)"));
	if (log->before)
		save_generation(&builder, log->before, log->n_before);
	save_generation(&builder, log->now, log->n_now);
	return g_variant_new("(ta(ttxay))", log->n_dropped, &builder);
}

static Generation *restore_generation(const Log *log, GVariant *saved, uint64_t *ret_n)
{
	g_autoptr(GVariant) text = NULL;
	Generation *generation = generation_new(0);
	gsize size;

	g_variant_get(saved, "(ttx@ay)", &generation->number, ret_n, &generation->changed, &text);
	const char *bytes = g_variant_get_fixed_array(text, &size, 1);
	/* Lines, each whole. */
	if (size <= log->most && generation->number > 0 && (size == 0 || bytes[size - 1] == '\n') &&
	    !(size && memchr(bytes, '\0', size))) {
		g_string_append_len(generation->text, bytes, size);
		return generation;
	}
	generation_unref(generation);
	return NULL;
}

bool log_restore(Log *log, GVariant *saved)
{
	g_autoptr(GVariant) all = NULL;
	g_autoptr(Generation) first = NULL, second = NULL;
	Generation **each[2] = {&first, &second};
	uint64_t n_dropped, n[2] = {};

	g_variant_get(saved, "(t@a(ttxay))", &n_dropped, &all);
	const gsize count = g_variant_n_children(all);
	if (count < 1 || count > 2)
		return false;
	for (gsize i = 0; i < count; i++) {
		g_autoptr(GVariant) one = g_variant_get_child_value(all, i);
		*each[i] = restore_generation(log, one, &n[i]);
		if (!*each[i])
			return false;
	}
	if (count == 2 && first->number + 1 != second->number)
		return false;
	generation_unref(log->now);
	log->now = g_steal_pointer(each[count - 1]);
	log->n_now = n[count - 1];
	log->before = count == 2 ? g_steal_pointer(&first) : NULL;
	log->n_before = count == 2 ? n[0] : 0;
	log->n_dropped = n_dropped;
	return true;
}

uint64_t log_number(const Log *log)
{
	return log->now->number;
}
