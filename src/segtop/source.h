/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <segfs/segfs.h>
#include <stdbool.h>

/* One piece of memory, as it was at a look. What others have named is as they have named it. */
typedef struct {
	char *file; /* below a mount: sysv/5, ns/4026532188/posix/a; names it for good */
	SegfsKind kind;
	bool unlinked;
	bool is_huge; /* of huge pages, which are no part of Shmem */
	uint64_t size, resident;
	bool has_resident;
	uint64_t nattch; /* of SysV, as the kernel counts */
	int64_t used;    /* last, seconds since 1970; 0: not known */
	uid_t uid;

	bool is_judged; /* what follows is known; else it was seen at a glance only */
	SegfsVerdict verdict;
	guint n_holders;
	char *container, *creator; /* NULL: none, not known */

	/* What a list of pieces adds, see pieces.h. */
	gint64 at;     /* when it was looked at, of g_get_monotonic_time() */
	double growth; /* resident bytes a second since the look before */
	bool has_growth;
} Piece;

void piece_free(Piece *piece);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Piece, piece_free)

/*
 * Where it is all known from: libsegfs, or a mount of segfs. One thread at a time. Functions return
 * 0 or -errno.
 */
typedef struct Source Source;

typedef struct {
	/* All there is, as an array of Piece that the caller unrefs. Looks at all processes. */
	int (*survey)(Source *source, GPtrArray **ret_pieces, guint *ret_unexamined);
	/* The same of what has a name, unjudged, in a fraction of the time. */
	int (*glance)(Source *source, GPtrArray **ret_pieces);
	/* What is known of one at this moment, lines "Key: value"; the caller's to free. */
	int (*info)(Source *source, const char *file, char **ret_text);
	/* Removes an orphan as rm(1) in orphans/ does: -EBUSY where it is none (any more). */
	int (*remove)(Source *source, const char *file);
	void (*free)(Source *source);
} SourceOps;

struct Source {
	const SourceOps *ops;
	bool is_others; /* another process looks: a survey costs more than this one's time */
};

typedef struct {
	char *shm_dir; /* NULL: /dev/shm */
	int64_t orphan_age;
	SegfsKeep *keep;
} SourceOptions;

/* By libsegfs, of all IPC namespaces where that may be; options have to outlive it. */
int source_lib_new(const SourceOptions *options, Source **ret_source);
/* By a mount, of all that it shows. -EINVAL: there is none. */
int source_mount_new(const char *directory, Source **ret_source);
