/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A live view of shared memory. One thread shows and reads keys, another looks (worker.c): the
 * view answers also while a look takes long. It sleeps until there is a key or an answer.
 */

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <ncurses.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "segtop/keys.h"

#define DEFAULT_DELAY 2
#define LEAST_DELAY 0.1
#define DEFAULT_AGE 60
#define CLOCK_MS 5000 /* how old things are is shown again at least so often */

typedef struct {
	double delay;
	char *keep_file, **globs, **arguments;
	gboolean version;
	SourceOptions source;
} Options;

static gboolean fail(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

static gboolean fail(GError **error, const char *format, ...)
{
	va_list values;

	va_start(values, format);
	*error = g_error_new_valist(g_quark_from_static_string("segtop"), 0, format, values);
	va_end(values);
	return FALSE;
}

static void options_clear(Options *options)
{
	g_free(options->keep_file);
	g_free(options->source.shm_dir);
	g_strfreev(options->globs);
	g_strfreev(options->arguments);
	g_clear_pointer(&options->source.keep, segfs_keep_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Options, options_clear)

static gboolean options_check(Options *options, GError **error)
{
	if (!isfinite(options->delay) || options->delay < LEAST_DELAY || options->delay > 86400)
		return fail(error, "--delay: a number of seconds is wanted, at least %g",
			    LEAST_DELAY);
	if (options->source.orphan_age < 1)
		return fail(error, "--orphan-age: a number of seconds, 1 or more, is wanted");
	if (options->arguments && options->arguments[0] && options->arguments[1])
		return fail(error, "unexpected argument '%s'; segtop --help says more",
			    options->arguments[1]);
	options->source.keep = segfs_keep_new();
	for (char **glob = options->globs; glob && *glob; glob++)
		segfs_keep_add(options->source.keep, *glob, NULL);
	const int r = segfs_keep_read(options->source.keep, options->keep_file);
	return r == 0 ||
	       fail(error, "%s: %s", options->keep_file ? options->keep_file : SEGFS_KEEP_FILE,
		    g_strerror(-r));
}

static gboolean options_parse(int *argc, char ***argv, Options *options, GError **error)
{
	options->delay = DEFAULT_DELAY;
	options->source.orphan_age = DEFAULT_AGE;
	const GOptionEntry entries[] = {
		{"delay", 'd', 0, G_OPTION_ARG_DOUBLE, &options->delay,
		 "Between two looks (default 2)", "SECONDS"},
		{"orphan-age", 0, 0, G_OPTION_ARG_INT64, &options->source.orphan_age,
		 "What was used more lately is not orphaned (default 60); without a mountpoint",
		 "SECONDS"},
		{"keep", 0, 0, G_OPTION_ARG_STRING_ARRAY, &options->globs,
		 "What has such a name is never orphaned; may be given often", "GLOB"},
		{"keep-file", 0, 0, G_OPTION_ARG_FILENAME, &options->keep_file,
		 "Such globs, one a line (default " SEGFS_KEEP_FILE ")", "FILE"},
		{"shm-dir", 0, 0, G_OPTION_ARG_FILENAME, &options->source.shm_dir,
		 "The directory of POSIX objects (default /dev/shm)", "DIR"},
		{"version", 'V', 0, G_OPTION_ARG_NONE, &options->version, "Print the version",
		 NULL},
		{G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &options->arguments, NULL,
		 "[MOUNTPOINT]"},
		{},
	};
	g_autoptr(GOptionContext) context = g_option_context_new("- a live view of shared memory");

	g_option_context_set_description(
		context, "What is shown is what the segfs at MOUNTPOINT shows; without one, what "
			 "can be seen\nfrom here, as root in all IPC namespaces. The key ? shows "
			 "the keys. segls --watch\nis for pipes.\n");
	g_option_context_add_main_entries(context, entries, NULL);
	return g_option_context_parse(context, argc, argv, error) && options_check(options, error);
}

static gboolean source_open(const Options *options, Source **ret_source, GError **error)
{
	const char *mount = options->arguments ? options->arguments[0] : NULL;
	g_autofree char *refusal = mount ? NULL : segfs_kernel_refusal();
	if (refusal)
		return fail(error, "%s", refusal);
	const int r = mount ? source_mount_new(mount, ret_source)
			    : source_lib_new(&options->source, ret_source);

	if (r == 0)
		return TRUE;
	if (mount && r == -EINVAL)
		return fail(error, "%s: no segfs is mounted there", mount);
	if (!mount && r == -ENOSYS)
		return fail(error, "no SysV shared memory here: %s", g_strerror(-r));
	if (!mount)
		mount = options->source.shm_dir ? options->source.shm_dir : "/dev/shm";
	return fail(error, "%s: %s", mount, g_strerror(-r));
}

/* False: the terminal has gone. */
static bool read_keys(Keys *keys, bool is_ready)
{
	int key = getch();

	if (key == ERR && is_ready)
		return false;
	for (; key != ERR && !keys->is_over; key = getch())
		keys_press(keys, key);
	return true;
}

static void run(Keys *keys)
{
	struct pollfd fds[] = {
		{.fd = STDIN_FILENO, .events = POLLIN},
		{.fd = worker_fd(keys->worker), .events = POLLIN},
	};

	while (!keys->is_over) {
		keys_draw(keys);
		/* A new size of the terminal interrupts it, and is a key then. */
		if (poll(fds, G_N_ELEMENTS(fds), CLOCK_MS) < 0)
			fds[0].revents = 0;
		if (!read_keys(keys, fds[0].revents != 0))
			return;
		for (;;) {
			g_autoptr(WorkerAnswer) answer = worker_answer(keys->worker);
			if (!answer)
				break;
			keys_take(keys, answer);
		}
	}
}

int main(int argc, char **argv)
{
	g_auto(Options) options = {};
	g_autoptr(GError) error = NULL;
	Source *source = NULL;
	Keys keys;

	setlocale(LC_CTYPE, "");
	if (options_parse(&argc, &argv, &options, &error) && options.version) {
		printf("segtop %s\n", SEGFS_VERSION);
		return 0;
	}
	if (!error && (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)))
		fail(&error, "a terminal is wanted; segls --watch is for pipes");
	if (error || !source_open(&options, &source, &error)) {
		g_printerr("segtop: %s\n", error->message);
		return 1;
	}
	if (!screen_start()) {
		g_printerr("segtop: nothing is known of the terminal '%s' (TERM)\n",
			   g_getenv("TERM") ? g_getenv("TERM") : "");
		_exit(1); /* what ncurses has begun cannot be freed either */
	}
	keys_init(&keys, worker_start(source, options.delay),
		  options.arguments ? options.arguments[0] : "of this host");
	run(&keys);
	screen_end();
	keys_clear(&keys);
	/* The worker may be in a look, of which this is the end: what it uses is not freed. */
	fflush(stdout);
	_exit(0);
}
