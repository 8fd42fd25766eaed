/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "mount/options.h"

#include <string.h>
#include <unistd.h>

#define DESCRIPTION                                                                                \
	"Mount options (-o, separated by commas):\n"                                               \
	"  ro               nothing can be written, made or removed through this mount\n"          \
	"  allow_other      everybody may use it, with their own rights (default as root)\n"       \
	"  private          only who mounts may use it (default otherwise)\n"                      \
	"  shm_dir=DIR      the directory of POSIX objects (default /dev/shm)\n"                   \
	"  orphan_age=N     seconds without use before a segment is orphaned (default 60)\n"       \
	"  max_threads=N    threads that answer at one time (default 10)\n"                        \
	"  nons             without ns/, the other IPC namespaces of the host\n"                   \
	"  ipcns=PID        the IPC namespace and /dev/shm of that process; or /proc/PID/ns/ipc\n" \
	"  noattach         never attach a segment: what cannot be opened without is EBUSY\n"      \
	"  no_passthrough   all reads and writes through the daemon; no shared mmap\n"             \
	"  no_seccomp       no filter of the daemon's system calls (there is one as root)\n"       \
	"and those of mount(8) that concern the kernel (nosuid, nodev, noexec, noatime ...).\n"    \
	"\n"                                                                                       \
	"SOURCE is what mount(8) passes, and ignored. Unmount with fusermount3 -u MOUNTPOINT.\n"

gboolean segfs_error(GError **error, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	g_autofree char *message = g_strdup_vprintf(format, arguments);
	va_end(arguments);
	g_set_error_literal(error, g_quark_from_static_string("segfs"), 1, message);
	return FALSE;
}

/* One word of -o. */
typedef struct {
	const char *name; /* ends in '=' where it takes a value */
	void (*take)(Options *options, const char *name, const char *value);
} Word;

static void take_kernel(Options *options, const char *name, const char *value)
{
	g_string_append_printf(options->kernel, ",%s", name);
}

static void take_ignored(Options *options, const char *name, const char *value)
{
}

static void take_allow_other(Options *options, const char *name, const char *value)
{
	options->allow_other = true;
}

static void take_private(Options *options, const char *name, const char *value)
{
	options->allow_other = false;
}

static void take_shm_dir(Options *options, const char *name, const char *value)
{
	g_free((char *)options->tree.shm_dir);
	/* The daemon leaves the working directory. */
	options->tree.shm_dir = g_canonicalize_filename(value, NULL);
}

static void take_orphan_age(Options *options, const char *name, const char *value)
{
	guint64 seconds;

	if (g_ascii_string_to_unsigned(value, 10, 0, INT32_MAX, &seconds, NULL))
		options->tree.orphan_age = seconds;
	else
		options->wanted = "a number of seconds, 0 or more,";
}

static void take_noattach(Options *options, const char *name, const char *value)
{
	options->tree.ipc.no_attach = true;
}

static void take_no_passthrough(Options *options, const char *name, const char *value)
{
	options->no_passthrough = true;
}

static void take_no_seccomp(Options *options, const char *name, const char *value)
{
	options->no_seccomp = true;
}

static void take_nons(Options *options, const char *name, const char *value)
{
	options->tree.no_namespaces = true;
}

static void take_ipcns(Options *options, const char *name, const char *value)
{
	g_free(options->ipcns);
	options->ipcns = g_strdup(value);
}

static void take_max_threads(Options *options, const char *name, const char *value)
{
	guint64 n;

	if (g_ascii_string_to_unsigned(value, 10, 1, 1000, &n, NULL))
		options->max_threads = n;
	else
		options->wanted = "a number from 1 to 1000";
}

static const Word words[] = {
	{"ro", take_kernel},
	{"rw", take_kernel},
	{"suid", take_ignored}, /* never: files that others put there are not to be trusted */
	{"nosuid", take_ignored},
	{"dev", take_ignored},
	{"nodev", take_ignored},
	{"exec", take_kernel},
	{"noexec", take_kernel},
	{"atime", take_kernel},
	{"noatime", take_kernel},
	{"sync", take_kernel},
	{"async", take_kernel},
	{"dirsync", take_kernel},
	/* Of fstab(5), for mount(8) itself. */
	{"defaults", take_ignored},
	{"auto", take_ignored},
	{"noauto", take_ignored},
	{"user", take_ignored},
	{"nouser", take_ignored},
	{"users", take_ignored},
	{"owner", take_ignored},
	{"nofail", take_ignored},
	{"_netdev", take_ignored},
	{"relatime", take_ignored},
	{"allow_other", take_allow_other},
	{"private", take_private},
	{"noattach", take_noattach},
	{"no_passthrough", take_no_passthrough},
	{"no_seccomp", take_no_seccomp},
	{"shm_dir=", take_shm_dir},
	{"max_threads=", take_max_threads},
	{"orphan_age=", take_orphan_age},
	{"nons", take_nons},
	{"ipcns=", take_ipcns},
};

static gboolean take_word(Options *options, const char *given, GError **error)
{
	if (g_str_has_prefix(given, "x-"))
		return TRUE;
	for (guint i = 0; i < G_N_ELEMENTS(words); i++) {
		const size_t length = strlen(words[i].name);
		const bool has_value = words[i].name[length - 1] == '=';

		if (has_value ? strncmp(given, words[i].name, length) != 0
			      : strcmp(given, words[i].name) != 0)
			continue;
		words[i].take(options, words[i].name, given + length);
		if (options->wanted)
			return segfs_error(error, "-o %s: %s is wanted", given, options->wanted);
		return TRUE;
	}
	return segfs_error(error, "unknown mount option '%s'; segfs --help lists them", given);
}

gboolean options_parse(int *argc, char ***argv, Options *ret_options, OptionsVerdict *ret_verdict,
		       GError **error)
{
	gboolean foreground = FALSE, debug = FALSE, version = FALSE;
	g_auto(GStrv) lists = NULL, rest = NULL;
	g_auto(Options) options = {
		.kernel = g_string_new(NULL), .allow_other = geteuid() == 0, .tree.orphan_age = 60};
	const GOptionEntry entries[] = {
		{"foreground", 'f', 0, G_OPTION_ARG_NONE, &foreground, "Stay in the foreground",
		 NULL},
		{"debug", 'd', 0, G_OPTION_ARG_NONE, &debug,
		 "Print what the kernel asks; stay in the foreground", NULL},
		{"options", 'o', 0, G_OPTION_ARG_STRING_ARRAY, &lists, "Mount options", "OPT,..."},
		{"version", 'V', 0, G_OPTION_ARG_NONE, &version, "Print the version", NULL},
		{G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &rest, NULL,
		 "[SOURCE] MOUNTPOINT"},
		G_OPTION_ENTRY_NULL,
	};
	g_autoptr(GOptionContext) context = g_option_context_new(NULL);

	g_option_context_set_summary(context,
				     "Shows the shared-memory segments of this host as files.");
	g_option_context_set_description(context, DESCRIPTION);
	g_option_context_add_main_entries(context, entries, NULL);
	if (!g_option_context_parse(context, argc, argv, error))
		return FALSE;
	if (version) {
		g_print("segfs %s\n", SEGFS_VERSION);
		*ret_verdict = OPTIONS_DONE;
		return TRUE;
	}
	for (char **list = lists; list && *list; list++) {
		g_auto(GStrv) given = g_strsplit(*list, ",", -1);
		for (char **word = given; *word; word++)
			if (**word && !take_word(&options, *word, error))
				return FALSE;
	}
	const guint n_rest = rest ? g_strv_length(rest) : 0;
	if (n_rest == 0)
		return segfs_error(error,
				   "no mountpoint given; usage: segfs [-o OPT,...] MOUNTPOINT");
	if (n_rest > 2)
		return segfs_error(error,
				   "too many arguments; usage: segfs [-o OPT,...] MOUNTPOINT");
	if (options.allow_other && geteuid() != 0)
		return segfs_error(error,
				   "-o allow_other: only root can give others their own rights; "
				   "mount as root, or without it");
	options.foreground = foreground || debug;
	options.debug = debug;
	options.mountpoint = g_strdup(rest[n_rest - 1]);
	*ret_options = options;
	options = (Options){};
	*ret_verdict = OPTIONS_MOUNT;
	return TRUE;
}

void options_clear(Options *options)
{
	if (options->kernel)
		g_string_free(options->kernel, TRUE);
	g_free((char *)options->tree.shm_dir);
	g_free(options->mountpoint);
	g_free(options->ipcns);
	*options = (Options){};
}
