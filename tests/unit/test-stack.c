/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A stack, as the kernel's program tells it, as it is kept, and in words. */

#include <string.h>

#include "lib/stack/stack.h"
#include "lib/stack/symbols.h"
#include "unit.h"

/* parts: the last one first. */
static void set_module(struct stack_module *module, bool is_whole, const char *const *parts)
{
	module->is_whole = is_whole;
	for (; *parts; parts++) {
		const gsize size = strlen(*parts) + 1;
		memcpy(module->path + module->path_size, *parts, size);
		module->path_size += size;
	}
}

static const struct stack told = {
	.n = 4,
	.n_modules = 3,
	.is_dumpable = 1,
	.frames = {{0x1f2a, 0, 0}, {0x10, 1, 0}, {0x20, 2, 0}, {0x7fff0000, STACK_MODULES, 0}},
};

static SegfsStack *make(void)
{
	struct stack stack = told;

	set_module(&stack.modules[0], true,
		   (const char *const[]){"nightly-job", "bin", "usr", NULL});
	set_module(&stack.modules[1], false, (const char *const[]){"a,\n\x9b", "far", NULL});
	stack.modules[0].has_id = 1;
	memcpy(stack.modules[0].id, "\x01\xab", 2);
	return stack_new(&stack);
}

static void check(const SegfsStack *stack)
{
	static const char *const texts[] = {"nightly-job+0x1f2a", "a\\054\\n\\233+0x10", "0x20",
					    "0x7fff0000"};

	g_assert_cmpuint(segfs_stack_n(stack), ==, G_N_ELEMENTS(texts));
	for (guint i = 0; i < G_N_ELEMENTS(texts); i++) {
		const SegfsFrame frame = segfs_stack_frame(stack, i);
		g_autofree char *text = segfs_frame_text(&frame);
		g_assert_cmpstr(text, ==, texts[i]);
	}
	g_assert_cmpstr(segfs_stack_frame(stack, 0).file, ==, "/usr/bin/nightly-job");
	g_assert_cmpstr(segfs_stack_frame(stack, 0).build_id, ==,
			"01ab000000000000000000000000000000000000");
	g_assert_cmpstr(segfs_stack_frame(stack, 1).file, ==, "far/a,\n\x9b");
	g_assert_null(segfs_stack_frame(stack, 1).build_id);
	g_assert_null(segfs_stack_frame(stack, 3).file);
	g_assert_true(segfs_stack_is_dumpable(stack));
}

static void what_is_told(void)
{
	g_autoptr(SegfsStack) stack = make();

	check(stack);
	g_assert_cmpuint(stack_size(stack), >, 4 * 16);
	g_assert_cmpuint(stack_size(NULL), ==, 0);
	g_assert_null(segfs_stack_ref(NULL));
}

static void what_is_no_stack(void)
{
	struct stack none = told;

	none.n_modules = 0;
	g_assert_null(stack_new(&none));
	none.n = 0;
	none.n_modules = 1;
	g_assert_null(stack_new(&none));
}

/* More than there is room for, and paths that have no end. */
static void what_is_not_to_be_believed(void)
{
	struct stack much = told;

	much.n = much.n_modules = UINT32_MAX;
	for (guint i = 0; i < STACK_MODULES; i++) {
		much.modules[i].path_size = UINT32_MAX;
		memset(much.modules[i].path, 'x', sizeof(much.modules[i].path));
	}
	g_autoptr(SegfsStack) stack = stack_new(&much);
	g_assert_cmpuint(segfs_stack_n(stack), ==, STACK_FRAMES);
	g_assert_cmpuint(strlen(segfs_stack_frame(stack, 0).file), ==, STACK_PATH);
}

static void what_is_kept(void)
{
	g_autoptr(SegfsStack) before = make();
	g_autoptr(GVariant) saved = g_variant_ref_sink(stack_save(before));
	g_autoptr(GVariant) nothing = g_variant_ref_sink(stack_save(NULL));

	g_assert_true(g_variant_is_of_type(saved, G_VARIANT_TYPE(STACK_TYPE)));
	g_autoptr(SegfsStack) stack = stack_restore(saved);
	check(stack);
	g_assert_cmpuint(stack_size(stack), ==, stack_size(before));
	g_assert_null(stack_restore(nothing));
	/* A build-id is part of a path one day. */
	g_autoptr(GVariant) other = g_variant_ref_sink(g_variant_new_parsed(
		"(true, [(uint32 0, uint64 1)], [(b'/x', b'../../etc/passwd')])"));
	g_autoptr(SegfsStack) restored = stack_restore(other);
	g_assert_null(segfs_stack_frame(restored, 0).build_id);
}

static void without_names(void)
{
	g_autoptr(SegfsStack) stack = make();
	g_autofree char *why_not = NULL;
	g_auto(SegfsCaller) self = {};

	segfs_caller_self(&self);
	g_assert_null(symbols_new("/nonexistent/segfs-symbols", &why_not));
	g_assert_cmpstr(why_not, ==, "/nonexistent/segfs-symbols: No such file or directory");
	g_auto(GStrv) none = symbols_of(NULL, &self, 0, stack);
	g_assert_cmpuint(g_strv_length(none), ==, 4);
	g_assert_cmpstr(none[0], ==, "");
}

/* Something else is no such program. */
static void of_another_program(void)
{
	g_autofree char *why_not = NULL;

	g_assert_null(symbols_new("/bin/true", &why_not));
	g_assert_cmpstr(why_not, ==, "/bin/true: it does not begin");
}

int main(int argc, char **argv)
{
	unit_init(&argc, &argv);
	g_test_add_func("/stack/told", what_is_told);
	g_test_add_func("/stack/none", what_is_no_stack);
	g_test_add_func("/stack/not-to-be-believed", what_is_not_to_be_believed);
	g_test_add_func("/stack/kept", what_is_kept);
	g_test_add_func("/symbols/without", without_names);
	g_test_add_func("/symbols/another-program", of_another_program);
	return g_test_run();
}
