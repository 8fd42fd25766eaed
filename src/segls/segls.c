/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Lists shared memory, who holds it and whether anybody will still want it, with no mount. */

#include <errno.h>
#include <inttypes.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "segls/segls.h"

#define DEFAULT_COLUMNS "FILE,OWNER,PERMS,SIZE,RESIDENT,HOLDERS,CREATOR,AGE,VERDICT"
#define DEFAULT_AGE 60

typedef struct {
	char *columns, *sort, *shm_dir, *by, *keep_file, **globs;
	SegfsKeep *keep;
	SumsBy sums; /* where by is there */
	gboolean json, orphans, orphan_age_unsafe, all_namespaces, bytes, noheadings, raw, version;
	int64_t orphan_age;
} Options;

static void options_clear(Options *options)
{
	g_free(options->columns);
	g_free(options->sort);
	g_free(options->shm_dir);
	g_free(options->by);
	g_free(options->keep_file);
	g_strfreev(options->globs);
	g_clear_pointer(&options->keep, segfs_keep_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Options, options_clear)

static gboolean fail(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

static gboolean fail(GError **error, const char *format, ...)
{
	va_list values;

	va_start(values, format);
	*error = g_error_new_valist(g_quark_from_static_string("segls"), 0, format, values);
	va_end(values);
	return FALSE;
}

static gboolean read_keep(Options *options, GError **error)
{
	options->keep = segfs_keep_new();
	for (char **glob = options->globs; glob && *glob; glob++)
		segfs_keep_add(options->keep, *glob, NULL);
	const int r = segfs_keep_read(options->keep, options->keep_file);
	return r == 0 ||
	       fail(error, "%s: %s", options->keep_file ? options->keep_file : SEGFS_KEEP_FILE,
		    g_strerror(-r));
}

/* Do they make sense together? */
static gboolean options_check(Options *options, GError **error)
{
	if (options->orphan_age < 0)
		return fail(error, "--orphan-age: a number of seconds, 0 or more, is wanted");
	if (options->by && !sums_parse(options->by, &options->sums))
		return fail(error, "--by: program, process, user, container or name is wanted");
	if (options->by && (options->columns || options->json || options->sort))
		return fail(error, "--by has columns of its own: it goes with no -o, -J or --sort");
	if (options->orphan_age == 0 && !options->orphan_age_unsafe)
		return fail(error, "--orphan-age 0: takes what a program has made just now and not "
				   "opened yet; give at least 1, or --orphan-age-unsafe as well");
	if (options->json && (options->columns || options->raw || options->noheadings))
		return fail(error, "--json tells everything: it goes with no -o, -n or -r");
	return TRUE;
}

static gboolean options_parse(int *argc, char ***argv, Options *options, GError **error)
{
	options->orphan_age = DEFAULT_AGE;
	const GOptionEntry entries[] = {
		{"output", 'o', 0, G_OPTION_ARG_STRING, &options->columns,
		 "Columns, in this order; +COL,... adds to the usual ones", "COL,..."},
		{"sort", 0, 0, G_OPTION_ARG_STRING, &options->sort,
		 "Sort by this column; -COL: greatest first", "COL"},
		{"by", 0, 0, G_OPTION_ARG_STRING, &options->by,
		 "Sums instead: by program, process, user, container or name", "WHAT"},
		{"orphans", 0, 0, G_OPTION_ARG_NONE, &options->orphans,
		 "Only what nobody uses any more", NULL},
		{"orphan-age", 0, 0, G_OPTION_ARG_INT64, &options->orphan_age,
		 "What was used more lately is not orphaned (default 60)", "SECONDS"},
		{"orphan-age-unsafe", 0, 0, G_OPTION_ARG_NONE, &options->orphan_age_unsafe,
		 "--orphan-age may be 0: also what is made and not opened yet is orphaned", NULL},
		{"keep", 0, 0, G_OPTION_ARG_STRING_ARRAY, &options->globs,
		 "What has such a name is never orphaned; may be given often", "GLOB"},
		{"keep-file", 0, 0, G_OPTION_ARG_FILENAME, &options->keep_file,
		 "Such globs, one a line (default " SEGFS_KEEP_FILE ")", "FILE"},
		{"all-namespaces", 0, 0, G_OPTION_ARG_NONE, &options->all_namespaces,
		 "Those of all IPC namespaces of the host (root only)", NULL},
		{"json", 'J', 0, G_OPTION_ARG_NONE, &options->json,
		 "All that is known, as in the file segments.json of a mount", NULL},
		{"bytes", 'b', 0, G_OPTION_ARG_NONE, &options->bytes, "Sizes in bytes", NULL},
		{"noheadings", 'n', 0, G_OPTION_ARG_NONE, &options->noheadings,
		 "Do not print the headings", NULL},
		{"raw", 'r', 0, G_OPTION_ARG_NONE, &options->raw,
		 "Cells separated by one blank; blanks in them are \\x20", NULL},
		{"shm-dir", 0, 0, G_OPTION_ARG_FILENAME, &options->shm_dir,
		 "The directory of POSIX objects (default /dev/shm)", "DIR"},
		{"version", 'V', 0, G_OPTION_ARG_NONE, &options->version, "Print the version",
		 NULL},
		{},
	};
	g_autoptr(GOptionContext) context =
		g_option_context_new("- shared memory, who holds it, and what is orphaned");
	g_autofree char *help = columns_help();
	g_autofree char *description = g_strconcat(
		help,
		"\nThe usual ones are " DEFAULT_COLUMNS
		".\nMemory without a name that is still held is listed as unlinked/...; what is "
		"not known is \"-\".\nOther users' processes can be examined by root only.\n"
		"It knows the IPC namespace and the /dev/shm that it is started in, and with\n"
		"--all-namespaces, as root, those of all processes, as ns/NUMBER/...; "
		"without it,\nfor those of a process, nsenter -t PID -i segls --shm-dir "
		"/proc/PID/root/dev/shm\n",
		NULL);

	g_option_context_set_description(context, description);
	g_option_context_add_main_entries(context, entries, NULL);
	if (!g_option_context_parse(context, argc, argv, error))
		return FALSE;
	if (*argc > 1)
		return fail(error, "unexpected argument '%s'; segls --help says more", (*argv)[1]);
	return options_check(options, error) && read_keep(options, error);
}

typedef struct {
	GPtrArray *scopes; /* SegfsScope: our own, then others' */
	GPtrArray *of;     /* GPtrArray of SegfsItem: what each of those has */
	SegfsScan *scan;   /* of the first */
	char *which;       /* processes it could not examine */
} Source;

static void source_clear(Source *source)
{
	g_clear_pointer(&source->which, g_free);
	g_clear_pointer(&source->scan, segfs_scan_unref);
	g_clear_pointer(&source->of, g_ptr_array_unref);
	g_clear_pointer(&source->scopes, g_ptr_array_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Source, source_clear)

/* One more scope, which is taken over. */
static int source_add(Source *source, SegfsScope *scope, SegfsSince since)
{
	GPtrArray *items;

	g_ptr_array_add(source->scopes, scope);
	int r = segfs_view_survey(segfs_scope_view(scope), since, &items);
	g_ptr_array_add(source->of,
			r < 0 ? g_ptr_array_new_with_free_func((GDestroyNotify)segfs_item_free)
			      : items);
	return r;
}

static gboolean add_others(Source *source, SegfsSince since, GError **error)
{
	SegfsScope *own = source->scopes->pdata[0];
	g_autoptr(GArray) inums = NULL;

	if (geteuid() != 0)
		return fail(error, "--all-namespaces: only root may enter them");
	int r = segfs_namespaces_list(segfs_scope_scanner(own), &inums);
	if (r < 0)
		return fail(error, "cannot list IPC namespaces: %s", g_strerror(-r));
	for (guint i = 0; i < inums->len; i++) {
		SegfsScope *scope;
		const uint64_t inum = g_array_index(inums, uint64_t, i);
		/* One that has gone meanwhile has nothing any more. */
		r = segfs_scope_new_of(own, inum, NULL, NULL, &scope);
		if (r == 0)
			r = source_add(source, scope, since);
		if (r < 0 && r != -ENOENT)
			return fail(error, "namespace %" PRIu64 ": %s", inum, g_strerror(-r));
	}
	return TRUE;
}

static gboolean source_open(const Options *options, Source *source, GError **error)
{
	const SegfsScopeOptions scope_options = {
		.ipc.no_attach = true,
		.shm_dir = options->shm_dir,
		.orphan_age = options->orphan_age,
		.keep = options->keep,
	};
	const SegfsSince since = segfs_since_now(); /* one look at the processes does for all */
	g_autoptr(SegfsScan) scan = NULL;
	SegfsScope *own;

	int r = segfs_scope_new(&scope_options, &own);
	if (r == -ENOSYS)
		return fail(error, "no SysV shared memory here: %s", g_strerror(-r));
	if (r < 0)
		return fail(error, "%s: %s; name the directory of POSIX objects with --shm-dir",
			    options->shm_dir ? options->shm_dir : "/dev/shm", g_strerror(-r));
	source->scopes = g_ptr_array_new_with_free_func((GDestroyNotify)segfs_scope_free);
	source->of = g_ptr_array_new_with_free_func((GDestroyNotify)g_ptr_array_unref);
	r = source_add(source, own, since);
	if (r < 0)
		return fail(error, "cannot list shared memory: %s", g_strerror(-r));
	/* The scan that the items have, unless there are none. */
	const GPtrArray *items = source->of->pdata[0];
	if (items->len > 0)
		scan = segfs_scan_ref(((SegfsItem *)items->pdata[0])->scan);
	else if ((r = segfs_scanner_scan(segfs_scope_scanner(own), segfs_since_recent(), &scan)) <
		 0)
		return fail(error, "/proc: %s", g_strerror(-r));
	source->scan = segfs_scan_ref(scan);
	source->which = segfs_unexamined_text("/proc", NULL, scan);
	return !options->all_namespaces || add_others(source, since, error);
}

/* All of them, each once, though namespaces may share a /dev/shm; they stay the source's. */
static GPtrArray *source_items(const Source *source)
{
	g_autoptr(GHashTable) added = g_hash_table_new(segfs_id_hash, segfs_id_equal);
	GPtrArray *all = g_ptr_array_new();

	for (guint i = 0; i < source->of->len; i++) {
		const GPtrArray *items = source->of->pdata[i];
		for (guint j = 0; j < items->len; j++) {
			SegfsItem *item = items->pdata[j];
			if (g_hash_table_add(added, &item->id))
				g_ptr_array_add(all, item);
		}
	}
	return all;
}

static void keep_orphans(GPtrArray *items)
{
	guint kept = 0;

	for (guint i = 0; i < items->len; i++) {
		SegfsItem *item = items->pdata[i];
		if (item->verdict != SEGFS_ORPHANED)
			continue;
		items->pdata[i] = items->pdata[kept];
		items->pdata[kept++] = item;
	}
	g_ptr_array_set_size(items, kept);
}

static gboolean list(const Options *options, GString *text, GError **error)
{
	g_auto(Table) table = {
		.now = time(NULL),
		.bytes = options->bytes,
		.users = g_hash_table_new_full(NULL, NULL, NULL, g_free),
		.groups = g_hash_table_new_full(NULL, NULL, NULL, g_free),
	};
	const char *wanted = options->columns ? options->columns : DEFAULT_COLUMNS;
	g_autoptr(GPtrArray) shown = NULL;
	g_auto(Source) source = {};

	if (!columns_parse(DEFAULT_COLUMNS, wanted, &shown, error) ||
	    !source_open(options, &source, error))
		return FALSE;
	for (guint i = 0; i < source.of->len; i++) {
		GPtrArray *items = source.of->pdata[i];
		if (options->orphans)
			keep_orphans(items);
		if (options->json && options->sort &&
		    !table_sort(&table, items, options->sort, error))
			return FALSE;
	}
	g_autoptr(GPtrArray) all = source_items(&source);
	if (!options->json && options->sort && !table_sort(&table, all, options->sort, error))
		return FALSE;
	const TableStyle style = options->raw ? TABLE_RAW : TABLE_ALIGNED;
	if (options->by) {
		sums_write(&table, options->sums, all, style, !options->noheadings, text);
	} else if (options->json) {
		g_autoptr(SegfsReport) report = segfs_report_new(NULL, "/proc", source.scan);
		for (guint i = 0; i < source.of->len; i++) {
			const SegfsScope *scope = source.scopes->pdata[i];
			SegfsLimits limits;
			const int r = segfs_limits_read(segfs_scope_ipc(scope), &limits);
			segfs_report_add(report, segfs_scope_ipc(scope), r < 0 ? NULL : &limits,
					 NULL, source.of->pdata[i],
					 segfs_view_unread(segfs_scope_view(scope)));
		}
		segfs_report_write(report, text);
	} else {
		table_write(&table, shown, all, style, !options->noheadings, text);
	}
	const guint unexamined = segfs_scan_unexamined(source.scan);
	if (unexamined > 0)
		g_printerr("segls: %u %s could not be examined, what they hold is not known: %s\n",
			   unexamined, unexamined == 1 ? "process" : "processes", source.which);
	return TRUE;
}

int main(int argc, char **argv)
{
	g_auto(Options) options = {};
	g_autoptr(GString) text = g_string_new(NULL);
	g_autoptr(GError) error = NULL;

	setlocale(LC_CTYPE, "");
	if (!options_parse(&argc, &argv, &options, &error)) {
		g_printerr("segls: %s\n", error->message);
		return 1;
	}
	if (options.version) {
		printf("segls %s\n", SEGFS_VERSION);
		return 0;
	}
	if (!list(&options, text, &error)) {
		g_printerr("segls: %s\n", error->message);
		return 1;
	}
	if (fwrite(text->str, 1, text->len, stdout) != text->len || fflush(stdout) != 0) {
		g_printerr("segls: cannot write: %s\n", g_strerror(errno));
		return 1;
	}
	return 0;
}
