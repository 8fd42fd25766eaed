/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Lists shared memory, who holds it and whether anybody will still want it, with no mount. */

#include <errno.h>
#include <locale.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "segls/options.h"
#include "segls/progress.h"
#include "segls/resources.h"
#include "segls/segls.h"
#include "segls/source.h"

/* What the options ask for alone. */
static void keep(const Options *options, GPtrArray *items)
{
	guint kept = 0;

	for (guint i = 0; i < items->len; i++) {
		SegfsItem *item = items->pdata[i];
		if ((options->orphans && item->verdict != SEGFS_ORPHANED) ||
		    (options->segments && item->id.kind != SEGFS_SYSV))
			continue;
		items->pdata[i] = items->pdata[kept];
		items->pdata[kept++] = item;
	}
	g_ptr_array_set_size(items, kept);
}

/* All that is known, as in segments.json. */
static gboolean write_report(const Options *options, const Table *table, const Source *source,
			     GString *text, GError **error)
{
	g_autoptr(SegfsReport) report = segfs_report_new(NULL, "/proc", source->scan);

	for (guint i = 0; i < source->of->len; i++) {
		const SegfsScope *scope = source->scopes->pdata[i];
		SegfsLimits limits;
		if (options->sort && !table_sort(table, source->of->pdata[i], options->sort, error))
			return FALSE;
		const int r = segfs_limits_read(segfs_scope_ipc(scope), &limits);
		segfs_report_add(report, segfs_scope_ipc(scope), r < 0 ? NULL : &limits, NULL,
				 source->of->pdata[i], segfs_view_unread(segfs_scope_view(scope)));
		segfs_report_add_resources(report, segfs_scope_ipc(scope), NULL, 0);
	}
	segfs_report_write(report, text);
	return TRUE;
}

static bool has_column(const GPtrArray *shown, const char *name)
{
	for (guint i = 0; i < shown->len; i++)
		if (strcmp(((const Column *)shown->pdata[i])->name, name) == 0)
			return true;
	return false;
}

static bool wants_mounts(const GPtrArray *shown)
{
	return has_column(shown, "COMMAND") || has_column(shown, "ENDED");
}

/*
 * What has ended, and who it was, only the daemon of a mount can know. Of orphans that is asked
 * for before this program looks itself, so that both look at one time.
 */
static Mounted *ask_mounts(const Options *options, const GPtrArray *shown)
{
	const bool is_table = !options->by && !options->semaphores && !options->queues &&
			      !options_want_report(options);
	const bool wants =
		wants_mounts(shown) || (options->orphans && has_column(shown, "CREATOR"));

	return is_table && wants ? mounted_ask() : NULL;
}

static void read_mounts(const GPtrArray *shown, const GPtrArray *items, Table *table, bool is_first)
{
	bool may_help = false;

	for (guint i = 0; has_column(shown, "CREATOR") && i < items->len; i++)
		may_help |= !*((const SegfsItem *)items->pdata[i])->creator;
	if (!table->mounted && may_help)
		table->mounted = mounted_ask();
	if (table->mounted && (may_help || wants_mounts(shown)) && !mounted_read(table->mounted))
		g_clear_pointer(&table->mounted, mounted_free);
	if (wants_mounts(shown) && !table->mounted && is_first)
		g_printerr("segls: no mount of segfs answers, whose daemon would remember: of "
			   "creators that have ended nothing is known\n");
}

static gboolean list(const Options *options, const GPtrArray *shown, const Source *source,
		     Mounted *mounted, bool is_first, GString *text, GError **error)
{
	const bool headings = !options->noheadings;
	g_auto(Table) table;

	table_init(&table, options->bytes, options->format == OUTPUT_JSON);
	table.mounted = mounted;
	for (guint i = 0; i < source->of->len; i++)
		keep(options, source->of->pdata[i]);
	if (options->semaphores || options->queues)
		return resources_write(source, options->semaphores ? SEGFS_SEM : SEGFS_MSG,
				       options->format, headings, options->bytes, text, error);
	if (options_want_report(options))
		return write_report(options, &table, source, text, error);
	g_autoptr(GPtrArray) all = source_items(source);
	if (!options->by)
		read_mounts(shown, all, &table, is_first);
	if (options->sort && !table_sort(&table, all, options->sort, error))
		return FALSE;
	if (options->by)
		sums_write(&table, options->sums, all, options->format, headings, text);
	else
		table_write(&table, shown, all, options->format, headings, options->tree, text);
	for (SegfsResourceKind kind = 0; options->everything && kind < SEGFS_N_RESOURCE_KINDS;
	     kind++) {
		g_string_append_c(text, '\n');
		if (!resources_write(source, kind, options->format, headings, options->bytes, text,
				     error))
			return FALSE;
	}
	return TRUE;
}

static void say_unexamined(const SegfsScan *scan)
{
	g_autofree char *which = segfs_unexamined_text("/proc", NULL, scan);
	const guint n = segfs_scan_unexamined(scan);

	if (n > 0)
		g_printerr("segls: %u %s could not be examined, what they hold is not known: %s\n",
			   n, n == 1 ? "process" : "processes", which);
}

/* False: whoever reads what is printed has gone. */
static bool wait_until_next(double seconds)
{
	struct pollfd reader = {.fd = STDOUT_FILENO};
	const gint64 end = g_get_monotonic_time() + (gint64)(seconds * G_USEC_PER_SEC);

	for (;;) {
		const gint64 left = end - g_get_monotonic_time();
		if (left <= 0)
			return true;
		if (poll(&reader, 1, (int)MIN(left / 1000 + 1, G_MAXINT)) > 0)
			return false;
	}
}

static gboolean write_out(const GString *text, GError **error)
{
	if (fwrite(text->str, 1, text->len, stdout) != text->len || fflush(stdout) != 0)
		return fail(error, "cannot write: %s", g_strerror(errno));
	return TRUE;
}

static gboolean run(const Options *options, GError **error)
{
	g_autoptr(GPtrArray) shown = NULL;
	g_auto(Source) source = {};

	if (!columns_parse(options->usual, options->columns ? options->columns : options->usual,
			   &shown, error) ||
	    !source_open(options, &source, error))
		return FALSE;
	for (guint round = 0;; round++) {
		g_autoptr(GString) text = g_string_new(round > 0 ? "\n" : NULL);
		g_autoptr(Mounted) mounted = ask_mounts(options, shown);
		g_autoptr(Progress) progress = progress_start("segls: looking at all processes");
		const gboolean is_done = source_survey(options, &source, error) &&
					 list(options, shown, &source, g_steal_pointer(&mounted),
					      round == 0, text, error);

		g_clear_pointer(&progress, progress_end);
		if (!is_done)
			return FALSE;
		if (!write_out(text, error))
			return FALSE;
		if (round == 0)
			say_unexamined(source.scan);
		if (options->watch == 0 || !wait_until_next(options->watch))
			return TRUE;
	}
}

/* What a daemon remembers. */
static gboolean write_remembered(const Options *options, GError **error)
{
	g_autoptr(GString) text = g_string_new(NULL);

	if (options->events ? !mounted_events(text, error)
			    : !mounted_gone(options->format, !options->noheadings, text, error))
		return FALSE;
	return write_out(text, error);
}

int main(int argc, char **argv)
{
	g_auto(Options) options = {};
	g_autoptr(GError) error = NULL;

	setlocale(LC_CTYPE, "");
	if (options_parse(&argc, &argv, &options, &error) && options.version) {
		printf("segls %s\n", SEGFS_VERSION);
		return 0;
	}
	if (error || !(options.events || options.gone ? write_remembered(&options, &error)
						      : run(&options, &error))) {
		g_printerr("segls: %s\n", error->message);
		return 1;
	}
	return 0;
}
