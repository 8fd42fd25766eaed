/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lib/record/actor.h"
#include "lib/stack/stack.h"

/*
 * What is remembered: of live pieces of memory who made them, and of the last that were removed
 * by whom, too. Not safe to use from two threads at once.
 */
typedef struct Table Table;

/* What has one number at one time: all numbers are given again. */
typedef struct {
	bool is_sysv;
	uint64_t domain; /* of a segment the number of its IPC namespace, else st_dev */
	uint64_t number; /* shmid, or st_ino */
} PieceKey;

typedef struct {
	PieceKey key;
	uint64_t again; /* of a segment the id of its namespace that is never given again, 0: not
			   known; else the generation of its file handle */
	char *name;     /* path below the directory of POSIX objects; NULL: a segment */
	uint64_t size;  /* of a segment */
	int64_t ctime;  /* of a segment, seconds */
	uint32_t sysv_key;
	pid_t cpid;   /* of a segment, as IPC_STAT has it: one made in key/ has another creator */
	uint64_t ns;  /* of an object of another IPC namespace, its number; else 0 */
	int64_t born; /* of an object, nanoseconds since 1970; 0: not known */
	bool is_recalled; /* from before this daemon began: what has become of it since is not known
			   */
	uint32_t n_execs; /* of an object's creator, when it made it; ENDS_MANY: not known */
	SegfsPast past;
} Piece;

typedef struct {
	Piece piece;
	uint64_t serial;
	int64_t removed;       /* microseconds since 1970 */
	bool is_at_the_latest; /* it was seen then to be gone */
	SegfsActor remover;
	bool with_namespace; /* of a segment that nobody has removed: it went with its namespace */
	gsize text;          /* the table's own: bytes of what it points to */
} Gone;

/*
 * pieces_most: of live ones; the one that was added first is forgotten for another. So it is where
 * their names, command lines and cgroups, which anybody may make long, are more than 512 bytes for
 * each of so many, and of those that are gone 2 KiB.
 */
Table *table_new(guint pieces_most, guint gone_most);
void table_free(Table *table);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Table, table_free)

/* What the table has under that key, its own; NULL: nothing. */
Piece *table_find(Table *table, const PieceKey *key);
/* The very one, which has what its key has at one time alone; likewise. */
Piece *table_find_same(Table *table, const Piece *piece);

/* Adds one, whatever had that key before; takes what piece points to, and returns its own. */
Piece *table_add(Table *table, const Piece *piece);
/* The table's own has another name: takes it. */
void table_rename(Table *table, Piece *piece, char *name);

/*
 * All pieces that the process made have its end, and its kin. start: in ticks; n_execs: programs
 * that it has run by then, without which it is not known what it was when it made an object.
 */
void table_end(Table *table, pid_t pid, uint64_t start, int64_t ended, int code,
	       const SegfsKin *kin, uint32_t n_execs);

/*
 * The piece is gone, whose key that is; of one that was not known only known is. Of a segment that
 * is gone already the first word counts. lives_on: its name alone is gone. remover: copied; NULL:
 * it was seen to be gone. Returns the table's own.
 */
Gone *table_remove(Table *table, const Piece *known, int64_t removed, const SegfsActor *remover,
		   bool lives_on);

/* Of const Gone, the last one first; the table's own. */
GPtrArray *table_gone(Table *table);
/* The one with that serial number, the table's own; NULL: there is none, or none any more. */
const Gone *table_gone_one(Table *table, uint64_t serial);

/* Without the creator's kin. Free with gone_free(). */
Gone *gone_copy(const Gone *gone);
void gone_free(gpointer gone);

/* All live pieces, Piece; the table's own, unref the array. */
GPtrArray *table_pieces(Table *table);
/* Forgets it. */
void table_forget(Table *table, const PieceKey *key);

/*
 * All of it, floating; and back, into one that is new. Whose lineage was known is not so any more:
 * what has happened since is not known.
 */
#define PIECE_TYPE "(bttmayttxuitx" ACTOR_TYPE "ia(iut)xxib" STACK_TYPE ")"
#define TABLE_TYPE "(ta" PIECE_TYPE "a(" PIECE_TYPE "xb" ACTOR_TYPE "))"
GVariant *table_save(const Table *table);
void table_restore(Table *table, GVariant *saved);

guint table_n_pieces(const Table *table);
/* How many were forgotten because there were too many. */
uint64_t table_n_forgotten(const Table *table);
