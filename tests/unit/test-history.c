/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What history keeps: its log and its table. What the kernel tells it: tests/mount/test-history.sh.
 */

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "lib/history/history.h"
#include "unit.h"

static const SegfsActor actor = {.pid = 7,
				 .start = 70,
				 .uid = 1000,
				 .command = "a b",
				 .command_line = (char *)"a \"b\" \\n"};

static guint count_lines(const char *text)
{
	guint n = 0;

	for (; (text = strchr(text, '\n')); text++)
		n++;
	return n;
}

static void a_line_is_logfmt(void)
{
	g_autoptr(Log) log = log_new(4096);
	GString *line = log_line(1764093791402113, "create", "posix/a b\n");

	log_field(line, "end", "");
	log_field_actor(line, "", &actor);
	log_add(log, line);
	g_autoptr(Generation) now = log_generation(log, 0);
	g_assert_cmpstr(now->text->str, ==,
			"2025-11-25T18:03:11.402113Z create \"posix/a b\\\\n\" end=\"\" pid=7 "
			"program=\"a b\" uid=1000 command=\"a \\\"b\\\" \\\\n\"\n");
	g_assert_null(log_generation(log, 1));
}

static void a_log_is_bounded_and_says_what_it_has_forgotten(void)
{
	enum { LINES = 1000, MOST = 4096 };
	g_autoptr(Log) log = log_new(MOST);
	g_autoptr(Generation) first = log_generation(log, 0);

	for (guint i = 0; i < LINES; i++) {
		GString *line = log_line(0, "create", "posix/x");
		log_field_number(line, "inode", i);
		log_add(log, line);
	}
	g_autoptr(Generation) now = log_generation(log, 0), before = log_generation(log, 1);
	g_assert_cmpuint(now->number, ==, before->number + 1);
	g_assert_cmpuint(now->text->len, <=, MOST);
	g_assert_cmpuint(before->text->len, <=, MOST);
	/* Who reads the first one still has all of it. */
	g_assert_nonnull(strstr(first->text->str, "inode=0\n"));
	const char *begin = strstr(now->text->str, " begin events before=");
	guint n_before = 0, n_forgotten = 0;
	g_assert_nonnull(begin);
	g_assert_cmpint(
		sscanf(begin, " begin events before=%u forgotten=%u", &n_before, &n_forgotten), ==,
		2);
	g_assert_cmpuint(n_before, ==, count_lines(before->text->str) - 1);
	g_assert_cmpuint(n_forgotten + n_before + count_lines(now->text->str) - 1, ==, LINES);
}

static Piece piece_of(uint64_t number, uint64_t again, pid_t pid)
{
	Piece piece = {.key = {.number = number}, .again = again, .name = g_strdup("x")};

	piece.past.creator = actor_copy(&actor);
	piece.past.creator.pid = pid;
	return piece;
}

static void add(Table *table, uint64_t number, uint64_t again, pid_t pid)
{
	const Piece piece = piece_of(number, again, pid);

	table_add(table, &piece);
}

static void a_table_is_bounded(void)
{
	g_autoptr(Table) table = table_new(3, 2);

	for (guint i = 1; i <= 5; i++)
		add(table, i, 0, 7);
	g_assert_cmpuint(table_n_pieces(table), ==, 3);
	g_assert_cmpuint(table_n_forgotten(table), ==, 2);
	g_assert_null(table_find(table, &(PieceKey){.number = 2}));
	g_assert_nonnull(table_find(table, &(PieceKey){.number = 3}));
	/* A number that is given again takes nobody's place. */
	add(table, 4, 9, 8);
	g_assert_cmpuint(table_n_pieces(table), ==, 3);
	g_assert_cmpuint(table_find(table, &(PieceKey){.number = 4})->again, ==, 9);
}

/* Names and command lines are as long as somebody likes. */
static void what_is_known_is_bounded(void)
{
	g_autoptr(Table) table = table_new(100, 100);
	const SegfsActor remover = {.pid = 9};

	for (guint i = 1; i <= 100; i++)
		add(table, i, 0, 7);
	g_assert_cmpuint(table_n_pieces(table), ==, 100);
	for (guint i = 1; i <= 100; i++) {
		Piece *piece = table_find(table, &(PieceKey){.number = i});
		if (piece)
			table_rename(table, piece, g_strnfill(4000, 'n'));
	}
	g_assert_cmpuint(table_n_pieces(table), <=, 100 * 512 / 4000);
	g_assert_nonnull(table_find(table, &(PieceKey){.number = 100}));
	for (guint i = 201; i <= 300; i++) {
		g_autofree char *name = g_strnfill(4000, 'n');
		const Piece known = {.key.number = i, .name = name};
		table_remove(table, &known, 1, &remover, false);
	}
	g_autoptr(GPtrArray) gone = table_gone(table);
	g_assert_cmpuint(gone->len, ==, 100 * 2048 / 4001);
	g_assert_nonnull(table_gone_one(table, ((Gone *)gone->pdata[0])->serial));
	/* One alone is kept, whatever it is. */
	Piece large = piece_of(400, 0, 7);
	large.past.creator.cgroup = g_strnfill(100 * 1024, 'c');
	g_assert_nonnull(table_add(table, &large)->past.creator.cgroup);
	g_assert_cmpuint(table_n_pieces(table), ==, 1);
}

static void an_end_is_of_that_very_process(void)
{
	g_autoptr(Table) table = table_new(10, 10);

	add(table, 1, 0, 7);
	add(table, 2, 0, 8);
	table_end(table, 7, 71, 5, 9, NULL, 0);
	g_assert_cmpint(table_find(table, &(PieceKey){.number = 1})->past.ended, ==, 0);
	table_end(table, 7, 70, 5, 9, NULL, 0);
	g_assert_cmpint(table_find(table, &(PieceKey){.number = 1})->past.ended, ==, 5);
	g_assert_cmpint(table_find(table, &(PieceKey){.number = 2})->past.ended, ==, 0);
	/* The first word counts. */
	table_end(table, 7, 70, 6, 0, NULL, 0);
	g_assert_cmpint(table_find(table, &(PieceKey){.number = 1})->past.code, ==, 9);
}

static void what_is_gone_keeps_its_creator(void)
{
	g_autoptr(Table) table = table_new(10, 2);
	const SegfsActor remover = {.pid = 9, .command = "rm"};

	add(table, 1, 5, 7);
	add(table, 2, 6, 7);
	const Piece known = {.key = {.number = 1}, .again = 5, .name = (char *)"x"};
	const Gone *gone = table_remove(table, &known, 100, &remover, false);
	g_assert_cmpint(gone->piece.past.creator.pid, ==, 7);
	g_assert_cmpstr(gone->remover.command, ==, "rm");
	g_assert_null(table_find(table, &known.key));
	/* Another file has the number of piece 2 by now: that one's creator is not known. */
	const Piece other = {.key = {.number = 2}, .again = 7, .name = (char *)"y"};
	gone = table_remove(table, &other, 101, &remover, false);
	g_assert_cmpint(gone->piece.past.creator.pid, ==, 0);
	g_assert_nonnull(table_find(table, &other.key));
	/* It had one more name. */
	const Piece twin = {.key = other.key, .again = 7, .name = (char *)"z"};
	gone = table_remove(table, &twin, 102, &remover, false);
	g_assert_cmpstr(gone->piece.name, ==, "z");
	g_assert_cmpuint(gone->serial, ==, 2);
	const Piece third = {.key = {.number = 3}, .name = (char *)"x"};
	table_remove(table, &third, 103, &remover, false);
	g_autoptr(GPtrArray) all = table_gone(table);
	g_assert_cmpuint(all->len, ==, 2);
	g_assert_cmpuint(((const Gone *)all->pdata[0])->serial, ==, 3);
}

/* It lost its name first, and its memory later: one entry, with who has removed it. */
static void a_segment_goes_once(void)
{
	g_autoptr(Table) table = table_new(10, 4);
	const SegfsActor remover = {.pid = 9, .command = "rm"}, nobody = {};
	const Piece segment = {.key = {true, 1, 5}, .again = 3, .size = 4096, .cpid = 7};

	table_add(table, &segment);
	table_remove(table, &segment, 100, &remover, true);
	g_assert_nonnull(table_find(table, &segment.key));
	const Gone *gone = table_remove(table, &segment, 200, &nobody, false);
	g_assert_null(table_find(table, &segment.key));
	g_assert_cmpint(gone->removed, ==, 100);
	g_assert_cmpstr(gone->remover.command, ==, "rm");
	/* The next one that has the number is another. */
	const Piece next = {.key = segment.key, .again = 3, .size = 8192, .cpid = 8};
	gone = table_remove(table, &next, 300, &nobody, false);
	g_assert_cmpuint(gone->serial, ==, 2);
	g_assert_cmpint(gone->remover.pid, ==, 0);
	/* The word of who has removed it can come later; then that one counts. */
	gone = table_remove(table, &next, 250, &remover, false);
	g_assert_cmpuint(gone->serial, ==, 2);
	g_assert_cmpint(gone->removed, ==, 250);
	g_assert_cmpstr(gone->remover.command, ==, "rm");
	const SegfsActor another = {.pid = 10, .command = "ipcrm"};
	gone = table_remove(table, &next, 400, &another, false);
	g_assert_cmpstr(gone->remover.command, ==, "rm");
}

/* A log, and a table with one of each. */
static GVariant *saved(void)
{
	g_autoptr(Log) log = log_new(4096);
	g_autoptr(Table) table = table_new(10, 4);
	const struct stack stack = {.n = 1, .n_modules = 1, .frames = {{64, 0, 0}}};
	const Piece segment = {.key = {true, 1, 5},
			       .again = 3,
			       .size = 4096,
			       .ctime = 8,
			       .cpid = 7,
			       .past.stack = stack_new(&stack)};
	const struct ends_kin told = {.is_known = 1, .n_ancestors = 1, .ancestors = {{.pid = 3}}};
	g_autofree SegfsKin *kin = kin_new(&told, true);

	for (guint i = 0; i < 100; i++)
		log_add(log, log_line(i, "create", "posix/x"));
	table_add(table, &segment);
	add(table, 1, 5, 7);
	add(table, 2, 5, 8);
	table_end(table, 7, 70, 5, 9, kin, 0);
	table_remove(table, table_find(table, &(PieceKey){.number = 2}), 100, &actor, false);
	return g_variant_ref_sink(
		g_variant_new("(@" LOG_TYPE "@" TABLE_TYPE ")", log_save(log), table_save(table)));
}

static bool restore(Log *log, Table *table, GBytes *bytes)
{
	g_autoptr(GVariant) both = g_variant_ref_sink(g_variant_new_from_bytes(
		G_VARIANT_TYPE("(" LOG_TYPE TABLE_TYPE ")"), bytes, FALSE));
	g_autoptr(GVariant) of_log = NULL, of_table = NULL;

	if (!g_variant_is_normal_form(both))
		return false;
	g_variant_get(both, "(@" LOG_TYPE "@" TABLE_TYPE ")", &of_log, &of_table);
	if (!log_restore(log, of_log))
		return false;
	table_restore(table, of_table);
	return true;
}

static void what_was_kept_is_there_again(void)
{
	g_autoptr(GVariant) before = saved();
	g_autoptr(GBytes) bytes = g_variant_get_data_as_bytes(before);
	g_autoptr(Log) log = log_new(4096);
	g_autoptr(Table) table = table_new(10, 4);

	g_assert_true(restore(log, table, bytes));
	g_autoptr(Generation) first = log_generation(log, 1), now = log_generation(log, 0);
	g_assert_cmpuint(first->number + 1, ==, now->number);
	g_assert_cmpuint(count_lines(first->text->str) + count_lines(now->text->str), ==, 101);
	const Piece *segment = table_find(table, &(PieceKey){true, 1, 5});
	g_assert_true(segment->is_recalled && segment->size == 4096 && segment->ctime == 8);
	g_assert_cmpint(segment->cpid, ==, 7);
	g_assert_cmpuint(segfs_stack_frame(segment->past.stack, 0).offset, ==, 64);
	const Piece *object = table_find(table, &(PieceKey){.number = 1});
	g_assert_cmpstr(object->name, ==, "x");
	g_assert_cmpstr(object->past.creator.command_line, ==, actor.command_line);
	g_assert_cmpint(object->past.code, ==, 9);
	/* Those who lived then count; that there is nobody else is not known any more. */
	g_assert_cmpint(object->past.kin->all[0].pid, ==, 3);
	g_assert_false(object->past.kin->is_known);
	const Gone *gone = table_gone_one(table, 1);
	g_assert_cmpstr(gone->remover.command, ==, "a b");
	g_assert_cmpint(gone->removed, ==, 100);
	const Gone *next = table_remove(table, object, 200, NULL, false);
	g_assert_cmpuint(next->serial, ==, 2);
}

/* Every length, and each byte another: nothing, or something, but no fault. */
static void what_is_damaged_does_no_harm(void)
{
	g_autoptr(GVariant) before = saved();
	g_autoptr(GBytes) whole = g_variant_get_data_as_bytes(before);
	gsize size;
	const guint8 *bytes = g_bytes_get_data(whole, &size);

	for (gsize i = 0; i < 2 * size; i++) {
		g_autofree guint8 *copy = g_memdup2(bytes, size);
		if (i >= size)
			copy[i - size] ^= 1 << (i % 8);
		g_autoptr(GBytes) damaged = g_bytes_new(copy, i < size ? i : size);
		g_autoptr(Log) log = log_new(4096);
		g_autoptr(Table) table = table_new(10, 4);
		restore(log, table, damaged);
		add(table, 77, 5, 7);
		g_assert_nonnull(table_find(table, &(PieceKey){.number = 77}));
		log_add(log, log_line(1, "create", "posix/y"));
	}
}

static void an_end_is_told_in_words(void)
{
	g_autofree char *status = segfs_end_text(3 << 8), *killed = segfs_end_text(9);
	g_autofree char *dumped = segfs_end_text(11 | 0x80), *odd = segfs_end_text(64);

	g_assert_cmpstr(status, ==, "exit status 3");
	g_assert_cmpstr(killed, ==, "signal 9 (KILL)");
	g_assert_cmpstr(dumped, ==, "signal 11 (SEGV)");
	g_assert_cmpstr(odd, ==, "signal 64");
}

/* Without rights, as with them: it is there, and says what it knows. */
static void it_says_what_it_knows(void)
{
	g_autoptr(SegfsHistory) history = segfs_history_new(&(SegfsHistoryOptions){});
	g_autofree char *text = segfs_history_text(history);
	const SegfsSysv none = {.cpid = 0};
	g_auto(SegfsPast) past = {};

	g_assert_true(strstr(text, "no probes: ") || strstr(text, "the ends of tasks"));
	g_assert_nonnull(strstr(text, "nothing of /dev/shm: "));
	g_assert_false(segfs_history_of_sysv(NULL, NULL, &none, &past));
}

int main(int argc, char **argv)
{
	unit_init(&argc, &argv);
	g_test_add_func("/history/line", a_line_is_logfmt);
	g_test_add_func("/history/log", a_log_is_bounded_and_says_what_it_has_forgotten);
	g_test_add_func("/history/table", a_table_is_bounded);
	g_test_add_func("/history/table/text", what_is_known_is_bounded);
	g_test_add_func("/history/end", an_end_is_of_that_very_process);
	g_test_add_func("/history/gone", what_is_gone_keeps_its_creator);
	g_test_add_func("/history/segment", a_segment_goes_once);
	g_test_add_func("/history/kept", what_was_kept_is_there_again);
	g_test_add_func("/history/damaged", what_is_damaged_does_no_harm);
	g_test_add_func("/history/words", an_end_is_told_in_words);
	g_test_add_func("/history/text", it_says_what_it_knows);
	return g_test_run();
}
