/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

#include "tree/tree.h"

/* Sets error to one line that says what is wrong and what to do about it. Returns FALSE. */
gboolean segfs_error(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

typedef struct {
	bool foreground, debug;
	bool allow_other, no_passthrough, no_seccomp, orphan_age_unsafe;
	bool no_history;     /* nothing is remembered */
	bool remount;        /* an existing mount gets flags, and nothing else happens */
	unsigned long flags; /* of mount(2) */
	guint max_threads;   /* 0: libfuse's own */
	const char *wanted;  /* the value that the last word should have had; NULL: it is fine */
	SegfsKeep *keep;     /* of tree */
	char *keep_file;     /* as given; NULL: the usual one */
	TreeOptions tree;
	SegfsHistoryOptions history;
	char *symbols;     /* of history; NULL: there is none */
	char *history_dir; /* of history, an absolute path; NULL: nowhere */
	GString *kernel;   /* options for the kernel and libfuse, with commas */
	char *mountpoint;  /* as given */
	char *source;      /* as given, or "segfs": what mountinfo shows as the mount's source */
	char *ipcns;       /* as given; NULL: the daemon's own */
} Options;

/* The command line has been read: does the program go on to mount? */
typedef enum { OPTIONS_MOUNT, OPTIONS_DONE } OptionsVerdict;

/* DONE where help or version have been printed. FALSE with error where they make no sense. */
gboolean options_parse(int *argc, char ***argv, Options *ret_options, OptionsVerdict *ret_verdict,
		       GError **error);
/* As libfuse wants what may have a comma or backslash in it; the caller's to free. */
char *options_escape(const char *value);
void options_clear(Options *options);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Options, options_clear)
