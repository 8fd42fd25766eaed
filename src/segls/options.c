/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "segls/options.h"

#include <math.h>

#include "segls/segls.h"

#define DEFAULT_COLUMNS "FILE,OWNER,PERMS,SIZE,RESIDENT,HOLDERS,CREATOR,AGE,VERDICT"
#define TREE_COLUMNS "FILE,OWNER,PERMS,SIZE,RESIDENT,HOLDERS,STATUS,VERDICT"
#define COLUMNS_VARIABLE "SEGLS_COLUMNS"
#define DEFAULT_AGE 60
#define DEFAULT_WATCH 2
#define LEAST_WATCH 0.1

void options_clear(Options *options)
{
	g_free(options->columns);
	g_free(options->usual);
	g_free(options->sort);
	g_free(options->shm_dir);
	g_free(options->by);
	g_free(options->keep_file);
	g_strfreev(options->globs);
	g_clear_pointer(&options->keep, segfs_keep_free);
}

gboolean fail(GError **error, const char *format, ...)
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

static gboolean check_remembered(const Options *options, GError **error)
{
	if (options->events + options->gone > 1 ||
	    ((options->events || options->gone) &&
	     (options->columns || options->sort || options->tree || options->by ||
	      options->orphans || options->all_namespaces || options->shm_dir ||
	      options->watch != 0 || options->segments || options->semaphores || options->queues ||
	      options->everything)))
		return fail(error, "--events and --gone are what a mount remembers, and go with "
				   "nothing that says what is listed, and how; to follow events: "
				   "tail -F MOUNT/events");
	if (options->events && (options->json || options->raw || options->export ||
				options->shell || options->noheadings || options->bytes))
		return fail(error, "--events: they are lines of logfmt, and in no other form");
	return TRUE;
}

/* Do they make sense together? */
static gboolean options_check(Options *options, GError **error)
{
	if (options->orphan_age < 0)
		return fail(error, "--orphan-age: a number of seconds, 0 or more, is wanted");
	if (options->by && !sums_parse(options->by, &options->sums))
		return fail(error, "--by: program, process, user, container or name is wanted");
	if (options->by && (options->columns || options->sort || options->tree))
		return fail(error,
			    "--by has columns of its own: it goes with no -o, --sort or --tree");
	if (options->semaphores + options->queues + options->everything + options->segments > 1)
		return fail(error, "one of -m, -s, -q and -a is wanted, not several");
	if ((options->semaphores || options->queues || options->everything) &&
	    (options->columns || options->sort || options->tree || options->by || options->orphans))
		return fail(error,
			    "-s, -q and -a have columns of their own, and nothing of them is "
			    "ever orphaned: they go with no -o, --sort, --tree, --by or "
			    "--orphans");
	if (!check_remembered(options, error))
		return FALSE;
	if (options->everything && options->json)
		return fail(error, "-a --json: --json alone has all");
	if (options->orphan_age == 0 && !options->orphan_age_unsafe)
		return fail(error, "--orphan-age 0: takes what a program has made just now and not "
				   "opened yet; give at least 1, or --orphan-age-unsafe as well");
	if (options->json + options->raw + options->export + options->shell > 1)
		return fail(error,
			    "one of --json, --raw, --export and --shell is wanted, not several");
	if (options->noheadings && (options->json || options->export || options->shell))
		return fail(error, "--noheadings: there are none in what is for programs");
	if (options->tree && (options->raw || options->export || options->shell))
		return fail(error,
			    "--tree goes with --json or with none of --raw, --export, --shell");
	return TRUE;
}

/* What the options stand for. */
static gboolean options_complete(Options *options, GError **error)
{
	const char *usual = g_getenv(COLUMNS_VARIABLE), *own = DEFAULT_COLUMNS;
	g_autoptr(GPtrArray) known = NULL;

	if (options->tree)
		own = TREE_COLUMNS;
	if (!usual || !*usual)
		options->usual = g_strdup(own);
	else if (usual[0] == '+')
		options->usual = g_strconcat(own, ",", usual + 1, NULL);
	else
		options->usual = g_strdup(usual);
	if (!columns_parse(own, options->usual, &known, error)) {
		g_prefix_error(error, COLUMNS_VARIABLE " of the environment: ");
		return FALSE;
	}
	options->format = options->json     ? OUTPUT_JSON
			  : options->raw    ? OUTPUT_RAW
			  : options->export ? OUTPUT_EXPORT
			  : options->shell  ? OUTPUT_SHELL
					    : OUTPUT_TABLE;
	return TRUE;
}

bool options_want_report(const Options *options)
{
	return options->json && !options->columns && !options->tree && !options->by &&
	       !options->semaphores && !options->queues && !options->segments;
}

static gboolean read_watch(const char *name, const char *value, gpointer data, GError **error)
{
	Options *options = data;
	char *end = NULL;

	options->watch = value ? g_ascii_strtod(value, &end) : DEFAULT_WATCH;
	if ((value && (end == value || *end)) || !isfinite(options->watch) ||
	    options->watch < LEAST_WATCH)
		return fail(error, "%s: a number of seconds, at least %g, is wanted", name,
			    LEAST_WATCH);
	return TRUE;
}

static GOptionGroup *what_options(Options *options)
{
	const GOptionEntry entries[] = {
		{"shmems", 'm', 0, G_OPTION_ARG_NONE, &options->segments, "Only SysV segments",
		 NULL},
		{"semaphores", 's', 0, G_OPTION_ARG_NONE, &options->semaphores,
		 "Semaphore sets instead, and who uses them", NULL},
		{"queues", 'q', 0, G_OPTION_ARG_NONE, &options->queues,
		 "Message queues instead, and who uses them", NULL},
		{"all", 'a', 0, G_OPTION_ARG_NONE, &options->everything,
		 "All three, a table after the other", NULL},
		{"events", 0, 0, G_OPTION_ARG_NONE, &options->events,
		 "What the daemon of a mount remembers instead: what has happened, a line each",
		 NULL},
		{"gone", 0, 0, G_OPTION_ARG_NONE, &options->gone,
		 "Likewise: what was removed lately, and by whom", NULL},
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
		{"shm-dir", 0, 0, G_OPTION_ARG_FILENAME, &options->shm_dir,
		 "The directory of POSIX objects (default /dev/shm)", "DIR"},
		{},
	};
	GOptionGroup *group = g_option_group_new("segls", NULL, NULL, options, NULL);

	g_option_group_add_entries(group, entries);
	return group;
}

static void add_how_options(GOptionGroup *group, Options *options)
{
	const GOptionEntry entries[] = {
		{"output", 'o', 0, G_OPTION_ARG_STRING, &options->columns,
		 "Columns, in this order; +COL,... adds to the usual ones", "COL,..."},
		{"sort", 0, 0, G_OPTION_ARG_STRING, &options->sort,
		 "Sort by this column; -COL: greatest first", "COL"},
		{"by", 0, 0, G_OPTION_ARG_STRING, &options->by,
		 "Sums instead: by program, process, user, container or name", "WHAT"},
		{"tree", 0, 0, G_OPTION_ARG_NONE, &options->tree,
		 "Below each the processes that hold it", NULL},
		{"watch", 0, G_OPTION_FLAG_OPTIONAL_ARG, G_OPTION_ARG_CALLBACK, read_watch,
		 "Again and again, all SECONDS (default 2), with an empty line between", "SECONDS"},
		{"json", 'J', 0, G_OPTION_ARG_NONE, &options->json,
		 "JSON: with -o, --tree or --by of that, else all that is known, as in the file "
		 "segments.json of a mount",
		 NULL},
		{"raw", 'r', 0, G_OPTION_ARG_NONE, &options->raw,
		 "Cells separated by one blank; blanks in them are \\x20", NULL},
		{"export", 'P', 0, G_OPTION_ARG_NONE, &options->export, "KEY=\"value\" pairs",
		 NULL},
		{"shell", 'y', 0, G_OPTION_ARG_NONE, &options->shell,
		 "The same, each KEY the name of a variable", NULL},
		{"bytes", 'b', 0, G_OPTION_ARG_NONE, &options->bytes, "Sizes in bytes", NULL},
		{"noheadings", 'n', 0, G_OPTION_ARG_NONE, &options->noheadings,
		 "Do not print the headings", NULL},
		{"version", 'V', 0, G_OPTION_ARG_NONE, &options->version, "Print the version",
		 NULL},
		{},
	};

	g_option_group_add_entries(group, entries);
}

gboolean options_parse(int *argc, char ***argv, Options *options, GError **error)
{
	g_autoptr(GOptionContext) context =
		g_option_context_new("- shared memory, who holds it, and what is orphaned");
	g_autofree char *help = columns_help();
	g_autofree char *description = g_strconcat(
		help,
		"\nThe usual ones are " DEFAULT_COLUMNS " (" COLUMNS_VARIABLE
		" of the environment has\nothers).\nMemory without a name that is still held is "
		"listed as unlinked/...; what is "
		"not known is \"-\".\nOther users' processes can be examined by root only.\n"
		"It knows the IPC namespace and the /dev/shm that it is started in, and with\n"
		"--all-namespaces, as root, those of all processes, as ns/NUMBER/...; "
		"without it,\nfor those of a process, nsenter -t PID -i segls --shm-dir "
		"/proc/PID/root/dev/shm\n",
		NULL);
	GOptionGroup *group = what_options(options);

	options->orphan_age = DEFAULT_AGE;
	add_how_options(group, options);
	g_option_context_set_description(context, description);
	g_option_context_set_main_group(context, group);
	if (!g_option_context_parse(context, argc, argv, error))
		return FALSE;
	if (*argc > 1)
		return fail(error, "unexpected argument '%s'; segls --help says more", (*argv)[1]);
	return options_check(options, error) && options_complete(options, error) &&
	       read_keep(options, error);
}
