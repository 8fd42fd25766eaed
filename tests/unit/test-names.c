/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What items are called as files: segfs_item_path() and segfs_item_orphan_name(). */

#include <limits.h>
#include <string.h>

#include "lib/survey/survey.h"
#include "unit.h"

static SegfsItem *item_make(SegfsKind kind, const char *name, uint64_t number)
{
	SegfsItem *item = item_new();

	item->id = (SegfsId){kind, 1, number};
	item->name = g_strdup(name);
	return item;
}

static char *orphan_in(guint directory, const char *name, uint64_t number)
{
	g_autoptr(SegfsItem) item = item_make(SEGFS_POSIX, name, number);

	item->directory = directory;
	return segfs_item_orphan_name(item);
}

static char *unlinked_of(SegfsKind kind, const char *name, uint64_t number)
{
	g_autoptr(SegfsItem) item = item_make(kind, name, number);

	item->unlinked = true;
	return segfs_item_path(item);
}

static void assert_path(SegfsItem *item, const char *expected)
{
	g_autofree char *path = segfs_item_path(item);

	g_assert_cmpstr(path, ==, expected);
}

static void assert_orphan(const char *name, const char *expected)
{
	g_autofree char *its = orphan_in(0, name, 77);

	g_assert_cmpstr(its, ==, expected);
}

static void assert_unlinked(SegfsKind kind, const char *name, const char *expected)
{
	g_autofree char *path = unlinked_of(kind, name, 77);

	g_assert_cmpstr(path, ==, expected);
}

static void kinds_and_verdicts_have_names(void)
{
	g_assert_cmpstr(segfs_kind_name(SEGFS_SYSV), ==, "sysv");
	g_assert_cmpstr(segfs_kind_name(SEGFS_POSIX), ==, "posix");
	g_assert_cmpstr(segfs_kind_name(SEGFS_MEMFD), ==, "memfd");
	g_assert_cmpstr(segfs_kind_name(SEGFS_ANON), ==, "anon");
	g_assert_cmpstr(segfs_verdict_name(SEGFS_IN_USE), ==, "in use");
	g_assert_cmpstr(segfs_verdict_name(SEGFS_IDLE), ==, "idle");
	g_assert_cmpstr(segfs_verdict_name(SEGFS_ORPHANED), ==, "orphaned");
	g_assert_cmpstr(segfs_verdict_name(SEGFS_UNKNOWN), ==, "unknown");
}

static void a_named_item_is_where_its_file_is(void)
{
	g_autoptr(SegfsItem) first = item_make(SEGFS_SYSV, NULL, 0);
	g_autoptr(SegfsItem) last = item_make(SEGFS_SYSV, NULL, G_MAXINT);
	g_autoptr(SegfsItem) object = item_make(SEGFS_POSIX, "a/b % c", 5);

	assert_path(first, "sysv/0");
	assert_path(last, "sysv/2147483647");
	/* A path as it is: nothing in it is escaped. */
	assert_path(object, "posix/a/b % c");
	object->directory = 1;
	assert_path(object, "posix.2/a/b % c");
	object->directory = 11;
	assert_path(object, "posix.12/a/b % c");
}

static void an_unlinked_item_has_its_number_in_its_name(void)
{
	assert_unlinked(SEGFS_SYSV, NULL, "unlinked/sysv-77");
	assert_unlinked(SEGFS_ANON, NULL, "unlinked/anon-77");
	assert_unlinked(SEGFS_MEMFD, "x", "unlinked/memfd-x-77");
	assert_unlinked(SEGFS_MEMFD, "", "unlinked/memfd--77");
	assert_unlinked(SEGFS_POSIX, "x", "unlinked/posix-x-77");
	assert_unlinked(SEGFS_POSIX, "a/b", "unlinked/posix-a%2Fb-77");
	assert_unlinked(SEGFS_MEMFD, "../../%", "unlinked/memfd-..%2F..%2F%25-77");
	g_autofree char *most = unlinked_of(SEGFS_ANON, NULL, G_MAXUINT64);
	g_assert_cmpstr(most, ==, "unlinked/anon-18446744073709551615");
}

static void an_item_of_another_namespace_is_below_its_directory(void)
{
	g_autoptr(SegfsItem) item = item_make(SEGFS_SYSV, NULL, 5);

	item->ns = 4026532188;
	assert_path(item, "ns/4026532188/sysv/5");
	item->unlinked = true;
	assert_path(item, "ns/4026532188/unlinked/sysv-5");
	/* In orphans/ it is a name, of whichever tree. */
	g_autofree char *name = segfs_item_orphan_name(item);
	g_assert_cmpstr(name, ==, "sysv-5");
}

static void an_orphan_is_one_flat_name(void)
{
	assert_orphan("x", "posix-x");
	assert_orphan("a/b/c", "posix-a%2Fb%2Fc");
	assert_orphan("100%", "posix-100%25");
	assert_orphan("a%2Fb", "posix-a%252Fb");
	assert_orphan("~", "posix-~");
	assert_orphan("-", "posix--");
	assert_orphan(".x~77", "posix-.x~77");
	assert_orphan("a\nb\t\\ \"", "posix-a%0Ab%09\\ \"");
}

static void directories_are_told_apart(void)
{
	g_autofree char *first = orphan_in(0, ".2-x", 5);
	g_autofree char *second = orphan_in(1, "x", 5);
	g_autofree char *twelfth = orphan_in(11, "x", 5);

	g_assert_cmpstr(first, ==, "posix-.2-x");
	g_assert_cmpstr(second, ==, "posix.2-x");
	g_assert_cmpstr(twelfth, ==, "posix.12-x");
}

/* As many bytes as a name has that is to be so long. */
static char *bytes(gsize length, char byte)
{
	return g_strnfill(length, byte);
}

static void a_name_of_any_length_is_a_file_name(void)
{
	/* Paths can be as long as 4095 bytes; each byte can become three. */
	for (gsize length = 1; length <= PATH_MAX; length += length < 300 ? 1 : 97) {
		for (const char *byte = "a/%~-\xff"; *byte; byte++) {
			g_autofree char *name = bytes(length, *byte);
			g_autofree char *orphan = orphan_in(0, name, G_MAXUINT64);
			g_autofree char *second = orphan_in(999, name, 1);
			g_autofree char *path = unlinked_of(SEGFS_MEMFD, name, G_MAXUINT64);
			g_assert_cmpuint(strlen(orphan), <=, NAME_MAX);
			g_assert_cmpuint(strlen(second), <=, NAME_MAX);
			g_assert_cmpuint(strlen(path + strlen("unlinked/")), <=, NAME_MAX);
			g_assert_true(g_str_has_suffix(path, "-18446744073709551615"));
			g_assert_null(strchr(orphan, '/'));
			g_assert_null(strchr(path + strlen("unlinked/"), '/'));
		}
	}
}

static void what_is_too_long_is_cut_and_keeps_its_number(void)
{
	g_autofree char *name = bytes(300, 'a');
	g_autofree char *cut = orphan_in(0, name, 77);

	g_assert_cmpuint(strlen(cut), ==, NAME_MAX);
	g_assert_true(g_str_has_prefix(cut, "posix-aaa"));
	g_assert_true(g_str_has_suffix(cut, "aaa~77"));
	g_autofree char *shorter = bytes(200, 'a');
	g_autofree char *whole = orphan_in(0, shorter, 77);
	g_assert_cmpuint(strlen(whole), ==, strlen("posix-") + 200);
	g_assert_null(strchr(whole, '~'));
}

/* The end of an escaped name is a whole escape: else what is cut could be undone wrongly. */
static void no_escape_is_cut(void)
{
	for (gsize length = 60; length < 300; length++) {
		g_autofree char *name = bytes(length, '/');
		g_autofree char *head = bytes(length % 7, 'x');
		g_autofree char *path = g_strconcat(head, name, NULL);
		g_autofree char *orphan = orphan_in(0, path, 5);
		g_autofree char *unlinked = unlinked_of(SEGFS_POSIX, path, 5);
		for (char *at = orphan; (at = strchr(at, '%')); at++)
			g_assert_true(g_str_has_prefix(at, "%2F"));
		for (char *at = unlinked; (at = strchr(at, '%')); at++)
			g_assert_true(g_str_has_prefix(at, "%2F"));
	}
}

static void bytes_are_no_characters(void)
{
	/* Latin-1, cut UTF-8, overlong UTF-8: whatever the kernel takes for a name. */
	assert_orphan("\xe4\xf6\xfc", "posix-\xe4\xf6\xfc");
	assert_orphan("\xc3", "posix-\xc3");
	assert_orphan("\xc0\xaf", "posix-\xc0\xaf");
	assert_orphan("\xe2\x82\xac", "posix-\xe2\x82\xac");
	assert_orphan("\x01\x1b[2J\x7f", "posix-%01%1B[2J%7F");
	/* U+009B is CSI, as ESC and [ are. */
	assert_orphan("\xc2\x9b\xc2\xa0\xc2", "posix-%C2%9B\xc2\xa0\xc2");
	assert_unlinked(SEGFS_MEMFD, "a\nb", "unlinked/memfd-a%0Ab-77");
	assert_unlinked(SEGFS_MEMFD, "\xff\xfe", "unlinked/memfd-\xff\xfe-77");
}

static void add_once(GHashTable *names, char *name)
{
	if (!g_hash_table_add(names, name))
		g_error("twice: %s", name);
}

static void different_objects_have_different_names(void)
{
	static const char *const parts[] = {"a", "/a", "%", "2", "F", "%2F", "~", "~1", "-", "25"};
	g_autoptr(GHashTable) names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	const guint n = G_N_ELEMENTS(parts);

	for (guint directory = 0; directory < 2; directory++) {
		g_autoptr(GHashTable) seen =
			g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
		for (guint i = 0; i < n * n * n; i++) {
			char *path = g_strconcat("x", parts[i / n / n], parts[i / n % n],
						 parts[i % n], NULL);
			if (g_hash_table_add(seen, path))
				add_once(names, orphan_in(directory, path, i));
		}
	}
	g_autofree char *common = bytes(400, 'a');
	for (guint i = 0; i < 100; i++)
		add_once(names, orphan_in(0, common, i));
}

/* Whoever may make files can give one the name that another one's is cut to. */
static void a_cut_name_cannot_be_taken(void)
{
	for (gsize length = 240; length < 300; length++) {
		g_autofree char *name = bytes(length, 'a');
		g_autofree char *cut = orphan_in(0, name, 77);
		g_autofree char *other = orphan_in(0, cut + strlen("posix-"), 78);
		if (g_str_has_suffix(cut, "~77"))
			g_assert_cmpstr(cut, !=, other);
	}
}

/* Each directory's file system has inode numbers of its own, and most begin with the same. */
static void unlinked_items_of_two_directories_have_different_names(void)
{
	g_autoptr(SegfsItem) first = item_make(SEGFS_POSIX, "x", 2);
	g_autoptr(SegfsItem) second = item_make(SEGFS_POSIX, "x", 2);

	first->unlinked = second->unlinked = true;
	second->id.domain = 2;
	second->directory = 1;
	g_autofree char *a = segfs_item_path(first), *b = segfs_item_path(second);
	g_assert_cmpstr(a, !=, b);
}

int main(int argc, char **argv)
{
	unit_init(&argc, &argv);
#define TEST(path, function) g_test_add_func("/names/" path, function)
	TEST("kinds-and-verdicts", kinds_and_verdicts_have_names);
	TEST("path/where-its-file-is", a_named_item_is_where_its_file_is);
	TEST("path/unlinked-has-its-number", an_unlinked_item_has_its_number_in_its_name);
	TEST("path/of-another-namespace", an_item_of_another_namespace_is_below_its_directory);
	TEST("orphan/one-flat-name", an_orphan_is_one_flat_name);
	TEST("orphan/directories-are-told-apart", directories_are_told_apart);
	TEST("length/any-is-a-file-name", a_name_of_any_length_is_a_file_name);
	TEST("length/cut-keeps-its-number", what_is_too_long_is_cut_and_keeps_its_number);
	TEST("length/no-escape-is-cut", no_escape_is_cut);
	TEST("bytes-are-no-characters", bytes_are_no_characters);
	TEST("unique/different-objects", different_objects_have_different_names);
	TEST("unique/cut-cannot-be-taken", a_cut_name_cannot_be_taken);
	TEST("unique/unlinked-of-two-directories",
	     unlinked_items_of_two_directories_have_different_names);
	return g_test_run();
}
