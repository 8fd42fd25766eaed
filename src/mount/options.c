/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "mount/options.h"

#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#define HISTORY_DIR "/var/lib/segfs"

#define DESCRIPTION                                                                                \
	"Mount options (-o, separated by commas):\n"                                               \
	"  ro               nothing can be written, made or removed through this mount\n"          \
	"  allow_other      everybody may use it, with their own rights (default as root)\n"       \
	"  private          only who mounts may use it (default otherwise)\n"                      \
	"  shm_dir=DIR      the directory of POSIX objects (default /dev/shm)\n"                   \
	"  orphan_age=N     seconds without use before a segment is orphaned (default 60)\n"       \
	"  orphan_age_unsafe  N may be 0: also what is made and not opened yet is orphaned\n"      \
	"  keep=GLOB        what has such a name is never orphaned; may be given often\n"          \
	"  keep_file=FILE   such globs, one a line (default " SEGFS_KEEP_FILE ")\n"                \
	"  max_threads=N    threads that answer at one time (default 10)\n"                        \
	"  nons             without ns/, the other IPC namespaces of the host\n"                   \
	"  ipcns=PID        the IPC namespace and /dev/shm of that process; or /proc/PID/ns/ipc\n" \
	"  history=off      remember nothing of who has made and removed what (default on)\n"      \
	"  history=stacks   remember also by which functions it was made (frame pointers)\n"       \
	"  history_args=no  remember programs' names, not their command lines\n"                   \
	"  history_dir=DIR  where it is kept over a restart (root: " HISTORY_DIR "; empty: not)\n" \
	"  noattach         never attach a segment: what cannot be opened without is EBUSY\n"      \
	"  no_passthrough   all reads and writes through the daemon; no shared mmap\n"             \
	"  no_seccomp       no filter of the daemon's system calls (there is one as root)\n"       \
	"and those of mount(8) that concern the kernel (nosuid, nodev, noexec, noatime ...).\n"    \
	"\n"                                                                                       \
	"SOURCE is any word, for mount(8) and findmnt(8). Unmount with fusermount3 -u "            \
	"MOUNTPOINT.\n"

gboolean segfs_error(GError **error, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	g_autofree char *message = g_strdup_vprintf(format, arguments);
	va_end(arguments);
	g_set_error_literal(error, g_quark_from_static_string("segfs"), 1, message);
	return FALSE;
}

char *options_escape(const char *value)
{
	GString *escaped = g_string_new(NULL);

	for (; *value; value++) {
		if (*value == ',' || *value == '\\')
			g_string_append_c(escaped, '\\');
		g_string_append_c(escaped, *value);
	}
	return g_string_free(escaped, FALSE);
}

/* One word of -o. */
typedef struct {
	const char *name; /* ends in '=' where it takes a value */
	void (*take)(Options *options, const char *name, const char *value);
} Word;

/* The same as flags of mount(2), for a remount. */
static const struct {
	const char *name;
	unsigned long set, clear;
} flags[] = {
	{"ro", MS_RDONLY, 0},
	{"rw", 0, MS_RDONLY},
	{"exec", 0, MS_NOEXEC},
	{"noexec", MS_NOEXEC, 0},
	{"atime", 0, MS_NOATIME},
	{"noatime", MS_NOATIME, 0},
	{"nodiratime", MS_NODIRATIME, 0},
	{"sync", MS_SYNCHRONOUS, 0},
	{"async", 0, MS_SYNCHRONOUS},
	{"dirsync", MS_DIRSYNC, 0},
};

static void take_kernel(Options *options, const char *name, const char *value)
{
	g_string_append_printf(options->kernel, ",%s", name);
	for (guint i = 0; i < G_N_ELEMENTS(flags); i++)
		if (!strcmp(flags[i].name, name))
			options->flags = (options->flags & ~flags[i].clear) | flags[i].set;
}

/* A security module's, which takes it out of what the file system gets; without one it would stay
 * there. */
static void take_label(Options *options, const char *name, const char *value)
{
	g_autofree char *escaped = options_escape(value);

	if (g_file_test("/sys/fs/selinux/enforce", G_FILE_TEST_EXISTS))
		g_string_append_printf(options->kernel, ",%s%s", name, escaped);
}

static void take_remount(Options *options, const char *name, const char *value)
{
	options->remount = true;
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

static void take_keep(Options *options, const char *name, const char *value)
{
	segfs_keep_add(options->keep, value, NULL);
}

static void take_keep_file(Options *options, const char *name, const char *value)
{
	g_free(options->keep_file);
	options->keep_file = g_strdup(value);
}

static void take_orphan_age_unsafe(Options *options, const char *name, const char *value)
{
	options->orphan_age_unsafe = true;
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
	options->tree.no_ns = "-o nons";
}

static void take_history(Options *options, const char *name, const char *value)
{
	if (strcmp(value, "on") != 0 && strcmp(value, "off") != 0 && strcmp(value, "stacks") != 0) {
		options->wanted = "on, off or stacks";
		return;
	}
	options->no_history = !strcmp(value, "off");
	options->history.stacks = !strcmp(value, "stacks");
}

static void take_history_args(Options *options, const char *name, const char *value)
{
	if (!strcmp(value, "yes") || !strcmp(value, "no"))
		options->history.no_arguments = !strcmp(value, "no");
	else
		options->wanted = "yes or no";
}

static void take_history_dir(Options *options, const char *name, const char *value)
{
	g_free(options->history_dir);
	options->history_dir = *value ? g_canonicalize_filename(value, NULL) : g_strdup("");
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
	{"nodiratime", take_kernel},
	{"sync", take_kernel},
	{"async", take_kernel},
	{"dirsync", take_kernel},
	/* What times are is the memory's to say, and its pages are never written back. */
	{"relatime", take_ignored},
	{"norelatime", take_ignored},
	{"strictatime", take_ignored},
	{"nostrictatime", take_ignored},
	{"diratime", take_ignored},
	{"lazytime", take_ignored},
	{"nolazytime", take_ignored},
	{"iversion", take_ignored},
	{"noiversion", take_ignored},
	{"mand", take_ignored},
	{"nomand", take_ignored},
	{"silent", take_ignored},
	{"loud", take_ignored},
	/* Of fstab(5), for mount(8) itself. */
	{"defaults", take_ignored},
	{"auto", take_ignored},
	{"noauto", take_ignored},
	{"user", take_ignored},
	{"user=", take_ignored},
	{"nouser", take_ignored},
	{"users", take_ignored},
	{"owner", take_ignored},
	{"noowner", take_ignored},
	{"group", take_ignored},
	{"nogroup", take_ignored},
	{"nofail", take_ignored},
	{"comment=", take_ignored},
	{"_netdev", take_ignored},
	/* A security module's. */
	{"context=", take_label},
	{"fscontext=", take_label},
	{"defcontext=", take_label},
	{"rootcontext=", take_label},
	/* A remount comes with all that /proc/self/mountinfo has of the mount. */
	{"remount", take_remount},
	{"user_id=", take_ignored},
	{"group_id=", take_ignored},
	{"max_read=", take_ignored},
	{"allow_other", take_allow_other},
	{"private", take_private},
	{"noattach", take_noattach},
	{"no_passthrough", take_no_passthrough},
	{"no_seccomp", take_no_seccomp},
	{"shm_dir=", take_shm_dir},
	{"max_threads=", take_max_threads},
	{"orphan_age=", take_orphan_age},
	{"orphan_age_unsafe", take_orphan_age_unsafe},
	{"keep=", take_keep},
	{"keep_file=", take_keep_file},
	{"nons", take_nons},
	{"history=", take_history},
	{"history_args=", take_history_args},
	{"history_dir=", take_history_dir},
	{"ipcns=", take_ipcns},
};

/* The words of list, freed by g_strfreev(): between double quotes a comma ends none (mount(8)). */
static char **split(const char *list)
{
	g_autoptr(GPtrArray) words_given = g_ptr_array_new();
	g_autoptr(GString) word = g_string_new(NULL);
	bool quoted = false;

	for (const char *at = list;; at++) {
		if (*at == '"') {
			quoted = !quoted;
		} else if (*at && (*at != ',' || quoted)) {
			g_string_append_c(word, *at);
		} else {
			g_ptr_array_add(words_given, g_strdup(word->str));
			g_string_truncate(word, 0);
			if (!*at)
				break;
		}
	}
	g_ptr_array_add(words_given, NULL);
	return (char **)g_ptr_array_steal(words_given, NULL);
}

static gboolean take_word(Options *options, const char *given, bool sloppy, GError **error)
{
	if (g_str_has_prefix(given, "x-") || g_str_has_prefix(given, "X-"))
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
	return sloppy ||
	       segfs_error(error, "unknown mount option '%s'; segfs --help lists them", given);
}

static gboolean read_keep(Options *options, GError **error)
{
	const int r = segfs_keep_read(options->keep, options->keep_file);

	if (r < 0)
		return segfs_error(error, "%s: %s",
				   options->keep_file ? options->keep_file : SEGFS_KEEP_FILE,
				   g_strerror(-r));
	options->tree.keep = options->keep;
	return TRUE;
}

/* Do they make sense together? */
static gboolean options_check(Options *options, GError **error)
{
	if (options->remount)
		return TRUE;
	if (options->allow_other && geteuid() != 0)
		return segfs_error(error,
				   "-o allow_other: only root can give others their own rights; "
				   "mount as root, or without it");
	if (options->tree.orphan_age == 0 && !options->orphan_age_unsafe)
		return segfs_error(
			error, "-o orphan_age=0: takes what a program has made just now and not "
			       "opened yet; give at least 1, or orphan_age_unsafe as well");
	return read_keep(options, error);
}

typedef struct {
	gboolean foreground, debug, version;
	gboolean fake, sloppy, ignored; /* mount(8)'s */
	char *ignored_word;
	char **lists, **rest;
} Line;

static void line_clear(Line *line)
{
	g_free(line->ignored_word);
	g_strfreev(line->lists);
	g_strfreev(line->rest);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Line, line_clear)

/* Under the names mount.segfs and mount.fuse.segfs mount(8) calls it, with options of its own. */
static gboolean line_parse(Line *line, int *argc, char ***argv, GError **error)
{
	g_autofree char *name = g_path_get_basename((*argv)[0] ? (*argv)[0] : "");
	const GOptionEntry common[] = {
		{"options", 'o', 0, G_OPTION_ARG_STRING_ARRAY, &line->lists, "Mount options",
		 "OPT,..."},
		{"version", 'V', 0, G_OPTION_ARG_NONE, &line->version, "Print the version", NULL},
		{G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &line->rest, NULL,
		 "[SOURCE] MOUNTPOINT"},
		G_OPTION_ENTRY_NULL,
	};
	const GOptionEntry by_hand[] = {
		{"foreground", 'f', 0, G_OPTION_ARG_NONE, &line->foreground,
		 "Stay in the foreground", NULL},
		{"debug", 'd', 0, G_OPTION_ARG_NONE, &line->debug,
		 "Print what the kernel asks; stay in the foreground", NULL},
		G_OPTION_ENTRY_NULL,
	};
	const GOptionEntry by_mount[] = {
		{"fake", 'f', 0, G_OPTION_ARG_NONE, &line->fake, "Do not mount", NULL},
		{"sloppy", 's', 0, G_OPTION_ARG_NONE, &line->sloppy, "Ignore unknown mount options",
		 NULL},
		{"no-mtab", 'n', 0, G_OPTION_ARG_NONE, &line->ignored, "Ignored", NULL},
		{"verbose", 'v', 0, G_OPTION_ARG_NONE, &line->ignored, "Ignored", NULL},
		{"types", 't', 0, G_OPTION_ARG_STRING, &line->ignored_word, "Ignored", "TYPE"},
		G_OPTION_ENTRY_NULL,
	};
	g_autoptr(GOptionContext) context = g_option_context_new(NULL);

	g_option_context_set_summary(context,
				     "Shows the shared-memory segments of this host as files.");
	g_option_context_set_description(context, DESCRIPTION);
	g_option_context_add_main_entries(
		context, g_str_has_prefix(name, "mount.") ? by_mount : by_hand, NULL);
	g_option_context_add_main_entries(context, common, NULL);
	return g_option_context_parse(context, argc, argv, error);
}

/* Where none is given: that of the service (STATE_DIRECTORY of systemd.exec(5)), else root's. */
static void find_history_dir(Options *options)
{
	const char *state = g_getenv("STATE_DIRECTORY");

	if (!options->history_dir && geteuid() == 0)
		options->history_dir = g_strdup(state ? state : HISTORY_DIR);
	options->history.directory =
		options->history_dir && *options->history_dir ? options->history_dir : NULL;
}

/* The program that knows functions' names stands beside this one where both were built. */
static void find_symbols(Options *options)
{
#ifdef SEGFS_SYMBOLS
	g_autofree char *own = g_file_read_link("/proc/self/exe", NULL);
	g_autofree char *directory = own ? g_path_get_dirname(own) : g_strdup(".");
	g_autofree char *beside = g_build_filename(directory, "segfs-symbols", NULL);
	const bool is_there = own && g_file_test(beside, G_FILE_TEST_IS_EXECUTABLE);

	options->symbols = is_there ? g_steal_pointer(&beside) : g_strdup(SEGFS_SYMBOLS);
#endif
	options->history.symbols = options->symbols;
}

gboolean options_parse(int *argc, char ***argv, Options *ret_options, OptionsVerdict *ret_verdict,
		       GError **error)
{
	g_auto(Line) line = {};
	g_auto(Options) options = {.keep = segfs_keep_new(),
				   .kernel = g_string_new(NULL),
				   .allow_other = geteuid() == 0,
				   .tree.orphan_age = 60};

	if (!line_parse(&line, argc, argv, error))
		return FALSE;
	if (line.version) {
		g_print("segfs %s\n", SEGFS_VERSION);
		*ret_verdict = OPTIONS_DONE;
		return TRUE;
	}
	for (char **list = line.lists; list && *list; list++) {
		g_auto(GStrv) given = split(*list);
		for (char **word = given; *word; word++)
			if (**word && !take_word(&options, *word, line.sloppy, error))
				return FALSE;
	}
	const guint n_rest = line.rest ? g_strv_length(line.rest) : 0;
	if (n_rest == 0)
		return segfs_error(error,
				   "no mountpoint given; usage: segfs [-o OPT,...] MOUNTPOINT");
	if (n_rest > 2)
		return segfs_error(error,
				   "too many arguments; usage: segfs [-o OPT,...] MOUNTPOINT");
	if (!options_check(&options, error))
		return FALSE;
	find_history_dir(&options);
	find_symbols(&options);
	options.foreground = line.foreground || line.debug;
	options.debug = line.debug;
	options.mountpoint = g_strdup(line.rest[n_rest - 1]);
	options.source = g_strdup(n_rest == 2 ? line.rest[0] : "segfs");
	*ret_verdict = line.fake ? OPTIONS_DONE : OPTIONS_MOUNT;
	*ret_options = options;
	options = (Options){};
	return TRUE;
}

void options_clear(Options *options)
{
	if (options->kernel)
		g_string_free(options->kernel, TRUE);
	g_free((char *)options->tree.shm_dir);
	g_clear_pointer(&options->keep, segfs_keep_free);
	g_free(options->keep_file);
	g_free(options->mountpoint);
	g_free(options->source);
	g_free(options->ipcns);
	g_free(options->history_dir);
	g_free(options->symbols);
	*options = (Options){};
}
