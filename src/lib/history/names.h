/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <segfs/posix.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * What happens to the names of a tmpfs: fanotify(7). One thread reads and ends; others may watch
 * and ask meanwhile.
 */
typedef struct Names Names;

/* What a file of a tmpfs is called by the kernel for as long as it lives, and never again: the
 * number and the generation of its handle (name_to_handle_at(2)). */
typedef struct {
	uint64_t dev, ino;
	uint32_t generation;
} NamesFile;

/* False: its file system has other handles. */
bool names_file_of(const SegfsObject *object, NamesFile *ret_file);

typedef enum { NAMES_CREATE = 1, NAMES_DELETE = 2, NAMES_RENAME = 4 } NamesVerb;

typedef struct {
	guint verbs; /* NamesVerb; a creation and a removal that followed can come as one */
	pid_t pid;   /* 0: not seen from here */
	int pidfd;   /* -1: it had ended by the time this was read */
	NamesFile file;
	int file_fd;      /* O_PATH, the taker's to close; -1: it is gone */
	const char *path; /* below the directory; of a renamed one the new one */
	const char *from; /* of a renamed one the old one */
	uint64_t ns;      /* IPC namespace with which it goes; 0: our own */
} NamesEvent;

/* Errors are those of fanotify_init(2). */
int names_new(Names **ret_names);
void names_free(Names *names);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Names, names_free)

/* Watches it; -EXDEV: it is not the root of a tmpfs; others are those of fanotify_mark(2). */
int names_watch(Names *names, const SegfsPosix *posix);

/*
 * The same of the /dev/shm of a process of the IPC namespace ns, on the file system of that st_dev,
 * until that process ends: what it sees is not to outlive it. -ESRCH: it has ended, or sees another
 * one; -ENOSPC: too many are watched.
 */
int names_watch_of(Names *names, pid_t pid, dev_t dev, uint64_t ns);

/* Readable where a process has ended whose /dev/shm was watched; and no more of those are. */
int names_ends_fd(const Names *names);
void names_end(Names *names);

/*
 * An O_PATH descriptor of the file on a watched file system, and its path below the directory
 * (NULL: it has none), both the caller's. -ESTALE: it is gone; -EXDEV: it is not watched.
 */
int names_open(Names *names, const NamesFile *file, int *ret_fd, char **ret_path);

/* Is the file system watched that has this st_dev? */
bool names_watches(Names *names, uint64_t dev);

/* Readable where there are events. */
int names_fd(const Names *names);

/*
 * Hands take the next events that wait, not all of them, which may be very many. Returns how many
 * times events were lost.
 */
typedef void (*NamesTake)(const NamesEvent *event, gpointer data);
guint names_read(Names *names, NamesTake take, gpointer data);

/* When the file was made, as Piece has it, and how many names it has. False: it is gone. */
bool names_look(int fd, int64_t *ret_born, nlink_t *ret_links);
